"""The audit hash chain: how an event is written as bytes, and how the events hang together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

from jitid.values import strict_json

DENIAL = "denial"
"""The operation of an event that tells of a refusal."""


class Event(NamedTuple):
    """One link of the chain. What was hashed is `body`, the bytes as they are stored."""

    seq: int
    """Counted from 1; without a gap in a ledger that has a single chain."""
    body: bytes
    hash: bytes

    def document(self) -> dict[str, Any]:
        """Return what the body says, with its place in the chain."""
        document: dict[str, Any] = strict_json.loads(self.body, "audit event")
        return {"seq": self.seq, **document, "hash": self.hash.hex()}


class Link(NamedTuple):
    """Where one of several chains ends."""

    chain: int
    length: int
    """How many events it has."""
    hash: bytes
    """That of the last one; of a chain without events what its first one is chained to."""


class Head(NamedTuple):
    """The last link: whoever remembers it notices a cut tail and an older copy."""

    seq: int
    """How many events there are: with a single chain the number of the last one."""
    hash: bytes
    """That of the last event; with several chains one over the ends of all."""
    chains: tuple[Link, ...] = ()
    """The ends of the chains of the latest epoch, in their order; nothing for a ledger that has a single chain."""


class BrokenChainError(ValueError):
    """The chain does not hold; the message says from which event on."""


def encode(operation: str, at: int, by: str, facts: Mapping[str, Any]) -> bytes:
    """Return the bytes of an event: canonical JSON, facts that are None left out."""
    document = {name: value for name, value in facts.items() if value is not None}
    return strict_json.dumps({"op": operation, "at": at, "by": by, **document}).encode()


def genesis(ledger: str) -> bytes:
    """Return the hash that the first event of `ledger` (its UUID) is chained to.

    It differs from ledger to ledger, so that the events of one do not pass for those of another.
    """
    return sha256(b"jitid audit chain\0" + ledger.encode()).digest()


def link(previous: bytes, body: bytes) -> bytes:
    """Return the hash of an event: SHA-256 over the previous hash (32 bytes) and the body."""
    return sha256(previous + body).digest()


def issued_digest(members: Iterable[tuple[bytes, bytes | None]]) -> str:
    """Return the digest of adopted credentials in their order: SHA-256 over (jti, fingerprint), as hex.

    Events that issued credentials had it too, before `rows_digest` took these columns in.
    """
    # Of what was never confirmed there is no fingerprint.
    return sha256(b"".join(filter(None, chain.from_iterable(members)))).hexdigest()


def rows_digest(
    kid: str | None,
    details: str | None,
    may_audience: str | None,
    uids: Sequence[bytes | None],
    claims: Sequence[bytes | None],
    places: Sequence[tuple[int, int] | None],
    jtis: Sequence[bytes] = (),
    prints: Sequence[bytes | None] = (),
) -> str:
    """Return the digest of what the rows of an `issue`, `renew` or `attach` event hold that the event does not state.

    It is SHA-256, as hex, of a canonical JSON array, a newline, and the raw bytes that the array counts. The array has
    the key that signed, the authorization details, the audiences that the holder may obtain, the lengths of all
    identities, of all hashes of signed claims and of all fingerprints, and the places in status lists. The identities
    (16 bytes each), the hashes (32 each), the fingerprints (32 each) and the `jti`s (16 each) follow in their order.

    Args:
        kid: the key that signed the credentials; None for those that nobody signs.
        details: the `authorization_details` as canonical JSON.
        may_audience: the audiences for which the holder may obtain tokens, separated by spaces, as the row has them.
        uids: the raw ids of the identities.
        claims: the hashes of the signed claims, None for what has none.
        places: status list and place of each, None for what is in none.
        jtis: the raw ids of the credentials; none for an event that has the digest of `issued_digest` besides.
        prints: the fingerprints, None for what a target has yet to confirm.

    """
    parts = [b"".join(filter(None, each)) for each in (uids, claims, prints)]
    lengths = [len(part) for part in (parts if jtis else parts[:2])]
    listed = [list(place) for place in places if place is not None]
    told = strict_json.dumps([kid, details, may_audience, *lengths, listed])
    return sha256(b"".join((told.encode(), b"\n", *parts, *jtis))).hexdigest()


def certified_digest(prints: Iterable[bytes | None]) -> str | None:
    """Return the digest of the keys that certificates are for: SHA-256 over their SHA-256, in their order, as hex.

    None if there are none.
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

    Each has `jti` (null for a token of others), action, resource, scope, 1 or 0 for allowed or not, rules and reason.
    """
    return sha256(strict_json.dumps(list(members)).encode()).hexdigest()
