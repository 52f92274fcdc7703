"""Performs the operations on signing keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.trust import operations as trust_operations
from jitid.ledger.signing_keys import KeyStore

if TYPE_CHECKING:
    from jitid.ledger.view import View


def list_keys(snapshot: View) -> list[trust_operations.KeyRow]:
    """List the signing keys that there ever were."""
    return [
        trust_operations.KeyRow(key, KeyStore(snapshot).latest_expiry_signed_by(key.key))
        for key in KeyStore(snapshot).signing_keys()
    ]
