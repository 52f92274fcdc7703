"""Performs the operations that read, check, export, cut and prune the ledger's own records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.audit import audit_log
from jitid.capabilities.audit.cut_store import CutStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.integrity import operations as ops
from jitid.capabilities.integrity.verify_log import Verification, verify
from jitid.capabilities.leak.store import LeakStore
from jitid.capabilities.use.store import UseStore
from jitid.errors import NotFoundError
from jitid.ledger.signing_keys import KeyStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.capabilities.integrity.cut import Cut
    from jitid.capabilities.integrity.retention import Pruning
    from jitid.ledger.view import View
    from jitid.model.ledger_condition import Check
    from jitid.operation.context import Context


def verify_log(context: Context, operation: ops.VerifyLog) -> Verification:
    """Check the audit chain and the rows that it accounts for."""
    with context.ledger.read() as snapshot:
        names = snapshot.names
        expected = None
        if operation.expected_head is not None:
            expected = audit_log.read_head(operation.expected_head, names, KeyStore(snapshot).signing_keys())
        return verify(snapshot, names, expected)


def prune(context: Context, operation: ops.Prune) -> Pruning:
    """Delete expired rows past their retention period."""
    from jitid.capabilities.integrity import retention

    return retention.prune(
        context.ledger,
        rows_after=operation.rows_after,
        leaks_after=operation.leaks_after,
        seconds=operation.seconds,
        dry_run=operation.dry_run,
        accept_clock=operation.accept_clock,
    )


def cut_log(context: Context, operation: ops.CutLog) -> Cut:
    """Export old audit events into a file, and cut the events that no row needs."""
    from jitid.capabilities.integrity import cut

    return cut.cut(
        context.ledger,
        context.keyring,
        evidence_after=operation.evidence_after,
        folder=operation.folder,
        dry_run=operation.dry_run,
        accept_clock=operation.accept_clock,
    )


def export_log(context: Context, operation: ops.ExportLog) -> Iterator[str]:  # noqa: ARG001 - has no fields
    """Yield the audit log as lines that can be verified without the ledger."""
    from jitid.capabilities.integrity import audit_export

    ledger = context.ledger
    with ledger.read() as snapshot:
        yield from audit_export.export(snapshot, ledger.names, audit_log.signer_of(snapshot, context.keyring))


def examine(context: Context, operation: ops.Examine) -> list[Check]:
    """Examine the ledger and its keys."""
    from jitid.capabilities.integrity import examination

    return examination.examine(context.ledger, context.keyring, operation.stated, operation.head)


def read_log(context: Context, operation: ops.ReadLog) -> list[dict[str, Any]]:
    """Read audit events, oldest first."""
    chosen = operation.chosen
    with context.ledger.read() as snapshot:
        # A caller that continues after the last number it saw must not miss an event that is committed later.
        continues = chosen.after > 0 and chosen.event is None
        settled = snapshot.settled() if continues else None
        documents = list(audit_log.log(snapshot, chosen, operation.limit, until=settled))
        if chosen.event is not None and not documents:
            _must_not_be_cut(snapshot, chosen.event)
        if operation.members:
            _add_members(snapshot, documents)
        return documents


def _must_not_be_cut(snapshot: View, seq: int) -> None:
    """Raise NotFoundError for an event that was cut, naming the file that has it."""
    for segment in CutStore(snapshot).all():
        if seq <= segment.through and snapshot.event(seq) is None:
            raise NotFoundError(
                f"event {seq} was cut from the audit log",
                f"the exported file {segment.file} has it",
            )


def follow_log(context: Context, operation: ops.FollowLog) -> ops.LogPage:
    """Read the audit events after a number."""
    chosen, limit = operation.chosen, operation.limit
    with context.ledger.read() as snapshot:
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


def sign_head(context: Context, operation: ops.SignHead) -> str:  # noqa: ARG001 - has no fields
    """Sign the last link of the audit chain; with several chains, sign the head over all."""
    with context.ledger.read() as snapshot:
        return audit_log.signed_head(snapshot, snapshot.names, audit_log.signer_of(snapshot, context.keyring))
