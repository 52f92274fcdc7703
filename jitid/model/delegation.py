"""The rules of delegation: a child holds no more than its parent, in any respect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitid.model.credential import Credential
from jitid.model.ledger_rows import Ancestor
from jitid.values import audience, strict_json
from jitid.values.names import spiffe_id
from jitid.values.record import Record
from jitid.values.scope import Scope, uncovered


class Grant(Record):
    """The rights of a credential's holder that delegation narrows."""

    scopes: Sequence[Scope]
    audiences: Sequence[str]
    """The audiences for which the holder may obtain tokens, as in `may_audience`; a child's own audiences count too."""
    details: Sequence[str]
    """Each of the `authorization_details` (RFC 9396) as canonical JSON text."""
    expires_at: int
    """Seconds since the epoch."""
    depth: int
    """The number of delegations above it; 0 for a root."""
    kinds: Sequence[str] | None = None
    """The kinds, with templates, of the credential and of those its holder may obtain; None allows any kind."""


class Widening(Record):
    """One respect in which a child would hold more than its parent."""

    what: str
    """`scope`, `audience`, `detail`, `kind`, `expiry` or `depth`."""
    values: tuple[str, ...]


def delegator_of(claims: Mapping[str, Any]) -> str:
    """Return the root delegator that a token's verified claims state: `sub`, unless that follows a template."""
    context = claims.get("jitid")
    stated = context.get("delegator") if isinstance(context, Mapping) else None
    return str(claims["sub"] if stated is None else stated)


def detail_texts(details: str | None) -> list[str]:
    """Return each of the `authorization_details` that a credential has, as canonical JSON text."""
    if details is None:
        return []
    return [strict_json.dumps(detail) for detail in strict_json.loads(details, "details")]


def widenings(parent: Grant, child: Grant) -> tuple[Widening, ...]:
    """Return every respect in which `child` is not narrower than `parent`; an empty tuple permits the delegation.

    "Narrower" is reflexive and transitive except for the depth, which each hop raises by one.
    """
    respects = []
    if wider := uncovered(parent.scopes, child.scopes):
        respects.append(Widening("scope", tuple(wider)))
    if foreign := audience.uncovered(parent.audiences, child.audiences):
        respects.append(Widening("audience", foreign))
    parent_details = frozenset(parent.details)
    if unknown := tuple([detail for detail in child.details if detail not in parent_details]):
        respects.append(Widening("detail", unknown))
    if parent.kinds is not None:
        # Rows from before grants named kinds permit any.
        child_kinds = ("any",) if child.kinds is None else child.kinds
        if extra_kinds := tuple(dict.fromkeys(kind for kind in child_kinds if kind not in parent.kinds)):
            respects.append(Widening("kind", extra_kinds))
    if child.expires_at > parent.expires_at:
        respects.append(Widening("expiry", (str(child.expires_at),)))
    if child.depth != parent.depth + 1:
        respects.append(Widening("depth", (str(child.depth),)))
    return tuple(respects)


def actors_of(trust_domain: str, chain: Sequence[Credential | Ancestor]) -> tuple[str, ...]:
    """Return the SPIFFE IDs of the identities of a chain."""
    return tuple(
        [spiffe_id(trust_domain, hop.agent, hop.task, hop.id, registered=hop.under_agent) for hop in chain]
    )


def act_claim(actors: Sequence[str]) -> dict[str, Any] | None:
    """Return the `act` claim (RFC 8693, section 4.1): the current actor first, with the earlier actors nested inside.

    None if there are no actors. A token's own, outermost `act` is written in `issuers/jwt.py`, around this one.
    """
    claim: dict[str, Any] | None = None
    for actor in reversed(actors):
        claim = {"sub": actor} if claim is None else {"sub": actor, "act": claim}
    return claim
