"""The time limit of a command: --timeout bounds all of its waiting, and a cut result is reported as incomplete."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from jitid.authority.wire.codec import item_of, result_of, shape_of
from jitid.capabilities.sweep.finding import Coverage
from jitid.capabilities.sweep.operations import Sweep
from jitid.capabilities.sweep.rules import NAMES
from jitid.cli import main
from jitid.system import time_limit
from tests.authority.remote.peer import answering, error
from tests.authority.remote.test_odd import TOKEN, VERBS
from tests.programs import Shop
from tests.real import Shell

PATIENCE = 120
"""Seconds after which a command with a time limit counts as waiting for ever."""


def ended(line: str, url: str, folder: Path, **more: str) -> tuple[int, str, str]:
    """Run a command in a separate process; return its status and outputs. It is killed if it waits for ever."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            status = 98
            try:
                signal.alarm(PATIENCE)
                os.chdir(folder)
                os.environ.update(HOME=str(folder), JITID_REMOTE=url, JITID_TIMEOUT="1s", **more)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(out.fileno(), 1)
                os.dup2(said.fileno(), 2)
                status = main.run(line.split())
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), out.read().decode(), said.read().decode()


def expected(line: str) -> int:
    """Return the exit status of a verb that runs out of time."""
    return 11 if line.startswith("sweep") else 125 if line.startswith("run") else 5


def silent(connection: socket.socket) -> None:
    """Send no answer, as long as the client is connected."""
    connection.settimeout(PATIENCE)
    while connection.recv(1 << 16):
        pass


@contextmanager
def deaf() -> Iterator[str]:
    """Yield an address that accepts connections at the kernel level only, and never reads a request."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.deep
def test_no_verb_waits_longer_for_an_authority_that_is_silent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(TOKEN)
    wrong = {}
    with deaf() as url:
        for line in VERBS:
            status, _, said = ended(line, url, tmp_path)
            if status != expected(line):
                wrong[line] = (status, said)
    assert not wrong


@pytest.mark.deep
def test_no_verb_tries_again_for_longer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(TOKEN)
    wrong = {}
    with answering(error(503, "storage", 5, "retry-after: 1", retryable=True)) as peer:
        for line in VERBS:
            status, _, said = ended(line, peer.url, tmp_path)
            if status not in (expected(line), 5):
                wrong[line] = (status, said)
    assert not wrong


def test_a_sweep_that_is_cut_says_what_it_did_not_examine(tmp_path: Path) -> None:
    """The authority answers the first rule, and then hangs."""
    pieces = shape_of(item_of(result_of(Sweep)), request=False)
    rule = json.dumps(pieces.encode(Coverage(NAMES[0], "3 live credentials", ())))

    def hang(connection: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        line = rule.encode() + b"\n"
        connection.sendall(head + b"%x\r\n%b\r\n" % (len(line), line))
        silent(connection)

    refused = error(403, "refused", 6)
    with answering(refused, hang) as peer:
        status, out, said = ended("sweep --format json", peer.url, tmp_path)
    assert status == 11, said
    told = {each["rule"]: each for each in json.loads(out)["coverage"]}
    assert told[NAMES[0]]["complete"] is True
    for name in set(told) - {NAMES[0]}:
        assert told[name]["complete"] is False
        assert "--timeout" in told[name]["missed"][0]
    assert len(told) > 10
    assert "incomplete" in said


def hanging(tmp_path: Path) -> Shell:
    """Return a shell whose target is a program that hangs; it writes its process id to `hangs.pid`."""
    program = tmp_path / "hangs"
    program.write_text(
        f"#!{sys.executable}\nimport os, select\n"
        f"open({str(tmp_path / 'hangs.pid')!r}, 'w').write(str(os.getpid()) + ' ')\nselect.select([], [], [])\n"
    )
    program.chmod(0o700)
    configuration = tmp_path / "config.toml"
    configuration.write_text(f'[target.shop]\nkind = "exec"\nprogram = "{program}"\ntimeout = "1m"\n')
    configuration.chmod(0o600)
    shell = Shell(tmp_path)
    shell.environment["JITID_CONFIG"] = str(configuration)
    shell.good("issue", "--task", "T1", "--delegator", "alice")
    return shell


def begun(tmp_path: Path) -> int:
    """Wait until the hanging program has started, and return its process id."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with suppress(FileNotFoundError):
            told = (tmp_path / "hangs.pid").read_text()
            if told.endswith(" "):
                return int(told)
        time.sleep(0.02)
    raise AssertionError("the program was not started")


