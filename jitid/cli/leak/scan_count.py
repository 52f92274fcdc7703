"""The number of places of a string, counted across batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.scan.hits import MOST_PLACES
from jitid.search.find import Finds, mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitid.capabilities.scan.hits import Hit

_MOST = 10_000
"""Maximum number of strings that are counted across batches. Others are counted in each batch separately."""


class _Many:
    """The places of one string."""

    def __init__(self, category: str, key: bytes | str) -> None:
        self.category = category
        self.key = key
        self.count = 0
        self.batches = 0
        self.hits: list[Hit] = []


class Counted:
    """Counter of the places of strings with recorded leaks."""

    def __init__(self) -> None:
        self._many: dict[bytes, _Many] = {}

    def note(self, hits: Sequence[Hit], finds: Finds) -> None:
        """Count a batch: the first places of each string, and the number of its places."""
        hits_by_mark: dict[bytes, list[Hit]] = {}
        for hit in hits:
            hits_by_mark.setdefault(hit.mark, []).append(hit)
        for category, key, count in finds.strings():
            string_mark = mark(category, key)
            tally = self._many.get(string_mark)
            if tally is None:
                if string_mark not in hits_by_mark or len(self._many) >= _MOST:
                    continue
                tally = self._many[string_mark] = _Many(category, key)
            tally.count += count
            tally.batches += 1
            tally.hits += hits_by_mark.get(string_mark, ())[: MOST_PLACES - len(tally.hits)]

    def together(self) -> tuple[list[Hit], Finds]:
        """Return the strings to record again, because several batches together have more than `MOST_PLACES` places."""
        hits: list[Hit] = []
        finds = Finds()
        for tally in self._many.values():
            if tally.batches > 1 and tally.count > MOST_PLACES:
                hits += tally.hits
                getattr(finds, tally.category)[tally.key] = tally.count
        return hits, finds
