"""The texts of a process and its descendants that the same user can read: environments, command lines, open files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

_LARGEST = 4 << 20
_PAUSE = 0.05
"""Seconds between two looks at the tree."""


class Sight(NamedTuple):
    """A text that was seen."""

    place: str
    """Such as `claude: environ`, or the path of a file."""
    text: bytes


class ProcessTree:
    """The texts that the tree has shown so far."""

    def __init__(self, root: int, without: Path) -> None:
        """Look at the descendants of `root`, and at `root` itself; files below `without` are skipped."""
        self._root = root
        self._without = f"{without}/"
        self.seen: set[Sight] = set()
        self.programs: set[str] = set()
        """The names of the programs that were seen."""
        self._files: set[tuple[int, int, int, int]] = set()

    def look(self) -> None:
        """Add the texts that the tree shows now."""
        for process in self._processes():
            folder = Path(f"/proc/{process}")
            # It may have ended.
            with suppress(OSError):
                name = (folder / "comm").read_text().strip()
                self.programs.add(name)
                self.seen.add(Sight(f"{name}: cmdline", (folder / "cmdline").read_bytes()))
                # It inherited the variables of the user's shell: only its descendants are protected.
                if process != self._root:
                    self.seen.add(Sight(f"{name}: environ", (folder / "environ").read_bytes()))
                for link in (folder / "fd").iterdir():
                    with suppress(OSError):
                        self.add_file(link, f"{name}: {link.readlink()}")

    def add_folder(self, folder: Path) -> None:
        """Add the files of a folder."""
        for path in folder.rglob("*"):
            with suppress(OSError):
                self.add_file(path, str(path))

    def add_file(self, path: Path, place: str) -> None:
        """Add a regular file that is not too long and was not yet read."""
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST or self._without in place:
            return
        version = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        if version in self._files:
            return
        # `jitid run` replaces a token after it was read; a search must not count.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOATIME)
        with os.fdopen(descriptor, "rb") as file:
            self.seen.add(Sight(place, file.read()))
        self._files.add(version)

    def _processes(self) -> list[int]:
        found = [self._root]
        for process in found:
            with suppress(OSError):
                for thread in Path(f"/proc/{process}/task").iterdir():
                    found += [int(word) for word in (thread / "children").read_text().split()]
        return found


@contextmanager
def watched(root: int, without: Path) -> Iterator[ProcessTree]:
    """Look at the tree again and again for the length of the block."""
    tree = ProcessTree(root, without)
    ended = Event()

    def look() -> None:
        while not ended.wait(_PAUSE):
            tree.look()

    thread = Thread(target=look)
    thread.start()
    try:
        yield tree
    finally:
        ended.set()
        thread.join()
