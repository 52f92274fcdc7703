"""A secret is written only to a place that the caller owns; the place is checked before issue (promise 19)."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jitid.cli import main
from jitid.cli.line import by_flag
from jitid.cli.verbs import all_verbs
from jitid.errors import OutputError, UsageError
from jitid.ledger.sqlite import folder
from jitid.system.files import writing_private
from jitid.system.output_place import check_output
from tests.real import Shell, need_root, other_user, reachable

NOBODY = 65534
OLD = b"what another user had"

LINES = {
    "issue": "issue --task NEW --delegator alice --out PLACE",
    "renew": "renew --out PLACE",
    "scan": "scan . --out PLACE",
    "access grant": "access grant dora --out PLACE",
    "access rotate": "access rotate ACCESS --out PLACE",
    "sweep": "sweep --out PLACE",
    "report": "report --out PLACE",
    "audit head": "audit head --out PLACE",
    "audit export": "audit export --out PLACE",
    "keys export jwks": "keys export jwks --out PLACE",
    "keys export ssh": "keys export ssh --out PLACE",
    "keys export krl": "keys export krl --out PLACE",
    "keys ca request": "keys ca request --out PLACE",
    "keys export bundle": "keys export bundle --out PLACE",
    "keys export crl": "keys export crl --out PLACE",
    "helper pgpass": "helper pgpass --task NEW --delegator alice --out PLACE",
}
"""A line for each verb that has `--out`."""

OTHERS = {
    "issue of a certificate": "issue --task NEW --delegator alice --kind ssh-cert --out KEY",
    "renew in place": "renew --token-file PLACE",
    "run with a file": "run --task NEW --delegator alice --file FOLDER -- true",
    "run with a file for each audience": (
        "run --task NEW --delegator alice --audience https://a.example --file FOLDER -- true"
    ),
    "bootstrap": "access bootstrap PLACE",
    "sweep of a head": "sweep --head-out PLACE",
    "sweep of a baseline": "sweep --baseline PLACE --update-baseline",
}
"""A line for each other option that names an output file."""


def _foreign(path: Path) -> None:
    path.write_bytes(OLD)
    os.chown(path, NOBODY, NOBODY)


def _foreign_and_open(path: Path) -> None:
    _foreign(path)
    path.chmod(0o666)


def _hard_link(path: Path) -> None:
    _foreign(path.with_name("real"))
    path.hardlink_to(path.with_name("real"))


def _link_to_foreign(path: Path) -> None:
    _foreign(path.with_name("real"))
    path.symlink_to("real")


def _link_to_own(path: Path) -> None:
    path.with_name("real").write_bytes(OLD)
    path.symlink_to("real")


def _link_to_nothing(path: Path) -> None:
    path.symlink_to("real")


def _own_pipe(path: Path) -> None:
    os.mkfifo(path)


def _foreign_pipe(path: Path) -> None:
    os.mkfifo(path, 0o666)
    os.chown(path, NOBODY, NOBODY)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        folder = Path.cwd()
        os.chdir(path.parent)
        bound.bind(path.name)
        os.chdir(folder)


def _disk(path: Path) -> None:
    # The number of a device that does not exist.
    os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 255))


def _foreign_terminal(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(136, 255))
    os.chown(path, NOBODY, NOBODY)


REFUSED = r"not a regular file|belongs to user"
OBSTACLES: dict[str, Callable[[Path], None]] = {
    one.__name__[1:].replace("_", " "): one
    for one in (
        _foreign,
        _foreign_and_open,
        _hard_link,
        _link_to_foreign,
        _link_to_own,
        _link_to_nothing,
        _own_pipe,
        _foreign_pipe,
        _socket,
        _disk,
        _foreign_terminal,
    )
}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell with a ledger, a token and an access credential; its policy permits every kind."""
    need_root()
    made = Shell(tmp_path_factory.mktemp("home"))
    made.permit_kinds()
    made.good("issue", "--task", "FIRST", "--delegator", "alice", "--out", "token")
    (made.home / "access").write_text(made.good("access", "grant", "carol", "--field", "id"))
    return made


