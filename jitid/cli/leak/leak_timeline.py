"""`jitid leak timeline`: the history of leaks, for an incident report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jitid.cli.leak import timeline_rows
from jitid.formats.display import Display
from jitid.formats.markdown import code
from jitid.system import output
from jitid.values.times import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitid.capabilities.leak.timeline import Account
    from jitid.cli.invocation import Invocation

FORMATS = ("markdown",)
"""Formats that only this verb has, besides those of every verb."""


def show(cli: Invocation, own_format: str | None, accounts: Sequence[Account]) -> None:
    """Write the history of leaks: Markdown at a terminal, or the requested format."""
    if own_format is not None:
        output.write_pieces(text(accounts))
        return
    if cli.field is None and cli.format_name() is None and output.is_terminal():
        from jitid.formats.table import terminal_width

        output.write_pieces(text(accounts, terminal_width()))
        return
    rows = (row for account in accounts for row in timeline_rows.of_steps(account))
    document = None
    if cli.field is None and cli.format_name() == "json":
        document = {"items": [timeline_rows.document(account) for account in accounts]}
    cli.show(Display("jitid.leak-timeline/1", timeline_rows.FIELDS, rows, document=document))


def text(accounts: Sequence[Account], width: int | None = None) -> Iterator[str]:
    """Yield the Markdown of an incident: the facts of each leak, and its steps in the order of time.

    `width` is the number of columns of the lines; None for lines of any length.
    """
    now = max(account.details.leaked.now for account in accounts)
    if len(accounts) > 1:
        yield f"# {len(accounts)} leaks, as of {format_time(now)}\n\n"
        for account in accounts:
            words = [*timeline_rows.heading(account), f": {timeline_rows.state_sentence(account)}"]
            yield _item(words, width)
        yield "\n"
    for index, account in enumerate(accounts):
        if index:
            yield "\n"
        yield from _one(account, "#" if len(accounts) == 1 else "##", width)


def _one(account: Account, mark: str, width: int | None) -> Iterator[str]:
    yield f"{mark} {timeline_rows.written(timeline_rows.heading(account), code)}\n\n"
    now = format_time(account.details.leaked.now)
    yield _broken([f"**{timeline_rows.state_sentence(account)}**, as of {now}."], width) + "\n"
    for name, words in timeline_rows.facts(account):
        yield _item([f"**{name}:** ", *words], width)
    for period, duration in timeline_rows.exposures(account):
        yield _item([f"**Exposed** {period}: {duration}"], width)
    yield f"\n{mark}# Timeline\n\n"
    for step in account.steps:
        event = [] if step.event is None else [f" (audit event {step.event})"]
        yield _item([f"{format_time(step.at)} ", *timeline_rows.words(step), *event], width)


_BREAK = "\0"
"""Mark of a possible line break: shown text never contains this character."""


def _item(words: timeline_rows.Words, width: int | None) -> str:
    """Return an item of a list."""
    return _broken(words, width, "- ", "  ")


def _broken(words: timeline_rows.Words, width: int | None, first_indent: str = "", indent: str = "") -> str:
    """Return text in lines, broken only between jitid's words: a break in a code span would be visible."""
    breakable = [
        piece if isinstance(piece, timeline_rows.Foreign) else piece.replace(" ", _BREAK) for piece in words
    ]
    lines: list[str] = []
    line = first_indent
    for word in timeline_rows.written(breakable, code).split(_BREAK):
        if line in (first_indent, indent):
            line += word
        elif width is not None and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = indent + word
        else:
            line += f" {word}"
    return "".join(f"{text_line}\n" for text_line in [*lines, line])
