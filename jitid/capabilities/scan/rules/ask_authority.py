"""Address of the authority from which scanners query the status of a token."""

from __future__ import annotations

import re

from jitid.errors import UsageError
from jitid.system.authority_address import parse_address
from jitid.values.text import quote

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
            "scanners ask over TCP, and this authority is at a Unix socket",
            "name its address with --authority https://HOST",
        )
    plain = str(address)
    if not _PLAIN.fullmatch(plain):
        raise UsageError(
            f"{quote(text)} has characters that rules cannot hold", "write it without % and the like"
        )
    return plain
