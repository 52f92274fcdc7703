"""Adopted secrets: the stated ones, the rows of the ledger, and changes to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any

from jitid.errors import UsageError
from jitid.model.directory import PERSON
from jitid.model.task import ADOPTED, MAX_PURPOSE
from jitid.model.types import SENSITIVITY
from jitid.values import strict_json
from jitid.values.field_types import (
    AGENT,
    COUNT,
    FINGERPRINT,
    TIME,
    kept_text,
    number,
    pattern,
    text,
    texts,
    typed_as,
)
from jitid.values.names import MAX_NAME, check_name
from jitid.values.record import Record

LONGEST_NAME = MAX_NAME - len(ADOPTED)
LONGEST_PLACE = 500
"""Characters."""
LONGEST_REFERENCE = 500
LONGEST_PREFIX = 64
LEAST_SECRET = 16
"""The minimum length of a secret in characters: a shorter one could be guessed from its fingerprint."""
MOST_SECRET = 16_384
"""The maximum length in bytes: a longer secret could not be found in a text."""
MOST_SECRETS = 100_000
"""The maximum number of secrets to adopt at once."""


ACCESS_KEY = "(?:AKIA|ASIA)[A-Z0-9]{12,124}"
"""The form of the id of an access key of AWS."""
ACCESS_KEY_ID = pattern(
    ACCESS_KEY, "the id of an access key", "ID", "ids of AWS access keys begin with AKIA or ASIA"
)
OWNER = typed_as(PERSON, "DELEGATOR", "known")
PLACE = kept_text(LONGEST_PLACE, "the place")
PURPOSE = kept_text(MAX_PURPOSE, "the purpose")
REFERENCE = kept_text(LONGEST_REFERENCE, "the reference")
TARGET = text(64, "the target", "NAME")
ADOPTED_NAME = texts(
    lambda value: check_own_name(value),
    "NAME",
    {"minLength": 1, "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9._@:/+-]+$"},
    "adopted",
)


class StandingSecret(Record):
    """The stated properties of one standing secret. Times are seconds since the epoch."""

    line: Annotated[int, COUNT]
    """Its line in a file; 0 on a command line."""
    name: Annotated[str, ADOPTED_NAME]
    owner: Annotated[str, PERSON]
    """The responsible delegator, by any of its names."""
    place: Annotated[str, PLACE]
    """Where it is kept: `vault kv/prod/github`."""
    purpose: Annotated[str, PURPOSE]
    agent: Annotated[str, AGENT]
    """The agent that uses it."""
    sensitivity: Annotated[str, SENSITIVITY]
    expires_at: Annotated[int | None, TIME]
    """None if the secret does not expire."""
    target: Annotated[str | None, TARGET]
    """The target of the configuration that can end it."""
    reference: Annotated[str | None, REFERENCE]
    """The target's own reference to it."""
    prefix: Annotated[str | None, kept_text(LONGEST_PREFIX, "the prefix")]
    length: Annotated[int | None, number(LEAST_SECRET, MOST_SECRET)]
    fingerprint: Annotated[bytes, FINGERPRINT]
    """SHA-256 of the secret; for a key pair, of the public key."""
    public: Annotated[bytes | None, FINGERPRINT]
    """SHA-256 of the SubjectPublicKeyInfo, for keys and certificates."""
    access_key_id: Annotated[str | None, ACCESS_KEY_ID]
    """The public part of an AWS access key."""


def check_own_name(text: str) -> str:
    """Return the name of an adopted secret: its task's name without the common prefix. Raises UsageError."""
    check_name(text, "secret's")
    if len(text) > LONGEST_NAME:
        raise UsageError(f"the name has {len(text)} characters; the maximum is {LONGEST_NAME}")
    return text


class AdoptedRow(Record):
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


class Adopted(Record):
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
            strict_json.dumps(
                [value.hex() if isinstance(value, bytes) else value for value in member]
            ).encode()
        )
        digest.update(b"\n")
    return digest.hexdigest()
