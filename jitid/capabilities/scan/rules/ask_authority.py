"""Where scanners ask an authority about what they found."""

from __future__ import annotations

import re

from jitid.errors import UsageError
from jitid.system.authority_address import parse_address
from jitid.values.text import quote

STATUS = "/token-status"
"""Tells whoever shows a token whether it works."""
REVOKE = "/revoke"
"""Ends a token (RFC 7009)."""

# It goes into files of three formats: none of them has a meaning for any of these.
_PLAIN = re.compile(r"[0-9A-Za-z.:/_~\[\]-]+")


def check_place(text: str) -> str:
    """Return the address of an authority, without a slash at its end.

    Raises:
        UsageError: it is none, or no scanner can ask there.

    """
    address = parse_address(text)
    if address.is_socket:
        raise UsageError(
            "scanners ask over TCP, and this authority is at a Unix socket",
            "name its address with --authority https://HOST",
        )
    plain = str(address)
    if not _PLAIN.fullmatch(plain):
        raise UsageError(
            f"{quote(text)} has characters that rules cannot hold", "write it without % and the like"
        )
    return plain
