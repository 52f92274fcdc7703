"""A sweep's result as one self-contained HTML page (`findings.html`), for any screen and for paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from jitid.capabilities.sweep import findings_view as view
from jitid.capabilities.sweep.finding import SEVERITIES, Severity
from jitid.capabilities.sweep.findings_view import Closing, FindingGroup, FindingRow
from jitid.formats.cell import plain
from jitid.formats.page import PageOrigin, page
from jitid.values.field_types import LAST
from jitid.values.times import format_duration, format_time

MOST = 200
"""The maximum number of findings of a rule that are shown."""
_FEW = 3
"""The maximum number of groups without a table of contents."""
_NEVER = format_time(LAST)
"""The recorded expiry of a credential that never expires."""


def text(
    rows: view.SweptRows,
    rules: Sequence[view.RuleInfo],
    command: view.Command = view.unchanged,
    wording: view.Wording = view.SWEEP,
    origin: PageOrigin | None = None,
) -> Iterator[str]:
    """Yield the page; `command` adds the flags that commands need.

    `origin` is the place where the page is made, if the page should have it. The most severe groups come first, then
    the largest; groups that the sweep has ended follow, and last groups that only the baseline contains. The shown
    findings of a group are in order of severity, too.
    """

    def found() -> tuple[list[FindingGroup], Closing]:
        # Each group keeps only the findings that are shown: the page needs no more memory for a million findings.
        groups: list[FindingGroup] = []
        closing = Closing([], None)
        for part in view.grouped(rows, MOST, wording):
            if isinstance(part, FindingGroup):
                part.shown.sort(key=lambda row: -Severity(row["severity"]).rank)
                groups.append(part)
            else:
                closing = part
        return sorted(groups, key=_place), closing

    return page(
        "capabilities/sweep/findings",
        found=found,
        origin=origin,
        rules={rule.name: rule for rule in rules},
        with_flags=command,
        wording=wording,
        few=_FEW,
        level=_level,
        number=_number,
        severities=_severities,
        facts=_facts,
        covered=view.covered,
    )


def _place(group: FindingGroup) -> tuple[int, int, int]:
    """Return the place of a group on the page, to sort by it."""
    state = 1 if group.ended else 0 if group.count else 2
    return state, -group.worst.rank, -_number(group)


def _level(group: FindingGroup) -> str:
    """Return the word that marks a group, which is also the class that colours it."""
    return "ended" if group.ended else group.worst.value if group.count else "known"


def _number(group: FindingGroup) -> int:
    """Return the number of findings of a group; of a group in the baseline only, the number of these."""
    return group.count or group.known


def _severities(groups: Iterable[FindingGroup]) -> str:
    """Return in words the number of open findings of each severity, the most severe first."""
    counts: Counter[str] = Counter()
    for group in groups:
        if not group.ended:
            counts += group.severities
    by_rank = sorted(SEVERITIES, key=lambda severity: -severity.rank)
    return ", ".join([f"{counts[each.value]:,} {each.value}" for each in by_rank if counts[each.value]])


def _facts(row: FindingRow) -> Iterator[tuple[str, object]]:
    """Yield the facts of a finding with readable names, without empty facts."""
    evidence = dict(row["evidence"])
    if evidence.get("expires_at") == _NEVER:
        # The seconds until the year 10000 are not a lifetime.
        evidence.pop("lifetime_seconds", None)
        evidence["expires_at"] = "never"
    facts: dict[str, object] = {
        "credentials ended" if row["state"] == "ended" else "credentials": row["credentials"] or None,
        "since": row["since"],
        "ended at": row["ended_at"],
        "audit event": row["event"],
        "proof": row["proof"],
        "accepted offline until": view.accepted_until(row),
        **evidence,
    }
    for name, value in facts.items():
        if isinstance(value, int) and name.endswith("_seconds"):
            yield name.removesuffix("_seconds").replace("_", " "), format_duration(value)
        elif plain(value):
            yield name.replace("_", " "), value
