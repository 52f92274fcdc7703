"""Rows of credentials at targets compared with the audit events that confirmed and settled them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jitid.errors import IntegrityError
from jitid.identifier import credential_id, parse_id
from jitid.ledger.outside import OutsideSnapshot, confirmed_digest, settled_digest
from jitid.ledger.pruned import PrunedMembers


class OutsideMembers:
    """Takes the events that confirm and settle, and says which rows are not as they tell."""

    def __init__(self, outside: OutsideSnapshot, pruned: PrunedMembers) -> None:
        self._outside = outside
        self._pruned = pruned
        self._made: set[bytes] = set()
        self._adopted: set[bytes] = set()
        self._confirmed: dict[bytes, str] = {}
        self._settled: dict[int, str] = {}
        self.count = 0

    def made(self, jtis: Iterable[bytes]) -> None:
        """Take the credentials that an event issued at a target."""
        self._made.update(jtis)

    def adopted(self, jtis: Iterable[bytes]) -> None:
        """Take the standing secrets that an event adopted: it tells all of them by its own digest."""
        self._adopted.update(jtis)

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event that confirms a credential, or settles some."""
        if "confirmed" in event:
            self._confirmed[parse_id(event["jti"])[1]] = event["confirmed"]
        elif event["final"]:
            self._settled[seq] = event["settled"]

    def must_be_done(self) -> None:
        """Compare the rows.

        Raises:
            IntegrityError: one is not as the events tell, or there is one of which none tells, or one is missing.

        """
        final: dict[int, list[tuple[bytes, str]]] = {}
        for (
            jti,
            target,
            name,
            reference,
            facts,
            fingerprint,
            settlement,
            settled_at,
            event,
            parts,
        ) in self._outside.rows(self._pruned.without):
            if settled_at is not None:
                final.setdefault(event, []).append((jti, settlement))
            self.count += 1
            if jti in self._adopted:
                continue
            if jti not in self._made:
                raise IntegrityError(
                    "the ledger has a credential at a target that no event says was made there"
                )
            self._made.discard(jti)
            told = self._confirmed.pop(jti, None)
            if fingerprint is None:
                if told is not None or parts:
                    raise _edited(jti)
            elif told != confirmed_digest(jti, target, name, reference, facts, fingerprint, parts):
                raise _edited(jti)
        missing = next(iter(self._made or self._pruned.there(self._confirmed)), None)
        if missing is not None:
            raise IntegrityError(f"{credential_id(missing)} is at a target, and the ledger no longer says so")
        for seq in sorted(final.keys() | self._settled.keys()):
            told, found = self._settled.get(seq), settled_digest(final.get(seq, ()))
            if seq <= self._pruned.through and told is not None:
                self._pruned.settled(seq, final.get(seq, ()), found)
            elif told != found:
                raise IntegrityError(f"what event {seq} settled at a target is not in the ledger as it says")


def _edited(jti: bytes) -> IntegrityError:
    return IntegrityError(
        f"what the ledger has of {credential_id(jti)} at its target is not what was confirmed"
    )
