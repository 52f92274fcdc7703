"""Settling: what is dead in the ledger is ended at its target too, and tried again until that is confirmed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Empty, Queue
from random import uniform
from threading import Thread
from time import monotonic
from typing import NamedTuple

from jitid.capabilities.targets.store import OutsideChanges, OutsideStore
from jitid.errors import JitidError
from jitid.issuers.targets import Targets
from jitid.ledger import expiry
from jitid.ledger.contract import Ledger
from jitid.ledger.retry import change
from jitid.ledger.transaction import Transaction
from jitid.model.credential import Kind
from jitid.model.outside import LAST_AFTER, Outside
from jitid.model.standing_secret import FOR_EVER
from jitid.model.target import BY_HAND, EndOutcome, Settlement
from jitid.system import time_limit
from jitid.values.text import safe

FIRST_AFTER = 10
"""Seconds after which a target that was out of reach is tried again: twice as long each time, up to an hour."""
MINTING = 120
"""Seconds for which whoever recorded a credential may still be making it after its end, since targets are asked to make
only what lives: until then nothing that is not confirmed is settled."""
LIMIT = 60
"""Seconds that a target may take for all that is due there, unless it is said."""
_AT_ONCE = 200
_SHOWN = 100


class Left(NamedTuple):
    """What is not confirmed at its target. Times are seconds since the epoch."""

    jti: str
    id: str
    kind: str
    target: str
    name: str
    settlement: str
    """`unavailable`, `stuck` or `unsupported`."""
    seen: str
    next_at: int | None
    """When it is tried again; None where the target cannot end it."""
    honoured_until: int | None
    """Until when the target may take it."""


class SettledTargets(NamedTuple):
    """What came of ending at targets what is dead in the ledger."""

    done: int
    """So many are confirmed to be gone."""
    unsupported: int
    """So many their targets cannot end: they are honoured until their time is over."""
    open: int
    """So many are still to be ended: tried again later, or stuck."""
    left: tuple[Left, ...]
    """The first of those that are not gone."""
    events: tuple[int, ...]
    """The audit events that tell of it."""
    late: tuple[str, ...] = ()
    """The targets that did not answer for all within their time limit."""
    at: int = 0
    """The ledger's time afterwards."""


class _Batch(NamedTuple):
    target: str
    tried: list[tuple[Outside, EndOutcome]]


