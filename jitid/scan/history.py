"""What a git repository has: its objects, each once, listed in files that several processes share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from subprocess import Popen
from typing import IO, NamedTuple
from zlib import crc32

from jitid.errors import StorageError
from jitid.scan.git import Repository
from jitid.scan.source import Tally
from jitid.text import safe

_SHARES = 16
_WORTH_SHARING = 4 << 20
_WORTH_MORE = 64 << 20
"""From how many bytes of objects on two processes share them, and more take turns."""
_PIECE = 1 << 16
_COMPLAINTS = 20

MISSING = "objects that are missing in this clone"
SHALLOW = "commits whose history this shallow clone does not have"
BROKEN_REF = "refs that lead to nothing"
BROKEN = "what git complains of"
SUBMODULES = "submodules, which are repositories of their own"


class Share(NamedTuple):
    """A part of the objects, for one process."""

    ids: IO[bytes]
    """A file with their ids, a line each, all of one width."""
    number: int
    """How many there are."""


class Listing(NamedTuple):
    """The objects that are to be searched."""

    shares: Sequence[Share]
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


class Selection(NamedTuple):
    """Which objects of a repository are meant."""

    ids: Sequence[str] = ()
    """The ends of ranges, as `Repository.resolved` has them; nothing for all that any ref leads to."""
    unreachable: bool = False
    """Those too that no ref leads to."""


def list_objects(repository: Repository, selection: Selection, tally: Tally) -> Listing:
    """List the blobs, commits and annotated tags, each once; what is missing is told to the tally.

    Versions of one file are in one share: git keeps them as differences from each other.

    Raises StorageError if git cannot list them.
    """
    buckets = [_file() for _ in range(_SHARES)]
    counts = [0] * _SHARES
    paths = _file()
    size = 0
    shallow = _shallow(repository)
    for line in _listed(repository, selection, tally):
        kind, _, rest = line.partition(b" ")
        if kind == b"tree":
            continue
        if line.endswith(b" missing"):
            oid = line[:-8].removeprefix(b"?")
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
        paths.write(b"%b %b %b\n" % (oid, kind, path))
    paths.flush()
    many = 1 if size < _WORTH_SHARING else 2 if size < _WORTH_MORE else _SHARES
    shares = [_joined(buckets[number::many], counts[number::many]) for number in range(many)]
    return Listing(shares, paths, sum(counts), size)


def _file() -> IO[bytes]:
    """Return a file without a name, which is gone when nobody has it open any more."""
    return tempfile.TemporaryFile()


def _joined(files: Sequence[IO[bytes]], counts: Sequence[int]) -> Share:
    first, *others = files
    for other in others:
        other.seek(0)
        while piece := other.read(_PIECE):
            first.write(piece)
        other.close()
    first.flush()
    return Share(first, sum(counts))


def _shallow(repository: Repository) -> frozenset[bytes]:
    """Return the commits whose parents are left out of the clone."""
    if not repository.shallow:
        return frozenset()
    try:
        with open(os.path.join(repository.common, "shallow"), "rb") as file:
            return frozenset(file.read().split())
    except OSError:
        return frozenset()


def _listed(repository: Repository, selection: Selection, tally: Tally) -> Iterator[bytes]:
    """Yield lines of git: type, id, size and path of an object; or an id and `missing`."""
    form = "--batch-check=%(objecttype) %(objectname) %(objectsize) %(rest)"
    with ends(repository, selection) as given, tempfile.TemporaryFile() as complaints:
        # The index belongs to no range. What git cannot find it tells with a question mark, and goes on.
        all_of_it = () if selection.ids else ("--all", "--indexed-objects")
        with repository.running(
            "rev-list", "--objects", "--missing=print", *all_of_it, "--stdin", stdin=given, stderr=complaints
        ) as walk:
            if selection.unreachable:
                yield from (line + b" missing" for line in lines(output(walk)) if line.startswith(b"?"))
            else:
                with repository.running("cat-file", form, "--buffer", stdin=output(walk)) as check:
                    # Nobody but that reads it: should it end, git must notice.
                    output(walk).close()
                    yield from lines(output(check))
                    _must_have_ended(check.wait())
            status = walk.wait()
        complaints.seek(0)
        said = complaints.read(_PIECE).decode("utf-8", "replace").strip()
        for line in said.split("\n")[:_COMPLAINTS]:
            if line:
                tally.miss(BROKEN, safe(line)[:300])
        if status and not said:
            tally.miss(BROKEN, f"rev-list ended with status {status}")
    if selection.unreachable:
        with repository.running("cat-file", form, "--batch-all-objects", "--unordered", "--buffer") as check:
            yield from lines(output(check))
            _must_have_ended(check.wait())


def ends(repository: Repository, selection: Selection) -> IO[bytes]:
    """Return a file for the standard input of `git rev-list`: where it is to begin, besides the refs, and to end."""
    given = _file()
    given.write("".join(f"{one}\n" for one in selection.ids or _stashed(repository)).encode("ascii"))
    given.seek(0)
    return given


def _stashed(repository: Repository) -> list[str]:
    """Return what is stashed: all but the last of it only a log remembers."""
    answer = repository.ask("rev-list", "--walk-reflogs", "--ignore-missing", "refs/stash", "--")
    return answer.output.decode("ascii", "replace").split() if not answer.status else []


def _must_have_ended(status: int) -> None:
    if status:
        raise StorageError("git ended before it had listed the objects of the repository", "try: git fsck")


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
