"""A walk of folders that never leaves their root: it follows no link and opens no long path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MOST_OPEN = 64
"""Maximum number of folders that stay open on the way to the current one; others are opened again."""

KERNEL = frozenset(
    {
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "efivarfs",
        "fusectl",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tracefs",
    }
)
"""File systems without stored files: their contents are made on reading, and may be endless."""


class Tree:
    """A tree of folders below a root, each opened by one step from its parent."""

    def __init__(self, root: str, *, one_file_system: bool) -> None:
        """Open the root; its path may contain links. Raises OSError."""
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._device = os.fstat(self._root).st_dev
        self._known = -1
        """The device of the file system that was last accepted."""
        self._one = one_file_system
        self._kernel: frozenset[int] | None = None
        self._open: list[tuple[str, int]] = []
        """The open folders on the way to the current one: the last `_MOST_OPEN` of them."""
        self._path: list[str] = []
        """The names of the folders from the root to the current one."""

    def close(self) -> None:
        """Close all folders."""
        for _, descriptor in self._open:
            os.close(descriptor)
        self._open.clear()
        if self._root >= 0:
            os.close(self._root)
        self._root = -1

    def enter(self, names: tuple[str, ...]) -> int:
        """Return the descriptor of a folder, which the tree closes. Raises OSError if it is no longer a folder."""
        path = self._path
        common = 0
        for mine, requested in zip(path, names, strict=False):
            if mine != requested:
                break
            common += 1
        while len(path) > common:
            path.pop()
            if self._open:
                os.close(self._open.pop()[1])
        if path and not self._open:
            # The parent is closed: start from the root again.
            path.clear()
        for name in names[len(path) :]:
            above = self._open[-1][1] if self._open else self._root
            self._open.append((name, os.open(name, _FOLDER, dir_fd=above)))
            path.append(name)
            if len(self._open) > _MOST_OPEN:
                os.close(self._open.pop(0)[1])
        return self._open[-1][1] if self._open else self._root

    def beyond(self, descriptor: int) -> str | None:
        """Return why the file system of a folder is skipped; None if the folder is walked."""
        device = os.fstat(descriptor).st_dev
        if device == self._known:
            return None
        if self._one and device != self._device:
            return "folders of other file systems"
        if self._kernel is None:
            self._kernel = frozenset(_kernel_devices())
        if device in self._kernel:
            return "folders of the kernel"
        self._known = device
        return None


def _kernel_devices() -> Iterator[int]:
    """Yield the devices of mounted file systems that hold no files (proc_pid_mountinfo(5))."""
    with suppress(OSError), open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            mount, _, filesystem = line.partition(b" - ")
            major, _, minor = mount.split()[2].partition(b":")
            if filesystem.split()[0].decode("ascii", "replace") in KERNEL:
                yield os.makedev(int(major), int(minor))
