"""A process that an identity is bound to: the wrapper of a `run`, known well enough to notice that it is gone."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Liveness(StrEnum):
    """What can be said of a process from where one looks."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"
    """It is on another machine or in another container, or this system does not tell; never taken for alive."""


class Process(NamedTuple):
    """A process, so described that a later one with the same number is not taken for it."""

    host: str
    """The machine's name, as `uname -n` has it."""
    boot: str
    """The id of the boot (`/proc/sys/kernel/random/boot_id`); empty where the system has none."""
    namespace: int
    """The inode of its PID namespace: numbers mean nothing in another one. 0 where there are no namespaces."""
    pid: int
    started: int
    """When it started, in clock ticks since the boot (field 22 of `/proc/PID/stat`); 0 where it is not known."""
    kept: bool
    """What it was given stays when it ends (`--on-exit keep`)."""


FIRST_NAMESPACE = 0xEFFFFFFC
"""The inode of the PID namespace that a machine boots with (PROC_PID_INIT_INO of Linux's `proc_ns.h`)."""


def ended_with_boot(process: Process, here: Process) -> bool:
    """Tell whether the machine has been booted since, seen from the process `here`.

    Containers on different machines may have one name, so that only who runs outside of any can tell.
    """
    return (
        process.host == here.host
        and "" != process.boot != here.boot != ""
        and process.namespace == here.namespace == FIRST_NAMESPACE
    )


def is_in_sight(process: Process, here: Process) -> bool:
    """Tell whether the number of `process` means the same process for `here`."""
    return (process.host, process.boot, process.namespace) == (here.host, here.boot, here.namespace)
