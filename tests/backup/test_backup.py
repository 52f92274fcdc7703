"""Backup and restore: a snapshot of one moment, signed with the ledger's key; no revoked credential is valid again."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sqlite3
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from jitid.backup import archive, take_backup
from jitid.backup import restore as restoration
from jitid.backup.restore import RestoredLedger
from jitid.backup.take_backup import BackupProgress, MadeBackup
from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import GrantAccess
from jitid.capabilities.access.store import AccessStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.integrity.operations import SignHead, VerifyLog
from jitid.capabilities.trust.operations import RotateKey
from jitid.config.effective import Config, load
from jitid.errors import (
    IntegrityError,
    InvalidCredentialError,
    JitidError,
    NewerSchemaError,
    OutputError,
    StorageError,
    UsageError,
)
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.schema import SQLITE_STEPS
from jitid.model.approval import ApprovalState
from tests.builders import World, edit, modes, open_sqlite
from tests.capabilities.adopt.test_adoption import adopt, listed
from tests.capabilities.issue.office import BOTH, PAY, Office
from tests.real import tmpfs

QUIET = BackupProgress(lambda _done, _all: None, lambda _what: None)


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate the test from the user's configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "JITID_LEDGER"):
        monkeypatch.delenv(name, raising=False)


def config(path: Path) -> Config:
    """Return a configuration with a ledger."""
    return load(file=None, profile=None, flags={"ledger": str(path), "timeout": "5s"})


def back_up(world: World, to: Path, *, keys: bool = False, verify: bool = True) -> MadeBackup:
    """Make a backup of a ledger."""
    return take_backup.back_up(
        config(world.path), str(to), keys=keys, verify=verify, progress=QUIET, write=lambda _data: None
    )


def restore(
    place: Path,
    to: Path,
    *,
    replace: bool = False,
    keep: bool = False,
    expect: str | None = None,
    stream: bytes | None = None,
) -> RestoredLedger:
    """Restore a backup."""
    return restoration.restore(
        config(to),
        "-" if stream is not None else str(place),
        replace=replace,
        keep=keep,
        expect=expect,
        accept_clock=False,
        progress=lambda _what: None,
        standard_input=None if stream is None else io.BytesIO(stream),
    )


def names(path: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(each.name for each in path.iterdir())


@pytest.fixture
def used(tmp_path: Path) -> Iterator[World]:
    """Return a ledger that uses the real clock."""
    with World(tmp_path / "ledger", now=int(time.time())) as world:
        world.chain(3, scopes=["db:read"])
        for number in range(3):
            world.issue(task=f"T{number + 5}", kind="opaque")
        world.retire("T6")
        yield world


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_what_is_restored_is_what_was_backed_up(used: World, tmp_path: Path, name: str) -> None:
    alive, head = used.issue(), used.head()
    made = back_up(used, tmp_path / name, keys=True)
    assert (made.manifest.events, made.manifest.head) == (head.seq, head.hash.hex())
    assert made.manifest.verified
    assert {
        mode & 0o077 for mode in (*modes(tmp_path / name).values(), (tmp_path / name).stat().st_mode & 0o777)
    } == {0}
    back = restore(tmp_path / name, tmp_path / "again", keep=True)
    assert (back.manifest.events, back.restored.kept, back.lost) == (head.seq, True, None)
    with World(tmp_path / "again", now=int(used.clock())) as other:
        assert other.verify(alive.token).jti == alive.jti
        assert other.events()[: head.seq] == used.events()
        assert other.check() == head.seq + 1
        assert other.issue().jti
        assert {mode & 0o077 for mode in modes(other.path).values()} == {0}
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_as_a_stream(used: World, tmp_path: Path) -> None:
    pieces: list[bytes] = []
    take_backup.back_up(config(used.path), "-", keys=False, verify=True, progress=QUIET, write=pieces.append)
    back = restore(tmp_path, tmp_path / "again", stream=b"".join(pieces))
    assert back.manifest.events == used.head().seq


def test_nothing_that_may_have_been_ended_since_lives_again(used: World, tmp_path: Path) -> None:
    """Credentials that were live in the backup are invalid too: they may have been revoked since."""
    alive, dead = used.issue(task="A"), used.issue(task="B", kind="opaque")
    used.authority.perform(GrantAccess(wanted=AccessRequest("user:eve", ("responder",))))
    back_up(used, tmp_path / "backup", keys=True)
    used.revoke(dead.id)
    late = used.issue(task="C")
    head = used.authority.perform(SignHead())
    back = restore(tmp_path / "backup", tmp_path / "again", expect=head)
    assert (back.lost, back.restored.kept, back.restored.access) == (2, False, 1)
    with World(tmp_path / "again", now=int(used.clock())) as other:
        for token in (alive.token, dead.token, late.token):
            with pytest.raises(InvalidCredentialError):
                other.verify(token)
        with other.ledger.read() as snapshot:
            assert not AccessStore(snapshot).some(live=True, name=None, after=None, limit=9)
            assert [key.revoked_at is None for key in KeyStore(snapshot).signing_keys()] == [False, True]
        # The restore also retires the task, so its name cannot be used again.
        with pytest.raises(JitidError, match="task-ended"):
            other.issue(task="A")
        assert other.verify(other.issue(task="NEW").token)
        other.check()
        with pytest.raises(IntegrityError, match=r"older copy|history was rewritten") as caught:
            other.authority.perform(VerifyLog(expected_head=head))
        assert f"event {back.restored.event} restored the ledger from a backup" in str(caught.value.hint)
        assert back.restored.event == back.manifest.events + 1


@pytest.mark.parametrize("then", ["used", "denied"])
def test_what_was_approved_is_not_good_for_another_issue(tmp_path: Path, then: str) -> None:
    with Office(tmp_path / "ledger", now=int(time.time())) as office:
        asked, waiting = office.ask(**PAY, task="LATER"), office.ask(**BOTH, task="LATER")
        office.grant(asked)
        back_up(office, tmp_path / "backup", keys=True)
        if then == "used":
            office.issue(**PAY, task="LATER")
        else:
            office.deny(asked, "carol")
        restore(tmp_path / "backup", tmp_path / "again")
        with Office(tmp_path / "again", now=int(office.clock())) as other:
            assert {other.state(asked), other.state(waiting)} == {ApprovalState.WITHDRAWN}
            other.ask(**PAY, task="LATER")
            other.check()
        back = restore(tmp_path / "backup", tmp_path / "kept", keep=True)
        with Office(tmp_path / "kept", now=int(office.clock())) as other:
            assert {other.state(asked), other.state(waiting)} == {ApprovalState.WITHDRAWN}
            other.check()
        assert back.restored.kept


def test_a_task_of_something_adopted_is_retired_if_more_lives_on_it(used: World, tmp_path: Path) -> None:
    """Credentials that jitid issued on the task end like all others; adopted secrets stay live."""
    adopt(used)
    other = used.issue(task="adopted/github-ci", kind="opaque")
    back_up(used, tmp_path / "backup", keys=True)
    used.revoke(other.id)
    restore(tmp_path / "backup", tmp_path / "again")
    with World(tmp_path / "again", now=int(used.clock())) as again:
        with pytest.raises(InvalidCredentialError):
            again.verify(other.token)
        assert [one.credential.ended_as for one in listed(again)] == [None]
        again.check()


def test_what_is_known_to_be_older_is_not_kept_alive(used: World, tmp_path: Path) -> None:
    back_up(used, tmp_path / "backup")
    used.issue()
    head = used.authority.perform(SignHead())
    with pytest.raises(IntegrityError, match="1 event"):
        restore(tmp_path / "backup", tmp_path / "again", keep=True, expect=head)
    used.close()
    with pytest.raises(IntegrityError, match="1 event"):
        restore(tmp_path / "backup", used.path, keep=True, replace=True)
    assert not (tmp_path / "again").exists()
    used.reopen()
    used.check()


def test_a_ledger_that_ends_where_the_backup_does_goes_on(used: World, tmp_path: Path) -> None:
    """It uses its own private keys, which were not in the backup."""
    alive = used.issue()
    back_up(used, tmp_path / "backup")
    used.close()
    back = restore(tmp_path / "backup", used.path, replace=True)
    assert (back.newest, back.restored.kept, back.restored.retired) == (True, True, ())
    used.reopen()
    assert used.verify(alive.token).jti == alive.jti
    used.issue()
    assert back.replaced is not None
    assert folder.exists(back.replaced)


def test_who_has_a_ledger_open_that_is_replaced_is_told(used: World, tmp_path: Path) -> None:
    """Otherwise it would revoke credentials in the old ledger only, and ignore revocations in the new one."""
    lives = used.issue(task="A", kind="opaque")
    back_up(used, tmp_path / "backup", keys=True)
    assert restore(tmp_path / "backup", used.path, replace=True).newest
    for work in (
        lambda: used.revoke(lives.id),
        lambda: used.issue(task="B"),
        lambda: used.verify(lives.token),
    ):
        with pytest.raises(StorageError, match="replaced"):
            work()
    used.reopen()
    assert used.verify(lives.token).jti == lives.jti
    used.revoke(lives.id)
    used.check()


def test_a_damaged_ledger_is_replaced_and_kept_aside(used: World, tmp_path: Path) -> None:
    alive = used.issue()
    back_up(used, tmp_path / "backup")
    used.close()
    database = used.path / folder.DATABASE
    database.write_bytes(bytes(database.stat().st_size))
    back = restore(tmp_path / "backup", used.path, replace=True)
    assert (back.restored.kept, back.lost) == (False, None)
    used.reopen()
    used.check()
    with pytest.raises(InvalidCredentialError):
        used.verify(alive.token)
    assert back.replaced is not None
    assert not any((Path(back.replaced) / folder.DATABASE).read_bytes())


def test_without_the_private_keys_new_ones_are_made(used: World, tmp_path: Path) -> None:
    alive, kids = used.issue(), set(names(used.path / "keys"))
    used.authority.perform(RotateKey(algorithm="EdDSA", use="ssh"))
    back_up(used, tmp_path / "backup")
    back = restore(tmp_path / "backup", tmp_path / "again", keep=True)
    assert kids < set(back.restored.retired)
    with World(tmp_path / "again", now=int(used.clock())) as other:
        assert other.verify(alive.token).jti == alive.jti
        assert len(names(other.path / "keys")) == 1
        other.verify(other.issue().token)


def test_a_backup_of_a_moment_while_others_write(used: World, tmp_path: Path) -> None:
    stop, done = Event(), 0
    failures: list[BaseException] = []

    def write() -> None:
        with World(used.path, now=int(used.clock())) as other:
            while not stop.is_set():
                other.issue(task="BUSY")

    def run() -> None:
        try:
            write()
        except BaseException as error:
            failures.append(error)
            raise

    writers = [Thread(target=run) for _ in range(3)]
    for one in writers:
        one.start()
    try:
        for number in range(4):
            made = back_up(used, tmp_path / f"backup{number}")
            assert made.manifest.events >= done
            done = made.manifest.events
        # The backups have not stopped the writers.
        while used.head().seq <= done and not failures:
            time.sleep(0.01)
    finally:
        stop.set()
        for one in writers:
            one.join()
    assert not failures


def test_nothing_of_the_ledger_is_changed_by_it(used: World, tmp_path: Path) -> None:
    used.close()
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in used.path.rglob("*") if path.is_file()
    }
    back_up(used, tmp_path / "backup")
    after = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in used.path.rglob("*") if path.is_file()
    }
    assert after == before


def _in(place: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    path = place / name
    path.write_bytes(change(path.read_bytes()))


def _told(place: Path, **other: object) -> None:
    _in(place, "manifest.json", lambda text: json.dumps({**json.loads(text), **other}).encode())


def _put(path: Path) -> None:
    path.parent.mkdir(0o700, exist_ok=True)
    path.write_bytes(b"permit (principal, action, resource);")
    path.chmod(0o600)


def _be_a_link(path: Path) -> None:
    path.rename(path.parent.parent / "real")
    path.symlink_to(path.parent.parent / "real")


def _be_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of the database": (
        lambda place: _in(
            place, "ledger.sqlite", lambda data: data[:9000] + bytes([data[9000] ^ 1]) + data[9001:]
        ),
        "does not match the manifest",
    ),
    "the end of the database": (
        lambda place: _in(place, "ledger.sqlite", lambda data: data[:-4096]),
        "does not match the manifest",
    ),
    "another policy": (
        lambda place: _in(place, "policy/default.cedar", lambda _: b"permit (principal, action, resource);"),
        "does not match the manifest",
    ),
    "one more policy": (
        lambda place: _put(place / "policy" / "more.cedar"),
        "does not match the manifest",
    ),
    "no policy": (lambda place: (place / "policy" / "default.cedar").unlink(), "is missing"),
    "no manifest": (lambda place: (place / "manifest.json").unlink(), "is not a complete backup"),
    "no head": (lambda place: (place / "audit.head").unlink(), "lacks audit.head"),
    "another manifest": (lambda place: _told(place, at=0), "does not match its signature"),
    "a manifest of nothing": (lambda place: _told(place, files=7), "missing or invalid members"),
    "no JSON": (
        lambda place: _in(place, "manifest.json", lambda _: b"{" * 9999),
        "missing or invalid members",
    ),
    "another head": (lambda place: _in(place, "audit.head", lambda text: text[:-9]), "head"),
    "a large manifest": (
        lambda place: _in(place, "manifest.json", lambda _: b" " * (2 << 20)),
        "more than the maximum of",
    ),
    "a file of its own": (
        lambda place: _put(place / "keys" / "a b"),
        "unknown member",
    ),
    "a link": (
        lambda place: _be_a_link(place / "audit.head"),
        "symbolic link",
    ),
    "a pipe": (
        lambda place: _be_a_pipe(place / "audit.head"),
        "not a regular file",
    ),
    "open to others": (lambda place: place.chmod(0o755), "open to others"),
    "a part open to others": (lambda place: (place / "ledger.sqlite").chmod(0o644), "open to others"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an intact backup."""
    place = tmp_path_factory.mktemp("sound")
    with World(place / "ledger", now=int(time.time())) as world:
        world.issue()
        made = take_backup.back_up(
            config(world.path),
            str(place / "backup"),
            keys=False,
            verify=True,
            progress=QUIET,
            write=lambda _: None,
        )
    return Path(made.place)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_changed_is_refused(sound: Path, tmp_path: Path, damage: str) -> None:
    place = tmp_path / "backup"
    shutil.copytree(sound, place)
    change, why = DAMAGES[damage]
    change(place)
    with pytest.raises(IntegrityError, match=why):
        restore(place, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    assert not [name for name in names(tmp_path) if name.startswith(".again")]


def _member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, link
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is not a backup"),
        (b"no tar file at all" * 100, "is not a backup"),
        (_member("../escape", size=3) + b"abc", "unknown member"),
        (_member("/etc/passwd", size=3) + b"abc", "unknown member"),
        (_member("policy/../../x", size=3) + b"abc", "unknown member"),
        (_member("keys/" + "k" * 40, size=1 << 40), "more than the maximum of"),
        (_member("ledger.sqlite", tarfile.SYMTYPE, link="/etc/passwd"), "not a regular file"),
        (_member("ledger.sqlite", tarfile.LNKTYPE, link="/etc/passwd"), "not a regular file"),
        (_member("ledger.sqlite", tarfile.CHRTYPE), "not a regular file"),
        (_member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=1 << 33), "not a regular file"),
        (_member("pax", tarfile.XHDTYPE, size=1 << 33), "not a regular file"),
        (_member("ledger.sqlite", size=9) + b"cut", "is truncated"),
        (2 * (_member("audit.head", size=512) + bytes(512)), "two members"),
    ],
)
def test_a_hostile_tar_file_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(IntegrityError, match=why):
        restore(tmp_path, tmp_path / "again", stream=data)
    assert names(tmp_path) == []


