"""jitid's own reading of policy text, compared with Cedar's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import ConfigurationError
from jitid.policy.default import default_files, example_files
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import FACTS
from jitid.policy.policy_text import ACTIONS, ALL_FACTS, PolicyRule, read_rules, statements
from jitid.policy.safe_cedarpy import Tree, actions, entity_of, expressions, operands, path_of, trees
from jitid.values.times import parse_duration
from tests.man.source import displays, read
from tests.policy.asking import PERMIT_ALL, policy, request
from tests.policy.conditions import conditions
from tests.policy.test_words import RULES


def read_in_tree(file: str, tree: Tree) -> PolicyRule:
    """Return the rule in Cedar's own syntax tree."""
    terms = [term for one in tree["conditions"] for term in expressions(one["body"])]
    paths = {path for term in terms if (path := path_of(term)) is not None}
    asked = [
        (path_of(term[way]["left"]), term[way]["attr"])
        for term in terms
        for way in (".", "has")
        if way in term
    ]
    facts = frozenset(fact for owner, fact in asked if owner == "context") & ALL_FACTS
    # An expression that reads no member has the whole context among its operands.
    whole = [(one["body"], None) for one in tree["conditions"]]
    whole += [(each, operator) for term in terms for operator in term for each in operands(term)]
    if any(each == {"Var": "context"} and operator not in (".", "has") for each, operator in whole):
        facts = ALL_FACTS
    named = tree["annotations"]
    heads = [tree["principal"], tree["resource"]]
    entities = [entity for one in terms if (entity := entity_of(one))]
    entities += [entity for one in heads if (entity := one.get("entity") or one.get("in", {}).get("entity"))]
    types = {entity["type"] for entity in entities}
    types |= {one["entity_type"] for one in heads if "entity_type" in one}
    types |= {term["is"]["entity_type"] for term in terms if "is" in term}
    action = tree["action"]
    entities += action.get("entities", [action.get("entity", {"type": "", "id": ""})])
    applies = actions(tree, ACTIONS)
    about_use = facts == ALL_FACTS or "action" in paths or any(name in ("action", "use") for _, name in asked)
    about_use |= "Resource" in types or {"type": "Action", "id": "authorize"} in entities
    return PolicyRule(
        named["id"],
        file,
        tree["effect"],
        None if named.get("max_ttl") is None else parse_duration(named["max_ttl"]),
        None if named.get("renew_ttl") is None else parse_duration(named["renew_ttl"]),
        named.get("approval"),
        {each: facts for each in ACTIONS if each in applies},
        "authorize" in applies and about_use,
        frozenset(each for each in ("principal", "resource") if tree[each]["op"] != "All" or each in paths),
    )


def assert_reads_alike(text: str, *, exactly: bool = False) -> None:
    """Compare jitid's reading of a text with Cedar's, rule by rule. Unless `exactly`, jitid's may have more."""
    read = read_rules("x.cedar", text)
    theirs = [read_in_tree("x.cedar", tree) for tree in trees(statements(text)[:-1]) if tree is not None]
    assert len(read) == len(theirs)
    for rule, other in zip(read, theirs, strict=True):
        if exactly:
            assert rule == other
        assert rule[:6] == other[:6]
        assert rule.facts.keys() >= other.facts.keys()
        assert all(rule.facts[action] >= facts for action, facts in other.facts.items())
        assert rule.of_use >= other.of_use
        assert rule.looks_at >= other.looks_at


blank = st.sampled_from(
    ["", " ", "\n", "\r", "\t", "// ;\n", '// "\r', "//\n", '// @max_ttl("9")\r\n', "// permit(;context.x\n"]
)
space = st.tuples(st.sampled_from([" ", "\n"]), blank).map("".join)
fact = st.sampled_from([*FACTS])
string = st.sampled_from(
    ['"x"', '"//"', r'"\""', r'"\\"', '";"', '"context.depth"', r'"\u{3b}"', '"(@id)"', '"\\" // "', '"é"']
)
term = st.one_of(
    st.builds("context{}.{}{}".format, blank, blank, fact),
    st.builds("context[{}{}]".format, blank, fact.map('"{}"'.format)),
    st.builds("context[{}]".format, string.filter(lambda text: "\\" in text)),
    st.builds("(context).{}".format, fact),
    st.builds("principal.context.{}".format, fact),
    st.builds("context has {}".format, fact).map("({})".format),
    st.builds('context has "{}"'.format, fact).map("({})".format),
    st.builds("(if context == {{{}: {}}} then context else {{}})".format, fact, string),
    st.just("{context: context}.context.depth"),
    st.builds("[{}, {}]".format, string, string),
    string,
)
condition = st.builds("{}{}=={}{}".format, term, blank, blank, term)
head = st.sampled_from(
    [
        "principal, action, resource",
        'principal, action == Action::"issue", resource',
        'principal == Agent::"grant", action == Action::"issue", resource == Task::"x"',
        'principal, action in [Action::"issue", Action::"grant"], resource',
        'principal is Agent, action in Action::"grant", resource is Scope in Scope::"issue",',
        'principal, action == Action::"other", resource',
        r'principal, action == Action::"\u{69}ssue", resource',
        'principal is action, action == Action::"issue", resource',
        'principal is action in action::"x", action, resource',
    ]
)
bound = st.one_of(st.just(None), st.integers(1, 100_000))
effects = st.sampled_from(["permit", "forbid"])
statement = st.tuples(effects, head, st.lists(condition, max_size=3), bound, space)


