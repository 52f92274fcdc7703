"""Cases of a policy as TOML: what is asked, and what the answer is to be."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid import strictjson
from jitid.errors import JitidError, UsageError
from jitid.lifetime import parse_duration, parse_time
from jitid.name import check_audience, check_delegator, check_name
from jitid.policy.decision import PROOFS, SENSITIVITIES, PolicyRequest, Standing
from jitid.scope import normalise, parse_scope
from jitid.text import quote, safe

if TYPE_CHECKING:
    from datetime import tzinfo

MONDAY_NOON = 1_767_614_400
"""2026-01-05T12:00:00Z: the time of a case that states none."""
DECISIONS = ("permit", "deny", "approval")

_MEMBERS = ("name", "request", "expect")
_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*case[ \t]*\]\]", re.MULTILINE)
_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


class Expectation(NamedTuple):
    """What the answer is to be; None is whatever it may be."""

    decision: str
    rules: frozenset[str] | None = None
    granted: frozenset[str] | None = None
    lifetime: int | None = None
    """Seconds."""
    needs: frozenset[str] | None = None


class Case(NamedTuple):
    """One question with the answer that is expected."""

    file: str
    line: int
    """Where it begins; the first one where that cannot be told."""
    name: str
    request: PolicyRequest
    approved: frozenset[str]
    narrow: bool
    resource: str | None
    """What is used; None for an issue."""
    expect: Expectation


class Mistake(NamedTuple):
    """What is wrong with a file of cases."""

    file: str
    line: int
    case: str | None
    message: str


Zone = Callable[[str], "tzinfo | None"]
"""Returns the zone of an IANA name, or raises a JitidError."""


def read_cases(file: str, text: str, zone: Zone) -> tuple[list[Case], list[Mistake]]:
    """Return the cases of a file and all that is wrong with it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_PLACE.search(str(error))
        what = safe(_TOML_PLACE.sub("", str(error))[:200]).lower()
        return [], [Mistake(file, int(found[1]) if found else 1, None, f"no TOML: {what}")]
    except RecursionError:
        return [], [Mistake(file, 1, None, "no TOML: it is nested too deeply")]
    return _Reader(file, list(_lines(text)), zone).read(document)


def _lines(text: str) -> Iterator[int]:
    """Yield the lines on which cases begin."""
    line, at = 1, 0
    for match in _HEADER.finditer(text):
        line += text.count("\n", at, match.start())
        at = match.start()
        yield line


class _WrongError(Exception):
    """A value that cannot be meant, and why."""


