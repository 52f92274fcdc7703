"""The check of a policy reports all problems before any decision, each with its place, and no false ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import UsageError
from jitid.model.credential import MADE, USUAL_KINDS, Kind, base_kind
from jitid.policy.check import Problem, check
from jitid.policy.dead_rules import RANGES, WORDS
from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import FACTS, DirectoryFacts, PolicyRequest
from jitid.policy.position import statements_of, tokens_of
from jitid.values.names import check_delegator
from tests.man.source import displays, read, section
from tests.policy.asking import PERMIT_ALL, request, requests
from tests.policy.test_large import team

HEAD = '@id("r") permit (principal, action == Action::"issue", resource)\n'
DEFAULT_TEXT = default_files()[0][1]


def problems(text: str, use: str | None = None, *, whole: bool = False) -> list[Problem]:
    """Return the problems of one file."""
    return check([("p.cedar", text)], use, whole=whole).problems


def told(text: str, use: str | None = None) -> list[tuple[str, str]]:
    """Return the text at the place of each error, and its message."""
    lines = text.splitlines() or [""]
    return [
        (lines[one.place.line - 1][one.place.column - 1 :], one.message)
        for one in problems(text, use)
        if not one.warning
    ]


# Each condition has a mark at the place of the error, with a part of the message.
CONDITIONS = [
    ("context.depth == ^++ 3", "unexpected token `+`"),
    ("context.depth == 3 ^] || true", "unexpected token `]`"),
    ("context.task == ^'x'", "invalid token"),
    ("context.depth == 3 /^* no comment */", "unexpected token `*`"),
    ('^"\\q" == context.task', "`\\q` is not a valid escape"),
    ("context.depth == ^99999999999999999999", "number too large"),
    ("true && ^foo(1)", "`foo` is not a valid function"),
    ("a = ^b", "invalid variable: b"),
    ("true && ^principle.x == 1", "invalid member access `principle.x`"),
    ('true && ^context.hour == "x"', "the types Long and String are not compatible"),
    ('context.hour == 1 && (context.minute == 2 || !(^context.hour == "x"))', "are not compatible"),
    ("context.delegator.^foo == 1", "attribute `foo` on entity type `Delegator` not found"),
    (
        "principal.^owner == context.delegator",
        "`owner` may be missing: check it first, `principal has owner && ...`",
    ),
    (
        "principal has owner && principal.owner == context.delegator || principal.^owner == context.delegator",
        "`owner` may be missing: check it first, `principal has owner && ...`",
    ),
    (
        'context.delegator has manager && context.delegator.^manager in Group::"x"',
        "a policy can only compare the name of the manager",
    ),
    (
        'context.delegator has manager && context.delegator.^manager is Delegator in Group::"x"',
        "a policy can only compare the name of the manager",
    ),
    (
        'context.delegator has manager && context.delegator[^"manager"].known',
        "a policy can only compare the name of the manager",
    ),
    ("principal has owner && (principal.^owner).known", "a policy can only compare the name of the owner"),
    (
        "context.delegator.^manager == principal",
        "`manager` may be missing: check it first, `context.delegator has manager && ...`",
    ),
    ("principal has owner && principal.^owner.known", "a policy can only compare the name of the owner"),
    ("principal has ^owner.known", "a policy can only compare the name of the owner"),
    (
        "principal has owner && (if context.hour > 3 then principal.owner else principal.^owner) has known",
        "a policy can only compare the name of the owner",
    ),
    (
        " || ".join(["context.hour >= 0"] * 500) + " || principal has owner && principal.^owner has known",
        "a policy can only compare the name of the owner",
    ),
    ('true && ^Foo::"x" == principal', "unrecognized entity type `Foo`"),
    ('true || ^Action::"isue" == action', 'unrecognized action `Action::"isue"`'),
    ('context.^use.ip == "x"', "attribute `use.ip` in context not found"),
    ("true && (^context.hour)", "expected Bool but saw Long"),
    ('context.purpose like "x" && ^context.nope.x', "reads the unknown fact `context.nope`"),
    ('context[^"hours"] == 3', "reads the unknown fact `context.hours`"),
    ('ip(^"x").isLoopback()', "ailed to parse as IP address"),
    ('context.task == "é ü" && ^context.hour == "ö"', "are not compatible"),
]


@pytest.mark.parametrize(("marked", "message"), CONDITIONS)
@pytest.mark.parametrize("word", ["when", "unless"])
def test_an_error_in_a_condition_has_its_place(marked: str, message: str, word: str) -> None:
    before, _, after = marked.partition("^")
    text = f"// one\r\n{PERMIT_ALL}{HEAD}{word} {{\n\t{before}{after}\n// last\n}};\n"
    ((found, said),) = told(text)
    assert found == after
    assert message in said


def test_a_reference_without_a_place_is_reported_at_the_rule() -> None:
    """The rule spells the attribute's name with an escape."""
    condition = 'principal has owner && principal["own\\u{65}r"] has known'
    ((found, said),) = told(f"{PERMIT_ALL}\n{HEAD}when {{ {condition} }};")
    assert found.startswith("permit")
    assert "a policy can only compare the name of the owner" in said


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        ("^permi (principal, action, resource);", "invalid policy effect: permi"),
        ("^permit (principal, action, resource);", 'a policy has no `@id("NAME")`'),
        ('^@id("a b") permit (principal, action, resource);', "must have 1 to 64 ASCII letters"),
        ('@id("x") @^id("y") permit (principal, action, resource);', "duplicate annotation: @id"),
        ('@id("a") ^@max_ttl("soon") permit (principal, action, resource);', "`soon` is not a duration"),
        ('@id("a") ^@max_ttl("1h") forbid (principal, action, resource);', "has no effect"),
        ('@id("a") ^@approval("") permit (principal, action, resource);', "must be the name of a group"),
        ('@id("a") permit (principal, ^resource);', "the variable `action` must be used"),
        ('@id("a") permit (principal == ^?principal, action, resource);', "a template"),
        ('@id("a") ^permit (principal in Group::"x", action, resource);', "the head fits no action"),
        ('@id("a") permit (principal is ^Foo, action, resource);', "unrecognized entity type `Foo`"),
        ('@id("a") permit (principal, action == ^Action::"delete", resource);', "unrecognized action"),
        ('@id("a") permit (principal, action, resource)^', "the file ends within a rule: is a `;` missing?"),
        ('@id("a") permit (principal, action, resource)\n^@id("b") permit (', "unexpected token `@`"),
        ('@id("a") permit (principal, action, resource);\n^;', "unexpected token `;`"),
        ("^'", "invalid token"),
        ("^\ufeff" + PERMIT_ALL, "begins with a byte order mark: save it without"),
        (PERMIT_ALL + "\n// x;\n @^" + PERMIT_ALL[1:], "`all` is already a rule of `p.cedar`, line 1"),
        (HEAD + "^" + HEAD.replace("r", "s") + ";", "unexpected token `@`"),
    ],
)
def test_an_error_outside_a_condition_has_its_place(marked: str, message: str) -> None:
    before, _, after = marked.partition("^")
    if "already" in message:
        # The message contains the name.
        before, after = before + "id(", PERMIT_ALL.removeprefix("@id(")
    found, said = told(before + after)[0]
    assert found == (after.splitlines() or [""])[0]
    assert message in said


