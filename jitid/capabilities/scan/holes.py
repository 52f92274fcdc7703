"""Holes of sparse files: they contain only NULs and are not read."""

from __future__ import annotations

import errno
import os
import stat


def is_sparse(descriptor: int) -> bool:
    """Return whether the descriptor is a regular file with holes. Raises OSError."""
    found = os.fstat(descriptor)
    return stat.S_ISREG(found.st_mode) and found.st_blocks * 512 < found.st_size


def hole_after(descriptor: int) -> int:
    """Move to the next data of the file, and return the number of bytes skipped. Raises OSError."""
    here = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        return os.lseek(descriptor, here, os.SEEK_DATA) - here
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # Only a hole is left up to the end. The end may have moved to an earlier position meanwhile.
        return max(os.lseek(descriptor, 0, os.SEEK_END) - here, 0)
