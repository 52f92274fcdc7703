"""The parts of a local authority, for the modules that perform its operations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from jitid.keys.keyring import Keyring
from jitid.ledger.contract import Ledger
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.issuers.targets import Targets
    from jitid.ledger.transaction import Transaction
    from jitid.model.access import Caller, OidcIssuer
    from jitid.model.ledger_rows import Names
    from jitid.operation.terms import Terms


Made = TypeVar("Made")


class Once(Protocol):
    """A function that makes something in a transaction, and replaces the result of an earlier identical request."""

    def __call__(
        self,
        make: Callable[[Transaction], Made],
        kind: str,
        ids: Callable[[Made], tuple[bytes, bytes]],
        *,
        accept_clock: bool,
        shared: bool = False,
        remake: Callable[[Transaction], Made] | None = None,
    ) -> Made:
        """Return the result. `authority/repeat.py` documents the arguments and errors."""


class Context(Record):
    """The parts of a local authority; costly parts are suppliers."""

    ledger: Ledger
    keyring: Keyring
    terms: Callable[[], Terms]
    """The configuration of issuing, read once."""
    audiences: Sequence[str]
    """The default audiences that a token must have; empty: the ledger's issuer."""
    oidc: Callable[[], Sequence[OidcIssuer]]
    timeout: float
    """Seconds for requests to issuers of ID tokens."""
    caller: Caller | None
    """The served caller; None for direct access to the ledger."""
    targets: Callable[[], Targets] | None
    """The external targets of the configuration; None if it has none."""
    prove_leaks_refused: Callable[[], str | None]
    """Records proof that ended leaked credentials are refused; returns the error text if that fails."""
    once: Once
    """Makes something in a transaction, once for each idempotent request: see `authority/repeat.py`."""
    has_role: Callable[[type], bool]
    """Returns whether the caller has a role for an operation; without one it may request only its own objects."""

    @property
    def repeats(self) -> bool:
        """Whether the request is idempotent: it has an idempotency key."""
        return self.caller is not None and self.caller.key is not None

    def visible_audiences(
        self, stated_audiences: Collection[str], names: Names, now: int
    ) -> Collection[str] | None:
        """Return the audiences whose tokens the caller sees; None means tokens for any audience.

        With direct access to the ledger these are the stated audiences, or else the default ones.
        """
        if self.caller is not None:
            return self.caller.visible_audiences(stated_audiences)
        return stated_audiences or self.audiences or names.accepted(now)
