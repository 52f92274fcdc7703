"""The files of coding agents as a source of items: transcripts, chats, histories and configurations."""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from jitid.capabilities.scan.agent_places import PROJECT, FoundPlace
from jitid.capabilities.scan.agent_records import Records
from jitid.capabilities.scan.file_source import SPECIAL, FileReading, FileSource, why
from jitid.capabilities.scan.hits import UNCOUNTED, Hit, Item
from jitid.search.find import SecretSearch
from jitid.search.strings import times

_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
PIECE = 1 << 17
"""The maximum number of bytes between two offsets whose lines are noted: places come in any order."""


class AgentSource(FileSource):
    """The files of agents: the lines of their strings, and the records of the agents, are found last."""

    unit = "agent file"
    listing = "jitid scan --agents --format tsv"

    def __init__(self, locations: Sequence[FoundPlace], *, spared: frozenset[tuple[int, int]]) -> None:
        """Keep the places, and the folders to skip."""
        super().__init__([each.path for each in locations], ignore=False, spared=spared)
        self._databases = self._splits = True
        self._clients = {each.path: each.client for each in locations}
        self._roots = sorted(self._clients)
        self._lines: dict[str, tuple[list[int], list[int]]] = {}
        """For each file, offsets in ascending order, and the line of each."""
        self._records = Records()

    def conceal(self, secret_search: SecretSearch | None) -> None:
        """Show no command with one of these secrets."""
        self._records = Records(secret_search)

    def located(self, hits: list[Hit]) -> list[Hit]:
        """Return the hits with their lines, and with the facts that the agents recorded."""
        return [self._located(hit) for hit in hits]

    def client(self, path: str) -> str:
        """Return the agent whose place contains a path."""
        index = bisect_right(self._roots, path) - 1
        while index >= 0:
            root = self._roots[index]
            if path == root or path.startswith(f"{root}/"):
                return self._clients[root]
            index -= 1
        return ""

    def _located(self, hit: Hit) -> Hit:
        if hit.line == UNCOUNTED:
            hit = hit._replace(line=self._line(hit.place, hit.offset))
        client = self.client(hit.place)
        return hit._replace(context=self._records.context(client, hit) if client else None)

    def _line(self, path: str, offset: int) -> int | None:
        """Return the line of an offset; None if the file cannot be read. Less than a piece is counted again."""
        offsets, counts = self._lines.setdefault(path, ([0], [1]))
        index = bisect_right(offsets, offset) - 1
        position, line = offsets[index], counts[index]
        try:
            with open(
                path, "rb", buffering=0, opener=lambda name, _: os.open(name, _FILE | os.O_NOFOLLOW)
            ) as file:
                file.seek(position)
                while position < offset and (piece := file.read(min(PIECE, offset - position))):
                    line += times(piece, b"\n")
                    position += len(piece)
                    index += 1
                    offsets.insert(index, position)
                    counts.insert(index, line)
        except OSError:
            return None
        return line

    def _is_folder(self, path: str) -> bool:
        # A project's place was a file when it was found.
        return self._clients[path] != PROJECT and super()._is_folder(path)

    def _named(self, reading: FileReading, path: str) -> Iterator[None]:
        """Search a file that is a place itself.

        An agent's own file may be a link, as to a folder of dotfiles, but not to a device. A project's file may not.
        """
        descriptor = -1
        try:
            descriptor = os.open(path, _FILE)
            if self._clients[path] == PROJECT and not _is_at(descriptor, path):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                yield from reading.opened(descriptor, Item(path))
            else:
                reading.searcher.tally.skip(SPECIAL)
        except OSError as error:
            reading.searcher.tally.miss(why(error), path)
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    """Return whether an open file is at a path without links."""
    return os.path.realpath(path) == path and os.path.samestat(os.lstat(path), os.fstat(descriptor))
