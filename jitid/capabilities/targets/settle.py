"""Settling: end expired and revoked credentials at their targets too, and retry until that is confirmed.

And checks of the configured targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty, Queue
from random import uniform
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

from jitid.capabilities.targets.operations import SettledTargets
from jitid.capabilities.targets.store import OutsideChanges, OutsideStore
from jitid.errors import JitidError
from jitid.issuers.targets import Targets
from jitid.ledger import expiry
from jitid.ledger.contract import Ledger, change
from jitid.ledger.transaction import Transaction
from jitid.model.credential import Kind, is_outside
from jitid.model.ledger_condition import Check, failure, ok, warning
from jitid.model.target import BY_HAND, LAST_AFTER, EndOutcome, Left, Outside, Settlement
from jitid.system import time_limit
from jitid.values.record import Record
from jitid.values.text import safe
from jitid.values.times import NO_EXPIRY

if TYPE_CHECKING:
    from jitid.operation.context import Context


FIRST_AFTER = 10
"""Seconds before an unavailable target is tried again: twice as long each time, up to an hour."""
MINTING = 120
"""Seconds after the end of a credential during which a process may still be making it.

Only live credentials are requested from targets. An unconfirmed credential is not settled before this time.
"""
LIMIT = 60
"""Default number of seconds that a target may take for all due credentials."""
_AT_ONCE = 200
_SHOWN = 100


class _Batch(Record):
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
    abandoned: bool = False,
    limit: float = LIMIT,
) -> SettledTargets:
    """End expired and revoked credentials at their targets if they are not settled, all targets at the same time.

    Args:
        ledger: the ledger with the credentials.
        targets: the targets of the configuration.
        target: only credentials at this target.
        event: only credentials that this audit event ended.
        ids: only these credentials, or the credentials of these identities.
        waiting: whether to include credentials with a later next attempt.
        abandoned: whether the process that was making these credentials has given up.
        limit: seconds for each target; credentials without an answer by then count as unavailable.

    """
    with ledger.read() as snapshot:
        anything = bool(OutsideStore(snapshot).targets_open())
    if anything:
        # Targets must also end credentials that depend on an expired line of renewals; their rows are still live.
        expiry.record(ledger)
    with ledger.read() as snapshot:
        now = snapshot.now
        names = (
            [target] if target is not None else OutsideStore(snapshot).targets_due(None if waiting else now)
        )
        due_by_target = {
            name: OutsideStore(snapshot).due(name, now, _MOST, event=event, ids=ids, waiting=waiting)
            for name in names
        }
    tally = _Tally(ledger, abandoned=abandoned)
    work = {name: outsides for name, outsides in due_by_target.items() if outsides}
    limit = time_limit.left(limit)
    if limit <= 0:
        # No target was called, so there is no outcome to record, and no later attempt is postponed.
        with ledger.read() as snapshot:
            open_ = OutsideStore(snapshot).open_count(event=event, ids=ids)
        return tally.settled(
            open_, sorted(work), [outside for outsides in work.values() for outside in outsides][:_SHOWN]
        )
    targets.prepare(work)
    answers: Queue[_Batch | str] = Queue()
    for name, outsides in work.items():
        # A daemon thread: a target that hangs must not keep the process from ending.
        Thread(target=_end_all, args=(targets, name, outsides, answers), daemon=True).start()
    late = _gather(work, answers, tally, limit)
    with ledger.read() as snapshot:
        finished = snapshot.now
        open_ = OutsideStore(snapshot).open_count(event=event, ids=ids)
        by_hand: list[Outside] = []
        if target is None and (event is not None or ids):
            by_hand = OutsideStore(snapshot).due(
                None, now, _SHOWN, event=event, ids=ids, waiting=True, by_hand=True
            )
    return tally.settled(open_, late, by_hand)._replace(at=finished)


def _gather(
    work: Mapping[str, Sequence[Outside]], answers: Queue[_Batch | str], tally: _Tally, limit: float
) -> list[str]:
    """Record the answers of all targets as they come; return the targets that are late after `limit` seconds."""
    waited = {name: {outside.key: outside for outside in outsides} for name, outsides in work.items()}
    deadline = monotonic() + limit
    while waited:
        try:
            answer = answers.get(timeout=max(deadline - monotonic(), 0))
        except Empty:
            for name, unanswered in waited.items():
                outcome = EndOutcome(
                    Settlement.UNAVAILABLE, f"the target did not answer within {max(1, round(limit))} seconds"
                )
                tally.record(name, [(outside, outcome) for outside in unanswered.values()])
            return sorted(waited)
        if isinstance(answer, str):
            waited.pop(answer, None)
            continue
        tally.record(answer.target, answer.tried)
        for outside, _ in answer.tried:
            waited[answer.target].pop(outside.key, None)
    return []


_MOST = 10_000
"""Maximum number of credentials of one target in a run; the others wait for the next run."""


def _end_all(targets: Targets, name: str, outsides: Sequence[Outside], answers: Queue[_Batch | str]) -> None:
    """End credentials at a target, in batches, and queue the outcomes; every error becomes an outcome."""
    try:
        for batch in _batches(targets, name, outsides):
            answers.put(batch)
    finally:
        answers.put(name)


def _batches(targets: Targets, name: str, outsides: Sequence[Outside]) -> Iterator[_Batch]:
    try:
        target = targets.get(name)
        issuer = targets.open(target)
    except Exception as error:  # noqa: BLE001 - as below; it may be back in the configuration later
        yield _Batch(name, _unavailable(outsides, _words(error)))
        return
    # If a target of another kind has this name now, the absence of a credential there proves nothing.
    others = [outside for outside in outsides if _target_kind(outside) != target.kind]
    if others:
        yield _Batch(
            name, _unavailable(others, f"the target makes credentials of the kind {target.kind} now")
        )
    matching = [outside for outside in outsides if _target_kind(outside) == target.kind]
    try:
        for start in range(0, len(matching), _AT_ONCE):
            batch = matching[start : start + _AT_ONCE]
            try:
                outcomes = issuer.revoke([outside.record for outside in batch])
                tried = list(zip(batch, outcomes, strict=True))
            except Exception as error:  # noqa: BLE001 - one kind's fault must not keep others from being ended
                tried = _unavailable(batch, _words(error))
            yield _Batch(name, tried)
    finally:
        with suppress(Exception):
            issuer.close()


def _target_kind(outside: Outside) -> str:
    """Return the kind of a credential's target; for an adopted secret, it is among the facts."""
    kind = outside.record.kind
    return str(outside.facts.get("kind")) if kind == Kind.ADOPTED else kind


