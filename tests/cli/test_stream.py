"""The search of a stream of any type and length gives the same result in one process and in several."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.scan.search_stream import CHUNK, StreamSearch
from jitid.errors import StorageError, UsageError
from jitid.search.find import Finds
from jitid.search.hidden import AFTER
from jitid.search.pasted import LONGEST
from jitid.values.ids import credential_id
from jitid.values.secret import fingerprint, new_opaque
from tests.search.test_find import JTI, OPAQUE, TOKEN, content, signed

WHAT = "the text"
Strings = dict[str, Counter[Any]]
ROOT = Path(__file__).parent.parent.parent
PRINT_FINDS = """
from jitid.capabilities.scan.search_stream import StreamSearch
with StreamSearch("-", "the text", 2) as search:
    print([list(batch.opaque.values()) for batch in search.finds() if len(batch)])
"""
LINE = (
    b'{"level":"info","job":"fetch","trace_id":"0123456789abcdef0123456789abcdef","msg":"nothing of ours"}\n'
)


def together(batches: Iterator[Finds]) -> Strings:
    """Return the merged contents of all batches, by name."""
    found: Strings = {}
    for batch in batches:
        for name, counts in content(batch).items():
            found.setdefault(name, Counter()).update(counts)
    return found


def log(size: int) -> tuple[bytes, Strings]:
    """Return a log of that size with jitid's strings, some across the edges of chunks, and those strings."""
    chance = random.Random(size)
    tokens = [new_opaque(chance.randbytes) for _ in range(40)]
    ids = [credential_id(number.to_bytes(16)) for number in range(40)]
    prints = [sha256(id_.encode()).hexdigest() for id_ in ids]
    strings = [TOKEN, *tokens, *ids, *prints]
    text = bytearray((LINE * (size // len(LINE) + 1))[:size])
    edges = [edge + shift for edge in range(CHUNK, size, CHUNK) for shift in (-20, -AFTER - 20, 330)]
    wanted = dict.fromkeys(edges[: len(strings)])
    while len(wanted) < len(strings):
        wanted[chance.randrange(0, size - 1_000)] = None
    kept: list[str] = []
    taken = 0
    for at, string in zip(sorted(wanted), strings, strict=False):
        if at < taken:
            continue
        piece = f" {string} ".encode()
        text[at : at + len(piece)] = piece
        taken = at + len(piece)
        kept.append(string)
    return bytes(text), {
        "signed": Counter(one for one in kept if one == TOKEN),
        "opaque": Counter(fingerprint(one) for one in kept if one in tokens),
        "ids": Counter(one for one in kept if one in ids),
        "prints": Counter(bytes.fromhex(one) for one in kept if one in prints),
    }


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Strings]:
    """Return a file of twelve chunks, and the strings in it."""
    path = tmp_path_factory.mktemp("log") / "log"
    text, expected = log(12 * CHUNK + 12_345)
    path.write_bytes(text)
    return path, expected


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_a_file_gives_the_same_whoever_searches_it(processes: int, file: tuple[Path, Strings]) -> None:
    path, expected = file
    with StreamSearch(str(path), WHAT, processes) as search:
        assert together(search.finds()) == expected


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("piece", [1_000, 100_003])
def test_a_pipe_gives_the_same_however_it_is_filled(
    processes: int, piece: int, file: tuple[Path, Strings], tmp_path: Path
) -> None:
    path, expected = file
    with (
        filling(tmp_path / "pipe", path, piece),
        StreamSearch(str(tmp_path / "pipe"), WHAT, processes) as search,
    ):
        assert together(search.finds()) == expected


@contextmanager
def filling(pipe: Path, source: Path, piece: int = 65_536) -> Iterator[None]:
    """Write a file into a new named pipe while the block runs."""
    os.mkfifo(pipe)
    with subprocess.Popen(
        ["dd", f"if={source}", f"of={pipe}", f"bs={piece}"], stderr=subprocess.DEVNULL
    ) as process:
        yield
        process.kill()


@pytest.mark.parametrize(
    "size",
    [LONGEST - 1, LONGEST, LONGEST + 1, LONGEST + 2, CHUNK, CHUNK + AFTER, CHUNK + AFTER + 352, 2 * CHUNK],
)
def test_the_last_string_of_a_text_of_any_length_is_found(size: int, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b" " * (size - len(JTI)) + JTI.encode())
    with StreamSearch(str(path), WHAT) as search:
        assert together(search.finds()) == {"ids": Counter([JTI])}


def test_nothing_is_found_in_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with StreamSearch(str(tmp_path / "log"), WHAT) as search:
        assert together(search.finds()) == {}


def test_a_file_is_searched_from_where_it_was_read_to(tmp_path: Path) -> None:
    """A shell's `read line` may have read the beginning."""
    size = 5 << 20
    (tmp_path / "log").write_bytes(f"{JTI}\n{OPAQUE}\n".encode() + LINE * (size // len(LINE)))
    script = f"read line; exec {sys.executable} -c {shlex.quote(PRINT_FINDS)}"
    with (tmp_path / "log").open("rb") as file:
        done = subprocess.run(["sh", "-c", script], stdin=file, capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[[1]]\n", "")


def test_a_helper_that_is_killed_is_no_silent_loss(file: tuple[Path, Strings], tmp_path: Path) -> None:
    """Its findings are unknown: the search fails without an answer."""
    with filling(tmp_path / "pipe", file[0]), StreamSearch(str(tmp_path / "pipe"), WHAT, 2) as search:
        ((pid, _),) = search._helpers
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(StorageError, match="was killed"):
            together(search.finds())


def test_helpers_end_with_the_block(file: tuple[Path, Strings], tmp_path: Path) -> None:
    reader = tmp_path / "pipe"
    with (
        filling(reader, file[0]),
        pytest.raises(ZeroDivisionError),
        StreamSearch(str(reader), WHAT, 3) as search,
    ):
        pids = [pid for pid, _ in search._helpers]
        raise ZeroDivisionError
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.deep
def test_very_many_strings_come_in_batches(tmp_path: Path) -> None:
    """Batches limit the number of strings in memory."""
    path = tmp_path / "log"
    path.write_text("\n".join(sha256(b"%d" % number).hexdigest() for number in range(230_000)))
    for processes in (1, 2):
        with StreamSearch(str(path), WHAT, processes) as search:
            sizes = [len(batch) for batch in search.finds()]
        assert sum(sizes) == 230_000
        assert max(sizes) < 220_000


def test_what_cannot_be_read_is_said_by_its_name(tmp_path: Path) -> None:
    for path in (str(tmp_path), str(tmp_path / "nothing"), "a\0b", "/proc/self/mem"):
        with (
            pytest.raises(UsageError, match="the text cannot be read from"),
            StreamSearch(path, WHAT) as search,
        ):
            together(search.finds())


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("processes", [1, 2])
def test_utf_16_of_any_length_is_searched(codec: str, processes: int, tmp_path: Path) -> None:
    """Windows writes UTF-16 with or without a byte order mark."""
    path = tmp_path / "log"
    text = LINE.decode() * 30_000
    path.write_bytes(f"{OPAQUE}\n{text}{TOKEN}\n{text}{JTI}".encode(codec))
    with StreamSearch(str(path), WHAT, processes) as search:
        assert together(search.finds()) == {
            "opaque": Counter([fingerprint(OPAQUE)]),
            "signed": Counter([TOKEN]),
            "ids": Counter([JTI]),
        }


def test_bytes_with_many_nuls_are_not_taken_for_utf_16(tmp_path: Path) -> None:
    """NUL bytes end strings."""
    path = tmp_path / "core"
    path.write_bytes(b"\0\0\0\1" * 20_000 + f"{JTI}\0abc\0".encode() + bytes(70_000))
    with StreamSearch(str(path), WHAT) as search:
        assert together(search.finds()) == {"ids": Counter([JTI])}


def test_many_long_tokens_come_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as file:
        for number in range(3_000):
            file.write(signed(credential_id(number.to_bytes(16)), purpose="p" * 9_000) + "\n")
    with StreamSearch(str(path), WHAT, 1) as search:
        batches = list(search.finds())
    assert sum(map(len, batches)) == 3_000
    assert max(batch.text_size() for batch in batches) < (1 << 24) + 2 * CHUNK


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\x1f\x8b\x08", "the text is compressed: zcat FILE | jitid trace"),
        (LINE * 700, "in a text of more than 64 KiB, only private keys in PEM are found"),
        (LINE, None),
        (b"", "the text is empty: is it the right file or pipe?"),
    ],
)
def test_why_something_may_be_there_all_the_same_is_said(
    text: bytes, said: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(text)
    with StreamSearch(str(path), WHAT) as search:
        assert search.caveat == said
