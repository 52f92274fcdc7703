"""The operations on what is published: what each takes, and the type of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.capabilities.trust.publication import Document


class MakePublication(Operation["Iterator[Document]"]):
    """Make the documents that verifiers go by who ask nobody; they come in the order in which they must appear."""

    slow = True

    kids: tuple[str, ...] = ()
    """The keys that published status lists name by now."""


class MakeStatusList(Operation["str"]):
    """Make one status list."""

    slow = True

    number: int
    """The day on which its tokens expire, counted from the epoch."""
    algorithm: str
    """What it is signed with."""


AnyOperation = MakePublication | MakeStatusList
