"""What a git repository has: its objects, each once, listed in files that several processes share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from subprocess import PIPE, Popen
from typing import IO, NamedTuple
from zlib import crc32

from jitid.capabilities.scan.git_repository import Repository
from jitid.capabilities.scan.item import ScanTally
from jitid.values.text import safe

_SHARES = 16
_WORTH_SHARING = 4 << 20
_WORTH_MORE = 64 << 20
"""From how many bytes of objects on two processes share them, and more take turns."""
_PIECE = 1 << 16
_COMPLAINTS = 20
_MOST_MEMORY = 8 << 30
"""How many bytes git may take to remember what it has seen: less than a hundred for each object."""
_MOST_ENDS = 1_000
_LONGEST_PATH = 4_096
"""Of a path that has more bytes the end is kept, which names the file."""
_MOST_PATHS = 1 << 30
"""So many bytes of paths are kept in a file; names of folders may be long, and made of nothing."""
_KINDS = frozenset({b"blob", b"commit", b"tag"})
_FORM = "--batch-check=%(objecttype) %(objectname) %(objectsize) %(rest)"

DAMAGED = "objects that git cannot read"
MISSING = "objects that are missing or damaged here"
SHALLOW = "commits whose history this shallow clone does not have"
BROKEN_REF = "refs that lead to nothing"
INDEX = "what is staged, since the index is damaged"
BROKEN = "what git complains of"
SUBMODULES = "submodules, which are repositories of their own"


class ObjectShare(NamedTuple):
    """A part of the objects, for one process."""

    ids: IO[bytes]
    """A file with their ids, a line each, all of one width."""
    number: int
    """How many there are."""


class ObjectListing(NamedTuple):
    """The objects that are to be searched."""

    shares: Sequence[ObjectShare]
    paths: IO[bytes]
    """A file with a line for each: its id, its type, and the first path that leads to it, if one does."""
    number: int
    """How many there are."""
    size: int
    """How many bytes they have in all."""

    def close(self) -> None:
        """Let the files go."""
        for file in (self.paths, *(share.ids for share in self.shares)):
            file.close()


class ObjectSelection(NamedTuple):
    """Which objects of a repository are meant."""

    ids: Sequence[str] = ()
    """The ends of ranges, as `Repository.resolved` has them; nothing for all that any ref leads to."""
    unreachable: bool = False
    """Those too that no ref leads to."""


def list_objects(repository: Repository, selection: ObjectSelection, tally: ScanTally) -> ObjectListing:
    """List the blobs, commits and annotated tags, each once; what is missing is told to the tally.

    Versions of one file are in one share: git keeps them as differences from each other.
    """
    buckets = [_file() for _ in range(_SHARES)]
    counts = [0] * _SHARES
    paths = _file()
    size = kept = 0
    shallow = _shallow(repository)
    for line in _listed(repository, selection, tally):
        kind, _, rest = line.partition(b" ")
        if kind == b"tree":
            continue
        if kind not in _KINDS:
            # The id, and that it is missing: a path may well say that too, but behind a type.
            oid = kind.removeprefix(b"?")
            tally.miss(MISSING if oid.strip(b"0") else BROKEN_REF, oid.decode("ascii", "replace"))
            continue
        oid, _, rest = rest.partition(b" ")
        length, _, path = rest.partition(b" ")
        if kind == b"commit" and oid in shallow:
            tally.miss(SHALLOW, oid.decode("ascii"))
        elif path == b".gitmodules" and SUBMODULES not in tally.passed:
            tally.pass_over(SUBMODULES)
        size += int(length)
        number = crc32(path or oid) % _SHARES
        counts[number] += 1
        buckets[number].write(oid + b"\n")
        kept += paths.write(b"%b %b %b\n" % (oid, kind, path[-_LONGEST_PATH:] if kept < _MOST_PATHS else b""))
    paths.flush()
    many = 1 if size < _WORTH_SHARING else 2 if size < _WORTH_MORE else _SHARES
    shares = [_joined(buckets[number::many], counts[number::many]) for number in range(many)]
    return ObjectListing(shares, paths, sum(counts), size)


def _file() -> IO[bytes]:
    """Return a file without a name, which is gone when nobody has it open any more."""
    return tempfile.TemporaryFile()


def _joined(files: Sequence[IO[bytes]], counts: Sequence[int]) -> ObjectShare:
    first, *others = files
    for other in others:
        other.seek(0)
        while piece := other.read(_PIECE):
            first.write(piece)
        other.close()
    first.flush()
    return ObjectShare(first, sum(counts))


def _shallow(repository: Repository) -> frozenset[bytes]:
    """Return the commits whose parents are left out of the clone."""
    if not repository.shallow:
        return frozenset()
    try:
        with open(os.path.join(repository.common, "shallow"), "rb") as file:
            return frozenset(file.read().split())
    except OSError:
        return frozenset()


def _listed(repository: Repository, selection: ObjectSelection, tally: ScanTally) -> Iterator[bytes]:
    """Yield lines of git: type, id, size and path of an object; or an id and `missing`."""
    if selection.unreachable:
        with _walk(repository, selection, PIPE, tally) as walk:
            yield from (line + b" missing" for line in lines(output(walk)) if line.startswith(b"?"))
            walk.wait()
        yield from _checked(repository, selection, tally, every=True)
        return
    status = yield from _checked(repository, selection, tally)
    if status > 0 and not selection.ids:
        # Git gives up where a tree or a commit is damaged. What hangs behind it is found among all that there is, with
        # what was listed before once more.
        yield from _checked(repository, selection, tally, every=True)


def _checked(
    repository: Repository, selection: ObjectSelection, tally: ScanTally, *, every: bool = False
) -> Generator[bytes, None, int]:
    """Yield the lines of one walk, and return the status of git that went it."""
    answered = 0
    with _walk(repository, selection, PIPE, tally, every=every) as walk:
        with repository.running("cat-file", _FORM, "--buffer", stdin=output(walk)) as check:
            # Nobody but that reads it: should it end, the other one must notice.
            output(walk).close()
            for line in lines(output(check)):
                answered += 1
                yield line
            ended = check.wait()
        if not ended:
            walk.wait()
    if not ended:
        return walk.returncode
    return (yield from _after_damage(repository, selection, tally, answered, every=every))


def _after_damage(
    repository: Repository, selection: ObjectSelection, tally: ScanTally, answered: int, *, every: bool
) -> Generator[bytes, None, int]:
    """Yield what is left when git has ended at an object that it cannot even name the type of."""
    with _file() as names:
        with _walk(repository, selection, names, tally, every=every) as walk:
            walk.wait()
        at = _behind(names, 0, answered)
        for _ in range(_MOST_ENDS):
            damaged = os.pread(names.fileno(), repository.width, at)
            if not damaged:
                return walk.returncode
            tally.miss(DAMAGED, damaged.decode("ascii", "replace"))
            at = _behind(names, at, 1)
            os.lseek(names.fileno(), at, os.SEEK_SET)
            answered = 0
            with repository.running("cat-file", _FORM, "--buffer", stdin=names) as check:
                for line in lines(output(check)):
                    answered += 1
                    yield line
                if not check.wait():
                    return walk.returncode
            at = _behind(names, at, answered)
        tally.miss(DAMAGED, "and others, for there are too many")
    return walk.returncode


def _behind(file: IO[bytes], at: int, number: int) -> int:
    """Return where so many lines of a file end. What is read elsewhere moves it for whoever else has it open."""
    while number and (piece := os.pread(file.fileno(), _PIECE, at)):
        there = piece.count(b"\n")
        if there < number:
            number -= there
            at += len(piece)
            continue
        end = 0
        for _ in range(number):
            end = piece.index(b"\n", end) + 1
        return at + end
    return at


@contextmanager
def _walk(
    repository: Repository,
    selection: ObjectSelection,
    stdout: int | IO[bytes],
    tally: ScanTally,
    *,
    every: bool = False,
) -> Iterator[Popen[bytes]]:
    """Let git name objects: what refs lead to, or `every` one that there is. What it complains of is told."""
    with ends(repository, selection) as given, _file() as complaints:
        # The index belongs to no range. What git cannot find it tells with a question mark, and goes on.
        start = () if selection.ids else ("--all", *_index(repository, tally))
        words: tuple[str, ...] = ("rev-list", "--objects", "--missing=print", *start, "--stdin")
        if every:
            words = (
                "cat-file",
                "--batch-all-objects",
                "--unordered",
                "--buffer",
                "--batch-check=%(objectname)",
            )
        with repository.running(
            *words, stdin=given, stdout=stdout, stderr=complaints, memory=_MOST_MEMORY
        ) as process:
            yield process
            status = process.poll()
        if status is None or status < 0:
            # It was of no use to the end.
            return
        complaints.seek(0)
        said = complaints.read(_PIECE).decode("utf-8", "replace").strip()
        for line in said.split("\n")[:_COMPLAINTS]:
            if line:
                tally.miss(BROKEN, safe(line)[:300])
        if status and not said:
            tally.miss(BROKEN, f"git {words[0]} ended with status {status}")


def _index(repository: Repository, tally: ScanTally) -> Sequence[str]:
    """Return the words for what is staged; one that is damaged would hide all the rest."""
    if repository.bare:
        return ()
    answer = repository.ask("ls-files", "--", "jitid reads the index")
    if not answer.status:
        return ("--indexed-objects",)
    tally.missed[INDEX] = 1
    tally.named[INDEX] = [safe(answer.error.strip())[:300]]
    return ()


def ends(repository: Repository, selection: ObjectSelection) -> IO[bytes]:
    """Return a file for the standard input of `git rev-list`: where it is to begin, besides the refs, and to end."""
    given = _file()
    given.write("".join(f"{one}\n" for one in selection.ids or _stashed(repository)).encode("ascii"))
    given.seek(0)
    return given


def _stashed(repository: Repository) -> list[str]:
    """Return what is stashed: all but the last of it only a log remembers."""
    answer = repository.ask("rev-list", "--walk-reflogs", "--ignore-missing", "refs/stash", "--")
    return answer.output.decode("ascii", "replace").split() if not answer.status else []


def output(process: Popen[bytes]) -> IO[bytes]:
    """Return where a git process writes."""
    assert process.stdout is not None
    return process.stdout


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream without their ends; of a long one the beginning."""
    while line := stream.readline(_PIECE):
        whole = line.endswith(b"\n")
        yield line[:-1] if whole else line
        while not whole and (more := stream.readline(_PIECE)):
            whole = more.endswith(b"\n")


def records(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what a stream has before each of its NULs; of what is long the beginning."""
    rest = b""
    while piece := stream.read1(_PIECE):  # type: ignore[attr-defined]
        *whole, rest = (rest + piece).split(b"\0")
        yield from whole
        rest = rest[:_PIECE]
