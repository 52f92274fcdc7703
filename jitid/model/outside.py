"""Credentials at external targets: their state in the ledger, and the outcome of ending them there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from jitid.model.target import TargetRecord
from jitid.values import strict_json


class Outside(NamedTuple):
    """A credential at a target, as recorded in the ledger. Times are seconds since the epoch."""

    key: int
    """The ledger's number of the credential."""
    record: TargetRecord
    facts: Mapping[str, Any]
    """Displayable facts that the target returned about it: never a secret."""
    confirmed: bool
    """Whether the ledger has a fingerprint, which shows that the secret was made."""
    dead: bool
    """Whether it has ended, recorded or not: then no trace of it may be left at the target."""
    ended_at: int | None
    """When its end was recorded."""
    settlement: str | None
    """The outcome of the latest attempt to end it there."""
    attempts: int
    next_at: int
    """The time from which the next attempt is due."""
    tried_at: int | None
    settled_at: int | None
    """When it was settled; None while work is left."""
    honoured_until: int | None
    """The time until which the target accepts it in spite of its end."""
    proof: str | None
    """The evidence from the latest attempt."""
    event: int | None
    """The audit event that records the attempt."""

    @property
    def ends_at(self) -> int:
        """When it ended, or will end at the latest."""
        expires_at = self.record.expires_at
        return expires_at if self.ended_at is None else min(self.ended_at, expires_at)

    @property
    def is_accepted(self) -> bool:
        """Whether the target may accept it: it is live, its end there is not settled, or the target cannot end it."""
        return not self.dead or self.settled_at is None or self.settlement == "unsupported"


class Name(NamedTuple):
    """The name of a credential issued by jitid at a target."""

    name: str
    jti: str
    live: bool
    """Whether the credential is live in the ledger."""
    settled: bool
    reference: str | None


def fingerprint_of(parts: Mapping[str, bytes]) -> bytes:
    """Return the fingerprint of a secret: that of its only part, or SHA-256 over those of all its parts in order."""
    if len(parts) == 1:
        (single,) = parts.values()
        return single
    return sha256(b"".join(parts.values())).digest()


def confirmed_digest(
    jti: bytes,
    target: str,
    name: str,
    reference: str | None,
    facts: str | None,
    fingerprint: bytes,
    parts: Iterable[tuple[str, bytes]],
) -> str:
    """Return the digest of a confirmed credential: SHA-256 as hex over its facts in the ledger."""
    digest = sha256(jti + fingerprint)
    for text in (target, name, reference or "", facts or ""):
        raw = text.encode()
        digest.update(len(raw).to_bytes(4) + raw)
    for part, print_ in sorted(parts):
        digest.update(sha256(part.encode()).digest() + print_)
    return digest.hexdigest()


LAST_AFTER = 3_600
"""The maximum delay in seconds between two attempts to end a credential at its target."""


class OutsideRow(NamedTuple):
    """The ledger's row for a credential at a target."""

    jti: bytes
    target: str
    name: str
    reference: str | None
    facts: str | None
    fingerprint: bytes | None
    settlement: str
    settled_at: int | None
    honoured_until: int | None
    proof: str | None
    event: int | None
    next_at: int
    tried_at: int | None
    parts: list[tuple[str, bytes]]


class SettledDigests(NamedTuple):
    """The digests of settled credentials in an audit event."""

    settled: str
    """`settled_digest`."""
    evidence: str
    """`evidence_digest`."""


def evidence_digest(members: Iterable[tuple[bytes, int | None, str | None]]) -> str:
    """Return the digest of how credentials were settled: SHA-256, as hex, over a canonical JSON array.

    The array has an entry for each credential in the order of issue: its raw `jti` as hex, until when the target may
    accept it (seconds since the epoch, or null), and the proof.
    """
    document = [[jti.hex(), until, proof] for jti, until, proof in members]
    return sha256(strict_json.dumps(document).encode()).hexdigest()


def settled_digest(members: Iterable[tuple[bytes, str]]) -> str:
    """Return the digest of credentials that were settled, in the order of issue: SHA-256 as hex."""
    digest = sha256()
    for jti, settlement in members:
        digest.update(jti + sha256(settlement.encode()).digest())
    return digest.hexdigest()
