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
        places: dict[bytes, list[Hit]] = {}
        for hit in hits:
            places.setdefault(hit.mark, []).append(hit)
        for category, key, count in finds.strings():
            sign = mark(category, key)
            one = self._many.get(sign)
            if one is None:
                if sign not in places or len(self._many) >= _MOST:
                    continue
                one = self._many[sign] = _Many(category, key)
            one.count += count
            one.batches += 1
            one.hits += places.get(sign, ())[: MOST_PLACES - len(one.hits)]

    def together(self) -> tuple[list[Hit], Finds]:
        """Return the strings to record again, because several batches together have more than `MOST_PLACES` places."""
        hits: list[Hit] = []
        finds = Finds()
        for one in self._many.values():
            if one.batches > 1 and one.count > MOST_PLACES:
                hits += one.hits
                getattr(finds, one.category)[one.key] = one.count
        return hits, finds
