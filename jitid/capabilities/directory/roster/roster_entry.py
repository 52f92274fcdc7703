"""The entry of one delegator in a file or a command, its validation, and its merge into the directory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from typing import Annotated, Self, TypeVar

from jitid.errors import JitidError, UsageError
from jitid.model.directory import ALIAS, EXTERNAL, GROUP, PERSON, Delegator, check_alias, check_group
from jitid.model.task import SENSITIVITIES
from jitid.model.types import SENSITIVITY
from jitid.values.declaration import Bounds
from jitid.values.field_types import LONG, SCOPE, text
from jitid.values.record import Record
from jitid.values.scope import normalise, parse_scope
from jitid.values.strict_json import StrictJSONError
from jitid.values.text import quote

MOST = 1_000
"""The maximum number of groups, of aliases, and of entitlements of one delegator."""


Value = TypeVar("Value")


class Keep(Enum):
    """Marker for a field that is not stated: its value does not change."""

    KEEP = "keep"


KEEP = Keep.KEEP


class StatedDelegator(Record):
    """The stated fields of one delegator. An absent field does not change; a new delegator gets its default."""

    place: Annotated[str, text(64, "the place")]
    """The place in the file, as `line 3`; empty for a command line."""
    name: Annotated[str, PERSON]
    """The name with its kind, as `user:alice`."""
    entitlements: Annotated[tuple[str, ...] | Keep | None, SCOPE] = KEEP
    """None: the policy alone decides which scopes they may hand out."""
    sensitivity: Annotated[str | Keep, SENSITIVITY] = KEEP
    groups: Annotated[tuple[str, ...] | Keep, GROUP] = KEEP
    manager: Annotated[str | Keep | None, PERSON] = KEEP
    aliases: Annotated[tuple[str, ...] | Keep, ALIAS] = KEEP
    disabled: bool | Keep = KEEP
    imported: bool = True
    external: Annotated[str | Keep, EXTERNAL] = KEEP
    manager_external: Annotated[str | None, EXTERNAL] = None
    """The manager's id in the source, if the source states no name."""
    subjects_too: bool = True
    """Whether `aliases` also replaces the subjects of ID tokens; otherwise the subjects do not change."""

    def checked_request(self) -> Self:
        """Return the entry with its lists in their normal form. Raises UsageError for an invalid list."""
        entry = self
        if isinstance(entry.entitlements, tuple):
            entry = entry._replace(entitlements=entitlements(entry.entitlements))
        if isinstance(entry.groups, tuple):
            entry = entry._replace(groups=groups(entry.groups))
        if isinstance(entry.aliases, tuple):
            entry = entry._replace(aliases=aliases(entry.aliases))
        return entry


class Roster(Record):
    """The content of a list of delegators."""

    people: Annotated[tuple[StatedDelegator, ...], Bounds(most=1_000_000)]
    notes: Annotated[tuple[str, ...], text(LONG, "a note"), Bounds(most=1_000_000)] = ()
    """Sentences about omitted values."""
    partial: Annotated[str | None, text(LONG, "why it is not all")] = None
    """Why the list cannot be complete; None if it may be."""


def merged(entry: StatedDelegator, existing: Delegator | None, now: int) -> Delegator:
    """Return a delegator with the stated fields merged in; without `existing`, a new delegator."""
    current = existing or Delegator(
        0, entry.name, SENSITIVITIES[-1], None, (), None, (), entry.imported, now, None
    )
    aliases = current.aliases
    if not isinstance(entry.aliases, Keep):
        subjects = () if entry.subjects_too else [alias for alias in current.aliases if " " in alias]
        aliases = tuple(sorted({*entry.aliases, *subjects} - {current.name}))
    if entry.name != current.name:
        # The delegator keeps the old name as their own, so that credentials under it remain theirs.
        aliases = tuple(sorted({*aliases, entry.name}))
    disabled_at = current.disabled_at
    if not isinstance(entry.disabled, Keep):
        disabled_at = (
            (now if current.disabled_at is None else current.disabled_at) if entry.disabled else None
        )
    return current._replace(
        sensitivity=_chosen(entry.sensitivity, current.sensitivity),
        entitlements=_chosen(entry.entitlements, current.entitlements),
        groups=_chosen(entry.groups, current.groups),
        manager=_chosen(entry.manager, current.manager),
        aliases=aliases,
        imported=entry.imported,
        disabled_at=disabled_at,
        external=_chosen(entry.external, current.external),
    )


def _chosen(stated_value: Value | Keep, current_value: Value) -> Value:
    return current_value if isinstance(stated_value, Keep) else stated_value


def check_sensitivity(text: str) -> str:
    """Return a sensitivity. Raises UsageError."""
    if text not in SENSITIVITIES:
        raise UsageError(f"{quote(text)} is not a sensitivity", f"use one of: {', '.join(SENSITIVITIES)}")
    return text


@lru_cache(4096)
def entitlements(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return scopes in their normal form. Raises UsageError for an invalid scope, and for too many scopes."""
    return tuple(normalise(map(parse_scope, few(texts, "entitlements"))))


@lru_cache(4096)
def groups(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return groups, each once and sorted. Raises UsageError for an invalid group, and for too many groups."""
    return _sorted(texts, "groups", check_group)


def aliases(texts: Iterable[str]) -> tuple[str, ...]:
    """Return aliases, each once and sorted. Raises UsageError for an invalid alias, and for too many aliases."""
    return _sorted(tuple(texts), "aliases", check_alias)


def few(texts: tuple[str, ...], noun: str) -> tuple[str, ...]:
    """Return the texts. Raises UsageError for more than `MOST`."""
    if len(texts) > MOST:
        raise UsageError(f"too many {noun}: {len(texts)}, the limit is {MOST}")
    return texts


def _sorted(texts: tuple[str, ...], noun: str, check: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(sorted(set(map(check, few(texts, noun)))))


@contextmanager
def at(location: str) -> Iterator[None]:
    """Add the place in a file to an error that its value raises."""
    try:
        yield
    except StrictJSONError as error:
        raise misplaced(location, str(error)) from error
    except JitidError as error:
        raise misplaced(location, error.message, error.hint) from error


def misplaced(location: str, message: str, hint: str | None = None) -> UsageError:
    """Return the error for an invalid value at a place of a file."""
    return UsageError(f"{location}: {message}; nothing was changed" if location else message, hint)
