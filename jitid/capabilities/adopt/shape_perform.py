"""The shapes of the secrets that the ledger knows and jitid did not make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.adopt import shape_operations as ops
from jitid.capabilities.adopt.store import AdoptedStore
from jitid.capabilities.targets.store import OutsideStore
from jitid.search.find import PRINT, Shapes

if TYPE_CHECKING:
    from jitid.ledger.view import View
    from jitid.operation.context import Context


def adopted_shapes(context: Context, operation: ops.AdoptedShapes) -> Shapes:
    """Return the data to search for adopted secrets."""
    del operation
    with context.ledger.read() as snapshot:
        return shapes(snapshot)


def shapes(snapshot: View) -> Shapes:
    """Return the data to search for adopted secrets, and whether the search can miss a secret."""
    adopted = AdoptedStore(snapshot)
    others = adopted.shapeless() or bool(OutsideStore(snapshot).targets_open())
    return Shapes(tuple(adopted.shapes()), adopted.prints(PRINT), others)
