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
        found = _PARENT.fullmatch(header)
        if (
            found is not None
            and (found["more"] is None or found["version"] != b"00")
            and found["trace"].strip(b"0")
            and found["parent"].strip(b"0")
        ):
            return f"00-{found['trace'].decode()}-{found['parent'].decode()}-{found['flags'].decode()}"
    fresh = os.urandom(24).hex()
    return f"00-{fresh[:32]}-{fresh[32:]}-00"


def trace_id(parent: str) -> str:
    """Return the id that all requests of one trace share."""
    return parent[3:35]
