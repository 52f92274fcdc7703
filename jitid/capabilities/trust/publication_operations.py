"""Operations on publications: their parameters and the types of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import Operation
from jitid.operation.verb import READS
from jitid.values.declaration import value, values
from jitid.values.field_types import ALGORITHM, FILTER, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.capabilities.trust.publication import Document


class MakePublication(Operation["Iterator[Document]"]):
    """Make the documents that verifiers go by who ask nobody; they come in the order in which they must appear."""

    roles = ("verifier", "admin")
    effect = READS
    slow = True

    kids: tuple[str, ...] = values(FILTER, default=())
    """The keys that published status lists name at present."""


class MakeStatusList(Operation["str"]):
    """Make one status list."""

    roles = ("verifier", "admin")
    effect = READS
    slow = True

    number: int = value(number(0, 1 << 24))
    """The day on which its tokens expire, counted from the epoch."""
    algorithm: str = value(ALGORITHM)
    """The algorithm of its signature."""
