"""Operations on a credential by the holder of its token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import READS, Operation
from jitid.values.declaration import value, values
from jitid.values.field_types import AUDIENCE, ID, REASON

if TYPE_CHECKING:
    from jitid.capabilities.identity.hand_back import HandedBack
    from jitid.model.credential import Credential
    from jitid.values.secret import Secret


class Verify(Operation["Credential"]):
    """Say whether a token is valid now."""

    roles = ("verifier", "responder", "auditor")
    for_own = True
    effect = READS

    token: Secret
    audiences: tuple[str, ...] = values(AUDIENCE, default=())
    """The token must be for one of these audiences; empty: for any audience whose tokens the caller sees."""


class HandBack(Operation["HandedBack"]):
    """End the identity of the token's holder, or an identity that descends from it."""

    for_anybody = True

    token: Secret
    """The holder's own credential, which authorises the operation."""
    id: str = value(ID)
    reason: str | None = value(REASON, default=None)
    accept_clock: bool = False

    def facts_if_denied(self) -> dict[str, object]:
        """Return the id of the identity that the request would end."""
        return {"hand_back": self.id}
