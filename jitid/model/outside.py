"""What a ledger answers about credentials at targets outside, and what becomes of them there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from jitid.model.target import TargetRecord
from jitid.values import strict_json


class Outside(NamedTuple):
    """A credential at a target, as the ledger has it. Times are seconds since the epoch."""

    key: int
    """The ledger's number of the credential."""
    record: TargetRecord
    facts: Mapping[str, Any]
    """What the target told of it, to be shown: never a secret."""
    confirmed: bool
    """Whether its secret is known to have been made: there is a fingerprint of it."""
    dead: bool
    """Whether it has ended, recorded or not: then nothing of it is to be left at the target."""
    ended_at: int | None
    """When its end was recorded."""
    settlement: str | None
    """What came of ending it there, the last time that was tried."""
    attempts: int
    next_at: int
    """From when on it is to be tried."""
    tried_at: int | None
    settled_at: int | None
    """Since when nothing is left to be done."""
    honoured_until: int | None
    """Until when the target takes it all the same."""
    proof: str | None
    """What was seen there, the last time that was tried."""
    event: int | None
    """The audit event that tells of that."""

    @property
    def died_at(self) -> int:
        """When it ended, or will at the latest."""
        expires_at = self.record.expires_at
        return expires_at if self.ended_at is None else min(self.ended_at, expires_at)

    @property
    def taken(self) -> bool:
        """Whether the target may take it: it lives, or nothing is known of its end there, or it cannot be ended."""
        return not self.dead or self.settled_at is None or self.settlement == "unsupported"


class Name(NamedTuple):
    """What something of ours is called at a target."""

    name: str
    jti: str
    live: bool
    """Whether the credential lives in the ledger."""
    settled: bool
    reference: str | None


def fingerprint_of(parts: Mapping[str, bytes]) -> bytes:
    """Return the fingerprint of a secret: that of its only part, or SHA-256 over those of its parts in their order."""
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
    """Return the digest of a confirmed credential: SHA-256 as hex over what the ledger has of it."""
    told = sha256(jti + fingerprint)
    for text in (target, name, reference or "", facts or ""):
        raw = text.encode()
        told.update(len(raw).to_bytes(4) + raw)
    for part, print_ in sorted(parts):
        told.update(sha256(part.encode()).digest() + print_)
    return told.hexdigest()


LAST_AFTER = 3_600
"""Seconds after which what could not be ended at its target is tried again, at the latest."""


class OutsideRow(NamedTuple):
    """What the ledger has of a credential at a target."""

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
    """What an audit event tells of credentials that were settled."""

    settled: str
    """`settled_digest`."""
    evidence: str
    """`evidence_digest`."""


def evidence_digest(members: Iterable[tuple[bytes, int | None, str | None]]) -> str:
    """Return the digest of how credentials were settled: SHA-256, as hex, over a canonical JSON array.

    It has an array for each credential in the order of issue: its raw `jti` as hex, until when the target may accept
    it (seconds since the epoch, or null), and the proof.
    """
    told = [[jti.hex(), until, proof] for jti, until, proof in members]
    return sha256(strict_json.dumps(told).encode()).hexdigest()


def settled_digest(members: Iterable[tuple[bytes, str]]) -> str:
    """Return the digest of credentials that were settled, in the order of issue: SHA-256 as hex."""
    told = sha256()
    for jti, settlement in members:
        told.update(jti + sha256(settlement.encode()).digest())
    return told.hexdigest()
