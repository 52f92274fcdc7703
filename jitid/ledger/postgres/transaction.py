"""Write transactions on a ledger in PostgreSQL: the chains that a writer holds, and the ids that it gives to rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jitid.errors import ConflictError, StorageError
from jitid.ledger.postgres.connection import prepared
from jitid.ledger.transaction import KnownRows, Transaction
from jitid.ledger.view import Found, View
from jitid.model.chain import Chain, HeldChains
from jitid.model.event import Event
from jitid.model.ledger_rows import (
    CREDENTIAL_COLUMNS,
    IDENTITY_COLUMNS,
    CredentialRow,
    IdentityRow,
    Names,
)

_NUMBERS_SINCE = 1_704_067_200
"""2024-01-01T00:00:00Z: numbers begin with the seconds since then."""
_SLOTS = 64
"""The number of chains with separate numbers within one second; each has 2**26 of them."""
_REMEMBERED = 10_000
"""The maximum number of cached names of each kind."""
_HELD = 10_000
"""The maximum number of rows that all sessions of a process with one server cache."""


def number_after(number: int, chain: int) -> int:
    """Return a number above `number`; the numbers that a chain assigns after it are unique among all chains."""
    return ((number >> 32) + 1 << 32) | (chain % _SLOTS << 26)


CHAIN = "SELECT id, epoch, start, stride, length, hash, last_id, version FROM chain"
"""The query for the chain rows that a transaction is created with."""
_HASH = 5
"""The position of the hash in such a row."""

_INT, _BYTES, _TEXT = "int8", "bytea", "text"
_IDENTITY_TYPES = (_INT, _BYTES, _INT, _INT, _INT, _TEXT, _INT, _INT, _TEXT, _INT)
_CREDENTIAL_TYPES = (
    *(_INT, _BYTES, _INT, _TEXT, _TEXT, _INT, _TEXT, _INT, _INT, _BYTES, _BYTES),
    *(_INT, _INT, _INT, _INT, _INT, _TEXT, _BYTES),
    *(_INT, _INT, _TEXT, _TEXT, _TEXT, _INT),
)
_EVENT_TYPES = (_INT, _BYTES, _BYTES, _INT, _BYTES, _INT, _INT)
_CREDENTIAL_PLACES = f"({', '.join(CREDENTIAL_COLUMNS)}) VALUES ({', '.join('?' * len(CREDENTIAL_COLUMNS))})"
# One statement: each further one would cost client and server as much as the rows that it writes.
_EVENT_SQL = """e AS (INSERT INTO audit_event VALUES (?, ?, ?))
    UPDATE chain SET length = ?, hash = ?, last_id = ? WHERE id = ?"""
_APPEND = prepared("tell", f"WITH {_EVENT_SQL}", _EVENT_TYPES)
_ISSUE = prepared(
    "issue",
    f"""WITH i AS (INSERT INTO identity VALUES ({", ".join("?" * len(IDENTITY_COLUMNS))})),
        c AS (INSERT INTO credential {_CREDENTIAL_PLACES}), {_EVENT_SQL}""",
    (*_IDENTITY_TYPES, *_CREDENTIAL_TYPES, *_EVENT_TYPES),
)
_BEGIN = prepared("begin", "BEGIN")
_COMMIT = prepared("commit", "COMMIT")


class AloneError(ConflictError):
    """The error of a shared transaction that needs the ledger to itself."""

    alone = True

    def __init__(self) -> None:
        super().__init__(
            "this change needs exclusive access to the ledger; nothing was changed", "repeat the command"
        )


class SeenByVersion:
    """Cached rows of the directory, of tasks and of keys, valid for one version of the ledger."""

    def __init__(self) -> None:
        self.version = -1
        self.kinds: dict[str, dict[Any, Any]] = {}
        """The cached answers, by kind and key."""
        self.rows: Rows = {}
        """The rows that sessions with the same server share."""

    def at(self, version: int) -> SeenByVersion:
        """Return this cache for a version; the answers of another version are dropped."""
        if version != self.version:
            self.forget()
            self.version = version
        return self

    def forget(self) -> None:
        """Drop the cached answers."""
        self.version = -1
        self.kinds.clear()

    def row(self, kind: str, value: bytes, load: Callable[[], Found]) -> Found:
        """Return a row at this version; call `load` unless a session has cached the row at this version."""
        cached = self.rows.get((kind, value))
        if cached is not None and cached[0] == self.version:
            row: Found = cached[1]
            return row
        loaded = load()
        # A missing row is not cached: it may be added without a new version.
        if loaded is not None and self.version >= 0:
            remember(self.rows, (kind, value), (self.version, loaded), _HELD)
        return loaded


Rows = dict[tuple[str, bytes], tuple[int, Any]]
"""By kind and value: a row, and the version of the ledger at which it was read."""
_ROWS: dict[tuple[str, ...], Rows] = {}


def rows_of(*server: str) -> Rows:
    """Return the shared cache of a server for a new session, emptied.

    The same name may belong to another server by now, with another history.
    """
    rows = _ROWS.setdefault(server, {})
    rows.clear()
    return rows


def remember(names: dict[Any, Any], name: Any, value: Any, limit: int = _REMEMBERED) -> Any:
    """Store a value under its name and return it; a full cache is emptied first."""
    if len(names) >= limit:
        names.clear()
    names[name] = value
    return value


class PostgresTransaction(Transaction):
    """A write transaction that holds all chains, and so has the ledger to itself."""

    def __init__(
        self,
        db: Any,
        names: Names,
        now: int,
        by: str,
        known: KnownRows,
        members: Mapping[str, Any],
        rows: Sequence[Any],
    ) -> None:
        """Take the rows of the chains that it holds, as `CHAIN` returns them."""
        held_chains = HeldChains([Chain._make((*row[:6], False)) for row in rows])
        super().__init__(db, names, now, by, known, members, held_chains)
        # The chain with the highest numbers: numbers that others assigned in the same second are lower.
        last_row = max(rows, key=lambda row: row[0] % _SLOTS)
        self._numbering_chain: int = last_row[0]
        self._last_id: int = last_row[6]
        self._has_assigned = False
        self.appended: list[tuple[int, Event]] = []
        """The appended events, each with the id of its chain."""
        self.changes = True
        """Whether it may change rows that other sessions have cached."""

    def next_row_id(self) -> int:
        """Return the number of a new row, higher than all of earlier seconds; `HeldChains` numbers the events."""
        number = self._least_number()
        self._note_assigned(number)
        return number

    def _least_number(self) -> int:
        slot = (self.now - _NUMBERS_SINCE << 32) | (self._numbering_chain % _SLOTS << 26)
        return max(self._last_id + 1, int(slot))

    def _note_assigned(self, number: int) -> None:
        self._last_id = max(number, self._last_id)
        self._has_assigned = True

    def next_keys(self) -> tuple[int, int]:
        """Return the numbers of the next identity and of the next credential."""
        number = self._least_number()
        return number, number

    def term(self, text: str) -> int:
        """Return the number of a name, which is stored once."""
        number = self.known.terms.get(text)
        while number is None:
            # Another session may store the name at the same time.
            row = self._one("SELECT id FROM term WHERE text = :text", text=text) or self._one(
                "INSERT INTO term (id, text) VALUES (:id, :text) ON CONFLICT DO NOTHING RETURNING id",
                id=self.next_row_id(),
                text=text,
            )
            if row is not None:
                number = int(row[0])
                remember(self.known.terms, text, number)
        return number

    def add(self, identities: Iterable[IdentityRow], credentials: Iterable[CredentialRow]) -> None:
        """Record new identities with their credentials."""
        identities, credentials = list(identities), list(credentials)
        super().add(identities, credentials)
        self._note_assigned(max([row.key for row in identities] + [row.key for row in credentials]))

    def _linked(self, operation: str, facts: Mapping[str, Any]) -> Event:
        event = super()._linked(operation, facts)
        chain_id = next(chain.id for chain in self.held.chains if chain.hash == event.hash)
        self.appended.append((chain_id, event))
        return event

    def begin_anew(self) -> None:
        """Close the chains and open others, so that all later events have higher numbers."""
        version, last_id, count = self.db.execute(
            "SELECT max(version), max(last_id), count(*) FROM chain WHERE closed_at IS NULL"
        ).fetchone()
        self.open_epoch(count, counted=True)
        for chain in self.held.chains:
            self.db.execute(
                "UPDATE chain SET version = ?, last_id = ? WHERE id = ?",
                (version, number_after(max(last_id, self._last_id), chain.id), chain.id),
            )

    def commit(self) -> None:
        """Write the new state of the chains, and commit durably.

        Raises LostConnectionError if it is unknown whether the commit happened.
        """
        self.db.begin_pipeline()
        self._finish()
        cursor = self.db.execute("COMMIT")
        self.db.end_pipeline()
        _must_be_done(cursor.statusmessage.encode())

    def _finish(self) -> None:
        last_ids = {self._numbering_chain: self._last_id} if self._has_assigned else {}
        for chain in self.held.changed():
            self.db.execute(
                "UPDATE chain SET length = ?, hash = ?, last_id = coalesce(?, last_id) WHERE id = ?",
                (chain.length, chain.hash, last_ids.pop(chain.id, None), chain.id),
            )
        for chain_id, last_id in last_ids.items():
            self.db.execute("UPDATE chain SET last_id = ? WHERE id = ?", (last_id, chain_id))
        if self.changes and self.wrote:
            self.db.execute("UPDATE chain SET version = version + 1 WHERE closed_at IS NULL")


def _must_be_done(status: bytes | None) -> None:
    if status != b"COMMIT":
        # The database has rolled back a transaction that had failed.
        raise StorageError("the transaction failed; nothing was changed", "repeat the command")


_ABSENT = object()


class Remembering(View):
    """A view that caches answers by the version of the ledger."""

    _seen: SeenByVersion
    kinds = frozenset({"seal", "task", "agent", "own-name", "is-delegator", "keys", "login"})
    """The kinds of answers that are cached by the version of the ledger."""
    absent = frozenset({"seal", "agent"})
    """The kinds of which a missing row is cached too."""
    rows = frozenset({"presented"})
    """The kinds of rows in the cache that sessions with the same server share."""

    def once(
        self, kind: str, key: Any, load: Callable[[], Found], keep: Callable[[Found], bool] | None = None
    ) -> Found:
        """Return the result of `load`, or its cached result at this version of the ledger."""
        if kind in self.rows:
            return self._seen.row(kind, key, load)
        if kind not in self.kinds:
            return super().once(kind, key, load, keep)
        cached = self._seen.kinds.setdefault(kind, {})
        answer: Found = cached.get(key, _ABSENT)
        if answer is _ABSENT:
            answer = load()
            if (answer is not None or kind in self.absent) and (keep is None or keep(answer)):
                remember(cached, key, answer)
        return answer


class RememberingSnapshot(Remembering):
    """A consistent read-only view."""

    rows = Remembering.rows | {"jti", "fingerprint", "access", "access-id"}

    def __init__(self, db: Any, names: Names, now: int, seen: SeenByVersion) -> None:
        super().__init__(db, names, now)
        self._seen = seen

    def afresh(self) -> View:
        """Return the same view without a cache."""
        return View(self.db, self.names, self.now)


def _must_be_alone(*_: Any, **__: Any) -> Any:
    raise AloneError


class SharedTransaction(Remembering, PostgresTransaction):
    """A write transaction that holds one chain and runs beside others: it only adds rows."""

    kinds = Remembering.kinds | {"entry", "shared"}
    rows = Remembering.rows | {"access", "access-id"}

    def __init__(self, *arguments: Any, seen: SeenByVersion) -> None:
        super().__init__(*arguments)
        self._seen = seen
        self._row: tuple[Any, ...] | None = None
        """The new identity with its credential, if there is just one of each; `commit` writes both with the event."""
        self.changes = False

    def add(self, identities: Iterable[IdentityRow], credentials: Iterable[CredentialRow]) -> None:
        """Record new identities with their credentials."""
        identities, credentials = list(identities), list(credentials)
        if len(identities) == len(credentials) == 1 and self._row is None:
            self._row = (*identities[0], *credentials[0])
            self._note_assigned(max(identities[0].key, credentials[0].key))
        else:
            super().add(identities, credentials)

    def _linked(self, operation: str, facts: Mapping[str, Any]) -> Event:
        if self.wrote:
            # The number of a second event would not follow the number of the first one.
            raise AloneError
        return super()._linked(operation, facts)

    def _write(self, events: Sequence[Event]) -> None:
        """Do nothing yet: `commit` writes the event with all other rows."""

    def commit(self) -> None:
        """Write the new rows, the event and the new state of the chain, and commit durably."""
        if not self.appended:
            super().commit()
            return
        ((_, event),) = self.appended
        (chain,) = self.held.chains
        values = (*event, chain.length, chain.hash, self._last_id, chain.id)
        statement = (_APPEND, values) if self._row is None else (_ISSUE, (*self._row, *values))
        _must_be_done(self.db.lane.run(statement, (_COMMIT, ()))[-1].command_status)

    alone = _must_be_alone

    rename = begin_anew = _must_be_alone


CLOCK = "CAST(floor(extract(epoch FROM clock_timestamp())) AS BIGINT)"
"""The database's time, in seconds since the epoch."""
# A free chain is locked without a wait, so the clock may be read in the same statement.
_LOCK = prepared(
    "lock",
    f"""{CHAIN.replace(" FROM", f", {CLOCK} FROM", 1).replace("hash", "encode(hash, 'hex')", 1)} WHERE closed_at IS NULL
        ORDER BY start + length * stride LIMIT 1 FOR UPDATE SKIP LOCKED""",
)


