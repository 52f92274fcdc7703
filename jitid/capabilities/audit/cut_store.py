"""The parts that were cut from the audit log, and their events that stay since rows need them, in portable SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from jitid.ledger.select import dialect_of
from jitid.ledger.view import Store, spared
from jitid.model.event import Event
from jitid.values.ids import credential_id
from jitid.values.record import Record

_FIELDS = "event, through, head, file, sha256, kept, digest"

_NEEDING = (
    "SELECT c.event FROM credential c WHERE {spared}",
    "SELECT c.ended_event FROM credential c WHERE c.ended_event IS NOT NULL AND {spared}",
    "SELECT event FROM outside WHERE event IS NOT NULL",
    "SELECT event FROM leak",
    "SELECT closed_event FROM leak WHERE closed_event IS NOT NULL",
    "SELECT event FROM sighting",
    "SELECT event FROM action",
    "SELECT event FROM approval",
    "SELECT ended_event FROM approval WHERE ended_event IS NOT NULL",
    "SELECT event FROM approval_group WHERE event IS NOT NULL",
    "SELECT event FROM presented",
    "SELECT event FROM session",
    "SELECT event FROM barred",
    # The first credentials of a task need the event that opened it. If the task is shared or was given away, the event
    # is needed for as long as the task exists.
    "SELECT event FROM task WHERE given_event > 0 OR id IN (SELECT task FROM task_share)",
    "SELECT given_event FROM task WHERE given_event > 0",
    "SELECT event FROM task_share",
    "SELECT ended_event FROM task_share WHERE ended_event IS NOT NULL",
    "SELECT event FROM prune",
    "SELECT event FROM segment",
)
"""The rows that need events: each has the number of its event."""

_DELETED = 20_000


class Segment(Record):
    """A part of the audit log that was exported and cut, as recorded in the ledger and in an audit event."""

    event: int
    """The number of the event that records it."""
    through: int
    """The number of its last event."""
    head: str
    """The signed head at its end."""
    file: str
    """The name of the file that contains it."""
    sha256: str
    """SHA-256 of the file, as hex."""
    kept: int
    """The number of events up to its end that stay, over all segments."""
    digest: str
    """SHA-256 over number (eight bytes), hash, length of the body (four bytes) and body of each of these, as hex."""


class CutStore(Store):
    """Queries about the parts that were cut; in a transaction, also the cut itself."""

    def all(self) -> list[Segment]:
        """Return the segments, the earliest first."""
        rows = self._db.execute(f"SELECT {_FIELDS} FROM segment ORDER BY through").fetchall()
        return [Segment(*row) for row in rows]

    def last(self) -> Segment | None:
        """Return the last segment; None if no part was cut."""
        row = self._db.execute(f"SELECT {_FIELDS} FROM segment ORDER BY through DESC LIMIT 1").fetchone()
        return None if row is None else Segment(*row)

    def kept(self, through: int) -> Iterator[Event]:
        """Yield the events up to a number that were not cut."""
        rows = dialect_of(self._db).stream(
            self._db,
            """SELECT e.seq, e.body, e.hash FROM kept_event k CROSS JOIN audit_event e
                WHERE e.seq = k.seq AND k.seq <= :through ORDER BY k.seq""",
            {"through": through},
        )
        return map(Event._make, rows)

    def needed(self, through: int) -> set[int]:
        """Return the numbers of the events up to `through` that a row refers to."""
        numbers: set[int] = set()
        for query in _NEEDING:
            rows = dialect_of(self._db).stream(self._db, query.format(spared=spared("condemned")))
            numbers.update(number for (number,) in rows if number <= through)
        return numbers | self._renewed_twice(through)

    def _renewed_twice(self, through: int) -> set[int]:
        """Return the event of the first refused second renewal of each credential: its row has only the time."""
        rows = self._db.execute(
            f"SELECT c.jti FROM credential c WHERE c.reused_at IS NOT NULL AND {spared('condemned')}"
        )
        reused = {credential_id(jti) for (jti,) in rows}
        if not reused:
            return set()
        dialect = dialect_of(self._db)
        refusals = self._db.execute(
            f"""SELECT min(seq), {dialect.member("of")} FROM {dialect.event_bodies}
                 WHERE seq <= :through AND {dialect.member("rules")} = '["renewed-twice"]' GROUP BY 2""",
            {"through": through},
        )
        return {seq for seq, jti in refusals if jti in reused}

    def add(self, segment: Segment, kept: Sequence[int]) -> None:
        """Record a segment; `kept` are the cut events that stay, over all segments, and replaces the former list."""
        dialect = dialect_of(self._db)
        self._db.execute("DELETE FROM kept_event")
        dialect.give(self._db, "kept_event", kept)
        self._db.execute("INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?)", segment)

    def delete(self, through: int, after: int) -> tuple[int, int | None]:
        """Delete some of the events that were cut, with numbers above `after` and up to `through`.

        Returns the number of deleted events, and the number to continue after; None if there are no more.
        """
        (last_seq,) = self._db.execute(
            """SELECT max(seq) FROM (SELECT seq FROM audit_event WHERE seq > :after AND seq <= :through
                                      ORDER BY seq LIMIT :limit) AS some_of""",
            {"after": after, "through": through, "limit": _DELETED},
        ).fetchone()
        if last_seq is None:
            return 0, None
        deleted_count: int = self._db.execute(
            """DELETE FROM audit_event WHERE seq > :after AND seq <= :last
                  AND NOT EXISTS (SELECT 1 FROM kept_event k WHERE k.seq = audit_event.seq)""",
            {"after": after, "last": last_seq},
        ).rowcount
        return deleted_count, int(last_seq)


def digest_of(events: Iterable[Event]) -> tuple[int, str]:
    """Return how many events stay, and their digest."""
    digest, count = sha256(), 0
    for count, (seq, body, hash_) in enumerate(events, start=1):  # noqa: B007 - the last one counts
        digest.update(seq.to_bytes(8, "big") + hash_ + len(body).to_bytes(4, "big") + body)
    return count, digest.hexdigest()
