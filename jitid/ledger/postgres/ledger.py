"""The ledger in PostgreSQL: many durable writers at a time, each with its own chain."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jitid.errors import ConflictError, IntegrityError, JitidError, LostConnectionError, StorageError
from jitid.ledger import contract, expiry
from jitid.ledger.postgres import transaction as writing
from jitid.ledger.postgres.session import DatabaseSession
from jitid.ledger.postgres.transaction import (
    CHAIN,
    CLOCK,
    PostgresTransaction,
    RememberingSnapshot,
    SharedTransaction,
)
from jitid.ledger.view import View
from jitid.model.ledger_rows import Names
from jitid.system import time_limit

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.model.ledger_condition import Condition

_THAT_ONE = f"{CHAIN} WHERE id = :id AND closed_at IS NULL FOR UPDATE"
_ALL = f"{CHAIN} WHERE closed_at IS NULL ORDER BY id FOR UPDATE"
_TIME = f"SELECT {CLOCK}"
_VIEW = "ISOLATION LEVEL REPEATABLE READ"
_READ = f"SET LOCAL idle_in_transaction_session_timeout = 0; SELECT {writing.STATE}"
_EPOCH = 1
"""The position of the epoch in the row of a chain."""
_DUE_AT_ONCE = 1_000
"""The maximum number of due credentials that a writer closes: enough to keep up, without a noticeable delay."""


class PostgresLedger:
    """A ledger in PostgreSQL, or in a database with the same protocol.

    The time is the database's. Every commit is durable before it is acknowledged, if the database's own settings
    (`fsync`, `synchronous_commit`) provide that.
    """

    def __init__(self, session: DatabaseSession, by: str) -> None:
        """Take a session with a database that holds a ledger, and the caller's name for the audit log."""
        self._session = session
        self._by = by

    @property
    def names(self) -> Names:
        """The ledger's UUID, issuer names and trust domain."""
        return self._session.names

    def foresees(self, *, quick: Callable[[], bool]) -> bool:  # noqa: ARG002 - PostgreSQL has no single write lock
        """Return whether to plan in a snapshot before taking the write lock."""
        return False

    def condition(self) -> Condition:
        """Return the object that reports the state of the ledger itself. It changes nothing."""
        from jitid.ledger.postgres.condition import PostgresCondition

        return PostgresCondition(self._session)

    def read(self, *, by_mark: bool = False) -> _Reading:  # noqa: ARG002 - the database keeps no mark
        """Open a consistent view; no read in it waits for a writer."""
        return _Reading(self._session)

    def glance(self) -> _Glancing:
        """Open a view on cached rows; it opens a transaction only for rows that are not cached."""
        return _Glancing(self._session)

    def write(
        self,
        *,
        accept_clock: bool = False,  # noqa: ARG002 - no caller can accept the database's clock
        facts: Mapping[str, Any] = MappingProxyType({}),
        by: str | None = None,
        members: Mapping[str, Any] = MappingProxyType({}),
        shared: bool = False,
    ) -> _Writing:
        """Open a transaction; leaving the block commits it durably, an exception rolls it back.

        A `shared` transaction runs beside others, and may only add rows. Raises ConflictError if the work must be
        repeated.
        """
        return _Writing(self._session, by or self._by, facts, members, shared=shared)

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the same ledger for the caller `by`; its events also get the members `facts`."""
        from jitid.ledger.wrapped import ActingLedger

        return ActingLedger(self, by, facts)

    def close(self) -> None:
        """Release the session."""
        self._session.close()


class _Reading:
    """A read transaction."""

    def __init__(self, session: DatabaseSession) -> None:
        self._session = session

    def __enter__(self) -> View:
        session = self._session
        now, version, epoch = session.first(lambda db: db.begin(_VIEW, _READ))
        session.at(epoch or 0)
        return RememberingSnapshot(
            session.db, session.names, session.time(now), session.seen.at(version or 0)
        )

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._session.leave(error)


class _Glancing:
    """A read that needs no transaction as long as all its rows are cached."""

    def __init__(self, session: DatabaseSession) -> None:
        self._session = session
        self._opening = _Opening(session)

    def __enter__(self) -> View:
        session = self._session
        now, version, epoch = session.first(writing.look)
        session.at(epoch)
        return RememberingSnapshot(self._opening, session.names, session.time(now), session.seen.at(version))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._opening.opened is not None:
            self._session.leave(error)


class _Opening:
    """A connection whose transaction begins with the first statement."""

    def __init__(self, session: DatabaseSession) -> None:
        self._session = session
        self.opened: Any = None

    def __getattr__(self, name: str) -> Any:
        if self.opened is None:
            db = self._session.connection()
            self.opened = db
            # The cached rows were valid when the request came; rows that are read from now on are at least as new.
            _, version, _ = db.begin(_VIEW, _READ)
            self._session.seen.at(version or 0)
        return getattr(self.opened, name)


class _Writing:
    """A write transaction."""

    def __init__(
        self,
        session: DatabaseSession,
        by: str,
        facts: Mapping[str, Any],
        members: Mapping[str, Any],
        *,
        shared: bool,
    ) -> None:
        self._session = session
        self._by = by
        self._members = members
        self._facts = facts
        self._shared = shared
        self._until = time.monotonic() + session.timeout
        self._transaction: PostgresTransaction | None = None

    def __enter__(self) -> PostgresTransaction:
        lost = False
        while True:
            try:
                self._transaction = self._open()
            except LostConnectionError:
                self._session.undo()
                self._session.drop()
                if lost:
                    raise
                lost = True
            except ConflictError as error:
                self._session.undo()
                if error.alone or time.monotonic() >= self._until:
                    raise
                time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - so that two do not meet again
            except BaseException:
                self._session.undo()
                raise
            else:
                return self._transaction

    def _open(self) -> PostgresTransaction:
        transaction = self._open_shared() if self._shared else self._open_alone()
        contract.refuse_if_sealed(transaction)
        if not self._shared:
            expiry.close_due(transaction, _DUE_AT_ONCE, self._facts)
        return transaction

    def _open_shared(self) -> SharedTransaction:
        session = self._session
        while True:
            db = session.connection()
            chain_and_time = writing.begin_shared(db)
            if chain_and_time is not None:
                *row, now = chain_and_time
                now = session.time(now)
            elif not session.chains:
                # Chains may have been opened since this session read them.
                db.roll_back()
                session.look_again()
                if not session.chains:
                    raise IntegrityError(
                        "the ledger has no open audit chain", "restore the database from a backup"
                    )
                continue
            else:
                # All chains are locked. Each waiting writer picks a random one, so that they do not wait for the same
                # chain.
                row = db.execute(_THAT_ONE, {"id": random.choice(session.chains)}).fetchone()  # noqa: S311
                if row is None:
                    # Other chains were opened meanwhile, or there is none.
                    db.roll_back()
                    session.look_again()
                    continue
                # The clock is read after the wait.
                now = self._now(db.execute(_TIME))
            session.at(row[_EPOCH])
            if not session.is_due(now):
                break
            db.roll_back()
            # This raises the version. Otherwise another process keeps its cached rows, in which these are not expired,
            # and accepts them again if the clock of the database is set back.
            with _Writing(session, self._by, self._facts, self._members, shared=False):
                pass
        return SharedTransaction(
            db,
            self._session.names,
            now,
            self._by,
            session.known,
            self._members,
            [row],
            seen=session.seen.at(row[-1]),
        )

    def _now(self, clock: Any) -> int:
        ((now,),) = clock.fetchall()
        return self._session.time(now)

    def _open_alone(self) -> PostgresTransaction:
        session = self._session
        db = self._session.connection()
        db.begin_pipelined()
        # If the chains were closed and others opened during the wait, the first query finds none and the second the
        # new ones.
        rows = db.execute(_ALL).fetchall() or db.execute(_ALL).fetchall()
        if not rows:
            raise IntegrityError("the ledger has no open audit chain", "restore the database from a backup")
        session.at(rows[0][_EPOCH])
        # The clock is read after the wait for the locks.
        return PostgresTransaction(
            db,
            self._session.names,
            self._now(db.execute(_TIME)),
            self._by,
            session.known,
            self._members,
            rows,
        )

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._session.undo()
            self._session.met(error, self._until)
            return
        assert self._transaction is not None
        db = self._session.db
        assert db is not None
        try:
            self._transaction.commit()
        except LostConnectionError as failure:
            self._session.undo()
            self._session.drop()
            self._resolve(failure)
        except BaseException as failure:
            self._session.undo()
            self._session.met(failure, self._until)
            raise
        else:
            db.committed()

    def _resolve(self, failure: LostConnectionError) -> None:
        """Find out whether a commit happened although its answer was lost; return if it did."""
        assert self._transaction is not None
        if not self._transaction.appended:
            failure.patience = max(0.0, self._until - time.monotonic())
            raise failure
        chain, event = self._transaction.appended[-1]
        while True:
            try:
                db = self._session.connection()
                db.begin()
                is_committed = writing.committed(db, chain, event)
                db.script("COMMIT")
            except JitidError as error:
                self._session.drop()
                # If the database refuses the login now, or holds another ledger, waiting does not help.
                if (
                    not isinstance(error, StorageError)
                    or time.monotonic() >= self._until
                    or time_limit.has_expired()
                ):
                    lost = StorageError(
                        f"the connection to the database was lost; it is unknown whether {_description(event)}",
                        "when the database is back, check: jitid audit log --limit 20",
                    )
                    lost.unsure = True
                    raise lost from error
                time.sleep(0.05)
                continue
            break
        if not is_committed:
            failure.patience = max(0.0, self._until - time.monotonic())
            raise failure


def _description(event: Any) -> str:
    document = event.document()
    if "jti" in document:
        return f"{document['jti']} was issued"
    return f"event {event.seq} ({document['op']}) was recorded"