def begin_shared(db: Any) -> tuple[Any, ...] | None:
    """Begin a transaction with a chain that no writer holds; return its row and the time. None if all are held."""
    if db.pooled:
        db.enter()
        answer = db.lane.run((_LOCK, ()))[-1]
    else:
        answer = db.lane.run((_BEGIN, ()), (_LOCK, ()))[-1]
    if not answer.ntuples:
        return None
    values = [answer.get_value(0, column) for column in range(answer.nfields)]
    hash_ = bytes.fromhex(values.pop(_HASH).decode())
    row = [int(value) for value in values]
    return (*row[:_HASH], hash_, *row[_HASH:])


STATE = f"{CLOCK}, max(version), max(epoch) FROM chain WHERE closed_at IS NULL"
"""The columns that a view begins with: the database's time, the ledger's version, and the epoch of its chains."""
_LOOK = prepared("look", f"SELECT {STATE}")


def look(db: Any) -> tuple[int, int, int]:
    """Return the database's time, the version of the ledger, and the epoch of its chains."""
    if db.pooled:
        db.enter()
        answer = db.lane.run((_LOOK, ()), (_COMMIT, ()))[0]
    else:
        answer = db.lane.run((_LOOK, ()))[-1]
    return int(answer.get_value(0, 0)), int(answer.get_value(0, 1) or 0), int(answer.get_value(0, 2) or 0)


def due(db: Any, now: int) -> bool:
    """Return whether credentials have expired or were superseded, and are not recorded as ended."""
    # ORDER BY makes a generic plan use the index; without it PostgreSQL may scan the table and find nothing.
    row = db.execute(
        """SELECT (SELECT expires_at FROM credential WHERE ended_at IS NULL AND expires_at <= :now
                    ORDER BY expires_at LIMIT 1),
                  (SELECT superseded_at FROM credential WHERE ended_at IS NULL AND superseded_at <= :now
                    ORDER BY superseded_at LIMIT 1)""",
        {"now": now},
    ).fetchone()
    return any(time is not None for time in row)


def committed(db: Any, chain: int, event: Event) -> bool:
    """Return whether the transaction that appended an event was committed. Waits until it has ended everywhere."""
    db.execute("SELECT id FROM chain WHERE id = :id FOR UPDATE", {"id": chain}).fetchone()
    row = db.execute("SELECT hash FROM audit_event WHERE seq = :seq", {"seq": event.seq}).fetchone()
    return row is not None and row[0] == event.hash
