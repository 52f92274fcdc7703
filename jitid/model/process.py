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
    renews_until: int = 0
    """Until when it renews what it was given, in seconds since the epoch, so that its silence tells of its end; 0 if
    it never does."""


_TOLERANCE = 60
"""Seconds that a renewal may be late in any case: whoever cannot reach the ledger tries again every half minute."""


def renewal_due(issued_at: int, expires_at: int, depth: int) -> float:
    """Return when a wrapper renews what it was given at `depth` of a chain of delegation.

    That is with a third of the lifetime left, a parent before what it has delegated.
    """
    return issued_at + (expires_at - issued_at) * (1 - 1 / (3 + depth))


def silent_from(issued_at: int, expires_at: int, depth: int) -> int:
    """Return from when on a wrapper that has not renewed is gone: half of the time for it is over by then."""
    due = renewal_due(issued_at, expires_at, depth)
    return int(max(due + (expires_at - due) / 2, due + _TOLERANCE))


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
