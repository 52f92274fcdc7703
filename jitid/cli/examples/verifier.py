"""A service that accepts jitid's tokens: PyJWT and the published keys, without jitid.

    pip install 'pyjwt[crypto]'
    jitid publish /srv/www/jitid          # from cron, every few minutes
    python verifier.py < api.jwt

Set the three constants to your own values. `jitid config get issuer` prints the issuer. Revoked tokens are accepted
until they expire: for less, read the status list that the claim `status` names (`jitid verify --published` does).
"""

import sys
from typing import Any

import jwt

ISSUER = "urn:jitid:00000000-0000-0000-0000-000000000000"
AUDIENCE = "https://api.example"
KEYS = "https://www.example/jitid/jwks.json"

keys = jwt.PyJWKClient(KEYS, lifespan=300)


def verified(token: str, scope: str) -> dict[str, Any]:
    """Return the claims of a token that permits a scope. Raises jwt.InvalidTokenError for any other token."""
    header = jwt.get_unverified_header(token)
    if header.get("typ") != "at+jwt":
        # An identity token is for the authority alone (RFC 9068, section 4).
        raise jwt.InvalidTokenError("not an access token for services")
    try:
        key = keys.get_signing_key_from_jwt(token)
    except jwt.PyJWKClientError as error:
        raise jwt.InvalidTokenError("the token names no published key") from error
    claims = jwt.decode(
        token,
        key,
        algorithms=["EdDSA", "ES256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        options={"require": ["exp", "iat", "sub", "jti", "aud", "iss", "client_id"]},
    )
    if scope not in claims.get("scope", "").split():
        raise jwt.InvalidTokenError(f"the token lacks the scope {scope}")
    return claims


if __name__ == "__main__":
    claims = verified(sys.stdin.read().strip(), "repo:read:acme")
    # Both names belong into the service's own log: the delegator, and the acting agent.
    # If `sub` follows a template of the audience, `jitid.delegator` names the delegator.
    delegator = claims["jitid"].get("delegator", claims["sub"])
    print(f"{delegator} by {claims['act']['sub']}, task {claims['txn']}, until {claims['exp']}")
