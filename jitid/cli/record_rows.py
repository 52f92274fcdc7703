"""Records of the ledger as rows for a format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitid.cli.invocation import Globals
from jitid.model.credential import Credential, State
from jitid.model.standing_secret import FOR_EVER
from jitid.system import output
from jitid.values.times import format_duration, format_time

_TOLD = 5
"""So many orphans are named one by one."""

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
    # A new one comes last: scripts and remedies take them by their number.
    "delegator_state",
    "delegated",
)
BRIEF = ("id", "task", "agent", "delegator", "state", "left")
"""What fits on a terminal of 80 columns; `left` is how long it still lives."""
BRIEF_BOUND = ("id", "task", "agent", "state", "left", "process")
"""The same where some of it is given to processes: `alive`, `gone`, or `unknown` from here."""


def columns(given: Globals, whole: tuple[str, ...], brief: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns to show: the brief ones for eyes at a terminal, all of them for everything else."""
    return brief if by_eye(given) and not given.verbose else whole


def by_eye(given: Globals) -> bool:
    """Return whether somebody looks at a table: at a terminal, or because it was asked for."""
    if given.field is not None:
        return False
    return given.format_name() == "table" or (given.format_name() is None and output.is_terminal())


def time(seconds: int | None) -> str | None:
    """Return a time as RFC 3339 text."""
    return None if seconds is None else format_time(seconds)


def process_state(row: Credential, now: int) -> str | None:
    """Return whether the process is there that a live credential was given to, as far as it can be told from here."""
    if row.process is None or row.state_at(now) is not State.ACTIVE:
        return None
    from jitid.system.processes import liveness, this_process

    return liveness(row.process, this_process()).value


def tell_orphans(given: Globals, found: Sequence[Credential]) -> None:
    """Say on standard error how to end what a killed `run` has left."""
    for row in found[:_TOLD]:
        given.warn(
            f"the process that {row.id} was given to is gone, and its credential lives until "
            f"{format_time(row.dies_at)}: {given.command(f'jitid revoke {row.id}')}"
        )
    if len(found) > _TOLD:
        rest = given.command("jitid list --process gone --field id")
        given.warn(f"so it is with {len(found) - _TOLD} more: {rest}")


def credential(row: Credential, now: int) -> dict[str, Any]:
    """Return a credential by the names of `CREDENTIAL`."""
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
    """Return how long a live credential still lives; None for one without an end."""
    if row.state_at(now) is not State.ACTIVE or row.dies_at >= FOR_EVER:
        return None
    return format_duration(row.dies_at - now)