def _unavailable(outsides: Sequence[Outside], reason: str) -> list[tuple[Outside, EndOutcome]]:
    return [(outside, EndOutcome(Settlement.UNAVAILABLE, reason)) for outside in outsides]


def _words(error: Exception) -> str:
    # The message of a foreign exception may repeat a secret.
    return safe(error.message) if isinstance(error, JitidError) else f"internal error: {type(error).__name__}"


class _Tally:
    """A recorder of outcomes, batch by batch, with their totals."""

    def __init__(self, ledger: Ledger, *, abandoned: bool) -> None:
        self._ledger = ledger
        self._abandoned = abandoned
        self._counts = dict.fromkeys(Settlement, 0)
        self._left: list[Left] = []
        self._events: list[int] = []

    def record(self, target: str, tried: Sequence[tuple[Outside, EndOutcome]]) -> None:
        """Record the outcomes of credentials at one target; one event covers them all."""
        if not tried:
            return

        def keep(transaction: Transaction) -> tuple[int, list[tuple[Outside, EndOutcome, int | None]]]:
            now = transaction.now
            judged = [self._judged(outside, outcome, now) for outside, outcome in tried]
            digest = OutsideChanges(transaction).settle(judged)
            final = sum(next_at is None for _, _, next_at in judged)
            settlements = [outcome.settlement.value for _, outcome, _ in judged]
            event = transaction.append(
                "settle",
                {
                    "target": target,
                    "tried": len(judged),
                    "final": final,
                    "outcomes": {
                        settlement: settlements.count(settlement) for settlement in sorted(set(settlements))
                    },
                    **digest._asdict(),
                },
            )
            return event.seq, judged

        seq, judged = change(self._ledger, keep)
        self._events.append(seq)
        for outside, outcome, next_at in judged:
            self._counts[outcome.settlement] += 1
            if outcome.settlement is not Settlement.DONE and len(self._left) < _SHOWN:
                self._left.append(_left(outside, outcome, next_at))

    def settled(self, open_: int, late: Sequence[str], by_hand: Sequence[Outside]) -> SettledTargets:
        """Return the totals; `by_hand` has further unconfirmed credentials, for which no target was called."""
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
        """Return the outcome to record, and the time of the next attempt; None if no work is left."""
        outcome = outcome._replace(proof=safe(outcome.proof)[:500])
        match outcome.settlement:
            case Settlement.DONE | Settlement.UNSUPPORTED:
                certain = outside.ends_at + MINTING
                if outside.confirmed or self._abandoned or now >= certain:
                    return outside, outcome, None
                proof = f"{outcome.proof}; its creation may be unfinished"
                return outside, EndOutcome(Settlement.UNAVAILABLE, proof), certain
            case Settlement.STUCK:
                return outside, outcome, now + LAST_AFTER
            case Settlement.UNAVAILABLE:
                return outside, outcome, now + backoff(outside.attempts)


