"""A power cut loses no acknowledged change, and leaves a ledger that opens without repair.

The test records the system calls of a real process. Then it builds every disk that a cut after each call could leave:
synced data is there; of the data written since then, all, nothing, or any set of sectors is there.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from jitid.capabilities.identity import recognise_token
from jitid.capabilities.integrity import verify_log
from jitid.errors import InvalidCredentialError
from jitid.ledger.sqlite import folder
from tests.real import Shell, need

SECTOR = 512
FILES = ("ledger.db", "ledger.db-wal")
CALLS = "openat,pwrite64,write,fdatasync,fsync,ftruncate,unlink,rename"


class Call(NamedTuple):
    """A recorded system call that matters, with its file and its data."""

    name: str
    file: str
    data: bytes = b""
    offset: int = 0


class Disk:
    """A model of the files: their contents on the disk for certain, and their unsynced changes."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.synced = dict(files)
        self.pending: dict[str, list[Call]] = {name: [] for name in FILES}
        self.entries_pending: set[str] = set()

    def take(self, call: Call) -> None:
        """Apply a call to the model."""
        if call.name == "sync":
            self.synced[call.file] = _applied(self.synced.get(call.file, b""), self.pending[call.file])
            self.pending[call.file] = []
        elif call.name == "sync-folder":
            self.entries_pending.clear()
        elif call.name == "create":
            if call.file not in self.synced:
                self.synced[call.file] = b""
                self.entries_pending.add(call.file)
        else:
            self.pending[call.file].append(call)

    def after_a_cut(self, dice: random.Random, mode: str) -> dict[str, bytes]:
        """Return a state of the files that a cut now could leave."""
        files = {}
        for name, data in self.synced.items():
            if name in self.entries_pending and (mode == "least" or (mode == "dice" and dice.random() < 0.5)):
                continue
            calls = self.pending[name]
            if mode == "least":
                calls = []
            elif mode == "dice":
                calls = [part for call in calls for part in _sectors(call) if dice.random() < 0.5]
            files[name] = _applied(data, calls)
        return files


def _sectors(call: Call) -> Iterator[Call]:
    if call.name != "write":
        yield call
        return
    for at in range(0, len(call.data), SECTOR):
        yield call._replace(data=call.data[at : at + SECTOR], offset=call.offset + at)


def _applied(data: bytes, calls: list[Call]) -> bytes:
    content = bytearray(data)
    for call in calls:
        if call.name == "write":
            if len(content) < call.offset:
                content.extend(bytes(call.offset - len(content)))
            content[call.offset : call.offset + len(call.data)] = call.data
        elif call.name == "truncate":
            del content[call.offset :]
            content.extend(bytes(call.offset - len(content)))
        elif call.name == "unlink":
            content.clear()
    return bytes(content)


_LINE = re.compile(
    r'(?:\d+\s+)?(\w+)\((?:(\d+)<([^>]*)>|AT_FDCWD[^,]*, "([^"]*)"|"([^"]*)")(.*)\)\s+= (-?\d+)'
)


def _calls(log: str, ledger: Path) -> Iterator[Call]:
    """Yield the calls on the ledger's files, and `printed` where standard output was written."""
    paths = {str(ledger / name): name for name in FILES}
    for line in log.splitlines():
        found = _LINE.match(line)
        if found is None or int(found[7]) < 0:
            continue
        call, descriptor, rest = found[1], found[2], found[6]
        path = found[3] or bytes.fromhex((found[4] or found[5] or "").replace("\\x", "")).decode()
        if path.startswith("\\x"):
            path = bytes.fromhex(path.replace("\\x", "")).decode()
        if call == "write" and descriptor == "1":
            yield Call("printed", "")
        elif call in ("fsync", "fdatasync") and path == str(ledger):
            yield Call("sync-folder", "")
        elif path not in paths:
            continue
        elif call in ("fsync", "fdatasync"):
            yield Call("sync", paths[path])
        elif call == "openat" and "O_CREAT" in rest:
            yield Call("create", paths[path])
        elif call == "pwrite64":
            text, offset = re.findall(r'"([^"]*)"', rest)[0], int(rest.rsplit(",", 1)[1])
            yield Call("write", paths[path], bytes.fromhex(text.replace("\\x", "")), offset)
        elif call == "ftruncate":
            yield Call("truncate", paths[path], b"", int(rest.rsplit(",", 1)[1]))
        elif call == "unlink":
            yield Call("unlink", paths[path])
        else:
            assert call == "openat", f"an unforeseen call: {call}"


def _jitid(*arguments: str, ledger: Path) -> str:
    return Shell(ledger.parent, ledger).good(*arguments).strip()


