"""Test cases of a policy in TOML: requests and the expected answers.

And their test runs: the outcome of each case, and its differences from the expected answer.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from jitid.errors import JitidError, UsageError
from jitid.model.credential import FORMER_PROOF, judged_kinds
from jitid.policy.decision import PolicyOutcome, outcome
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import PROOFS, SENSITIVITIES, DirectoryFacts, PolicyRequest
from jitid.policy.policy_text import PolicyRule
from jitid.values import strict_json
from jitid.values.names import check_audience, check_delegator, check_name
from jitid.values.record import Record
from jitid.values.scope import normalise, parse_scope
from jitid.values.text import MARK, foreign, quote
from jitid.values.times import format_duration, parse_duration, parse_time

if TYPE_CHECKING:
    from datetime import tzinfo


MONDAY_NOON = 1_767_614_400
"""2026-01-05T12:00:00Z: the default time of a case."""
DECISIONS = ("permit", "deny", "approval")

_MEMBERS = ("name", "request", "expect")
_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*case[ \t]*\]\]", re.MULTILINE)
_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


class Expectation(Record):
    """The expected answer. A field that is not set matches every answer."""

    decision: str
    rules: frozenset[str] | None = None
    granted: frozenset[str] | None = None
    lifetime: int | None = None
    """Seconds."""
    needs: frozenset[str] | None = None


class Case(Record):
    """One request with the expected answer."""

    file: str
    line: int
    """The line on which the case begins; 1 if that is unknown."""
    name: str
    request: PolicyRequest
    approved: frozenset[str]
    narrow: bool
    resource: str | None
    """The resource that is used; None for an issue."""
    expect: Expectation


class Mistake(Record):
    """An error in a file of cases."""

    file: str
    line: int
    case: str | None
    message: str


Zone = Callable[[str], "tzinfo | None"]
"""A function that returns the zone of an IANA name, or raises a JitidError."""
Wrong = Callable[[str, str], None]
"""A function that records an error: the name of the member, and the message."""
Value = TypeVar("Value")


def read_cases(file: str, text: str, zone: Zone) -> tuple[list[Case], list[Mistake]]:
    """Return the cases of a file and all its errors."""
    try:
        document = tomllib.loads(text.removeprefix(MARK))
    except tomllib.TOMLDecodeError as error:
        match = _TOML_PLACE.search(str(error))
        message = foreign(_TOML_PLACE.sub("", str(error)), 200).lower()
        return [], [Mistake(file, int(match[1]) if match else 1, None, f"invalid TOML: {message}")]
    except RecursionError:
        return [], [Mistake(file, 1, None, "invalid TOML: it is nested too deeply")]
    return _CaseReader(file, text, zone).read(document)


def _lines(text: str) -> Iterator[int]:
    """Yield the lines on which cases begin."""
    line, offset = 1, 0
    for match in _HEADER.finditer(text):
        line += text.count("\n", offset, match.start())
        offset = match.start()
        yield line


class _WrongError(Exception):
    """An invalid value, with the reason."""


class _CaseReader:
    def __init__(self, file: str, text: str, zone: Zone) -> None:
        self._file = file
        self._lines = list(_lines(text))
        self._placed = True
        # TOML ends a line only at a line feed; other line separators may be part of a text.
        self._text = text.split("\n")
        self._zone = zone
        self._mistakes: list[Mistake] = []
        self._common: Mapping[str, Any] = {}
        self._common_mistakes: set[Mistake] = set()

    def read(self, document: Mapping[str, Any]) -> tuple[list[Case], list[Mistake]]:
        for name in document:
            if name not in ("case", "request"):
                self._mistake(1, None, f"unknown member {quote(name)}: expected `case` or `request`")
        common, tables = document.get("request", {}), document.get("case", [])
        if not isinstance(common, dict):
            self._mistake(1, None, "`request` must be a table")
            common = {}
        self._common = common
        if not isinstance(tables, list) or not tables:
            self._mistake(1, None, "the file has no `[[case]]`")
            tables = []
        if len(self._lines) != len(tables):
            # The cases are written in another form, so their lines are unknown.
            self._lines, self._placed = [1] * len(tables), False
        cases: dict[str, Case] = {}
        for number, (table, line) in enumerate(zip(tables, self._lines, strict=True), start=1):
            case = self._case(table, line, number)
            if case is None:
                continue
            if case.name in cases:
                self._mistake(line, case.name, "another case has the same name")
            cases[case.name] = case
        return list(cases.values()), sorted(self._mistakes, key=lambda mistake: mistake.line)

    def _mistake(self, line: int, case: str | None, message: str) -> None:
        self._mistakes.append(Mistake(self._file, line, case, message))

    def _case(self, table: object, line: int, number: int) -> Case | None:
        if not isinstance(table, dict):
            self._mistake(line, None, f"case {number} must be a table")
            return None
        value = table.get("name")
        name = value if isinstance(value, str) and value.strip() else None
        mistake_count = len(self._mistakes)
        for member in table:
            if member not in _MEMBERS:
                known_names = ", ".join(f"`{member_name}`" for member_name in _MEMBERS)
                self._member_mistake(
                    line, name, member, f"unknown member {quote(member)}: a case has {known_names}"
                )
        if name is None:
            self._mistake(line, None, f"case {number} has no name")
        own = table.get("request", {})
        merged = {**self._common, **own} if isinstance(own, dict) else own
        request = self._members({"request": merged}, "request", line, name, REQUEST)
        expect = self._members(table, "expect", line, name, EXPECT)

        def wrong(member: str, message: str) -> None:
            self._member_mistake(line, name, member, message)

        policy_request = _Request(request, wrong, self._zone).read()
        expected = _expectation(expect, wrong) if "decision" in expect else None
        if "decision" not in _table(table, "expect"):
            wrong("expect", "`expect` has no `decision`")
        if "action" in request or "resource" in request or "use" in request:
            if "action" not in request or "resource" not in request:
                wrong(
                    next(key for key in ("action", "resource", "use") if key in request),
                    "a use requires both `action` and `resource`",
                )
            for member in ("needs", "lifetime", "granted"):
                if member in expect:
                    wrong(member, "for a use, `expect` can only have `decision` and `rules`")
        if len(self._mistakes) > mistake_count or name is None or expected is None:
            return None
        return Case(
            self._file,
            line,
            name,
            policy_request,
            frozenset(request.get("approved", ())),
            request.get("allow_narrower", False),
            request.get("resource"),
            expected,
        )

    def _members(
        self,
        table: Mapping[str, Any],
        table_name: str,
        line: int,
        case: str | None,
        types: Mapping[str, type],
    ) -> dict[str, Any]:
        """Return the members of a case's table that have the required type, and record the others as errors."""
        if not isinstance(table.get(table_name, {}), dict):
            self._member_mistake(line, case, table_name, f"`{table_name}` must be a table")
        valid = {}
        for name, value in _table(table, table_name).items():
            if name not in types:
                known_names = ", ".join(types)
                self._member_mistake(
                    line,
                    case,
                    name,
                    f"unknown member {quote(name)} of `{table_name}`: it can have {known_names}",
                )
            elif not _has_type(value, types[name]):
                message = f"`{table_name}.{name}` must be {_WORDS[types[name]]}"
                # TOML's only other values are dates and times.
                if types[name] is str and not isinstance(value, int | float | list | dict):
                    message += "; a time must be in quotes"
                self._member_mistake(line, case, name, message)
            else:
                valid[name] = value
        return valid

    def _member_mistake(self, line: int, case: str | None, member: str, message: str) -> None:
        """Record an error at the line of a member, in the case or in the table that all cases share."""
        next_index = bisect_right(self._lines, line)
        next_line = self._lines[next_index] if next_index < len(self._lines) else len(self._text) + 1
        if not self._placed:
            next_line = line
        member_line = self._line_of(member, line, next_line)
        if member_line is None and member in self._common:
            common = Mistake(self._file, self._line_of(member, 1, self._lines[0]) or 1, None, message)
            # Recorded once for all cases that inherit the member.
            if common not in self._common_mistakes:
                self._common_mistakes.add(common)
                self._mistakes.append(common)
            return
        self._mistake(member_line or line, case, message)

    def _line_of(self, member: str, start: int, end: int) -> int | None:
        """Return the line that has a member, from `start` on and before `end`; None without one."""
        pattern = re.compile(rf"""(?:^|[\s,{{.\["'])["']?{re.escape(member)}["']?\s*[=.\]]""")
        for line_number, line_text in enumerate(self._text[start - 1 : end - 1], start=start):
            if member in line_text and not line_text.lstrip().startswith("#") and pattern.search(line_text):
                return line_number
        return None


