"""A ledger copied to another place, whole and verified, where it goes on with audit chains of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from jitid.capabilities.integrity import verify_log
from jitid.capabilities.trust import own_issuer
from jitid.errors import IntegrityError, JitidError, StorageError
from jitid.ledger.copy_rows import Copied, CopySource, CopyTarget, Stage, carry, compare, shared
from jitid.ledger.seal import Seal, sealed
from jitid.ledger.seal import find as find_seal
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.model.chain import head_of
from jitid.model.event import Head
from jitid.model.ledger_rows import Names, SigningKey


class Copy(NamedTuple):
    """A ledger that was copied."""

    tables: tuple[Copied, ...]
    """What was compared: nothing where all that was left of an earlier attempt was to publish it."""
    events: int
    head: Head
    """Of the ledger that was copied; the copy has gone on from it."""
    event: int | None
    """The first event of the copy alone."""
    resumed: bool
    """Whether it went on from where an earlier attempt was broken off."""


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
    """Copy a ledger: every row, compared by count and digest, and the audit log verified before anybody can use it.

    Then the source is sealed, and the copy published, in this order: where that breaks off, neither is live, and the
    same copy again goes on from there. So two live ledgers never have the same keys, nor the same credentials.

    Args:
        source: the ledger; nobody else writes to it meanwhile, and once it is sealed nobody does.
        target: where it goes. What an earlier attempt left there of the same state is gone on with.
        by: who acts, for the audit log.
        issuer: the name of the copy's issuer, if it is to have another; tokens under the earlier ones stay valid.
        signs: tells whether a key goes on to sign for the copy; without it, all that sign now do.
        furnish: puts what belongs to the ledger beside its rows, shortly before it is published.
        progress: is told of each table how many more rows of it have come.

    Raises:
        IntegrityError: the ledger does not hold by itself, or did not arrive as it is; or it was copied elsewhere.
        StorageError: one of the two is busy, full or out of reach; what was copied waits for the next attempt.
        UsageError: `issuer` is the name of a service by what is live; nothing was copied.

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
            # A sealed ledger changes no more: what was copied before it was sealed is a copy of it.
            if seal.mark.split(" ")[1] != names.issuer:
                raise sealed(seal)
            mark = seal.mark
        stage = target.begin(names, mark, chains, snapshot.now)
        made = Copy((), head.seq, head, None, resumed=stage is not Stage.NEW)
        if stage is not Stage.COMPLETE:
            pairs = shared(source, target)
            for table, rows in carry(source, target, pairs):
                progress(table, rows)
            target.index()
            made = made._replace(tables=tuple(compare(source, target, pairs)))
            made = made._replace(event=_go_on(source, target, names, head, by, signs))
        if stage is not Stage.COMPLETE or seal is None:
            _must_stand(source, head)
        # Of a copy that is complete, what it was furnished with now must be durable too.
        furnish()
        target.complete()
        _publish(source, target, seal or Seal(target.place, snapshot.now, mark), by, again=seal is not None)
        return made


def _go_on(
    source: CopySource,
    target: CopyTarget,
    names: Names,
    head: Head,
    by: str,
    signs: Callable[[SigningKey], bool] | None,
) -> int:
    """Begin the copy's own part of the audit log, and verify all of it; return the number of the first event."""
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


def _publish(source: CopySource, target: CopyTarget, seal: Seal, by: str, *, again: bool) -> None:
    """Seal the source, unless that was done before, and only then publish its copy."""
    if not again:
        source.seal(seal, by)
    target.publish()
    # Sealed it is; what is lacking is only that it says that its copy is live.
    with suppress(JitidError):
        source.seal(seal._replace(done=True), by)


def _must_stand(source: CopySource, head: Head) -> None:
    if source.head_now() != head:
        raise StorageError(
            "the ledger was written to during the copy; the copy was not completed",
            "stop what writes to it, and repeat the command",
        )
