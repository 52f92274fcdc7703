"""The operation for each search of a long text; its code loads faster than that of the other operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import READS, Operation

if TYPE_CHECKING:
    from jitid.search.find import Shapes


class AdoptedShapes(Operation["Shapes"]):
    """Return the shapes of adopted secrets, for a search."""

    roles = ("responder", "sweeper", "auditor", "admin")
    effect = READS
