"""Lists of the objects of a git repository, each once, in files that several processes share.

And their origins: the commit that added an object, and whether it is still there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from subprocess import PIPE, Popen
from typing import IO
from zlib import crc32

from jitid.capabilities.scan.git_repository import Repository
from jitid.capabilities.scan.hits import ScanTally
from jitid.values.record import Record
from jitid.values.text import safe

_SHARES = 16
_WORTH_SHARING = 4 << 20
_WORTH_MORE = 64 << 20
"""Bytes of objects from which there are `_SHARES` shares; from `_WORTH_SHARING` on there are two."""
_PIECE = 1 << 16
_COMPLAINTS = 20
_MOST_MEMORY = 8 << 30
"""Memory limit of git, in bytes: it remembers each object, with less than a hundred bytes."""
_MOST_ENDS = 1_000
_LONGEST_PATH = 4_096
"""Maximum bytes of a path; of a longer path the end is kept, which names the file."""
_MOST_PATHS = 1 << 30
"""Maximum bytes of paths in a file: a hostile repository can have long folder names at almost no cost."""
_KINDS = frozenset({b"blob", b"commit", b"tag"})
_FORM = "--batch-check=%(objecttype) %(objectname) %(objectsize) %(rest)"

DAMAGED = "objects that git cannot read"
MISSING = "objects that are missing or damaged here"
SHALLOW = "commits whose history this shallow clone does not have"
BROKEN_REF = "refs to missing objects"
INDEX = "staged files, since the index is damaged"
BROKEN = "errors that git reported"
SUBMODULES = "submodules, which are separate repositories"


class ObjectShare(Record):
    """A part of the objects, for one process."""

    ids: IO[bytes]
    """A file with their ids, one per line, all of one width."""
    number: int
    """The number of objects."""


class ObjectListing(Record):
    """The objects to search."""

    shares: Sequence[ObjectShare]
    paths: IO[bytes]
    """A file with a line for each object: its id, its type, and the first path that leads to it, if any."""
    number: int
    """The number of objects."""
    size: int
    """The size of all objects in bytes."""

    def close(self) -> None:
        """Close the files."""
        for file in (self.paths, *(share.ids for share in self.shares)):
            file.close()


class ObjectSelection(Record):
    """A selection of a repository's objects."""

    ids: Sequence[str] = ()
    """The ends of ranges, from `Repository.resolved`; empty for all objects that any ref leads to."""
    unreachable: bool = False
    """Whether to include objects that no ref leads to."""


def list_objects(repository: Repository, selection: ObjectSelection, tally: ScanTally) -> ObjectListing:
    """List the blobs, commits and annotated tags, each once; report missing objects to the tally.

    Versions of one file are in one share: git stores them as differences from each other.
    """
    buckets = [_file() for _ in range(_SHARES)]
    counts = [0] * _SHARES
    paths = _file()
    size = path_bytes = 0
    shallow = _shallow(repository)
    for line in _listed(repository, selection, tally):
        kind, _, rest = line.partition(b" ")
        if kind == b"tree":
            continue
        if kind not in _KINDS:
            # The line is an id and `missing`. A path may contain that word too, but only after a type.
            oid = kind.removeprefix(b"?")
            tally.miss(MISSING if oid.strip(b"0") else BROKEN_REF, oid.decode("ascii", "replace"))
            continue
        oid, _, rest = rest.partition(b" ")
        length, _, path = rest.partition(b" ")
        if kind == b"commit" and oid in shallow:
            tally.miss(SHALLOW, oid.decode("ascii"))
        elif path == b".gitmodules" and SUBMODULES not in tally.passed:
            tally.skip(SUBMODULES)
        size += int(length)
        bucket = crc32(path or oid) % _SHARES
        counts[bucket] += 1
        buckets[bucket].write(oid + b"\n")
        path_bytes += paths.write(
            b"%b %b %b\n" % (oid, kind, path[-_LONGEST_PATH:] if path_bytes < _MOST_PATHS else b"")
        )
    paths.flush()
    share_count = 1 if size < _WORTH_SHARING else 2 if size < _WORTH_MORE else _SHARES
    shares = [
        _joined(buckets[start::share_count], counts[start::share_count]) for start in range(share_count)
    ]
    return ObjectListing(shares, paths, sum(counts), size)


