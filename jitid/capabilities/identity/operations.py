"""Operations on credentials and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import Operation

if TYPE_CHECKING:
    from jitid.capabilities.identity.hand_back import HandedBack
    from jitid.capabilities.identity.revocation import Ended
    from jitid.model.credential import Credential
    from jitid.model.ledger_rows import Selection
    from jitid.values.secret import Secret


class Verify(Operation["Credential"]):
    """Say whether a token is valid now."""

    token: Secret
    audiences: tuple[str, ...] = ()
    """The token must be for one of these audiences; empty: for any audience whose tokens the caller sees."""


class Revoke(Operation["Ended"]):
    """End credentials before their time, with everything that descends from them."""

    selection: Selection
    tokens: tuple[Secret, ...] = ()
    """Tokens whose identities are meant as well."""
    reason: str | None = None
    most: int | None
    """How many live credentials may end; None for any number."""
    dry_run: bool = False
    accept_clock: bool = False


class HandBack(Operation["HandedBack"]):
    """End the identity of the token's holder, or an identity that descends from it."""

    token: Secret
    """The holder's own credential, which is the right to do so."""
    id: str
    reason: str | None = None
    accept_clock: bool = False
