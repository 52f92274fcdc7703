"""The record of the last sweep: private, of one ledger, and ignored unless it is as written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.sweep.finding import SEVERITIES
from jitid.capabilities.sweep.last_sweep import LastSweep, recall, remember
from tests.real import need_root, tmpfs

ISSUER = "urn:jitid:one"
PLACE = "/var/lib/jitid"
COUNTS = {severity.value: 0 for severity in SEVERITIES}
SWEEP = LastSweep(ISSUER, 1_800_000_000, {**COUNTS, "high": 2}, complete=True)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of records of past runs, which does not exist yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/jitid"


def record(state: Path) -> Path:
    """Write the record of `SWEEP`, and return its file."""
    remember(PLACE, SWEEP)
    (path,) = state.iterdir()
    return path


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_it_is_read_back_and_private_under_any_umask(state: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = record(state)
    finally:
        os.umask(before)
    assert recall(PLACE, ISSUER) == SWEEP
    assert path.stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700


def test_the_last_one_replaces_the_one_before(state: Path) -> None:
    path = record(state)
    later = SWEEP._replace(at=SWEEP.at + 60, complete=False)
    remember(PLACE, later)
    assert recall(PLACE, ISSUER) == later
    assert list(state.iterdir()) == [path]


def test_without_a_record_there_is_none(state: Path) -> None:
    assert recall(PLACE, ISSUER) is None
    assert not state.exists()


def test_the_record_of_another_ledger_is_ignored(state: Path) -> None:
    """Another ledger is at another place, or at the same place with another issuer."""
    path = record(state)
    assert recall("/var/lib/other", ISSUER) is None
    assert recall(PLACE, "urn:jitid:two") is None
    remember("/var/lib/other", SWEEP)
    (other,) = set(state.iterdir()) - {path}
    path.replace(other)
    assert recall("/var/lib/other", ISSUER) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"at": 10**30},
        {"at": -1},
        {"at": "yesterday"},
        {"at": True},
        {"at": 1.5},
        {"at": None},
        {"complete": "yes"},
        {"complete": 1},
        {"findings": []},
        {"findings": None},
        {"findings": {}},
        {"findings": {**COUNTS, "high": -1}},
        {"findings": {**COUNTS, "high": 10**40}},
        {"findings": {**COUNTS, "high": True}},
        {"findings": {**COUNTS, "high": "2"}},
        {"findings": {**COUNTS, "\x1b[31mhigh": 2}},
        {"findings": {"\u202ehigh": 2}},
        {"issuer": None},
        {"place": None},
    ],
    ids=repr,
)
def test_a_record_with_other_values_is_ignored(state: Path, changed: dict[str, Any]) -> None:
    path = record(state)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    assert recall(PLACE, ISSUER) is None


def test_a_record_of_an_older_version_has_no_known_findings(state: Path) -> None:
    path = record(state)
    document = json.loads(path.read_text())
    del document["known"]
    path.write_text(json.dumps(document))
    found = recall(PLACE, ISSUER)
    assert found is not None
    assert found.known == 0


@pytest.mark.parametrize("name", ["place", *(each for each in LastSweep._fields if each != "known")])
def test_a_record_without_a_member_is_ignored(state: Path, name: str) -> None:
    path = record(state)
    document = json.loads(path.read_text())
    del document[name]
    path.write_text(json.dumps(document))
    assert recall(PLACE, ISSUER) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 512, b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b"[" * 4_000, b"9" * 4_096],
    ids=["empty", "zeros", "cut", "null", "list", "text", "bytes", "deep", "number"],
)
def test_a_damaged_record_is_ignored(state: Path, content: bytes) -> None:
    record(state).write_bytes(content)
    assert recall(PLACE, ISSUER) is None


def test_a_record_longer_than_any_is_ignored(state: Path) -> None:
    path = record(state)
    path.write_text(path.read_text().rstrip("}\n") + ', "more": "' + "x" * 5_000 + '"}')
    assert recall(PLACE, ISSUER) is None


def test_a_record_that_others_may_write_is_ignored(state: Path) -> None:
    path = record(state)
    path.chmod(0o666)
    assert recall(PLACE, ISSUER) is None


def test_a_link_a_folder_and_a_pipe_are_ignored_and_never_written_to(state: Path, tmp_path: Path) -> None:
    path = record(state)
    target = tmp_path / "target"
    path.rename(target)
    text = target.read_text()
    path.symlink_to(target)
    assert recall(PLACE, ISSUER) is None
    remember(PLACE, SWEEP._replace(at=1))
    assert target.read_text() == text
    path.unlink()
    path.mkdir(0o700)
    assert recall(PLACE, ISSUER) is None
    remember(PLACE, SWEEP)
    path.rmdir()
    os.mkfifo(path, 0o600)
    assert recall(PLACE, ISSUER) is None
    remember(PLACE, SWEEP)
    assert path.is_fifo()


def test_a_state_folder_that_is_a_file_fails_nothing(state: Path) -> None:
    state.parent.mkdir()
    state.touch()
    remember(PLACE, SWEEP)
    assert recall(PLACE, ISSUER) is None


def test_a_full_disk_leaves_the_record_before(state: Path, tmp_path: Path) -> None:
    need_root()
    with tmpfs(tmp_path / "state", "size=64k"):
        record(state)
        filler = tmp_path / "state/filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 4_096):
                    pass
            except OSError:
                pass
        remember(PLACE, SWEEP._replace(at=1))
        assert recall(PLACE, ISSUER) == SWEEP
        assert sorted(path.suffix for path in state.iterdir()) == [".json"]


def test_a_read_only_folder_leaves_the_record_before(state: Path, tmp_path: Path) -> None:
    need_root()
    with tmpfs(tmp_path / "state", "size=64k"):
        record(state)
        assert os.system(f"mount -o remount,ro {tmp_path / 'state'}") == 0
        remember(PLACE, SWEEP._replace(at=1))
        assert recall(PLACE, ISSUER) == SWEEP
