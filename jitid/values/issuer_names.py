"""The names that an issuer of ID tokens may prove: patterns, their matches, and the overlap of two patterns."""

from __future__ import annotations

from collections.abc import Sequence

from jitid.errors import ConfigurationError, UsageError
from jitid.values.names import check_name
from jitid.values.text import quote

STAR = "*"


def check_pattern(text: str) -> str:
    """Return a pattern unchanged: a name, or one with a single `*` at its start or end. Raises ConfigurationError."""
    fixed = text[:-1] if text.endswith(STAR) else text.removeprefix(STAR)
    try:
        if text != STAR:
            check_name(fixed, "pattern")
    except UsageError:
        raise ConfigurationError(
            f"{quote(text)} is not a pattern of names",
            "write a name, or one with a single `*` at its start or end: *@example.com, ci-*, *",
        ) from None
    return text


def matches(pattern: str, name: str) -> bool:
    """Return whether a pattern matches a non-empty name; `*` stands for any text, also an empty one."""
    if pattern.endswith(STAR):
        return name.startswith(pattern[:-1])
    if pattern.startswith(STAR):
        return name.endswith(pattern[1:])
    return name == pattern


def overlap(pattern: str, other: str) -> bool:
    """Return whether there is a name, of any length, that matches both patterns."""
    if STAR not in pattern:
        return matches(other, pattern)
    if STAR not in other:
        return matches(pattern, other)
    if pattern.endswith(STAR) and other.endswith(STAR):
        return pattern.startswith(other[:-1]) or other.startswith(pattern[:-1])
    if pattern.startswith(STAR) and other.startswith(STAR):
        return pattern.endswith(other[1:]) or other.endswith(pattern[1:])
    # A prefix pattern and a suffix pattern: the prefix followed by the suffix matches both.
    return True


def common(patterns: Sequence[str], others: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two patterns of two lists that overlap; None if the lists are disjoint."""
    return next(
        ((pattern, other) for pattern in patterns for other in others if overlap(pattern, other)), None
    )
