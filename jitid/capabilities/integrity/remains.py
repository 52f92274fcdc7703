"""Digests of the rows that remain of old events after a pruning; its audit event records them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jitid.values import strict_json
from jitid.values.ids import parse_approval_id

if TYPE_CHECKING:
    from jitid.model.approval import Approval

SIDES = ("issues", "ends", "settlements", "uses", "approvals", "leaks", "closings", "proofs", "sightings")
"""The kinds of rows that an event accounts for: issued, ended, settled at targets, used, leaked and more."""


class Remains:
    """Digests of the rows that remain of old events, by kind; the rows of each kind are in the order of events."""

    def __init__(self) -> None:
        self._hashes = {side: sha256() for side in SIDES}

    def take(self, side: str, event: int, parts: Iterable[bytes]) -> None:
        """Add the remaining rows of one event, if there are any."""
        encoded = [len(part).to_bytes(4, "big") + part for part in parts]
        if encoded:
            header = event.to_bytes(8, "big") + len(encoded).to_bytes(4, "big")
            self._hashes[side].update(header + b"".join(encoded))

    def digests(self) -> Mapping[str, str]:
        """Return SHA-256 of each kind of rows as hex, by its name.

        Each event with remaining rows adds, in order: its number in eight bytes, the number of parts in four, and each
        part after its length in four. Integers are big-endian. The parts are:

        - `issues`: jti, fingerprint and hash of the key of each credential; the last two empty if missing, and at
        targets.
        - `ends`, `leaks` and `closings`: each jti.
        - `settlements`, `uses` and `sightings`: the digest of the remaining rows as hex.
        - `approvals`: the id of the request and, if it had ended by then, how and when it ended, as JSON.
        - `proofs`: the jti. Proofs are ordered by time, and have the number of the leak instead of an event.
        """
        return {side: hash_.hexdigest() for side, hash_ in self._hashes.items()}


def issued_parts(rows: Iterable[tuple[Any, ...]], *, at_target: bool) -> list[bytes]:
    """Return the parts of `Remains` for issued credentials."""
    parts: list[bytes] = []
    for row in rows:
        # A credential at a target is confirmed later, by a separate event.
        parts += (row[1], b"", b"") if at_target else (row[1], row[2] or b"", row[4] or b"")
    return parts


def request_parts(row: Approval, through: int) -> list[bytes]:
    """Return the parts of `Remains` for a request for approval."""
    parts = [parse_approval_id(row.id)]
    if row.ended_event is not None and row.ended_event <= through:
        parts.append(strict_json.dumps([row.ended_as, row.ended_at, row.ended_event]).encode())
    return parts
