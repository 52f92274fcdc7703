"""The places where leaked credentials were seen: queries and changes in SQL for both SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jitid.ledger import select
from jitid.ledger.select import NO_PRUNED_LEAKS, PrunedLeaks, dialect_of, left
from jitid.model.event import sighted_digest
from jitid.model.leak import MOST_PLACES, LeakPlaces, NewPlaces, Noted, SeenPlace, Sighting

_GIVEN = """credential INTEGER, nth INTEGER, place TEXT, line INTEGER, revision TEXT, found_at INTEGER, finder TEXT,
    PRIMARY KEY (credential, nth)"""
_TEMPORARY = {"given_place": _GIVEN, "given_met": "credential INTEGER PRIMARY KEY, met INTEGER"}
_COLUMNS = ("credential", "nth", "place", "line", "revision", "found_at", "finder")

_OPEN = "l.credential = g.credential AND l.source = :source AND l.closed_at IS NULL"
_SAME = """s.leak = l.id AND s.place = g.place AND coalesce(s.line, 0) = coalesce(g.line, 0)
    AND coalesce(s.revision, '') = coalesce(g.revision, '')"""
_DIGESTED = "s.leak, s.place, s.line, s.revision, s.found_at, s.finder, s.more"


def places(db: Any, numbers: Iterable[int]) -> dict[int, LeakPlaces]:
    """Return a summary of the places of each of these leaks that was seen anywhere."""
    select.give(db, (), (), leaks=numbers)
    rows = db.execute(
        """SELECT n.leak, n.places, n.kept, f.place, f.line, f.revision, f.found_at, f.finder, f.event
             FROM (SELECT s.leak AS leak, count(s.place) + sum(s.more) AS places, count(s.place) AS kept,
                          min(CASE WHEN s.place IS NOT NULL THEN s.id END) AS first
                     FROM given_leak g CROSS JOIN sighting s WHERE s.leak = g.leak GROUP BY s.leak) AS n
             CROSS JOIN sighting f WHERE f.id = n.first"""
    )
    return {
        leak: LeakPlaces(SeenPlace(Sighting(*sighting), event), count, kept)
        for leak, count, kept, *sighting, event in rows.fetchall()
    }


def all_of(db: Any, numbers: Iterable[int]) -> dict[int, list[SeenPlace]]:
    """Return the places where each of these leaks was seen, in the order in which they were reported."""
    select.give(db, (), (), leaks=numbers)
    seen_places: dict[int, list[SeenPlace]] = {}
    for leak, *sighting, event in db.execute(
        """SELECT s.leak, s.place, s.line, s.revision, s.found_at, s.finder, s.event
             FROM given_leak g CROSS JOIN sighting s
            WHERE s.leak = g.leak AND s.place IS NOT NULL ORDER BY s.id"""
    ).fetchall():
        seen_places.setdefault(leak, []).append(SeenPlace(Sighting(*sighting), event))
    return seen_places


def rows(db: Any, without: PrunedLeaks = NO_PRUNED_LEAKS) -> Iterator[tuple[int, tuple[object, ...]]]:
    """Yield the event of every sighting and the members that its digest covers, in order."""
    joins = "LEFT JOIN leak l ON l.id = s.leak LEFT JOIN credential c ON c.id = l.credential"
    sighting_rows = dialect_of(db).stream(
        db,
        f"""SELECT s.event, {_DIGESTED} FROM sighting s {joins if without.table else ""}
             WHERE {left(without)} ORDER BY s.id""",
        {"leaks": without.before},
    )
    return ((event, tuple(members)) for event, *members in sighting_rows)


def add(db: Any, source: str, new_places: NewPlaces, *, event: int) -> Noted:
    """Record where credentials in open reports from a source were seen, as far as there is room for more places.

    Further places are only counted; a repeated report does not count them again.
    """
    dialect = dialect_of(db)
    dialect.temporaries(db, _TEMPORARY)
    dialect.insert(
        db,
        "given_place",
        _COLUMNS,
        (
            (
                credential,
                nth,
                sighting.place,
                sighting.line,
                sighting.revision,
                sighting.found_at,
                sighting.finder,
            )
            for credential, sightings in new_places.sightings.items()
            for nth, sighting in enumerate(sightings)
        ),
    )
    dialect.insert(
        db,
        "given_met",
        ("credential", "met"),
        ((key, new_places.met.get(key, 0)) for key in new_places.sightings),
    )
    for table in _TEMPORARY:
        dialect.counted(db, table)
    (last_id,) = db.execute("SELECT coalesce(max(id), 0) FROM sighting").fetchone()
    values = {"source": source, "event": event, "most": MOST_PLACES}
    db.execute(
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
    (last_placed,) = db.execute("SELECT coalesce(max(id), 0) FROM sighting").fetchone()
    # Occurrences exceed the reported places only if the maximum number of places is reported.
    db.execute(
        f"""INSERT INTO sighting (id, leak, more, event)
            SELECT :placed + row_number() OVER (ORDER BY leak), leak, beyond - before, :event
              FROM (SELECT leak, before,
                           told - known + CASE WHEN told >= :most AND met > told THEN met - told ELSE 0 END AS beyond
                      FROM (SELECT l.id AS leak, g.met AS met,
                                   (SELECT coalesce(sum(k.more), 0) FROM sighting k WHERE k.leak = l.id) AS before,
                                   (SELECT count(*) FROM given_place p WHERE p.credential = g.credential) AS told,
                                   (SELECT count(*) FROM given_place g CROSS JOIN sighting s
                                     WHERE g.credential = l.credential AND {_SAME}) AS known
                              FROM given_met g CROSS JOIN leak l WHERE {_OPEN}) AS met_leak) AS full_leak
             WHERE beyond > before ORDER BY leak""",
        {**values, "placed": last_placed},
    )
    new_rows = db.execute(
        f"SELECT {_DIGESTED} FROM sighting s WHERE s.id > :last ORDER BY s.id", {"last": last_id}
    ).fetchall()
    return Noted(
        len(new_rows),
        sighted_digest(new_rows),
        sum(further + (location is not None) for _, location, *_, further in new_rows),
    )
