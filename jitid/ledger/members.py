"""Rows of the ledger compared with the audit events that issued and ended them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from jitid import audit, jws, strictjson
from jitid.errors import IntegrityError
from jitid.ledger.protocol import Snapshot

_ENDED_AS = {"revoke": "revoked", "key-revoke": "revoked", "retire": "retired", "expire": "expired"}


class Members:
    """Takes the rows that belong to each event, event by event, and says which are not as the event tells."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._issued = _Rows(snapshot.issued_members())
        self._ended = _Rows(snapshot.ended_members())
        self._keys: set[str] = set()
        self._revoked_keys: set[str] = set()
        self.count = 0
        """How many rows were compared."""

    def check(self, seq: int, body: bytes) -> None:
        """Compare the rows of one event.

        Raises:
            IntegrityError: one of them was edited, removed or inserted.

        """
        try:
            self._check(seq, body)
        except TypeError as error:
            # Whoever edits with a database's own functions may leave text where bytes were, or nothing at all.
            raise IntegrityError(f"a row of event {seq} holds what no ledger writes") from error

    def _check(self, seq: int, body: bytes) -> None:
        # In a text the quotes would be escaped: these are members of the event itself.
        if b'"issued":"' in body:
            self._check_issued(seq, strictjson.loads(body, "audit event"))
        elif b'"ended":"' in body:
            self._check_ended(seq, strictjson.loads(body, "audit event"))
        elif b'"kid":"' in body:
            self._keys.add(strictjson.loads(body, "audit event")["kid"])

    def must_be_done(self) -> None:
        """Compare what stands for itself: keys, and rows that no event accounts for.

        Raises:
            IntegrityError: there are such rows, or a key is not one that an event told of.

        """
        self._issued.must_be_done("issued")
        self._ended.must_be_done("ended")
        for key in self._snapshot.signing_keys():
            if key.kid not in self._keys or key.kid != jws.thumbprint(key.algorithm, key.public):
                raise IntegrityError(f"the ledger has a signing key {key.kid} that no event tells of")
            if key.kid in self._revoked_keys and key.revoked_at is None:
                raise IntegrityError(
                    f"the signing key {key.kid} was revoked, and the ledger no longer says so"
                )

    def _check_issued(self, seq: int, event: Mapping[str, Any]) -> None:
        rows = self._issued.take(seq)
        digest = audit.issued_digest([(jti, print_) for jti, print_, *_ in rows])
        if digest != event["issued"] or len(rows) != event.get("count", 1):
            raise IntegrityError(f"the credentials that event {seq} issued are not in the ledger as it says")
        if "lifetime" in event:
            at = event["at"]
            scopes = " ".join(event.get("granted", event.get("scopes", ())))
            told = (event["kind"], scopes, at, at + event["lifetime"])
            if any(tuple(row[2:]) != told for row in rows):
                raise IntegrityError(f"a credential that event {seq} issued was changed in the ledger")
        self.count += len(rows)

    def _check_ended(self, seq: int, event: Mapping[str, Any]) -> None:
        rows = self._ended.take(seq)
        if audit.ended_digest([row[0] for row in rows]) != event["ended"] or len(rows) != event["count"]:
            raise IntegrityError(f"the credentials that event {seq} ended are not in the ledger as it says")
        ended_as = _ENDED_AS[event["op"]]
        for _, at, state in rows:
            if state != ended_as or (at != event["at"] and state != "expired"):
                raise IntegrityError(f"a credential that event {seq} ended was changed in the ledger")
        if event["op"] == "retire":
            task = self._snapshot.find_task(event["task"])
            if task is None or task.ended_at is None:
                raise IntegrityError(f"event {seq} ended a task, and the ledger no longer says so")
        elif event["op"] == "key-revoke":
            self._revoked_keys.add(event["kid"])
        self.count += len(rows)


class _Rows:
    """Rows grouped by the event that they point to, taken in the order of the events."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._groups = groupby(rows, key=lambda row: row[0])
        self._step()

    def _step(self) -> None:
        self._next = next(self._groups, None)
        self._rows = None if self._next is None else [row[1:] for row in self._next[1]]

    def take(self, seq: int) -> list[tuple[Any, ...]]:
        """Return the rows that point to event `seq`."""
        if self._next is None or self._next[0] != seq:
            return []
        rows = self._rows or []
        self._step()
        return rows

    def must_be_done(self, what: str) -> None:
        """Raise IntegrityError if rows are left that no event accounts for."""
        if self._next is not None:
            raise IntegrityError(
                f"the ledger has credentials {what} by event {self._next[0]}, which says nothing of them"
            )
