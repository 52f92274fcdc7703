"""Holes of sparse files, which hold nothing but NULs and are not read."""

from __future__ import annotations

import errno
import os
import stat


def is_sparse(descriptor: int) -> bool:
    """Tell whether it is a file with holes. Raises OSError."""
    found = os.fstat(descriptor)
    return stat.S_ISREG(found.st_mode) and found.st_blocks * 512 < found.st_size


def hole_after(descriptor: int) -> int:
    """Go on to where the file has something again, and return over how many bytes that was. Raises OSError."""
    here = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        return os.lseek(descriptor, here, os.SEEK_DATA) - here
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # There is nothing but a hole up to the end, which may have come nearer meanwhile.
        return max(os.lseek(descriptor, 0, os.SEEK_END) - here, 0)
