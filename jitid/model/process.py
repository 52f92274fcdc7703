"""A process that an identity is bound to: the wrapper of a `run`, with enough facts to notice that it has ended."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from jitid.values.field_types import COUNT, TIME, kept_text, pattern
from jitid.values.record import Record


class Liveness(StrEnum):
    """The state of a process, as far as the current machine can see it."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"
    """On another machine or in another container, or not visible on this system; never treated as alive."""


class Process(Record):
    """A process, with enough facts to distinguish it from a later process with the same number."""

    host: Annotated[str, kept_text(255, "the host")]
    """The machine's name, as in `uname -n`."""
    boot: Annotated[str, pattern("[0-9a-f-]{0,64}", "the id of a boot")]
    """The id of the boot (`/proc/sys/kernel/random/boot_id`); empty if the system has none."""
    namespace: Annotated[int, COUNT]
    """The inode of its PID namespace: process numbers are valid only within it. 0 on a system without namespaces."""
    pid: Annotated[int, COUNT]
    started: Annotated[int, COUNT]
    """When it started, in clock ticks since the boot (field 22 of `/proc/PID/stat`); 0 if unknown."""
    kept: bool
    """Whether its identity stays valid when the process ends (`--on-exit keep`)."""
    renews_until: Annotated[int, TIME] = 0
    """Until when the process renews its credentials, in seconds since the epoch.

    A missing renewal means that the process has ended. 0 is a client: other programs request and renew its identities,
    and a revocation bars the process. Every other process wraps one identity, or hands identities out.
    """

    def is_same(self, other: Process) -> bool:
        """Return whether another record is of the same process."""
        return self[:5] == other[:5]


RENEWS_NOTHING = 1
"""The `renews_until` of a process that is not a client, and renews nothing."""


class ProcessAbove(Record):
    """A process above a bound process, on the same machine, in the same boot and namespace."""

    pid: Annotated[int, COUNT]
    started: Annotated[int, COUNT]
    """As in `Process`."""


MOST_ABOVE = 100
"""Maximum number of processes above a process that are considered."""

_TOLERANCE = 60
"""Seconds that a renewal may always be late: without access to the ledger, the wrapper retries every half minute."""


def renewal_due(issued_at: int, expires_at: int, depth: int) -> float:
    """Return when a wrapper renews a credential at `depth` of a delegation chain.

    A root renews with a third of the lifetime left. A descendant renews later, so that its parent renews first.
    """
    return issued_at + (expires_at - issued_at) * (1 - 1 / (3 + depth))


def silent_from(issued_at: int, expires_at: int, depth: int) -> int:
    """Return the time from which a wrapper without a renewal counts as gone: half of the time to renew has passed."""
    renewal_at = renewal_due(issued_at, expires_at, depth)
    return int(max(renewal_at + (expires_at - renewal_at) / 2, renewal_at + _TOLERANCE))


FIRST_NAMESPACE = 0xEFFFFFFC
"""The inode of the PID namespace that a machine boots with (PROC_PID_INIT_INO of Linux's `proc_ns.h`)."""


def ended_with_boot(process: Process, observer: Process) -> bool:
    """Return whether the machine of `process` was booted again since, as seen from the process `observer`.

    Containers on different machines may share a name, so only a process outside all containers can decide this.
    """
    return (
        process.host == observer.host
        and "" != process.boot != observer.boot != ""
        and process.namespace == observer.namespace == FIRST_NAMESPACE
    )


def has_same_pid_namespace(process: Process, observer: Process) -> bool:
    """Return whether the number of `process` means the same process for `observer`."""
    return (process.host, process.boot, process.namespace) == (
        observer.host,
        observer.boot,
        observer.namespace,
    )
