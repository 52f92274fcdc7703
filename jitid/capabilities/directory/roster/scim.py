"""Delegators as SCIM 2.0 has users (RFC 7643, section 4.1): a list response, an array, or one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitid.capabilities.directory.roster import roster_entry
from jitid.capabilities.directory.roster.line_error import at, misplaced
from jitid.capabilities.directory.roster.roster_entry import KEEP, Keep, Roster, StatedDelegator
from jitid.errors import UsageError
from jitid.values.json_stream import Elements
from jitid.values.strict_json import StrictJSONError
from jitid.values.text import quote

_USER = "urn:ietf:params:scim:schemas:core:2.0:user"
_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user"
_NONE: Mapping[str, tuple[str, tuple[str, ...] | None]] = {
    "groups": ("groups", ()),
    "emails": ("aliases", ()),
    "entitlements": ("entitlements", ()),
    "manager": ("manager", None),
}
"""What an attribute states that somebody lacks, if others in the file have it."""


def read(text: str) -> Roster:
    """Return what users state.

    The user name becomes the delegator's, e-mail addresses are aliases, and the `id` is kept. Of groups, addresses,
    entitlements and managers a user without any has none if another one in the file has some (RFC 7643, section 2.5);
    a file in which nobody has any does not tell of them. Raises UsageError with the place of what cannot be meant.
    """
    elements = Elements(text, "the file", "resources")
    reader = _UserReader()
    people = []
    try:
        for place, value in elements:
            with at(place):
                people.append(reader.user(place, value))
    except StrictJSONError as error:
        raise misplaced("", f"{error}; nothing was changed") from error
    people = [_with_none(_with_manager(one, reader.ids), reader.told) for one in people]
    return Roster(tuple(people), reader.notes(), _partial(elements.around, len(people)))


class _UserReader:
    """Reads user after user, and gathers what only all of them tell."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        """The name of each user by their `id`, and by their name."""
        self.told: set[str] = set()
        """Which of the optional attributes some user has."""
        self._unfit = 0

    def user(self, place: str, value: object) -> StatedDelegator:
        """Return what one user states. Raises UsageError."""
        user = _folded(value, "it")
        schemas = [each.lower() for each in _list("schemas", user.get("schemas")) if isinstance(each, str)]
        if schemas and _USER not in schemas:
            raise UsageError("by its `schemas` it is no user", "give users alone: their groups stand in them")
        name = roster_entry.check_person(f"user:{_text('userName', user.get('username'))}")
        external = _first_text(user, "id", "externalid")
        for id_ in (external, name):
            if id_:
                self.ids[id_] = name
        scopes = self._values(user, "entitlements", "value")
        groups = self._values(user, "groups", "display", "value")
        manager = self._manager(user)
        return StatedDelegator(
            place,
            name,
            entitlements=KEEP if isinstance(scopes, Keep) else roster_entry.entitlements(scopes),
            groups=KEEP if isinstance(groups, Keep) else roster_entry.groups(groups),
            manager=None if manager is None else KEEP,
            aliases=self._addresses(user),
            disabled=_disabled(user.get("active")),
            external=roster_entry.check_external(external) if external else KEEP,
            manager_external=manager if isinstance(manager, str) else None,
            subjects_too=False,
        )

    def notes(self) -> tuple[str, ...]:
        """Return what was left out."""
        if not self._unfit:
            return ()
        are = "e-mail address is" if self._unfit == 1 else "e-mail addresses are"
        return (f"{self._unfit} {are} no name that jitid can hold, and no alias",)

    def _values(self, user: Mapping[str, Any], name: str, *members: str) -> tuple[str, ...] | Keep:
        """Return the values of a multi-valued attribute, each by the first of these members that it has."""
        if name not in user:
            return KEEP
        self.told.add(name)
        found = []
        for each in _list(name, user[name]):
            if not isinstance(each, str):
                each = _first_text(_folded(each, f"one of its `{name}`"), *members)
            found.append(_text(f"{name}.{members[-1]}", each))
        return tuple(found)

    def _addresses(self, user: Mapping[str, Any]) -> tuple[str, ...] | Keep:
        values = self._values(user, "emails", "value")
        if isinstance(values, Keep):
            return KEEP
        found = []
        for address in values:
            try:
                found.append(roster_entry.check_person(f"user:{address}"))
            except UsageError:
                # No line could name it, so that nothing is lost.
                self._unfit += 1
        return roster_entry.aliases(found)

    def _manager(self, user: Mapping[str, Any]) -> str | Keep | None:
        """Return what names the manager, None for no manager, KEEP where nothing is said."""
        extension = user.get(_ENTERPRISE)
        members = {} if extension is None else _folded(extension, "its enterprise extension")
        if "manager" not in members:
            return KEEP
        self.told.add("manager")
        manager = members["manager"]
        if manager is None:
            return None
        if isinstance(manager, str):
            return manager or None
        one = _folded(manager, "its manager")
        reference = _first_text(one, "$ref")
        return _first_text(one, "value") or (reference and reference.rstrip("/").rpartition("/")[2]) or None


def _with_manager(one: StatedDelegator, ids: Mapping[str, str]) -> StatedDelegator:
    """Put the name of the manager in the place of their id, if they are in the file."""
    if one.manager_external is None:
        return one
    name = ids.get(one.manager_external) or ids.get(f"user:{one.manager_external}")
    return one if name is None else one._replace(manager=name, manager_external=None)


def _with_none(one: StatedDelegator, told: set[str]) -> StatedDelegator:
    """Say that somebody has none of what others in the file have."""
    none: dict[str, Any] = dict(
        [
            _NONE[name]
            for name in told
            if getattr(one, _NONE[name][0]) is KEEP and not (name == "manager" and one.manager_external)
        ]
    )
    return one._replace(**none) if none else one


def _partial(around: Sequence[Mapping[str, Any]], count: int) -> str | None:
    totals = [each["totalresults"] for each in around if isinstance(each.get("totalresults"), int)]
    if max(totals, default=0) <= count:
        return None
    return f"the file has {count} users of {max(totals)}: other pages are missing"


def _disabled(active: object) -> bool | Keep:
    if active is None:
        return KEEP
    # Some write the truth between quotes.
    value = {"true": True, "false": False}.get(active.lower()) if isinstance(active, str) else active
    if not isinstance(value, bool):
        raise UsageError("its `active` is neither true nor false")
    return not value


def _folded(value: object, what: str) -> dict[str, Any]:
    """Return an object by the names of its attributes in lower case (RFC 7643, section 2.1)."""
    if not isinstance(value, dict):
        raise UsageError(f"{what} is no JSON object")
    found = {name.lower(): each for name, each in value.items()}
    if len(found) != len(value):
        raise UsageError(f"{what} has two attributes of one name")
    return found


def _list(name: str, value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise UsageError(f"its `{name}` is no list")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"its `{name}` is missing, or no text")
    return value


def _first_text(attributes: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these attributes that is not blank. Raises UsageError for one that is no text."""
    for name in names:
        value = attributes.get(name)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"its {quote(name)} is no text")
        if value and value.strip():
            return str(value)
    return None
