"""Selection and deletion of rows of ended credentials that need not be kept, in SQL for SQLite and PostgreSQL.

They are deleted in two steps. One transaction with an audit event condemns identities: from then on, the log accounts
for the remaining rows without them. Later their rows are deleted, in small batches. A pruning that is interrupted
continues with the next call.

The audit event of a pruning records the digests of the rows that remain of old events.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import chain, groupby, islice
from operator import attrgetter, itemgetter
from typing import Any

from jitid.capabilities.access.store import REMEMBERED as PRESENTED
from jitid.capabilities.integrity.store import RowStore
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.capabilities.leak.store import LeakStore
from jitid.capabilities.targets.store import OutsideStore
from jitid.capabilities.use.store import UseStore
from jitid.errors import ConflictError
from jitid.ledger import expiry, select
from jitid.ledger.expiry import Pruned
from jitid.ledger.idempotency import REMEMBERED
from jitid.ledger.select import PRUNABLE_LEAK, PrunedLeaks, dialect_of
from jitid.ledger.view import Store, spared
from jitid.model.access import ASSERTION_LEEWAY
from jitid.model.approval import Approval
from jitid.model.event import sighted_digest, used_digest
from jitid.model.target import settled_digest
from jitid.values import strict_json
from jitid.values.ids import parse_approval_id
from jitid.values.record import Record

SIDES = ("issues", "ends", "settlements", "uses", "approvals", "leaks", "closings", "proofs", "sightings")
"""The kinds of rows that an event accounts for: issued, ended, settled at targets, used, leaked and more."""


class Remains:
    """Digests of the rows that remain of old events, by kind; the rows of each kind are in the order of events."""

    def __init__(self) -> None:
        self._hashes = {side: sha256() for side in SIDES}

    def take(self, side: str, event: int, parts: Iterable[bytes]) -> None:
        """Add the remaining rows of one event, if there are any."""
        encoded = [len(part).to_bytes(4, "big") + part for part in parts]
        if encoded:
            header = event.to_bytes(8, "big") + len(encoded).to_bytes(4, "big")
            self._hashes[side].update(header + b"".join(encoded))

    def digests(self) -> Mapping[str, str]:
        """Return SHA-256 of each kind of rows as hex, by its name.

        Each event with remaining rows adds, in order: its number in eight bytes, the number of parts in four, and each
        part after its length in four. Integers are big-endian. The parts are:

        - `issues`: jti, fingerprint and hash of the key of each credential; the last two empty if missing, and at
        targets.
        - `ends`, `leaks` and `closings`: each jti.
        - `settlements`, `uses` and `sightings`: the digest of the remaining rows as hex.
        - `approvals`: the id of the request and, if it had ended by then, how and when it ended, as JSON.
        - `proofs`: the jti. Proofs are ordered by time, and have the number of the leak instead of an event.
        """
        return {side: hash_.hexdigest() for side, hash_ in self._hashes.items()}


def issued_parts(rows: Iterable[tuple[Any, ...]], *, at_target: bool) -> Iterator[bytes]:
    """Yield the parts of `Remains` for issued credentials."""
    for row in rows:
        # A credential at a target is confirmed later, by a separate event.
        yield from (row[1], b"", b"") if at_target else (row[1], row[2] or b"", row[4] or b"")


def request_parts(row: Approval, through: int) -> list[bytes]:
    """Return the parts of `Remains` for a request for approval."""
    parts = [parse_approval_id(row.id)]
    if row.ended_event is not None and row.ended_event <= through:
        parts.append(strict_json.dumps([row.ended_as, row.ended_at, row.ended_event]).encode())
    return parts


_TEMPORARY = {
    "needed": "identity INTEGER PRIMARY KEY",
    "prunable": "identity INTEGER PRIMARY KEY",
    "prunable_approval": "approval INTEGER PRIMARY KEY",
}
_BATCH = {"going": "identity INTEGER PRIMARY KEY", "staying": "identity INTEGER PRIMARY KEY"}

# An identity is needed if it has: a credential that is live, ended or expired too recently, or is not settled at its
# target; a use in an event after the last event of which rows may go; a leak, which is evidence; an adopted secret,
# which may be found somewhere; a credential by which a lost answer to a request can be repeated. The highest number is
# needed too, so that no number is issued twice.
_NEEDED = (
    """SELECT c.identity FROM credential c
        WHERE c.ended_at IS NULL OR c.ended_at >= :before OR c.expires_at >= :before
           OR c.event > :through OR c.ended_event IS NULL OR c.ended_event > :through""",
    "SELECT c.identity FROM action n CROSS JOIN credential c WHERE c.id = n.credential AND n.event > :through",
    """SELECT c.identity FROM outside o CROSS JOIN credential c
        WHERE c.id = o.credential AND (o.settled_at IS NULL OR o.settled_at >= :before
              OR coalesce(o.honoured_until, 0) >= :before OR o.event > :through)""",
    f"""SELECT c.identity FROM leak l CROSS JOIN credential c
         WHERE c.id = l.credential
           AND NOT ({PRUNABLE_LEAK} AND l.event <= :through AND l.closed_event <= :through
                    AND l.id < (SELECT max(id) FROM leak))""",
    "SELECT c.identity FROM adopted a CROSS JOIN credential c WHERE c.id = a.credential",
    """SELECT c.identity FROM idempotency d CROSS JOIN credential c
        WHERE d.at >= :known AND (c.jti = d.first OR c.jti = d.last)""",
    "SELECT c.identity FROM credential c WHERE c.id = (SELECT max(id) FROM credential)",
    "SELECT max(id) FROM identity HAVING max(id) IS NOT NULL",
)
_ABOVE = """
    WITH RECURSIVE above (id) AS (
        SELECT i.parent FROM identity i WHERE i.parent IS NOT NULL AND i.id IN (SELECT identity FROM needed)
        UNION
        SELECT i.parent FROM above a CROSS JOIN identity i WHERE i.id = a.id AND i.parent IS NOT NULL)
    SELECT id FROM above"""
_APPROVALS = f"""
    SELECT p.id FROM approval p
     WHERE coalesce(p.ended_at, p.expires_at) < :before AND p.expires_at < :before AND p.event <= :through
       AND (p.ended_event IS NULL OR p.ended_event <= :through)
       AND coalesce(p.ended_as, '') <> 'withdrawn'
       AND (p.ended_event IS NULL OR p.ended_event NOT IN (
            SELECT c.event FROM credential c WHERE {spared("prunable")}))"""

_OF_CREDENTIALS = ("outside", "part", "status", "action")
_ACCOUNTED = {"action": "r.event <= :through"}
"""By table, the condition on rows `r` if rows may be added after their credential has ended."""
_OF_IDENTITIES = ("process", "session", "used")
_LEAKS_OF = f"""SELECT l.id FROM {{table}} g CROSS JOIN credential c CROSS JOIN leak l
    WHERE c.identity = g.identity AND l.credential = c.id AND {PRUNABLE_LEAK}"""
"""The leaks that are deleted with the identities of a table."""
_WITHOUT_CREDENTIAL = "credential IS NULL AND at < :before AND event <= :through"
_OUTLIVED = {
    # A verification compares these rows with their events, and requires all rows of later events.
    "honoured": "expires_at < :before AND event <= :through",
    "barred": "at < :before AND event <= :through",
    # A verification requires these rows by time alone.
    "idempotency": "at < :known",
    "assertion": "until < :past",
    "presented": "until < :expired",
}
"""By table, the condition on rows without an identity that a pruning deletes."""


class ChosenRows(Record):
    """The rows to delete, by the ledger's own numbers; they can be used after the view is closed."""

    identities: array[int]
    approvals: tuple[int, ...]


