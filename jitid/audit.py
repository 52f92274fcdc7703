"""The audit hash chain: how an event is written as bytes, and how the events hang together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

from jitid import strictjson

DENIAL = "denial"
"""The operation of an event that tells of a refusal."""


class Event(NamedTuple):
    """One link of the chain. What was hashed is `body`, the bytes as they are stored."""

    seq: int
    """Counted from 1 without a gap."""
    body: bytes
    hash: bytes

    def document(self) -> dict[str, Any]:
        """Return what the body says, with its place in the chain."""
        document: dict[str, Any] = strictjson.loads(self.body, "audit event")
        return {"seq": self.seq, **document, "hash": self.hash.hex()}


class Head(NamedTuple):
    """The last link: whoever remembers it notices a cut tail and an older copy."""

    seq: int
    hash: bytes


class BrokenChainError(ValueError):
    """The chain does not hold; the message says from which event on."""


def encode(operation: str, at: int, by: str, facts: Mapping[str, Any]) -> bytes:
    """Return the bytes of an event: canonical JSON, facts that are None left out."""
    document = {name: value for name, value in facts.items() if value is not None}
    return strictjson.dumps({"op": operation, "at": at, "by": by, **document}).encode()


def genesis(ledger: str) -> bytes:
    """Return the hash that the first event of `ledger` (its UUID) is chained to.

    It differs from ledger to ledger, so that the events of one do not pass for those of another.
    """
    return sha256(b"jitid audit chain\0" + ledger.encode()).digest()


def link(previous: bytes, body: bytes) -> bytes:
    """Return the hash of an event: SHA-256 over the previous hash (32 bytes) and the body."""
    return sha256(previous + body).digest()


def issued_digest(members: Iterable[tuple[bytes, bytes | None]]) -> str:
    """Return the digest of issued credentials in their order: SHA-256 over (jti, fingerprint), as hex."""
    # Of what was never confirmed there is no fingerprint.
    return sha256(b"".join(filter(None, chain.from_iterable(members)))).hexdigest()


def ended_digest(members: Iterable[bytes]) -> str:
    """Return the digest of the credentials that an event ended, in their order: SHA-256 over the raw `jti`s, as hex."""
    return sha256(b"".join(members)).hexdigest()


def used_digest(members: Iterable[Sequence[object]]) -> str:
    """Return the digest of actions in their order: SHA-256 over a canonical JSON array with an array for each, as hex.

    Each has `jti` (null for a token of others), action, resource, scope, 1 or 0 for allowed or not, rules and reason.
    """
    return sha256(strictjson.dumps(list(members)).encode()).hexdigest()


def check_chain(start: Head, events: Iterable[Event]) -> Iterator[Event]:
    """Yield each event after checking that it follows from the one before it.

    Raises:
        BrokenChainError: an event was edited, removed, inserted or moved.

    """
    seq, previous = start
    for event in events:
        seq += 1
        if event[0] != seq:
            raise BrokenChainError(f"event {seq} is missing: event {event[0]} follows event {seq - 1}")
        try:
            previous = sha256(previous + event[1]).digest()
        except TypeError:
            # Whoever edits with a database's own functions may leave text where bytes were.
            raise BrokenChainError(f"event {seq} is no longer the bytes that were written") from None
        if previous != event[2]:
            raise BrokenChainError(
                f"event {seq} does not follow from the one before it: one of them was changed"
            )
        yield event
