"""The search for programs on PATH."""

from __future__ import annotations

import errno
import os

from jitid.errors import ExitStatus, NotRunError
from jitid.values.text import quote


def find(program: str, path: str) -> str:
    """Return the path of a program, searched along `path` like `execvp`, before a credential is issued for it.

    Raises:
        NotRunError: it does not exist, or may not be executed.

    """
    found = errno.ENOENT
    for folder in [""] if "/" in program else path.split(os.pathsep):
        place = program if "/" in program else os.path.join(folder or ".", program)
        if os.path.isdir(place):
            found = errno.EISDIR if "/" in program else found
        elif os.access(place, os.X_OK):
            return place
        elif os.path.exists(place):
            found = errno.EACCES
    raise _not_run(program, found)


def _not_run(program: str, number: int) -> NotRunError:
    missing = number in (errno.ENOENT, errno.ENOTDIR)
    return NotRunError(
        f"{quote(program, 200)} cannot be run: {os.strerror(number).lower()}",
        "give the whole path, or look at PATH" if missing and "/" not in program else None,
        ExitStatus.NO_COMMAND if missing else ExitStatus.CANNOT_EXECUTE,
    )
