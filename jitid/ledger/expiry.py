"""Recording of expired credentials, so that a clock that is set back makes none of them valid again.

Also the record of the last pruning, and the times since which identities are refused.

The holder of a leaked credential can renew it, attach others to its identity, delegate and exchange. All of these
credentials belong to the identity or to a descendant, so one walk down the parent edges finds everything that the leak
exposes. SQLite and PostgreSQL both run the SQL.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jitid.errors import IntegrityError, JitidError
from jitid.ledger import lineage
from jitid.ledger.contract import Ledger, change
from jitid.ledger.lineage import RENEWED_HEAD, below
from jitid.ledger.select import AT_TARGET, DEATH, LASTING, LIVE, UNSETTLED
from jitid.model.credential import State
from jitid.model.event import ended_digest
from jitid.model.ledger_rows import ClosedByEvent
from jitid.values.record import Record
from jitid.values.times import check_times

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View


_LAPSED = "the credential that it was made from expired early or was abandoned"
"""The reason in the event `lapse`."""


def close_due(transaction: Transaction, limit: int, facts: Mapping[str, Any] = MappingProxyType({})) -> int:
    """Record the end of credentials that have expired or were superseded: at most `limit` of each, an event for each.

    `facts` are further members of the events.
    """
    transaction.alone()
    # ORDER BY makes PostgreSQL use the index: without it, the planner prefers to scan the table.
    earliest = transaction.db.execute(
        """SELECT (SELECT superseded_at FROM credential WHERE ended_at IS NULL AND superseded_at <= :now
                    ORDER BY superseded_at LIMIT 1),
                  (SELECT expires_at FROM credential WHERE ended_at IS NULL AND expires_at <= :now
                    ORDER BY expires_at LIMIT 1)""",
        {"now": transaction.now},
    ).fetchone()
    if all(time is None for time in earliest):
        return 0
    return _close(transaction, "superseded_at", State.SUPERSEDED, "supersede", limit, facts) + _close(
        transaction, "expires_at", State.EXPIRED, "expire", limit, facts
    )


def close_lines(transaction: Transaction, limit: int) -> int:
    """Record that renewed lines have expired, at most `limit` of them, and end the credentials that rest on them.

    Returns the number of lines.
    """
    transaction.alone()
    return _close(
        transaction, "expires_at", State.EXPIRED, "expire", limit, {}, f"AND {lineage.RENEWED_HEAD}"
    )


def _close(
    transaction: Transaction,
    column: str,
    state: State,
    operation: str,
    limit: int,
    facts: Mapping[str, Any],
    condition: str = "",
) -> int:
    rows = transaction.db.execute(
        f"""SELECT id, jti, {column}, CASE WHEN claims_hash IS NOT NULL THEN expires_at END,
                   {lineage.SHORTENED}
              FROM (SELECT * FROM credential
                     WHERE ended_at IS NULL AND {column} <= :now {condition} ORDER BY {column} LIMIT :limit) AS due
             ORDER BY id""",
        {"now": transaction.now, "limit": limit},
    ).fetchall()
    if not rows:
        return 0
    seq = transaction.next_seq()
    transaction.db.executemany(
        f"UPDATE credential SET ended_at = {column}, ended_as = ?, ended_event = ? WHERE id = ?",
        [(state.value, seq, row[0]) for row in rows],
    )
    honoured = [row for row in rows if state is not State.EXPIRED and row[3] is not None]
    if honoured:
        _, _, ended_at, expires_at, *_ = zip(*honoured, strict=True)
        keep_honoured(transaction, seq, len(honoured), min(ended_at), max(expires_at))
    transaction.append(
        operation, {**facts, "count": len(rows), "ended": ended_digest(row[1] for row in rows)}
    )
    transaction.closed.append(ClosedByEvent(seq, len(rows)))
    lines = [row[4] for row in rows if row[4] is not None]
    if lines and state is State.EXPIRED and (lapsed := lapse(transaction, lines, facts)) is not None:
        transaction.closed.append(lapsed)
    return len(rows)


def lapse(transaction: Transaction, lines: Collection[int], facts: Mapping[str, Any]) -> ClosedByEvent | None:
    """End all live credentials that rest on lines without a head; return None if there are none.

    A line is identified by the number of its first credential. `facts` are further members of the event.
    """
    transaction.alone()
    credentials = lineage.on_lines(transaction.db, lines, transaction.now)
    if not credentials:
        return None
    seq = transaction.next_seq()
    transaction.db.executemany(
        "UPDATE credential SET ended_at = ?, ended_as = ?, ended_event = ? WHERE id = ?",
        [(transaction.now, State.REVOKED.value, seq, credential.key) for credential in credentials],
    )
    honoured = [
        credential.honoured_until for credential in credentials if credential.honoured_until is not None
    ]
    if honoured:
        keep_honoured(transaction, seq, len(honoured), transaction.now, max(honoured))
    digest = ended_digest(credential.jti for credential in credentials)
    transaction.append("lapse", {**facts, "reason": _LAPSED, "count": len(credentials), "ended": digest})
    return ClosedByEvent(seq, len(credentials))


def keep_honoured(
    transaction: Transaction, seq: int, credentials: int, ended_at: int, expires_at: int
) -> None:
    """Record signed credentials that an event ended before their expiry: offline verifiers still accept them."""
    transaction.db.execute(
        # An edited ledger may contain a row for an event that is still to come. It must not block a revocation.
        """INSERT INTO honoured VALUES (:seq, :credentials, :ended_at, :expires_at) ON CONFLICT (event) DO UPDATE
           SET credentials = excluded.credentials, ended_at = excluded.ended_at,
               expires_at = excluded.expires_at""",
        {"seq": seq, "credentials": credentials, "ended_at": ended_at, "expires_at": expires_at},
    )


def close_approvals(transaction: Transaction) -> None:
    """Record expired requests for approval as ended, and delete approvals of groups that have expired."""
    from jitid.model.approval import ApprovalState

    transaction.alone()
    transaction.db.execute(
        """UPDATE approval SET ended_at = expires_at, ended_as = :state, ended_event = :event
            WHERE ended_at IS NULL AND expires_at <= :now""",
        {"state": ApprovalState.EXPIRED.value, "event": transaction.next_seq(), "now": transaction.now},
    )
    # The group counts as undecided again; the audit log keeps the expired decision.
    transaction.db.execute(
        """UPDATE approval_group SET approver = NULL, proof = NULL, granted = NULL, decided_at = NULL,
                  expires_at = NULL, event = NULL
            WHERE granted = 1 AND expires_at <= :now
              AND approval IN (SELECT id FROM approval WHERE ended_at IS NULL)""",
        {"now": transaction.now},
    )


def close_access(transaction: Transaction) -> None:
    """Record the end of access credentials that have expired or were superseded."""
    from jitid.model.access import AccessState

    transaction.alone()
    for column, state in (("superseded_at", AccessState.ROTATED), ("expires_at", AccessState.EXPIRED)):
        transaction.db.execute(
            f"""UPDATE access SET ended_at = {column}, ended_as = :state
                 WHERE ended_at IS NULL AND {column} <= :now""",
            {"state": state.value, "now": transaction.now},
        )


_AT_ONCE = 1_000
"""The maximum number of lines in one transaction: other writers wait for it."""


def has_expired_lines(view: View) -> bool:
    """Return whether the head of a renewed line has expired and the ledger has not recorded it."""
    # ORDER BY makes a generic plan use the index; without it PostgreSQL may scan the table and find nothing.
    row = view.db.execute(
        f"SELECT expires_at FROM credential WHERE {RENEWED_HEAD} AND expires_at <= :now ORDER BY expires_at LIMIT 1",
        {"now": view.now},
    ).fetchone()
    return row is not None


def record(ledger: Ledger) -> None:
    """Record every renewed line that has expired, and end the credentials that rest on it.

    Each write transaction does this for some lines. Callers of this function must not depend on another writer.
    """
    while True:
        with ledger.read() as snapshot:
            if not has_expired_lines(snapshot):
                return
        if not change(ledger, lambda transaction: close_lines(transaction, _AT_ONCE)):
            return


def try_to_record(ledger: Ledger) -> None:
    """Call `record` before a revocation list is made; if that fails, the list is made without it."""
    with suppress(JitidError):
        record(ledger)


class Pruned(Record):
    """The ledger's row about the last pruning. Only the audit event shows whether the row is right."""

    event: int
    """The number of the audit event about the pruning."""
    before: int
    """Credentials that ended and expired before this time may have been deleted; seconds since the epoch."""
    through: int
    """The number of the last event whose rows may have been deleted."""
    leaks: int
    """Leaks closed and proved refused before this time may have been deleted; seconds since the epoch."""


