"""Whether the file of a ledger that is open is still the one at its path: a ledger may be replaced by a backup."""

from __future__ import annotations

import os

from jitid.errors import StorageError


class InPlace:
    """Remembers which file was at a path when a ledger was opened there."""

    def __init__(self, path: str) -> None:
        # A server may change its working directory, and the path stays meant as it was.
        self._path = os.path.abspath(path)
        self._file = self._there()

    def _there(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def must_be(self) -> None:
        """Raise StorageError if another file is there now: what is written to this one nobody would ever see.

        One whose folder was moved away, with nothing in its place, is still the ledger.
        """
        there = self._there()
        if there is not None and there != self._file:
            raise StorageError(
                "the ledger was replaced while it was in use; nothing was changed",
                "repeat the command; what runs for long, as `jitid serve`, has to be started anew",
            )