def _table(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = table.get(name, {})
    return value if isinstance(value, dict) else {}


REQUEST: Mapping[str, type] = {
    "agent": str,
    "delegator": str,
    "proof": str,
    "known": bool,
    "groups": list,
    "manager": str,
    "registered": bool,
    "owner": str,
    "task": str,
    "task_owner": str,
    "purpose": str,
    "sensitivity": str,
    "kind": str,
    "template": str,
    "may_kind": list,
    "depth": int,
    "scopes": list,
    "audiences": list,
    "ttl": str,
    "at": str,
    "zone": str,
    "approved": list,
    "allow_narrower": bool,
    "action": str,
    "resource": str,
    "use": dict,
}
"""The members of `request`, with their types."""
EXPECT: Mapping[str, type] = {"decision": str, "rules": list, "granted": list, "lifetime": str, "needs": list}
"""The members of `expect`, with their types."""
_WORDS = {str: "text", bool: "true or false", int: "a whole number", list: "a list of texts", dict: "a table"}


def _has_type(value: object, type_: type) -> bool:
    if type_ is list:
        return isinstance(value, list) and all(isinstance(element, str) for element in value)
    # TOML has its own type for times, but the rest of jitid takes times as RFC 3339 text.
    return type(value) is type_


def _one_of(value: str, allowed: tuple[str, ...], noun: str) -> str:
    if value not in allowed:
        raise _WrongError(f"unknown {noun} {quote(value)}: expected one of {', '.join(allowed)}")
    return value


class _TableReading:
    """A reader of the members of a table that reports each invalid one."""

    def __init__(self, table: Mapping[str, Any], wrong: Wrong) -> None:
        self._table = table
        self._wrong = wrong

    def member(self, name: str, make: Callable[[Any], Value], default: Value) -> Value:
        """Return the result of `make` for a member; the default if the member is missing or invalid."""
        if name not in self._table:
            return default
        try:
            return make(self._table[name])
        except (_WrongError, JitidError) as error:
            self._wrong(name, error.message if isinstance(error, JitidError) else str(error))
            return default


def _expectation(table: Mapping[str, Any], wrong: Wrong) -> Expectation:
    reading = _TableReading(table, wrong)
    decision = reading.member("decision", lambda text: _one_of(text, DECISIONS, "decision"), "")
    if "needs" in table and decision not in ("approval", ""):
        wrong("needs", "`needs` requires the decision `approval`")
    for name in ("lifetime", "granted"):
        if name in table and decision not in ("permit", ""):
            wrong(name, f"`{name}` requires the decision `permit`")
    sets = {name: frozenset(table[name]) if name in table else None for name in ("rules", "granted", "needs")}
    lifetime = reading.member("lifetime", parse_duration, None)
    return Expectation(decision, sets["rules"], sets["granted"], lifetime, sets["needs"])


class _Request(_TableReading):
    """A reader of the request of a case."""

    def __init__(self, table: Mapping[str, Any], wrong: Wrong, zone: Zone) -> None:
        super().__init__(table, wrong)
        self._zone = zone

    def read(self) -> PolicyRequest:
        """Return the request, with a default for each invalid member."""
        table, member = self._table, self.member
        depth = member("depth", _depth, 0)
        delegator = member("delegator", check_delegator, "user:alice")
        return PolicyRequest(
            agent=member("agent", lambda text: check_name(text, "agent"), "agent"),
            delegator=delegator,
            delegator_proof=member("proof", _proof, "asserted"),
            task=member("task", lambda text: check_name(text, "task"), "TASK-1"),
            task_owner=member("task_owner", check_delegator, delegator),
            purpose=table.get("purpose"),
            sensitivity=member(
                "sensitivity", lambda text: _one_of(text, SENSITIVITIES, "sensitivity"), "moderate"
            ),
            kind=member("kind", lambda text: check_name(text, "kind"), "jwt"),
            template=table.get("template", ""),
            may_kind=member("may_kind", judged_kinds, ()),
            depth=depth,
            scopes=member("scopes", lambda texts: normalise(tuple(map(parse_scope, texts))), ()),
            audiences=member(
                "audiences", lambda texts: tuple(dict.fromkeys(map(check_audience, texts))), ("urn:jitid",)
            ),
            lifetime=member("ttl", parse_duration, 900),
            now=member("at", parse_time, MONDAY_NOON),
            standing=self._directory_facts(),
            zone=member("zone", self._zone, None),
            action=table.get("action", ""),
            used=member("use", _used, "{}"),
        )

    def _directory_facts(self) -> DirectoryFacts:
        table, member = self._table, self.member
        known = table.get("known", "groups" in table or "manager" in table)
        registered = table.get("registered", "owner" in table)
        if not known and (table.get("groups") or table.get("manager")):
            self._wrong("known", "a delegator that is not `known` has no groups and no manager")
        if not registered and table.get("owner"):
            self._wrong("registered", "an agent that is not `registered` has no owner")
        return DirectoryFacts(
            known,
            tuple(sorted(set(table.get("groups", ())))),
            member("manager", check_delegator, None),
            registered,
            member("owner", check_delegator, None),
        )


def _proof(text: str) -> str:
    if text == FORMER_PROOF:
        raise _WrongError(
            f"{quote(text)} is no longer a proof: use the root delegator's, and a `depth` above 0"
        )
    return _one_of(text, PROOFS, "proof")


def _depth(number: int) -> int:
    if not 0 <= number <= 1_000:
        raise _WrongError("`request.depth` must be from 0 to 1000")
    return number


def _used(value: Mapping[str, Any]) -> str:
    try:
        return strict_json.dumps(value)
    except (TypeError, ValueError):
        raise UsageError("`request.use` has a value that JSON does not have, such as a date") from None


class CaseDifference(Record):
    """A difference between an answer and the expected one, in words."""

    what: str
    expected: str
    got: str


class Result(Record):
    """The result of one case."""

    case: Case
    answer: PolicyOutcome
    differences: tuple[CaseDifference, ...]
    reached: frozenset[str]
    """The rules that decided something in it."""

    @property
    def passed(self) -> bool:
        """Whether everything is as expected."""
        return not self.differences


def attempt(policy: Policy, case: Case) -> Result:
    """Run a case against the policy."""
    answer, reached = _issue(policy, case)
    if case.resource is not None and answer.decision == "permit":
        answer = policy.outcome_of_use(case.request, case.resource, case.approved)
        reached |= set(answer.rules)
    return Result(case, answer, tuple(_differences(case, answer)), frozenset(reached))


def unreached(policy: Policy, results: Iterable[Result]) -> list[PolicyRule]:
    """Return the rules that decided nothing in any of the cases, in the order of the files."""
    reached = set().union(*(result.reached for result in results))
    return [rule for rule in policy.rules if rule.name not in reached]


def _issue(policy: Policy, case: Case) -> tuple[PolicyOutcome, set[str]]:
    request = case.request
    decision = policy.decide(request, narrow=case.narrow, explain=False, approved=case.approved)
    reached = policy.deciding(request, case.approved)
    if decision.needs:
        # With the approval these rules would decide, so the case tests them too.
        reached |= policy.deciding(request, case.approved.union(decision.needs))
    return outcome(decision, request.lifetime), reached


def _differences(case: Case, answer: PolicyOutcome) -> Iterable[CaseDifference]:
    expect = case.expect
    if expect.decision != answer.decision:
        yield CaseDifference("decision", expect.decision, answer.decision)
    for field, expected, got in (
        ("rules", expect.rules, answer.rules),
        ("granted", expect.granted, answer.granted),
        ("needs", expect.needs, answer.needs),
    ):
        if expected is not None and expected != set(got):
            yield CaseDifference(field, _words(expected), _words(got))
    if expect.lifetime is not None and expect.lifetime != answer.lifetime:
        got_lifetime = "none" if answer.lifetime is None else format_duration(answer.lifetime)
        yield CaseDifference("lifetime", format_duration(expect.lifetime), got_lifetime)


def _words(names: Iterable[str]) -> str:
    return " ".join(sorted(names)) or "none"
