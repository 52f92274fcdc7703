"""What is left of the rows that old events account for, as digests that the event of a pruning tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jitid.values import strict_json
from jitid.values.ids import parse_approval_id

if TYPE_CHECKING:
    from jitid.model.approval import Approval

SIDES = ("issues", "ends", "settlements", "uses", "approvals", "leaks", "closings", "proofs", "sightings")
"""What rows an event may account for: what it issued, ended, settled at targets, says was used or leaked, and more."""


class Remains:
    """Takes what is left of the events up to a number, side by side and each in the order of the events."""

    def __init__(self) -> None:
        self._hashes = {side: sha256() for side in SIDES}

    def take(self, side: str, event: int, parts: Iterable[bytes]) -> None:
        """Take what is left of one event; nothing, where nothing is left."""
        told = [len(part).to_bytes(4, "big") + part for part in parts]
        if told:
            start = event.to_bytes(8, "big") + len(told).to_bytes(4, "big")
            self._hashes[side].update(start + b"".join(told))

    def digests(self) -> Mapping[str, str]:
        """Return SHA-256 of each side as hex, by its name.

        Of each event of which something is left, in order: its number in eight bytes, in four how many parts follow,
        and each part after its length in four. Parts are, as integers are big-endian, of what was issued jti,
        fingerprint and hash of the key it is for of each credential (empty where there is none, and at targets); of
        what was ended each jti; of what was settled or used the digest of the rest as hex; of a request its id and, if
        it had ended by then, how and when as JSON; of what leaked or was closed each jti, of proofs, which count by
        their time instead of an event, number and jti, of sightings their digest.
        """
        return {side: found.hexdigest() for side, found in self._hashes.items()}


def issued_parts(rows: Iterable[tuple[Any, ...]], *, at_target: bool) -> list[bytes]:
    """Return the parts of `Remains` for what was issued."""
    parts: list[bytes] = []
    for row in rows:
        # What a target makes is confirmed later, and by an event of its own.
        parts += (row[1], b"", b"") if at_target else (row[1], row[2] or b"", row[4] or b"")
    return parts


def request_parts(row: Approval, through: int) -> list[bytes]:
    """Return the parts of `Remains` for a request."""
    parts = [parse_approval_id(row.id)]
    if row.ended_event is not None and row.ended_event <= through:
        parts.append(strict_json.dumps([row.ended_as, row.ended_at, row.ended_event]).encode())
    return parts
