"""Perform the operations that read, check, export, cut and prune the ledger's own records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, assert_never

from jitid.capabilities.audit.cut_store import CutStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.integrity import operations as ops
from jitid.capabilities.integrity.verify_log import Verification, verify
from jitid.capabilities.leak.store import LeakStore
from jitid.capabilities.use.store import UseStore
from jitid.errors import NotFoundError
from jitid.keys.keyring import Keyring
from jitid.ledger.signing_keys import KeyStore
from jitid.model.ledger_rows import Names

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.ledger.view import View
    from jitid.operation.context import Context


def perform(context: Context, operation: ops.AnyOperation) -> object:
    """Perform an operation on the ledger's own records."""
    ledger, keyring = context.ledger, context.keyring
    match operation:
        case ops.Examine():
            from jitid.capabilities.integrity import examination

            return examination.examine(ledger, keyring, operation.stated, operation.head)
        case ops.Prune():
            from jitid.capabilities.integrity import retention

            return retention.prune(
                ledger,
                rows_after=operation.rows_after,
                leaks_after=operation.leaks_after,
                seconds=operation.seconds,
                dry_run=operation.dry_run,
                accept_clock=operation.accept_clock,
            )
        case ops.CutLog():
            from jitid.capabilities.integrity import cut

            return cut.cut(
                ledger,
                keyring,
                evidence_after=operation.evidence_after,
                folder=operation.folder,
                dry_run=operation.dry_run,
                accept_clock=operation.accept_clock,
            )
        case ops.ExportLog():
            return export_log(ledger, keyring)
    with ledger.read() as snapshot:
        match operation:
            case ops.ReadLog():
                return read_log(snapshot, operation)
            case ops.FollowLog():
                return follow_log(snapshot, operation)
            case ops.VerifyLog():
                return verify_log(snapshot, snapshot.names, operation)
            case ops.SignHead():
                return sign_head(snapshot, snapshot.names, keyring)
            case _:
                assert_never(operation)


def verify_log(snapshot: View, names: Names, operation: ops.VerifyLog) -> Verification:
    """Check the audit chain and the rows that it accounts for."""
    from jitid.capabilities.audit import audit_log

    expected = None
    if operation.expected_head is not None:
        expected = audit_log.read_head(operation.expected_head, names, KeyStore(snapshot).signing_keys())
    return verify(snapshot, names, expected)


def export_log(ledger: Ledger, keyring: Keyring) -> Iterator[str]:
    """Yield the audit log as lines that can be verified without the ledger."""
    from jitid.capabilities.audit import audit_log
    from jitid.capabilities.integrity import audit_export

    with ledger.read() as snapshot:
        yield from audit_export.export(snapshot, ledger.names, audit_log.signer_of(snapshot, keyring))


def read_log(snapshot: View, operation: ops.ReadLog) -> list[dict[str, Any]]:
    """Read audit events, oldest first."""
    from jitid.capabilities.audit import audit_log

    # A caller that continues after the last number it saw must not miss an event that is committed later.
    continues = operation.chosen.after > 0 and operation.chosen.event is None
    settled = snapshot.settled() if continues else None
    documents = list(audit_log.log(snapshot, operation.chosen, operation.limit, until=settled))
    if operation.chosen.event is not None and not documents:
        _must_not_be_cut(snapshot, operation.chosen.event)
    if operation.members:
        _add_members(snapshot, documents)
    return documents


def _must_not_be_cut(snapshot: View, seq: int) -> None:
    """Raise NotFoundError for an event that was cut, naming the file that has it."""
    for segment in CutStore(snapshot).all():
        if seq <= segment.through and snapshot.event(seq) is None:
            raise NotFoundError(
                f"event {seq} was cut from the audit log",
                f"it is in the file {segment.file}, exported before",
            )


def follow_log(snapshot: View, operation: ops.FollowLog) -> ops.LogPage:
    """Read the audit events after a number."""
    from jitid.capabilities.audit import audit_log

    chosen, limit = operation.chosen, operation.limit
    settled = snapshot.settled()
    events = list(audit_log.log(snapshot, chosen, limit, newest_first=operation.last, until=settled))
    if operation.last:
        events.reverse()
    reached_end = operation.last or len(events) < limit
    if operation.members:
        _add_members(snapshot, events)
    return ops.LogPage(events, settled if reached_end else events[-1]["seq"])


def _add_members(snapshot: View, documents: list[dict[str, Any]]) -> None:
    for document in documents:
        if document["op"].startswith("leak"):
            document["members"] = LeakStore(snapshot).leak_members(document)
            continue
        if document["op"] == "use":
            document["members"] = UseStore(snapshot).use_members(document["seq"])
            continue
        issued, ended = CredentialStore(snapshot).event_members(document["seq"])
        document["members"] = issued + ended


def sign_head(snapshot: View, names: Names, keyring: Keyring) -> str:
    """Sign the last link of the audit chain; with several chains, sign the head over all."""
    from jitid.capabilities.audit import audit_log

    return audit_log.signed_head(snapshot, names, audit_log.signer_of(snapshot, keyring))
