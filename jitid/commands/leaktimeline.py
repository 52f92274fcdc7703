"""`jitid leak timeline`: what became of leaks, for the report of an incident."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jitid.commands import rows, timelinerows
from jitid.formats import output
from jitid.formats.markdown import code
from jitid.formats.view import View
from jitid.lifetime import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitid.commands.globals import Globals
    from jitid.timeline import Account

FORMATS = ("markdown",)
"""Formats that only this verb has, besides those of every verb."""


def show(given: Globals, own: str | None, accounts: Sequence[Account]) -> None:
    """Write what became of leaks: Markdown for eyes, or in the format that was asked for."""
    if own is not None or rows.by_eye(given):
        output.write_pieces(text(accounts))
        return
    told = (row for account in accounts for row in timelinerows.of_steps(account))
    document = None
    if given.field is None and given.format_name() == "json":
        document = {"items": [timelinerows.document(account) for account in accounts]}
    given.show(View("jitid.leak-timeline/1", timelinerows.FIELDS, told, document=document))


def text(accounts: Sequence[Account]) -> Iterator[str]:
    """Yield the Markdown of an incident: each leak with its facts, and what happened in the order of time."""
    now = max(account.details.leaked.now for account in accounts)
    if len(accounts) > 1:
        yield f"# {len(accounts)} leaks, as of {format_time(now)}\n\n"
        for account in accounts:
            yield f"- {_written(timelinerows.heading(account))}: {timelinerows.standing(account)}\n"
        yield "\n"
    for number, account in enumerate(accounts):
        if number:
            yield "\n"
        yield from _one(account, "#" if len(accounts) == 1 else "##")


def _one(account: Account, mark: str) -> Iterator[str]:
    yield f"{mark} {_written(timelinerows.heading(account))}\n\n"
    now = format_time(account.details.leaked.now)
    yield f"**{timelinerows.standing(account)}**, as of {now}.\n\n"
    for name, words in timelinerows.facts(account):
        yield f"- **{name}:** {_written(words)}\n"
    for what, duration in timelinerows.exposures(account):
        yield f"- **Exposed** {what}: {duration}\n"
    yield f"\n{mark}# Timeline\n\n"
    for step in account.steps:
        event = "" if step.event is None else f" (audit event {step.event})"
        yield f"- {format_time(step.at)} {_written(timelinerows.words(step))}{event}\n"


def _written(words: Sequence[str]) -> str:
    return timelinerows.written(words, code)
