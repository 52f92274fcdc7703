"""A database that fails: the client gets status 5, and every acknowledged change is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ledger.writer import ISSUED, REVOKED, WRONG
from tests.postgres import NOBODY, QUICK, Cluster, Postgres, place, running
from tests.real import Shell, module, tmpfs, until

ISSUE = ("issue", "--task", "T1", "--delegator", "alice")
UNAVAILABLE = 5


def shell_over(home: Path, url: str, **more: str) -> Shell:
    """Return a shell whose ledger is in a database; the keys are in the shell's home folder."""
    home.mkdir(exist_ok=True)
    shell = Shell(home)
    shell.environment.update(JITID_LEDGER=url, **more)
    return shell


class Writers:
    """Processes that issue and revoke until they are killed, and their recorded answers."""

    def __init__(self, folder: Path, shells: list[Shell]) -> None:
        self._files = [folder / f"writer-{number}" for number in range(len(shells))]
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.ledger.writer", str(file)],
                env={**shell.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
                cwd=shell.home,
                stdin=subprocess.DEVNULL,
            )
            for file, shell in zip(self._files, shells, strict=True)
        ]

    def told(self, what: str) -> list[list[str]]:
        """Return the lines of one kind that each process recorded."""
        lines = [file.read_text().splitlines() if file.exists() else [] for file in self._files]
        return [[line for line in own if line.startswith(what)] for own in lines]

    def go_on(self, more: int) -> None:
        """Wait until each process has issued this number of further credentials."""
        wanted = [len(own) + more for own in self.told(ISSUED)]
        until(
            lambda: all(len(own) >= least for own, least in zip(self.told(ISSUED), wanted, strict=True)),
            "the writers do not go on",
            120,
        )

    def end(self) -> None:
        """Kill the processes, at any point of their work."""
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


@contextmanager
def writing(folder: Path, shells: list[Shell]) -> Iterator[Writers]:
    """Run one writer for each shell during the block."""
    writers = Writers(folder, shells)
    try:
        yield writers
    finally:
        writers.end()


def check(shell: Shell, writers: Writers) -> None:
    """Check that the ledger has all credentials and revocations that the writers recorded, and that it verifies."""
    assert [line for own in writers.told(WRONG) for line in own] == []
    listed = shell.good("list", "--limit", "100000", "--format", "jsonl").splitlines()
    ended = {row["jti"]: row["ended_at"] for row in map(json.loads, listed)}
    issued = [line.split()[1] for own in writers.told(ISSUED) for line in own]
    revoked = {line.split()[1] for own in writers.told(REVOKED) for line in own}
    assert len(issued) == len(set(issued))
    assert [jti for jti in issued if jti not in ended] == []
    assert [jti for jti in revoked if ended[jti] is None] == []
    shell.good("audit", "verify")


def test_nothing_acknowledged_is_lost_with_the_primary(postgres_cluster: Cluster, tmp_path: Path) -> None:
    shells = [shell_over(tmp_path / f"home-{number}", postgres_cluster.url()) for number in range(3)]
    shells[0].good(*ISSUE)
    for shell in shells[1:]:
        # Another machine needs a separate signing key.
        shell.good("keys", "rotate")
    with writing(tmp_path, shells) as writers:
        for _ in range(2):
            writers.go_on(20)
            dead = postgres_cluster.primary
            postgres_cluster.fail_over()
            writers.go_on(20)
            postgres_cluster.rejoin(dead)
    check(shells[0], writers)


def test_a_database_that_is_gone_is_no_answer(tmp_path: Path) -> None:
    with running() as server:
        shell = shell_over(tmp_path / "home", server.url())
        first = shell.good(*ISSUE)
        server.kill()
        for arguments in (ISSUE, ("verify", "-"), ("revoke", "--task", "T1"), ("list",), ("sweep",)):
            done = shell.run(*arguments, stdin=first)
            assert (done.returncode, done.stdout) == (UNAVAILABLE, ""), (arguments, done.stderr)
            assert "Traceback" not in done.stderr
        server.start()
        shell.good("verify", stdin=first)
        assert len(shell.good("list", "--format", "jsonl").splitlines()) == 1


def test_a_database_that_hangs_is_waited_for_no_longer_than_was_said(tmp_path: Path) -> None:
    with running() as server:
        shell = shell_over(tmp_path / "home", server.url())
        first = shell.good(*ISSUE)
        server.freeze()
        try:
            for arguments in (ISSUE, ("verify", "-"), ("revoke", "--task", "T1")):
                done = shell.run("--timeout", "1s", *arguments, stdin=first)
                assert (done.returncode, done.stdout) == (UNAVAILABLE, ""), (arguments, done.stderr)
        finally:
            server.thaw()
        shell.good("verify", stdin=first)


def test_a_database_without_a_free_connection_is_no_answer(tmp_path: Path) -> None:
    with running({**QUICK, "max_connections": "8", "superuser_reserved_connections": "2"}) as server:
        server.execute("CREATE ROLE jitid LOGIN", "CREATE DATABASE ours OWNER jitid")
        url = server.url("ours").replace("postgres@", "jitid@")
        shell = shell_over(tmp_path / "home", url)
        shell.good(*ISSUE)
        taken = [server.connect("ours") for _ in range(8)]
        done = shell.run("--timeout", "1s", *ISSUE)
        for connection in taken:
            connection.close()
        assert (done.returncode, done.stdout) == (UNAVAILABLE, ""), done.stderr
        shell.good(*ISSUE)


def test_a_database_whose_disk_is_full_takes_nothing_in_part(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    with place() as folder, tmpfs(folder / "small", "size=24m") as small:
        if os.geteuid() == 0:
            os.chown(small, NOBODY, NOBODY)
        postgres_server.execute(f"CREATE TABLESPACE small LOCATION '{small}'")
        try:
            postgres_server.execute("CREATE DATABASE full_one TABLESPACE small")
            shell = shell_over(tmp_path / "home", postgres_server.url("full_one"))
            first = shell.good(*ISSUE)
            # The checkpoint writes all pages out while there is room. Pages in memory can then always be written.
            postgres_server.execute("CHECKPOINT")
            # Connect before the disk is full: a new connection may have to write a file.
            with postgres_server.connect("full_one") as connected:
                _fill(postgres_server)
                # A thousand credentials need more pages than can be left.
                done = shell.run(*ISSUE, "--count", "1000")
                assert (done.returncode, done.stdout) == (UNAVAILABLE, ""), done.stderr
                connected.execute("DROP TABLE filler")
            shell.good("verify", stdin=first)
            assert len(shell.good("list", "--format", "jsonl").splitlines()) == 1
            shell.good("audit", "verify")
            shell.good(*ISSUE, "--count", "1000")
        finally:
            postgres_server.drop("full_one")
            postgres_server.execute("DROP TABLESPACE small")


def _fill(server: Postgres) -> None:
    driver = module("psycopg", "postgres")
    # Uncompressed, one row on each page: compressed rows would not fill the disk.
    statements = ("CREATE TABLE filler (page text)", "ALTER TABLE filler ALTER page SET STORAGE PLAIN")
    server.execute(*statements, database="full_one")
    with server.connect("full_one") as connection, pytest.raises(driver.errors.DiskFull):
        while True:
            connection.execute("INSERT INTO filler SELECT repeat('x', 7000) FROM generate_series(1, 8)")
