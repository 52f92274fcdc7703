"""A sweep's result as one self-contained HTML page (`findings.html`), for any screen and for paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitid.capabilities.sweep import findings_view as view
from jitid.capabilities.sweep.findings_view import Closing, FindingGroup, FindingRow
from jitid.formats.cell import plain
from jitid.formats.page import page
from jitid.values.times import format_duration

MOST = 200
"""The maximum number of findings of a rule that are shown."""


def text(
    rows: view.SweptRows,
    rules: Sequence[view.RuleInfo],
    command: view.Command = view.unchanged,
    wording: view.Wording = view.SWEEP,
) -> Iterator[str]:
    """Yield the page; `command` adds the flags that commands need."""

    def found() -> tuple[list[FindingGroup | Closing], FindingGroup | Closing]:
        *groups, closing = view.grouped(rows, MOST, wording)
        return groups, closing

    return page(
        "capabilities/sweep/findings",
        found=found,
        rules={rule.name: rule for rule in rules},
        command=command,
        wording=wording,
        facts=_facts,
        covered=view.covered,
    )


def _facts(row: FindingRow) -> Iterator[tuple[str, object]]:
    """Yield the facts of a finding with readable names, without empty facts."""
    facts: dict[str, object] = {
        "credentials ended" if row["state"] == "ended" else "credentials": row["credentials"] or None,
        "since": row["since"],
        "ended at": row["ended_at"],
        "audit event": row["event"],
        "proof": row["proof"],
        "accepted offline until": view.accepted_until(row),
        **row["evidence"],
    }
    for name, value in facts.items():
        if isinstance(value, int) and name.endswith("_seconds"):
            yield name.removesuffix("_seconds").replace("_", " "), format_duration(value)
        elif plain(value):
            yield name.replace("_", " "), value
