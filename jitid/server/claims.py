"""What a valid credential says, as introspection tells it (RFC 7662, section 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.model.credential import TokenUse
from jitid.values import strict_json
from jitid.values.names import spiffe_id

if TYPE_CHECKING:
    from jitid.capabilities.issue.token_operations import Introspected
    from jitid.model.credential import Credential
    from jitid.model.ledger_rows import Ancestor

DEAD: dict[str, Any] = {"active": False}
"""All that is ever said of what is not valid, whatever it is not valid for."""


def told(found: Introspected) -> dict[str, Any]:
    """Return the claims of a credential: those of a signed one as they are signed, of an opaque one the same."""
    credential = found.credential
    context: dict[str, Any] = {
        "id": credential.id,
        "kind": credential.kind,
        "depth": credential.depth,
        "sensitivity": credential.sensitivity,
    }
    if credential.purpose is not None:
        context["purpose"] = credential.purpose
    is_identity = credential.token_use == TokenUse.IDENTITY
    if is_identity and credential.may_audience:
        context["may_audience"] = list(credential.may_audience)
    claims: dict[str, Any] = {
        "active": True,
        # No access token (RFC 8693, section 2.2.1): whoever takes this answer for one must not let its holder in.
        "token_type": "N_A" if is_identity else "Bearer",
        "iss": found.issuer,
        "sub": credential.delegator,
        "act": _act(found),
        "client_id": credential.agent,
        "aud": credential.audiences[0] if len(credential.audiences) == 1 else credential.audiences,
        "scope": " ".join(credential.scopes),
        "exp": credential.dies_at,
        "iat": credential.issued_at,
        "nbf": credential.issued_at,
        "jti": credential.jti,
        "txn": credential.task,
        "delegator_proof": credential.delegator_proof,
        "jitid": context,
    }
    if credential.details is not None:
        claims["authorization_details"] = strict_json.loads(credential.details)
    if credential.may_act is not None:
        claims["may_act"] = strict_json.loads(credential.may_act)
    return claims


def _act(found: Introspected) -> dict[str, Any]:
    """Return who acts now with those who acted before inside (RFC 8693, section 4.1)."""
    act: dict[str, Any] | None = None
    chain: list[Ancestor | Credential] = [*reversed(found.lineage), found.credential]
    for one in chain:
        sub = spiffe_id(found.trust_domain, one.agent, one.task, one.id, registered=one.under_agent)
        act = {"sub": sub} if act is None else {"sub": sub, "act": act}
    assert act is not None
    return act
