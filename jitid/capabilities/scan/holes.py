"""Holes of sparse files: they contain only NULs and are not read."""

from __future__ import annotations

import errno
import os
import stat


def is_sparse(descriptor: int) -> bool:
    """Return whether the descriptor is a regular file with holes. Raises OSError."""
    status = os.fstat(descriptor)
    return stat.S_ISREG(status.st_mode) and status.st_blocks * 512 < status.st_size


def hole_after(descriptor: int) -> int:
    """Move to the next data of the file, and return the number of bytes skipped. Raises OSError."""
    start = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        return os.lseek(descriptor, start, os.SEEK_DATA) - start
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # Only a hole is left up to the end. The end may have moved to an earlier position meanwhile.
        return max(os.lseek(descriptor, 0, os.SEEK_END) - start, 0)
