"""Opaque tokens: random text with a checksum, known to nobody but the ledger (by fingerprint) and the holder."""

from __future__ import annotations

import os
from collections.abc import Sequence

from jitid.issuers.protocol import Minted, Order
from jitid.secret import Secret, fingerprint, new_opaque


class OpaqueIssuer:
    """Makes opaque tokens."""

    def mint(self, orders: Sequence[Order]) -> list[Minted]:
        """Make one token for each name of each order."""
        tokens = [new_opaque(os.urandom) for order in orders for _ in order.names]
        return [Minted(Secret.single(token), fingerprint(token), None) for token in tokens]