@pytest.fixture
def place(shell: Shell) -> Iterator[Path]:
    """Return a path in a new, empty folder."""
    folder = shell.home / "place"
    folder.mkdir(mode=0o700)
    yield folder / "token"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _seen(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return the files in a folder: type and mode, owner, inode number, content."""
    found = {}
    for path in sorted(folder.iterdir()):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[path.name] = status.st_mode, status.st_uid, status.st_ino, content
    return found


def _filled(line: str, shell: Shell, place: Path) -> list[str]:
    words = {
        "PLACE": str(place),
        "KEY": str(place.with_name("token-cert.pub"))[: -len("-cert.pub")],
        "FOLDER": str(place.parent),
        "ACCESS": (shell.home / "access").read_text().strip(),
    }
    return [words.get(word, word) for word in line.split()]


def test_each_verb_with_an_output_file_has_a_line() -> None:
    assert LINES.keys() == {verb for verb, command in all_verbs().items() if "out" in command.fields}
    # If the parameter of `--out` has another name than `out`, it is a folder or no file, or the verb itself checks it.
    assert {
        verb for verb, command in all_verbs().items() if "--out" in by_flag(command.fields)
    } - LINES.keys() == {"schedule systemd", "login"}


@pytest.mark.deep
@pytest.mark.parametrize("obstacle", OBSTACLES)
@pytest.mark.parametrize("verb", [*LINES, *OTHERS])
def test_nothing_is_issued_for_a_place_that_is_not_the_callers(
    verb: str,
    obstacle: str,
    shell: Shell,
    place: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The file is not read, written or given to another owner, and the ledger has no new event."""
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    OBSTACLES[obstacle](place.with_name("token-cert.pub") if verb == "issue of a certificate" else place)
    before, events = _seen(place.parent), _events(shell)
    status = main.run(_filled({**LINES, **OTHERS}[verb], shell, place))
    told = capfd.readouterr()
    assert status == (125 if verb.startswith("run") else 2), told.err
    assert "nothing was changed" in told.err or "nothing is written over it" in told.err
    assert told.out == ""
    assert _seen(place.parent) == before
    assert _events(shell) == events


def _events(shell: Shell) -> int:
    with closing(sqlite3.connect(shell.ledger / folder.DATABASE)) as database:
        ((count,),) = database.execute("SELECT count(*) FROM audit_event")
    return int(count)


def test_what_is_there_is_replaced_by_a_file_for_its_owner_alone(shell: Shell, place: Path) -> None:
    """The old mode does not matter; a second name of the old file keeps the old content."""
    place.write_bytes(OLD)
    place.chmod(0o666)
    other = place.with_name("other")
    other.hardlink_to(place)
    shell.good("issue", "--task", "OWN", "--delegator", "alice", "--out", str(place))
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert place.read_text().startswith("eyJ")
    assert other.read_bytes() == OLD


def test_a_user_writes_to_no_file_of_root(shell: Shell, tmp_path: Path) -> None:
    """The file belongs to another user and all may write to it, in a folder like /tmp that all may write to."""
    prefix = other_user()
    with reachable(tmp_path) as folder:
        folder.chmod(0o1777)
        home = folder / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        theirs = Shell(home)
        trap = folder / "trap"
        trap.write_bytes(OLD)
        trap.chmod(0o666)
        line = ("issue", "--task", "T", "--delegator", "alice", "--out")
        done = theirs.run(*line, str(trap), before=prefix)
        assert done.returncode == 2, done.stderr
        assert "belongs to user `root`, not to you; nothing was changed" in done.stderr
        assert trap.read_bytes() == OLD
        assert not theirs.ledger.exists()
        done = theirs.run(*line, str(folder / "own"), before=prefix)
        assert done.returncode == 0, done.stderr
        assert (folder / "own").stat().st_uid == NOBODY


def test_a_folder_that_cannot_be_written_is_seen_before(shell: Shell, tmp_path: Path) -> None:
    prefix = other_user()
    with reachable(tmp_path) as folder:
        home = folder / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        theirs = Shell(home)
        done = theirs.run(
            "issue", "--task", "T", "--delegator", "alice", "--out", str(folder / "no"), before=prefix
        )
        assert done.returncode == 74, done.stderr
        assert "permission denied; nothing was changed" in done.stderr
        assert not theirs.ledger.exists()


@pytest.mark.parametrize("name", ["/dev/fd/7", "/proc/self/fd/7", "/dev/fd/../fd/7"])
def test_a_descriptor_that_the_caller_opened_is_written_to(name: str, shell: Shell, place: Path) -> None:
    """This includes a pipe: the caller who opened it chose its reader."""
    line = ("issue", "--task", "FD", "--delegator", "alice", "--out", name)
    done = shell.run(*line, before=["sh", "-c", '"$@" 7>&1 | cat', "sh"])
    assert done.stdout.startswith("eyJ"), done.stderr
    # Text that was in the file before stays before the token.
    done = shell.run(
        *line, before=["sh", "-c", f'exec 7>{place}; echo before >&7; "$@"; echo after >&7', "sh"]
    )
    assert done.stdout == ""
    before, token, after = place.read_text().split()
    assert (before, after) == ("before", "after")
    assert token.startswith("eyJ")


@pytest.mark.parametrize("how", ["", "7<token", "7>&-"])
def test_a_descriptor_that_the_caller_did_not_open_for_writing_is_refused(how: str, shell: Shell) -> None:
    """Such a descriptor may be one of the ledger's files, which this process opens later."""
    events = _events(shell)
    line = ("issue", "--task", "FD", "--delegator", "alice", "--out", "/dev/fd/7")
    done = shell.run(*line, before=["sh", "-c", f'"$@" {how}', "sh"])
    assert done.returncode == 2, done.stderr
    assert "nothing was changed" in done.stderr
    assert _events(shell) == events


def test_a_descriptor_of_this_process_itself_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "ledger").open("wb") as file, pytest.raises(UsageError, match="not open for writing"):
        check_output(f"/dev/fd/{file.fileno()}")


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_a_device_that_nobody_reads_may_be_named(device: str, shell: Shell) -> None:
    """The token is discarded, as the caller chose; the device stays."""
    events = _events(shell)
    done = shell.run("issue", "--task", "DEVICE", "--delegator", "alice", "--out", device)
    assert done.returncode == (0 if device == "/dev/null" else 74), done.stderr
    assert stat.S_ISCHR(os.lstat(device).st_mode)
    assert _events(shell) == events + (1 if device == "/dev/null" else 2)


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_comes_between_the_check_and_the_write_gets_nothing(obstacle: str, place: Path) -> None:
    """The obstacle stays unchanged and gets no secret, before the file is opened and before it gets its name."""
    need_root()
    check_output(str(place))
    OBSTACLES[obstacle](place)
    before = _seen(place.parent)
    with pytest.raises(OutputError, match=REFUSED), writing_private(str(place)):
        pytest.fail("the file was opened")
    assert _seen(place.parent) == before
    for path in place.parent.iterdir():
        path.unlink()
    with pytest.raises(OutputError, match=REFUSED), writing_private(str(place)) as file:
        file.write("secret")
        OBSTACLES[obstacle](place)
        before = {name: seen for name, seen in _seen(place.parent).items() if not name.startswith(".")}
    assert _seen(place.parent) == before


