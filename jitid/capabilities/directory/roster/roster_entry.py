"""The entry of one delegator in a file or a command, its validation, and its merge into the directory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple, TypeVar

from jitid.errors import UsageError
from jitid.model.directory import Delegator
from jitid.model.task import SENSITIVITIES
from jitid.values.names import MAX_NAME, MAX_URI, check_delegator
from jitid.values.scope import normalise, parse_scope
from jitid.values.text import check_text, quote, safe

MOST = 1_000
"""The maximum number of groups, of aliases, and of entitlements of one delegator."""


Value = TypeVar("Value")


class Keep(Enum):
    """Marker for a field that is not stated: its value does not change."""

    KEEP = "keep"


KEEP = Keep.KEEP


class StatedDelegator(NamedTuple):
    """The stated fields of one delegator. An absent field does not change; a new delegator gets its default."""

    place: str
    """The place in the file, as `line 3`; empty for a command line."""
    name: str
    """The name with its kind, as `user:alice`."""
    entitlements: tuple[str, ...] | Keep | None = KEEP
    """None: the policy alone decides which scopes they may hand out."""
    sensitivity: str | Keep = KEEP
    groups: tuple[str, ...] | Keep = KEEP
    manager: str | Keep | None = KEEP
    aliases: tuple[str, ...] | Keep = KEEP
    disabled: bool | Keep = KEEP
    imported: bool = True
    external: str | Keep = KEEP
    manager_external: str | None = None
    """The manager's id in the source, if the source states no name."""
    subjects_too: bool = True
    """Whether `aliases` also replaces the subjects of ID tokens; otherwise the subjects do not change."""


class Roster(NamedTuple):
    """The content of a list of delegators."""

    people: tuple[StatedDelegator, ...]
    notes: tuple[str, ...] = ()
    """Sentences about omitted values."""
    partial: str | None = None
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


def check_person(text: str) -> str:
    """Return the name of a delegator in the directory with its kind, `user:` or `system:`.

    Raises UsageError for an invalid name, and for an agent: an agent delegates only with its own credential.
    """
    name = check_delegator(text)
    if name.startswith("agent:"):
        raise UsageError(
            f"{quote(text)} is an agent, and the directory of delegators has people and systems",
            "write NAME, user:NAME or system:NAME",
        )
    return name


def check_alias(text: str) -> str:
    """Return another name of a delegator, or the subject of an ID token, written `ISS SUB`.

    The issuer has 1 to 255 printable ASCII characters without blanks. The subject has 1 to 255, and may have blanks
    inside (OpenID Connect Core, section 2). Raises UsageError for anything else.
    """
    issuer, blank, subject = text.partition(" ")
    if not blank:
        return check_person(text)
    printable = text.isascii() and text.isprintable() and subject.strip() == subject
    if not (printable and issuer and subject and len(issuer) <= MAX_URI and len(subject) <= MAX_URI):
        raise UsageError(
            f"{quote(text)} is no subject of an ID token",
            "write 'ISS SUB', its `iss` and its `sub` with one blank between them",
        )
    return check_text(text, "an alias")


def check_group(text: str) -> str:
    """Return the name of a group: 1 to 128 printable characters, no blank at its ends. Raises UsageError."""
    if not text.strip() or text != text.strip() or len(text) > MAX_NAME or safe(text) != text:
        raise UsageError(
            f"{quote(text)} is no name of a group",
            f"a group has 1 to {MAX_NAME} printable characters, and no blank at its ends",
        )
    return check_text(text, "a group")


def check_sensitivity(text: str) -> str:
    """Return a sensitivity. Raises UsageError."""
    if text not in SENSITIVITIES:
        raise UsageError(f"{quote(text)} is no sensitivity", f"choose one of: {', '.join(SENSITIVITIES)}")
    return text


def check_external(text: str) -> str:
    """Return a delegator's id in another system: 1 to 255 printable characters. Raises UsageError."""
    if not text.strip() or len(text) > MAX_URI or safe(text) != text:
        raise UsageError(f"{quote(text)} is no id", f"an id has 1 to {MAX_URI} printable characters")
    return check_text(text, "an id")


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
        raise UsageError(f"there are {len(texts)} {noun}, more than {MOST}")
    return texts


def _sorted(texts: tuple[str, ...], noun: str, check: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(sorted(set(map(check, few(texts, noun)))))