def backoff(attempts: int) -> int:
    """Return the seconds until the next attempt, after this number of attempts."""
    longest = min(FIRST_AFTER << min(attempts, 12), LAST_AFTER)
    # Jitter, so that many machines do not retry at the same time.
    return max(1, round(uniform(longest / 2, longest)))  # noqa: S311


def left_by_now(outside: Outside) -> Left:
    """Return an unconfirmed credential, with the outcome of its latest attempt."""
    settled = outside.settled_at is not None
    settlement = Settlement.UNAVAILABLE if outside.settlement is None else Settlement(outside.settlement)
    outcome = EndOutcome(settlement, outside.proof or "no attempt was made yet", outside.honoured_until)
    without_attempt = settled or outside.record.target == BY_HAND
    return _left(outside, outcome, None if without_attempt else outside.next_at)


def _left(outside: Outside, outcome: EndOutcome, next_at: int | None) -> Left:
    record = outside.record
    honoured_until = outcome.honoured_until
    if honoured_until is None and record.expires_at < NO_EXPIRY:
        honoured_until = record.expires_at
    return Left(
        record.jti,
        record.id,
        record.kind,
        record.target,
        record.name,
        outcome.settlement.value,
        outcome.proof,
        next_at,
        honoured_until,
    )


NAME = "targets"


def visit(context: Context, targets: Targets) -> Iterator[Check]:
    """Yield the result for each target, and warnings about credentials that must still be ended.

    Nothing is made or ended. A target that hangs is given up after its own time limit.
    """
    for name in targets.names():
        try:
            yield ok(NAME, f"{safe(name)}: {_description(context, targets, name)}")
        except JitidError as error:
            error.message = f"{safe(name)}: {safe(error.message)}"
            yield failure(NAME, error)
    with context.ledger.read() as snapshot:
        unsettled = OutsideStore(snapshot).open_count()
        configured = set(targets.names())
        lost = [name for name in OutsideStore(snapshot).targets_due(None) if name not in configured]
    for name in lost:
        yield warning(
            NAME,
            f"{safe(name)}: ended credentials must be revoked at this target, which is not configured",
            f"configure it again: a table [target.{safe(name)}]",
        )
    if unsettled:
        description = "1 ended credential" if unsettled == 1 else f"{unsettled} ended credentials"
        yield warning(NAME, f"{description} may still work at a target", "jitid sweep")
    if not targets.names() and not lost:
        yield ok(NAME, "no targets are configured")


def _description(context: Context, targets: Targets, name: str) -> str:
    """Return the kind of a target, and that it answers. Raises the errors of its issuer."""
    target = targets.get(name)
    templates = f"templates {', '.join(map(safe, target.templates))}" if target.templates else "no templates"
    if not is_outside(target.kind):
        return f"{target.kind}, made here; {templates}"
    issuer = targets.open(target)
    try:
        with context.ledger.read() as snapshot:
            ledger_names = OutsideStore(snapshot).names_at(name)
        issuer.expect([entry.name for entry in ledger_names])
        # The first entry of the inventory shows that the target answers.
        next(iter(issuer.inventory()), None)
    finally:
        with suppress(JitidError):
            issuer.close()
    return f"{target.kind}, answers; {templates}"
