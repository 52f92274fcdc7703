"""Origins of objects of a git repository: the commit that added an object, and whether it is still there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from jitid.capabilities.scan.git_repository import Repository
from jitid.capabilities.scan.history import ObjectListing, ObjectSelection, ends, output, records

_MOST_RECORDS = 10_000_000
"""Maximum number of file changes that are read: a hostile repository can have endless trees."""
_MOST_MEMORY = 256 << 20
"""Memory limit of git for the changes of one commit, in bytes: enough for 600,000 files and more."""
_MOST_PATHS = 1_000
_LAST = 1 << 62
"""The order of an object that no commit added."""
_DIGITS = 12
"""Number of digits from which a time is beyond any calendar."""

MESSAGE = "(commit message)"
TAG = "(annotation of a tag)"


class Appearance(NamedTuple):
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


class _BlobChange(NamedTuple):
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
            changes |= _brought(repository, selection, remaining, tuple(paths)[:_MOST_PATHS])
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
            memory=_MOST_MEMORY,
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
