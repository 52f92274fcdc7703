"""A ledger copied to another place, whole and verified, where it goes on with audit chains of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jitid import auditing
from jitid.audit import Head
from jitid.chains import head_of
from jitid.errors import IntegrityError, StorageError
from jitid.ledger.copying import Copied, Source, Stage, Target, carry, compare, shared
from jitid.ledger.records import SigningKey


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
    source: Source,
    target: Target,
    *,
    by: str,
    issuer: str | None = None,
    signs: Callable[[SigningKey], bool] | None = None,
    furnish: Callable[[], None],
    progress: Callable[[str, int], None],
) -> Copy:
    """Copy a ledger: every row, compared by count and digest, and the audit log verified before anybody can use it.

    Args:
        source: the ledger; it is left as it is, and nobody else writes to it meanwhile.
        target: where it goes. What an earlier attempt left there of the same state is gone on with.
        by: who acts, for the audit log.
        issuer: the name of the copy's issuer, if it is to have another; tokens under the earlier ones stay valid.
        signs: tells whether a key goes on to sign for the copy; without it, all that sign now do.
        furnish: puts what belongs to the ledger beside its rows, shortly before it is published.
        progress: is told of each table how many more rows of it have come.

    Raises:
        IntegrityError: the ledger does not hold by itself, or did not arrive as it is.
        StorageError: one of the two is busy, full or out of reach; what was copied waits for the next attempt.

    """
    with source, target:
        snapshot = source.snapshot
        chains = snapshot.chains()
        head = head_of(chains)
        names = source.names
        if issuer not in (None, names.issuer):
            names = names.renamed(str(issuer), snapshot.living()[1])
        mark = f"{names.uuid} {names.issuer} {head.seq} {head.hash.hex()}"
        stage = target.begin(names, mark, chains, snapshot.now)
        if stage is Stage.COMPLETE:
            furnish()
            target.publish()
            return Copy((), head.seq, head, None, resumed=True)
        pairs = shared(source, target)
        for table, rows in carry(source, target, pairs):
            progress(table, rows)
        target.index()
        tables = tuple(compare(source, target, pairs))
        transaction = target.open(by)
        facts = {"from": source.kind, "to": target.kind, "events": head.seq}
        if names != source.names:
            facts |= {"issuer": names.issuer, "until": dict(names.lasting())[source.names.issuer]}
        retired = [
            key for key in snapshot.signing_keys() if key.retired_at is None and signs and not signs(key)
        ]
        for key in retired:
            transaction.end_key(key.key, revoked=False)
        facts |= {"retired": [key.kid for key in retired]} if retired else {}
        event = transaction.append("ledger-copy", facts)
        try:
            auditing.verify(transaction, names, head)
        except IntegrityError as error:
            error.message = f"the ledger does not hold by itself, and was not copied: {error.message}"
            error.hint = "see: jitid audit verify"
            raise
        if source.head_now() != head:
            raise StorageError(
                "somebody has written to the ledger while it was copied; the copy was not completed",
                "stop whoever writes to it, and repeat the command",
            )
        furnish()
        target.publish()
        return Copy(tables, head.seq, head, event.seq, resumed=stage is Stage.PARTIAL)
