"""The operation that each search of a long text asks for: what performs it is loaded in less time than the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import Operation

if TYPE_CHECKING:
    from jitid.search.secret_shapes import Shapes


class AdoptedShapes(Operation["Shapes"]):
    """Tell how adopted secrets look, for whoever searches for them."""


AnyOperation = AdoptedShapes
