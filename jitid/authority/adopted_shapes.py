"""How the secrets look that the ledger knows and did not make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.search.secret_shapes import PRINT, Shapes

if TYPE_CHECKING:
    from jitid.ledger.contract import Snapshot


def shapes(snapshot: Snapshot) -> Shapes:
    """Return what a search needs to find adopted secrets, and whether there are secrets that it cannot find."""
    adopted = snapshot.adopted
    others = adopted.shapeless() or bool(snapshot.outside.targets_open())
    return Shapes(tuple(adopted.shapes()), adopted.prints(PRINT), others)
