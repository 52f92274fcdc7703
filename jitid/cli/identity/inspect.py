"""`jitid inspect`: show all facts about a token or an id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.inventory.operations import Inspect, Inspection
from jitid.cli import hints, record_rows
from jitid.cli.invocation import Invocation
from jitid.formats.display import Display
from jitid.issuers.issuer import spec_of
from jitid.model.acceptance import accepted_until
from jitid.model.credential import PROOFS, Credential, Kind, State, TokenUse, base_kind, is_outside
from jitid.model.delegation import act_claim, actors_of

if TYPE_CHECKING:
    from jitid.cli.identity import commands

FIELDS = (
    "active",
    "reason",
    "state",
    "sub",
    "act",
    "chain",
    "scope",
    "aud",
    "iss",
    "exp",
    "iat",
    "nbf",
    "jti",
    "client_id",
    "token_type",
    "txn",
    "delegator_proof",
    "delegator_state",
    "authorization_details",
    "id",
    "parent",
    "depth",
    "kind",
    "sensitivity",
    "purpose",
    "task",
    "descendants",
    "live_descendants",
    "last_used_at",
    "scopes_used",
    "decision",
    "ended",
    "kid",
    "process",
    "template",
    "at_target",
    "revocation_list",
    "delegated",
    "may_kind",
    "token_use",
    "may_audience",
    "may_act",
)


def inspect(cli: Invocation, args: commands.InspectCommand) -> None:
    """Perform `jitid inspect`."""
    cli.expect(FIELDS)
    if args.subject is not None and args.subject.startswith(("jid_", "jti_")):
        operation = Inspect(id=args.subject)
    else:
        operation = Inspect(token=hints.subject(args.subject))
    with hints.advised():
        row = _row(open_authority(cli.config()).perform(operation))
    if not cli.by_eye():
        cli.show(Display("jitid.inspect/1", FIELDS, [row], one=True))
        return
    for name in ("exp", "iat", "nbf"):
        row[name] = f"{row[name]} ({record_rows.time(row[name])})"
    columns = tuple(name for name in FIELDS if row[name] not in (None, "", []))
    cli.show(Display("jitid.inspect/1", columns, [row], one=True))


def _row(inspection: Inspection) -> dict[str, Any]:
    from jitid.values import strict_json

    credential, task = inspection.credential, inspection.task
    event, ended = inspection.event or {}, inspection.ended_event
    chain = [
        credential.delegator,
        *(ancestor.agent for ancestor in reversed(inspection.lineage)),
        credential.agent,
    ]
    return {
        "active": inspection.active,
        "reason": inspection.reason,
        "state": "active" if inspection.active else _state(inspection),
        "sub": credential.delegator,
        "act": act_claim(actors_of(inspection.trust_domain, [credential, *inspection.lineage])),
        "chain": chain,
        "scope": " ".join(credential.scopes),
        "aud": list(credential.audiences),
        "iss": inspection.issuer,
        "exp": credential.expires_at,
        "iat": credential.issued_at,
        "nbf": credential.issued_at,
        "jti": credential.jti,
        "client_id": credential.agent,
        "token_type": None if credential.kind in (*PROOFS, Kind.ADOPTED) else _token_type(credential),
        "txn": credential.task,
        "delegator_proof": credential.delegator_proof,
        "delegator_state": credential.delegator_state,
        "authorization_details": None
        if credential.details is None
        else strict_json.loads(credential.details),
        "id": credential.id,
        "parent": credential.parent,
        "depth": credential.depth,
        "kind": credential.kind,
        "sensitivity": credential.sensitivity,
        "purpose": credential.purpose,
        "task": {
            "name": task.name,
            "state": "ended" if task.ended_at is not None else "open",
            "purpose": task.purpose,
            "sensitivity": task.sensitivity,
            "deadline": record_rows.time(task.deadline),
            "opened_at": record_rows.time(task.opened_at),
            "ended_at": record_rows.time(task.ended_at),
        },
        "descendants": inspection.descendants,
        "live_descendants": inspection.live_descendants,
        "last_used_at": record_rows.time(max((use.last_at for use in inspection.used), default=None)),
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
        "kid": credential.signed_by,
        "process": _process(inspection),
        "template": credential.template,
        "at_target": _at_target(inspection),
        "revocation_list": _revocation_list(inspection),
        "delegated": credential.depth > 0,
        "may_kind": None if credential.may_kind is None else list(credential.may_kind),
        "token_use": credential.token_use,
        "may_audience": credential.may_audience if credential.token_use else (),
        "may_act": credential.may_act,
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
