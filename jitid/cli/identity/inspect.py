"""`jitid inspect`: show all facts about a token or an id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.inventory.operations import Inspect, Inspection
from jitid.cli import hints, record_rows
from jitid.cli.invocation import Invocation
from jitid.formats.display import Display
from jitid.issuers.issuer import spec_of
from jitid.model.credential import (
    PROOFS,
    Credential,
    Kind,
    State,
    TokenUse,
    accepted_until,
    base_kind,
    is_outside,
)
from jitid.model.delegation import act_claim, actors_of

if TYPE_CHECKING:
    from jitid.cli.identity import commands


def inspect(cli: Invocation, args: commands.InspectCommand) -> None:
    """Perform `jitid inspect`."""
    if args.subject is not None and args.subject.startswith(("jid_", "jti_")):
        operation = Inspect(id=args.subject)
    else:
        operation = Inspect(token=hints.subject(args.subject))
    with hints.advised():
        inspection = open_authority(cli.config()).perform(operation)
    row = args.view.row(inspection, _computed(inspection))
    if not cli.by_eye():
        cli.show(Display(args.view.schema, args.view.fields, [row], one=True))
        return
    for name in ("exp", "iat", "nbf"):
        row[name] = f"{row[name]} ({record_rows.time(row[name])})"
    columns = tuple(name for name in row if row[name] not in (None, "", []))
    cli.show(Display(args.view.schema, columns, [row], one=True))


def _computed(inspection: Inspection) -> dict[str, Any]:
    from jitid.values import strict_json

    credential, task = inspection.credential, inspection.task
    event, ended = inspection.event or {}, inspection.ended_event
    return {
        "state": "active" if inspection.active else _state(inspection),
        "sub": credential.delegator,
        "act": act_claim(actors_of(inspection.trust_domain, [credential, *inspection.lineage])),
        "chain": [
            credential.delegator,
            *(ancestor.agent for ancestor in reversed(inspection.lineage)),
            credential.agent,
        ],
        "scope": " ".join(credential.scopes),
        "aud": list(credential.audiences),
        "exp": credential.expires_at,
        "iat": credential.issued_at,
        "nbf": credential.issued_at,
        "token_type": None if credential.kind in (*PROOFS, Kind.ADOPTED) else _token_type(credential),
        "authorization_details": None
        if credential.details is None
        else strict_json.loads(credential.details),
        "task": {
            "name": task.name,
            "state": "ended" if task.ended_at is not None else "open",
            "purpose": task.purpose,
            "sensitivity": task.sensitivity,
            "deadline": record_rows.time(task.deadline),
            "opened_at": record_rows.time(task.opened_at),
            "ended_at": record_rows.time(task.ended_at),
        },
        "last_used_at": max((use.last_at for use in inspection.used), default=None),
        "scopes_used": [use.scope for use in inspection.used],
        "decision": {
            "event": credential.event,
            **{
                name: event[name]
                for name in ("rules", "policy", "ttl", "lifetime", "refused", "by", "approval", "approvers")
                if name in event
            },
        },
        "ended": None
        if ended is None
        else {
            "at": record_rows.time(credential.ended_at),
            "as": credential.ended_as,
            "event": credential.ended_event,
            "by": ended.get("by"),
            "reason": ended.get("reason"),
        },
        "process": _process(inspection),
        "at_target": _at_target(inspection),
        "revocation_list": _revocation_list(inspection),
        "may_kind": None if credential.may_kind is None else list(credential.may_kind),
        "may_audience": credential.may_audience if credential.token_use else (),
    }


def _revocation_list(inspection: Inspection) -> dict[str, Any] | None:
    """Return the revocation list of a certificate that ended before its expiry, with its serial number, or None."""
    credential = inspection.credential
    if credential.ended_as in (None, State.EXPIRED):
        return None
    spec = None if is_outside(credential.kind) else spec_of(base_kind(credential.kind))
    if spec is None or spec.serial_of is None:
        return None
    return {
        "verb": spec.revocation_list,
        # As text: the number is wider than JSON numbers that every reader keeps exact (RFC 8259, section 6).
        "serial": str(spec.serial_of(credential.jti)),
        "ended_at": record_rows.time(credential.ended_at),
        "event": credential.ended_event,
        "honoured_until": record_rows.time(accepted_until(credential.expires_at)),
    }


def _at_target(inspection: Inspection) -> dict[str, Any] | None:
    """Return the target that created a credential, and the evidence of its revocation there."""
    outside = inspection.outside
    if outside is None:
        return None
    return {
        "target": outside.record.target,
        "name": outside.record.name,
        "reference": outside.record.reference,
        "facts": dict(outside.facts),
        "settlement": outside.settlement,
        "proof": outside.proof,
        "attempts": outside.attempts,
        "tried_at": record_rows.time(outside.tried_at),
        "settled_at": record_rows.time(outside.settled_at),
        "next_at": record_rows.time(outside.next_at) if outside.settled_at is None and outside.dead else None,
        "honoured_until": record_rows.time(outside.honoured_until),
        "event": outside.event,
    }


def _process(inspection: Inspection) -> dict[str, Any] | None:
    from jitid.system.processes import liveness, this_process

    process = inspection.credential.process
    if process is None:
        return None
    return {
        "host": process.host,
        "pid": process.pid,
        "state": liveness(process, this_process()).value,
        "on_exit": "keep" if process.kept else "revoke",
    }


def _state(inspection: Inspection) -> str:
    if inspection.credential.ended_as is not None:
        return inspection.credential.ended_as
    return "expired" if inspection.reason and "expired" in inspection.reason else "invalid"


def _token_type(credential: Credential) -> str:
    """Return the token type: `N_A` for a token that is not an access token (RFC 8693, section 2.2.1)."""
    return "N_A" if credential.token_use == TokenUse.IDENTITY else "Bearer"