class PruneStore(Store):
    """Queries of a view of a SQL ledger about rows that may be pruned, or were pruned."""

    def last(self) -> Pruned | None:
        """Return the record of the last pruning; None if there was none. Raises IntegrityError if there are several."""
        return expiry.last_pruning(self._view)

    def find(self, before: int, through: int, leaks: int) -> dict[str, int]:
        """Fill temporary tables of this view with the rows that may go; return the number of rows by table.

        Args:
            before: rows stay unless they ended and expired before this time; seconds since the epoch.
            through: the number of the last event of which rows may go.
            leaks: a leak stays unless it was closed and proved refused before this time.

        """
        values = self._bounds(before, through, leaks)
        dialect_of(self._db).temporaries(self._db, _TEMPORARY)
        for query in (*_NEEDED, _ABOVE):
            self._run(f"INSERT INTO needed {_safely(query)} ON CONFLICT DO NOTHING", values)
        self._run(
            f"""INSERT INTO prunable {_safely(f"SELECT i.id FROM identity i WHERE {spared('needed', 'i.id')}")}
                ON CONFLICT DO NOTHING""",
            values,
        )
        self._run(
            f"INSERT INTO prunable {_safely('SELECT identity FROM condemned')} ON CONFLICT DO NOTHING", {}
        )
        if self._count("SELECT count(*) FROM approval", {}):
            self._run(f"INSERT INTO prunable_approval {_APPROVALS}", values)
        dialect_of(self._db).counted(self._db, "prunable")
        return self._counts(before, through, leaks)

    def _counts(self, before: int, through: int, leaks: int) -> dict[str, int]:
        queries = {
            "credentials": "SELECT count(*) FROM credential c WHERE c.identity IN (SELECT identity FROM prunable)",
            "identities": "SELECT count(*) FROM prunable",
            **{
                table: f"""SELECT count(*) FROM {table} r CROSS JOIN credential c
                            WHERE c.id = r.credential AND c.identity IN (SELECT identity FROM prunable)
                              AND {_ACCOUNTED.get(table, "1 = 1")}"""
                for table in _OF_CREDENTIALS
            },
            **{
                table: f"SELECT count(*) FROM {table} WHERE identity IN (SELECT identity FROM prunable)"
                for table in _OF_IDENTITIES
            },
            "leak": f"SELECT count(*) FROM ({_LEAKS_OF.format(table='prunable')}) AS gone",
            "approval": "SELECT count(*) FROM prunable_approval",
            "nobody": f"SELECT count(*) FROM action WHERE {_WITHOUT_CREDENTIAL}",
            **{
                table: f"SELECT count(*) FROM {table} WHERE {condition}"
                for table, condition in _OUTLIVED.items()
            },
        }
        values = self._bounds(before, through, leaks)
        counts = {name: self._count(query, values) for name, query in queries.items()}
        counts["action"] += counts.pop("nobody")
        return counts

    def chosen(self) -> ChosenRows:
        """Return the rows that `find` has found and that were not chosen before."""
        identities = dialect_of(self._db).stream(
            self._db, f"SELECT p.identity FROM prunable p WHERE {spared('condemned', 'p.identity')}"
        )
        approvals = self._db.execute("SELECT approval FROM prunable_approval").fetchall()
        return ChosenRows(array("q", chain.from_iterable(identities)), tuple(chain.from_iterable(approvals)))

    def remains(self, before: int, through: int, leaks: int) -> Mapping[str, str]:
        """Return the digests of the rows that remain of old events, without the rows that `find` has found."""
        snapshot, remains = self._view, Remains()
        for seq, rows in groupby(
            _until(RowStore(snapshot).issued_members("prunable"), through, 3), itemgetter(3)
        ):
            remains.take("issues", seq, issued_parts(rows, at_target=False))
        for seq, rows in groupby(
            _until(RowStore(snapshot).ended_members("prunable"), through, 0), itemgetter(0)
        ):
            remains.take("ends", seq, [row[1] for row in rows])
        used = UseStore(snapshot).use_rows("prunable", (before, through))
        for seq, actions in groupby((row for row in used if row.event <= through), attrgetter("event")):
            remains.take("uses", seq, [used_digest([row.members for row in actions]).encode()])
        settled: dict[int, list[tuple[bytes, str]]] = {}
        for row in OutsideStore(snapshot).rows("prunable"):
            if row.settled_at is not None and row.event is not None and row.event <= through:
                settled.setdefault(row.event, []).append((row.jti, row.settlement))
        for seq in sorted(settled):
            remains.take("settlements", seq, [settled_digest(settled[seq]).encode()])
        self._add_leaks(remains, through, PrunedLeaks("prunable", leaks))
        prunable_approvals = {key for (key,) in self._db.execute("SELECT approval FROM prunable_approval")}
        for request in ApprovalStore(snapshot).all():
            if request.key not in prunable_approvals and request.event <= through:
                remains.take("approvals", request.event, request_parts(request, through))
        return remains.digests()

    def _add_leaks(self, remains: Remains, through: int, pruned_leaks: PrunedLeaks) -> None:
        snapshot = self._view
        leak_rows = (row for row in LeakStore(snapshot).leak_rows(pruned_leaks) if row.event <= through)
        for seq, leaked in groupby(leak_rows, attrgetter("event")):
            remains.take("leaks", seq, [row.jti for row in leaked])
        for seq, rows in groupby(
            _until(LeakStore(snapshot).closed_leaks(pruned_leaks), through, 0), itemgetter(0)
        ):
            remains.take("closings", seq, [jti for _, _, jti in rows])
        for seq, rows in groupby(
            _until(LeakStore(snapshot).sighting_rows(pruned_leaks), through, 0), itemgetter(0)
        ):
            remains.take("sightings", seq, [sighted_digest(members for _, members in rows).encode()])
        for proved_at, leak, jti in LeakStore(snapshot).proved_leaks(pruned_leaks):
            if proved_at < pruned_leaks.before:
                remains.take("proofs", leak, [jti])

    def credentials_digest(self) -> str:
        """Return SHA-256 over the jtis of the credentials that `find` has found, in the order of issue."""
        rows = dialect_of(self._db).stream(
            self._db,
            "SELECT c.jti FROM credential c WHERE c.identity IN (SELECT identity FROM prunable) ORDER BY c.id",
        )
        digest = sha256()
        while chunk := b"".join(chain.from_iterable(islice(rows, 50_000))):
            digest.update(chunk)
        return digest.hexdigest()

    def there(self, jtis: Iterable[bytes]) -> list[bytes]:
        """Return which of these credentials are in the ledger and not condemned."""
        rows = select.alike(
            self._db, f"SELECT c.jti FROM credential c WHERE {spared('condemned')} AND c.jti", jtis
        )
        return [jti for (jti,) in rows]

    def condemned(self) -> int:
        """Return the number of condemned identities with rows that are not deleted yet."""
        return self._count("SELECT count(*) FROM condemned", {})

    def is_wrongly_condemned(self) -> bool:
        """Return whether a condemned credential was live, or ended or expired too recently, at the last pruning."""
        # An attacker with write access could hide a credential there, since no event is compared with condemned rows.
        row = self._db.execute(
            """SELECT 1 FROM condemned x CROSS JOIN credential c
                WHERE c.identity = x.identity
                  AND (c.ended_at IS NULL OR c.ended_at >= (SELECT max(before) FROM prune)
                       OR c.expires_at >= (SELECT max(before) FROM prune))
                LIMIT 1"""
        ).fetchone()
        return row is not None

    def _bounds(self, before: int, through: int, leaks: int) -> dict[str, int]:
        return {
            "before": before,
            "through": through,
            "leaks": leaks,
            "known": self._now - REMEMBERED,
            "past": self._now - ASSERTION_LEEWAY,
            "expired": self._now - PRESENTED,
        }

    def _run(self, sql: str, values: Mapping[str, Any]) -> int:
        changed: int = self._db.execute(sql, values).rowcount
        return changed

    def _count(self, sql: str, values: Mapping[str, Any]) -> int:
        (count,) = self._db.execute(sql, values).fetchone()
        return int(count)


