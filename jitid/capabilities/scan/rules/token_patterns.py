"""Regular expressions for jitid's tokens that RE2, Go, Rust and Vectorscan read alike."""

from __future__ import annotations

from typing import NamedTuple

from jitid.redaction.token_format import OPAQUE_PREFIX, RANDOM_LENGTH, SIGNED_MARK

CHECKSUM_LENGTH = 6
_BASE62 = "[0-9A-Za-z]"
_BASE64URL = "[0-9A-Za-z_-]"
_HEADER = "eyJhbGciOiJF"
"""`{"alg":"E` in base64url: of EdDSA and ES256."""
_SIGNATURE_LENGTH = 86
"""The length for both algorithms: 64 bytes (RFC 7515, appendix A.3, and RFC 8037)."""


class Pattern(NamedTuple):
    """The pattern of one kind of token."""

    name: str
    description: str
    regex: str
    """The expression has no word boundaries: tokens occur in addresses, after `%3D`, and beside letters. Their text is
    rare enough without them.
    """
    keyword: str
    """Text that each of these tokens contains, for scanners that search for it first."""


TOKEN = Pattern(
    "jitid-token",
    "opaque token of jitid: a credential of an agent, or access to an authority",
    f"{OPAQUE_PREFIX}{_BASE62}{{{RANDOM_LENGTH + CHECKSUM_LENGTH}}}",
    OPAQUE_PREFIX,
)
SIGNED = Pattern(
    "jitid-signed-token",
    "signed token (JWT) of jitid: a credential of an agent",
    rf"{_HEADER}{_BASE64URL}+\.{SIGNED_MARK}{_BASE64URL}+\.{_BASE64URL}{{{_SIGNATURE_LENGTH}}}",
    SIGNED_MARK,
)
PATTERNS = (TOKEN, SIGNED)
