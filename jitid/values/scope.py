"""Scopes, and the partial order "covers", which ensures that a delegate never gains a right."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from typing import NewType

from jitid.errors import UsageError
from jitid.values.text import quote, refuse_mark, refuse_token


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
        for kind, part_tables in tables.items():
            # Each pattern has a part at the first place.
            every = 0
            for bits in part_tables[0].values():
                every |= bits
            self._kinds[kind] = (
                every,
                [
                    (table, sorted({len(part) - 1 for part in table if part.endswith("*")}))
                    for table in part_tables
                ],
            )

    def covering_bits(self, kind: Hashable, parts: Sequence[str]) -> int:
        """Return the bits of the patterns that cover a text; the first pattern has bit 1, the second one 2, then 4."""
        if kind not in self._kinds:
            return 0
        bits, part_tables = self._kinds[kind]
        for part, (table, lengths) in zip(parts, part_tables, strict=True):
            part_bits = table.get(part, 0)
            for length in lengths:
                if length > len(part):
                    break
                part_bits |= table.get(f"{part[:length]}*", 0)
            bits &= part_bits
            if not bits:
                break
        return bits


Scope = NewType("Scope", str)
"""A well-formed scope: `repo:acme/web:read`, `repo:acme/*:read`, `*`."""

MAX_LENGTH = 256
"""Characters of a scope; an action has the same limit, since it is compared with scopes."""
MAX_SEGMENTS = 16
MOST_SCOPES = 128
"""The maximum number of scopes of one credential, and of one request: it bounds the cost before any is read."""

ALIKE = 10
"""The maximum number of scopes that differ in a single segment before `gathered` merges them."""

_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@/+-:*"
_SHAPE = "write SEGMENT:SEGMENT…, of letters, digits and ._@/+-; a segment may be or end in *"

_SEVERAL = "for several scopes, repeat the option: --scope repo:read --scope repo:write"


def parse_scope(text: str) -> Scope:
    """Return the text as a scope, unchanged.

    Segments of ASCII letters, digits and `._@/+-` are joined by `:`; none is empty; each may be `*` or end in
    `*`. At most 256 characters in 16 segments. Raise UsageError for anything else.
    """
    if not text:
        raise UsageError("a scope is empty", _SHAPE)
    if len(text) > MAX_LENGTH:
        raise UsageError(f"a scope has {len(text)} characters, more than {MAX_LENGTH}")
    # Stripping a set of characters from both ends leaves nothing exactly if there is no other character.
    if text.strip(_CHARACTERS):
        refuse_mark(text, "the scope")
        several = any(separator in text.strip() for separator in ", ;")
        raise UsageError(f"scope {quote(text)} has an invalid character", _SEVERAL if several else _SHAPE)
    refuse_token(text, "a scope")
    segments = text.split(":")
    if len(segments) > MAX_SEGMENTS:
        raise UsageError(f"scope {quote(text)} has {len(segments)} segments, more than {MAX_SEGMENTS}")
    for segment in segments:
        if not segment:
            raise UsageError(f"scope {quote(text)} has an empty segment", _SHAPE)
        if "*" in segment[:-1]:
            raise UsageError(f"scope {quote(text)} has a `*` before the end of a segment", _SHAPE)
    return Scope(text)


def parse_scopes(texts: Sequence[str]) -> tuple[Scope, ...]:
    """Return the scopes of texts in which one space separates them (RFC 6749, section 3.3). Raises UsageError."""
    count = sum(text.count(" ") + 1 for text in texts)
    if count > MOST_SCOPES:
        raise UsageError(
            f"a request may have at most {MOST_SCOPES} scopes; this one has {count}",
            "a wildcard scope replaces many",
        )
    return tuple([parse_scope(scope) for text in texts for scope in text.split(" ")])


def has_wildcard(scope: Scope) -> bool:
    """Return whether the scope has a wildcard."""
    return "*" in scope


def covers(parent: Scope, child: Scope) -> bool:
    """Return whether the parent scope permits everything that the child scope permits.

    Both have the same number of segments, and each of the parent's covers the child's: a literal covers itself, `x*`
    every segment that begins with `x`, literal or pattern. This is a partial order: reflexive, transitive and
    antisymmetric.
    """
    if parent == child:
        return True
    if "*" not in parent:
        return False
    wide, narrow = parent.split(":"), child.split(":")
    if len(wide) != len(narrow):
        return False
    for above, below in zip(wide, narrow, strict=True):
        if above[-1] == "*":
            # The prefix holds no star, so that `y*` begins with it only if all of `y…` does.
            if not below.startswith(above[:-1]):
                return False
        elif above != below:
            return False
    return True


def overlap(first: Scope, second: Scope) -> bool:
    """Return whether both scopes cover a common right."""
    return common(first, second) is not None


def may_overlap(first: Scope, second: Scope) -> bool:
    """Return whether an action may be permitted by both scopes: whether they overlap in their leading segments.

    A scope permits more than scopes with as many segments. `authorize` matches a held scope against the action, and
    against the action followed by its resource; a service may cut off segments, or append some. So the shorter scope
    is compared with as many segments of the longer one, and the remaining segments are ignored.
    """
    for first_segment, second_segment in zip(first.split(":"), second.split(":"), strict=False):
        if (
            first_segment != second_segment
            and not (first_segment[-1] == "*" and second_segment.startswith(first_segment[:-1]))
            and not (second_segment[-1] == "*" and first_segment.startswith(second_segment[:-1]))
        ):
            return False
    return True


def common(first: Scope, second: Scope) -> Scope | None:
    """Return the scope of the rights that both scopes cover; None if there are none."""
    first_segments, second_segments = first.split(":"), second.split(":")
    if len(first_segments) != len(second_segments):
        return None
    narrower = []
    for first_segment, second_segment in zip(first_segments, second_segments, strict=True):
        if covers(Scope(first_segment), Scope(second_segment)):
            narrower.append(second_segment)
        elif covers(Scope(second_segment), Scope(first_segment)):
            narrower.append(first_segment)
        else:
            return None
    return Scope(":".join(narrower))


def intersection(first: Sequence[str], second: Sequence[str]) -> tuple[Scope, ...]:
    """Return scopes for the rights that both sets of scopes permit; an empty tuple if there are none."""
    first_scopes, second_scopes = [Scope(scope) for scope in first], [Scope(scope) for scope in second]
    if not uncovered(second_scopes, first_scopes):
        return tuple(first_scopes)
    if not uncovered(first_scopes, second_scopes):
        # A successor holds no more than its predecessor, so this case suffices for credentials issued by jitid.
        return normalise(second_scopes)
    shared = [
        common(first_scope, second_scope) for first_scope in first_scopes for second_scope in second_scopes
    ]
    return normalise(scope for scope in shared if scope is not None)


def normalise(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """Return the scopes that no other scope covers, without duplicates, sorted by code point.

    Two sets that cover each other have the same normal form, and it covers both.
    """
    distinct = sorted(set(scopes))
    patterns = {scope: 1 << index for index, scope in enumerate(scope for scope in distinct if "*" in scope)}
    if not patterns or len(distinct) == 1:
        return tuple(distinct)
    covering = _covering(tuple(patterns))
    return tuple([scope for scope in distinct if _covering_bits(covering, scope) in (0, patterns.get(scope))])


def uncovered(parent: Sequence[Scope], child: Iterable[Scope]) -> tuple[Scope, ...]:
    """Return, in their order, the child's scopes that no scope of the parent covers."""
    parent_scopes = frozenset(parent)
    remaining = [scope for scope in child if scope not in parent_scopes]
    patterns = tuple([scope for scope in parent if "*" in scope])
    if not remaining or not patterns:
        return tuple(remaining)
    covering = _covering(patterns)
    return tuple([scope for scope in remaining if not _covering_bits(covering, scope)])


