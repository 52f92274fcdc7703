"""The ledger in PostgreSQL, against one inserted row per commit on the same server, and against a ledger in a file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from jitid.authority.local import LocalAuthority
from jitid.authority.open_local import open_or_create_local
from jitid.capabilities.sweep.finding import Finding, Thresholds
from jitid.capabilities.sweep.operations import Sweep
from jitid.config import effective
from jitid.ledger.postgres import ledger_database
from jitid.ledger.postgres.ledger import PostgresLedger
from jitid.ledger.postgres.session import DatabaseSession
from jitid.ledger.sqlite import folder as ledgers
from jitid.ledger.sqlite import ledger as sqlite_ledger
from tests.bench import ground, history
from tests.bench.fleet import terms
from tests.bench.ground import ROOT, Ground
from tests.bench.measure import (
    Row,
    Series,
    at_least,
    at_most,
    duration,
    in_turns,
    over,
    per_second,
    rate,
    seconds,
)
from tests.bench.sweep import CREDENTIALS, SET_RULES
from tests.postgres import DURABLE, Postgres, running

_PROCESSES = 8
_SECONDS = 3.0
_COPIES = 10_000
_OWN = {"sqlite_sequence", "setting", "clock_mark", "chain", "signing_key"}


def rows(place: Ground) -> Iterator[Row]:
    """Measure issues of many processes, bulk issues, and sweeps of 1.5 million credentials."""
    with running({**DURABLE, "shared_buffers": "128MB", "max_connections": "50"}) as server:
        yield from _together(place, server)
        yield _bulk(place, server)
        yield from _sweeps(place, server)


def _together(place: Ground, server: Postgres) -> Iterator[Row]:
    address = server.url(server.new_database())
    folder = place.new("together")
    authority(address, folder).close()
    server.execute("CREATE TABLE bare (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text TEXT)")
    bare, alone, single, eight = [], [], [], []
    for _ in range(max(3, place.rounds // 2)):
        before = _rate("bare", server.url(), folder, _PROCESSES)
        eight.append(_rate("issue", address, folder, _PROCESSES))
        bare.append(mean((before, _rate("bare", server.url(), folder, _PROCESSES))))
        single.append(_rate("issue", address, folder, 1))
        alone.append(_rate("bare", server.url(), folder, 1))
    yield Row(
        "PostgreSQL: durable issues of eight processes",
        Series("eight", eight, per_second),
        Series("one inserted row a commit, eight processes", bare, per_second),
        at_least(0.25),
    )
    yield Row(
        "PostgreSQL: durable issues of one process",
        Series("one", single, per_second),
        Series("one inserted row a commit, one process", alone, per_second),
        None,
    )


def _bulk(place: Ground, server: Postgres) -> Row:
    folder = place.new("copies")
    made = authority(server.url(server.new_database()), folder)

    def run() -> None:
        for batch in ground.copies(ground.request(0), _COPIES):
            ground.issue(made, batch)

    ground.issue(made, [ground.request(0)])
    found = in_turns(place.rounds, {"copies": lambda: rate(_COPIES, run)})["copies"]
    made.close()
    return Row(
        "PostgreSQL: `--count`, in process",
        Series("copies", found, per_second),
        Series("15,000", [15_000.0] * len(found), per_second),
        over(15_000, per_second),
    )


def _sweeps(place: Ground, server: Postgres) -> Iterator[Row]:
    folder = place.new("sweep")
    live = CREDENTIALS * 3 // 10
    fleet = history.make(folder / "ledger", CREDENTIALS - live, live)
    address = server.url(server.new_database())
    authority(address, folder).close()
    seed(fleet.path, server, address)
    path = str(fleet.path)
    files = LocalAuthority(
        sqlite_ledger.connect(
            f"{path}/{ledgers.DATABASE}", f"{path}/{ledgers.LOCK}", by="bench", clock=lambda: fleet.now
        ),
        ledgers.keyring(path),
        terms=terms,
    )
    session = DatabaseSession(address, 600, lambda: fleet.now)
    served = LocalAuthority(
        PostgresLedger(session, "bench"), ledger_database.home_keyring(str(folder / "home")), terms=terms
    )
    assert _sweep(files) == _sweep(served)
    found = in_turns(
        min(place.rounds, 3),
        {
            "postgres": lambda: seconds(lambda: _sweep(served)),
            "sqlite": lambda: seconds(lambda: _sweep(files)),
        },
    )
    yield Row(
        "PostgreSQL: all set rules of `sweep` among 1.5 million",
        Series("the rules", found["postgres"], duration),
        Series("SQLite", found["sqlite"], duration),
        at_most(3),
    )
    for one in (files, served):
        one.close()


def _sweep(authority: LocalAuthority) -> int:
    answer = authority.perform(Sweep(rules=SET_RULES, limits=Thresholds()))
    return sum(isinstance(each, Finding) for each in answer)


def seed(folder: Path, server: Postgres, address: str) -> None:
    """Copy the rows of a ledger in a file to a ledger in a database."""
    import sqlite3

    import psycopg

    source = sqlite3.connect(folder / ledgers.DATABASE)
    tables = [name for (name,) in source.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    with psycopg.connect(address, options="-c search_path=jitid") as target:
        for table in tables:
            if table in _OWN:
                continue
            columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
            if table != "audit_event":
                target.execute(f"TRUNCATE {table}")
            with target.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                where = " WHERE seq > 1" if table == "audit_event" else ""
                for row in source.execute(f"SELECT {', '.join(columns)} FROM {table}{where}"):
                    copy.write_row(row)
    with psycopg.connect(address, autocommit=True) as target:
        target.execute("VACUUM ANALYZE")
        target.execute("CHECKPOINT")
    source.close()


def authority(address: str, folder: Path) -> LocalAuthority:
    """Return the authority over the ledger at an address, as the command line opens it. The first use creates it."""
    flags = {"ledger": address}
    settings = effective.load(flags=flags, environ={"HOME": str(folder), "JITID_HOME": str(folder / "home")})
    return open_or_create_local(settings, lambda _: None)


def _rate(what: str, address: str, folder: Path, processes: int) -> float:
    """Run a number of processes from the same moment, and return their total rate per second."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.bench.postgres", what, address, str(folder), str(number)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    try:
        for one in started:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in started:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        done: list[int] = [json.loads(one.communicate(timeout=60)[0]) for one in started]
        return sum(done) / _SECONDS
    finally:
        for one in started:
            if one.poll() is None:
                one.kill()
                one.wait()


def _work(what: str, address: str, folder: str, number: str) -> Callable[[], Any]:
    if what == "bare":
        import psycopg

        connection = psycopg.connect(address, autocommit=True)
        return partial(connection.execute, "INSERT INTO bare (text) VALUES (%s)", ("x" * 200,), prepare=True)
    made = authority(address, Path(folder))
    wanted = ground.request(int(number))._replace(task=f"INC-{number}")
    return lambda: ground.issue(made, [wanted])


def _compete(arguments: Sequence[str]) -> None:
    work = _work(*arguments)
    work()
    print("ready", flush=True)
    sys.stdin.readline()
    done, until = 0, time.perf_counter() + _SECONDS
    while time.perf_counter() < until:
        work()
        done += 1
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    _compete(sys.argv[1:])
