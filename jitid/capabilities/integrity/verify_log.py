"""Verification of the audit log, and of the ledger's rows against it.

And of the segments that were cut from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from jitid.capabilities.audit.audit_log import HEAD_TYPE, UnreadableHeadError, read_head
from jitid.capabilities.audit.cut_store import CutStore, Segment, digest_of
from jitid.capabilities.decisions.store import RequestStore
from jitid.capabilities.integrity.members import Members
from jitid.crypto import jws
from jitid.errors import IntegrityError
from jitid.ledger.policies import kept
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.chain import Chain, Walk, links, marks
from jitid.model.event import BrokenChainError, Event, Head
from jitid.model.ledger_rows import Names
from jitid.values import strict_json
from jitid.values.record import Record

MARK = b'"op":"cut"'
"""Bytes of every event about a segment, and of no other event: inside a text the quotes would be escaped."""


class CutMembers:
    """The comparison of segments, and of the events that remain of them, with the events about segments."""

    def __init__(self, segments: CutStore) -> None:
        self._segments = segments
        self._rows = segments.all()
        self._expected: list[Segment] = []
        self.last: Segment | None = self._rows[-1] if self._rows else None
        """The last segment; None if the log was never cut."""
        self.through = 0 if self.last is None else self.last.through
        """The number of the last event that was cut, or may have been cut."""

    def kept(self) -> Iterator[Event]:
        """Yield the remaining events of the cut part.

        Raises IntegrityError if they differ from the events that remained after the cut.
        """
        if self.last is None:
            return
        try:
            count, digest = digest_of(self._segments.kept(self.through))
        except TypeError as error:
            # An editor that uses a database's own functions may leave text instead of bytes.
            raise IntegrityError("a kept event no longer has its original bytes") from error
        if (count, digest) != (self.last.kept, self.last.digest):
            raise IntegrityError("the kept events of the cut audit log were changed")
        yield from self._segments.kept(self.through)

    def check(self, seq: int, body: bytes) -> None:
        """Take an event."""
        if MARK in body:
            event = strict_json.loads(body, "audit event")
            self._expected.append(Segment(seq, *(event.get(name) for name in Segment._fields[1:])))

    def compare_rows(self) -> None:
        """Compare the segments. Raises IntegrityError if a segment was edited, removed or inserted."""
        if sorted(self._expected, key=lambda segment: segment.event) != sorted(
            self._rows, key=lambda segment: segment.event
        ):
            raise IntegrityError("the ledger's cuts of the audit log do not match its events")


class Verification(Record):
    """The result of a verification without errors."""

    events: int
    """Number of events."""
    members: int
    """Number of rows that were compared with the events that issued and ended them."""
    head: Head
    cut: int | None = None
    """The number of an event in the expected head that was cut from this log: its segment has the event."""


class ContradictedError(IntegrityError):
    """A head that was kept elsewhere does not agree with the ledger's events."""


class Remembered:
    """A head that was kept elsewhere, and that the chains must pass through; without a head, all chains fit.

    Raises ContradictedError if the head has a chain that does not exist.
    """

    def __init__(self, head: Head | None, chains: Sequence[Chain], cut_head: Head | None = None) -> None:
        """Keep the head; `cut_head` is the head at the end of the cut part, or None if the log was never cut."""
        self._head = head
        self.cut: int | None = None
        """The number of an event in the head that was cut, so that it cannot be met here."""
        try:
            self._marks = {} if head is None else marks(head, chains)
            ends = {} if cut_head is None else marks(cut_head, chains)
        except BrokenChainError as error:
            raise ContradictedError(
                f"{error} that the remembered head names: the ledger is an older copy"
            ) from error
        for seq, hash_ in ends.items():
            self.meet(seq, hash_)
        self._through = max(ends, default=0)

    def meet(self, seq: int, hash_: bytes) -> None:
        """Compare an event. Raises ContradictedError if the head has another event with its number."""
        if self._marks.pop(seq, hash_) != hash_:
            raise ContradictedError(f"event {seq} does not match the remembered head: history was rewritten")

    def must_be_met(self, walk: Walk, last_seq: int) -> None:
        """Raise ContradictedError unless all events in the head were met; `last_seq` is the last event of the log."""
        for seq in [seq for seq in self._marks if seq <= self._through]:
            del self._marks[seq]
            self.cut = seq
        if self._marks:
            raise ContradictedError(
                f"the chain ends at event {last_seq}, but the remembered head is event {min(self._marks)}: "
                "the log was truncated, or the ledger is an older copy"
            )
        if self._head is not None and self._head.chains:
            for end in links(self._head):
                if not end.length and walk.openings[end.chain] != end.hash:
                    raise ContradictedError(
                        f"the beginning of chain {end.chain} does not match the remembered head: history was rewritten"
                    )


