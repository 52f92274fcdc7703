"""An issuer of ID tokens in the configuration, and the proof that one of its tokens gives."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple


class OidcIssuer(NamedTuple):
    """One configured issuer whose ID tokens prove a delegator."""

    issuer: str
    jwks: str
    """The location of its keys: an absolute path, or an https address (http on the loopback interface only)."""
    audience: str
    """The `aud` value that the issuer uses for jitid."""
    claim: str = "sub"
    """The claim whose value names the delegator; `email` counts only with `email_verified`."""
    kind: str = "user"
    """The kind of name in the claim: `user` or `system`."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA", "PS256")
    names: tuple[str, ...] | None = None
    """Patterns of the names, without their kind, that it may prove; None: all, if no other issuer proves this kind."""
    clients: tuple[tuple[str, str], ...] = ()
    """Pairs of a client id at the issuer and the name of that client as a caller of the authority."""


class Proof(NamedTuple):
    """The identity of a caller, as an issuer has proved it."""

    delegator: str
    issuer: str
    subject: str
    expires_at: int
    mark: bytes
    """SHA-256 that identifies the token, in any spelling of its signature."""
    proved_at: int | None = None
    """When the token was issued or the subject logged in, whichever is earlier; None if the token states neither."""
    may_act: Mapping[str, Any] | None = None
    """The only parties that may act for the subject, if the token limits them (RFC 8693, section 4.4)."""
    clients: tuple[str, ...] = ()
    """The clients that the token was issued to (`azp`, `client_id`), by the issuer's names; not jitid itself."""
    cnf: Mapping[str, Any] | None = None
    """The key whose possession the presenter must prove, if the token names one (RFC 7800)."""
    callers: Mapping[str, str] = MappingProxyType({})
    """Client id at the issuer -> the caller of the authority that has it."""

    def caller(self, client: str) -> str:
        """Return the caller name of a client of the issuer."""
        return self.callers.get(client, client)


TokenType = Literal["id_token", "access_token", "jwt"]
"""The stated type of a token (RFC 8693, section 3); a `jwt` may be either of the other two."""


# The form of a key for each algorithm: its type, its curve and its public members.
_FORMS: dict[str, tuple[str, str | None, tuple[str, ...]]] = {
    "RS256": ("RSA", None, ("n", "e")),
    "PS256": ("RSA", None, ("n", "e")),
    "ES256": ("EC", "P-256", ("x", "y")),
    "EdDSA": ("OKP", "Ed25519", ("x",)),
}


ALGORITHMS = tuple(_FORMS)


KINDS = ("user", "system")
"""The kinds of names that an issuer may prove."""