@given(rules=st.lists(statement, max_size=4), between=blank)
def test_names_bounds_and_facts_are_read_as_cedar_reads_them(rules: list[Any], between: str) -> None:
    """Comments, strings and escapes of every kind are in between. Additional facts do no harm."""
    text = between
    for number, (effect, inside, bodies, seconds, gap) in enumerate(rules):
        ttl = f'{gap}@{between}max_ttl{gap}("{seconds}")' if seconds and effect == "permit" else ""
        whens = "".join(f"{gap}when {{ {each} }}" for each in bodies)
        text += f'{ttl}@id{between}("r{number}") @note {effect}{gap}({inside}{between}){whens}{between};'
        text += between
    assert_reads_alike(text)


@given(
    bodies=st.lists(conditions, max_size=3),
    inside=head,
    effect=effects,
    notes=st.sampled_from(["", '@approval("security")', '@note("context.depth")', "@permit"]),
)
def test_conditions_that_mean_something_are_read_as_cedar_reads_them(
    bodies: list[str], inside: str, effect: str, notes: str
) -> None:
    whole = " ".join(f"unless {{ {body}\n}}" for body in bodies)
    text = f'{notes} @id("r") {effect} ({inside}) {whole};'
    # An escape may be read as any text, and so may a type with the name of a variable.
    assert_reads_alike(text, exactly="\\" not in text and "is action" not in inside)


POLICIES = {
    **dict(default_files()),
    **{file: text for file, text in example_files() if file.endswith(".cedar")},
    **{
        f"jitid-policy.7 {number}": text
        for number, text in enumerate(displays(read("jitid-policy.7")))
        if "@id(" in text
    },
}


@pytest.mark.parametrize("name", POLICIES)
def test_what_is_shipped_is_read_exactly_as_cedar_reads_it(name: str) -> None:
    """In these files, no comment, string or name causes an additional fact."""
    assert_reads_alike(POLICIES[name], exactly=True)


@pytest.mark.parametrize("rule", RULES)
def test_names_of_all_sorts_are_read_exactly_as_cedar_reads_them(rule: str) -> None:
    for name in ("issue", "context.use", "Resource", "permit", "a;b//"):
        assert_reads_alike(rule.replace("@NOTE", "@note").replace("NAME", name), exactly=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("permit(principal, action, resource);", '`p.cedar`, line 1: a policy has no `@id("NAME")`'),
        (f"{PERMIT_ALL}\n\n{PERMIT_ALL}", "`p.cedar`, line 4: `all` is already a rule of `p.cedar`"),
        ("@id permit(principal, action, resource);", "line 1: `@id` `` must have 1 to 64"),
        ('@id("a b") permit(principal, action, resource);', "line 1: `@id` `a b` must have 1 to 64"),
        (r'@id("\u{41}") permit(principal, action, resource);', "must have 1 to 64"),
        ('@id("default-deny") permit(principal, action, resource);', "is a reserved word"),
        ('@id("a") @max_ttl("soon") permit(principal, action, resource);', "rule `a`: `@max_ttl`: `soon`"),
        ('@id("a") @max_ttl("0") permit(principal, action, resource);', "rule `a`: `@max_ttl`"),
        ('@id("a") @max_ttl permit(principal, action, resource);', "rule `a`: `@max_ttl`"),
        ('@id("a") @max_ttl("1h") forbid(principal, action, resource);', "has no effect"),
        ('@id("a") permit(principal == ?principal, action, resource);', "templates, with"),
        (f'{PERMIT_ALL}// x;\r@id("a")\npermit(principal action);', "`p.cedar`, line 3: unexpected token"),
        ('@id("a") permit(principal, action, resource)', "line 1: unexpected end"),
        ("\ud800", "`p.cedar`, line 1: "),
        ('@id("a") permit(principal, action, resource) when { context.colour == "x" };', "`context.colour`"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_with_its_place(text: str, message: str) -> None:
    """The message has the file, the line and the rule."""
    with pytest.raises(ConfigurationError) as caught:
        Policy([("p.cedar", text)])
    assert message in caught.value.message
    assert caught.value.message.isprintable()


def test_a_name_is_unique_over_all_files() -> None:
    """A decision names a rule, and the name must lead to one place."""
    with pytest.raises(ConfigurationError, match=r"`2.cedar`, line 1: `all` is already a rule of `1.cedar`"):
        policy(PERMIT_ALL, PERMIT_ALL)


def test_a_policy_must_not_run_over_the_end_of_its_file() -> None:
    """The two halves of a rule in two files are two errors."""
    with pytest.raises(ConfigurationError, match=r"`1.cedar`, line 1"):
        policy('@id("a") permit(principal, action,', "resource);")


def test_a_fact_may_be_asked_for_before_it_exists() -> None:
    """`has` on an unknown name is false, not an error: such a policy works with older and newer jitid."""
    text = '@id("a") permit(principal, action, resource) unless { context has colour };'
    assert read_rules("x", text)[0].facts["issue"] == frozenset()


def test_an_attribute_named_context_is_no_fact() -> None:
    """The attribute belongs to its entity."""
    text = '@id("a") forbid(principal, action, resource) when { principal has x && principal.context.x };'
    assert policy(PERMIT_ALL, text).decide(request()).permit
