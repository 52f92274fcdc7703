"""The sessions of clients in the ledger, in SQL for both SQLite and PostgreSQL."""

from __future__ import annotations

from jitid.ledger.transaction import Changes, Transaction
from jitid.ledger.view import Store, spared
from jitid.model.client_session import ClientSession
from jitid.values.record import Record

MARK = b'"op":"session"'
"""Bytes of every event about a session, and of no other event: inside a text the quotes would be escaped."""


class SessionRow(Record):
    """A recorded session, with the event that recorded it."""

    session: ClientSession
    event: int


class SessionStore(Store):
    """Queries about sessions on a view of the ledger."""

    def of(self, identity: int) -> ClientSession | None:
        """Return the session of an identity; None without one."""
        row = self._db.execute(
            "SELECT client, name, subagent, transcript FROM session WHERE identity = :identity",
            {"identity": identity},
        ).fetchone()
        return None if row is None else ClientSession(*row)

    def all(self, without: str) -> dict[bytes | None, SessionRow]:
        """Return all sessions by the raw id of their identity, except identities in the table `without`."""
        rows = self._db.execute(
            f"""SELECT i.uid, s.client, s.name, s.subagent, s.transcript, s.event
                  FROM session s LEFT JOIN identity i ON i.id = s.identity WHERE {spared(without, "s.identity")}"""
        )
        return {uid: SessionRow(ClientSession(*session), event) for uid, *session, event in rows.fetchall()}

    def has(self, uid: bytes, without: str) -> bool:
        """Return whether the ledger has an identity that is not in the table `without`."""
        row = self._db.execute(
            f"SELECT 1 FROM identity i WHERE i.uid = :uid AND {spared(without, 'i.id')}", {"uid": uid}
        ).fetchone()
        return row is not None


class SessionChanges(SessionStore, Changes):
    """Changes of sessions in a transaction."""

    def __init__(self, transaction: Transaction) -> None:
        # Two requests for one identity must not both insert its row.
        transaction.alone()
        super().__init__(transaction)

    def record(self, identity: int, session: ClientSession, event: int) -> None:
        """Record the session of an identity, in place of an earlier one."""
        self._db.execute("DELETE FROM session WHERE identity = :identity", {"identity": identity})
        self._db.execute(
            """INSERT INTO session (identity, client, name, subagent, transcript, event)
               VALUES (:identity, :client, :name, :subagent, :transcript, :event)""",
            {"identity": identity, "event": event, **session._asdict()},
        )
