"""Access credentials as rows for a format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.cli import record_rows
from jitid.model.access import ALL_AUDIENCES, AccessState
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.capabilities.access.grant import Granted
    from jitid.model.access import Access

FIELDS = (
    "id",
    "name",
    "roles",
    "state",
    "by",
    "issued_at",
    "expires_at",
    "ends_at",
    "ended_at",
    "predecessor",
    "event",
    "ended_event",
    "audiences",
)
BRIEF = ("id", "name", "roles", "state", "left", "audiences")
"""Columns for a terminal; `left` is the remaining lifetime."""
GRANTED = (
    "token",
    "id",
    "name",
    "roles",
    "by",
    "issued_at",
    "expires_at",
    "predecessor",
    "event",
    "audiences",
)
REVOKED = ("ended", "event")


def row(access: Access, now: int) -> dict[str, Any]:
    """Return an access credential as a row with the fields of `FIELDS` and `BRIEF`."""
    ends_at = (
        access.expires_at if access.superseded_at is None else min(access.superseded_at, access.expires_at)
    )
    state = access.state_at(now)
    return {
        "id": access.id,
        "name": access.name,
        "roles": _roles(access),
        "state": state.value,
        "by": "bearer" if access.public is None else "key",
        "issued_at": record_rows.time(access.issued_at),
        "expires_at": record_rows.time(access.expires_at),
        "ends_at": record_rows.time(ends_at),
        "ended_at": record_rows.time(access.ended_at),
        "predecessor": access.predecessor,
        "event": access.event,
        "ended_event": access.ended_event,
        "audiences": _audiences(access),
        "left": format_duration(ends_at - now) if state is AccessState.ACTIVE else None,
    }


def granted(grant: Granted, token: str | None) -> dict[str, Any]:
    """Return a new access credential as a row with the fields of `GRANTED`."""
    fields = row(grant.access, grant.access.issued_at)
    return {"token": token, **{name: fields[name] for name in GRANTED if name != "token"}}


def _audiences(access: Access) -> tuple[str, ...]:
    """Return the audiences whose tokens the caller may see.

    If no audience is registered, a verifier, responder, auditor or admin sees the tokens of all audiences. Any other
    caller sees none.
    """
    unrestricted = {"verifier", "responder", "auditor", "admin"} & set(access.roles)
    if access.audiences == ALL_AUDIENCES or (access.audiences is None and unrestricted):
        return ("all audiences",)
    return access.audiences or ()


def _roles(access: Access) -> tuple[str, ...]:
    return ("bootstrap",) if access.bootstrap else access.roles