def must_be_gone(pid: int) -> None:
    """Raise AssertionError if a process still runs after a while; a zombie counts as gone."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.02)
    raise AssertionError("the program goes on")


def test_a_signal_ends_the_program_of_a_target_too(tmp_path: Path) -> None:
    """The program has its own session, so no signal of a terminal or a supervisor reaches it."""
    shell = hanging(tmp_path)
    line = [sys.executable, "-m", "jitid", "sweep", "--target-timeout", "10m"]
    with subprocess.Popen(line, env=shell.environment, stderr=subprocess.DEVNULL) as command:
        pid = begun(tmp_path)
        command.send_signal(signal.SIGTERM)
        assert command.wait(PATIENCE) == 128 + signal.SIGTERM
    must_be_gone(pid)


@pytest.mark.deep
def test_targets_have_no_more_time_than_the_command(tmp_path: Path) -> None:
    """A target's program hangs: the sweep continues without it and reports that; then the program is killed."""
    shell = hanging(tmp_path)
    swept = shell.run("sweep", "--timeout", "2s", "--target-timeout", "10m", "--format", "json")
    assert swept.returncode == 11, swept.stderr
    missed = [why for each in json.loads(swept.stdout)["coverage"] for why in each["missed"]]
    assert any("shop: it did not answer within" in why for why in missed), missed
    must_be_gone(begun(tmp_path))


@pytest.mark.parametrize("line", ["revoke --task T1 --yes", "retire T1"])
def test_what_waits_for_targets_has_the_time_of_its_wait(tmp_path: Path, line: str) -> None:
    """The target works again after the time limit of the command. The first failed attempt moves the clock."""
    shop = Shop(tmp_path / "shop")
    configuration = tmp_path / "config.toml"
    configuration.write_text(
        f'[target.shop]\nkind = "exec"\nprogram = "{shop.program}"\noptions = {{ shop = "{shop.folder}" }}\n'
    )
    configuration.chmod(0o600)
    shell = Shell(tmp_path)
    shell.environment["JITID_CONFIG"] = str(configuration)
    shell.permit_kinds()
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--kind", "exec:shop")
    shop.fail("once", "revoke")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            LATER,
            str(shop.folder / "once"),
            *line.split(),
            "--timeout",
            "1m",
            "--wait",
            "2m",
        ],
        capture_output=True,
        text=True,
        env=shell.environment,
        cwd=shell.home,
    )
    assert done.returncode == 0, done.stderr
    assert shop.made == {}


LATER = """
import os, sys, time
from jitid.cli import main
from jitid.system import time_limit

flag = sys.argv.pop(1)
time_limit.monotonic = lambda: time.monotonic() + 3600 * os.path.exists(flag)
sys.exit(main.run(sys.argv[1:]))
"""
"""A program that runs a command whose time limit expires once a file exists."""


