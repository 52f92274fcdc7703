"""Opaque tokens: random text with a checksum, known to nobody but the ledger (by fingerprint) and the holder."""

from __future__ import annotations

import os
from collections.abc import Sequence

from jitid.issuers.protocol import Draft, Ids, Minted
from jitid.secret import Secret, fingerprint, new_opaque


class OpaqueIssuer:
    """Makes opaque tokens."""

    def mint(self, draft: Draft, names: Sequence[Ids]) -> list[Minted]:
        """Make one token for each of `names`."""
        del draft
        tokens = [new_opaque(os.urandom) for _ in names]
        return [Minted(Secret.single(token), fingerprint(token), None) for token in tokens]