class _Reader:
    def __init__(self, file: str, lines: list[int], zone: Zone) -> None:
        self._file = file
        self._lines = lines
        self._zone = zone
        self._mistakes: list[Mistake] = []

    def read(self, document: Mapping[str, Any]) -> tuple[list[Case], list[Mistake]]:
        for name in document:
            if name not in ("case", "request"):
                self._mistake(1, None, f"unknown member {quote(name)}: there are `case` and `request`")
        common, given = document.get("request", {}), document.get("case", [])
        if not isinstance(common, dict):
            self._mistake(1, None, "`request` is no table")
            common = {}
        if not isinstance(given, list) or not given:
            self._mistake(1, None, "it holds no `[[case]]`")
            given = []
        if len(self._lines) != len(given):
            # Written in another form: which line is whose cannot be told.
            self._lines = [1] * len(given)
        cases: dict[str, Case] = {}
        for number, (table, line) in enumerate(zip(given, self._lines, strict=True), start=1):
            case = self._case(table, line, number, common)
            if case is None:
                continue
            if case.name in cases:
                self._mistake(line, case.name, "another case has that name")
            cases[case.name] = case
        return list(cases.values()), self._mistakes

    def _mistake(self, line: int, case: str | None, message: str) -> None:
        self._mistakes.append(Mistake(self._file, line, case, message))

    def _case(self, table: object, line: int, number: int, common: Mapping[str, Any]) -> Case | None:
        if not isinstance(table, dict):
            self._mistake(line, None, f"case {number} is no table")
            return None
        name = table.get("name")
        if not isinstance(name, str) or not name.strip():
            self._mistake(line, None, f"case {number} has no name")
            return None
        before = len(self._mistakes)
        for member in table:
            if member not in _MEMBERS:
                known = ", ".join(f"`{each}`" for each in _MEMBERS)
                self._mistake(line, name, f"unknown member {quote(member)}: a case has {known}")
        request = self._table(table, "request", line, name, REQUEST, common)
        expect = self._table(table, "expect", line, name, EXPECT, {})
        if len(self._mistakes) > before:
            return None
        try:
            expected = _expectation(expect)
            asked = _request(request, self._zone)
            if "action" in request or "resource" in request or "use" in request:
                if "action" not in request or "resource" not in request:
                    raise _WrongError("a use has both `action` and `resource`")
                if (
                    expected.needs is not None
                    or expected.lifetime is not None
                    or expected.granted is not None
                ):
                    raise _WrongError("of a use, only `decision` and `rules` can be expected")
        except (_WrongError, JitidError) as error:
            self._mistake(line, name, error.message if isinstance(error, JitidError) else str(error))
            return None
        return Case(
            self._file,
            line,
            name,
            asked,
            frozenset(request.get("approved", ())),
            request.get("allow_narrower", False),
            request.get("resource"),
            expected,
        )

    def _table(
        self,
        table: Mapping[str, Any],
        which: str,
        line: int,
        case: str,
        types: Mapping[str, type],
        common: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return a table of a case, each member of the type that it must have."""
        found = table.get(which, {})
        if not isinstance(found, dict):
            self._mistake(line, case, f"`{which}` is no table")
            return {}
        whole = {**common, **found}
        for name, value in whole.items():
            if name not in types:
                self._mistake(
                    line, case, f"unknown member {quote(name)} of `{which}`: there are {', '.join(types)}"
                )
            elif not _is(value, types[name]):
                self._mistake(line, case, f"`{which}.{name}` is no {_WORDS[types[name]]}")
        return whole


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
    "purpose": str,
    "sensitivity": str,
    "kind": str,
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
_WORDS = {str: "text", bool: "true or false", int: "whole number", list: "list of texts", dict: "table"}


def _is(value: object, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    # TOML has times of its own; RFC 3339 as text is what everything else of jitid takes.
    return type(value) is kind


def _one_of(value: str, allowed: tuple[str, ...], what: str) -> str:
    if value not in allowed:
        raise _WrongError(f"{quote(value)} is no {what}: there are {', '.join(allowed)}")
    return value


def _expectation(table: Mapping[str, Any]) -> Expectation:
    if "decision" not in table:
        raise _WrongError("`expect` has no `decision`")
    decision = _one_of(table["decision"], DECISIONS, "decision")
    if "needs" in table and decision != "approval":
        raise _WrongError("`needs` goes with the decision `approval`")
    if ("lifetime" in table or "granted" in table) and decision != "permit":
        raise _WrongError("`lifetime` and `granted` go with the decision `permit`")
    sets = {name: frozenset(table[name]) if name in table else None for name in ("rules", "granted", "needs")}
    lifetime = parse_duration(table["lifetime"]) if "lifetime" in table else None
    return Expectation(decision, sets["rules"], sets["granted"], lifetime, sets["needs"])


def _request(table: Mapping[str, Any], zone: Zone) -> PolicyRequest:
    standing = Standing(
        table.get("known", "groups" in table or "manager" in table),
        tuple(sorted(set(table.get("groups", ())))),
        check_delegator(table["manager"]) if "manager" in table else None,
        table.get("registered", "owner" in table),
        check_delegator(table["owner"]) if "owner" in table else None,
    )
    if not standing.known and (standing.groups or standing.manager):
        raise _WrongError("whoever is not `known` has no groups and no manager")
    if not standing.registered and standing.owner:
        raise _WrongError("an agent that is not `registered` has no owner")
    depth = table.get("depth", 0)
    if not 0 <= depth <= 1_000:
        raise _WrongError("`request.depth` is not from 0 to 1000")
    proof = table.get("proof", "parent" if depth else "asserted")
    return PolicyRequest(
        agent=check_name(table.get("agent", "agent"), "agent"),
        delegator=check_delegator(table.get("delegator", "user:alice")),
        delegator_proof=_one_of(proof, PROOFS, "proof"),
        task=check_name(table.get("task", "TASK-1"), "task"),
        purpose=table.get("purpose"),
        sensitivity=_one_of(table.get("sensitivity", "moderate"), SENSITIVITIES, "sensitivity"),
        kind=check_name(table.get("kind", "jwt"), "kind"),
        depth=depth,
        scopes=normalise(tuple(parse_scope(text) for text in table.get("scopes", ()))),
        audiences=tuple(
            dict.fromkeys(check_audience(each) for each in table.get("audiences", ["urn:jitid"]))
        ),
        lifetime=parse_duration(table.get("ttl", "15m")),
        now=parse_time(table["at"]) if "at" in table else MONDAY_NOON,
        standing=standing,
        zone=zone(table["zone"]) if "zone" in table else None,
        action=table.get("action", ""),
        used=_used(table.get("use", {})),
    )


def _used(value: Mapping[str, Any]) -> str:
    try:
        return strictjson.dumps(value)
    except (TypeError, ValueError):
        raise UsageError("`request.use` holds what JSON cannot say, such as a date") from None
