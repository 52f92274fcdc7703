"""In how many places a string stands, when what was found of it comes batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.scan.hits import MOST_PLACES
from jitid.search.find import Finds, mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitid.capabilities.scan.hits import Hit

_MOST = 10_000
"""Of so many strings the places are counted together; of others those of each batch by themselves."""


class _Many:
    """What was found of one string."""

    def __init__(self, sort: str, key: bytes | str) -> None:
        self.sort = sort
        self.key = key
        self.count = 0
        self.batches = 0
        self.hits: list[Hit] = []


class Counted:
    """Counts the places of strings of which something is recorded."""

    def __init__(self) -> None:
        self._many: dict[bytes, _Many] = {}

    def note(self, hits: Sequence[Hit], finds: Finds) -> None:
        """Count a batch: the first places of each of its strings, and how often it was met."""
        places: dict[bytes, list[Hit]] = {}
        for hit in hits:
            places.setdefault(hit.mark, []).append(hit)
        for sort, key, count in finds.strings():
            sign = mark(sort, key)
            one = self._many.get(sign)
            if one is None:
                if sign not in places or len(self._many) >= _MOST:
                    continue
                one = self._many[sign] = _Many(sort, key)
            one.count += count
            one.batches += 1
            one.hits += places.get(sign, ())[: MOST_PLACES - len(one.hits)]

    def together(self) -> tuple[list[Hit], Finds]:
        """Return what is to be recorded once more, since it stands in more places than the batches told one by one."""
        hits: list[Hit] = []
        finds = Finds()
        for one in self._many.values():
            if one.batches > 1 and one.count > MOST_PLACES:
                hits += one.hits
                getattr(finds, one.sort)[one.key] = one.count
        return hits, finds
