"""What every kind of credential is that a target outside makes: a database, a cloud, a secrets engine, a program."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import ClassVar, NamedTuple, Protocol

from jitid.keys.keyring import Signer
from jitid.model.target import EndOutcome, Existing, MadeCredential, Probe, TargetRecord
from jitid.values.secret import Secret


class TargetOption(NamedTuple):
    """One option that the table of a target, or of a template, may have."""

    sort: str
    """`text`, `texts` (a list), `table` (of texts), `tables`, `count`, `duration`, `place` (a path) or `flag`.

    An issuer finds them as str, tuple[str, ...], dict[str, str], dict (as TOML has it), int, int (seconds), str
    (absolute) and bool.
    """
    meaning: str
    required: bool = False


class TargetCall(NamedTuple):
    """What an issuer at a target needs besides the target's table."""

    timeout: float
    """Seconds that one call of the target may take."""
    issuer: str
    """The ledger's `iss`."""
    trust_domain: str | None = None
    """The trust domain of the ledger's agents."""
    signer: Callable[[], Signer] | None = None
    """Returns the ledger's key for ES256, for targets that fetch jitid's keys."""


class OutsideIssuer(Protocol):
    """Credentials of one kind at one target. Every call ends within the target's time limit, whatever it meets.

    It raises StorageError where the target is out of reach, hangs, or gives no clear answer (nothing is known of what
    it did); RefusedError where it refuses; ConfigurationError where the target's table cannot be meant.
    """

    unseen: ClassVar[str | None] = None
    """What of ours the target cannot list, in a few words; None where `inventory` names all that lives.

    With it, that something is not named says nothing: it is neither gone nor clean.
    """

    def mint(self, record: TargetRecord, remember: Callable[[str], None]) -> MadeCredential:
        """Make the credential of a record that is durable already, under the record's name.

        `remember` keeps a reference durably in the ledger before this goes on: for what must be known to end it, and
        cannot be derived from the name.
        """

    def revoke(self, records: Sequence[TargetRecord]) -> list[EndOutcome]:
        """See to it that nothing is left of these at the target, and return what came of each, in their order.

        Revoked, expired or never made: all end alike, and what is not there is done. It raises nothing for one of many.
        """

    def probe(self, record: TargetRecord, secret: Secret | None = None) -> Probe:
        """Look whether the target takes a credential: with its secret as a holder would, without it from outside."""

    def names_of(self, name: str, reference: str | None) -> tuple[str, ...]:  # noqa: ARG002 - most go by the name
        """Return the names that the inventory has for what is alive of a credential with that name and reference."""
        return (name,)

    def expect(self, names: Collection[str]) -> None:  # noqa: ARG002 - most inventories tell by the names alone
        """Take the names that the ledger has (`names_of`) before `inventory` is asked.

        Where names tell nothing, only what is not among them is looked at one by one.
        """
        return

    def inventory(self) -> Iterator[Existing]:
        """Yield all that exists at the target under names of ours, and other standing secrets that the kind knows."""

    def close(self) -> None:
        """Let go of connections."""
