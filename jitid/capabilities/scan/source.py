"""The interface of sources for a scan, which yield items: texts with a place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jitid.capabilities.scan.hits import Hit, Searcher


class Source(Protocol):
    """A source of items for a searcher; several processes may share it."""

    locates: bool
    """Whether only `located`, called with all hits that count, returns their places."""
    unit: str
    """The word for an item."""
    listing: str
    """The command that lists all hits."""
    root: str
    """A sentence that names the folder to which the paths of items are relative."""
    processes: int | None
    """Number of processes that should search; None for one per processor, up to `MOST_PROCESSES`."""

    def prepare(self, processes: int) -> None:
        """Prepare the data that the processes share, before they are forked. Raises UsageError.

        If a process cannot be forked, it is called again for one process.
        """

    def search(self, searcher: Searcher) -> Iterator[None]:
        """Search a share of the items; yield now and then, so that the caller can take results.

        Each process calls it once, and each item is searched by one process. An item that cannot be read is counted in
        the searcher's tally and raises no error.
        """
        ...

    def located(self, hits: list[Hit]) -> list[Hit]:
        """Return the hits with their final places, each place of a string once. Raises StorageError."""
        ...

    def close(self) -> None:
        """Close the files and sockets of the search."""
