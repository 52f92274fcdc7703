"""What can be scanned: items, each a text with a place, and what yields them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jitid.capabilities.scan.hits import Hit, Searcher


class Source(Protocol):
    """What yields items to a searcher; several processes may share it."""

    locates: bool
    """Whether only `located` tells where something stands, when all that counts is known."""
    unit: str
    """What an item is called."""
    listing: str
    """The command that lists everything that is found."""
    root: str
    """What the paths of items are relative to, in a sentence."""
    processes: int | None
    """How many processes are worth it; None for as many as there are processors."""

    def prepare(self, processes: int) -> None:
        """Make what the processes share; it is called once, before they part. Raises UsageError."""

    def search(self, searcher: Searcher) -> Iterator[None]:
        """Search a share of the items; yield now and then, so that what was found can be taken.

        Every process calls it once, and each item is searched by one of them. What cannot be read is told to the
        searcher's tally, and no error.
        """
        ...

    def located(self, hits: list[Hit]) -> list[Hit]:
        """Return hits with where they stand, each place of a string once. Raises StorageError."""
        ...

    def close(self) -> None:
        """Let go of what the search needed."""
