"""A token at a path: complete at any time, protected from other users, and deleted in the end."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.capabilities.run.token_place import TokenPlace, open_place
from jitid.errors import IntegrityError, OutputError, UsageError
from tests.real import need, tmpfs


@pytest.fixture(params=["memory", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TokenPlace]:
    """Return a place of each kind."""
    made = open_place(None if request.param == "memory" else str(tmp_path / "private"))
    yield made
    made.close()


def test_the_path_gives_the_latest_token(place: TokenPlace) -> None:
    for token in ("first", "second, which is longer", "3rd"):
        place.put(token)
        assert Path(place.path).read_text() == f"{token}\n"


def test_another_process_reads_it_after_closing_what_it_inherited(place: TokenPlace) -> None:
    place.put("token")
    script = "import os, sys; os.closerange(3, 99); print(open(sys.argv[1]).read(), end='')"
    done = subprocess.run([sys.executable, "-c", script, place.path], capture_output=True, text=True)
    assert done.stdout == "token\n"


@pytest.mark.deep
def test_a_reader_never_meets_a_part(place: TokenPlace) -> None:
    """The token is read and replaced at full speed. Each reading is one of the complete tokens."""
    tokens = {letter * size + "\n" for letter, size in (("a", 10), ("b", 5_000), ("c", 700))}
    place.put("a" * 10)
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(Path(place.path).read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1_000_000):
        if number > 300 and len(seen) > 1:
            break
        for token in tokens:
            place.put(token.rstrip("\n"))
    done.set()
    reader.join()
    assert seen <= tokens
    assert len(seen) > 1


def test_nobody_changes_a_token_in_memory() -> None:
    place = open_place(None)
    place.put("token")
    with pytest.raises(PermissionError):
        Path(place.path).write_text("another")
    descriptor = os.open(place.path, os.O_RDONLY)
    assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    assert stat.S_IMODE(os.fstat(descriptor).st_mode) == 0o400
    os.close(descriptor)
    assert Path(place.path).read_text() == "token\n"
    place.close()


def test_a_token_in_memory_is_not_inherited() -> None:
    place = open_place(None)
    place.put("token")
    number = place.path.rpartition("/")[2]
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.fstat({number})"], capture_output=True, close_fds=False
    )
    assert b"Bad file descriptor" in done.stderr
    place.close()


def test_a_folder_is_made_for_its_owner_and_left_without_the_token(tmp_path: Path) -> None:
    place = open_place(str(tmp_path / "new"))
    place.put("token")
    assert Path(place.path) == tmp_path / "new" / "token"
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(place.path).stat().st_mode) == 0o600
    place.close()
    assert not list((tmp_path / "new").iterdir())


def test_a_folder_belongs_to_one_command_at_a_time(tmp_path: Path) -> None:
    first = open_place(str(tmp_path / "shared"))
    with pytest.raises(UsageError, match="a running command"):
        open_place(str(tmp_path / "shared"))
    first.close()
    open_place(str(tmp_path / "shared")).close()


def test_a_token_that_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "left").mkdir(mode=0o700)
    (tmp_path / "left" / "token").write_text("old\n")
    place = open_place(str(tmp_path / "left"))
    place.put("new")
    assert Path(place.path).read_text() == "new\n"
    place.close()


def test_a_run_that_never_began_leaves_what_an_earlier_one_was_to_keep(tmp_path: Path) -> None:
    kept = open_place(str(tmp_path / "kept"))
    kept.put("token")
    kept.close(keep=True)
    open_place(str(tmp_path / "kept")).close()
    assert (tmp_path / "kept" / "token").read_text() == "token\n"


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose").chmod(0o777)
    with pytest.raises(IntegrityError, match="other users may write"):
        open_place(str(tmp_path / "loose"))


@pytest.mark.parametrize("name", ["file", "missing/inner", "nul\0"])
def test_what_is_no_folder_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot use the folder"):
        open_place(str(tmp_path / name))


def test_where_there_is_no_room_the_old_token_stays(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "size=64k,mode=700") as folder:
        place = open_place(str(folder))
        place.put("old")
        with pytest.raises(OSError, match="No space"):
            (folder / "filler").write_bytes(bytes(1 << 20))
        with pytest.raises(OutputError, match="no space"):
            place.put("new")
        assert Path(place.path).read_text() == "old\n"
        place.close()


def test_without_proc_it_is_a_file_in_a_private_folder(tmp_path: Path) -> None:
    script = (
        "import os; from jitid.capabilities.run.token_place import open_place; p = open_place(None); p.put('token');"
        "print(p.path, oct(os.stat(os.path.dirname(p.path)).st_mode), open(p.path).read().strip()); p.close();"
        "print(os.listdir(os.environ['XDG_RUNTIME_DIR']))"
    )
    hidden = [need("unshare"), "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    done = subprocess.run(
        [*hidden, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    place, mode, token = done.stdout.splitlines()[0].split()
    assert place.startswith(f"{tmp_path}/jitid-"), done.stderr
    assert (mode, token) == ("0o40700", "token")
    assert done.stdout.splitlines()[1] == "[]"
