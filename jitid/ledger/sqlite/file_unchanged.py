"""A check that the file of an open ledger is still at its path: a restore may replace the ledger by a backup."""

from __future__ import annotations

import os

from jitid.errors import StorageError


class InPlace:
    """The identity of the file that was at a path when the ledger there was opened."""

    def __init__(self, path: str) -> None:
        # A server may change its working directory; the path must not change with it.
        self._path = os.path.abspath(path)
        self._file = self._there()

    def _there(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def require_same_file(self) -> None:
        """Raise StorageError if another file is at the path now: writes to the open file would be lost.

        A ledger whose folder was moved away and not replaced is still the ledger.
        """
        current_file = self._there()
        if current_file is not None and current_file != self._file:
            raise StorageError(
                "the ledger was replaced while it was in use; nothing was changed",
                "repeat the command; what runs for long, as `jitid serve`, has to be started anew",
            )
