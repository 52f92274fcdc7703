"""The audit log does not hold together."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.audit import BrokenChainError, Head, check_chain, genesis
from jitid.errors import IntegrityError
from jitid.sweep.finding import Finding, Severity
from jitid.sweep.rule import Group, Rule, Sight


def _find(sight: Sight) -> Iterator[Finding]:
    try:
        head = _read_on(sight)
    except (BrokenChainError, IntegrityError) as error:
        yield RULE.finding("ledger", f"the audit log cannot be trusted: {error}", remedy="jitid audit verify")
    else:
        sight.verified = head


def _read_on(sight: Sight) -> Head:
    """Return the last link of the chain. Raises BrokenChainError or IntegrityError where it does not hold."""
    start = sight.remembered
    if isinstance(start, IntegrityError):
        raise start
    head = start or Head(0, genesis(sight.names.uuid))
    if head.seq:
        event = sight.snapshot.event(head.seq)
        if event is None:
            raise IntegrityError(
                f"event {head.seq}, which a signed head tells of, is missing: the tail was cut, or the ledger is an "
                "older copy"
            )
        if event.hash != head.hash:
            raise IntegrityError(f"event {head.seq} is not the one that a signed head tells of")
    first = head.seq + 1
    for seq, _, hash_ in check_chain(head, sight.snapshot.events(head.seq)):
        head = Head(seq, hash_)
    before = f"; those before {first} were verified by an earlier sweep" if first > 1 else ""
    sight.examined(
        f"audit events {first} to {head.seq}{before}" if head.seq >= first else f"no new audit events{before}"
    )
    return head


RULE = Rule(
    name="audit-gap",
    severity=Severity.CRITICAL,
    group=Group.HEALTH,
    owasp=(),
    title="the audit log is broken",
    reports="an audit chain that does not hold from the last verified head on, or a head that is not this ledger's",
    spares="a chain that has grown; rows that disagree with their events are for `jitid audit verify`",
    examines="audit events",
    find=_find,
)