def settle(
    ledger: Ledger,
    targets: Targets,
    *,
    target: str | None = None,
    event: int | None = None,
    ids: Sequence[str] = (),
    waiting: bool = False,
    over: bool = False,
    limit: float = LIMIT,
) -> SettledTargets:
    """End at their targets what is dead in the ledger and not settled, all targets at the same time.

    Args:
        ledger: what says so.
        targets: the targets that the configuration has.
        target: only what is there.
        event: only what that audit event ended.
        ids: only these credentials, or those of these identities.
        waiting: also what is to be tried again later only.
        over: whoever was making these has given up.
        limit: seconds that each target has; what it has not answered for by then counts as unavailable.

    """
    with ledger.read() as snapshot:
        anything = bool(OutsideStore(snapshot).targets_open())
    if anything:
        # Targets must also end what rests on an expired line, although its row is still live.
        expiry.record(ledger)
    with ledger.read() as snapshot:
        now = snapshot.now
        names = (
            [target] if target is not None else OutsideStore(snapshot).targets_due(None if waiting else now)
        )
        due = {
            name: OutsideStore(snapshot).due(name, now, _MOST, event=event, ids=ids, waiting=waiting)
            for name in names
        }
    tally = _Tally(ledger, over=over)
    work = {name: some for name, some in due.items() if some}
    limit = time_limit.left(limit)
    if limit <= 0:
        # No target was asked, so that there is no outcome to record, and no later try is put off.
        with ledger.read() as snapshot:
            open_ = OutsideStore(snapshot).open_count(event=event, ids=ids)
        return tally.settled(open_, sorted(work), [one for some in work.values() for one in some][:_SHOWN])
    targets.prepare(work)
    answers: Queue[_Batch | str] = Queue()
    for name, some in work.items():
        # A daemon: a target that hangs keeps no process from ending.
        Thread(target=_end_all, args=(targets, name, some, answers), daemon=True).start()
    waited = {name: {outside.key: outside for outside in some} for name, some in work.items()}
    deadline = monotonic() + limit
    late: list[str] = []
    while waited:
        try:
            answer = answers.get(timeout=max(deadline - monotonic(), 0))
        except Empty:
            late = sorted(waited)
            for name, left in waited.items():
                why = EndOutcome(
                    Settlement.UNAVAILABLE, f"the target did not answer within {max(1, round(limit))} seconds"
                )
                tally.record(name, [(outside, why) for outside in left.values()])
            break
        if isinstance(answer, str):
            waited.pop(answer, None)
            continue
        tally.record(answer.target, answer.tried)
        for outside, _ in answer.tried:
            waited[answer.target].pop(outside.key, None)
    with ledger.read() as snapshot:
        finished = snapshot.now
        open_ = OutsideStore(snapshot).open_count(event=event, ids=ids)
        by_hand: list[Outside] = []
        if target is None and (event is not None or ids):
            by_hand = OutsideStore(snapshot).due(
                None, now, _SHOWN, event=event, ids=ids, waiting=True, by_hand=True
            )
    return tally.settled(open_, late, by_hand)._replace(at=finished)


_MOST = 10_000
"""So many of one target are read at a time; what is more is left for the next time."""


def _end_all(targets: Targets, name: str, some: Sequence[Outside], answers: Queue[_Batch | str]) -> None:
    """Ask a target to end credentials, some at a time; whatever goes wrong is an answer."""
    try:
        for batch in _batches(targets, name, some):
            answers.put(batch)
    finally:
        answers.put(name)


def _batches(targets: Targets, name: str, some: Sequence[Outside]) -> Iterator[_Batch]:
    try:
        target = targets.get(name)
        issuer = targets.open(target)
    except Exception as error:  # noqa: BLE001 - as below; it may be back in the configuration later
        yield _Batch(name, _unavailable(some, _words(error)))
        return
    # Where another sort of place has got the name, that nothing is there proves nothing.
    others = [outside for outside in some if _sort_of(outside) != target.kind]
    if others:
        yield _Batch(
            name, _unavailable(others, f"the target makes credentials of the kind {target.kind} now")
        )
    ours = [outside for outside in some if _sort_of(outside) == target.kind]
    try:
        for first in range(0, len(ours), _AT_ONCE):
            batch = ours[first : first + _AT_ONCE]
            try:
                outcomes = issuer.revoke([outside.record for outside in batch])
                tried = list(zip(batch, outcomes, strict=True))
            except Exception as error:  # noqa: BLE001 - one kind's fault must not keep others from being ended
                tried = _unavailable(batch, _words(error))
            yield _Batch(name, tried)
    finally:
        with suppress(Exception):
            issuer.close()


def _sort_of(outside: Outside) -> str:
    """Return the kind of the target that a credential is at: of an adopted one it is told with it."""
    kind = outside.record.kind
    return str(outside.facts.get("kind")) if kind == Kind.ADOPTED else kind


def _unavailable(some: Sequence[Outside], why: str) -> list[tuple[Outside, EndOutcome]]:
    return [(outside, EndOutcome(Settlement.UNAVAILABLE, why)) for outside in some]


def _words(error: Exception) -> str:
    # The words of a fault that is none of ours may repeat a secret.
    return safe(error.message) if isinstance(error, JitidError) else f"internal error: {type(error).__name__}"


