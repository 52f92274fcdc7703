"""Parser for SCIM 2.0 users (RFC 7643, section 4.1): a list response, an array, or a sequence of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitid.capabilities.directory.roster import roster_entry
from jitid.capabilities.directory.roster.roster_entry import (
    KEEP,
    Keep,
    Roster,
    StatedDelegator,
    at,
    misplaced,
)
from jitid.errors import UsageError
from jitid.model import directory
from jitid.values.strict_json import Elements, StrictJSONError
from jitid.values.text import quote

_USER = "urn:ietf:params:scim:schemas:core:2.0:user"
_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user"
_NONE: Mapping[str, tuple[str, tuple[str, ...] | None]] = {
    "groups": ("groups", ()),
    "emails": ("aliases", ()),
    "entitlements": ("entitlements", ()),
    "manager": ("manager", None),
}
"""The field value for a user without an attribute, if another user in the file has that attribute."""


def read(text: str) -> Roster:
    """Return the delegators that SCIM users state.

    The user name becomes the delegator's name, e-mail addresses become aliases, and the `id` is kept. For groups,
    addresses, entitlements and managers, an absent attribute means "none" if another user in the file has it (RFC
    7643, section 2.5). If no user in the file has it, the directory's values do not change. Raises UsageError with the
    place of an invalid value.
    """
    elements = Elements(text, "the file", "resources")
    reader = _UserReader()
    people = []
    try:
        for location, value in elements:
            with at(location):
                people.append(reader.user(location, value))
    except StrictJSONError as error:
        raise misplaced("", f"{error}; nothing was changed") from error
    people = [_with_none(_with_manager(entry, reader.ids), reader.present) for entry in people]
    return Roster(tuple(people), reader.notes(), _partial(elements.around, len(people)))


class _UserReader:
    """Reads users one by one, and collects facts about the whole file."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        """The name of each user, by `id` and by name."""
        self.present: set[str] = set()
        """The optional attributes that at least one user has."""
        self._unfit = 0

    def user(self, location: str, value: object) -> StatedDelegator:
        """Return the entry of one user. Raises UsageError."""
        user = _folded(value, "the user")
        schemas = [
            schema.lower() for schema in _list("schemas", user.get("schemas")) if isinstance(schema, str)
        ]
        if schemas and _USER not in schemas:
            raise UsageError(
                "its `schemas` do not include the SCIM User schema",
                "import users only; each user lists its groups",
            )
        name = directory.check_person(f"user:{_text('userName', user.get('username'))}")
        external = _first_text(user, "id", "externalid")
        for id_ in (external, name):
            if id_:
                self.ids[id_] = name
        scopes = self._values(user, "entitlements", "value")
        groups = self._values(user, "groups", "display", "value")
        manager = self._manager(user)
        return StatedDelegator(
            location,
            name,
            entitlements=KEEP if isinstance(scopes, Keep) else roster_entry.entitlements(scopes),
            groups=KEEP if isinstance(groups, Keep) else roster_entry.groups(groups),
            manager=None if manager is None else KEEP,
            aliases=self._addresses(user),
            disabled=_disabled(user.get("active")),
            external=directory.check_external(external) if external else KEEP,
            manager_external=manager if isinstance(manager, str) else None,
            subjects_too=False,
        )

    def notes(self) -> tuple[str, ...]:
        """Return notes about omitted values."""
        if not self._unfit:
            return ()
        was = "address was skipped: it is" if self._unfit == 1 else "addresses were skipped: they are"
        names = "a valid name" if self._unfit == 1 else "valid names"
        return (f"{self._unfit} e-mail {was} not {names}",)

    def _values(self, user: Mapping[str, Any], name: str, *members: str) -> tuple[str, ...] | Keep:
        """Return the values of a multi-valued attribute; of an object, its first member that is not blank."""
        if name not in user:
            return KEEP
        self.present.add(name)
        texts = []
        for value in _list(name, user[name]):
            if not isinstance(value, str):
                value = _first_text(_folded(value, f"one of its `{name}`"), *members)
            texts.append(_text(f"{name}.{members[-1]}", value))
        return tuple(texts)

    def _addresses(self, user: Mapping[str, Any]) -> tuple[str, ...] | Keep:
        values = self._values(user, "emails", "value")
        if isinstance(values, Keep):
            return KEEP
        names = []
        for address in values:
            try:
                names.append(directory.check_person(f"user:{address}"))
            except UsageError:
                # jitid accepts no such name anywhere, so that an alias would be useless.
                self._unfit += 1
        return roster_entry.aliases(names)

    def _manager(self, user: Mapping[str, Any]) -> str | Keep | None:
        """Return the id or name of the manager, None for no manager, KEEP if the attribute is absent."""
        extension = user.get(_ENTERPRISE)
        members = {} if extension is None else _folded(extension, "its enterprise extension")
        if "manager" not in members:
            return KEEP
        self.present.add("manager")
        manager = members["manager"]
        if manager is None:
            return None
        if isinstance(manager, str):
            return manager or None
        attributes = _folded(manager, "its manager")
        reference = _first_text(attributes, "$ref")
        return (
            _first_text(attributes, "value")
            or (reference and reference.rstrip("/").rpartition("/")[2])
            or None
        )


def _with_manager(entry: StatedDelegator, ids: Mapping[str, str]) -> StatedDelegator:
    """Replace the manager's id by the manager's name, if that user is in the file."""
    if entry.manager_external is None:
        return entry
    name = ids.get(entry.manager_external) or ids.get(f"user:{entry.manager_external}")
    return entry if name is None else entry._replace(manager=name, manager_external=None)


def _with_none(entry: StatedDelegator, present: set[str]) -> StatedDelegator:
    """Clear the fields of attributes that a user lacks and other users in the file have."""
    cleared: dict[str, Any] = dict(
        [
            _NONE[name]
            for name in present
            if getattr(entry, _NONE[name][0]) is KEEP and not (name == "manager" and entry.manager_external)
        ]
    )
    return entry._replace(**cleared) if cleared else entry


def _partial(around: Sequence[Mapping[str, Any]], count: int) -> str | None:
    totals = [
        envelope["totalresults"] for envelope in around if isinstance(envelope.get("totalresults"), int)
    ]
    if max(totals, default=0) <= count:
        return None
    return f"the file has {count} of {max(totals)} users: pages are missing"


def _disabled(active: object) -> bool | Keep:
    if active is None:
        return KEEP
    # Some sources write the boolean as a string.
    value = {"true": True, "false": False}.get(active.lower()) if isinstance(active, str) else active
    if not isinstance(value, bool):
        raise UsageError("its `active` must be true or false")
    return not value


def _folded(value: object, label: str) -> dict[str, Any]:
    """Return an object with the names of its attributes in lower case (RFC 7643, section 2.1)."""
    if not isinstance(value, dict):
        raise UsageError(f"{label} is not a JSON object")
    folded = {name.lower(): member for name, member in value.items()}
    if len(folded) != len(value):
        raise UsageError(f"{label} has an attribute twice")
    return folded


def _list(name: str, value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise UsageError(f"its `{name}` must be an array")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"its `{name}` is required, and must be a string")
    return value


def _first_text(attributes: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these attributes that is not blank. Raises UsageError if one is not text."""
    for name in names:
        value = attributes.get(name)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"its {quote(name)} must be a string")
        if value and value.strip():
            return str(value)
    return None