def test_all_errors_are_told_in_the_order_of_files_and_places() -> None:
    broken = "".join(
        f'@id("r{number}") permit (principal, action == Action::"issue", resource) when {{ {condition} }};\n'
        for number, condition in enumerate(
            ["context.hour == ]", 'context.hour == "x"', "context.nope", "true"]
        )
    )
    found = check([("b.cedar", broken), ("a.cedar", broken)]).problems
    assert [(one.file, one.place.line) for one in found] == [
        ("a.cedar", 1),
        ("a.cedar", 2),
        ("a.cedar", 3),
        ("b.cedar", 1),
        ("b.cedar", 2),
        ("b.cedar", 2),
        ("b.cedar", 3),
        # Readable names are compared over all files: the other file has these too.
        ("b.cedar", 4),
    ]
    two = (
        '@id("r") permit (principal, action, resource) when { context.minute == "x" && context.hour == "x" };'
    )
    assert [one.place.column for one in problems(two)] == [54, 79]


def test_whoever_cannot_be_read_hides_nobody_else() -> None:
    """A second unknown fact is reported too."""
    text = HEAD + 'when { context.nope || context.never || context.hour == "x" };'
    assert [message.partition(" (")[0] for _, message in told(text)] == [
        "reads the unknown fact `context.nope`",
        "attribute `never` in context not found",
        "the types Long and String are not compatible",
    ]