def test_a_tar_file_of_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MOST", 9)
    data = b"".join(_member(f"policy/{number}") for number in range(10))
    with pytest.raises(IntegrityError, match="more than 9"):
        restore(tmp_path, tmp_path / "again", stream=data)


def test_a_tar_file_that_was_cut_anywhere_is_refused(sound: Path, tmp_path: Path) -> None:
    whole = io.BytesIO()
    archive.pack(str(sound), whole, 0)
    data = whole.getvalue()
    end = data.rindex(b"audit.head") + 1024
    for at in (*range(0, end, end // 40), end - 600, end - 512):
        with pytest.raises(IntegrityError):
            restore(tmp_path, tmp_path / "again", stream=data[:at])
    assert names(tmp_path) == []
    assert restore(tmp_path, tmp_path / "again", stream=data).manifest.events == 2


def test_a_larger_database_than_there_is_room_for_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not enough space"):
        restore(tmp_path, tmp_path / "again", stream=_member("ledger.sqlite", size=1 << 50))


def test_a_backup_of_a_newer_jitid_is_refused(sound: Path, tmp_path: Path) -> None:
    place = tmp_path / "backup"
    shutil.copytree(sound, place)
    for other in ({"ledger_schema": len(SQLITE_STEPS) + 1}, {"schema": "jitid.ledger-backup/2"}):
        _told(place, **other)
        with pytest.raises(NewerSchemaError):
            restore(place, tmp_path / "again")


def test_nothing_is_written_over_anything(used: World, sound: Path, tmp_path: Path) -> None:
    for name in ("file", "folder.tar"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(UsageError, match="already"):
            back_up(used, tmp_path / name)
    back_up(used, tmp_path / "backup")
    with pytest.raises(UsageError, match="already"):
        back_up(used, tmp_path / "backup")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UsageError, match="already"):
        back_up(used, tmp_path / "dangling")
    with pytest.raises(UsageError, match="lost with the ledger"):
        back_up(used, used.path / "inside")
    with pytest.raises(UsageError, match="already"):
        restore(sound, used.path)
    used.check()
    edit(used.path, "UPDATE setting SET value = 'another' WHERE name = 'uuid'")
    with pytest.raises(UsageError, match="has another ledger"):
        restore(sound, used.path, replace=True)


def test_in_a_folder_that_is_there_it_is_named_by_its_time(used: World, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    made = back_up(used, tmp_path / "many")
    assert Path(made.place).parent == tmp_path / "many"
    assert names(tmp_path / "many") == [Path(made.place).name]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credential SET scopes = 'db:*' WHERE id = 1",
        "DELETE FROM audit_event WHERE seq = (SELECT max(seq) FROM audit_event)",
    ],
)
def test_a_ledger_that_was_tampered_with_has_no_backup_unless_asked(
    used: World, tmp_path: Path, change: str
) -> None:
    edit(used.path, change)
    used.reopen()
    with pytest.raises(IntegrityError) as caught:
        back_up(used, tmp_path / "backup")
    assert "no backup was made" in caught.value.message
    assert not (tmp_path / "backup").exists()
    made = back_up(used, tmp_path / "backup", verify=False)
    assert not made.manifest.verified
    with pytest.raises(IntegrityError):
        restore(tmp_path / "backup", tmp_path / "again")


def test_a_backup_is_no_ledger(used: World, tmp_path: Path) -> None:
    back_up(used, tmp_path / "backup", keys=True)
    for name in ("backup", "backup/keys"):
        with pytest.raises(JitidError):
            folder.exists(str(tmp_path / name))


def test_an_unreachable_place_is_told(used: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        back_up(used, tmp_path / "not" / "there")
    with pytest.raises(OutputError):
        back_up(used, Path("/proc/backup"))


def test_others_go_on_writing_in_the_same_process(used: World, tmp_path: Path) -> None:
    """The backup drops no lock of an open connection."""
    ledger = open_sqlite(used.path, used.clock)
    with ledger.write() as transaction:
        back_up(used, tmp_path / "backup")
        transaction.append("accept-clock", {"jump": 1})
    ledger.close()
    used.check()


CHANGES = ("mkdir", "rename", "link", "unlink", "fsync", "fchmod", "chmod", "rmdir")


def killed_at(number: int, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Work in a child that is killed before its nth change; return whether it came that far."""
    child = os.fork()
    if child == 0:
        left = number
        real = {name: getattr(os, name) for name in CHANGES}

        def counting(name: str) -> Callable[..., object]:
            def count(*arguments: object, **more: object) -> object:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real[name](*arguments, **more)

            return count

        for name in CHANGES:
            monkeypatch.setattr(os, name, counting(name))
        try:
            work()
        except BaseException:  # noqa: BLE001 - no code of this process may continue
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return status != 0


@pytest.mark.deep
@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_whenever_it_is_killed_a_backup_is_whole_or_not_there(
    used: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place, number = tmp_path / "out" / name, 1
    place.parent.mkdir()
    used.close()
    while killed_at(number, lambda: back_up(used, place, verify=False), monkeypatch):
        there = place.exists()
        if there:
            restore(place, tmp_path / "again", keep=True)
            shutil.rmtree(tmp_path / "again")
        back_up(used, place.parent / "next", verify=False)
        # An empty folder may belong to another process that has just started.
        left = [each for each in names(place.parent) if each.startswith(".")]
        assert not any(names(place.parent / each) for each in left)
        assert set(names(place.parent)) - set(left) == {"next", *([name] if there else [])}
        shutil.rmtree(place.parent)
        place.parent.mkdir()
        number += 3
    assert number > 12
    used.reopen()
    used.check()


@pytest.mark.deep
def test_whenever_it_is_killed_there_is_the_old_ledger_or_the_restored_one(
    used: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(used, tmp_path / "backup")
    used.issue()
    used.close()
    place, number = tmp_path / "places" / "ledger", 1
    shutil.copytree(used.path, place)

    def again() -> None:
        restore(tmp_path / "backup", place, replace=True)

    while killed_at(number, again, monkeypatch):
        with World(place, now=int(used.clock())) as other:
            other.check()
        aside = [each for each in place.parent.iterdir() if ".replaced-" in each.name]
        assert all(folder.exists(str(each)) for each in aside)
        for each in aside:
            shutil.rmtree(each)
        again()
        assert not any(names(place.parent / each) for each in names(place.parent) if each.startswith("."))
        shutil.rmtree(place.parent)
        shutil.copytree(used.path, place)
        number += 3
    assert number > 12
    with World(place, now=int(used.clock())) as other:
        assert "ledger-restore" in [event["op"] for event in other.events()]


def test_without_room_there_is_no_backup_and_the_ledger_goes_on(used: World, tmp_path: Path) -> None:
    used.close()
    with tmpfs(tmp_path / "full", "size=200k") as full:
        for name in ("backup", "backup.tar"):
            with pytest.raises(OutputError, match="no space left"):
                back_up(used, full / name)
        assert names(full) == []
    made = back_up(used, tmp_path / "backup")
    # There is room for the database, but not for later writes to it.
    with tmpfs(tmp_path / "small", f"size={(made.size >> 10) + 24}k") as small:
        with pytest.raises(StorageError):
            restore(Path(made.place), small / "ledger", keep=True)
        assert names(small) == []
    used.reopen()
    used.check()


def test_two_at_once_make_one(used: World, tmp_path: Path) -> None:
    done: list[object] = []

    def work() -> None:
        try:
            done.append(back_up(used, tmp_path / "out" / "backup", verify=False))
        except (UsageError, OutputError) as error:
            done.append(error)

    (tmp_path / "out").mkdir()
    both = [Thread(target=work) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [isinstance(one, MadeBackup) for one in done].count(True) == 1
    assert names(tmp_path / "out") == ["backup"]
    assert restore(tmp_path / "out" / "backup", tmp_path / "again").manifest.events == used.head().seq


def test_under_any_umask_it_is_for_its_owner_alone(used: World, tmp_path: Path) -> None:
    for mask in (0o000, 0o777):
        before = os.umask(mask)
        try:
            back_up(used, tmp_path / f"backup{mask}", keys=True)
            back_up(used, tmp_path / f"backup{mask}.tar")
            restore(tmp_path / f"backup{mask}", tmp_path / f"again{mask}", keep=True)
        finally:
            os.umask(before)
        for name in ("backup", "again"):
            place = tmp_path / f"{name}{mask}"
            assert place.stat().st_mode & 0o777 == 0o700
            assert set(modes(place).values()) == {0o600, 0o700}
        assert (tmp_path / f"backup{mask}.tar").stat().st_mode & 0o777 == 0o600


def test_what_was_adopted_lives_whatever_a_backup_says(used: World, tmp_path: Path) -> None:
    adopt(used)
    back_up(used, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "again")
    with World(tmp_path / "again", now=int(used.clock())) as other:
        assert [secret.name for secret in listed(other)] == ["github-ci"]
        with other.ledger.read() as snapshot:
            assert [
                task.name for task, _, live in TaskStore(snapshot).find_tasks(None, None, 99) if live
            ] == ["adopted/github-ci"]
        other.check()


def test_damage_in_an_index_alone_is_gone_once_it_is_restored(used: World, tmp_path: Path) -> None:
    made = used.issue()
    # Damage like flipped bits in index pages: there is an entry for each row, but a wrong one.
    for wrong, right in (("(jti)", "(substr(jti, 2))"), ("(substr(jti, 2))", "(jti)")):
        db = sqlite3.connect(used.path / folder.DATABASE, isolation_level=None)
        db.execute("PRAGMA writable_schema = ON")
        changed = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = 'credential_jti'"
        db.execute(changed, (wrong, right))
        db.close()
        if right != "(jti)":
            db = sqlite3.connect(used.path / folder.DATABASE, isolation_level=None)
            db.execute("REINDEX credential_jti")
            db.close()
    used.reopen()
    assert used.ledger.condition().damage()
    back_up(used, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "again", keep=True)
    with World(tmp_path / "again", now=int(used.clock())) as other:
        assert other.ledger.condition().damage() == []
        assert other.verify(made.token).jti == made.jti
