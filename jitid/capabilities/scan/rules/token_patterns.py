"""Regular expressions for jitid's tokens that RE2, Go, Rust and Vectorscan read alike.

And the address of the authority from which scanners query the status of a token.
"""

from __future__ import annotations

import re

from jitid.errors import UsageError
from jitid.redaction.token_format import OPAQUE_PREFIX, RANDOM_LENGTH, SIGNED_MARK
from jitid.system.authority_address import parse_address
from jitid.values.record import Record
from jitid.values.text import quote

CHECKSUM_LENGTH = 6
_BASE62 = "[0-9A-Za-z]"
_BASE64URL = "[0-9A-Za-z_-]"
_SIGNED = {"eyJhbGciOiJF": 86, "eyJhbGciOiJSUzI1NiIs": 342}
"""By the beginning of the header, the number of characters of the signature.

`{"alg":"E` of EdDSA and ES256: 64 bytes (RFC 7515, appendix A.3, and RFC 8037); `{"alg":"RS256",`: 256 bytes.
"""


class Pattern(Record):
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
    "|".join(
        rf"{header}{_BASE64URL}+\.{SIGNED_MARK}{_BASE64URL}+\.{_BASE64URL}{{{length}}}"
        for header, length in _SIGNED.items()
    ),
    SIGNED_MARK,
)
PATTERNS = (TOKEN, SIGNED)


STATUS = "/token-status"
"""Path that reports whether the presented token is valid."""
REVOKE = "/revoke"
"""Path that revokes a token (RFC 7009)."""

# The address is written into files of three formats: in none of them these characters have a special meaning.
_PLAIN = re.compile(r"[0-9A-Za-z.:/_~\[\]-]+")


def check_place(text: str) -> str:
    """Return the address of an authority, without a slash at its end.

    Raises:
        UsageError: it is not an address, or scanners cannot query this address.

    """
    address = parse_address(text)
    if address.is_socket:
        raise UsageError(
            "scanners query authorities over TCP, and this authority is at a Unix socket",
            "state its address with --authority https://HOST",
        )
    plain = str(address)
    if not _PLAIN.fullmatch(plain):
        raise UsageError(
            f"{quote(text)} has characters that rules cannot contain",
            "use an address without % or special characters",
        )
    return plain
