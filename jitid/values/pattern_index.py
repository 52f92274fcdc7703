"""An index that finds the patterns covering a text of several parts, in steps that do not grow with the patterns.

The steps grow with the text only. Comparing each pattern with each text would take as many steps as there are pairs. A
request could hold the write lock of the ledger for seconds that way.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence


class Covering:
    """Patterns of the same shape as the texts that they cover: the same kind, and the same number of parts.

    A literal part of a pattern covers itself; a part that ends in `*` covers all texts that begin with the text before
    the `*`. Each pattern has a separate bit. By place and part, a table holds the bits of the patterns with that part
    there.
    """

    def __init__(self, patterns: Iterable[tuple[Hashable, Sequence[str]]]) -> None:
        """Args: `patterns` are kinds with parts; patterns of the same kind have the same number of parts."""
        self._kinds: dict[Hashable, tuple[int, list[tuple[dict[str, int], list[int]]]]] = {}
        tables: dict[Hashable, list[dict[str, int]]] = {}
        bit = 1
        for kind, parts in patterns:
            for table, part in zip(tables.setdefault(kind, [{} for _ in parts]), parts, strict=True):
                table[part] = table.get(part, 0) | bit
            bit <<= 1
        for kind, places in tables.items():
            # Each pattern has a part at the first place.
            every = 0
            for bits in places[0].values():
                every |= bits
            self._kinds[kind] = (
                every,
                [
                    (table, sorted({len(part) - 1 for part in table if part.endswith("*")}))
                    for table in places
                ],
            )

    def covering_bits(self, kind: Hashable, parts: Sequence[str]) -> int:
        """Return the bits of the patterns that cover a text; the first pattern has bit 1, the second one 2, then 4."""
        if kind not in self._kinds:
            return 0
        found, places = self._kinds[kind]
        for part, (table, lengths) in zip(parts, places, strict=True):
            here = table.get(part, 0)
            for length in lengths:
                if length > len(part):
                    break
                here |= table.get(f"{part[:length]}*", 0)
            found &= here
            if not found:
                break
        return found
