"""The names in SPIFFE IDs, decoded."""

from __future__ import annotations

from jitid.errors import UsageError
from jitid.values import names
from jitid.values.names import MAX_NAME, encode_segment
from jitid.values.text import quote

_DECODED = {code: chr(point) for point, code in names._ENCODED.items()}


def decode_segment(segment: str) -> str:
    """Return the name that `encode_segment` encoded as this segment; raise UsageError if there is no such name."""
    first, *encoded = segment.split("_")
    try:
        name = first + "".join([_DECODED["_" + part[:2]] + part[2:] for part in encoded])
    except KeyError:
        raise UsageError(f"{quote(segment)} is no encoded name") from None
    # All other characters, and only those, must be unencoded.
    if not name or len(name) > MAX_NAME or encode_segment(name) != segment:
        raise UsageError(f"{quote(segment)} is no encoded name")
    return name
