"""The Cedar files of a policy folder, which others may read and not write."""

from __future__ import annotations

import errno
import os
import stat

from jitid.errors import IntegrityError, StorageError


def read_policy(folder: str) -> list[tuple[str, str]]:
    """Return names and texts of the Cedar files of a folder, sorted by name.

    Raises:
        IntegrityError: one of them is no plain file, or open to others for writing.
        StorageError: one of them cannot be read.

    """
    path = folder
    try:
        files = []
        for name in sorted(name for name in os.listdir(folder) if name.endswith(".cedar")):
            path = os.path.join(folder, name)
            files.append((name, _read(path)))
    except UnicodeDecodeError as error:
        raise IntegrityError(f"the policy file {path} is not UTF-8") from error
    except FileNotFoundError as error:
        raise IntegrityError(
            f"the policy folder {folder} is missing", "restore the folder from a backup"
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise IntegrityError(
                f"the policy file {path} is a symbolic link, and none is followed here",
                "put the file itself there",
            ) from error
        raise StorageError(f"the policy in {folder} cannot be read: {error.strerror}") from error
    return files


def _read(path: str) -> str:
    # A named pipe in its place would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, encoding="utf-8") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise IntegrityError(f"the policy file {path} is no plain file", "put the file itself there")
        if mode & 0o022:
            raise IntegrityError(f"the policy file {path} may be written by others", f"chmod go-w {path}")
        return file.read()