def last_pruning(view: View) -> Pruned | None:
    """Return the record of the last pruning; None if there was none.

    Raises IntegrityError if there are several records.
    """
    rows = view.db.execute("SELECT event, before, through, leaks FROM prune").fetchmany(2)
    if len(rows) > 1:
        raise IntegrityError("the ledger has more than one record of its last pruning")
    return Pruned(*rows[0]) if rows else None


_FACTS = f"""
    WITH RECURSIVE {below("SELECT identity, identity FROM given_identity")}
    SELECT b.start, max(CASE WHEN {LIVE} THEN 1 ELSE 0 END), max({DEATH}), max({LASTING}), max({AT_TARGET}),
           max({UNSETTLED})
      FROM below b CROSS JOIN credential c LEFT JOIN outside o ON o.credential = c.id
     WHERE c.identity = b.id GROUP BY b.start"""


def refusal_facts(db: Any, now: int) -> dict[int, tuple[int | None, int | None]]:
    """Return two times by identity: since when the ledger refuses it, and until when verifiers accept it.

    Both include all descendants. The identities are in the temporary table `given_identity`. None means that the time
    is still open.
    """
    times: dict[int, tuple[int | None, int | None]] = {}
    for identity, live, death, signed, at_target, unsettled in db.execute(_FACTS, {"now": now}).fetchall():
        if live:
            times[identity] = None, None
            continue
        check_times(death, signed, at_target)
        # A row that ended in the future, by a clock that was set back since, is refused now.
        refused_since = min(death, now)
        accepted_until = max(refused_since, signed or refused_since, at_target or refused_since)
        times[identity] = refused_since, None if unsettled else accepted_until
    return times
