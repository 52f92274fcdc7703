"""What a local authority holds, for the modules that perform its operations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jitid.keys.keyring import Keyring
from jitid.ledger.contract import Ledger

if TYPE_CHECKING:
    from jitid.capabilities.access.oidc import OidcIssuer, Proof, Sort
    from jitid.capabilities.issue.request import Terms
    from jitid.capabilities.targets.targets import Targets
    from jitid.model.caller import Caller
    from jitid.model.ledger_rows import Names
    from jitid.values.secret import Secret


class Inside(NamedTuple):
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
    caller: Caller | None = None
    """Who is served; None for whoever has the ledger itself."""
    targets: Callable[[], Targets] | None = None
    """The targets outside that the configuration has; None where there is none."""

    def told_about(self, stated: Collection[str], names: Names, now: int) -> Collection[str] | None:
        """Return the audiences whose tokens the caller sees; None means tokens for any audience.

        Beside the ledger these are the stated audiences, or else the usual ones.
        """
        if self.caller is not None:
            return self.caller.told_about(stated)
        return stated or self.audiences or names.accepted(now)

    def proof(self, token: Secret, sort: Sort = "id_token") -> Proof:
        """Return whom a token of a configured issuer proves; asking its issuer takes no lock.

        Whether it is newer than the last disabling of that person is for the caller to check, in its transaction.

        Raises:
            InvalidCredentialError: the token is not valid, or was issued before the ledger was restored or its
                clock set back.

        """
        from jitid.capabilities.access import oidc
        from jitid.capabilities.directory import governance

        with self.ledger.read() as snapshot:
            now = snapshot.now
        proof = oidc.verify_token(token.reveal(), self.oidc(), now, timeout=self.timeout, sort=sort)
        restored_at = self.ledger.names.restored_at
        if restored_at is not None:
            # The ledger does not know who was disabled after the backup was made, or which tokens were presented.
            governance.must_follow(
                proof.proved_at, restored_at, "the ledger was restored or its clock was set back"
            )
        return proof