class PruneChanges(PruneStore):
    """The queries of a pruning, and its changes."""

    def condemn(self, last_pruning: Pruned | None, pruning: Pruned, chosen: ChosenRows) -> None:
        """Condemn the rows that were chosen when `last_pruning` was the last pruning; the next event must record it.

        Raises ConflictError if the ledger has changed since, so that the choice must be repeated.
        """
        if self.last() != last_pruning or pruning.before >= self._now:
            raise ConflictError(
                "another process pruned the ledger meanwhile; nothing was changed", "repeat the command"
            )
        dialect = dialect_of(self._db)
        dialect.give(self._db, "condemned", chosen.identities)
        leaked_query = """SELECT 1 FROM leak l CROSS JOIN credential c CROSS JOIN condemned x
                     WHERE l.event > :through AND c.id = l.credential AND x.identity = c.identity LIMIT 1"""
        if self._db.execute(leaked_query, {"through": pruning.through}).fetchone() is not None:
            raise ConflictError("a leak was reported meanwhile; nothing was changed", "repeat the command")
        dialect.temporaries(self._db, {"prunable_approval": _TEMPORARY["prunable_approval"]})
        dialect.give(self._db, "prunable_approval", chosen.approvals)
        ended_query = """SELECT 1 FROM approval
                    WHERE ended_event > :through AND id IN (SELECT approval FROM prunable_approval) LIMIT 1"""
        if self._db.execute(ended_query, {"through": pruning.through}).fetchone() is not None:
            raise ConflictError(
                "a request for approval ended meanwhile; nothing was changed", "repeat the command"
            )
        self._run("DELETE FROM approval_group WHERE approval IN (SELECT approval FROM prunable_approval)", {})
        self._run("DELETE FROM approval WHERE id IN (SELECT approval FROM prunable_approval)", {})
        self._run("DELETE FROM prune", {})
        self._db.execute("INSERT INTO prune VALUES (?, ?, ?, ?)", pruning)

    def remove(self, limit: int, after: int | None) -> tuple[int, int | None]:
        """Delete the rows of some condemned identities.

        Args:
            limit: the maximum number of identities.
            after: the number that the last call returned; None for the first call.

        Returns:
            The number of deleted identities, and the number to continue after. If no identity is left, the number of
                other deleted rows, and None.

        """
        dialect = dialect_of(self._db)
        dialect.temporaries(self._db, _BATCH)
        # From the highest number down: a descendant comes after its ancestor.
        self._run(
            f"""INSERT INTO going SELECT identity FROM condemned
                 WHERE {"1 = 1" if after is None else "identity < :after"}
                 ORDER BY identity DESC LIMIT :limit""",
            {"limit": limit} if after is None else {"limit": limit, "after": after},
        )
        (lowest, count) = self._db.execute("SELECT min(identity), count(*) FROM going").fetchone()
        if not count:
            return self._remove_others(limit), None
        dialect.counted(self._db, "going")
        self._spare()
        removed = self._count("SELECT count(*) FROM going", {})
        if self._db.execute("SELECT 1 FROM leak LIMIT 1").fetchone() is not None:
            leaks = _LEAKS_OF.format(table="going")
            self._run(f"DELETE FROM sighting WHERE leak IN ({leaks})", self._old())
            self._run(f"DELETE FROM leak WHERE id IN ({leaks})", self._old())
        credentials = "(SELECT c.id FROM going g CROSS JOIN credential c WHERE c.identity = g.identity)"
        for table in _OF_CREDENTIALS:
            if self._db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None:
                self._run(f"DELETE FROM {table} WHERE credential IN {credentials}", {})
        for table, column in (
            *((table, "identity") for table in _OF_IDENTITIES),
            ("credential", "identity"),
            ("identity", "id"),
            ("condemned", "identity"),
        ):
            self._run(f"DELETE FROM {table} WHERE {column} IN (SELECT identity FROM going)", {})
        return removed, lowest

    def _spare(self) -> None:
        """Keep identities of the batch that leaked or were used since they were condemned, and their ancestors."""
        added = self._run(
            f"""INSERT INTO staying {
                _safely(f'''
                SELECT c.identity FROM going g CROSS JOIN credential c CROSS JOIN leak l
                 WHERE c.identity = g.identity AND l.credential = c.id AND NOT ({PRUNABLE_LEAK})
                UNION SELECT c.identity FROM going g CROSS JOIN credential c CROSS JOIN action n
                 WHERE c.identity = g.identity AND n.credential = c.id AND n.event > :through
                UNION SELECT g.identity FROM going g CROSS JOIN identity i
                 WHERE i.parent = g.identity AND NOT EXISTS (SELECT 1 FROM going o WHERE o.identity = i.id)''')
            }
                ON CONFLICT DO NOTHING""",
            self._old(),
        )
        while added:
            self._run("DELETE FROM going WHERE identity IN (SELECT identity FROM staying)", {})
            added = self._run(
                f"""INSERT INTO staying {
                    _safely('''
                    SELECT i.parent FROM staying s CROSS JOIN identity i CROSS JOIN going g
                     WHERE i.id = s.identity AND g.identity = i.parent''')
                }
                    ON CONFLICT DO NOTHING""",
                {},
            )

    def _old(self) -> dict[str, int]:
        last_pruning = self.last()
        return (
            {"leaks": 0, "through": 0}
            if last_pruning is None
            else {"leaks": last_pruning.leaks, "through": last_pruning.through}
        )

    def _remove_others(self, limit: int) -> int:
        """Delete rows that belong to no identity and no longer count."""
        last_pruning = self.last()
        bounds = self._bounds(0, 0, 0) if last_pruning is None else self._bounds(*last_pruning[1:])
        removed = self._run(
            "DELETE FROM action "
            f"WHERE id IN (SELECT id FROM action WHERE {_WITHOUT_CREDENTIAL} ORDER BY id LIMIT :limit)",
            {**bounds, "limit": limit},
        )
        for table, condition in _OUTLIVED.items():
            removed += self._run(f"DELETE FROM {table} WHERE {condition}", bounds)
        return removed


def _safely(query: str) -> str:
    """Return a query in a form in which SQLite does not read the `ON` of an upsert as that of a join."""
    return f"SELECT * FROM ({query}) AS found WHERE 1 = 1"


def _until(rows: Iterable[Any], through: int, column: int) -> Iterable[Any]:
    """Return the rows of events up to the number `through`."""
    return (row for row in rows if row[column] is not None and row[column] <= through)
