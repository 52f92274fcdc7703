"""What a ledger answers about standing secrets that were adopted, and what becomes of them there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from jitid.values import strict_json


class AdoptedRow(NamedTuple):
    """What is recorded of an adopted secret besides its credential."""

    credential: int
    """The ledger's own number."""
    place: str
    """Where it is kept, in words."""
    prefix: str | None
    """How the secret begins, as far as that is no part of it."""
    length: int | None
    """How many bytes it has."""
    target: str
    """Which target ends it; `BY_HAND` of `jitid.model.target` where somebody has to."""
    name: str
    """What it is called there."""
    reference: str | None
    facts: Mapping[str, str]
    """What is kept of it for that target."""
    parts: Mapping[str, bytes]
    """The fingerprints of what belongs to it and is no secret by itself."""
    waits_for: str | None
    """What has to be done to end it, where somebody has to."""


class Changed(NamedTuple):
    """What is known of an adopted secret from now on; whatever stays is told too."""

    row: AdoptedRow
    owner: int
    agent: int
    """Numbers of terms."""
    purpose: str | None
    expires_at: int


class Adopted(NamedTuple):
    """An adopted secret as the ledger has it."""

    credential: int
    place: str
    prefix: str | None
    length: int | None


def digest_of(members: Iterable[Sequence[Any]]) -> str:
    """Return the digest of what an event adopted: SHA-256, as hex, over a canonical JSON array a line for each."""
    told = sha256()
    for member in members:
        told.update(
            strict_json.dumps([each.hex() if isinstance(each, bytes) else each for each in member]).encode()
        )
        told.update(b"\n")
    return told.hexdigest()
