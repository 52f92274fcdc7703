"""Live credentials in a restored ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jitid.ledger.view import View
from jitid.model.task import written_task
from jitid.values.ids import credential_id

_SOME = 1_000
"""The number of ids that are returned at once."""


def open_tasks(snapshot: View) -> Iterator[str]:
    """Yield the names of the tasks with live credentials, or on which credentials may still be issued.

    Tasks of adopted secrets are left out: a restore cannot end an adopted secret, which works without the ledger.
    """
    rows: Iterator[Any] = snapshot.query(
        # Each subquery runs once, since no index leads from a task to its credentials.
        """SELECT t.name, o.text FROM task t JOIN term o ON o.id = t.opener
            WHERE t.ended_at IS NULL
              AND (t.deadline > :now OR t.id IN (SELECT c.task FROM credential c WHERE c.ended_at IS NULL))
              AND t.id NOT IN (SELECT c.task FROM adopted a JOIN credential c ON c.id = a.credential)
            ORDER BY t.id""",
        {},
    )
    # All rows are read at once: the caller changes the tables that the query reads.
    return iter([written_task(opener, name) for name, opener in list(rows)])


def live_on_adopted_tasks(snapshot: View) -> tuple[str, ...]:
    """Return the ids of some live credentials on the tasks of adopted secrets, except the adopted secrets."""
    rows: Iterator[Any] = snapshot.query(
        """SELECT c.jti FROM credential c
             WHERE c.ended_at IS NULL AND c.task IN (
                   SELECT o.task FROM adopted a JOIN credential o ON o.id = a.credential)
               AND NOT EXISTS (SELECT 1 FROM adopted a WHERE a.credential = c.id)
             LIMIT :limit""",
        {"limit": _SOME},
    )
    return tuple([credential_id(jti) for (jti,) in list(rows)])