# The record of an agent may have a thousand scopes, and each request for that agent needs them.
@lru_cache(maxsize=64)
def _covering(patterns: tuple[Scope, ...]) -> Covering:
    """Return the index that finds the patterns which cover a scope; both have the same number of segments."""
    return Covering((scope.count(":"), scope.split(":")) for scope in patterns)


def _covering_bits(covering: Covering, scope: Scope) -> int:
    return covering.covering_bits(scope.count(":"), scope.split(":"))


def gathered(scopes: Iterable[Scope], alike: int = ALIKE) -> tuple[Scope, ...]:
    """Return scopes that cover all given ones, in normal form, with scopes that name each task merged into one.

    More than `alike` scopes that differ in a single segment are merged: the segment becomes their common prefix there
    and `*`. So `tickets:INC-1:write`, `tickets:INC-2:write` and so on become `tickets:INC-*:write`.
    """
    merged = set(scopes)
    again = True
    while again:
        again = False
        for index in range(MAX_SEGMENTS):
            groups: dict[tuple[str, ...], list[str]] = {}
            for scope in merged:
                segments = scope.split(":")
                if index < len(segments):
                    template = (*segments[:index], "*", *segments[index + 1 :])
                    groups.setdefault(template, []).append(segments[index])
            for template, parts in groups.items():
                if len(parts) > alike:
                    merged.difference_update(_filled(template, index, part) for part in parts)
                    merged.add(_filled(template, index, f"{_beginning(parts)}*"))
                    again = True
    return normalise(merged)


def _filled(template: tuple[str, ...], index: int, part: str) -> Scope:
    return Scope(":".join((*template[:index], part, *template[index + 1 :])))


def _beginning(parts: Sequence[str]) -> str:
    """Return the common prefix of distinct texts; since they differ, it never includes the `*` of a pattern."""
    # The common prefix of the first and the last text in order is common to all.
    first, last = min(parts), max(parts)
    pairs = zip(first, last, strict=False)
    return first[
        : next((index for index, (character, other) in enumerate(pairs) if character != other), len(first))
    ]
