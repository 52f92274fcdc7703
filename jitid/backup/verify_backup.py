"""Verification of a backup before it is restored: its manifest, its audit log, and the heads that were seen before."""

from __future__ import annotations

from jitid.backup.manifest import must_be_sealed
from jitid.backup.revive import Unpacked
from jitid.backup.take_backup import must_hold
from jitid.capabilities.audit import audit_log
from jitid.capabilities.integrity import verify_log
from jitid.errors import IntegrityError
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.ledger.view import View
from jitid.model.chain import marks
from jitid.model.event import BrokenChainError, Head


def verify(ledger: SqliteLedger, unpacked: Unpacked) -> None:
    """Check that a ledger is the one in the backup's manifest, complete, and ends at the signed head.

    Raises:
        IntegrityError: one of these checks failed.

    """
    manifest = unpacked.manifest
    names = ledger.names
    if names.uuid != manifest.ledger:
        raise IntegrityError("the ledger in the backup is not the one that its manifest tells of")
    must_hold(ledger)
    # A backup may contain damage in an index alone, and the queries below read the indexes.
    ledger.reindex()
    # No verifier queries it. A clock behind the mark only matters when the ledger is written to.
    with ledger.read(by_mark=True) as snapshot:
        head = audit_log.read_head(unpacked.head, names, KeyStore(snapshot).signing_keys())
        must_be_sealed(manifest, unpacked.head)
        verify_log.verify(snapshot, names, head)
        if snapshot.head() != head or (head.seq, head.hash.hex()) != (manifest.events, manifest.head):
            raise IntegrityError("the ledger in the backup does not end where its signed head tells")


def behind(snapshot: View, head: Head) -> int:
    """Return the number of events that a remembered head covers and the ledger lacks.

    Raises:
        IntegrityError: an event of the ledger differs from the event that the head covers.

    """
    try:
        expected = marks(head, snapshot.chains())
    except BrokenChainError:
        # The head covers chains that were opened after the backup.
        expected = {}
    for seq, hash_ in expected.items():
        event = snapshot.event(seq)
        if event is not None and event.hash != hash_:
            raise IntegrityError(
                f"event {seq} of the backup is not the one that a remembered head tells of: "
                "one of the two is of a history that was rewritten, or of another backup that was gone on with"
            )
    return max(head.seq - snapshot.head().seq, 0)
