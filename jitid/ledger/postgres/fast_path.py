"""The few statements of a plain issue, sent directly through libpq: a cursor would cost ten times as much."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq

from jitid.ledger.postgres.failure import translated
from jitid.values.record import Record

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_TYPES = {"int8": 20, "bytea": 17, "text": 25}
_BINARY = _TYPES["bytea"]
_NO_SUCH_STATEMENT = "26000"
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE, pq.ExecStatus.NONFATAL_ERROR)


class Prepared(Record):
    """A statement that a session prepares once."""

    name: bytes
    sql: bytes
    types: list[int]
    """The types of its values, by PostgreSQL's numbers. Before psycopg 3.3, its compiled part accepts only lists."""
    formats: list[int]


def prepared(name: str, sql: str, types: Sequence[str] = ()) -> Prepared:
    """Return a statement whose values, `?`, have these types: `int8`, `bytea` or `text`."""
    parts = sql.split("?")
    assert len(parts) == len(types) + 1
    numbered = "".join([f"{part}${number}" for number, part in enumerate(parts[:-1], start=1)] + parts[-1:])
    oids = [_TYPES[type_name] for type_name in types]
    formats = [1 if oid == _BINARY else 0 for oid in oids]
    return Prepared(f"jitid_{name}".encode(), numbered.encode(), oids, formats)


class Lane:
    """A sender of prepared statements: it sends several together and waits for all answers, in one round trip."""

    def __init__(self, raw: psycopg.Connection[Any], patience: float) -> None:
        self._patience = patience
        self._pg = raw.pgconn
        self._known: dict[bytes, bytes] = {}
        """The name of each statement in this session."""
        self._generation = 0
        self.prepares = True
        """Whether the session keeps prepared statements; a pooler may give each transaction another session."""
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)

    def run(self, *statements: tuple[Prepared, Sequence[Any]]) -> list[PGresult]:
        """Return the answers to these statements with their values.

        Raises the translated error of the first failure.
        """
        pg = self._pg
        prepare_indexes: list[int] = []
        try:
            pg.enter_pipeline_mode()
            for index, (statement, values) in enumerate(statements):
                if not self.prepares:
                    pg.send_query_params(statement.sql, _written(values), statement.types, statement.formats)
                    continue
                name = self._known.get(statement.name)
                if name is None:
                    name = statement.name + b"_%d" % self._generation
                    pg.send_prepare(name, statement.sql, statement.types)
                    prepare_indexes.append(index + len(prepare_indexes))
                pg.send_query_prepared(name, _written(values), statement.formats)
            pg.pipeline_sync()
            answers = self._answers()
            pg.exit_pipeline_mode()
        except psycopg.Error as error:
            raise translated(error) from error
        for answer in answers:
            if answer.status in _FAILED:
                failure = psycopg.errors.error_from_result(answer)
                if prepare_indexes or failure.sqlstate == _NO_SUCH_STATEMENT:
                    # A pooler or the driver may have removed the prepared statements from the session.
                    self._known.clear()
                    self._generation += 1
                raise translated(failure)
        for statement, _ in statements if self.prepares else ():
            self._known.setdefault(statement.name, statement.name + b"_%d" % self._generation)
        return [answer for index, answer in enumerate(answers) if index not in prepare_indexes]

    def query(self, text: str) -> list[PGresult]:
        """Return the answers to statements without values, in one round trip. Raises psycopg's errors."""
        pg = self._pg
        pg.send_query(text.encode())
        self._flush()
        answers: list[PGresult] = []
        while True:
            self.await_input()
            answer = pg.get_result()
            if answer is None:
                break
            answers.append(answer)
        for answer in answers:
            if answer.status in _FAILED:
                raise psycopg.errors.error_from_result(answer)
        return answers

    def await_input(self) -> None:
        """Wait until libpq has an answer, while other threads continue; raises psycopg's errors.

        A server that is silent for the patience of this connection counts as lost.
        """
        pg = self._pg
        deadline = 0.0
        while pg.is_busy():
            if self._poll.poll(1_000):
                pg.consume_input()
                continue
            deadline = deadline or time.monotonic() + self._patience
            if time.monotonic() > deadline:
                raise psycopg.OperationalError("the server does not answer")

    def _answers(self) -> list[PGresult]:
        pg = self._pg
        answers: list[PGresult] = []
        self._flush()
        while True:
            self.await_input()
            answer = pg.get_result()
            if answer is None:
                if pg.status != pq.ConnStatus.OK:
                    raise psycopg.OperationalError(pg.get_error_message())
                continue
            if answer.status == pq.ExecStatus.PIPELINE_SYNC:
                return answers
            answers.append(answer)

    def _flush(self) -> None:
        while self._pg.flush():
            # The data fits into the socket's buffer, unless the connection is stalled.
            select.select([], [self._pg.socket], [], 1)


def _written(values: Sequence[Any]) -> list[bytes | None]:
    """Return values in the protocol's form: bytes unchanged, numbers and texts as text."""
    return [value if value is None or type(value) is bytes else str(value).encode() for value in values]
