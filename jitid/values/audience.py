"""Audiences for which a holder may obtain tokens: origins with wildcards for labels of the host, and plain names.

A `*` stands for exactly one whole label of a host; scheme, port and the number of labels must be equal. Any other
text, also a URL with a path, is a plain name and covers only itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from jitid.errors import UsageError
from jitid.values.names import check_audience
from jitid.values.scope import Covering
from jitid.values.text import quote

_SCHEME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+.-")
_LABEL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_LONGEST_PORT = 5


def check_reach(text: str) -> str:
    """Return an entry of `may_audience` unchanged. Raise UsageError for an invalid entry."""
    check_audience(text)
    if "*" in text and _origin(text) is None:
        raise UsageError(
            f"{quote(text)} is not an audience: `*` must be one whole label of the host in an origin",
            "such as https://*.example.com",
        )
    return text


def check_one(text: str) -> str:
    """Return the audience of a token unchanged: an audience without a wildcard. Raise UsageError for any other."""
    check_audience(text)
    if has_wildcard(text):
        raise UsageError(
            f"{quote(text)} is not the audience of one service",
            "name the service itself; wildcards are for --may-audience",
        )
    return text


def has_wildcard(text: str) -> bool:
    """Return whether an audience stands for several: an origin with a `*` in its host."""
    return "*" in text and _origin(text) is not None


def covers(entry: str, other: str) -> bool:
    """Return whether `entry` covers every audience that `other` covers: a partial order."""
    if entry == other:
        return True
    if "*" not in entry:
        return False
    wide, narrow = _origin(entry), _origin(other)
    if wide is None or narrow is None:
        return False
    (scheme, labels, port), (its_scheme, its_labels, its_port) = wide, narrow
    if (scheme, port, len(labels)) != (its_scheme, its_port, len(its_labels)):
        return False
    return all(label in ("*", its_label) for label, its_label in zip(labels, its_labels, strict=True))


def uncovered(entries: Sequence[str], others: Iterable[str]) -> tuple[str, ...]:
    """Return the `others` that no entry covers."""
    entry_set = frozenset(entries)
    remaining = [other for other in others if other not in entry_set]
    patterns = [origin for entry in entry_set if "*" in entry and (origin := _origin(entry)) is not None]
    if not remaining or not patterns:
        return tuple(remaining)
    covering = Covering(map(_shape, patterns))
    return tuple(
        [
            other
            for other in remaining
            if (origin := _origin(other)) is None or not covering.covering_bits(*_shape(origin))
        ]
    )


def _shape(origin: tuple[str, tuple[str, ...], str]) -> tuple[tuple[str, str, int], tuple[str, ...]]:
    """Return the properties that must be equal for one origin to cover another, and the labels."""
    scheme, labels, port = origin
    return (scheme, port, len(labels)), labels


def intersection(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Return entries for the audiences that both stand for; entries that overlap without covering are left out."""
    beyond_second, beyond_first = set(uncovered(second, first)), set(uncovered(first, second))
    return tuple(
        dict.fromkeys(
            [
                *(entry for entry in first if entry not in beyond_second),
                *(entry for entry in second if entry not in beyond_first),
            ]
        )
    )


def is_named(audience: str, names: Iterable[str]) -> bool:
    """Return whether an audience is one of the names, or a path below a name that is a URL."""
    return any(
        audience == name or ("://" in name and audience.startswith(f"{name.rstrip('/')}/")) for name in names
    )


@lru_cache(maxsize=1024)
def _origin(text: str) -> tuple[str, tuple[str, ...], str] | None:
    """Return the scheme, labels of the host, and port of an origin; None for any other text."""
    scheme, mark, rest = text.partition("://")
    host, colon, port = rest.partition(":")
    if not mark or not scheme or not _SCHEME.issuperset(scheme):
        return None
    if colon and not (port.isascii() and port.isdigit() and len(port) <= _LONGEST_PORT):
        return None
    labels = tuple(host.split("."))
    if not all(label == "*" or (label and _LABEL.issuperset(label)) for label in labels):
        return None
    return scheme, labels, port
