"""Rule `audit-gap`: the chain of the audit log is broken, or a kept head does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote as word

from jitid.capabilities.audit.audit_log import UnreadableHeadError
from jitid.capabilities.audit.cut_store import CutStore
from jitid.capabilities.integrity.verify_log import begins_after, put_back
from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.errors import IntegrityError
from jitid.model.chain import Chain, Walk, marks
from jitid.model.event import BrokenChainError, Event, Head


def _find(context: RuleContext) -> Iterator[Finding]:
    unreadable = [
        (path, problem) for path, problem in context.remembered if isinstance(problem, UnreadableHeadError)
    ]
    for path, problem in unreadable:
        name = word(path)
        yield RULE.finding(
            path,
            f"{problem.message} ({path}); it cannot show whether the end of the audit log was cut off",
            remedy=f"jitid audit verify && mv {name} {word(f'{path}.unreadable')}",
        )
    try:
        head = _read_on(context)
    except _UntrueError as error:
        seq = put_back(context.snapshot)
        why = "" if seq is None else f"; event {seq} records that the ledger was restored from a backup"
        yield RULE.finding(
            "ledger",
            f"the audit log cannot be trusted: {error}{why}",
            remedy=f"jitid audit verify --expect-head {word(error.place)}",
        )
    except BrokenChainError as error:
        yield RULE.finding("ledger", f"the audit log cannot be trusted: {error}", remedy="jitid audit verify")
    else:
        # No new head is kept until an operator has put the unreadable one away: it may be the only trace of the true
        # head.
        context.verified = None if unreadable else head


class _UntrueError(Exception):
    """A kept head that does not agree with the ledger."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{reason} ({path})")
        self.place = path


def _read_on(context: RuleContext) -> Head:
    """Return the head over all chains. Raises _UntrueError or BrokenChainError if they do not hold."""
    chains = context.snapshot.chains()
    cut = _cut(context)
    ends = {} if cut is None else marks(cut, chains)
    expected: dict[int, list[tuple[str, bytes]]] = {}
    heads: list[tuple[str, Head]] = []
    for path, head in context.remembered:
        if isinstance(head, UnreadableHeadError):
            continue
        if isinstance(head, IntegrityError):
            raise _UntrueError(path, head.message)
        heads.append((path, head))
        for seq, hash_ in _marks(path, head, chains).items():
            if seq > max(ends, default=0):
                expected.setdefault(seq, []).append((path, hash_))
            elif seq in ends:
                _check(Event(seq, b"", ends[seq]), seq, [(path, hash_)])
    earliest = min([pair for pair in heads if pair[1].seq], key=lambda pair: pair[1].seq, default=None)
    begun = cut
    if earliest is not None and not context.reread and (cut is None or earliest[1].seq > cut.seq):
        path, begun = earliest
        for seq in _marks(path, begun, chains):
            _check(context.snapshot.event(seq), seq, expected.pop(seq, []))
    walk = Walk(context.names.uuid, chains, begun)
    for seq, _, hash_ in walk.check(context.snapshot.events(walk.after)):
        if seq in expected:
            _check(Event(seq, b"", hash_), seq, expected.pop(seq))
    for seq, others in expected.items():
        _check(context.snapshot.event(seq), seq, others)
    head = walk.finish(chains)
    start_seq = 0 if begun is None else begun.seq
    earlier = "were exported and cut" if begun is cut else "were verified by an earlier sweep"
    before_text = f"; those before {start_seq + 1} {earlier}" if start_seq else ""
    new_text = (
        f"audit events {start_seq + 1} to {head.seq}" if head.seq > start_seq else "no new audit events"
    )
    context.examined(new_text + before_text)
    return head


def _cut(context: RuleContext) -> Head | None:
    """Return the head at the end of the part that was cut from the log. Raises BrokenChainError if it is invalid."""
    try:
        return begins_after(context.snapshot, context.names, CutStore(context.snapshot).last())
    except IntegrityError as error:
        raise BrokenChainError(error.message) from error


def _marks(path: str, head: Head, chains: Sequence[Chain]) -> dict[int, bytes]:
    try:
        return marks(head, chains)
    except BrokenChainError as error:
        raise _UntrueError(path, f"{error} of the kept head: the ledger is an older copy") from error


def _check(event: Event | None, seq: int, expected: list[tuple[str, bytes]]) -> None:
    for path, hash_ in expected:
        if event is None:
            raise _UntrueError(
                path,
                f"event {seq} of the kept head is missing: the log was cut at its end, or the ledger is an older copy",
            )
        if event.hash != hash_:
            raise _UntrueError(path, f"event {seq} differs from the event of the kept head")


RULE = Rule(
    name="audit-gap",
    severity=Severity.CRITICAL,
    group=RuleGroup.HEALTH,
    owasp=(),
    title="the audit log is broken",
    reports="an audit chain that is broken after the last verified head; a kept head that is unreadable or from "
    "another ledger",
    spares="a chain with new events; rows that disagree with their events (see `jitid audit verify`)",
    examines="audit events",
    find=_find,
)
