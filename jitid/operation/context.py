"""What a local authority holds, for the modules that perform its operations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from jitid.keys.keyring import Keyring
from jitid.ledger.contract import Ledger

if TYPE_CHECKING:
    from jitid.issuers.targets import Targets
    from jitid.ledger.transaction import Transaction
    from jitid.model.caller import Caller
    from jitid.model.ledger_rows import Names
    from jitid.model.oidc_issuer import OidcIssuer
    from jitid.operation.terms import Terms


Made = TypeVar("Made")


class Once(Protocol):
    """Makes something in a transaction; where the same request was answered before, in the place of that."""

    def __call__(
        self,
        make: Callable[[Transaction], Made],
        sort: str,
        ids: Callable[[Made], tuple[bytes, bytes]],
        *,
        accept_clock: bool,
        shared: bool = False,
        remake: Callable[[Transaction], Made] | None = None,
    ) -> Made:
        """Return what was made. See `authority/repeat.py` for what is asked and raised."""


class Context(NamedTuple):
    """The parts of a local authority; suppliers where having the thing costs time."""

    ledger: Ledger
    keyring: Keyring
    terms: Callable[[], Terms]
    """What the configuration says about issuing, read once."""
    audiences: Sequence[str]
    """Those that a token must be meant for unless told otherwise; none: the ledger's issuer."""
    oidc: Callable[[], Sequence[OidcIssuer]]
    timeout: float
    """Seconds, for what is fetched from issuers of ID tokens."""
    caller: Caller | None
    """Who is served; None for whoever has the ledger itself."""
    targets: Callable[[], Targets] | None
    """The targets outside that the configuration has; None where there is none."""
    prove: Callable[[], str | None]
    """Proves that what leaked and has ended is refused; returns why not, if that cannot be done."""
    once: Once
    """Makes something in a transaction, once for each request that may come again: see `authority/repeat.py`."""
    has_role: Callable[[type], bool]
    """Tells whether the caller has a role for an operation; without one they ask only about what is their own."""

    @property
    def repeats(self) -> bool:
        """Whether the request may come again, and is to be answered once."""
        return self.caller is not None and self.caller.key is not None

    def told_about(self, stated: Collection[str], names: Names, now: int) -> Collection[str] | None:
        """Return the audiences whose tokens the caller sees; None means tokens for any audience.

        Beside the ledger these are the stated audiences, or else the usual ones.
        """
        if self.caller is not None:
            return self.caller.told_about(stated)
        return stated or self.audiences or names.accepted(now)
