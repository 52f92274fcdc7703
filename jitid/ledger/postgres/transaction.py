"""Changes to a ledger in PostgreSQL: what a writer holds, and which numbers it gives out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from jitid.capabilities.access.presented_store import SqlPresented
from jitid.capabilities.access.store import SqlAccess
from jitid.capabilities.identity.share_store import SqlShareChanges
from jitid.errors import ConflictError, StorageError
from jitid.ledger.postgres.fast_path import prepared
from jitid.ledger.reading import SqlSnapshot
from jitid.ledger.writing import Known, SqlTransaction
from jitid.model.chain import Chain, Held
from jitid.model.event import Event
from jitid.model.ledger_rows import (
    CREDENTIAL_COLUMNS,
    IDENTITY_COLUMNS,
    CredentialRow,
    IdentityRow,
    Names,
    SigningKey,
)
from jitid.model.task import Task

if TYPE_CHECKING:
    from jitid.ledger.seal import Seal
    from jitid.model.access import Access, AccessSnapshot, AccessTransaction, Presented
    from jitid.model.agent import Agent
    from jitid.model.approval import ApprovalTransaction
    from jitid.model.credential import Credential
    from jitid.model.directory import Entry
    from jitid.model.outside import OutsideTransaction

Row = TypeVar("Row")

_NUMBERS_SINCE = 1_704_067_200
"""2024-01-01T00:00:00Z: numbers begin with the seconds since then."""
_SLOTS = 64
"""So many chains have numbers of their own within one second, each of them 2**26."""
_REMEMBERED = 10_000
"""So many names of each sort are remembered."""
_HELD = 10_000
"""And so many credentials, by all sessions of a process with one server."""


def number_after(number: int, chain: int) -> int:
    """Return a number after which a chain gives out numbers that no other chain does, all higher than `number`."""
    return ((number >> 32) + 1 << 32) | (chain % _SLOTS << 26)


CHAIN = "SELECT id, epoch, start, stride, length, hash, last_id, version FROM chain"
"""The question for the rows of chains that a transaction is made with."""
_HASH = 5
"""The place of the hash in such a row."""

_INT, _BYTES, _TEXT = "int8", "bytea", "text"
_IDENTITY_TYPES = (_INT, _BYTES, _INT, _INT, _INT, _TEXT, _INT, _INT, _TEXT, _INT)
_CREDENTIAL_TYPES = (
    *(_INT, _BYTES, _INT, _TEXT, _TEXT, _INT, _TEXT, _INT, _INT, _BYTES, _BYTES),
    *(_INT, _INT, _INT, _INT, _INT, _TEXT, _BYTES),
    *(_INT, _INT, _TEXT, _TEXT, _TEXT, _INT),
)
_TOLD_TYPES = (_INT, _BYTES, _BYTES, _INT, _BYTES, _INT, _INT)
_CREDENTIAL_PLACES = f"({', '.join(CREDENTIAL_COLUMNS)}) VALUES ({', '.join('?' * len(CREDENTIAL_COLUMNS))})"
# One statement: each would cost both sides as much as the rows that it writes.
_TOLD = """e AS (INSERT INTO audit_event VALUES (?, ?, ?))
    UPDATE chain SET length = ?, hash = ?, last_id = ? WHERE id = ?"""
_TELL = prepared("tell", f"WITH {_TOLD}", _TOLD_TYPES)
_ISSUE = prepared(
    "issue",
    f"""WITH i AS (INSERT INTO identity VALUES ({", ".join("?" * len(IDENTITY_COLUMNS))})),
        c AS (INSERT INTO credential {_CREDENTIAL_PLACES}), {_TOLD}""",
    (*_IDENTITY_TYPES, *_CREDENTIAL_TYPES, *_TOLD_TYPES),
)
_BEGIN = prepared("begin", "BEGIN")
_COMMIT = prepared("commit", "COMMIT")


class AloneError(ConflictError):
    """What was begun beside other writers must have the ledger to itself."""

    alone = True

    def __init__(self) -> None:
        super().__init__("this must have the ledger to itself; nothing was changed", "repeat the command")


class Seen:
    """What was read of the directory, of tasks and of keys, and holds as long as the version of the ledger does."""

    def __init__(self) -> None:
        self.version = -1
        self.tasks: dict[int | tuple[str, str], Task] = {}
        self.agents: dict[str, Agent | None] = {}
        self.entries: dict[tuple[str, str], Entry] = {}
        self.own_names: dict[str, str] = {}
        self.are_delegators: dict[str, bool] = {}
        """By name: whether a delegator in the directory has this name or alias."""
        self.rows: Rows = {}
        """What sessions with the same server share."""
        self.keys: list[SigningKey] | None = None
        self.seals: list[Seal | None] = []
        """The ledger's seal, or that there is none; empty while nobody has asked."""
        self.shared: bool | None = None
        """Whether any task is shared; None while nobody has asked."""

    def at(self, version: int) -> Seen:
        """Return it as it is at a version: whatever holds no longer is gone."""
        if version != self.version:
            self.forget()
            self.version = version
        return self

    def forget(self) -> None:
        """Forget all."""
        self.version = -1
        for names in (self.tasks, self.agents, self.entries, self.own_names, self.are_delegators):
            names.clear()
        self.keys = self.shared = None
        self.seals.clear()

    def row(self, sort: str, value: bytes, ask: Callable[[bytes], Row | None]) -> Row | None:
        """Return a row as it is at this version, and ask for it if nobody has read it at this version."""
        known = self.rows.get((sort, value))
        if known is not None and known[0] == self.version:
            found: Row = known[1]
            return found
        asked = ask(value)
        # That something is not there is remembered by nobody: it may be added without raising the version.
        if asked is not None and self.version >= 0:
            remember(self.rows, (sort, value), (self.version, asked), _HELD)
        return asked