def _file() -> IO[bytes]:
    """Return a file without a name, which the system deletes when no process has it open."""
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
    """Return the commits whose parents the shallow clone does not have."""
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
        with _git_listing_ids(repository, selection, PIPE, tally) as walk:
            yield from (line + b" missing" for line in lines(output(walk)) if line.startswith(b"?"))
            walk.wait()
        yield from _checked(repository, selection, tally, every=True)
        return
    status = yield from _checked(repository, selection, tally)
    if status > 0 and not selection.ids:
        # git stops at a damaged tree or commit. List all objects that exist, which repeats the earlier ones.
        yield from _checked(repository, selection, tally, every=True)


def _checked(
    repository: Repository, selection: ObjectSelection, tally: ScanTally, *, every: bool = False
) -> Generator[bytes, None, int]:
    """Yield the lines of one walk, and return the exit status of the git process that walked."""
    answered = 0
    with _git_listing_ids(repository, selection, PIPE, tally, every=every) as walk:
        with repository.running("cat-file", _FORM, "--buffer", stdin=output(walk)) as check:
            # Only `check` may read this pipe: if it ends, the walk must notice.
            output(walk).close()
            for line in lines(output(check)):
                answered += 1
                yield line
            check_status = check.wait()
        if not check_status:
            walk.wait()
    if not check_status:
        return walk.returncode
    return (yield from _after_damage(repository, selection, tally, answered, every=every))


def _after_damage(
    repository: Repository, selection: ObjectSelection, tally: ScanTally, answered: int, *, every: bool
) -> Generator[bytes, None, int]:
    """Yield the remaining lines after git ended at an object whose type it cannot read."""
    with _file() as names:
        with _git_listing_ids(repository, selection, names, tally, every=every) as walk:
            walk.wait()
        offset = _behind(names, 0, answered)
        for _ in range(_MOST_ENDS):
            damaged = os.pread(names.fileno(), repository.width, offset)
            if not damaged:
                return walk.returncode
            tally.miss(DAMAGED, damaged.decode("ascii", "replace"))
            offset = _behind(names, offset, 1)
            os.lseek(names.fileno(), offset, os.SEEK_SET)
            answered = 0
            with repository.running("cat-file", _FORM, "--buffer", stdin=names) as check:
                for line in lines(output(check)):
                    answered += 1
                    yield line
                if not check.wait():
                    return walk.returncode
            offset = _behind(names, offset, answered)
        tally.miss(DAMAGED, "and others, too many to list")
    return walk.returncode


def _behind(file: IO[bytes], offset: int, line_count: int) -> int:
    """Return the offset at which `line_count` lines after `offset` end.

    Reading with `pread` leaves the file position alone, which other processes share.
    """
    while line_count and (piece := os.pread(file.fileno(), _PIECE, offset)):
        piece_lines = piece.count(b"\n")
        if piece_lines < line_count:
            line_count -= piece_lines
            offset += len(piece)
            continue
        line_end = 0
        for _ in range(line_count):
            line_end = piece.index(b"\n", line_end) + 1
        return offset + line_end
    return offset


@contextmanager
def _git_listing_ids(
    repository: Repository,
    selection: ObjectSelection,
    stdout: int | IO[bytes],
    tally: ScanTally,
    *,
    every: bool = False,
) -> Iterator[Popen[bytes]]:
    """Run git to list ids: of objects that refs lead to, or of `every` object. Report its errors to the tally."""
    with ends(repository, selection) as input_file, _file() as complaints:
        # The index belongs to no range. git marks an object that it cannot find with a question mark, and continues.
        starts = () if selection.ids else ("--all", *_index(repository, tally))
        words: tuple[str, ...]
        if every:
            words = (
                "cat-file",
                "--batch-all-objects",
                "--unordered",
                "--buffer",
                "--batch-check=%(objectname)",
            )
        else:
            words = ("rev-list", "--objects", "--missing=print", *starts, "--stdin")
        with repository.running(
            *words, stdin=input_file, stdout=stdout, stderr=complaints, memory=_MOST_MEMORY
        ) as process:
            yield process
            status = process.poll()
        if status is None or status < 0:
            # The caller did not need the rest of the output, or a signal ended git.
            return
        complaints.seek(0)
        errors = complaints.read(_PIECE).decode("utf-8", "replace").strip()
        for line in errors.split("\n")[:_COMPLAINTS]:
            if line:
                tally.miss(BROKEN, safe(line)[:300])
        if status and not errors:
            tally.miss(BROKEN, f"git {words[0]} ended with status {status}")


