"""What jitid reads in policy text itself, against what Cedar reads there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import ConfigurationError
from jitid.policy.cedar import Policy
from jitid.policy.default import default_files
from jitid.policy.facts import FACTS
from jitid.policy.policy_text import ACTIONS, read_rules
from jitid.values.times import format_duration
from tests.policy.asking import PERMIT_ALL, policy, request


def facts_in_tree(node: Any) -> Iterator[str]:
    """Yield the facts that Cedar's own syntax tree reads; all of them for `context` as a whole."""
    match node:
        case {".": {"left": {"Var": "context"}, "attr": fact}}:
            yield fact
        case {"has": {"left": {"Var": "context"}, "attr": fact}}:
            yield fact
        case {"Var": "context"}:
            yield from FACTS
        case dict():
            for child in node.values():
                yield from facts_in_tree(child)
        case list():
            for child in node:
                yield from facts_in_tree(child)


def actions_in_tree(constraint: dict[str, Any]) -> set[str]:
    """Return the actions that a policy's head admits, in Cedar's own syntax tree."""
    if constraint["op"] == "All":
        return set(ACTIONS)
    entities = constraint.get("entities") or [constraint["entity"]]
    return {entity["id"] for entity in entities} & set(ACTIONS)


def assert_reads_alike(text: str) -> None:
    """Compare our reading of a text with Cedar's, policy by policy."""
    tree = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    rules = read_rules("x.cedar", text)
    assert len(rules) == len(tree)
    for number, rule in enumerate(rules):
        theirs = tree[f"policy{number}"]
        assert rule.name == theirs["annotations"]["id"]
        assert rule.effect == theirs["effect"]
        bound = theirs["annotations"].get("max_ttl")
        assert rule.max_ttl == (None if bound is None else int(bound))
        assert actions_in_tree(theirs["action"]) <= rule.facts.keys()
        read = set(facts_in_tree(theirs["conditions"])) & FACTS.keys()
        for facts in rule.facts.values():
            assert read <= facts


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


@given(statements=st.lists(statement, max_size=4), between=blank)
def test_names_bounds_and_facts_are_read_as_cedar_reads_them(statements: list[Any], between: str) -> None:
    """Comments, strings and escapes of every sort lie in the way; more facts than needed do no harm."""
    text = between
    for number, (effect, inside, conditions, seconds, gap) in enumerate(statements):
        ttl = f'{gap}@{between}max_ttl{gap}("{seconds}")' if seconds and effect == "permit" else ""
        whens = "".join(f"{gap}when {{ {each} }}" for each in conditions)
        text += f'{ttl}@id{between}("r{number}") @note {effect}{gap}({inside}{between}){whens}{between};'
        text += between
    assert_reads_alike(text)


def test_the_default_policy_is_read_as_cedar_reads_it() -> None:
    """Its bounds are written for people."""
    ((file, text),) = default_files()
    tree = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    rules = read_rules(file, text)
    bounds = [rule.max_ttl and format_duration(rule.max_ttl) for rule in rules]
    assert bounds == [tree[f"policy{number}"]["annotations"].get("max_ttl") for number in range(len(rules))]
    assert [rule.name for rule in rules] == [each["annotations"]["id"] for each in tree.values()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("permit(principal, action, resource);", '`p.cedar`, line 1: a policy has no `@id("NAME")`'),
        (f"{PERMIT_ALL}\n\n{PERMIT_ALL}", "`p.cedar`, line 4: `all` is a rule of `p.cedar` already"),
        ("@id permit(principal, action, resource);", "line 1: `@id` `` is not 1 to 64"),
        ('@id("a b") permit(principal, action, resource);', "line 1: `@id` `a b` is not 1 to 64"),
        (r'@id("\u{41}") permit(principal, action, resource);', "is not 1 to 64"),
        ('@id("default-deny") permit(principal, action, resource);', "decisions use themselves"),
        ('@id("a") @max_ttl("soon") permit(principal, action, resource);', "rule `a`: `@max_ttl`: `soon`"),
        ('@id("a") @max_ttl("0") permit(principal, action, resource);', "rule `a`: `@max_ttl`"),
        ('@id("a") @max_ttl permit(principal, action, resource);', "rule `a`: `@max_ttl`"),
        ('@id("a") @max_ttl("1h") forbid(principal, action, resource);', "would limit nothing"),
        ('@id("a") permit(principal == ?principal, action, resource);', "holds a template"),
        (f'{PERMIT_ALL}// x;\r@id("a")\npermit(principal action);', "`p.cedar`, line 3: unexpected token"),
        ('@id("a") permit(principal, action, resource)', "line 1: unexpected end"),
        ("\ud800", "`p.cedar`, line 1: "),
        ('@id("a") permit(principal, action, resource) when { context.colour == "x" };', "`context.colour`"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_with_its_place(text: str, message: str) -> None:
    """The author finds file, line and rule in the message."""
    with pytest.raises(ConfigurationError) as caught:
        Policy([("p.cedar", text)])
    assert message in caught.value.message
    assert caught.value.message.isprintable()


def test_a_name_is_unique_over_all_files() -> None:
    """A decision names a rule, and that must lead to one place."""
    with pytest.raises(ConfigurationError, match=r"`2.cedar`, line 1: `all` is a rule of `1.cedar` already"):
        policy(PERMIT_ALL, PERMIT_ALL)


def test_a_policy_must_not_run_over_the_end_of_its_file() -> None:
    """Two halves in two files are two errors."""
    with pytest.raises(ConfigurationError, match=r"`1.cedar`, line 1"):
        policy('@id("a") permit(principal, action,', "resource);")


def test_a_fact_may_be_asked_for_before_it_exists() -> None:
    """`has` on an unknown name is false, not an error: such a policy works with older and newer jitid."""
    text = '@id("a") permit(principal, action, resource) unless { context has colour };'
    assert read_rules("x", text)[0].facts["issue"] == frozenset()


def test_an_attribute_named_context_is_no_fact() -> None:
    """It belongs to its entity."""
    text = '@id("a") forbid(principal, action, resource) when { principal has x && principal.context.x };'
    assert policy(PERMIT_ALL, text).decide(request()).permit