def test_a_database_that_hangs_is_not_waited_for_any_longer(postgres_url: str, tmp_path: Path) -> None:
    """The database accepts the connection and then hangs: libpq alone would wait for ever."""
    shell = Shell(tmp_path)
    shell.environment["JITID_LEDGER"] = postgres_url
    shell.good("issue", "--task", "T1", "--delegator", "alice")
    with _relay(postgres_url) as (url, stop):
        shell.environment["JITID_LEDGER"] = url
        assert shell.good("list", "--field", "task") == "T1\n"
        stop.set()
        for line in ("list", "revoke --task T1 --yes", "sweep", "report"):
            done = shell.run(*line.split(), "--timeout", "2s")
            assert done.returncode == expected(line), (line, done.stderr)
            assert "the command's time limit has expired (--timeout)" in done.stderr or line == "sweep", (
                done.stderr
            )
    shell.environment["JITID_LEDGER"] = postgres_url
    assert shell.good("list", "--field", "task") == "T1\n"


@contextmanager
def _relay(url: str) -> Iterator[tuple[str, threading.Event]]:
    """Run a proxy before a database; after `stop` is set, it swallows a client's next query and all that follows."""
    parts = urlsplit(url)
    stop = threading.Event()
    there = (parts.hostname or "127.0.0.1", parts.port or 5432)

    def serve(client: socket.socket) -> None:
        # Either side may close the connection at any time.
        with suppress(OSError), client, socket.create_connection(there) as server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for one in ready:
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    if one is client and stop.is_set() and b"SELECT" in data:
                        # The proxy forwards no more data of this connection.
                        while client.recv(1 << 16):
                            pass
                        return
                    (server if one is client else client).sendall(data)

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        place = parts.netloc.rpartition("@")[0]
        netloc = f"{place}@127.0.0.1:{listening.getsockname()[1]}" if place else ""
        assert netloc, url
        yield urlunsplit(parts._replace(netloc=netloc)), stop
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.deep
def test_a_command_that_was_started_has_all_its_time(tmp_path: Path) -> None:
    """--timeout bounds only the start of the command; revoking its credential has its own time."""
    shell = Shell(tmp_path)
    program = "import select; select.select([], [], [], 1.5)"
    line = (
        "run",
        "--timeout",
        "1s",
        "--task",
        "T1",
        "--delegator",
        "alice",
        "--",
        sys.executable,
        "-c",
        program,
    )
    assert shell.run("issue", "--task", "T0", "--delegator", "alice").returncode == 0
    done = shell.run(*line)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def _unbound() -> Iterator[None]:
    yield
    time_limit.lift()


@pytest.mark.usefixtures("_unbound")
def test_the_time_that_is_left_is_never_more_than_was_asked() -> None:
    assert time_limit.left(7) == 7
    assert not time_limit.has_expired()
    time_limit.bound(1_000)
    assert time_limit.left(7) == 7
    assert 0 < time_limit.left(10_000) <= 1_000
    time_limit.bound(0)
    assert time_limit.left(7) == 0
    assert time_limit.has_expired()
    called = threading.Event()
    time_limit.at_end(called.set)
    assert called.wait(PATIENCE)
    time_limit.lift()
    assert time_limit.left(7) == 7


@pytest.mark.usefixtures("_unbound")
def test_what_is_taken_back_has_a_time_of_its_own() -> None:
    time_limit.take_back()
    assert time_limit.usual(1_000) == 1_000
    time_limit.bound(0)
    assert time_limit.usual(1) == 0
    time_limit.take_back()
    assert 20 < time_limit.usual(1) <= time_limit.TAKING_BACK
    assert time_limit.left(7) == 7
    assert not time_limit.has_expired()
    time_limit.bound(5)
    assert time_limit.usual(1) == 1


@pytest.mark.usefixtures("_unbound")
def test_what_ends_with_the_time_ends_with_the_one_that_was_bound_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection made before is cut later, and a connection made afterwards is cut too."""
    early, late = threading.Event(), threading.Event()
    time_limit.bound(0)
    time_limit.at_end(early.set)
    assert early.wait(PATIENCE)
    monkeypatch.setattr(time_limit, "TAKING_BACK", 0.3)
    time_limit.take_back()
    time_limit.at_end(late.set)
    assert late.wait(PATIENCE)
