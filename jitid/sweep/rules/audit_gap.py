"""The audit log does not hold together."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote as word

from jitid.audit import BrokenChainError, Event, Head, check_chain, genesis
from jitid.auditing import UnreadableHeadError
from jitid.errors import IntegrityError
from jitid.sweep.finding import Finding, Severity
from jitid.sweep.rule import Group, Rule, Sight


def _find(sight: Sight) -> Iterator[Finding]:
    unreadable = [(place, why) for place, why in sight.remembered if isinstance(why, UnreadableHeadError)]
    for place, why in unreadable:
        name = word(place)
        yield RULE.finding(
            place,
            f"{why.message} ({place}), so that it does not tell whether the tail of the audit log was cut",
            remedy=f"jitid audit verify && mv {name} {word(f'{place}.unreadable')}",
        )
    try:
        head = _read_on(sight)
    except _UntrueError as error:
        yield RULE.finding(
            "ledger",
            f"the audit log cannot be trusted: {error}",
            remedy=f"jitid audit verify --expect-head {word(error.place)}",
        )
    except BrokenChainError as error:
        yield RULE.finding("ledger", f"the audit log cannot be trusted: {error}", remedy="jitid audit verify")
    else:
        # Only what somebody has put away makes room for a new head: it may be all that is left of the true one.
        sight.verified = None if unreadable else head


class _UntrueError(Exception):
    """A head that was kept does not agree with the ledger."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"{why} (the head in {place})")
        self.place = place


def _read_on(sight: Sight) -> Head:
    """Return the last link of the chain. Raises _UntrueError or BrokenChainError where it does not hold."""
    kept: dict[int, list[tuple[str, Head]]] = {}
    for place, head in sight.remembered:
        if isinstance(head, UnreadableHeadError):
            continue
        if isinstance(head, IntegrityError):
            raise _UntrueError(place, head.message)
        kept.setdefault(head.seq, []).append((place, head))
    seqs = [seq for seq in kept if seq]
    start = Head(0, genesis(sight.names.uuid))
    if seqs and not sight.reread:
        start = kept[min(seqs)][0][1]
        _check(sight.snapshot.event(start.seq), kept[start.seq])
    head = start
    for seq, _, hash_ in check_chain(start, sight.snapshot.events(start.seq)):
        head = Head(seq, hash_)
        for place, other in kept.pop(seq, ()):
            if other.hash != hash_:
                raise _UntrueError(place, f"event {seq} is not the one that it tells of")
    for seq, others in kept.items():
        if seq > head.seq:
            _check(None, others)
    before = f"; those before {start.seq + 1} were verified by an earlier sweep" if start.seq else ""
    new = f"audit events {start.seq + 1} to {head.seq}" if head.seq > start.seq else "no new audit events"
    sight.examined(new + before)
    return head


def _check(event: Event | None, kept: list[tuple[str, Head]]) -> None:
    for place, head in kept:
        if event is None:
            raise _UntrueError(
                place,
                f"event {head.seq}, which it tells of, is missing: the tail was cut, or the ledger is an older copy",
            )
        if event.hash != head.hash:
            raise _UntrueError(place, f"event {head.seq} is not the one that it tells of")


RULE = Rule(
    name="audit-gap",
    severity=Severity.CRITICAL,
    group=Group.HEALTH,
    owasp=(),
    title="the audit log is broken",
    reports="an audit chain that does not hold from the last verified head on, or a kept head that cannot be read or "
    "is not this ledger's",
    spares="a chain that has grown; rows that disagree with their events are for `jitid audit verify`",
    examines="audit events",
    find=_find,
)
