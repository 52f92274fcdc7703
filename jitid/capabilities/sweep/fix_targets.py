"""Remedies of `--fix` at targets: end credentials there that the target still accepts, and report failures.

Before that, targets are queried in parallel for the credentials that exist there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from queue import Empty, Queue
from threading import Thread
from time import monotonic

from jitid.capabilities.sweep.finding import Finding, Remedied, Unfixed
from jitid.capabilities.sweep.rule import Rule
from jitid.capabilities.sweep.store import Observed, SeenTarget
from jitid.capabilities.targets import settle
from jitid.capabilities.targets.store import OutsideStore
from jitid.errors import JitidError
from jitid.issuers.targets import Targets
from jitid.ledger.contract import Ledger, change
from jitid.ledger.transaction import Transaction
from jitid.model.target import EndOutcome, Outside, Settlement, TargetRecord
from jitid.system import time_limit
from jitid.values.record import Record
from jitid.values.text import safe

_AT_ONCE = 200


class _Wrong(Record):
    """A finding at a target, and the record of the credential to end there."""

    finding: Finding
    record: TargetRecord


def mend(
    ledger: Ledger,
    targets: Targets,
    rule: Rule,
    findings: Sequence[Finding],
    sweep: str,
    limit: float,
) -> Iterator[Remedied | Unfixed]:
    """End the findings of a rule at their targets, and yield the results, target by target.

    Revocations in the queue are tried at once, even before they are due. A credential whose end was confirmed, or that
    the ledger never had, is ended again, and an audit event records it.
    """
    outside_rows = _known(ledger, [finding for finding in findings if "jti" not in finding.evidence])
    waiting = [
        finding
        for finding in findings
        if (row := outside_rows.get(finding.subject)) is not None and row.settled_at is None
    ]
    if waiting:
        yield from _settled(ledger, targets, rule, waiting, sweep, limit)
    others = [finding for finding in findings if finding not in waiting]
    by_target: dict[str, list[_Wrong]] = {}
    nameless = 0
    for finding in others:
        row = outside_rows.get(finding.subject)
        record = _unknown(finding, targets) if row is None else row.record
        if record is None:
            nameless += 1
        else:
            by_target.setdefault(record.target, []).append(_Wrong(finding, record))
    if nameless:
        yield Unfixed(rule.name, nameless, "it has no jitid name, so its owner must revoke it")
    for target, wrong in by_target.items():
        for start in range(0, len(wrong), _AT_ONCE):
            yield from _ended(ledger, targets, rule, target, wrong[start : start + _AT_ONCE], sweep)


def _known(ledger: Ledger, findings: Iterable[Finding]) -> Mapping[str, Outside]:
    with ledger.read() as snapshot:
        return {
            row.record.jti: row
            for row in OutsideStore(snapshot).find([finding.subject for finding in findings])
        }


def _unknown(finding: Finding, targets: Targets) -> TargetRecord | None:
    """Return a record for an unknown credential with a jitid name; None if the name alone cannot end it."""
    evidence = finding.evidence
    if evidence["jti"] is None:
        return None
    target = targets.get(evidence["target"])
    record = TargetRecord(evidence["jti"], "", target.kind, target.name, None, evidence["name"], None)
    issuer = targets.open(target)
    try:
        return record if issuer.names_of(record.name, record.reference) == (record.name,) else None
    finally:
        with suppress(JitidError):
            issuer.close()


def _settled(
    ledger: Ledger,
    targets: Targets,
    rule: Rule,
    findings: Sequence[Finding],
    sweep: str,
    limit: float,
) -> Iterator[Remedied | Unfixed]:
    """Try the revocations in the queue again."""
    jtis = [finding.subject for finding in findings]
    settled = settle.settle(ledger, targets, ids=jtis, waiting=True, limit=limit)
    with ledger.read() as snapshot:
        now = snapshot.now
        unsettled = {
            row.record.jti: row for row in OutsideStore(snapshot).find(jtis) if row.settled_at is None
        }
    ended = tuple(finding for finding in findings if finding.subject not in unsettled)
    if ended:
        yield Remedied(sweep, rule.name, ended, len(ended), settled.events[-1], now, 0, None)
    if unsettled:
        reason = (
            next((row.proof for row in unsettled.values() if row.proof), None)
            or "the target has not answered"
        )
        yield Unfixed(rule.name, len(unsettled), reason)


def _ended(
    ledger: Ledger, targets: Targets, rule: Rule, target: str, wrong: Sequence[_Wrong], sweep: str
) -> Iterator[Remedied | Unfixed]:
    """End credentials at a target again that have no open revocation in the ledger."""
    try:
        issuer = targets.open(targets.get(target))
        try:
            outcomes = issuer.revoke([entry.record for entry in wrong])
        finally:
            with suppress(JitidError):
                issuer.close()
    except JitidError as error:
        outcomes = [EndOutcome(Settlement.UNAVAILABLE, safe(error.message))] * len(wrong)
    ended = [
        entry for entry, outcome in zip(wrong, outcomes, strict=True) if outcome.settlement is Settlement.DONE
    ]
    failed = [outcome for outcome in outcomes if outcome.settlement is not Settlement.DONE]
    if ended:
        names = sha256("".join(sorted(f"{entry.record.name}\n" for entry in ended)).encode()).hexdigest()

        def record_clear(transaction: Transaction) -> tuple[int, int]:
            facts = {
                "target": target,
                "sweep": sweep,
                "finding": rule.name,
                "tried": len(wrong),
                "cleared": len(ended),
            }
            return transaction.append("clear", {**facts, "names": names}).seq, transaction.now

        event, ended_at = change(ledger, record_clear)
        findings = tuple(entry.finding for entry in ended)
        yield Remedied(sweep, rule.name, findings, len(ended), event, ended_at, 0, None)
    if failed:
        yield Unfixed(rule.name, len(failed), failed[0].proof)


LIMIT = 60
"""Default number of seconds that a target has to list its credentials."""


class _TargetAnswer(Record):
    target: str
    seen: SeenTarget | None
    why: str | None


def observe(ledger: Ledger, targets: Targets, chosen: Sequence[str], limit: float) -> Observed:
    """Query targets; a target that does not answer within `limit` seconds counts as missed.

    With `chosen`, only these targets are queried. Otherwise all targets of the configuration are, and all where the
    ledger has open rows.

    Raises UsageError if the configuration has no target of that name.
    """
    for name in chosen:
        targets.get(name)
    with ledger.read() as snapshot:
        now = snapshot.now
        target_names = tuple(
            dict.fromkeys(chosen or (*targets.names(), *OutsideStore(snapshot).targets_open()))
        )
        open_there = {name: OutsideStore(snapshot).open_at(name) for name in target_names}
    # Threads cannot read the ledger's signing key: a ledger belongs to one thread.
    targets.prepare(target_names)
    answers: Queue[_TargetAnswer] = Queue()
    for name in target_names:
        # A daemon thread: a target that hangs does not keep the process from ending.
        Thread(target=_query, args=(targets, name, open_there[name], now, answers), daemon=True).start()
    limit = time_limit.left(limit)
    waited, deadline = set(target_names), monotonic() + limit
    seen: dict[str, SeenTarget] = {}
    missed: dict[str, str] = {}
    while waited:
        try:
            answer = answers.get(timeout=max(deadline - monotonic(), 0))
        except Empty:
            missed |= dict.fromkeys(waited, f"it did not answer within {limit:.3g} seconds")
            break
        waited.discard(answer.target)
        if answer.seen is not None:
            seen[answer.target] = answer.seen
        else:
            missed[answer.target] = answer.why or ""
    return Observed(
        tuple(seen[name] for name in target_names if name in seen),
        tuple(f"target {safe(name)}: {missed[name]}" for name in target_names if name in missed),
        frozenset(chosen) if chosen else None,
    )


def _query(
    targets: Targets,
    name: str,
    open_rows: Sequence[tuple[int, str, str | None]],
    now: int,
    answers: Queue[_TargetAnswer],
) -> None:
    """Query one target; any error becomes its answer."""
    try:
        answers.put(_TargetAnswer(name, _seen(targets, name, open_rows, now), None))
    except JitidError as error:
        answers.put(_TargetAnswer(name, None, safe(error.message)))
    except Exception as error:  # noqa: BLE001 - one kind's fault must not keep others from being examined
        answers.put(_TargetAnswer(name, None, f"internal error: {type(error).__name__}"))


def _seen(
    targets: Targets, name: str, open_rows: Sequence[tuple[int, str, str | None]], now: int
) -> SeenTarget:
    issuer = targets.open(targets.get(name))
    try:
        names = [
            (target_name, key)
            for key, recorded_name, reference in open_rows
            for target_name in issuer.names_of(recorded_name, reference)
        ]
        issuer.expect([target_name for target_name, _ in names])
        return SeenTarget(name, now, tuple(issuer.inventory()), names, issuer.unseen)
    finally:
        with suppress(Exception):
            issuer.close()
