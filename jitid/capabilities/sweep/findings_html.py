"""A sweep's result as one page that needs nothing else: no script, no request, for any screen and for paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitid.capabilities.sweep.findings_view import (
    SWEEP,
    Command,
    FindingRow,
    RuleInfo,
    Summary,
    SweptRows,
    Wording,
    accepted_until,
    as_it_is,
    covered,
)
from jitid.capabilities.sweep.grouped_findings import Closing, Group, grouped
from jitid.formats.cell import plain
from jitid.formats.figures import counted
from jitid.formats.page import CLOSING, opening, prose
from jitid.formats.page import text as _shown
from jitid.formats.page_style import BASE
from jitid.values.times import format_duration

MOST = 200
"""How many findings of a rule are shown."""

STYLE = (
    BASE
    + """\
main { padding-top: 40px; padding-bottom: 56px; }
h2 + p, h2 + ul, h2 + table { margin-top: 0; }
.findings { margin: 12px 0; }
.findings p { font-size: 15px; }
/* Names and values run on as words do: below each other they would take a screen for each finding. */
dl { margin: 4px 0 0; font-size: 14px; }
dt { display: inline; font-size: inherit; }
dd { display: inline-block; max-width: 100%; margin-right: 3px; overflow-wrap: anywhere; }
dd:not(:last-child)::after { content: " ·"; color: var(--soft); }
h2 .level { margin-right: 6px; }
.ended { color: var(--good); }
tbody th { width: 12rem; }
@media (max-width: 760px) {
  main { padding-top: 24px; }
  tbody th { width: auto; }
}
@media print {
  main { padding-top: 0; padding-bottom: 0; }
}
"""
)


def text(
    rows: SweptRows, rules: Sequence[RuleInfo], command: Command = as_it_is, wording: Wording = SWEEP
) -> Iterator[str]:
    """Yield the page; `command` gives commands the flags they need."""
    yield opening(f"jitid {wording.verb}", STYLE) + f"<main>\n<h1>{_shown(wording.title)}</h1>\n"
    known = {rule.name: rule for rule in rules}
    # What it comes to is read first, and known last; no more of it is kept than is shown.
    *groups, closing = grouped(rows, MOST, wording)
    assert isinstance(closing, Closing)
    yield from _result(closing.summary, wording)
    for number, group in enumerate(groups, start=1):
        assert isinstance(group, Group)
        yield from _group(group, f"group-{number}", known.get(group.rule), command)
    yield from _examined(closing)
    yield f"</main>\n{CLOSING}"


def _group(group: Group, name: str, rule: RuleInfo | None, command: Command) -> Iterator[str]:
    count = counted(group.credentials, "credential") if group.ended else counted(group.count, "finding")
    if group.known:
        count += f", {group.known:,} more in the baseline"
    level = "ended" if group.ended else group.worst.value if group.count else "info"
    word = level if group.count else "known"
    yield (
        f'<section aria-labelledby="{name}">\n<h2 id="{name}">'
        f'<span class="level {level}">{word}</span> {_shown(group.rule)}: {count}</h2>\n'
    )
    if rule is not None and not group.ended:
        yield f"<p>{prose(_sentence(rule.title))}"
        yield f' <span class="soft">{_shown(", ".join(rule.owasp))}</span></p>\n' if rule.owasp else "</p>\n"
        yield (
            f'<p class="soft small">Reported: {prose(_sentence(rule.reports))} '
            f"Not reported: {prose(_sentence(rule.spares))}</p>\n"
        )
    yield '<ul class="findings">\n' if group.shown else ""
    for row in group.shown:
        yield from _finding(row, group)
    yield "</ul>\n" if group.shown else ""
    if group.left:
        yield f"<p>… and {group.left:,} more:</p>\n{_command(command(group.listing))}"
    yield "</section>\n"


def _finding(row: FindingRow, group: Group) -> Iterator[str]:
    # What the heading says already is not said of each one again.
    severity = row["severity"]
    other = not group.ended and severity != group.worst.value
    level = f' <span class="{_shown(severity)}">{_shown(severity)}</span>' if other else ""
    yield f"<li>\n<h3>{_shown(row['subject'])}{level}</h3>\n<p>{_shown(row['summary'])}</p>\n"
    facts = "".join(f"<dt>{_shown(name)}</dt> <dd>{_shown(value)}</dd> " for name, value in _facts(row))
    yield f"<dl>{facts.rstrip()}</dl>\n" if facts else ""
    if row["remedy"] and not group.ended:
        yield _command(row["remedy"])
    yield "</li>\n"


def _facts(row: FindingRow) -> Iterator[tuple[str, object]]:
    """Yield what is known of a finding, by names as people write them; what there is nothing of is left out."""
    facts: dict[str, object] = {
        "credentials ended" if row["state"] == "ended" else "credentials": row["credentials"] or None,
        "since": row["since"],
        "ended at": row["ended_at"],
        "audit event": row["event"],
        "proof": row["proof"],
        "honoured elsewhere until": accepted_until(row),
        **row["evidence"],
    }
    for name, value in facts.items():
        if isinstance(value, int) and name.endswith("_seconds"):
            yield name.removesuffix("_seconds").replace("_", " "), format_duration(value)
        elif plain(value):
            yield name.replace("_", " "), value


def _examined(closing: Closing) -> Iterator[str]:
    if not closing.coverage:
        return
    yield '<section aria-labelledby="examined">\n<h2 id="examined">What was examined</h2>\n<table>\n'
    yield '<thead><tr><th scope="col">rule</th><th scope="col">examined</th></tr></thead>\n<tbody>\n'
    for each in closing.coverage:
        missed = "".join(f'<p class="high">Not examined: {_shown(reason)}</p>' for reason in each["missed"])
        yield f'<tr><th scope="row">{_shown(each["rule"])}</th><td>{_shown(covered(each))}{missed}</td></tr>\n'
    yield "</tbody>\n</table>\n</section>\n"


def _result(summary: Summary | None, wording: Wording) -> Iterator[str]:
    if summary is None:
        yield f'<p class="high">{_shown(_sentence(wording.broken))}</p>\n'
        return
    worst = summary["worst"]
    found = counted(summary["open"], "finding") if summary["open"] else "nothing found"
    gravest = f', the gravest <span class="{_shown(worst)}">{_shown(worst)}</span>' if worst else ""
    yield f"<p>{found}{gravest}; {summary['known']:,} in the baseline; {summary['ended']:,} ended.</p>\n"
    if not summary["complete"]:
        yield '<p class="high">Incomplete: not everything was examined.</p>\n'
    yield f'<p class="soft">{wording.verb.capitalize()} {_shown(summary["sweep"])}, {_shown(summary["at"])}</p>\n'


def _command(command: str) -> str:
    return f'<code tabindex="0">{_shown(command)}</code>\n'


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:].rstrip('.')}."
