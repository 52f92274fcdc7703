"""The total of the leaks that `jitid leak add` records, and the sentences about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jitid.capabilities.leak.trace_result import first_of
from jitid.cli.leak.trace import some
from jitid.errors import JitidError, PartialError, UsageError
from jitid.values.text import number_of

if TYPE_CHECKING:
    from jitid.capabilities.leak.exposure import Leaked
    from jitid.capabilities.leak.leaks import ReportedLeaks
    from jitid.capabilities.leak.trace_result import Stray

LISTED = 10_000
"""Maximum number of leaks that are shown; `leak list` shows all."""


class LeakTotal:
    """The result of all batches of a text."""

    def __init__(self) -> None:
        self.credentials: dict[int, str] = {}
        self.unproved: dict[int, str] = {}
        self.strays: list[Stray] = []
        self.events: list[int] = []
        self.new = 0
        self.moved = self.later = self.ids = self.unknown = self.places = 0
        self.alive = self.with_live_identity = 0
        self.live_when_recorded = 0
        """Number of credentials that were live when they were recorded."""

    def add(self, result: ReportedLeaks) -> None:
        """Add the result of one batch."""
        if result.event is not None:
            self.events.append(result.event)
        self.places += result.places
        self.live_when_recorded += result.alive
        # A leak is not new if an earlier batch has recorded it, or counted it in a dry run.
        self.new += len(result.new - self.credentials.keys())
        self.later += result.later
        self.moved += result.moved
        self.ids += result.ids
        self.unknown += result.unknown
        self.credentials |= result.credentials
        self.unproved |= result.unproved
        self.strays = first_of([*self.strays, *result.strays])

    def see(self, leaked: Leaked) -> None:
        """Count a shown leak if its credential or its identity is still live."""
        self.alive += leaked.leak.dead_at is None
        self.with_live_identity += leaked.has_live_identity

    @property
    def already(self) -> int:
        """Number of leaks that were recorded before."""
        return len(self.credentials) - self.new

    @property
    def left(self) -> list[str]:
        """The credentials that were not recorded, because their leak is not proved."""
        return [jti for key, jti in self.unproved.items() if key not in self.credentials]


def unproved_error(total: LeakTotal) -> JitidError | None:
    """Return the error for unproved strings, which were not recorded: any user could have written them."""
    if not total.left:
        return None
    message = f"neither a signature nor a fingerprint proves {some(total.left)}"
    hint = "check them with jitid trace; to record these too, add --yes"
    if total.credentials:
        return PartialError(f"{message}; these were not recorded", hint)
    return UsageError(f"{message}; nothing was recorded", hint)


def notes(total: LeakTotal, *, dry_run: bool, summarised: bool) -> Iterator[str]:
    """Yield sentences about the recorded leaks."""
    if total.credentials:
        parts = []
        if total.new:
            parts.append(f"{'would record' if dry_run else 'recorded'} {number_of(total.new, 'leak')}")
        if total.already:
            parts.append(f"{number_of(total.already, 'leak')} had been recorded already")
        if total.places:
            parts.append(f"{number_of(total.places, 'place')} {'is' if total.places == 1 else 'are'} new")
        if total.events:
            parts[0 if total.new else -1] += f" (audit event {' '.join(map(str, total.events))})"
        text = "; ".join(parts)
        if total.unknown:
            text += f"; and {number_of(total.unknown, 'string')} that the ledger does not know"
        yield text
    elif total.unknown:
        yield f"found {number_of(total.unknown, 'string')} that the ledger does not know"
    if len(total.credentials) > LISTED and not summarised:
        yield f"only the newest {LISTED} are shown; for all: jitid leak list"
    if total.moved:
        yield f"{number_of(total.moved, 'credential')} issued after the report: the exposure counts from the issue"
    if total.ids:
        yield f"{number_of(total.ids, 'id')} in the text ignored: an id is not secret"


def still_live(total: LeakTotal) -> Iterator[str]:
    """Yield sentences about live credentials that leaked, and about live identities of ended ones."""
    alive = total.alive if len(total.credentials) <= LISTED else total.live_when_recorded
    if alive:
        verb, pronoun = ("is", "it") if alive == 1 else ("are", "them")
        yield f"nothing was revoked: {number_of(alive, 'leaked credential')} {verb} live; to revoke {pronoun}: --revoke"
    if total.with_live_identity:
        verb, pronoun = (
            ("its identity is", "it") if total.with_live_identity == 1 else ("their identities are", "them")
        )
        leaks = number_of(total.with_live_identity, "leaked credential")
        yield f"{leaks} had ended already, but {verb} live; to revoke {pronoun} too: --revoke"
