"""Remedies of `--fix` at targets: end credentials there that the target still accepts, and report failures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from jitid.capabilities.sweep.finding import Finding, Remedied, Unfixed
from jitid.capabilities.sweep.rule import Rule
from jitid.capabilities.targets import settle
from jitid.capabilities.targets.store import OutsideStore
from jitid.errors import JitidError
from jitid.issuers.targets import Targets
from jitid.ledger.contract import Ledger, change
from jitid.ledger.transaction import Transaction
from jitid.model.target import EndOutcome, Outside, Settlement, TargetRecord
from jitid.values.text import safe

_AT_ONCE = 200


class _Wrong(NamedTuple):
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
        yield Unfixed(rule.name, nameless, "it bears no name of ours: whoever made it must end it")
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
    record = TargetRecord(
        jti=evidence["jti"],
        id="",
        kind=target.kind,
        target=target.name,
        template=None,
        name=evidence["name"],
        reference=None,
        agent="",
        task="",
        delegator="",
        purpose=None,
        sensitivity="moderate",
        scopes=(),
        audiences=(),
        issued_at=0,
        expires_at=0,
    )
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
