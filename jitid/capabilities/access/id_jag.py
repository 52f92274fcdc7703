"""The claims of an ID-JAG: an assertion of an identity provider about a person, for one client at one authority.

draft-ietf-oauth-identity-assertion-authz-grant; the grant is that of RFC 7523. `oidc` verifies the rest of the token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from jitid.errors import InvalidCredentialError, UsageError
from jitid.model.access import GrantBounds
from jitid.values import strict_json
from jitid.values.names import check_audience
from jitid.values.scope import MOST_SCOPES, parse_scope

TYPE = "oauth-id-jag+jwt"
"""The type in the header, exactly (RFC 8725, section 3.11)."""

LONGEST = 3_600
"""The maximum lifetime in seconds; the mark of its use is kept beyond it."""

_LONGEST_ID = 256
_MOST = MOST_SCOPES
"""The maximum number of scopes, resources and details."""

T = TypeVar("T")


def check(claims: Mapping[str, Any]) -> None:
    """Refuse claims that an ID-JAG must not have, or lacks. Raises InvalidCredentialError."""
    if claims["exp"] - claims["iat"] > LONGEST:
        raise InvalidCredentialError(f"the ID token is valid for more than {LONGEST} seconds")
    for name in ("jti", "client_id"):
        value = claims.get(name)
        if type(value) is not str or not 0 < len(value) <= _LONGEST_ID:
            raise InvalidCredentialError(
                f"the ID token's `{name}` must be a string of 1 to {_LONGEST_ID} characters"
            )
    if "act" in claims:
        # The new identity is the root of a delegation, so an earlier actor would be lost.
        raise InvalidCredentialError("the ID token names an actor (`act`), which is not supported")


def clients(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the client that the assertion is for, and the client that requested it."""
    party = claims.get("azp", claims["client_id"])
    if type(party) is not str or not party:
        raise InvalidCredentialError("the ID token's `azp` must be a string that is not empty")
    return tuple(dict.fromkeys((claims["client_id"], party)))


def bounds(claims: Mapping[str, Any]) -> GrantBounds:
    """Return the rights that the identity provider permits: a missing claim permits nothing.

    Raises InvalidCredentialError.
    """
    scope, resource = claims.get("scope", ""), claims.get("resource", [])
    scopes = (scope.split(" ") if scope else []) if type(scope) is str else None
    resources = [resource] if type(resource) is str else resource
    details = claims.get("authorization_details", [])
    return GrantBounds(
        _each("scope", scopes, parse_scope),
        _each("resource", resources, _resource),
        _each("authorization_details", details, _detail),
    )


def _each(name: str, values: object, read: Callable[[Any], T]) -> tuple[T, ...]:
    try:
        if type(values) is not list or len(values) > _MOST:
            raise UsageError(f"must be a list of at most {_MOST}")
        return tuple([read(value) for value in values])
    except UsageError:
        raise InvalidCredentialError(f"the ID token's `{name}` is not valid here") from None


def _resource(value: object) -> str:
    try:
        absolute = type(value) is str and bool(urlsplit(value).scheme) and "#" not in value
    except ValueError:
        absolute = False
    if not absolute:
        raise UsageError("a resource is an absolute URI without a fragment")
    return check_audience(str(value))


def _detail(value: object) -> str:
    if type(value) is not dict or type(value.get("type")) is not str or not value["type"]:
        raise UsageError("a detail is an object with a type")
    return strict_json.dumps(value)
