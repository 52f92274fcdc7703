"""Settlement at targets: after a revocation in the ledger, targets revoke too, or the command reports the rest.

The step after it: proof that ended leaked credentials are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import TYPE_CHECKING

from jitid.errors import JitidError, PartialError
from jitid.model.target import BY_HAND
from jitid.system import time_limit
from jitid.values.text import number_of, safe
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.ledger.contract import Ledger
    from jitid.model.target import Left
    from jitid.operation.base import Authority


AT_ONCE = 20
"""Seconds that targets have for a first try; their own time limits are mostly shorter."""
_LONGEST = 60
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)


def confirm(authority: Authority, ended: Ended, wait: int | None = None) -> Ended:
    """Have targets revoke the credentials of a revocation; return it with confirmed and open counts.

    Without `wait`, in seconds, each target gets one try.
    """
    if not ended.unsettled or (ended.event is None and not ended.earlier):
        return ended
    from jitid.capabilities.targets.operations import Settle

    if wait is not None:
        # The option --wait replaces the usual time limit.
        time_limit.lift()
    # `earlier` does not list all of them; this call does not settle the rest.
    unlisted = max(ended.unsettled - len(ended.earlier), 0) if ended.earlier else 0
    event = None if ended.earlier else ended.event
    deadline = monotonic() + (wait or 0)
    tries = 0
    while True:
        remaining = max(int(deadline - monotonic()), 0)
        limit = AT_ONCE if wait is None else min(max(remaining, 1), _LONGEST)
        try:
            settled = authority.perform(Settle(event=event, ids=ended.earlier, waiting=True, limit=limit))
        except JitidError as error:
            return ended._replace(unsaid=error.message)
        ended = ended._replace(
            confirmed=ended.confirmed + settled.done,
            unsettled=settled.open + unlisted,
            unsupported=ended.unsupported + settled.unsupported,
            settled_at=settled.at or None,
            left=(
                *(leftover for leftover in ended.left if leftover.settlement == "unsupported"),
                *settled.left,
            ),
        )
        pause = _PAUSES[min(tries, len(_PAUSES) - 1)]
        if not settled.open or wait is None or monotonic() + pause >= deadline:
            return ended
        tries += 1
        sleep(pause)


def must_be_confirmed(ended: Ended) -> None:
    """Raise PartialError if a target may still accept a revoked credential."""
    count = ended.unsettled + ended.unsupported
    if not count:
        return
    by_hand = bool(ended.left) and all(leftover.target == BY_HAND for leftover in ended.left)
    where = "its target" if count == 1 else "their targets"
    if by_hand:
        where = "its place" if count == 1 else "their places"
    summary = f"{_ended(count)} may still work at {where}"
    if ended.unsaid is not None:
        details = ended.unsaid
    else:
        details = "; ".join(_described(leftover) for leftover in ended.left[:_SHOWN])
        if len(ended.left) > _SHOWN:
            details += f"; and {count - _SHOWN} more"
    if not ended.unsettled:
        hint = "the target cannot revoke it before its expiry"
    elif by_hand:
        hint = (
            "revoke it by hand, then run: jitid adopt end --proof TEXT NAME; "
            "to list the rest: jitid list --unsettled"
        )
    else:
        hint = "each `jitid sweep` tries again; to list the rest: jitid list --unsettled"
    raise PartialError(f"{summary}: {details}", hint)


_SHOWN = 5


def _ended(count: int) -> str:
    return number_of(count, "ended credential")


def _described(leftover: Left) -> str:
    ending = (
        ""
        if leftover.honoured_until is None
        else f", until {format_time(leftover.honoured_until)} at the latest"
    )
    if leftover.target == BY_HAND:
        return f"{leftover.jti} ({safe(leftover.seen)}{ending})"
    retry = "" if leftover.next_at is None else f", next try at {format_time(leftover.next_at)}"
    return f"{leftover.jti} at {safe(leftover.target)} ({leftover.settlement}: {safe(leftover.seen)}{ending}{retry})"


def settle_event(authority: Authority, event: int | None, warn: Callable[[str], None]) -> None:
    """Have targets revoke the credentials that an event ended, and warn of unconfirmed ones."""
    if event is None:
        return
    from jitid.capabilities.targets.operations import Settle

    try:
        settled = authority.perform(Settle(event=event, waiting=True, limit=AT_ONCE))
    except JitidError as error:
        warn(f"ended credentials may still work at targets: {error.message}")
        return
    if settled.open or settled.unsupported:
        details = "; ".join(_described(leftover) for leftover in settled.left[:_SHOWN])
        warn(f"{_ended(settled.open + settled.unsupported)} may still work at targets: {details}")


def confirm_quietly(authority: Authority, ended: Ended, warn: Callable[[str], None]) -> None:
    """Have targets revoke the credentials of a revocation, and warn of unconfirmed ones."""
    try:
        must_be_confirmed(confirm(authority, ended))
    except PartialError as error:
        warn(error.message)


def prove(ledger: Ledger) -> str | None:
    """Record proof that leaked credentials which have ended are refused; return the error text if that fails.

    A failure does not undo the revocation: the next proof includes these credentials.
    """
    from jitid.capabilities.leak.store import LeakStore

    try:
        with ledger.read() as snapshot:
            if not LeakStore(snapshot).unproved_leaks(0, 1):
                return None
        from jitid.capabilities.leak import leaks

        leaks.prove(ledger)
    except JitidError as error:
        return error.message.removesuffix("; nothing was changed")
    return None
