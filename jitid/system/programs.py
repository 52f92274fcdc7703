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
    error_number = errno.ENOENT
    for folder in [""] if "/" in program else path.split(os.pathsep):
        candidate = program if "/" in program else os.path.join(folder or ".", program)
        if os.path.isdir(candidate):
            error_number = errno.EISDIR if "/" in program else error_number
        elif os.access(candidate, os.X_OK):
            return candidate
        elif os.path.exists(candidate):
            error_number = errno.EACCES
    raise _not_run(program, error_number)


def _not_run(program: str, error_number: int) -> NotRunError:
    missing = error_number in (errno.ENOENT, errno.ENOTDIR)
    return NotRunError(
        f"{quote(program, 200)} cannot be run: {os.strerror(error_number).lower()}",
        "give the whole path, or look at PATH" if missing and "/" not in program else None,
        ExitStatus.NO_COMMAND if missing else ExitStatus.CANNOT_EXECUTE,
    )