Rows = dict[tuple[str, bytes], tuple[int, Any]]
"""By sort and value: a row, and the version of the ledger at which it was read."""
_ROWS: dict[tuple[str, ...], Rows] = {}


def rows_of(*server: str) -> Rows:
    """Return what is known of a ledger at a server, for a new session with it.

    That is nothing at first: behind an old name there may be another server by now, with another history.
    """
    rows = _ROWS.setdefault(server, {})
    rows.clear()
    return rows


def remember(names: dict[Any, Any], name: Any, value: Any, most: int = _REMEMBERED) -> Any:
    """Keep a value by its name, and return it."""
    if len(names) >= most:
        names.clear()
    names[name] = value
    return value


class PostgresTransaction(SqlTransaction):
    """A change by a writer that holds all the chains, and so has the ledger to itself."""

    def __init__(
        self,
        db: Any,
        names: Names,
        now: int,
        by: str,
        known: Known,
        told: Mapping[str, Any],
        rows: Sequence[Any],
    ) -> None:
        """Take the rows of the chains that it holds, as `CHAIN` gives them."""
        held = Held([Chain._make((*row[:6], False)) for row in rows])
        super().__init__(db, names, now, by, known, told, held)
        # The last of them: whatever others gave out in the same second is lower.
        last = max(rows, key=lambda row: row[0] % _SLOTS)
        self._numbering: int = last[0]
        self._last_id: int = last[6]
        self._gave = False
        self.appended: list[tuple[int, Event]] = []
        """What was appended, each with the chain that it went to."""
        self.changes = True
        """Whether it may change something that others remember."""

    def next_number(self) -> int:
        """Return a number that is higher than what was given out before it, or at most a second later."""
        number = self._least_number()
        self._took(number)
        return number

    def _least_number(self) -> int:
        slot = (self._now - _NUMBERS_SINCE << 32) | (self._numbering % _SLOTS << 26)
        return max(self._last_id + 1, int(slot))

    def _took(self, number: int) -> None:
        self._last_id = max(number, self._last_id)
        self._gave = True

    def next_keys(self) -> tuple[int, int]:
        """Return the numbers that the next identity and the next credential take."""
        number = self._least_number()
        return number, number

    def term(self, text: str) -> int:
        """Return the number of a name, which is stored once."""
        number = self._known.terms.get(text)
        while number is None:
            # Somebody else may store it at the same time.
            row = self._one("SELECT id FROM term WHERE text = :text", text=text) or self._one(
                "INSERT INTO term (id, text) VALUES (:id, :text) ON CONFLICT DO NOTHING RETURNING id",
                id=self.next_number(),
                text=text,
            )
            if row is not None:
                number = int(row[0])
                remember(self._known.terms, text, number)
        return number

    def open_task(
        self,
        name: str,
        purpose: str | None,
        sensitivity: str,
        deadline: int,
        opener: str,
        event: int | None = None,
    ) -> Task:
        """Record a task of an opener, who has no other of that name, as opened by an event; None: by the next one."""
        by, key = self.term(opener), self.next_number()
        seq = self.next_seq() if event is None else event
        self._db.execute(
            """INSERT INTO task (id, name, purpose, sensitivity, deadline, opened_at, opener, event)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
            (key, name, purpose, sensitivity, deadline, self._now, by, seq),
        )
        return Task(key, name, purpose, sensitivity, deadline, self._now, None, opener, seq)

    def add(self, identities: Iterable[IdentityRow], credentials: Iterable[CredentialRow]) -> None:
        """Record new identities with their credentials."""
        identities, credentials = list(identities), list(credentials)
        super().add(identities, credentials)
        self._took(max([row.key for row in identities] + [row.key for row in credentials]))

    def _linked(self, operation: str, facts: Mapping[str, Any]) -> Event:
        event = super()._linked(operation, facts)
        chain = next(one.id for one in self.held.chains if one.hash == event.hash)
        self.appended.append((chain, event))
        return event

    def begin_anew(self) -> None:
        """Close the chains and open others, so that all events that follow have higher numbers."""
        version, last, count = self._db.execute(
            "SELECT max(version), max(last_id), count(*) FROM chain WHERE closed_at IS NULL"
        ).fetchone()
        self.open_epoch(count, counted=True)
        for chain in self.held.chains:
            self._db.execute(
                "UPDATE chain SET version = ?, last_id = ? WHERE id = ?",
                (version, number_after(max(last, self._last_id), chain.id), chain.id),
            )

    def commit(self) -> None:
        """Leave the chains as they are now, and make durable whatever was changed.

        Raises:
            LostConnectionError: whether that was done is not known.

        """
        self._db.begin_pipeline()
        self._finish()
        done = self._db.execute("COMMIT")
        self._db.end_pipeline()
        _must_be_done(done.statusmessage.encode())

    def _finish(self) -> None:
        last = {self._numbering: self._last_id} if self._gave else {}
        for chain in self.held.changed():
            self._db.execute(
                "UPDATE chain SET length = ?, hash = ?, last_id = coalesce(?, last_id) WHERE id = ?",
                (chain.length, chain.hash, last.pop(chain.id, None), chain.id),
            )
        for number, last_id in last.items():
            self._db.execute("UPDATE chain SET last_id = ? WHERE id = ?", (last_id, number))
        if self.changes and self._appended:
            self._db.execute("UPDATE chain SET version = version + 1 WHERE closed_at IS NULL")


def _must_be_done(status: bytes | None) -> None:
    if status != b"COMMIT":
        # The database has undone a transaction that had failed.
        raise StorageError("the transaction failed; nothing was changed", "repeat the command")


class Remembering(SqlSnapshot):
    """A view that does not ask again for what was read at the same version of the ledger."""

    _seen: Seen

    @property
    def seal(self) -> Seal | None:
        """What says that the ledger was copied to another place, and is for reading alone."""
        if not self._seen.seals:
            self._seen.seals.append(super().seal)
        return self._seen.seals[0]

    def find_task(self, name: str, opener: str | None = None) -> Task | None:
        """Return the task of that name that belongs to `opener`; without one that of whoever alone has such a task."""
        if opener is None:
            return super().find_task(name)
        return self._task((name, opener), lambda: super(Remembering, self).find_task(name, opener))

    def task_numbered(self, key: int) -> Task | None:
        """Return the task with that number of the ledger's."""
        return self._task(key, lambda: super(Remembering, self).task_numbered(key))

    def _task(self, named: int | tuple[str, str], ask: Callable[[], Task | None]) -> Task | None:
        found = self._seen.tasks.get(named)
        if found is None:
            found = ask()
            if found is not None:
                remember(self._seen.tasks, named, found)
        return found

    def find_agent(self, name: str) -> Agent | None:
        """Return the record of an agent, also one that has ended."""
        if name in self._seen.agents:
            return self._seen.agents[name]
        found: Agent | None = remember(self._seen.agents, name, super().find_agent(name))
        return found

    def own_name(self, name: str) -> str:
        """Return the own name of the delegator who has that name or alias; an unknown one as it is."""
        found = self._seen.own_names.get(name)
        if found is None:
            found = remember(self._seen.own_names, name, super().own_name(name))
        return found

    def is_delegator(self, name: str) -> bool:
        """Return whether a delegator in the directory has that name or alias."""
        found = self._seen.are_delegators.get(name)
        if found is None:
            found = remember(self._seen.are_delegators, name, super().is_delegator(name))
        return found

    @property
    def presented(self) -> SqlPresented:
        """The foreign tokens that were presented, and by whom first."""
        return _RememberingPresented(self._db, self._seen)

    def signing_keys(self) -> list[SigningKey]:
        """Return every signing key there ever was, oldest first."""
        if self._seen.keys is None:
            self._seen.keys = super().signing_keys()
        return self._seen.keys


class RememberingSnapshot(Remembering):
    """A consistent view in which nothing is written."""

    def __init__(self, db: Any, names: Names, now: int, seen: Seen) -> None:
        super().__init__(db, names, now)
        self._seen = seen

    def afresh(self) -> SqlSnapshot:
        """Return the same view, which has remembered nothing."""
        return SqlSnapshot(self._db, self._names, self._now)

    def find_credential(self, by: str, value: bytes) -> Credential | None:
        """Return the credential with that `jti` (16 bytes) or `fingerprint` (32 bytes)."""
        ask = super().find_credential
        return self._seen.row(by, value, lambda value: ask(by, value))

    @property
    def access(self) -> AccessSnapshot:
        """Who may ask an authority that serves others."""
        return _RememberingAccess(self._db, self._now, self._seen)


class _RememberingPresented(SqlPresented):
    def __init__(self, db: Any, seen: Seen) -> None:
        super().__init__(db)
        self._seen = seen

    def presenter(self, token: bytes) -> str | None:
        """Return who presented a token first; None if it was not presented yet."""
        return self._seen.row("presented", token, super().presenter)


class _RememberingAccess(SqlAccess):
    def __init__(self, db: Any, now: int, seen: Seen) -> None:
        super().__init__(db, now)
        self._seen = seen

    def find(self, uid: bytes) -> Access | None:
        """Return the access credential with that id (16 bytes)."""
        return self._seen.row("access-id", uid, super().find)

    def presented(self, fingerprint: bytes) -> Presented | None:
        """Return the access credential whose bearer has that fingerprint."""
        return self._seen.row("access", fingerprint, super().presented)


def _must_be_alone(*_: Any, **__: Any) -> Any:
    raise AloneError


class _SharedAccess(_RememberingAccess):
    """Access as a writer beside others sees it; whoever changes it must have the ledger to itself."""

    add = supersede = end = close_expired = use_assertion = _must_be_alone


class _SharedShares(SqlShareChanges):
    """Shares as a writer beside others sees them; whoever changes them must have the ledger to itself."""

    def __init__(self, db: Any, now: int, seen: Seen) -> None:
        super().__init__(db, now, _must_be_alone)
        self._seen = seen

    def are_some(self) -> bool:
        """Tell whether any task is shared now: where none is, no name has to be looked for."""
        if self._seen.shared is None:
            self._seen.shared = super().are_some()
        return self._seen.shared


class SharedTransaction(Remembering, PostgresTransaction):
    """A change by a writer that holds one chain, beside others: it adds, and changes nothing that is there."""

    def __init__(self, *arguments: Any, seen: Seen) -> None:
        super().__init__(*arguments)
        self._seen = seen
        self._row: tuple[Any, ...] | None = None
        """What is issued, if it is one credential of a new identity; it is written with the event."""
        self.changes = False

    def add(self, identities: Iterable[IdentityRow], credentials: Iterable[CredentialRow]) -> None:
        """Record new identities with their credentials."""
        identities, credentials = list(identities), list(credentials)
        if len(identities) == len(credentials) == 1 and self._row is None:
            self._row = (*identities[0], *credentials[0])
            self._took(max(identities[0].key, credentials[0].key))
        else:
            super().add(identities, credentials)

    def _linked(self, operation: str, facts: Mapping[str, Any]) -> Event:
        if self._appended:
            # A second one would not follow the first one's number.
            raise AloneError
        return super()._linked(operation, facts)

    def _write(self, events: Sequence[Event]) -> None:
        """Write nothing yet: the event comes with all else."""

    def commit(self) -> None:
        """Write what was issued, with the event, leave the chain as it is now, and make all of it durable."""
        if not self.appended:
            super().commit()
            return
        ((_, event),) = self.appended
        (chain,) = self.held.chains
        told = (*event, chain.length, chain.hash, self._last_id, chain.id)
        statement = (_TELL, told) if self._row is None else (_ISSUE, (*self._row, *told))
        _must_be_done(self._db.lane.run(statement, (_COMMIT, ()))[-1].command_status)

    def entry(self, delegator: str, agent: str) -> Entry:
        """Return what the directory has of a delegator, by any of their names, and of an agent."""
        found = self._seen.entries.get((delegator, agent))
        if found is None:
            record = self.find_agent(agent)
            if record is not None and record.concurrency is not None:
                # Two at once would each take the last place.
                raise AloneError
            found = remember(self._seen.entries, (delegator, agent), super().entry(delegator, agent))
        return found

    @property
    def approvals(self) -> ApprovalTransaction:
        """The requests for approval; whoever asks for them must have the ledger to itself."""
        raise AloneError

    @property
    def access(self) -> AccessTransaction:
        """Who may ask an authority that serves others; whoever changes that must have the ledger to itself."""
        return _SharedAccess(self._db, self._now, self._seen)

    @property
    def outside(self) -> OutsideTransaction:
        """The credentials at targets; whoever asks for them must have the ledger to itself."""
        raise AloneError

    alone = _must_be_alone

    end_task = end = end_one = end_key = close_due = close_lines = lapse = supersede = restore = (
        _must_be_alone
    )
    add_key = certify_key = add_leaks = add_places = prove_leaks = close_leaks = _must_be_alone
    put_delegators = put_agents = disable = rename = begin_anew = _must_be_alone

    @property
    def shares(self) -> SqlShareChanges:
        """Who may join the tasks of others; whoever changes that must have the ledger to itself."""
        return _SharedShares(self._db, self._now, self._seen)


CLOCK = "CAST(floor(extract(epoch FROM clock_timestamp())) AS BIGINT)"
"""The database's time, in seconds since the epoch."""
# Who finds one that is free waits for nobody: the clock may be read together with it.
_LOCK = prepared(
    "lock",
    f"""{CHAIN.replace(" FROM", f", {CLOCK} FROM", 1).replace("hash", "encode(hash, 'hex')", 1)} WHERE closed_at IS NULL
        ORDER BY start + length * stride LIMIT 1 FOR UPDATE SKIP LOCKED""",
)


def begin_shared(db: Any) -> tuple[Any, ...] | None:
    """Begin a transaction with a chain that nobody holds; return its row, and the time. None if there is none."""
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
"""What a view begins with: the database's time, the version of the ledger, and the epoch of its chains."""
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
    """Tell whether something has expired or was superseded, and is not recorded as ended."""
    # ORDER BY makes a generic plan use the index; without it PostgreSQL may scan the table and find nothing.
    row = db.execute(
        """SELECT (SELECT expires_at FROM credential WHERE ended_at IS NULL AND expires_at <= :now
                    ORDER BY expires_at LIMIT 1),
                  (SELECT superseded_at FROM credential WHERE ended_at IS NULL AND superseded_at <= :now
                    ORDER BY superseded_at LIMIT 1)""",
        {"now": now},
    ).fetchone()
    return any(at is not None for at in row)


def committed(db: Any, chain: int, event: Event) -> bool:
    """Tell whether a transaction was committed that was to append an event; waits until it has ended everywhere."""
    db.execute("SELECT id FROM chain WHERE id = :id FOR UPDATE", {"id": chain}).fetchone()
    row = db.execute("SELECT hash FROM audit_event WHERE seq = :seq", {"seq": event.seq}).fetchone()
    return row is not None and row[0] == event.hash