def _index(repository: Repository, tally: ScanTally) -> Sequence[str]:
    """Return the arguments for staged objects. A damaged index is left out: it would hide all other objects."""
    if repository.bare:
        return ()
    answer = repository.run("ls-files", "--", "jitid reads the index")
    if not answer.status:
        return ("--indexed-objects",)
    tally.missed[INDEX] = 1
    tally.named[INDEX] = [safe(answer.error.strip())[:300]]
    return ()


def ends(repository: Repository, selection: ObjectSelection) -> IO[bytes]:
    """Return a file for the standard input of `git rev-list`: its starting points besides the refs, and its ends."""
    input_file = _file()
    input_file.write(
        "".join(f"{revision}\n" for revision in selection.ids or _stashed(repository)).encode("ascii")
    )
    input_file.seek(0)
    return input_file


def _stashed(repository: Repository) -> list[str]:
    """Return the ids of stashed commits: only the reflog has all but the newest one."""
    answer = repository.run("rev-list", "--walk-reflogs", "--ignore-missing", "refs/stash", "--")
    return answer.output.decode("ascii", "replace").split() if not answer.status else []


def output(process: Popen[bytes]) -> IO[bytes]:
    """Return the standard output of a git process."""
    assert process.stdout is not None
    return process.stdout


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream without their line ends; a long line is cut."""
    while line := stream.readline(_PIECE):
        is_complete = line.endswith(b"\n")
        yield line[:-1] if is_complete else line
        while not is_complete and (tail := stream.readline(_PIECE)):
            is_complete = tail.endswith(b"\n")


def records(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the NUL-terminated records of a stream; a long record is cut."""
    rest = b""
    while piece := stream.read1(_PIECE):  # type: ignore[attr-defined]
        *complete, rest = (rest + piece).split(b"\0")
        yield from complete
        rest = rest[:_PIECE]


_MOST_RECORDS = 10_000_000
"""Maximum number of file changes that are read: a hostile repository can have endless trees."""
_ORIGINS_MEMORY = 256 << 20
"""Memory limit of git for the changes of one commit, in bytes: enough for 600,000 files and more."""
_ORIGINS_PATHS = 1_000
_LAST = 1 << 62
"""The order of an object that no commit added."""
_DIGITS = 12
"""Number of digits from which a time is beyond any calendar."""

MESSAGE = "(commit message)"
TAG = "(annotation of a tag)"


class Appearance(Record):
    """The place of an object in the history."""

    place: str
    """A path; for a commit or a tag, a description."""
    commit: str | None
    """The oldest commit that has it there; None if no commit of the selection added it."""
    time: int | None
    """Author time of that commit, according to the commit, in seconds since the epoch."""
    in_head: bool | None
    """Whether the commit that is checked out still has it; None if unknown."""
    others: int
    """Number of other paths that it has in that commit."""
    order: int
    """Position in the history: lower for an older commit."""
    is_text: bool = True
    """Whether it is a version of a file. Line numbers of a commit or a tag do not match those of its message."""


class _BlobChange(Record):
    """A change in which a commit added a blob."""

    commit: str | None
    path: str
    others: int
    order: int


def locate(
    repository: Repository, selection: ObjectSelection, listing: ObjectListing, oids: frozenset[str]
) -> Mapping[str, Appearance]:
    """Return the places of the objects `oids`: the commit that added each, and its path there."""
    appearances: dict[str, Appearance] = {}
    blobs: dict[str, str] = {}
    for oid, kind, path in _named(listing, oids):
        if kind == "blob":
            blobs[oid] = path
        elif kind == "commit":
            appearances[oid] = Appearance(MESSAGE, oid, None, None, 0, 0, is_text=False)
        else:
            appearances[oid] = Appearance(
                f"{TAG[:-1]} {path})" if path else TAG, oid, None, None, 0, 0, is_text=False
            )
    if blobs:
        heads = _in_head(repository, blobs.keys())
        remaining = set(blobs)
        changes = _brought(repository, selection, remaining)
        if remaining:
            # Endless or missing trees may have stopped the walk. Along the known paths there may be less to read.
            paths = dict.fromkeys(blobs[oid] for oid in sorted(remaining) if blobs[oid])
            changes |= _brought(repository, selection, remaining, tuple(paths)[:_ORIGINS_PATHS])
        for oid, path in blobs.items():
            change = changes.get(oid) or _BlobChange(None, path or f"(object {oid})", 0, _LAST)
            in_head = None if heads is None else oid in heads
            appearances[oid] = Appearance(
                change.path, change.commit, None, in_head, change.others, change.order
            )
    times = _times(
        repository,
        {appearance.commit for appearance in appearances.values() if appearance.commit is not None},
    )
    return {
        oid: appearance._replace(time=times.get(appearance.commit or ""))
        for oid, appearance in appearances.items()
    }