def put_back(snapshot: View) -> int | None:
    """Return the last event that records a restore from a backup; None if there is none."""
    for event in snapshot.events(0, newest_first=True):
        if _PUT_BACK in event[1]:
            return event[0]
    return None


_PUT_BACK = b'"op":"ledger-restore"'
"""Bytes of no other event: inside a text the quotes would be escaped."""


def verify(snapshot: View, names: Names, expected: Head | None) -> Verification:
    """Check all chains, and that each row agrees with the events that issued and ended it.

    Args:
        snapshot: the view to check.
        names: the names of the ledger.
        expected: a kept head that the chains must pass through.

    Raises:
        IntegrityError: an event or a row was edited, removed, inserted or moved; or the chains lack `expected`.

    """
    try:
        return _verify(snapshot.afresh(), names, expected)
    except (TypeError, AttributeError) as error:
        # An editor may leave a number instead of a text or bytes.
        raise IntegrityError("a row of the ledger has an invalid value") from error


def _verify(snapshot: View, names: Names, expected: Head | None) -> Verification:
    members = Members(snapshot, names.issuer)
    chains = snapshot.chains()
    cut = CutMembers(CutStore(snapshot))
    cut_head = begins_after(snapshot, names, cut.last)
    last_seq = 0
    try:
        remembered = Remembered(expected, chains, cut_head)
        walk = Walk(names.uuid, chains, cut_head)
        for last_seq, body, hash_ in chain(cut.kept(), walk.check(snapshot.events(cut.through))):
            members.check(last_seq, body)
            cut.check(last_seq, body)
            remembered.meet(last_seq, hash_)
        cut.compare_rows()
        head = walk.finish(chains)
        members.compare_rows()
        _check_mark(snapshot, last_seq)
        for digest in RequestStore(snapshot).policies(""):
            kept(snapshot, digest)
        remembered.must_be_met(walk, last_seq)
    except BrokenChainError as error:
        raise IntegrityError(
            f"the audit chain is broken: {error}", "compare with an export or a backup"
        ) from error
    except ContradictedError as error:
        seq = put_back(snapshot)
        if seq is not None:
            error.hint = (
                f"event {seq} restored the ledger from a backup, which lacks later events: "
                "if you know of the restore, move the head away"
            )
        raise
    return Verification(head.seq, members.count, head, remembered.cut)


def _check_mark(snapshot: View, last_seq: int) -> None:
    """Raise IntegrityError if the time mark was lowered: expired credentials would be valid again."""
    mark, event = snapshot.marked_at, snapshot.event(last_seq)
    if mark is not None and event is not None and mark < event.document()["at"]:
        raise IntegrityError("the ledger's time mark was changed: it is earlier than its last event")


def begins_after(snapshot: View, names: Names, segment: Segment | None) -> Head | None:
    """Return the head at the end of the cut part, after which the log begins; None if the log was never cut.

    Raises IntegrityError if no key of the ledger signed the head, or not for this cut.
    """
    if segment is None:
        return None
    try:
        head = read_head(segment.head, names, KeyStore(snapshot).signing_keys())
    except UnreadableHeadError as error:
        raise IntegrityError(f"cannot read the signed head of the last cut: {error.message}") from error
    # Otherwise any head that was ever signed would be enough, and an attacker could rewrite the history before it as
    # remaining events.
    must_vouch(segment.head, cut_facts(segment.through, segment.digest), "the last cut of the audit log")
    return head


def cut_facts(through: int, digest: str) -> dict[str, str]:
    """Return the facts that the head of a segment vouches for: its last event, and its remaining events."""
    return {"cut": str(through), "kept": digest}


def must_vouch(head: str, facts: Mapping[str, str], label: str) -> None:
    """Check that a signed head, read by `read_head` before, was signed for these facts. Raises IntegrityError."""
    claims = jws.parse(head, types=frozenset({HEAD_TYPE})).claims
    if any(claims.get(name) != value for name, value in facts.items()):
        raise IntegrityError(f"{label} was changed: it does not match its signed head")