@pytest.mark.parametrize(
    "text", [DEFAULT_TEXT, "", "// nothing\n", "\n\n", DEFAULT_TEXT.replace("\n", "\r\n")]
)
def test_what_is_in_order_has_no_error(text: str) -> None:
    assert told(text) == []


def test_the_default_policy_and_the_examples_of_the_page_are_in_order() -> None:
    assert check(default_files()).problems == []
    for example in displays(section(read("jitid-policy.7"), "EXAMPLES")):
        if example.startswith("@id"):
            assert problems(example) == [], example


@pytest.mark.deep
@given(data=st.data(), wrong=st.sampled_from(["$", "'", "#"]))
def test_a_character_that_cedar_does_not_know_is_found_where_it_stands(
    data: st.DataObject, wrong: str
) -> None:
    token = data.draw(st.sampled_from(tokens_of(DEFAULT_TEXT)))
    text = f"{DEFAULT_TEXT[: token.start]} {wrong} {DEFAULT_TEXT[token.start :]}"
    found, message = told(text)[0]
    assert message == "invalid token"
    assert text.splitlines()[problems(text)[0].place.line - 1].endswith(found)
    assert found.startswith(wrong)


@given(data=st.data())
def test_a_token_that_does_not_belong_there_is_found(data: st.DataObject) -> None:
    """The reported place is never after the token, and never in another rule."""
    ((_, text),) = default_files()
    flat = [one for one in statements_of("p", text) if "[" not in one.text]
    statement = data.draw(st.sampled_from(flat))
    token = data.draw(st.sampled_from(statement.tokens[5:]))
    at = statement.start + token.start
    broken = f"{text[:at]} ] {text[at:]}"
    (one,) = [problem for problem in problems(broken) if not problem.warning]
    line = broken[: at + 1].count("\n") + 1
    assert (one.place.line, one.place.column) == (line, at + 2 - (broken[: at + 1].rfind("\n") + 1))
    assert one.message == "unexpected token `]`"


@pytest.mark.parametrize(
    ("use", "place", "message"),
    [
        ("type Use = { ip: Strin };", (1, 18), "failed to resolve type: Strin"),
        ("// what nginx says\ntype Use = {\n  ip: String ;", (3, 14), "unexpected token `;`"),
        ("", (1, 1), "the declaration `type Use` is missing"),
        ("type Other = { ip: String };", (1, 1), "the declaration `type Use` is missing"),
        ("type Use = String;", (1, 6), "the type `Use` must be a record"),
        ("entity Agent;\ntype Use = {};", (1, 8), "`Agent` is declared twice"),
        ("type Use = " + "{a: " * 200 + "Long" + "}" * 200 + ";", (1, 1), "nested"),
    ],
)
def test_what_declares_the_use_is_checked_too(use: str, place: tuple[int, int], message: str) -> None:
    """A rule that reads the use is then not checked, and all other rules are."""
    text = HEAD + 'when { context.use.ip == "x" };\n' + HEAD.replace('"r"', '"s"') + "when { context.hour };"
    first, second = problems(text, use)
    assert (first.file, first.place, first.rule) == ("use.cedarschema", place, None)
    assert message in first.message
    assert (second.file, second.rule) == ("p.cedar", "s")


