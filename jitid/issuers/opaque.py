"""Opaque tokens: random text with a checksum. Only the ledger (by fingerprint) and the holder know one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO

from jitid.issuers.issuer import KindSpec, Minted, Order, token_options
from jitid.values.secret import DRAW, Secret, fingerprint, new_opaque


class OpaqueIssuer:
    """An issuer of opaque tokens."""

    def mint(self, orders: Sequence[Order]) -> list[Minted]:
        """Make one token for each name of each order."""
        # One system call for all tokens is cheaper than one for each; a rare second draw makes its own call.
        drawn = BytesIO(os.urandom(DRAW * sum(len(order.names) for order in orders)))

        def draw(size: int) -> bytes:
            return drawn.read(size) or os.urandom(size)

        tokens = [new_opaque(draw) for order in orders for _ in order.names]
        return [Minted(Secret.single(token), fingerprint(token), None) for token in tokens]


KIND = KindSpec(
    unsigned=OpaqueIssuer, options=token_options, delivery="kube_config", delivery_fact="kube_server"
)
