"""Places that other users can change: files, folders, and the folders and links that lead to them."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40
"""The limit of Linux for one path (path_resolution(7))."""


def open_to_others(status: os.stat_result, owners: Collection[int] | None = None) -> bool:
    """Return whether users other than the owners, by default root and the caller, can change a file or folder."""
    return bool(status.st_mode & _OTHERS) or status.st_uid not in (owners or trusted())


def trusted() -> tuple[int, int]:
    """Return the users who may change files that the caller relies on: root and the caller."""
    return 0, os.geteuid()


def changeable(path: str) -> str | None:
    """Return the first place where other users can change the target of an absolute path; None if there is none.

    Every folder from the root on is checked, every link, the target of each link, and the file itself, as sshd's
    StrictModes does (sshd_config(5)). In a folder with the sticky bit, users cannot replace files of other users
    (unlink(2)).

    Raises OSError if the path does not exist, or has a circle of links.
    """
    owners = trusted()
    left = _parts(path)[::-1]
    here, links = "/", 0
    if _is_open(os.lstat(here), owners):
        return here
    while left:
        name = left.pop()
        if name == "..":
            # The folders above were checked on the way here.
            here = os.path.dirname(here)
            continue
        there = os.path.join(here, name)
        status = os.lstat(there)
        if stat.S_ISLNK(status.st_mode):
            # The mode of a link says nothing (symlink(7)).
            if status.st_uid not in owners:
                return there
            links += 1
            if links > _MOST_LINKS:
                raise OSError(f"too many links on the way to {path}")
            target = os.readlink(there)
            here = "/" if target.startswith("/") else here
            left += _parts(target)[::-1]
            continue
        if _is_open(status, owners):
            return there
        here = there
    return None


def _is_open(status: os.stat_result, owners: Collection[int]) -> bool:
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return status.st_uid not in owners
    return open_to_others(status, owners)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