def test_a_rule_reads_what_the_use_is_declared_to_have() -> None:
    text = HEAD + 'when { context.use has ip && context.use.ip.isLoopback() && context.use.n == "x" };'
    use = "type Use = { ip?: ipaddr, n: Long };"
    assert [message for _, message in told(text, use)] == ["the types Long and String are not compatible"]
    assert told(text.replace('"x"', "1"), use) == []
    assert [message for _, message in told(HEAD + "when { context.use.ip.isLoopback() };", use)] == [
        "`ip` may be missing: check it first, `context.use has ip && ...`"
    ]


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (HEAD + 'when { principal == Delegator::"user:alice" };', ["it never applies"]),
        (HEAD + 'when { principal in Group::"sre" };', ["it never applies"]),
        (HEAD + "when { context.hour == 3 } unless { true };", ["it never applies"]),
        (HEAD + 'when { context.hour == 3 || principal in Group::"sre" };', []),
        (HEAD + 'when { context.delegator in Group::"sre" };', []),
        ('@id("f") forbid (principal, action, resource);' + PERMIT_ALL, ["whenever it applies, `f` forbids"]),
        ('@id("f") @approval("sre") forbid (principal, action, resource);' + PERMIT_ALL, []),
        ('@id("f") forbid (principal, action == Action::"issue", resource);' + PERMIT_ALL, []),
        (
            '@id("f") forbid (principal, action, resource) when { context.depth > 3 };'
            + HEAD
            + 'when { context.kind == "jwt" && (context.hour == 1 && context.depth > 3) };',
            ["whenever it applies, `f` forbids"],
        ),
        (
            '@id("f") forbid (principal, action, resource) unless { context.depth > 3 };'
            + HEAD
            + "when { context.depth > 3 };",
            [],
        ),
        (
            """@id("f") forbid (principal == Agent::"a", action, resource);
               @id("r") permit (principal == Agent::"a", action == Action::"issue", resource);
               @id("s") permit (principal == Agent::"b", action == Action::"issue", resource);""",
            ["whenever it applies, `f` forbids"],
        ),
        (
            '@id("r") permit (principal, action in [Action::"issue", Action::"authorize"], resource);',
            ["from now on each use needs a rule that permits it"],
        ),
        ('@id("r") permit (principal, action == Action::"authorize", resource);', []),
        ('@id("r") forbid (principal, action in [Action::"issue", Action::"authorize"], resource);', []),
        ('@id("r") permit (principal == Agent::"authorize", action, resource);', []),
        (
            '@id("a") @max_tll("5m") @aproval("x") @note("y") ' + PERMIT_ALL.partition(") ")[2],
            ["`@max_ttl`", "`@appr"],
        ),
        (
            HEAD + f"when {{ {' || '.join(['context.hour == 1'] * 1_500)} }};",
            ["cannot evaluate more than about 1,000"],
        ),
    ],
)
def test_what_is_valid_and_hardly_meant_is_a_warning(text: str, warnings: list[str]) -> None:
    found = problems(text)
    assert all(one.warning for one in found), found
    assert len(found) == len(warnings), found
    for one, part in zip(found, warnings, strict=True):
        assert part in one.message


