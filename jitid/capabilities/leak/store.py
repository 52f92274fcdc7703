"""Queries and changes of leaks, in SQL for both SQLite and PostgreSQL.

Also the leaked credentials that every verification refuses, the places where they were seen, and the aftermath.

The judge (`validity.judge`) refuses an inactive credential before any other check: of its task, of the credentials
above it, of its audience. An inactive credential has ended with a known state, has been superseded by now, or has
expired by now; all of these are columns of its row. So if one of them applies, the query gives the judge's answer. If
a row is inactive in no such way, which only an edit of the file can cause, the judge decides.

A credential that a target made, or that was adopted, may work elsewhere: it counts as ended once the ledger has
settled that it no longer works there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jitid.ledger import expiry, select
from jitid.ledger.lineage import LIVE_TREES, below
from jitid.ledger.select import LIVE, NO_PRUNED_LEAKS, PrunedLeaks, bounds, dialect_of, left
from jitid.ledger.transaction import Changes, Transaction
from jitid.ledger.view import Store
from jitid.model import leak as model
from jitid.model.credential import State
from jitid.model.event import sighted_digest
from jitid.values.ids import credential_id, identity_id
from jitid.values.times import check_times

_LEAK = """
    SELECT c.identity, l.id, c.jti, l.source, l.reported_at, l.added_at, l.event, l.proved_at, l.closed_at,
           l.closed_event,
           CASE WHEN c.ended_at IS NOT NULL THEN c.ended_at
                WHEN c.superseded_at <= :now AND c.superseded_at < c.expires_at THEN c.superseded_at
                WHEN c.expires_at <= :now THEN c.expires_at END
      FROM leak l CROSS JOIN credential c
     WHERE c.id = l.credential"""

_NAMED = """l.id IN (SELECT leak FROM given_leak
    UNION SELECT k.id FROM given_jti g CROSS JOIN credential n CROSS JOIN leak k
     WHERE n.jti = g.jti AND k.credential = n.id)"""
_OF_CREDENTIALS = (
    "l.id IN (SELECT k.id FROM given_credential g CROSS JOIN leak k WHERE k.credential = g.credential)"
)

_MEMBERS = {
    "leak": "l.event = :seq",
    "leak-close": "l.closed_event = :seq",
    "leak-sighting": "l.id IN (SELECT s.leak FROM sighting s WHERE s.event = :seq)",
    "leak-proof": "l.proved_at = :at AND l.id BETWEEN :first AND :last",
}
"""The condition for the leaks of an event, by the operation of the event."""
_KIN = f"""
    WITH RECURSIVE {below("SELECT identity, identity FROM given_identity")},
    {LIVE_TREES} SELECT identity, own, delegated, until FROM living"""

_WAYS = ", ".join(f"'{state}'" for state in State if state not in (State.ACTIVE, State.PENDING))
_INACTIVE = f"(c.ended_as IN ({_WAYS}) OR c.superseded_at <= :now OR c.expires_at <= :now)"
_UNPROVED_COLUMNS = "leak INTEGER PRIMARY KEY, identity INTEGER NOT NULL, inactive INTEGER NOT NULL"

_GATHER = f"""INSERT INTO unproved (leak, identity, inactive)
    SELECT l.id, c.identity, CASE WHEN {_INACTIVE} THEN 1 ELSE 0 END
      FROM leak l CROSS JOIN credential c
     WHERE c.id = l.credential AND l.proved_at IS NULL AND l.id > :after AND NOT ({LIVE})
     ORDER BY l.id LIMIT :limit"""

_TAKEN = """EXISTS (SELECT 1 FROM outside o WHERE o.credential = c.id
       AND (o.settled_at IS NULL
            OR o.settlement = 'unsupported' AND coalesce(o.honoured_until, c.expires_at) > :now))"""

# The comparison of depths bounds the walk: in a damaged ledger, parents may form a circle.
_BELOW = """
    WITH RECURSIVE below (id, depth, hop) AS (
        SELECT i.id, i.depth, 0 FROM identity i WHERE i.id = :identity
        UNION ALL
        SELECT i.id, i.depth, b.hop + 1 FROM below b CROSS JOIN identity i
         WHERE i.parent = b.id AND i.depth > b.depth)"""

_COUNTS = f"""{_BELOW}
    SELECT (SELECT count(*) - 1 FROM below), count(*), sum(CASE WHEN c.issued_at > :reported THEN 1 ELSE 0 END),
           sum(CASE WHEN {LIVE} THEN 1 ELSE 0 END)
      FROM below b CROSS JOIN credential c WHERE c.identity = b.id"""

_MADE = f"""{_BELOW}
    SELECT c.jti, i.uid, a.text, c.kind, b.hop, c.issued_at, c.event
      FROM below b CROSS JOIN credential c CROSS JOIN identity i CROSS JOIN term a
     WHERE c.identity = b.id AND i.id = b.id AND a.id = i.agent AND c.id <> :credential
     ORDER BY c.id LIMIT :limit"""

_ACTED = f"""{_BELOW}
    SELECT a.text, n.action, n.resource, n.allowed, CASE WHEN n.at > :reported THEN 1 ELSE 0 END, count(*),
           min(n.at), max(n.at), min(n.event), max(n.event)
      FROM below b CROSS JOIN credential c CROSS JOIN action n CROSS JOIN identity i CROSS JOIN term a
     WHERE c.identity = b.id AND n.credential = c.id AND i.id = b.id AND a.id = i.agent
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 7, 9, 1, 2, 3, 4, 5 LIMIT :limit"""

_ENDED = f"""{_BELOW}
    SELECT c.ended_event, c.ended_as, count(*), count(DISTINCT c.identity),
           max(CASE WHEN c.id = :credential THEN 1 ELSE 0 END), min(c.ended_at), max(c.ended_at)
      FROM below b CROSS JOIN credential c WHERE c.identity = b.id AND c.ended_at IS NOT NULL
     GROUP BY 1, 2 ORDER BY 6, 1 LIMIT :limit"""

_AT_TARGETS = f"""{_BELOW}
    SELECT o.target, count(*), o.settlement, max(o.settled_at), o.event
      FROM below b CROSS JOIN credential c CROSS JOIN outside o
     WHERE c.identity = b.id AND o.credential = c.id
     GROUP BY o.target, o.settlement, o.event, CASE WHEN o.settled_at IS NULL THEN 0 ELSE 1 END
     ORDER BY min(c.id) LIMIT :limit"""

_GIVEN = """credential INTEGER, nth INTEGER, place TEXT, line INTEGER, revision TEXT, found_at INTEGER, finder TEXT,
    PRIMARY KEY (credential, nth)"""
_GIVEN_PLACES = {"given_place": _GIVEN, "given_met": "credential INTEGER PRIMARY KEY, met INTEGER"}
_PLACE_COLUMNS = ("credential", "nth", *model.Sighting._fields)

_OPEN = "l.credential = g.credential AND l.source = :source AND l.closed_at IS NULL"
_SAME = """s.leak = l.id AND s.place = g.place AND coalesce(s.line, 0) = coalesce(g.line, 0)
    AND coalesce(s.revision, '') = coalesce(g.revision, '')"""
_DIGESTED = "s.leak, s.place, s.line, s.revision, s.found_at, s.finder, s.more"


class LeakStore(Store):
    """Queries about leaks on a view of the ledger."""

    def leaks(self, chosen: model.LeakFilter, limit: int) -> list[model.Leak]:
        """Return leaks, the newest first."""
        select.give(self._db, chosen.jtis, (), credentials=chosen.credentials, leaks=chosen.numbers)
        conditions = {
            _NAMED: chosen.numbers or chosen.jtis,
            _OF_CREDENTIALS: chosen.credentials,
            "l.source = :source": chosen.source is not None,
            "l.closed_at IS NULL": chosen.open,
            LIVE: chosen.live,
            "l.reported_at >= :since": chosen.since is not None,
            "l.reported_at < :until": chosen.until is not None,
            "l.id < :before": chosen.before is not None,
        }
        where = "".join([f" AND {condition}" for condition, holds in conditions.items() if holds])
        values = {name: getattr(chosen, name) for name in ("source", "since", "until", "before")}
        if chosen.task is not None:
            where += f" AND c.task IN {select.of_task(chosen.task, values)}"
        rows = self._db.execute(
            f"{_LEAK}{where} ORDER BY l.id DESC LIMIT :limit", {**values, "now": self._now, "limit": limit}
        )
        return self._leaks(rows.fetchall())

    def printed(self, fingerprints: Iterable[bytes]) -> model.Printed:
        """Return the records that have these fingerprints; there may be very many fingerprints."""
        select.give(self._db, (), sorted(fingerprints))
        credentials = self._db.execute(
            f"""SELECT c.id, c.jti, c.fingerprint, CASE WHEN {LIVE} THEN 1 ELSE 0 END
                  FROM given_print g CROSS JOIN credential c
                 WHERE substr(c.fingerprint, 1, 8) = substr(g.fingerprint, 1, 8) AND c.fingerprint = g.fingerprint""",
            {"now": self._now},
        ).fetchall()
        others = self._db.execute(
            """SELECT a.fingerprint FROM access a CROSS JOIN given_print g WHERE g.fingerprint = a.fingerprint
               UNION SELECT p.fingerprint FROM given_print g CROSS JOIN part p
                      WHERE substr(p.fingerprint, 1, 8) = substr(g.fingerprint, 1, 8)
                        AND p.fingerprint = g.fingerprint"""
        ).fetchall()
        return model.Printed(credentials, {print_ for (print_,) in others})

    def reported(self, credentials: Iterable[int], source: str) -> set[int]:
        """Return the given credentials that are in an open report from that source."""
        select.give(self._db, (), (), credentials=credentials)
        rows = self._db.execute(
            """SELECT l.credential FROM given_credential g CROSS JOIN leak l
                WHERE l.credential = g.credential AND l.source = :source AND l.closed_at IS NULL""",
            {"source": source},
        )
        return {key for (key,) in rows.fetchall()}

    def unproved_leaks(self, after: int, limit: int) -> list[model.Leak]:
        """Return the leaks above the number `after` whose credential has ended, without a proof yet, in order.

        A credential that may work at its target, or where it was kept before its adoption, has not ended.
        """
        rows = self._db.execute(
            f"""{_LEAK} AND l.proved_at IS NULL AND l.id > :after AND NOT ({LIVE})
                AND NOT {_TAKEN} ORDER BY l.id LIMIT :limit""",
            {"after": after, "now": self._now, "limit": limit},
        )
        return self._leaks(rows.fetchall())

    def refused_leaks(self, after: int, limit: int) -> model.RefusedLeaks:
        """Return the leaks above the number `after`, at most `limit`, without any live credential left.

        Their credential has ended, and so has every other credential of its identity and of the descendants; none of
        these leaks is proved yet.
        """
        dialect = dialect_of(self._db)
        dialect.temporaries(self._db, {"unproved": _UNPROVED_COLUMNS})
        gathered = self._db.execute(_GATHER, {"after": after, "limit": limit, "now": self._now}).rowcount
        if not gathered:
            return model.RefusedLeaks([], [], None)
        dialect.counted(self._db, "unproved")
        # Most ledgers have nothing at targets, and a million rows to go through.
        targets = self._one("SELECT 1 FROM outside LIMIT 1") is not None
        alive = f"({LIVE} OR {_TAKEN})" if targets else LIVE
        (last_leak,) = self._one("SELECT max(leak) FROM unproved")
        self._db.execute(
            f"""DELETE FROM unproved WHERE identity IN (SELECT start FROM (
                    WITH RECURSIVE {below("SELECT identity, identity FROM unproved")}
                    SELECT b.start FROM below b CROSS JOIN credential c
                     WHERE c.identity = b.id AND {alive}) AS living)""",
            {"now": self._now},
        )
        rows = self._db.execute("SELECT leak, inactive FROM unproved ORDER BY leak").fetchall()
        return model.RefusedLeaks(
            [leak for leak, inactive in rows if inactive],
            [leak for leak, inactive in rows if not inactive],
            last_leak if gathered == limit else None,
        )

    def _leaks(self, rows: list[Any]) -> list[model.Leak]:
        if not rows:
            return []
        select.give(self._db, (), (), {identity for identity, *_ in rows})
        kins = {
            identity: model.Kin(*members)
            for identity, *members in self._db.execute(_KIN, {"now": self._now}).fetchall()
        }
        facts = expiry.refusal_facts(self._db, self._now)
        leaks = []
        for identity, key, jti, *columns in rows:
            kin = kins.get(identity)
            if kin is not None and columns[-1] is None:
                kin = kin._replace(successors=kin.successors - 1)
            leaks.append(model.Leak._make((key, credential_id(jti), *columns, kin, *facts[identity])))
        return leaks

    def leak_members(self, event: Mapping[str, Any]) -> list[str]:
        """Return the ids of the credentials in an event about leaks."""
        rows = self._db.execute(
            f"""SELECT c.jti FROM leak l CROSS JOIN credential c
                 WHERE c.id = l.credential AND {_MEMBERS[event["op"]]} ORDER BY l.id""",
            {"seq": event["seq"], "at": event["at"], **bounds(event)},
        )
        return [credential_id(jti) for (jti,) in rows]

    def places(self, numbers: Iterable[int]) -> dict[int, model.LeakPlaces]:
        """Return a summary of the places of each of these leaks that was seen anywhere."""
        select.give(self._db, (), (), leaks=numbers)
        rows = self._db.execute(
            """SELECT n.leak, n.places, n.kept, f.place, f.line, f.revision, f.found_at, f.finder, f.event
                 FROM (SELECT s.leak AS leak, count(s.place) + sum(s.more) AS places, count(s.place) AS kept,
                              min(CASE WHEN s.place IS NOT NULL THEN s.id END) AS first
                         FROM given_leak g CROSS JOIN sighting s WHERE s.leak = g.leak GROUP BY s.leak) AS n
                 CROSS JOIN sighting f WHERE f.id = n.first"""
        )
        return {
            leak: model.LeakPlaces(model.SeenPlace(model.Sighting(*sighting), event), count, kept)
            for leak, count, kept, *sighting, event in rows.fetchall()
        }

    def sightings(self, numbers: Iterable[int]) -> dict[int, list[model.SeenPlace]]:
        """Return the places where each of these leaks was seen, in the order in which they were reported."""
        select.give(self._db, (), (), leaks=numbers)
        seen_places: dict[int, list[model.SeenPlace]] = {}
        for leak, *sighting, event in self._db.execute(
            """SELECT s.leak, s.place, s.line, s.revision, s.found_at, s.finder, s.event
                 FROM given_leak g CROSS JOIN sighting s
                WHERE s.leak = g.leak AND s.place IS NOT NULL ORDER BY s.id"""
        ).fetchall():
            seen_places.setdefault(leak, []).append(model.SeenPlace(model.Sighting(*sighting), event))
        return seen_places

    def aftermath(self, identity: int, credential: int, reported_at: int, limit: int) -> model.Aftermath:
        """Return the aftermath for an identity with a leaked credential, and for all its descendants."""
        values = {
            "identity": identity,
            "credential": credential,
            "reported": reported_at,
            "now": self._now,
            "limit": limit,
        }

        def query(sql: str) -> list[Any]:
            rows: list[Any] = self._db.execute(sql, values).fetchall()
            return rows

        ((identities, credentials, later, live),) = query(_COUNTS)
        made_credentials = [
            model.MadeAfterLeak(credential_id(jti), identity_id(uid), *rest)
            for jti, uid, *rest in query(_MADE)
        ]
        uses = [
            model.Acted(agent, action, resource, allowed == 1, is_after == 1, *rest)
            for agent, action, resource, allowed, is_after, *rest in query(_ACTED)
        ]
        ends = [
            model.EndedByEvent(event, state, count, holders, includes_leaked == 1, first_at, last_at)
            for event, state, count, holders, includes_leaked, first_at, last_at in query(_ENDED)
        ]
        at_targets = [model.AtTarget(*row) for row in query(_AT_TARGETS)]
        check_times(
            *(made.issued_at for made in made_credentials),
            *(use.first_at for use in uses),
            *(end.first_at for end in ends),
        )
        return model.Aftermath(
            identities, credentials, later or 0, live or 0, made_credentials, uses, ends, at_targets
        )

    def sighting_rows(
        self, without: PrunedLeaks = NO_PRUNED_LEAKS
    ) -> Iterator[tuple[int, tuple[object, ...]]]:
        """Yield the event of every sighting and the members that its digest covers, in order."""
        joins = "LEFT JOIN leak l ON l.id = s.leak LEFT JOIN credential c ON c.id = l.credential"
        sighting_rows = dialect_of(self._db).stream(
            self._db,
            f"""SELECT s.event, {_DIGESTED} FROM sighting s {joins if without.table else ""}
                 WHERE {left(without)} ORDER BY s.id""",
            {"leaks": without.before},
        )
        return ((event, tuple(members)) for event, *members in sighting_rows)

    def leak_rows(self, without: PrunedLeaks = NO_PRUNED_LEAKS) -> Iterator[model.LeakRow]:
        """Yield every leak, in order."""
        rows = self._db.execute(
            f"""SELECT l.id, c.jti, l.source, l.reported_at, l.added_at, l.event, c.issued_at
                  FROM leak l LEFT JOIN credential c ON c.id = l.credential WHERE {left(without)} ORDER BY l.id""",
            {"leaks": without.before},
        )
        return map(model.LeakRow._make, rows)

    def closed_leaks(self, without: PrunedLeaks = NO_PRUNED_LEAKS) -> Iterator[tuple[int, int, bytes]]:
        """Yield (event, closed_at, jti) of every closed leak, ordered by the event that closed it."""
        rows: Iterator[tuple[int, int, bytes]] = self._db.execute(
            f"""SELECT l.closed_event, l.closed_at, c.jti FROM leak l LEFT JOIN credential c ON c.id = l.credential
                 WHERE (l.closed_at IS NOT NULL OR l.closed_event IS NOT NULL) AND {left(without)}
                 ORDER BY l.closed_event, l.id""",
            {"leaks": without.before},
        )
        return rows

    def proved_leaks(self, without: PrunedLeaks = NO_PRUNED_LEAKS) -> Iterator[tuple[int, int, bytes]]:
        """Yield (proved_at, number, jti) of every leak that is proved refused, ordered by that time."""
        rows: Iterator[tuple[int, int, bytes]] = self._db.execute(
            f"""SELECT l.proved_at, l.id, c.jti FROM leak l LEFT JOIN credential c ON c.id = l.credential
                 WHERE l.proved_at IS NOT NULL AND {left(without)} ORDER BY l.proved_at, l.id""",
            {"leaks": without.before},
        )
        return rows


class LeakChanges(Changes, LeakStore):
    """Changes of leaks in a transaction; each refers to the next event."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        transaction.alone()

    def add_leaks(self, credentials: Iterable[int], source: str, reported_at: int) -> model.RecordedLeaks:
        """Record that these credentials leaked; an open report from that source stays unchanged."""
        select.give(self._db, (), (), credentials=sorted(credentials))
        (last_id,) = self._one("SELECT coalesce(max(id), 0) FROM leak")
        values = {
            "source": source,
            "reported": reported_at,
            "now": self._now,
            "event": self._transaction.next_seq(),
            "last": last_id,
        }
        # A credential cannot leak before it exists: if one report covers a whole repository, later tokens count from
        # their own issue.
        self._db.execute(
            """INSERT INTO leak (id, credential, source, reported_at, added_at, event)
               SELECT :last + row_number() OVER (ORDER BY c.id), c.id, :source,
                      CASE WHEN c.issued_at > :reported THEN c.issued_at ELSE :reported END, :now, :event
                 FROM given_credential g CROSS JOIN credential c
                WHERE c.id = g.credential
                  AND NOT EXISTS (SELECT 1 FROM leak l
                                   WHERE l.credential = c.id AND l.source = :source AND l.closed_at IS NULL)
                ORDER BY c.id""",
            values,
        )
        new_leaks = self._db.execute(
            """SELECT c.id, c.jti FROM leak l CROSS JOIN credential c
                WHERE c.id = l.credential AND l.id > :last ORDER BY l.id""",
            values,
        ).fetchall()
        (moved,) = self._one(
            "SELECT count(*) FROM leak l WHERE l.id > :last AND l.reported_at > :reported", **values
        )
        (credential_count,) = self._one("SELECT count(*) FROM given_credential")
        if credential_count == len(new_leaks):
            return model.RecordedLeaks(new_leaks, moved, 0)
        (later,) = self._one(
            """SELECT count(*) FROM given_credential g CROSS JOIN credential c CROSS JOIN leak l
                WHERE c.id = g.credential AND l.credential = c.id AND l.source = :source AND l.id <= :last
                  AND l.closed_at IS NULL AND l.reported_at > :reported AND l.reported_at > c.issued_at""",
            **values,
        )
        return model.RecordedLeaks(new_leaks, moved, later)

    def add_places(self, source: str, new_places: model.NewPlaces) -> model.Noted:
        """Record where credentials in open reports from that source were seen, as far as there is room for more places.

        Further places are only counted; a repeated report does not count them again.
        """
        dialect = dialect_of(self._db)
        dialect.temporaries(self._db, _GIVEN_PLACES)
        dialect.insert(
            self._db,
            "given_place",
            _PLACE_COLUMNS,
            (
                (credential, nth, *sighting)
                for credential, sightings in new_places.sightings.items()
                for nth, sighting in enumerate(sightings)
            ),
        )
        dialect.insert(
            self._db,
            "given_met",
            ("credential", "met"),
            ((key, new_places.met.get(key, 0)) for key in new_places.sightings),
        )
        for table in _GIVEN_PLACES:
            dialect.counted(self._db, table)
        (last_id,) = self._one("SELECT coalesce(max(id), 0) FROM sighting")
        values = {"source": source, "event": self._transaction.next_seq(), "most": model.MOST_PLACES}
        self._db.execute(
            f"""INSERT INTO sighting (id, leak, place, line, revision, found_at, finder, more, event)
                SELECT :last + row_number() OVER (ORDER BY leak, nth), leak, place, line, revision, found_at, finder, 0,
                       :event
                  FROM (SELECT l.id AS leak, g.*, (SELECT count(k.place) FROM sighting k WHERE k.leak = l.id)
                               + row_number() OVER (PARTITION BY l.id ORDER BY g.nth) AS number
                          FROM given_place g CROSS JOIN leak l
                         WHERE {_OPEN} AND NOT EXISTS (SELECT 1 FROM sighting s WHERE {_SAME})) AS fresh
                 WHERE number <= :most ORDER BY leak, nth""",
            {**values, "last": last_id},
        )
        (last_placed,) = self._one("SELECT coalesce(max(id), 0) FROM sighting")
        # Occurrences exceed the reported places only if the maximum number of places is reported.
        self._db.execute(
            f"""INSERT INTO sighting (id, leak, more, event)
                SELECT :placed + row_number() OVER (ORDER BY leak), leak, beyond - before, :event
                  FROM (SELECT leak, before, told - known
                               + CASE WHEN told >= :most AND met > told THEN met - told ELSE 0 END AS beyond
                          FROM (SELECT l.id AS leak, g.met AS met,
                                       (SELECT coalesce(sum(k.more), 0) FROM sighting k WHERE k.leak = l.id) AS before,
                                       (SELECT count(*) FROM given_place p WHERE p.credential = g.credential) AS told,
                                       (SELECT count(*) FROM given_place g CROSS JOIN sighting s
                                         WHERE g.credential = l.credential AND {_SAME}) AS known
                                  FROM given_met g CROSS JOIN leak l WHERE {_OPEN}) AS met_leak) AS full_leak
                 WHERE beyond > before ORDER BY leak""",
            {**values, "placed": last_placed},
        )
        new_rows = self._db.execute(
            f"SELECT {_DIGESTED} FROM sighting s WHERE s.id > :last ORDER BY s.id", {"last": last_id}
        ).fetchall()
        return model.Noted(
            len(new_rows),
            sighted_digest(new_rows),
            sum(further + (location is not None) for _, location, *_, further in new_rows),
        )

    def prove_leaks(self, numbers: Iterable[int]) -> list[tuple[int, bytes]]:
        """Record the current time as the time of proof if there is none yet; return number and jti of these leaks."""
        return self._change(numbers, "proved_at IS NULL", "proved_at = :now", now=self._now)

    def close_leaks(self, numbers: Iterable[int]) -> list[tuple[int, bytes]]:
        """Close the open leaks; return number and jti of each."""
        assignment = "closed_at = :now, closed_event = :event"
        event = self._transaction.next_seq()
        return self._change(numbers, "closed_at IS NULL", assignment, now=self._now, event=event)

    def _change(
        self, numbers: Iterable[int], condition: str, assignment: str, **values: int
    ) -> list[tuple[int, bytes]]:
        select.give(self._db, (), (), leaks=numbers)
        rows: list[tuple[int, bytes]] = self._db.execute(
            f"""SELECT l.id, c.jti FROM given_leak g CROSS JOIN leak l CROSS JOIN credential c
                 WHERE l.id = g.leak AND c.id = l.credential AND l.{condition} ORDER BY l.id"""
        ).fetchall()
        self._db.execute(
            f"UPDATE leak SET {assignment} WHERE {condition} AND id IN (SELECT leak FROM given_leak)", values
        )
        return rows
