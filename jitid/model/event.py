"""The audit hash chain: the encoding of events as bytes, and the links between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any

from jitid.values import strict_json
from jitid.values.record import Record

DENIAL = "denial"
"""The operation of an event that records a refusal."""


class Event(Record):
    """One link of the chain. `body` has the stored bytes, which are the hashed bytes."""

    seq: int
    """The event's number, counted from 1; without gaps in a ledger that has a single chain."""
    body: bytes
    hash: bytes

    def document(self) -> dict[str, Any]:
        """Return the members of the body, with the number and the hash of the event."""
        document: dict[str, Any] = strict_json.loads(self.body, "audit event")
        return {"seq": self.seq, **document, "hash": self.hash.hex()}


class Link(Record):
    """The end of one of several chains."""

    chain: int
    length: int
    """The number of its events."""
    hash: bytes
    """The hash of the last event; for a chain without events, the hash that its first event is chained to."""


class Head(Record):
    """The last link. Comparison with a remembered head detects a cut tail and an older copy."""

    seq: int
    """The number of events; with a single chain, also the number of the last event."""
    hash: bytes
    """The hash of the last event; with several chains, a hash over the ends of all."""
    chains: tuple[Link, ...] = ()
    """The ends of the chains of the latest epoch, in order; empty for a ledger with a single chain."""


class BrokenChainError(ValueError):
    """A chain that does not verify; the message names the first bad event."""


def encode(operation: str, time: int, by: str, facts: Mapping[str, Any]) -> bytes:
    """Return the bytes of an event: canonical JSON without facts that have no value."""
    document = {name: value for name, value in facts.items() if value is not None}
    return strict_json.dumps({"op": operation, "at": time, "by": by, **document}).encode()


def genesis(ledger: str) -> bytes:
    """Return the hash that the first event of `ledger` (its UUID) is chained to.

    It is different in each ledger, so that events of one ledger cannot be used in another.
    """
    return sha256(b"jitid audit chain\0" + ledger.encode()).digest()


def link(previous: bytes, body: bytes) -> bytes:
    """Return the hash of an event: SHA-256 over the previous hash (32 bytes) and the body."""
    return sha256(previous + body).digest()


def issued_digest(members: Iterable[tuple[bytes, bytes | None]]) -> str:
    """Return the digest of adopted credentials in their order: SHA-256 over (jti, fingerprint), as hex.

    Older events that issued credentials have it too, from before `rows_digest` covered these columns.
    """
    # An unconfirmed credential has no fingerprint.
    return sha256(b"".join(filter(None, chain.from_iterable(members)))).hexdigest()


def rows_digest(
    kid: str | None,
    details: str | None,
    may_audience: str | None,
    uids: Sequence[bytes | None],
    claims: Sequence[bytes | None],
    status_places: Sequence[tuple[int, int] | None],
    jtis: Sequence[bytes] = (),
    prints: Sequence[bytes | None] = (),
) -> str:
    """Return the digest of the row contents that an `issue`, `renew` or `attach` event does not state itself.

    It is SHA-256, as hex, of a canonical JSON array, a newline, and the raw bytes that the array counts. The array has
    the key that signed, the authorization details, the audiences that the holder may obtain, the lengths of all
    identities, of all hashes of signed claims and of all fingerprints, and the places in status lists. The identities
    (16 bytes each), the hashes (32 each), the fingerprints (32 each) and the `jti`s (16 each) follow in their order.

    Args:
        kid: the key that signed the credentials; None for unsigned credentials.
        details: the `authorization_details` as canonical JSON.
        may_audience: the audiences for which the holder may obtain tokens, separated by spaces, as in the row.
        uids: the raw ids of the identities.
        claims: the hashes of the signed claims; None for a credential without.
        status_places: status list and place of each credential; None for a credential without a place.
        jtis: the raw ids of the credentials; empty for an event that also has the digest of `issued_digest`.
        prints: the fingerprints; None for a credential that a target has not confirmed yet.

    """
    parts = [b"".join(filter(None, raw_values)) for raw_values in (uids, claims, prints)]
    lengths = [len(part) for part in (parts if jtis else parts[:2])]
    listed = [list(status_place) for status_place in status_places if status_place is not None]
    document = strict_json.dumps([kid, details, may_audience, *lengths, listed])
    return sha256(b"".join((document.encode(), b"\n", *parts, *jtis))).hexdigest()


def certified_digest(prints: Iterable[bytes | None]) -> str | None:
    """Return the digest of certified keys: SHA-256 over their SHA-256 hashes, in order, as hex.

    None if there are no such keys.
    """
    joined = b"".join(filter(None, prints))
    return sha256(joined).hexdigest() if joined else None


def ended_digest(members: Iterable[bytes]) -> str:
    """Return the digest of the credentials that an event ended, in their order: SHA-256 over the raw `jti`s, as hex."""
    return sha256(b"".join(members)).hexdigest()


def sighted_digest(rows: Iterable[Sequence[object]]) -> str:
    """Return the digest of sightings in their order: SHA-256 over a line for each, as hex.

    A line is a canonical JSON array and a newline. It has leak, place, line, revision, found_at, finder and more.
    """
    digest = sha256()
    for row in rows:
        digest.update(strict_json.dumps(list(row)).encode() + b"\n")
    return digest.hexdigest()


def used_digest(members: Iterable[Sequence[object]]) -> str:
    """Return the digest of actions in their order: SHA-256 over a canonical JSON array with an array for each, as hex.

    Each has `jti` (null for a foreign token), action, resource, scope, 1 or 0 for allowed or denied, rules and reason.
    """
    return sha256(strict_json.dumps(list(members)).encode()).hexdigest()
