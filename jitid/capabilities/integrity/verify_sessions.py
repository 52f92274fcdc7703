"""Check of the recorded sessions of clients against their audit events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.capabilities.session.store import SessionRow, SessionStore
from jitid.errors import IntegrityError
from jitid.model.client_session import ClientSession
from jitid.values.ids import parse_id


class SessionMembers:
    """The comparison of sessions with the last event about each."""

    def __init__(self, sessions: SessionStore, without: str) -> None:
        """Keep the view; `without` names a table of identities that are gone."""
        self._sessions = sessions
        self._without = without
        self._expected: dict[bytes, SessionRow] = {}

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event."""
        self._expected[parse_id(event["id"])[1]] = SessionRow(ClientSession(**event["session"]), seq)

    def compare_rows(self) -> None:
        """Raise IntegrityError if a session was edited, removed or inserted."""
        recorded = self._sessions.all(self._without)
        for uid in recorded.keys() | self._expected.keys():
            row = self._expected.get(uid) if uid is not None else None
            if recorded.get(uid) != row and (
                uid is None or uid in recorded or self._sessions.has(uid, self._without)
            ):
                raise IntegrityError("the ledger's sessions of clients do not match their events")
