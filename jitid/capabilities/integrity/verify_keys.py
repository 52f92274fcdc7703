"""Check of the ledger's signing keys against the audit events that made, retired and revoked them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jitid.crypto import jws
from jitid.errors import IntegrityError

if TYPE_CHECKING:
    from jitid.model.ledger_rows import SigningKey

KEY, RETIRED = b'"kid":"', b'"retired":['
"""Bytes of every event that makes, retires or revokes a key: inside a text the quotes would be escaped."""

_MAKING = frozenset({"init", "key-create", "key-rotate"})


class KeyMembers:
    """The comparison of signing keys with the events about them."""

    def __init__(self) -> None:
        self._uses: dict[str, str] = {}
        self._certified: dict[str, str] = {}
        """The digest of the certificates of each key that has certificates."""
        self._made: dict[str, int] = {}
        self._retired: dict[str, int] = {}
        self._revoked: dict[str, int] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event."""
        at, kid = event["at"], event.get("kid")
        if kid is not None:
            self._uses.setdefault(kid, event.get("use", "jws"))
            if event["op"] in _MAKING:
                self._made.setdefault(kid, at)
            if "certificates" in event:
                self._certified[kid] = event["certificates"]
            if event["op"] == "key-revoke":
                self._revoked.setdefault(kid, at)
                self._retired.setdefault(kid, at)
        retired = event.get("retired")
        for retired_kid in retired if isinstance(retired, list) else ():
            self._retired.setdefault(retired_kid, at)

    def compare_rows(self, keys: Iterable[SigningKey]) -> None:
        """Compare the keys of the ledger.

        Raises:
            IntegrityError: a key was edited, removed or inserted.

        """
        missing = set(self._made)
        for key in keys:
            missing.discard(key.kid)
            if key.kid not in self._uses or key.kid != jws.thumbprint(key.algorithm, key.public):
                raise IntegrityError(f"the ledger has a signing key {key.kid} that no event tells of")
            digest = None if key.certificates is None else sha256(key.certificates).hexdigest()
            if key.use != self._uses[key.kid] or digest != self._certified.get(key.kid):
                raise IntegrityError(f"what the signing key {key.kid} is for was changed in the ledger")
            if key.created_at != self._made.get(key.kid, key.created_at):
                raise IntegrityError(f"when the signing key {key.kid} was made was changed in the ledger")
            ends = (self._retired.get(key.kid), self._revoked.get(key.kid))
            if (key.retired_at, key.revoked_at) != ends:
                raise IntegrityError(
                    f"the signing key {key.kid} was retired or revoked, and the ledger does not say so as its events do"
                )
        if missing:
            raise IntegrityError(f"the ledger lacks the signing key {min(missing)} that an event tells of")