def _named(listing: ObjectListing, oids: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """Yield id, type and path of the objects `oids`."""
    listing.paths.seek(0)
    for line in listing.paths:
        oid, kind, path = line[:-1].split(b" ", 2)
        if oid.decode("ascii") in oids:
            yield oid.decode("ascii"), kind.decode("ascii"), os.fsdecode(path)


def _in_head(repository: Repository, blobs: Collection[str]) -> set[str] | None:
    """Return the given blobs that the commit checked out has; None if its tree is too large or unreadable."""
    head = repository.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head.status:
        return set()
    present = set()
    with repository.running("ls-tree", "-r", "-z", "HEAD") as process:
        for count, record in enumerate(records(output(process))):
            oid = record.partition(b"\t")[0].rpartition(b" ")[2].decode("ascii", "replace")
            if oid in blobs:
                present.add(oid)
            if count > _MOST_RECORDS:
                return None
        return None if process.wait() else present


def _brought(
    repository: Repository, selection: ObjectSelection, remaining: set[str], paths: Sequence[str] = ()
) -> dict[str, _BlobChange]:
    """Return for each blob in `remaining` the oldest commit that added it, and remove the blob from `remaining`.

    Only changes of `paths` count; without paths, all changes.
    """
    added: dict[str, _BlobChange] = {}
    commit = ""
    with (
        ends(repository, selection) as input_file,
        repository.running(
            # A ref that leads to no object must not end the walk of the others.
            *("rev-list", "--reverse", "--topo-order", "--missing=allow-any"),
            *(*(() if selection.ids else ("--all",)), "--stdin"),
            stdin=input_file,
        ) as walk,
        repository.running(
            *("diff-tree", "--stdin", "-r", "--root", "-c", "--raw", "-z", "--no-abbrev", "--no-renames"),
            *("--", *paths),
            stdin=output(walk),
            memory=_ORIGINS_MEMORY,
        ) as differences,
    ):
        output(walk).close()
        changes = enumerate(records(output(differences)))
        for order, record in changes:
            if order > _MOST_RECORDS:
                break
            if not record.startswith(b":"):
                commit = record.decode("ascii", "replace")
                if not remaining:
                    break
                continue
            # A record has modes and ids of each parent, then the commit's own. For a merge, git lists only files that
            # differ from all parents.
            parents = len(record) - len(record.lstrip(b":"))
            oid = record.split(b" ", 2 * parents + 2)[2 * parents + 1].decode("ascii", "replace")
            _, path = next(changes, (0, b""))
            if oid in remaining:
                remaining.discard(oid)
                added[oid] = _BlobChange(commit, os.fsdecode(path), 0, order)
            elif oid in added and added[oid].commit == commit:
                added[oid] = added[oid]._replace(others=added[oid].others + 1)
    return added


def _times(repository: Repository, commits: set[str]) -> dict[str, int]:
    """Return the author times of commits, in seconds since the epoch."""
    times = {}
    input_data = "".join(f"{commit}\n" for commit in sorted(commits)).encode("ascii")
    if not input_data:
        return {}
    answer = repository.run(
        "rev-list",
        "--no-walk",
        "--ignore-missing",
        "--format=%H %at",
        "--stdin",
        input_data=input_data,
        most=len(input_data) * 4,
    )
    for line in answer.output.decode("ascii", "replace").split("\n"):
        oid, _, time = line.partition(" ")
        # The time in a commit may be invalid.
        if oid in commits and time.isdigit() and len(time) < _DIGITS:
            times[oid] = int(time)
    return times
