"""Removal of temporary files that killed writers have left."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from contextlib import suppress

_HOUR = 3_600


def remove_leftovers(path: str) -> None:
    """Remove the temporary files beside `path` whose writers were killed at least an hour ago.

    A file must have the name of such a file, belong to this user, be a regular file, and not be locked. A file that
    cannot be removed stays.
    """
    folder, name = os.path.split(path)
    pattern = re.compile(rf"\.{re.escape(name[:100])}\.[0-9a-f]{{12}}")
    with suppress(OSError):
        for entry in os.listdir(folder or "."):
            if pattern.fullmatch(entry):
                with suppress(OSError):
                    _remove_leftover(os.path.join(folder, entry))


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
