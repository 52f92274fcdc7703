"""The order of a sweep's findings: by severity, the most severe first; within a severity, in the order of the rules.

The rules run in this order, so that their findings arrive sorted and no format has to keep them. Only a finding below
the highest severity of its rule is held back until the rules with that severity run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache

from jitid.capabilities.sweep.finding import SEVERITIES, Severity
from jitid.capabilities.sweep.findings_view import FindingRow, SweptRow, SweptRows
from jitid.capabilities.sweep.rules import NAMES, rule_of

MAX_HELD = 10_000
"""Maximum number of findings that are held back. With more, those of the last rule keep the place of their rule."""

_ROWS = 512
"""Number of positions that are kept: more than there are rules and severities."""
_Position = tuple[int, int]
"""The position of a finding, to sort by it: its severity, then its rule."""


def run_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the rules in the order in which they run: by the highest severity of their findings."""
    return tuple(sorted(names, key=_highest))


def by_severity(rows: SweptRows, limit: int = MAX_HELD) -> Iterator[SweptRow]:
    """Yield the rows of rules that ran in the order of `run_order`, with their findings sorted by severity.

    Findings that the sweep has ended keep their places at the beginning. At most `limit` findings are held back.
    """
    held: list[FindingRow] = []
    current: str | None = None
    overflowed = False
    for row in rows:
        rule = row["rule"] if "state" in row else row["coverage"]["rule"] if "coverage" in row else None
        if rule != current:
            current, overflowed = rule, False
            yield from _due(held, None if rule is None else _highest(rule))
        if (
            "state" not in row
            or row["state"] == "ended"
            or overflowed
            or _position_of(row) <= _highest(row["rule"])
        ):
            yield row
            continue
        held.append(row)
        if len(held) > limit:
            overflowed = True
            yield from [each for each in held if each["rule"] == current]
            held = [each for each in held if each["rule"] != current]
    yield from _due(held, None)


def _due(held: list[FindingRow], limit: _Position | None) -> Iterator[FindingRow]:
    """Remove and yield the findings before the position `limit`; all without one."""
    held.sort(key=_position_of)
    count = len(held) if limit is None else bisect_left(held, limit, key=_position_of)
    due = held[:count]
    del held[:count]
    yield from due


def _position_of(row: FindingRow) -> _Position:
    return _position(row["severity"], row["rule"])


@lru_cache(_ROWS)
def _highest(rule: str) -> _Position:
    """Return the first position that a finding of a rule may have."""
    # An authority of another version may have further rules.
    return _position(rule_of(rule).highest if rule in NAMES else Severity.INFO, rule)


@lru_cache(_ROWS)
def _position(severity: str, rule: str) -> _Position:
    return len(SEVERITIES) - Severity(severity).rank, NAMES.index(rule) if rule in NAMES else len(NAMES)