# Each condition has a mark at the reported place, with a part of the message.
IMPOSSIBLE = [
    (
        'context.delegator == Delegator::^"alice"',
        "invalid delegator `alice`: names begin with `user:`",
    ),
    ('principal has owner && principal.owner == Delegator::^"bob"', "invalid delegator `bob`"),
    ('context.delegator in [Group::"a", Group::"b"]', None),
    ('context.delegator_name == ^"alice"', "invalid delegator `alice`"),
    ('context.delegator_name like ^"alice*"', "invalid delegator `alice*`"),
    ('context.delegator_name like "us*" || context.delegator_name like "*ice"', None),
    ('context.sensitivity == ^"hihg"', "is never `hihg`: it is low, moderate, high or critical"),
    ('["high", ^"critcal"].contains(context.sensitivity)', "is never `critcal`"),
    ('resource.sensitivity != ^"High"', "is never `High`"),
    ('context.kind like "j*"', None),
    ('context.kind like ^"JWT*"', "is never `JWT*`"),
    ('context.kind == "exec:vault" || context.kind like "exec:*"', None),
    ('context.kind != "jwt" && context.kind like "exec:v*"', None),
    ('context.kind == ^"exec"', "is never `exec`"),
    ('context.delegator_proof == ^"none"', "it is asserted, os-user, credential or oidc"),
    ('context.delegator_proof == ^"parent"', "write `context.delegated`"),
    ('context.delegator_proof != ^"parent"', "write `context.delegated`"),
    ('["oidc", ^"parent"].contains(context.delegator_proof)', "write `context.delegated`"),
    ('context.delegator_proof like ^"par*"', "write `context.delegated`"),
    ('^"human" == context.delegator.kind', "it is user, system or agent"),
    ("context.weekday == ^0", "`context.weekday` is never 0: its range is from 1 to 7"),
    ("[1, ^8].contains(context.weekday)", "is never 8"),
    ("context.weekday > ^7 || context.hour > 5", "`context.weekday > 7` never holds"),
    ("context.hour >= 22 && context.hour < 24", None),
    ("context.hour >= 22 || context.hour < 6", None),
    ("context.minute == ^60", "its range is from 0 to 59"),
    ("context.depth < ^0", "its range is 0 or more"),
    ("-1 < context.hour", None),
    (
        "context.^hour >= 17 && context.hour < 9",
        "`context.hour >= 17` and `context.hour < 9` exclude each other",
    ),
    (
        "(if context.^hour < 3 && 4 < context.hour then true else context.has_purpose)",
        "`context.hour < 3` and `context.hour > 4` exclude each other",
    ),
    ("context.^hour == 3 && [1, 2].contains(context.hour)", "exclude each other"),
    ('context.^kind == "jwt" && context.depth == 1 && context.kind == "opaque"', "exclude each other"),
    ('context.^kind != "jwt" && context.kind == "jwt"', "exclude each other"),
    ('context.^agent == "a" && context.agent == "b"', "exclude each other"),
    ("!(context.^hour < 9 && context.hour >= 9)", "exclude each other"),
    (
        "context.^hour >= 9 || context.hour < 17",
        "one of `context.hour >= 9` and `context.hour < 17` always holds",
    ),
    ('context.^scope like "deploy:*"', '`context.scope` is "" for all actions except `grant`'),
    ('context.^action == "x"', '`context.action` is "" for all actions except `authorize`'),
    ('{"==": 1, "__entity": {left: true}} == {"==": 1, "__entity": {left: true}}', None),
    ('principal == Agent::"a" && (principal == Agent::"b" || context.has_purpose)', None),
]


@pytest.mark.parametrize(("marked", "message"), IMPOSSIBLE)
@pytest.mark.parametrize("word", ["when", "unless"])
def test_what_cannot_be_is_told_with_its_place(marked: str, message: str | None, word: str) -> None:
    before, _, after = marked.partition("^")
    other = " when { principal has owner }" if "principal.owner" in marked else ""
    text = f"{HEAD}{other}\n{word} {{ {before}{after}\n}};"
    found = problems(text)
    assert all(one.warning for one in found)
    if message is None:
        assert found == []
    else:
        lines = text.splitlines()
        told_ = [(lines[one.place.line - 1][one.place.column - 1 :], one.message) for one in found]
        assert any(said == after and message in what for said, what in told_), told_


@pytest.mark.parametrize("times", [2, 60, 99, 150, 180])
def test_conditions_that_are_many_are_checked_as_few_are(times: int) -> None:
    """Cedar's JSON parser allows at most 128 levels, and a tree needs two for each joined condition."""
    possible = " || ".join(["context.wildcard"] * times)
    assert not problems(f"{HEAD}when {{ {possible} }};")
    many = " && ".join(["context.wildcard"] * (times - 1))
    (found,) = problems(
        f"{HEAD}when {{ {many} && // last\nprincipal is Task // last\n}} unless {{ {possible} }};"
    )
    assert "its conditions contradict each other" in found.message
    (found,) = problems(f"{HEAD}unless {{ {possible} || principal is Agent }} when {{ true }};")
    assert "its conditions contradict each other" in found.message


def test_the_errors_of_one_place_are_told_in_the_same_order_each_time() -> None:
    """Cedar's validator reports them in any order."""
    text = f'{HEAD}when {{ resource.contains(1 + context.has_purpose) && "x" == 1 + true }};'
    (found,) = {tuple(problems(text)) for _ in range(20)}
    assert len(found) > 2


def test_a_rule_that_names_the_action_reads_what_that_is_asked_of() -> None:
    for action, condition in (
        ("grant", 'context.scope like "deploy:*"'),
        ("authorize", 'context.action == "x"'),
    ):
        assert problems(HEAD.replace("issue", action) + f"when {{ {condition} }};") == []
        assert (
            problems(HEAD.replace('action == Action::"issue"', "action") + f"when {{ {condition} }};") == []
        )


