"""Checks of the ledger's names and signing keys against the audit events that set and changed them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.integrity.store import RowStore
from jitid.crypto import jws
from jitid.errors import IntegrityError
from jitid.ledger import contract
from jitid.ledger.view import View
from jitid.model.ledger_rows import FOREVER, OF_NAMES, SERVICE_ALGORITHM, Names, SigningKey
from jitid.values.text import quote

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
        self._machines: dict[str, str] = {}
        """The machine that made each key, where it is recorded."""
        self._retired: dict[str, int] = {}
        self._revoked: dict[str, int] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event."""
        at, kid = event["at"], event.get("kid")
        if kid is not None:
            self._uses.setdefault(kid, event.get("use", "jws"))
            if event["op"] in _MAKING:
                self._made.setdefault(kid, at)
                if "machine" in event:
                    self._machines.setdefault(kid, event["machine"])
            if "certificates" in event:
                self._certified[kid] = event["certificates"]
            if event["op"] == "key-revoke":
                self._revoked.setdefault(kid, at)
                self._retired.setdefault(kid, at)
        retired = event.get("retired")
        for retired_kid in retired if isinstance(retired, list) else ():
            self._retired.setdefault(retired_kid, at)

    def compare_rows(self, keys: Iterable[SigningKey]) -> None:
        """Compare the keys of the ledger. Raises IntegrityError if a key was edited, removed or inserted."""
        missing = set(self._made)
        for key in keys:
            missing.discard(key.kid)
            if key.kid not in self._uses or key.kid != jws.thumbprint(key.algorithm, key.public):
                raise IntegrityError(f"no audit event records the signing key {key.kid} of the ledger")
            digest = None if key.certificates is None else sha256(key.certificates).hexdigest()
            if key.use != self._uses[key.kid] or digest != self._certified.get(key.kid):
                raise IntegrityError(f"the use of the signing key {key.kid} was changed in the ledger")
            if key.machine != self._machines.get(key.kid):
                raise IntegrityError(f"the machine of the signing key {key.kid} was changed in the ledger")
            if key.created_at != self._made.get(key.kid, key.created_at):
                raise IntegrityError(
                    f"the creation time of the signing key {key.kid} was changed in the ledger"
                )
            ends = (self._retired.get(key.kid), self._revoked.get(key.kid))
            if (key.retired_at, key.revoked_at) != ends:
                raise IntegrityError(
                    f"the end of the signing key {key.kid}, retired or revoked, does not match its events"
                )
        if missing:
            raise IntegrityError(f"the ledger lacks the signing key {min(missing)}, which an event records")


MARKS = (b'"op":"init"', b'"op":"ledger-copy"', b'"op":"ledger-issuer"', b'"op":"key-algorithm"')
"""Bytes of the events about names: inside a text the quotes would be escaped."""

_UNSTATED = -1
"""Time of a former name in events of earlier versions, which do not state until when it counts."""


class NamesMembers:
    """The comparison of the ledger's names with the last state that events record."""

    def __init__(self, snapshot: View, issuer: str) -> None:
        self._snapshot = snapshot
        self.issuer = issuer
        """The issuer after the last event that was taken: events leave it out as an audience."""
        self._expected: Names | None = None
        self._seq = 0
        self._agents_until: int | None = None
        """`Names.agents_until` of a new ledger; None if an earlier version may have made the ledger."""

    @property
    def upgraded(self) -> bool:
        """Whether an earlier version may have made the ledger."""
        return self._agents_until is None

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event."""
        if event["op"] == "init":
            self._expected = Names(
                event.get("ledger", ""), event.get("issuer", self.issuer), event.get("trust_domain", "")
            )
            self._agents_until = event.get("agents_until")
            self._expected = self._expected._replace(service_algorithm=event.get(SERVICE_ALGORITHM))
        elif event["op"] == "key-algorithm" and self._expected is not None:
            self._expected = self._expected._replace(named_at=seq, service_algorithm=event["algorithm"])
        elif "issuer" in event and self._expected is not None:
            self._expected = self._expected.renamed(event["issuer"], event.get("until", _UNSTATED))
            if event["op"] == "ledger-issuer":
                self._expected = self._expected._replace(named_at=seq)
        self.issuer = event.get("issuer", self.issuer)
        self._seq = seq

    def compare_rows(self, since: int | None) -> None:
        """Compare the ledger with the events.

        Args:
            since: the number of the first identity after the upgrade that set `agents_until`, as far as events show
                it; None if they do not.

        Raises:
            IntegrityError: a setting was changed, added or removed.

        """
        expected = self._expected
        if expected is None:
            return
        # Read the settings again: the ledger was opened earlier.
        settings = self._snapshot.settings()
        try:
            names = Names.of(settings)
        except KeyError as missing:
            raise IntegrityError(f"the ledger lacks its setting {missing.args[0]}") from None
        if unknown := settings.keys() - OF_NAMES - {contract.SETTING}:
            raise IntegrityError(f"the ledger has an unknown setting {quote(min(unknown))}")
        self._check_agents(names.agents_until, since)
        for label, actual, stated in (
            ("uuid", names.uuid, expected.uuid or names.uuid),
            ("issuer", names.issuer, expected.issuer),
            ("trust domain", names.trust_domain, expected.trust_domain or names.trust_domain),
            ("former issuers", names.former, expected.former),
            ("number of the event that named the issuer", names.named_at, expected.named_at),
            ("service algorithm", names.service_algorithm, expected.service_algorithm),
        ):
            if actual != stated:
                raise IntegrityError(
                    f"the ledger's {label} was changed: it does not match the events up to {self._seq}"
                )
        for (name, until), expected_until in zip(names.lasting(), expected.former_until, strict=True):
            if until != expected_until and not (
                expected_until == _UNSTATED and until <= self._latest(settings)
            ):
                raise IntegrityError(
                    f"the end of the former issuer {name} was changed: it does not match the audit log"
                )

    def _check_agents(self, agents_until: int, since: int | None) -> None:
        """Compare `agents_until`. A lower number only takes names from agents."""
        last_identity = RowStore(self._snapshot).last_identity()
        limit = last_identity if since is None else min(last_identity, since - 1)
        if agents_until > (limit if self._agents_until is None else self._agents_until):
            raise IntegrityError(
                "the ledger's setting agents_until was changed: unregistered identities would have names of "
                "registered agents"
            )

    def _latest(self, settings: Mapping[str, str]) -> int:
        """Return the latest possible end of a former name if no event states its end."""
        if "former_until" not in settings:
            # The schema is of an earlier version.
            return FOREVER
        return max(self._snapshot.now, CredentialStore(self._snapshot).latest_expiry_of_all() or 0)