def _recorded(*arguments: str, ledger: Path) -> list[Call]:
    """Run a command; return its calls, with its output as the data of `printed`."""
    log = ledger.parent / "calls"
    trace = [
        need("strace"),
        "-f",
        "-qq",
        "-xx",
        "-y",
        "-s",
        "10000000",
        "-e",
        f"trace={CALLS}",
        "-o",
        str(log),
    ]
    done = Shell(ledger.parent, ledger).run(*arguments, before=trace)
    assert done.returncode == 0, done.stderr
    calls = list(_calls(log.read_text(), ledger))
    return [call._replace(data=done.stdout.encode()) if call.name == "printed" else call for call in calls]


def _output(calls: list[Call]) -> str:
    (printed,) = [call for call in calls if call.name == "printed"]
    return printed.data.decode().strip()


def _restored(ledger: Path, files: dict[str, bytes]) -> None:
    for name in (*FILES, "ledger.db-shm"):
        (ledger / name).unlink(missing_ok=True)
    for name, data in files.items():
        (ledger / name).touch(mode=0o600)
        (ledger / name).write_bytes(data)


def _is_valid(ledger: Path, token: str) -> bool:
    """Open the ledger without repair, verify it, and return whether the token is valid."""
    assert folder.exists(str(ledger))
    opened = folder.open_ledger(str(ledger), by="tester", timeout=5.0)
    try:
        with opened.read() as snapshot:
            verify_log.verify(snapshot, opened.names, None)
            try:
                recognise_token.verify(snapshot, opened.names, token, None)
            except InvalidCredentialError:
                return False
            return True
    finally:
        opened.close()


def _cuts(calls: list[Call], files: dict[str, bytes], seed: int) -> Iterator[tuple[bool, dict[str, bytes]]]:
    """Yield the disks that a cut after each call could leave, and whether the output had been printed before."""
    dice = random.Random(seed)
    disk = Disk(files)
    printed = False
    for call in calls:
        if call.name == "printed":
            printed = True
        else:
            disk.take(call)
        for mode in ("least", "most", "dice", "dice", "dice"):
            yield printed, disk.after_a_cut(dice, mode)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    place = tmp_path / "ledger"
    for task in ("A", "B", "C"):
        _jitid("issue", "--task", task, "--delegator", "alice", ledger=place)
    return place


def _files(ledger: Path) -> dict[str, bytes]:
    return {name: (ledger / name).read_bytes() for name in FILES if (ledger / name).exists()}


@pytest.mark.deep
def test_a_token_that_was_printed_survives_every_power_cut(ledger: Path) -> None:
    before = _files(ledger)
    calls = _recorded("issue", "--task", "T", "--delegator", "alice", ledger=ledger)
    token = _output(calls)
    for printed, files in _cuts(calls, before, seed=1):
        _restored(ledger, files)
        assert _is_valid(ledger, token) or not printed


def test_a_revocation_that_was_told_survives_every_power_cut(ledger: Path) -> None:
    token = _jitid("issue", "--task", "T", "--delegator", "alice", ledger=ledger)
    before = _files(ledger)
    calls = _recorded("revoke", "--task", "T", ledger=ledger)
    assert _output(calls).startswith("revoked 1 live credential")
    for printed, files in _cuts(calls, before, seed=2):
        _restored(ledger, files)
        assert not (_is_valid(ledger, token) and printed)


@pytest.mark.deep
def test_a_cut_during_a_checkpoint_loses_nothing(ledger: Path) -> None:
    token = _jitid("issue", "--task", "T", "--delegator", "alice", ledger=ledger)
    _jitid(
        "issue",
        "--task",
        "MANY",
        "--delegator",
        "alice",
        "--kind",
        "opaque",
        "--count",
        "5000",
        ledger=ledger,
    )
    before = _files(ledger)
    calls = _recorded("revoke", "--delegator", "alice", "--yes", ledger=ledger)
    assert any(call.file == "ledger.db" for call in calls), "there was no checkpoint"
    # Each kind of disk at every twentieth call and at the last calls: all of the thousands of calls would take too
    # long.
    for number, (printed, files) in enumerate(_cuts(calls, before, seed=4)):
        if number % 101 == 0 or printed:
            _restored(ledger, files)
            assert not (_is_valid(ledger, token) and printed)


def test_a_commit_that_was_not_synced_would_be_noticed(ledger: Path) -> None:
    before = _files(ledger)
    calls = _recorded("issue", "--task", "T", "--delegator", "alice", ledger=ledger)
    token = _output(calls)
    lost = 0
    for printed, files in _cuts([call for call in calls if call.name != "sync"], before, seed=3):
        _restored(ledger, files)
        lost += printed and not _is_valid(ledger, token)
    assert lost
