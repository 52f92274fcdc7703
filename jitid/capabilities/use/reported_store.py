"""The audiences that report use: for their credentials alone jitid can know that they were never used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

RECENT = 10_000
"""The number of latest actions to examine, besides the uses of live credentials."""

_TABLE = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS reporting (audiences INTEGER PRIMARY KEY, until BIGINT NOT NULL)"
)

# If a credential has several audiences, its use does not show which audience reported it.
_REPORTED = """
    SELECT t.text, max(told.at)
      FROM (SELECT c.audiences AS audiences, CASE WHEN u.last_at <= :now THEN u.last_at ELSE u.first_at END AS at
              FROM credential c CROSS JOIN used u
             WHERE {alive} AND u.identity = c.identity AND u.first_at <= :now
            UNION ALL
            SELECT c.audiences, latest.at
              FROM (SELECT credential, at FROM action WHERE at <= :now ORDER BY at DESC LIMIT {recent}) latest
             CROSS JOIN credential c WHERE c.id = latest.credential) told
     CROSS JOIN term t
     WHERE t.id = told.audiences AND t.text NOT LIKE '% %' GROUP BY t.text"""

Query = Callable[..., Iterable[Any]]
"""Executes a query in portable SQL, with named values and `:now`."""


def find(query: Query, alive: str) -> bool:
    """Fill the temporary table `reporting`: for each audience, the time until which its use was reported.

    Return whether any use was reported. A row's `audiences` is the value in a credential's column; of several
    audiences, each must report. If a credential issued by `until` had been used, the ledger would have its use.
    `alive` is the SQL condition for a live credential `c`.
    """
    list(query(_TABLE))
    list(query("DELETE FROM reporting"))
    if not any(list(query(f"SELECT 1 FROM {table} LIMIT 1")) for table in ("action", "used")):
        return False
    reported = dict(query(_REPORTED.format(alive=alive, recent=RECENT)))
    if not reported:
        return False
    for audience, until in reported.items():
        _insert(query, audience, until)
    # Names have no spaces: these are lists of audiences, and subjects of ID tokens.
    for key, term in list(query("SELECT id, text FROM term WHERE text LIKE '% %'")):
        times = [reported.get(word) for word in term.split(" ")]
        known = [time for time in times if time is not None]
        if len(known) == len(times):
            list(query("INSERT INTO reporting VALUES (:key, :until)", key=key, until=min(known)))
    return True


def _insert(query: Query, audience: str, until: int) -> None:
    list(
        query(
            "INSERT INTO reporting SELECT id, :until FROM term WHERE text = :audience",
            audience=audience,
            until=until,
        )
    )
