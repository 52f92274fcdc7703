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


def row(one: Access, now: int) -> dict[str, Any]:
    """Return an access credential as a row with the fields of `FIELDS` and `BRIEF`."""
    ends = one.expires_at if one.superseded_at is None else min(one.superseded_at, one.expires_at)
    state = one.state_at(now)
    return {
        "id": one.id,
        "name": one.name,
        "roles": _roles(one),
        "state": state.value,
        "by": "bearer" if one.public is None else "key",
        "issued_at": record_rows.time(one.issued_at),
        "expires_at": record_rows.time(one.expires_at),
        "ends_at": record_rows.time(ends),
        "ended_at": record_rows.time(one.ended_at),
        "predecessor": one.predecessor,
        "event": one.event,
        "ended_event": one.ended_event,
        "audiences": _audiences(one),
        "left": format_duration(ends - now) if state is AccessState.ACTIVE else None,
    }


def granted(one: Granted, token: str | None) -> dict[str, Any]:
    """Return a new access credential as a row with the fields of `GRANTED`."""
    fields = row(one.access, one.access.issued_at)
    return {"token": token, **{name: fields[name] for name in GRANTED if name != "token"}}


def _audiences(one: Access) -> tuple[str, ...]:
    """Return the audiences whose tokens the caller may see.

    If no audience is registered, a verifier, responder, auditor or admin sees the tokens of all audiences. Any other
    caller sees none.
    """
    unrestricted = {"verifier", "responder", "auditor", "admin"} & set(one.roles)
    if one.audiences == ALL_AUDIENCES or (one.audiences is None and unrestricted):
        return ("all audiences",)
    return one.audiences or ()


def _roles(one: Access) -> tuple[str, ...]:
    return ("bootstrap",) if one.bootstrap else one.roles
