"""What rests on lines that have no live head any more: it is dead, and lives on in its rows until that is recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from jitid.ledger import selecting


class Resting(NamedTuple):
    """A credential that has nothing left to rest on, and has not ended."""

    key: int
    jti: bytes
    honoured_until: int | None
    """Its expiry, if a verifier that does not ask the ledger takes it until then."""


_LIVE_OF = f"""SELECT c.id, c.jti, CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at END
    FROM {{}} AND {selecting.LIVE}"""


def lines_over(db: Any, now: int) -> list[tuple[int, int]]:
    """Return the lines whose head has expired and is not recorded so, each with its identity before it.

    Only of those that were renewed: what was made from one that was not expires no later than that one.
    """
    rows = db.execute(
        """SELECT identity, line FROM credential
            WHERE ended_at IS NULL AND expires_at <= :now AND line IS NOT NULL AND superseded_at IS NULL""",
        {"now": now},
    )
    return [(identity, line) for identity, line in rows]


def on_lines(db: Any, lines: Iterable[tuple[int, int]], now: int) -> list[Resting]:
    """Return, in the order of issue, what lives of all that rests on these lines, each given with its identity.

    That is what was attached by right of a line, and the identities that were delegated from it or from what was
    attached, with all below them.
    """
    given: dict[int, set[int]] = defaultdict(set)
    for identity, line in lines:
        given[identity].add(line)
    dead: set[int] = set()
    delegated: set[int] = set()
    for identity, own in given.items():
        credentials, identities = _of_one(db, identity, own)
        dead |= credentials
        delegated |= identities
    values, rows = {"now": now}, []
    if dead:
        selecting.give(db, (), (), credentials=dead)
        attached = "given_credential g CROSS JOIN credential c WHERE c.id = g.credential"
        rows += db.execute(_LIVE_OF.format(attached), values)
    if delegated:
        count = selecting.doom(db, delegated)
        rows += db.execute(_LIVE_OF.format(selecting.doomed_credentials(count)), values)
    return sorted(Resting(*row) for row in rows)


def _of_one(db: Any, identity: int, lines: set[int]) -> tuple[set[int], set[int]]:
    """Return what was attached by right of lines of an identity, and which identities these and the lines delegated."""
    rows = db.execute(
        "SELECT id, coalesce(line, id), source FROM credential WHERE identity = :identity",
        {"identity": identity},
    ).fetchall()
    line_of = {key: line for key, line, _ in rows}
    attached: dict[int | None, list[int]] = defaultdict(list)
    for _, line, source in rows:
        if source is not None:
            attached[line_of.get(source)].append(line)
    dead, todo = set(lines), list(lines)
    while todo:
        found = [line for line in attached[todo.pop()] if line not in dead]
        dead.update(found)
        todo += found
    children = db.execute("SELECT id, source FROM identity WHERE parent = :identity", {"identity": identity})
    return (
        {key for key, line in line_of.items() if line in dead and line not in lines},
        {child for child, source in children if line_of.get(source) in dead},
    )
