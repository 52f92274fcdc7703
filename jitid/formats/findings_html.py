"""A sweep's result as one page that needs nothing else: no script, no request, for any screen and for paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitid.formats.figures import counted
from jitid.formats.grouped import Closing, Group, grouped
from jitid.formats.page import CLOSING, opening
from jitid.formats.page import text as _shown
from jitid.formats.swept import Command, FindingRow, RuleInfo, Summary, SweptRows, as_it_is

MOST = 200
"""How many findings of a rule are shown."""

STYLE = """
:root { color-scheme: light dark; --back: #fff; --fore: #1b1f24; --soft: #57606a; --line: #d0d7de; --code: #f6f8fa;
  --info: #57606a; --low: #0a6070; --medium: #855400; --high: #b3261e; --critical: #8b0a1a; --ended: #1a6b34; }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --fore: #e6edf3; --soft: #9da7b3; --line: #30363d;
  --code: #161b22; --info: #9da7b3; --low: #56c8d8; --medium: #e3b341; --high: #ff8a80; --critical: #ff9aa8;
  --ended: #57c785; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 62rem; background: var(--back); color: var(--fore);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .25rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .25rem 0; }
.soft { color: var(--soft); }
.level { display: inline-block; border: 1px solid currentColor; border-radius: .25rem; padding: 0 .4rem;
  font-size: .8rem; font-weight: 600; }
.info { color: var(--info); } .low { color: var(--low); } .medium { color: var(--medium); }
.high { color: var(--high); } .critical { color: var(--critical); } .ended { color: var(--ended); }
ul { list-style: none; margin: .75rem 0; padding: 0; }
li { border: 1px solid var(--line); border-radius: .375rem; padding: .6rem .8rem; margin: 0 0 .5rem; }
code { display: block; margin: .35rem 0 0; padding: .35rem .5rem; background: var(--code); border-radius: .25rem;
  font: .875rem/1.4 ui-monospace, monospace; white-space: pre-wrap; user-select: all; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .75rem; margin: .35rem 0 0; font-size: .875rem; }
dt { color: var(--soft); } dd { margin: 0; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; } dd { margin: 0 0 .25rem; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } li { break-inside: avoid; }
  h2 { break-after: avoid; } }
"""


def text(rows: SweptRows, rules: Sequence[RuleInfo], command: Command = as_it_is) -> Iterator[str]:
    """Yield the page; `command` gives commands the flags they need."""
    yield opening("jitid sweep", STYLE) + "<main>\n<h1>What should not be alive</h1>\n"
    known = {rule.name: rule for rule in rules}
    # What it comes to is read first, and known last; no more of it is kept than is shown.
    *groups, closing = grouped(rows, MOST)
    assert isinstance(closing, Closing)
    yield from _result(closing.summary)
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
        yield f"<p>{_shown(_sentence(rule.title))}"
        yield f' <span class="soft">{_shown(", ".join(rule.owasp))}</span></p>\n' if rule.owasp else "</p>\n"
        yield (
            f'<p class="soft">Reported: {_shown(_sentence(rule.reports))} '
            f"Not reported: {_shown(_sentence(rule.spares))}</p>\n"
        )
    yield "<ul>\n" if group.shown else ""
    for row in group.shown:
        yield from _finding(row)
    yield "</ul>\n" if group.shown else ""
    if group.left:
        yield f"<p>… and {group.left:,} more:</p>\n{_command(command(group.listing))}"
    yield "</section>\n"


def _finding(row: FindingRow) -> Iterator[str]:
    ended = row["state"] == "ended"
    level = "" if ended else f' <span class="{_shown(row["severity"])}">{_shown(row["severity"])}</span>'
    yield f"<li>\n<h3>{_shown(row['subject'])}{level}</h3>\n<p>{_shown(row['summary'])}</p>\n"
    facts: dict[str, object] = {
        "credentials": None if ended else row["credentials"],
        "credentials ended": row["credentials"] if ended else None,
        "since": row["since"],
        "ended at": row["ended_at"],
        "audit event": row["event"],
        "proof": row["proof"],
        "honoured elsewhere until": row["offline_until"],
        **row["evidence"],
    }
    yield "<dl>\n"
    for name, value in facts.items():
        if value is not None:
            yield f"<dt>{_shown(name.replace('_', ' '))}</dt><dd>{_shown(value)}</dd>\n"
    yield "</dl>\n"
    if row["remedy"] and not ended:
        yield _command(row["remedy"])
    yield "</li>\n"


def _examined(closing: Closing) -> Iterator[str]:
    if not closing.coverage:
        return
    yield '<section aria-labelledby="examined">\n<h2 id="examined">What was examined</h2>\n<table>\n'
    yield '<thead><tr><th scope="col">rule</th><th scope="col">examined</th></tr></thead>\n<tbody>\n'
    for each in closing.coverage:
        missed = "".join(f'<p class="high">Not examined: {_shown(reason)}</p>' for reason in each["missed"])
        yield f'<tr><th scope="row">{_shown(each["rule"])}</th><td>{_shown(each["examined"])}{missed}</td></tr>\n'
    yield "</tbody>\n</table>\n</section>\n"


def _result(summary: Summary | None) -> Iterator[str]:
    if summary is None:
        yield '<p class="high">The sweep broke off: this is not all.</p>\n'
        return
    worst = summary["worst"]
    found = counted(summary["open"], "finding") if summary["open"] else "nothing found"
    gravest = f', the gravest <span class="{_shown(worst)}">{_shown(worst)}</span>' if worst else ""
    yield f"<p>{found}{gravest}; {summary['known']:,} in the baseline; {summary['ended']:,} ended.</p>\n"
    if not summary["complete"]:
        yield '<p class="high">Incomplete: not everything was examined.</p>\n'
    yield f'<p class="soft">Sweep {_shown(summary["sweep"])}, {_shown(summary["at"])}</p>\n'


def _command(command: str) -> str:
    return f'<code tabindex="0">{_shown(command)}</code>\n'


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:].rstrip('.')}."
