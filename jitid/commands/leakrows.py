"""Leaks as rows for a format and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jitid.authority.operations import ListLeaks
from jitid.commands import rows
from jitid.commands.found import number
from jitid.lifetime import format_duration

if TYPE_CHECKING:
    from jitid.authority.protocol import Authority
    from jitid.exposure import LeakDetails, Leaked
    from jitid.leaks import Closed
    from jitid.ledger.leak import LeakFilter

FIELDS = (
    "leak",
    "id",
    "jti",
    "task",
    "agent",
    "delegator",
    "kind",
    "source",
    "reported_at",
    "added_at",
    "state",
    "valid",
    "dead_at",
    "exposure",
    "offline_until",
    "proved_at",
    "closed_at",
    "successors",
    "delegated",
    "lives_until",
)
BRIEF = ("leak", "jti", "agent", "source", "state", "exposure")
"""What fits on a terminal of 80 columns, with a short source."""
DETAILS = (
    *FIELDS,
    "reason",
    "purpose",
    "chain",
    "issued_at",
    "expires_at",
    "added_by",
    "event",
    "ended_by",
    "ended_reason",
    "ended_event",
    "closed_by",
    "closed_reason",
    "closed_event",
    "revoke",
)
CLOSED = ("closed", "already", "valid", "living", "event")
_PAGE = 5_000


def pages(
    authority: Authority, chosen: LeakFilter, most: int, *, valid: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the rows of at most so many leaks, the newest first, which are looked at page by page."""
    left = most
    while left:
        size = _PAGE if valid else min(_PAGE, left)
        page = authority.perform(ListLeaks(chosen=chosen, valid=valid, limit=size))
        yield from map(leak, page.leaks[:left])
        left -= min(len(page.leaks), left)
        if page.before is None:
            return
        chosen = chosen._replace(before=page.before)


def leak(one: Leaked) -> dict[str, Any]:
    """Return a leak by the names of `FIELDS`."""
    leak, credential = one.leak, one.credential
    return {
        "leak": leak.key,
        "id": credential.id,
        "jti": credential.jti,
        "task": credential.task,
        "agent": credential.agent,
        "delegator": credential.delegator,
        "kind": credential.kind,
        "source": leak.source,
        "reported_at": rows.time(leak.reported_at),
        "added_at": rows.time(leak.added_at),
        "state": one.state,
        "valid": one.reason is None,
        "dead_at": rows.time(leak.dead_at),
        "exposure": format_duration(one.exposure),
        "offline_until": rows.time(one.offline_until),
        "proved_at": rows.time(leak.proved_at),
        "closed_at": rows.time(leak.closed_at),
        "successors": 0 if leak.kin is None else leak.kin.successors,
        "delegated": 0 if leak.kin is None else leak.kin.delegated,
        "lives_until": None if leak.kin is None else rows.time(leak.kin.until),
    }


def lives_on(row: Mapping[str, Any]) -> bool:
    """Tell of a row whether the credential of an open leak has ended and its identity lives on."""
    return row["closed_at"] is None and row["dead_at"] is not None and row["lives_until"] is not None


def details(one: LeakDetails) -> dict[str, Any]:
    """Return all about a leak by the names of `DETAILS`."""
    credential = one.leaked.credential
    return {
        **leak(one.leaked),
        "reason": one.leaked.reason,
        "purpose": credential.purpose,
        "chain": [
            credential.delegator,
            *(above.agent for above in reversed(one.lineage)),
            credential.agent,
        ],
        "issued_at": rows.time(credential.issued_at),
        "expires_at": rows.time(credential.expires_at),
        "added_by": one.event.get("by"),
        "event": one.leaked.leak.event,
        # Whoever came by when something had run out ended nothing.
        "ended_by": None if one.leaked.state in ("expired", "superseded") else one.ended_event.get("by"),
        "ended_reason": one.ended_event.get("reason"),
        "ended_event": credential.ended_event,
        "closed_by": one.closed_event.get("by"),
        "closed_reason": one.closed_event.get("reason"),
        "closed_event": one.leaked.leak.closed_event,
        "revoke": None if one.leaked.leak.kin is None else f"jitid revoke {credential.jti}",
    }


def closed(one: Closed) -> dict[str, Any]:
    """Return what closing came to by the names of `CLOSED`."""
    return one._asdict()


def sentence(one: Closed) -> str:
    """Return what closing came to in words."""
    if not one.closed:
        return "nothing was open: it had been closed already"
    text = f"closed {number(one.closed, 'leak')}"
    if one.already:
        text += f", {one.already} had been closed already"
    if one.valid:
        text += f", {one.valid} of what still works"
    if one.living:
        text += (
            f", {one.living} of {'an identity that lives' if one.living == 1 else 'identities that live'} on"
        )
    return f"{text} (audit event {one.event})"
