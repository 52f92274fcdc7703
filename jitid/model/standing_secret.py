"""A standing secret as it is stated: never the secret, but its fingerprint and all that is to be known of it."""

from __future__ import annotations

from typing import NamedTuple

from jitid.errors import UsageError
from jitid.model.task import ADOPTED
from jitid.values.names import MAX_NAME, check_name

FOR_EVER = 253_402_300_799  # 9999-12-31T23:59:59Z
"""When a secret ends that has no end of its own."""
LONGEST_NAME = MAX_NAME - len(ADOPTED)
LONGEST_PLACE = 500
"""Characters."""
LONGEST_REFERENCE = 500
LONGEST_PREFIX = 64
LEAST_SECRET = 16
"""So many characters a secret has at least: of shorter ones the fingerprint could be tried until it fits."""
MOST_SECRET = 16_384
"""Bytes: no longer one could be found in a text."""
MOST_SECRETS = 100_000
"""So many are adopted at once at most."""


class StandingSecret(NamedTuple):
    """What is stated of one standing secret. Times are seconds since the epoch."""

    line: int
    """Where it stands in a file; 0 on a command line."""
    name: str
    owner: str
    """Who answers for it, by any of their names."""
    place: str
    """Where it is kept: `vault kv/prod/github`."""
    purpose: str
    agent: str
    """Who uses it."""
    sensitivity: str
    expires_at: int | None
    """None if it has no end of its own."""
    target: str | None
    """The target of the configuration that can end it."""
    reference: str | None
    """What it is called there."""
    prefix: str | None
    length: int | None
    fingerprint: bytes
    """SHA-256 of the secret, or of the public key of a key."""
    public: bytes | None
    """SHA-256 of the SubjectPublicKeyInfo, for keys and certificates."""
    access_key_id: str | None
    """The part of AWS's keys that is no secret."""


def check_own_name(text: str) -> str:
    """Return the name of an adopted secret: that of its task without what all of them begin with. Raises UsageError."""
    check_name(text, "secret's")
    if len(text) > LONGEST_NAME:
        raise UsageError(f"the name has {len(text)} characters, more than {LONGEST_NAME}")
    return text
