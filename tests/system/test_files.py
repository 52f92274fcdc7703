"""Atomic writes in pieces: a file has its old or its new content, never a part."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jitid.errors import OutputError
from jitid.system.files import FileReplacement, write_private, write_public, writing_private, writing_public
from tests.real import need, surroundings, tmpfs

WRITERS = [(writing_private, 0o600), (writing_public, 0o644)]
PIECE = "x" * 70_000


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
@pytest.mark.parametrize(("writing", "mode"), WRITERS)
def test_the_mode_is_the_same_under_any_umask(
    writing: Callable[[str], FileReplacement], mode: int, umask: int, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    before = os.umask(umask)
    try:
        with writing(str(path)) as file:
            assert [stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()] == [mode]
            file.write("one ")
            file.write("two\ud800")
    finally:
        os.umask(before)
    assert path.read_text() == "one two\\ud800"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_until_the_block_has_ended_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    with writing_private(str(path)) as file:
        for _ in range(3):
            file.write(PIECE)
            assert path.read_text() == "old"
    assert path.read_text() == PIECE * 3


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [Stop, ValueError, OSError])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(
    error: type[BaseException], tmp_path: Path
) -> None:
    """An exception of the block is not reported as a failure to write."""
    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(error), writing_public(str(path)) as file:
        file.write(PIECE)
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "size=256k") as folder:
        path = folder / "out"
        path.write_text("old")
        with pytest.raises(OutputError, match="no space left"), writing_private(str(path)) as file:
            for _ in range(10):
                file.write(PIECE)
        assert path.read_text() == "old"
        assert list(folder.iterdir()) == [path]


def test_a_link_is_not_followed_and_only_replaced_on_purpose(tmp_path: Path) -> None:
    path, real = tmp_path / "out", tmp_path / "real"
    real.write_text("old")
    path.symlink_to(real)
    with pytest.raises(OutputError, match="is a symbolic link"):
        write_private(str(path), b"new")
    assert (path.is_symlink(), real.read_text()) == (True, "old")
    write_public(str(path), b"new", replace_link=True)
    assert (path.is_symlink(), path.read_text(), real.read_text()) == (False, "new", "old")


def test_a_descriptor_gets_each_piece_as_it_comes() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    got: list[bytes] = []
    with os.fdopen(reading, "rb") as pipe:
        reader = threading.Thread(target=lambda: got.append(pipe.read()))
        reader.start()
        with writing_private(f"/dev/fd/{writing}") as file:
            file.write(PIECE)
            file.write("end")
        os.close(writing)
        reader.join(30)
    assert got == [(PIECE + "end").encode()]


def test_a_full_device_is_told() -> None:
    with pytest.raises(OutputError, match="no space left"), writing_private("/dev/full") as file:
        file.write("x")
    with pytest.raises(OutputError, match="no space left"):
        write_private("/dev/full", b"x")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file"), writing_private(str(tmp_path / "no" / "out")):
        pytest.fail("the block has begun")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_by_its_name_is_written_even_where_it_is_a_file(name: str, tmp_path: Path) -> None:
    """The link in /dev stays, and so does earlier content of the file."""
    path = tmp_path / "out"
    path.write_text("before\n")
    code = "import sys; from jitid.system.files import write_private; write_private(sys.argv[1], b'data\\n')"
    with path.open("ab") as out:
        subprocess.run([sys.executable, "-c", code, name], stdout=out, check=True, env=surroundings(tmp_path))
    assert path.read_text() == "before\ndata\n"
    assert not Path(name).parent.joinpath("out").exists()
    assert os.path.islink("/dev/stdout")  # noqa: PTH114 - the link itself, not its target


@pytest.mark.parametrize("call", ["openat", "fchmod", "write", "fsync", "renameat"])
def test_killed_at_any_system_call_it_leaves_the_old_file_or_the_new_one(call: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    code = (
        "import sys; from jitid.system.files import writing_private\n"
        "with writing_private(sys.argv[1]) as file:\n"
        "    for _ in range(3): file.write('n' * 70000)\n"
    )
    line = [sys.executable, "-c", code, str(path)]
    trace = [need("strace"), "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", f"trace={call}"]
    environment = surroundings(tmp_path)
    subprocess.run([*trace, *line], env=environment, check=True)
    calls = (tmp_path / "trace").read_text().splitlines()
    # The interpreter first opens its own files.
    first = next(number for number, each in enumerate(calls, 1) if call != "openat" or '".out.' in each)
    for number in range(first, len(calls) + 1):
        path.write_text("old")
        inject = ["-e", f"inject={call}:signal=KILL:when={number}"]
        done = subprocess.run([*trace, *inject, *line], env=environment)
        assert done.returncode == -signal.SIGKILL
        assert path.read_text() in ("old", "n" * 210_000)
