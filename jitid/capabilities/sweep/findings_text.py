"""A sweep's result for a terminal: ended credentials, findings with their remedies, and coverage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitid.capabilities.sweep import findings_view as view
from jitid.capabilities.sweep.findings_view import FindingGroup, FindingRow
from jitid.formats.cell import cell, counted, folded
from jitid.formats.table import terminal_width

MOST = 10
"""Maximum number of findings of a rule that are shown."""

_SGR = {"info": "2", "low": "36", "medium": "33", "high": "31", "critical": "1;31"}
_ENDED = "32"
_FAILURE = "1;31"
_WIDEST = 100
"""Maximum columns of a sentence: wider text is hard to read."""


def text(
    rows: view.SweptRows,
    rules: Sequence[view.RuleInfo],
    colour: bool,
    command: view.Command = view.unchanged,
    *,
    verbose: bool = False,
    wording: view.Wording = view.SWEEP,
) -> Iterator[str]:
    """Yield the result, each rule after its last finding; `command` adds the flags that commands need.

    With `verbose`, the coverage of each rule is shown; otherwise a summary and the rules that are incomplete.
    """
    page = _FindingsPage(colour, command, wording, verbose=verbose)
    titles = {rule.name: rule.title for rule in rules}
    between = ""
    for part in view.grouped(rows, MOST, wording):
        yield between
        if isinstance(part, FindingGroup):
            yield "".join(page.group(part, titles.get(part.rule, "")))
        else:
            yield "".join(page.closing(part))
        between = "\n"


class _FindingsPage:
    def __init__(self, colour: bool, command: view.Command, wording: view.Wording, *, verbose: bool) -> None:
        self._wording = wording
        self._colour = colour
        self._with_flags = command
        self._verbose = verbose
        self._width = min(terminal_width(), _WIDEST)

    def group(self, group: FindingGroup, title: str) -> Iterator[str]:
        if group.ended:
            credentials = counted(group.credentials, "credential")
            yield from self._head("ended", _ENDED, group.rule, credentials)
        else:
            count = counted(group.count, "finding") if group.count else "nothing new"
            known_text = f", {group.known:,} more in the baseline" if group.known else ""
            severity = group.worst.value
            yield from self._head(
                severity if group.count else "known",
                _SGR[severity if group.count else "info"],
                group.rule,
                count + known_text,
            )
            yield from self._wrapped(title, 2)
        for row in group.shown:
            yield from self._ended(row) if group.ended else self._finding(row)
        if group.left:
            yield f"  … and {group.left:,} more:\n"
            yield self._command(self._with_flags(group.listing))

    def closing(self, closing: view.Closing) -> Iterator[str]:
        if self._wording is not view.SWEEP:
            for examined in closing.coverage:
                yield from self._wrapped(view.covered(examined), 0, hang=2)
        elif self._verbose:
            for examined in closing.coverage:
                yield from self._wrapped(
                    f"examined for {examined['rule']}: {view.covered(examined)}", 0, hang=2
                )
        elif closing.coverage:
            complete = sum(
                examined["complete"] and examined["unknown"] is None for examined in closing.coverage
            )
            rule_count = counted(len(closing.coverage), "rule")
            all_ = "all" if complete == len(closing.coverage) else complete
            yield from self._wrapped(f"{rule_count} run, {all_} examined completely", 0, hang=2)
            unknown: dict[str, list[str]] = {}
            for examined in closing.coverage:
                if examined["unknown"] is not None:
                    unknown.setdefault(examined["unknown"], []).append(examined["rule"])
            for facts, names in unknown.items():
                yield from self._wrapped(f"unknown for {', '.join(names)}: {facts}", 0, hang=2)
        for examined in closing.coverage:
            for reason in examined["missed"]:
                label = (
                    f"not examined for {examined['rule']}" if self._wording is view.SWEEP else "not searched"
                )
                lines = list(self._wrapped(f"{label}: {reason}", 0, hang=2))
                yield from (self._in(_FAILURE, line.removesuffix("\n")) + "\n" for line in lines)
        summary = closing.summary
        if summary is None:
            yield self._in(_FAILURE, self._wording.broken) + "\n"
            return
        outcome = counted(summary["open"], "finding") if summary["open"] else "no findings"
        if summary["worst"] is not None:
            outcome += f", highest severity {summary['worst']}"
        if summary["known"]:
            outcome += f"; {summary['known']:,} in the baseline"
        if summary["ended"]:
            outcome += f"; {summary['ended']:,} ended"
        if not summary["complete"]:
            outcome += "; incomplete: not everything was examined"
        yield from self._wrapped(
            f"{outcome} ({self._wording.verb} {summary['sweep']}, {summary['at']})", 0, hang=2
        )
        if summary["host"] is not None:
            yield from self._wrapped(f"host {summary['host']}", 0, hang=2)

    def _head(self, word: str, sgr: str, rule: str, count: str) -> Iterator[str]:
        plain = f"{word} {cell(rule)}: {count}"
        lines = folded(plain, self._width, rest="  ")
        yield self._in(sgr, word) + lines[0].removeprefix(word) + "\n"
        yield from (f"{line}\n" for line in lines[1:])

    def _finding(self, row: FindingRow) -> Iterator[str]:
        facts = [counted(row["credentials"], "credential")] if row["credentials"] else []
        facts += [f"since {row['since']}"] if row["since"] else []
        yield from self._subject(row, facts)
        yield from self._wrapped(row["summary"], 4)
        if row["remedy"]:
            yield self._command(row["remedy"])

    def _ended(self, row: FindingRow) -> Iterator[str]:
        facts = [counted(row["credentials"], "credential")]
        facts += [f"audit event {row['event']}"] if row["event"] is not None else []
        yield from self._subject(row, facts)
        if row["proof"]:
            yield from self._wrapped(row["proof"], 4)
        if (until := view.accepted_until(row)) is not None:
            yield from self._wrapped(f"offline verifiers accept some until {until}", 4)

    def _subject(self, row: FindingRow, facts: list[str]) -> Iterator[str]:
        # A name is never folded, but moved to a separate line if necessary: the terminal may fold it.
        name = cell(row["subject"])
        details = f" ({', '.join(facts)})" if facts else ""
        styled = f"\x1b[1m{name}\x1b[0m" if self._colour else name
        if len(name) + len(details) + 2 <= self._width:
            yield f"  {styled}{details}\n"
        else:
            yield f"  {styled}\n"
            yield from self._wrapped(", ".join(facts), 4)

    def _command(self, command: str) -> str:
        # A command is on one line so that it can be copied; the terminal may fold it.
        return f"    {self._in('1', cell(command))}\n"

    def _wrapped(self, words: str, indent: int, hang: int = 0) -> Iterator[str]:
        width = max(self._width, indent + 16)
        lines = folded(cell(words), width, " " * indent, " " * (indent + hang))
        return (f"{line}\n" for line in lines)

    def _in(self, sgr: str, words: str) -> str:
        return f"\x1b[{sgr}m{words}\x1b[0m" if self._colour else words
