"""Adopted secrets as rows for a format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.cli import record_rows
from jitid.model.standing_secret import FOR_EVER
from jitid.model.target import BY_HAND

if TYPE_CHECKING:
    from jitid.capabilities.adopt.adopted_secrets import AdoptedSecret, Finished
    from jitid.capabilities.adopt.adoption import Adoption

FIELDS = (
    "name",
    "state",
    "owner",
    "owner_state",
    "agent",
    "place",
    "purpose",
    "sensitivity",
    "target",
    "reference",
    "prefix",
    "length",
    "adopted_at",
    "expires_at",
    "ended_at",
    "confirmed_at",
    "proof",
    "id",
    "jti",
    "fingerprint",
)
BRIEF = ("name", "state", "owner", "place")
"""What fits on a terminal of 80 columns, with short names."""
ADDED = ("name", "id", "jti", "new", "already", "unverified", "event", "dry_run")
ENDED = ("ended", "already", "revoked", "event")
PROBED = ("name", "life", "seen")


def state_of(one: AdoptedSecret, now: int) -> str:
    """Return what has become of a secret.

    `standing`; `ended` once that is confirmed where it is kept; `unconfirmed` if it ended here alone.
    """
    if one.credential.ended_as is None and one.credential.expires_at > now:
        return "standing"
    return "ended" if one.confirmed else "unconfirmed"


def record(one: AdoptedSecret, now: int) -> dict[str, Any]:
    """Return an adopted secret by the names of `FIELDS`."""
    credential, adopted, outside = one
    target = outside.record.target
    return {
        "name": one.name,
        "state": state_of(one, now),
        "owner": credential.delegator,
        "owner_state": credential.delegator_state,
        "agent": credential.agent,
        "place": adopted.place,
        "purpose": credential.purpose,
        "sensitivity": credential.sensitivity,
        "target": None if target == BY_HAND else target,
        "reference": None if target == BY_HAND else outside.record.name,
        "prefix": adopted.prefix,
        "length": adopted.length,
        "adopted_at": record_rows.time(credential.issued_at),
        "expires_at": None if credential.expires_at == FOR_EVER else record_rows.time(credential.expires_at),
        "ended_at": record_rows.time(credential.ended_at),
        "confirmed_at": record_rows.time(outside.settled_at) if one.confirmed else None,
        "proof": outside.proof if one.confirmed else None,
        "id": credential.id,
        "jti": credential.jti,
        "fingerprint": None if credential.fingerprint is None else credential.fingerprint.hex(),
    }


def added(one: Adoption, name: str | None, *, dry_run: bool) -> dict[str, Any]:
    """Return what adopting came to by the names of `ADDED`; ids are those of a single one."""
    single = one.taken[0] if len(one.taken) == 1 and one.new == 1 else None
    return {
        "name": name,
        "id": None if single is None else single.id,
        "jti": None if single is None else single.jti,
        "new": one.new,
        "already": one.already,
        "unverified": one.unverified,
        "event": one.event,
        "dry_run": dry_run,
    }


def ended(one: Finished) -> dict[str, Any]:
    """Return what confirming an end came to by the names of `ENDED`."""
    return {"ended": one.done, "already": one.already, "revoked": one.revoked, "event": one.event}
