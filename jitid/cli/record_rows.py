"""Records of the ledger as rows for a format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitid.cli.invocation import Invocation
from jitid.model.credential import Credential, State
from jitid.values.times import NO_EXPIRY, format_duration, format_time

_MOST_ORPHANS = 5
"""Maximum number of orphans that are named one by one."""


def process_state(row: Credential, now: int) -> str | None:
    """Return whether the process of a live credential exists, as far as this machine can see; else None."""
    if row.process is None or row.state_at(now) is not State.ACTIVE:
        return None
    from jitid.system.processes import liveness, this_process

    return liveness(row.process, this_process()).value


def warn_of_orphans(cli: Invocation, orphans: Sequence[Credential]) -> None:
    """Warn of credentials that a killed `run` has left, with the commands that revoke them."""
    for orphan in orphans[:_MOST_ORPHANS]:
        cli.warn(
            f"the process of {orphan.id} is gone, and its credential is valid until "
            f"{format_time(orphan.ends_at)}: {cli.command(f'jitid revoke {orphan.id}')}"
        )
    if len(orphans) > _MOST_ORPHANS:
        command = cli.command("jitid list --process gone --field id")
        cli.warn(
            f"{len(orphans) - _MOST_ORPHANS} more credentials belong to processes that are gone: {command}"
        )


def computed(row: Credential, now: int) -> dict[str, Any]:
    """Return the values of a credential that depend on the time: its state, its process and its remaining lifetime."""
    state = row.state_at(now)
    endless = state is not State.ACTIVE or row.ends_at >= NO_EXPIRY
    return {
        "state": state,
        "process": process_state(row, now),
        "left": None if endless else format_duration(row.ends_at - now),
    }
