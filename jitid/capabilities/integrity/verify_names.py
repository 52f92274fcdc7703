"""Check of the names of a ledger against the audit events that set and changed them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.integrity.store import RowStore
from jitid.errors import IntegrityError
from jitid.ledger import seal
from jitid.model.ledger_rows import FOREVER, OF_NAMES, Names
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.ledger.view import View

MARKS = (b'"op":"init"', b'"op":"ledger-copy"', b'"op":"ledger-issuer"')
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
            raise IntegrityError(f"the ledger lacks its {missing.args[0]}") from None
        if unknown := settings.keys() - OF_NAMES - {seal.SETTING}:
            raise IntegrityError(f"the ledger has a setting {quote(min(unknown))} that no ledger has")
        self._check_agents(names.agents_until, since)
        for label, actual, stated in (
            ("uuid", names.uuid, expected.uuid or names.uuid),
            ("issuer", names.issuer, expected.issuer),
            ("trust domain", names.trust_domain, expected.trust_domain or names.trust_domain),
            ("former issuers", names.former, expected.former),
            ("number of the event that named the issuer", names.named_at, expected.named_at),
        ):
            if actual != stated:
                raise IntegrityError(
                    f"the ledger's {label} is not what event {self._seq} and those before it tell: it was changed"
                )
        for (name, until), expected_until in zip(names.lasting(), expected.former_until, strict=True):
            if until != expected_until and not (
                expected_until == _UNSTATED and until <= self._latest(settings)
            ):
                raise IntegrityError(
                    f"until when the former issuer {name} counts is not what the audit log tells: it was changed"
                )

    def _check_agents(self, agents_until: int, since: int | None) -> None:
        """Compare `agents_until`. A lower number only takes names from agents."""
        last_identity = RowStore(self._snapshot).last_identity()
        limit = last_identity if since is None else min(last_identity, since - 1)
        if agents_until > (limit if self._agents_until is None else self._agents_until):
            raise IntegrityError(
                "the ledger gives names of registered agents to identities that have none: its setting "
                "agents_until was changed"
            )

    def _latest(self, settings: Mapping[str, str]) -> int:
        """Return the latest possible end of a former name if no event states its end."""
        if "former_until" not in settings:
            # The schema is of an earlier version.
            return FOREVER
        return max(self._snapshot.now, CredentialStore(self._snapshot).latest_expiry_of_all() or 0)
