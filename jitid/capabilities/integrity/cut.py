"""Cut the audit log: old events are exported with a signed head, read again, and only then deleted.

Events to which a row refers stay, and so do events about the state of the ledger: permissions, keys, ended tasks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256

from jitid.capabilities.audit import audit_log
from jitid.capabilities.audit.cut_store import CutStore, Segment, digest_of
from jitid.capabilities.integrity import audit_export, verify_log
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.capabilities.targets.store import OutsideStore
from jitid.errors import ConflictError, IntegrityError, JitidError, OutputError, UsageError
from jitid.keys.keyring import Keyring
from jitid.ledger.contract import Ledger
from jitid.ledger.view import View
from jitid.model.chain import Chain, head_of, links, opening
from jitid.model.event import Event, Head
from jitid.system.files import writing_private
from jitid.system.output_place import check_output
from jitid.values import strict_json
from jitid.values.ids import parse_id
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import format_duration

LEAST = 86_400
"""Minimum seconds for which events are kept: a sweep reads on from a head that it has kept."""

_KEPT = (
    b'"op":"init"',
    b'"op":"ledger-',
    b'"op":"adopt',
    b'"op":"accept-clock"',
    b'"op":"delegator-',
    b'"op":"agent-',
    b'"op":"access-',
    b'"op":"key-',
    b'"op":"retire"',
    b'"op":"leak-proof"',
    b'"op":"cut"',
)
"""Bytes of events that stay even if no row refers to them: inside a text the quotes would be escaped."""


class Cut(Record):
    """The result of a cut, or of a dry run."""

    before: int
    """The time before which events are cut, in seconds since the epoch."""
    through: int
    """The number of the last of these events; 0 if there is none."""
    exported: int
    """Number of events in the file."""
    kept: int
    """Number of these and earlier events that stay in the ledger."""
    event: int | None
    """The audit event that records the cut; None if no event was cut."""
    file: str | None
    """The file with the exported events; None if no event was cut."""


class _Part(Record):
    """A part of the log that may be cut, in one view of the ledger."""

    last: Segment | None
    chains: list[Chain]
    """The chains at the end of the part."""
    through: int
    events: int
    kept: list[int]
    digest: str


def cut(
    ledger: Ledger,
    keyring: Keyring,
    *,
    evidence_after: int,
    folder: str,
    dry_run: bool,
    accept_clock: bool = False,
) -> Cut:
    """Export events that are old enough to a file in a folder, and delete the events that are not needed.

    Args:
        ledger: the ledger.
        keyring: has the key that signs the head at the end.
        evidence_after: the seconds for which events are kept.
        folder: the folder of the file; it is made if it is missing.
        dry_run: whether to write nothing and only return the result.
        accept_clock: as in a write transaction.

    Raises:
        IntegrityError: the log is invalid, or the file differs from the written text; nothing was cut.
        OutputError: the file cannot be written; nothing was cut.
        ConflictError: another process cut the log meanwhile; nothing was cut.
        UsageError: `evidence_after` is too short.

    """
    if evidence_after < LEAST:
        raise UsageError(
            f"--evidence-after must be at least {format_duration(LEAST)}; nothing was cut",
            "for example: --evidence-after 400d",
        )
    with ledger.read() as snapshot:
        verify_log.verify(snapshot, ledger.names, None)
        snapshot = snapshot.afresh()
        before = snapshot.now - evidence_after
        part = _part(snapshot, ledger, before)
        last_segment = CutStore(snapshot).last()
        if part is not None and not dry_run:
            path, segment = _exported(snapshot, ledger, keyring, part, folder)
    if part is None or dry_run:
        if last_segment is not None and not dry_run:
            # An earlier cut may have been interrupted before it deleted its events.
            _delete(ledger, last_segment.through, accept_clock=accept_clock)
        counts = (0, 0, 0) if part is None else (part.through, part.events, len(part.kept))
        return Cut(before, *counts, None, None)
    with ledger.write(accept_clock=accept_clock) as transaction:
        transaction.alone()
        if CutStore(transaction).last() != part.last:
            raise ConflictError(
                "another process cut the audit log meanwhile; nothing was changed", "repeat the command"
            )
        segment = segment._replace(event=transaction.next_seq())
        CutStore(transaction).add(segment, part.kept)
        facts = segment._asdict()
        del facts["event"]
        transaction.append("cut", {**facts, "before": before, "events": part.events})
    _delete(ledger, part.through, accept_clock=accept_clock)
    return Cut(before, part.through, part.events, len(part.kept), segment.event, path)


def _part(snapshot: View, ledger: Ledger, before: int) -> _Part | None:
    """Return the part that may be cut now; None if there is no such part."""
    last_segment = CutStore(snapshot).last()
    start = 0 if last_segment is None else last_segment.through
    cut_head = verify_log.begins_after(snapshot, ledger.names, last_segment)
    through = _through(snapshot, start, before)
    if through <= start:
        return None
    selection = _KeptEvents(snapshot, through)
    kept_seqs = [event.seq for event in _both(snapshot, start, through) if selection.has(event)]
    kept_set = set(kept_seqs)
    _, digest = digest_of(event for event in _both(snapshot, start, through) if event.seq in kept_set)
    count = sum(1 for event in _both(snapshot, start, through) if event.seq > start)
    return _Part(
        last_segment, _ends(snapshot, ledger.names.uuid, through, cut_head), through, count, kept_seqs, digest
    )


def _both(snapshot: View, start: int, through: int) -> Iterator[Event]:
    """Yield the remaining events up to `start`, and all later events up to `through`."""
    yield from CutStore(snapshot).kept(start)
    for event in map(Event._make, snapshot.events(start)):
        if event.seq > through:
            return
        yield event


def _through(snapshot: View, start: int, before: int) -> int:
    """Return the number up to which all events are old enough, and no event can be added."""
    settled = snapshot.settled()
    through = start
    for seq, body, _ in snapshot.events(start):
        if seq > settled or strict_json.loads(body, "audit event")["at"] >= before:
            break
        through = seq
    # At least one event must stay, so that the log continues after it.
    return min(through, settled - 1)


def _ends(snapshot: View, uuid: str, through: int, cut_head: Head | None) -> list[Chain]:
    """Return the chains at the time when `through` was the last event, without chains of later epochs."""
    cut_links = {} if cut_head is None else {link.chain: link for link in links(cut_head)}
    chains = snapshot.chains()
    epoch = max([chain.epoch for chain in chains if chain.start <= through], default=0)
    past_chains: list[Chain] = []
    for chain in chains:
        if chain.epoch > epoch:
            continue
        length = min(chain.length, max(0, (through - chain.start) // chain.stride + 1))
        hash_ = chain.hash
        if not length:
            hash_ = opening(uuid, chain, [past.end for past in past_chains if past.epoch < chain.epoch])
        elif length != chain.length:
            event = snapshot.event(chain.number(length))
            # The chain may have no event since the last cut.
            hash_ = cut_links[chain.id].hash if event is None else event.hash
        past_chains.append(chain._replace(length=length, hash=hash_))
    return past_chains


class _KeptEvents:
    """The selection of the events that stay."""

    def __init__(self, snapshot: View, through: int) -> None:
        self._needed = CutStore(snapshot).needed(through)
        self._outside = {jti for jti, *_ in OutsideStore(snapshot).rows("condemned")}
        self._approvals = {approval.id for approval in ApprovalStore(snapshot).all()}

    def has(self, event: Event) -> bool:
        """Return whether an event stays: because of its operation, or because a row refers to it."""
        seq, body, _ = event
        if seq in self._needed or any(mark in body for mark in _KEPT):
            return True
        if b'"confirmed":"' in body:
            return parse_id(strict_json.loads(body, "audit event")["jti"])[1] in self._outside
        if b'"op":"approval-' in body:
            return strict_json.loads(body, "audit event").get("approval") in self._approvals
        return False


def _exported(
    snapshot: View, ledger: Ledger, keyring: Keyring, part: _Part, folder: str
) -> tuple[str, Segment]:
    """Write a part of the log to a file, and read the file again. Raises IntegrityError if it differs."""
    head = head_of(part.chains)
    signer = audit_log.signer_of(snapshot, keyring)
    vouched_facts = verify_log.cut_facts(part.through, part.digest)
    signed_head = audit_log.sign_head(head, ledger.names, signer, snapshot.now, vouched_facts)
    first_seq = 1 if part.last is None else part.last.through + 1
    name = f"jitid-audit-{ledger.names.uuid[:8]}-{first_seq:012}-{part.through:012}.jsonl"
    path = os.path.join(_private_folder(folder), name)
    digest = sha256()
    lines = audit_export.lines(
        snapshot,
        ledger.names,
        signed_head,
        after=None if part.last is None else part.last.head,
        start=first_seq - 1,
        chains=part.chains,
        through=part.through,
    )
    _must_be_free(path, head)
    with writing_private(path) as file:
        for line in lines:
            digest.update(f"{line}\n".encode())
            file.write(f"{line}\n")
    try:
        _must_hold(path, digest.hexdigest(), head)
    except JitidError:
        # The file would block the next attempt.
        with suppress(OSError):
            os.unlink(path)
        raise
    return path, Segment(0, part.through, signed_head, name, digest.hexdigest(), len(part.kept), part.digest)


def _must_be_free(path: str, head: Head) -> None:
    """Raise OutputError if the path has another file than this part of the log.

    A ledger that was copied has the same name, and perhaps another history. An interrupted cut leaves the same part of
    the same log, which may be replaced.
    """
    check_output(path)
    if not os.path.lexists(path):
        return
    try:
        with open(path, encoding="utf-8") as file:
            existing_head = audit_export.verify_export(file, None).head
    except (JitidError, OSError, UnicodeDecodeError):
        existing_head = None
    if existing_head != head:
        raise OutputError(
            f"{quote(path, 200)} exists with other content; nothing was cut", "export into another folder"
        )


def _private_folder(path: str) -> str:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {quote(path, 200)}: {error.strerror}; nothing was cut"
        ) from error
    return path


def _must_hold(path: str, digest: str, head: Head) -> None:
    """Read a file again. Raises IntegrityError if it differs from the written text, or is not a valid export."""
    file_hash = sha256()

    def lines() -> Iterator[str]:
        with open(path, encoding="utf-8") as file:
            for line in file:
                file_hash.update(line.encode())
                yield line

    try:
        verification = audit_export.verify_export(lines(), None)
    except OSError as error:
        raise OutputError(
            f"cannot read {quote(path, 200)} back: {error.strerror}; nothing was cut"
        ) from error
    if file_hash.hexdigest() != digest or verification.head != head:
        raise IntegrityError(f"{quote(path, 200)} differs from the exported text; nothing was cut")


def _delete(ledger: Ledger, through: int, *, accept_clock: bool) -> None:
    """Delete the events that were cut, in several transactions."""
    after: int | None = 0
    while after is not None:
        with ledger.write(accept_clock=accept_clock) as transaction:
            _, after = CutStore(transaction).delete(through, after)