class _Tally:
    """Records what came of it, batch by batch, and adds it up."""

    def __init__(self, ledger: Ledger, *, over: bool) -> None:
        self._ledger = ledger
        self._over = over
        self._counts = dict.fromkeys(Settlement, 0)
        self._left: list[Left] = []
        self._events: list[int] = []

    def record(self, target: str, tried: Sequence[tuple[Outside, EndOutcome]]) -> None:
        """Record what became of credentials at one target; one event tells of them all."""
        if not tried:
            return

        def keep(transaction: Transaction) -> tuple[int, list[tuple[Outside, EndOutcome, int | None]]]:
            now = transaction.now
            kept = [self._judged(outside, outcome, now) for outside, outcome in tried]
            digest = OutsideChanges(transaction).settle(kept)
            final = sum(next_at is None for _, _, next_at in kept)
            sorts = [outcome.settlement.value for _, outcome, _ in kept]
            event = transaction.append(
                "settle",
                {
                    "target": target,
                    "tried": len(kept),
                    "final": final,
                    "outcomes": {sort: sorts.count(sort) for sort in sorted(set(sorts))},
                    **digest._asdict(),
                },
            )
            return event.seq, kept

        seq, kept = change(self._ledger, keep)
        self._events.append(seq)
        for outside, outcome, next_at in kept:
            self._counts[outcome.settlement] += 1
            if outcome.settlement is not Settlement.DONE and len(self._left) < _SHOWN:
                self._left.append(_left(outside, outcome, next_at))

    def settled(self, open_: int, late: Sequence[str], by_hand: Sequence[Outside]) -> SettledTargets:
        """Return what came of all; some may only be ended by somebody."""
        return SettledTargets(
            self._counts[Settlement.DONE],
            self._counts[Settlement.UNSUPPORTED],
            open_,
            (*self._left, *map(left_by_now, by_hand)),
            tuple(self._events),
            tuple(late),
        )

    def _judged(
        self, outside: Outside, outcome: EndOutcome, now: int
    ) -> tuple[Outside, EndOutcome, int | None]:
        """Return an outcome as it counts, and when to try again; None where nothing is left to be done."""
        outcome = outcome._replace(proof=safe(outcome.proof)[:500])
        match outcome.settlement:
            case Settlement.DONE | Settlement.UNSUPPORTED:
                certain = outside.died_at + MINTING
                if outside.confirmed or self._over or now >= certain:
                    return outside, outcome, None
                proof = f"{outcome.proof}; whoever was making it may not be done"
                return outside, EndOutcome(Settlement.UNAVAILABLE, proof), certain
            case Settlement.STUCK:
                return outside, outcome, now + LAST_AFTER
            case Settlement.UNAVAILABLE:
                return outside, outcome, now + backoff(outside.attempts)


def backoff(attempts: int) -> int:
    """Return after how many seconds to try again what was tried so often before."""
    longest = min(FIRST_AFTER << min(attempts, 12), LAST_AFTER)
    # Jitter, so that many machines do not come back at the same time.
    return max(1, round(uniform(longest / 2, longest)))  # noqa: S311


def left_by_now(outside: Outside) -> Left:
    """Return what is not confirmed, as it was seen the last time that its target was asked."""
    settled = outside.settled_at is not None
    settlement = Settlement.UNAVAILABLE if outside.settlement is None else Settlement(outside.settlement)
    outcome = EndOutcome(settlement, outside.proof or "its target was not asked yet", outside.honoured_until)
    waits = settled or outside.record.target == BY_HAND
    return _left(outside, outcome, None if waits else outside.next_at)


def _left(outside: Outside, outcome: EndOutcome, next_at: int | None) -> Left:
    record = outside.record
    until = outcome.honoured_until
    if until is None and record.expires_at < FOR_EVER:
        until = record.expires_at
    return Left(
        record.jti,
        record.id,
        record.kind,
        record.target,
        record.name,
        outcome.settlement.value,
        outcome.proof,
        next_at,
        until,
    )
