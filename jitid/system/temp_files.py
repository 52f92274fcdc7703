"""Clears up after writers that were killed: the files aside that they had begun."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from contextlib import suppress

_HOUR = 3_600


def remove_leftovers(path: str) -> None:
    """Remove what writers to `path` have left beside it that were killed an hour ago or earlier.

    Only what bears the name that such a file gets, is this user's, a plain file, and in the hands of nobody. What
    cannot be removed stays.
    """
    folder, name = os.path.split(path)
    named = re.compile(rf"\.{re.escape(name[:100])}\.[0-9a-f]{{12}}")
    with suppress(OSError):
        for left in os.listdir(folder or "."):
            if named.fullmatch(left):
                with suppress(OSError):
                    _remove_leftover(os.path.join(folder, left))


def _remove_leftover(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        plain = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
        if plain and time.time() - status.st_mtime > _HOUR:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(descriptor)
