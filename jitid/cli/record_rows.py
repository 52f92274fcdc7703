"""Records of the ledger as rows for a format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitid.cli.invocation import Invocation
from jitid.model.credential import Credential, State
from jitid.values.times import NO_EXPIRY, format_duration, format_time

_MOST_ORPHANS = 5
"""Maximum number of orphans that are named one by one."""

CREDENTIAL = (
    "id",
    "jti",
    "task",
    "agent",
    "delegator",
    "delegated_by",
    "delegator_proof",
    "kind",
    "state",
    "sensitivity",
    "scopes",
    "audiences",
    "purpose",
    "depth",
    "parent",
    "issued_at",
    "expires_at",
    "ended_at",
    "signed_by",
    "process",
    # Append new fields: scripts and remedies refer to fields by their number.
    "delegator_state",
    "delegated",
)
BRIEF = ("id", "task", "agent", "delegator", "state", "left")
"""Columns for a terminal of 80 columns; `left` is the remaining lifetime."""
BRIEF_BOUND = ("id", "task", "agent", "state", "left", "process")
"""Columns if some credentials belong to processes: `alive`, `gone`, or `unknown` on this machine."""


def columns(cli: Invocation, whole: tuple[str, ...], brief: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns to show: the brief ones in a table for people, otherwise all."""
    return brief if cli.by_eye() and not cli.verbose else whole


def time(seconds: int | None) -> str | None:
    """Return a time as RFC 3339 text."""
    return None if seconds is None else format_time(seconds)


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
            f"the process that {orphan.id} was given to is gone, and its credential lives until "
            f"{format_time(orphan.ends_at)}: {cli.command(f'jitid revoke {orphan.id}')}"
        )
    if len(orphans) > _MOST_ORPHANS:
        command = cli.command("jitid list --process gone --field id")
        cli.warn(f"so it is with {len(orphans) - _MOST_ORPHANS} more: {command}")


def credential(row: Credential, now: int) -> dict[str, Any]:
    """Return a credential as a row with the fields of `CREDENTIAL`, and `left`."""
    return {
        "id": row.id,
        "jti": row.jti,
        "task": row.task,
        "agent": row.agent,
        "delegator": row.delegator,
        "delegated_by": row.delegated_by,
        "delegator_proof": row.delegator_proof,
        "kind": row.kind,
        "state": row.state_at(now).value,
        "sensitivity": row.sensitivity,
        "scopes": row.scopes,
        "audiences": row.audiences,
        "purpose": row.purpose,
        "depth": row.depth,
        "parent": row.parent,
        "issued_at": time(row.issued_at),
        "expires_at": time(row.expires_at),
        "ended_at": time(row.ended_at),
        "signed_by": row.signed_by,
        "process": process_state(row, now),
        "delegator_state": row.delegator_state,
        "delegated": row.depth > 0,
        "left": _left(row, now),
    }


def _left(row: Credential, now: int) -> str | None:
    """Return the remaining lifetime of a live credential; None for any other, or if it has no end."""
    if row.state_at(now) is not State.ACTIVE or row.ends_at >= NO_EXPIRY:
        return None
    return format_duration(row.ends_at - now)
