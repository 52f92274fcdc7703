"""Adopted secrets as rows for a format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.cli import record_rows
from jitid.model.target import BY_HAND
from jitid.values.times import NO_EXPIRY

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
"""Columns for a terminal of 80 columns, if names are short."""
ADDED = ("name", "id", "jti", "new", "already", "unverified", "event", "dry_run")
ENDED = ("ended", "already", "revoked", "event")
PROBED = ("name", "life", "seen")


def state_of(secret: AdoptedSecret, now: int) -> str:
    """Return the state of a secret.

    `standing`; `ended` if the end is confirmed at its place; `unconfirmed` if it has ended only in the ledger.
    """
    if secret.credential.ended_as is None and secret.credential.expires_at > now:
        return "standing"
    return "ended" if secret.confirmed else "unconfirmed"


def record(secret: AdoptedSecret, now: int) -> dict[str, Any]:
    """Return an adopted secret as a row with the fields of `FIELDS`."""
    credential, adopted, outside = secret
    target = outside.record.target
    return {
        "name": secret.name,
        "state": state_of(secret, now),
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
        "expires_at": None if credential.expires_at == NO_EXPIRY else record_rows.time(credential.expires_at),
        "ended_at": record_rows.time(credential.ended_at),
        "confirmed_at": record_rows.time(outside.settled_at) if secret.confirmed else None,
        "proof": outside.proof if secret.confirmed else None,
        "id": credential.id,
        "jti": credential.jti,
        "fingerprint": None if credential.fingerprint is None else credential.fingerprint.hex(),
    }


def added(adoption: Adoption, name: str | None, *, dry_run: bool) -> dict[str, Any]:
    """Return the result of an adoption as a row with the fields of `ADDED`; only a single new secret has ids."""
    single = adoption.taken[0] if len(adoption.taken) == 1 and adoption.new == 1 else None
    return {
        "name": name,
        "id": None if single is None else single.id,
        "jti": None if single is None else single.jti,
        "new": adoption.new,
        "already": adoption.already,
        "unverified": adoption.unverified,
        "event": adoption.event,
        "dry_run": dry_run,
    }


def ended(result: Finished) -> dict[str, Any]:
    """Return the result of confirming an end as a row with the fields of `ENDED`."""
    return {"ended": result.done, "already": result.already, "revoked": result.revoked, "event": result.event}
