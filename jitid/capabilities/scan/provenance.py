"""Where an object of a git repository comes from: which commit brought it, and whether it is still there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from jitid.capabilities.scan.git_repository import Repository
from jitid.capabilities.scan.history import ObjectListing, ObjectSelection, ends, output, records

_MOST_RECORDS = 10_000_000
"""So many changes of files are looked at: trees may be made to have no end."""
_MOST_MEMORY = 256 << 20
"""How many bytes git may take for the changes of one commit, which are 600,000 files and more."""
_MOST_PATHS = 1_000
_LAST = 1 << 62
"""The order of what no commit has brought."""
_DIGITS = 12
"""A time of more digits is none that any calendar has."""

MESSAGE = "(commit message)"
TAG = "(annotation of a tag)"


class Appearance(NamedTuple):
    """Where an object stands in the history."""

    place: str
    """A path; of a commit or a tag what it is."""
    commit: str | None
    """The oldest one that has it there; none if no commit of the selection has brought it."""
    time: int | None
    """When its author made that commit, says the commit, in seconds since the epoch."""
    in_head: bool | None
    """Whether the newest commit of the branch that is checked out still has it; None if that is not known."""
    others: int
    """How many other paths it has in that commit."""
    order: int
    """The older the commit, the less."""
    is_text: bool = True
    """Whether it is a version of a file; the lines of a commit or a tag are not those of its message."""


class _BlobChange(NamedTuple):
    """That a commit brought a blob."""

    commit: str | None
    path: str
    others: int
    order: int


def locate(
    repository: Repository, selection: ObjectSelection, listing: ObjectListing, wanted: frozenset[str]
) -> Mapping[str, Appearance]:
    """Return where objects stand: which commit brought them, and under which name."""
    found: dict[str, Appearance] = {}
    blobs: dict[str, str] = {}
    for oid, kind, path in _named(listing, wanted):
        if kind == "blob":
            blobs[oid] = path
        elif kind == "commit":
            found[oid] = Appearance(MESSAGE, oid, None, None, 0, 0, is_text=False)
        else:
            found[oid] = Appearance(
                f"{TAG[:-1]} {path})" if path else TAG, oid, None, None, 0, 0, is_text=False
            )
    if blobs:
        heads = _in_head(repository, blobs.keys())
        left = set(blobs)
        brought = _brought(repository, selection, left)
        if left:
            # Trees without an end, or one that is missing: along the paths that are known there may be less to see.
            paths = dict.fromkeys(blobs[oid] for oid in sorted(left) if blobs[oid])
            brought |= _brought(repository, selection, left, tuple(paths)[:_MOST_PATHS])
        for oid, path in blobs.items():
            change = brought.get(oid) or _BlobChange(None, path or f"(object {oid})", 0, _LAST)
            in_head = None if heads is None else oid in heads
            found[oid] = Appearance(change.path, change.commit, None, in_head, change.others, change.order)
    times = _times(repository, {one.commit for one in found.values() if one.commit is not None})
    return {oid: one._replace(time=times.get(one.commit or "")) for oid, one in found.items()}


def _named(listing: ObjectListing, wanted: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """Yield id, type and path of what is wanted."""
    listing.paths.seek(0)
    for line in listing.paths:
        oid, kind, path = line[:-1].split(b" ", 2)
        if oid.decode("ascii") in wanted:
            yield oid.decode("ascii"), kind.decode("ascii"), os.fsdecode(path)


def _in_head(repository: Repository, blobs: Collection[str]) -> set[str] | None:
    """Return which blobs the commit that is checked out has; None if that would take too long to know."""
    there = repository.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if there.status:
        return set()
    found = set()
    with repository.running("ls-tree", "-r", "-z", "HEAD") as process:
        for number, record in enumerate(records(output(process))):
            oid = record.partition(b"\t")[0].rpartition(b" ")[2].decode("ascii", "replace")
            if oid in blobs:
                found.add(oid)
            if number > _MOST_RECORDS:
                return None
        return None if process.wait() else found


def _brought(
    repository: Repository, selection: ObjectSelection, left: set[str], paths: Sequence[str] = ()
) -> dict[str, _BlobChange]:
    """Return for each of some blobs the oldest commit that brought it, and take it out of those; `paths` are looked at.

    Nothing means all paths.
    """
    found: dict[str, _BlobChange] = {}
    commit = ""
    with (
        ends(repository, selection) as given,
        repository.running(
            # A ref that leads to nothing ends the walk of none of the others.
            *("rev-list", "--reverse", "--topo-order", "--missing=allow-any"),
            *(*(() if selection.ids else ("--all",)), "--stdin"),
            stdin=given,
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
        for number, record in changes:
            if number > _MOST_RECORDS:
                break
            if not record.startswith(b":"):
                commit = record.decode("ascii", "replace")
                if not left:
                    break
                continue
            # Modes and ids of each parent, and then its own; of a merge what differs from all of them.
            parents = len(record) - len(record.lstrip(b":"))
            oid = record.split(b" ", 2 * parents + 2)[2 * parents + 1].decode("ascii", "replace")
            _, path = next(changes, (0, b""))
            if oid in left:
                left.discard(oid)
                found[oid] = _BlobChange(commit, os.fsdecode(path), 0, number)
            elif oid in found and found[oid].commit == commit:
                found[oid] = found[oid]._replace(others=found[oid].others + 1)
    return found


def _times(repository: Repository, commits: set[str]) -> dict[str, int]:
    """Return when the authors of commits made them."""
    times = {}
    given = "".join(f"{one}\n" for one in sorted(commits)).encode("ascii")
    if not given:
        return {}
    answer = repository.ask(
        "rev-list",
        "--no-walk",
        "--ignore-missing",
        "--format=%H %at",
        "--stdin",
        given=given,
        most=len(given) * 4,
    )
    for line in answer.output.decode("ascii", "replace").split("\n"):
        oid, _, time = line.partition(" ")
        # A commit may say anything.
        if oid in commits and time.isdigit() and len(time) < _DIGITS:
            times[oid] = int(time)
    return times