def test_a_folder_that_is_exchanged_meanwhile_does_not_get_the_file(tmp_path: Path) -> None:
    """The file is written in the folder that was checked, even if that was moved."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with writing_private(str(folder / "token")) as file:
        file.write("secret")
        folder.rename(tmp_path / "moved")
        folder.mkdir()
    assert list(folder.iterdir()) == []
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["token"]


def _note(shell: Shell, *words: str, stdin: str = "") -> str:
    done = shell.run(*words, "--out", "replaced", stdin=stdin)
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stderr.splitlines() if "`replaced` held" in line]
    assert len(found) <= 1
    return "".join(found)


@pytest.mark.deep
@pytest.mark.parametrize("kind", ["jwt", "opaque", "x509-svid"])
def test_a_live_token_that_is_replaced_is_named(kind: str, shell: Shell) -> None:
    """The note has its id, its expiry and a working command that revokes it; never the token itself."""
    (shell.home / "replaced").unlink(missing_ok=True)
    line = ("issue", "--task", f"OVER-{kind}", "--delegator", "alice", "--kind")
    assert _note(shell, *line, kind) == ""
    old = (shell.home / "replaced").read_text()
    found = json.loads(shell.good("inspect", "replaced", "--format", "json"))
    note = _note(shell, *line, "opaque")
    assert f"held {found['jti']} (agent agent, task OVER-{kind}), which stays valid until 2" in note
    assert old.splitlines()[0] not in note
    command = note.rpartition("to revoke it: ")[2].split()
    assert command[:2] == ["jitid", "revoke"]
    assert shell.run("inspect", "--field", "active", stdin=old).stdout == "true\n"
    shell.good(*command[1:])
    assert shell.run("inspect", "--field", "active", stdin=old).stdout == "false\n"


@pytest.mark.deep
def test_only_what_is_still_valid_is_named(shell: Shell) -> None:
    """Not named: a revoked token, another ledger's token, another text, a long text, the predecessor of a renewal."""
    place, line = shell.home / "replaced", ("issue", "--task", "OVER", "--delegator", "alice")
    place.unlink(missing_ok=True)
    _note(shell, *line)
    shell.good("revoke", "--token-file", "replaced")
    assert _note(shell, *line) == ""
    assert _note(shell, *line, "-q") == ""
    assert _note(shell, *line) != ""
    token = place.read_text()
    assert _note(shell, "renew", stdin=token) == ""
    other = Shell(shell.home, shell.home / "another")
    foreign = other.good("issue", "--task", "T", "--delegator", "alice")
    for text in ("", "\n", "no token", foreign, "eyJ" * 10_000, token + "x" * 20_000):
        place.write_text(text)
        assert _note(shell, *line) == ""


def test_a_parent_that_is_replaced_by_its_child_ends_with_it(shell: Shell) -> None:
    (shell.home / "replaced").unlink(missing_ok=True)
    _note(shell, "issue", "--task", "OVER-PARENT", "--delegator", "alice")
    note = _note(shell, "issue", "--parent-file", "replaced")
    assert "to revoke it and the new token: jitid revoke jti_" in note
    assert shell.run("verify", "replaced").returncode == 0
    shell.good(*note.rpartition(": ")[2].split()[1:])
    assert shell.run("verify", "replaced").returncode == 8
