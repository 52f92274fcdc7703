"""An issuer of ID tokens as the configuration has it, and what a token of it proves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple


class OidcIssuer(NamedTuple):
    """One issuer whose ID tokens prove a delegator, as the configuration has it."""

    issuer: str
    jwks: str
    """Where its keys are: an absolute path, or an https address (http on the loopback interface only)."""
    audience: str
    """What the issuer writes into `aud` for us."""
    claim: str = "sub"
    """The claim whose value names the delegator; `email` counts only with `email_verified`."""
    kind: str = "user"
    """What the value names: a `user` or a `system`."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA", "PS256")
    names: tuple[str, ...] | None = None
    """Patterns of the names, without their kind, that it may prove; None: all, if no other issuer proves this kind."""
    clients: tuple[tuple[str, str], ...] = ()
    """Pairs of a client id at the issuer and the caller of the authority that has it."""


class Proof(NamedTuple):
    """Who asks, as an issuer has proved it."""

    delegator: str
    issuer: str
    subject: str
    expires_at: int
    mark: bytes
    """SHA-256 that identifies the token, in any spelling of its signature."""
    proved_at: int | None = None
    """When it was issued, or the subject logged in, whichever is earlier; None if it does not say."""
    may_act: Mapping[str, Any] | None = None
    """Who alone may act for the subject, if the token says so (RFC 8693, section 4.4)."""
    clients: tuple[str, ...] = ()
    """The clients that the token was issued to (`azp`, `client_id`), as the issuer calls them; not jitid itself."""
    cnf: Mapping[str, Any] | None = None
    """The key whose possession its presenter must prove, if the token says so (RFC 7800)."""
    callers: Mapping[str, str] = MappingProxyType({})
    """Client id at the issuer -> the caller of the authority that has it."""

    def caller(self, client: str) -> str:
        """Return the caller that a client of the issuer is."""
        return self.callers.get(client, client)


Sort = Literal["id_token", "access_token", "jwt"]
"""What a token is said to be (RFC 8693, section 3); a `jwt` is either of the others."""


# What a key for an algorithm looks like: its type, its curve, the public members that make it.
_FORMS: dict[str, tuple[str, str | None, tuple[str, ...]]] = {
    "RS256": ("RSA", None, ("n", "e")),
    "PS256": ("RSA", None, ("n", "e")),
    "ES256": ("EC", "P-256", ("x", "y")),
    "EdDSA": ("OKP", "Ed25519", ("x",)),
}


ALGORITHMS = tuple(_FORMS)


KINDS = ("user", "system")
"""Of the names that an issuer may prove."""