def test_a_whole_policy_that_permits_nothing_is_told() -> None:
    missing = [one.message for one in problems("// nothing\n", whole=True)]
    assert missing == [
        "no rule permits `issue`: nothing can be issued",
        "no rule permits `grant`: no scope can be granted",
    ]
    assert problems(PERMIT_ALL, whole=True) == []


terms = st.sampled_from(
    [
        "context.depth > 3",
        "context.depth == 0",
        "context.has_purpose",
        'context.kind == "jwt"',
        'principal == Agent::"planner"',
        'context.delegator in Group::"sre"',
        'principal in Group::"sre"',
        "false",
        "true",
        "!true",
        "context has nope",
        "context.hour >= 17",
        "context.hour < 9",
        "context.weekday == 0",
        "[3, 6, 9].contains(context.weekday)",
        "context.weekday != 2",
        'context.kind == "opaque"',
        'context.kind like "o*"',
        'context.delegator_name == "user:alice"',
        'context.delegator_kind == "system"',
    ]
)
joined = st.recursive(
    terms,
    lambda inner: st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map("({0[0]} {0[1]} {0[2]})".format),
)
rules = st.lists(
    st.tuples(
        st.sampled_from(["permit", "forbid"]),
        st.sampled_from(["principal", 'principal == Agent::"planner"', "principal is Agent"]),
        st.sampled_from(
            ["action", 'action == Action::"issue"', 'action in [Action::"grant", Action::"issue"]']
        ),
        st.lists(st.tuples(st.sampled_from(["when", "unless"]), joined), max_size=2),
    ),
    min_size=1,
    max_size=5,
)


@given(rules=rules, asked=st.lists(requests, min_size=1, max_size=8))
def test_a_rule_that_is_called_without_effect_never_decides(
    rules: list[Any], asked: list[PolicyRequest]
) -> None:
    text = "".join(
        f'@id("r{number}") {effect} ({principal}, {action}, resource)'
        + "".join(f" {word} {{ {condition} }}" for word, condition in conditions)
        + ";\n"
        for number, (effect, principal, action, conditions) in enumerate(rules)
    )
    dead = {one.rule for one in problems(text) if "it never" in one.message}
    policy = Policy([("p.cedar", text)])
    for each in asked:
        for standing in (DirectoryFacts(), DirectoryFacts(known=True, groups=("sre",))):
            decision = policy.decide(each._replace(standing=standing), narrow=True, explain=False)
            deciding = {*decision.rules, *(name for one in decision.refused for name in one.rules)}
            assert not dead & deciding


def test_ten_thousand_rules_with_an_error_each_are_checked() -> None:
    text = "".join(map(team, range(1_000))) + HEAD + 'when { context.hour == "x" };'
    (one,) = problems(text)
    assert one.place.line == 3_002
    wrong = text.replace('Group::"', 'Grupp::"')
    assert len(problems(wrong)) == 1_001


def test_a_hostile_text_is_harmless_to_read() -> None:
    for text in (
        '@id("\x1b[31m") permit (principal, action, resource);',
        "\u202e",
        "\x00",
        '@id("a\u202eb")',
    ):
        for one in problems(text):
            assert one.message.isprintable()
            assert (one.rule or "").isprintable()


def test_what_a_fact_can_be_is_what_requests_have() -> None:
    for word, one in zip(WORDS["context.kind"], MADE, strict=True):
        assert word == ("exec:NAME" if one is Kind.EXEC else one)
        assert base_kind(word) is one
    assert set(USUAL_KINDS) < set(WORDS["context.kind"])
    for kind in WORDS["context.delegator_kind"]:
        assert check_delegator(f"{kind}:x") == f"{kind}:x"
    with pytest.raises(UsageError):
        check_delegator("team:x")
    for fact, (first, last) in RANGES.items():
        read = FACTS[fact.removeprefix("context.")]
        seen = sorted({str(read(request(now=now))).zfill(2) for now in range(0, 8 * 86_400, 60)})
        if last is not None:
            assert (int(seen[0]), int(seen[-1])) == (first, last), fact
