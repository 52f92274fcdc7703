"""Check of the rows of actions against the audit events that account for them."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from jitid.capabilities.integrity.by_event import EventRows
from jitid.capabilities.integrity.verify_pruned import PrunedMembers
from jitid.capabilities.use.store import UseStore
from jitid.errors import IntegrityError
from jitid.model.event import used_digest
from jitid.model.use import UseRow

MARK = b'"op":"use"'
"""Bytes of every event about actions, and of no other event: inside a text the quotes would be escaped."""


class UseMembers:
    """The comparison of actions with the events that account for them, one event after another."""

    def __init__(self, snapshot: UseStore, pruned: PrunedMembers) -> None:
        self._snapshot = snapshot
        self._pruned = pruned
        rows = snapshot.use_rows(pruned.condemned_table, pruned.prunable_uses)
        self._rows = EventRows(rows, attrgetter("event"), pruned.through)

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Compare the rows of one event.

        Raises:
            IntegrityError: a row was edited, removed or inserted.

        """
        try:
            rows = self._rows.take(seq, event["count"])
            digest = used_digest([row.members for row in rows])
        except (TypeError, ValueError) as error:
            raise IntegrityError(f"an action of event {seq} holds what no ledger writes") from error
        self._pruned.used(seq, rows, digest)
        partly_pruned = seq <= self._pruned.through and len(rows) < event["count"]
        if not partly_pruned and (len(rows) != event["count"] or digest != event["used"]):
            raise IntegrityError(
                f"the actions that event {seq} accounts for are not in the ledger as it says"
            )
        if rows and {(seq, event["at"])} != {(row.event, row.at) for row in rows}:
            raise IntegrityError(f"an action that event {seq} accounts for was changed in the ledger")

    def compare_rows(self) -> None:
        """Compare the table `used` with the actions, and find actions that no event accounts for.

        Raises:
            IntegrityError: there are such actions, or the table disagrees with the actions.

        """
        try:
            row: UseRow | None = self._rows.next()
        except (TypeError, ValueError) as error:
            raise IntegrityError("an action in the ledger holds what no ledger writes") from error
        if row is not None:
            raise IntegrityError(f"the ledger has an action {row.key} that no event accounts for")
        if not self._snapshot.is_rolled_up():
            raise IntegrityError("what the ledger says was used is not what its actions say")
