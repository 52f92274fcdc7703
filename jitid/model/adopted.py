"""Adopted secrets in a ledger, and changes to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from jitid.values import strict_json


class AdoptedRow(NamedTuple):
    """The ledger's row for an adopted secret, besides the row of its credential."""

    credential: int
    """The ledger's number for the credential."""
    place: str
    """Where it is kept, as free text."""
    prefix: str | None
    """The public prefix of the secret."""
    length: int | None
    """Its length in bytes."""
    target: str
    """The target that ends it; `BY_HAND` of `jitid.model.target` if a person has to end it."""
    name: str
    """Its name there."""
    reference: str | None
    facts: Mapping[str, str]
    """Further facts that the target needs."""
    parts: Mapping[str, bytes]
    """The fingerprints of its public parts."""
    waits_for: str | None
    """The manual steps that end it, if a person has to end it."""


class Changed(NamedTuple):
    """The complete new properties of an adopted secret, unchanged ones included."""

    row: AdoptedRow
    owner: int
    agent: int
    """Numbers of terms: the owner and the agent."""
    purpose: str | None
    expires_at: int


class Adopted(NamedTuple):
    """An adopted secret in the ledger."""

    credential: int
    place: str
    prefix: str | None
    length: int | None


def digest_of(members: Iterable[Sequence[Any]]) -> str:
    """Return the digest of an event's adopted secrets: SHA-256, as hex, over a line of canonical JSON for each."""
    digest = sha256()
    for member in members:
        digest.update(
            strict_json.dumps([each.hex() if isinstance(each, bytes) else each for each in member]).encode()
        )
        digest.update(b"\n")
    return digest.hexdigest()
