"""The copy of a ledger to another place, complete and verified. The copy continues with its own audit chains."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from jitid.capabilities.integrity import verify_log
from jitid.capabilities.trust import own_issuer
from jitid.errors import IntegrityError, JitidError, StorageError
from jitid.ledger.contract import Seal, sealed
from jitid.ledger.contract import find as find_seal
from jitid.ledger.copy_rows import Copied, CopySource, CopyTarget, Stage, carry, compare, shared
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.model.chain import head_of
from jitid.model.event import Head
from jitid.model.ledger_rows import Names, SigningKey


class Copy(NamedTuple):
    """A ledger that was copied."""

    tables: tuple[Copied, ...]
    """The tables that were compared; empty if an earlier attempt only had to be published."""
    events: int
    head: Head
    """The audit head of the source; the copy continues from it."""
    event: int | None
    """The first event that only the copy has; None if an earlier attempt has written it."""
    resumed: bool
    """Whether it continued an earlier attempt that was interrupted."""


def copy(
    source: CopySource,
    target: CopyTarget,
    *,
    by: str,
    issuer: str | None = None,
    signs: Callable[[SigningKey], bool] | None = None,
    furnish: Callable[[], None],
    progress: Callable[[str, int], None],
) -> Copy:
    """Copy a ledger: compare every row by count and digest, and verify the audit log, before the copy can be used.

    Then the source is sealed, and after that the copy is published. If this is interrupted, neither is live, and the
    same command continues from there. So two live ledgers never have the same keys or the same credentials.

    Args:
        source: the ledger. No other process writes to it meanwhile, and none can after it is sealed.
        target: the place of the copy. A partial copy of the same state there is continued.
        by: the caller's name for the audit log.
        issuer: the copy's issuer, if it changes; tokens of earlier issuers stay valid.
        signs: returns whether a key signs for the copy too; by default all keys do that sign now.
        furnish: puts keys and policy beside the rows, shortly before the copy is published.
        progress: is called with the name of a table and the number of its rows that were copied since the last call.

    Raises:
        IntegrityError: the verification of the ledger or the comparison failed, or it was copied elsewhere before.
        StorageError: one of the two is busy, full or cannot be reached; the copied rows are kept for the next attempt.
        UsageError: live credentials use `issuer` as the name of a service; nothing was copied.

    """
    with source, target:
        snapshot = source.snapshot
        chains = snapshot.chains()
        head = head_of(chains)
        seal = find_seal(snapshot)
        if seal is not None and (seal.done or seal.to != target.place):
            raise sealed(seal)
        names = source.names
        if issuer not in (None, names.issuer):
            names = own_issuer.renamed(snapshot, str(issuer)).names
        mark = f"{names.uuid} {names.issuer} {head.seq} {head.hash.hex()}"
        if seal is not None:
            # A sealed ledger does not change: rows that were copied before the seal are still equal.
            if seal.mark.split(" ")[1] != names.issuer:
                raise sealed(seal)
            mark = seal.mark
        stage = target.begin(names, mark, chains, snapshot.now)
        result = Copy((), head.seq, head, None, resumed=stage is not Stage.NEW)
        if stage is not Stage.COMPLETE:
            pairs = shared(source, target)
            for table, rows in carry(source, target, pairs):
                progress(table, rows)
            target.index()
            result = result._replace(tables=tuple(compare(source, target, pairs)))
            result = result._replace(event=_go_on(source, target, names, head, by, signs))
        if stage is not Stage.COMPLETE or seal is None:
            _must_stand(source, head)
        # Also for a complete copy: its keys and policy must be durable too.
        furnish()
        target.complete()
        _publish(
            source, target, seal or Seal(target.place, snapshot.now, mark), by, was_sealed=seal is not None
        )
        return result


def _go_on(
    source: CopySource,
    target: CopyTarget,
    names: Names,
    head: Head,
    by: str,
    signs: Callable[[SigningKey], bool] | None,
) -> int:
    """Begin the copy's own part of the audit log, and verify the whole log; return the number of the first event."""
    transaction = target.open(by)
    facts = {"from": source.kind, "to": target.kind, "events": head.seq}
    if names != source.names:
        facts |= {"issuer": names.issuer, "until": dict(names.lasting())[source.names.issuer]}
    retired = [
        key
        for key in KeyStore(source.snapshot).signing_keys()
        if key.retired_at is None and signs and not signs(key)
    ]
    for key in retired:
        KeyChanges(transaction).end_key(key.key, revoked=False)
    facts |= {"retired": [key.kid for key in retired]} if retired else {}
    event = transaction.append("ledger-copy", facts)
    try:
        verify_log.verify(transaction, names, head)
    except IntegrityError as error:
        error.message = f"the ledger does not hold by itself, and was not copied: {error.message}"
        error.hint = "see: jitid audit verify"
        raise
    return event.seq


def _publish(source: CopySource, target: CopyTarget, seal: Seal, by: str, *, was_sealed: bool) -> None:
    """Seal the source, unless it is sealed already, and only then publish the copy."""
    if not was_sealed:
        source.seal(seal, by)
    target.publish()
    # The source is sealed already; this only adds that the copy is live.
    with suppress(JitidError):
        source.seal(seal._replace(done=True), by)


def _must_stand(source: CopySource, head: Head) -> None:
    if source.head_now() != head:
        raise StorageError(
            "the ledger was written to during the copy; the copy was not completed",
            "stop what writes to it, and repeat the command",
        )
