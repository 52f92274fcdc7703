"""base64url without padding (RFC 4648, section 5), in its one canonical form."""

from __future__ import annotations

import binascii

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/", b"+/!!")


def b64url(data: bytes) -> str:
    """Return `data` in base64url without padding (RFC 7515, section 2)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def b64url_decode(text: str) -> bytes:
    """Return the bytes of canonical base64url: no padding, no spare bits, no foreign characters.

    Raises ValueError, which never repeats the text.
    """
    try:
        base64 = text.encode("ascii").translate(_FROM_URL)
        data = binascii.a2b_base64(base64 + b"=" * (-len(text) % 4))
    except ValueError:
        raise ValueError("not base64url") from None
    # The decoder skips unknown characters and drops spare bits; only a canonical text is equal after encoding again.
    if binascii.b2a_base64(data, newline=False).rstrip(b"=") != base64:
        raise ValueError("not canonical base64url")
    return data
