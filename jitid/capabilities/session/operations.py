"""The operation that records a client's names for an identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import IDEMPOTENT, Operation

if TYPE_CHECKING:
    from jitid.model.client_session import ClientSession
    from jitid.values.secret import Secret


class RecordSession(Operation["ClientSession"]):
    """Record the session of a client that an identity is for, and return it. It replaces an earlier record."""

    # The token in the request is the authorization.
    roles = ("issuer",)
    for_anybody = True
    effect = IDEMPOTENT

    token: Secret
    """A token of the identity, for the authority."""
    session: ClientSession
