"""The claims of a valid credential in introspection (RFC 7662, section 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.model.credential import TokenUse
from jitid.model.delegation import act_claim, actors_of
from jitid.values import strict_json

if TYPE_CHECKING:
    from jitid.capabilities.issue.token_operations import Introspected

INACTIVE: dict[str, Any] = {"active": False}
"""The complete answer about a credential that is not valid, for any reason."""


def claims_of(found: Introspected) -> dict[str, Any]:
    """Return the claims of a credential: the signed claims, or the same claims for an opaque token."""
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
        # Not an access token (RFC 8693, section 2.2.1): a client that takes this answer for one must not admit the
        # holder.
        "token_type": "N_A" if is_identity else "Bearer",
        "iss": found.issuer,
        "sub": credential.delegator,
        "act": act_claim(actors_of(found.trust_domain, [credential, *found.lineage])),
        "client_id": credential.agent,
        "aud": credential.audiences[0] if len(credential.audiences) == 1 else credential.audiences,
        "scope": " ".join(credential.scopes),
        "exp": credential.ends_at,
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
