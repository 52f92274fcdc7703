"""Trace context: the ids that link a request to the requests before and after it (W3C Trace Context, section 3.2)."""

from __future__ import annotations

import os
import re

# Version 00 ends after the flags; a later version may continue (section 3.2.4), and is passed on as version 00.
_PARENT = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    rb"(?P<more>-[ -~]*)?"
)
_LONGEST = 512


def traceparent(header: bytes | None) -> str:
    """Return the `traceparent` of a request if it is valid; a new one otherwise."""
    if header is not None and len(header) <= _LONGEST:
        match = _PARENT.fullmatch(header)
        if (
            match is not None
            and (match["more"] is None or match["version"] != b"00")
            and match["trace"].strip(b"0")
            and match["parent"].strip(b"0")
        ):
            return f"00-{match['trace'].decode()}-{match['parent'].decode()}-{match['flags'].decode()}"
    random_hex = os.urandom(24).hex()
    return f"00-{random_hex[:32]}-{random_hex[32:]}-00"


def trace_id(parent: str) -> str:
    """Return the id that all requests of one trace share."""
    return parent[3:35]
