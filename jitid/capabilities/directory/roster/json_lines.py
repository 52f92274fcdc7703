"""Parser for the output of `jitid delegator list --format jsonl`: one JSON object a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jitid.capabilities.directory.roster import roster_entry
from jitid.capabilities.directory.roster.roster_entry import KEEP, Keep, Roster, StatedDelegator, at
from jitid.errors import UsageError
from jitid.model import directory
from jitid.values import strict_json
from jitid.values.text import quote

_STATED = ("name", "entitlements", "sensitivity", "groups", "manager", "aliases", "external_id", "imported")
_WHETHER = ("active", "disabled", "state")
_IGNORED = frozenset({"added_at", "disabled_at"})
"""Members that `delegator list` also prints, and that the ledger determines itself."""


def read(lines: Iterable[tuple[int, str]]) -> Roster:
    """Return the delegators that numbered lines state. Raises UsageError with the line of an invalid value."""
    return Roster(tuple(_read(lines)))


def _read(lines: Iterable[tuple[int, str]]) -> Iterator[StatedDelegator]:
    for line_number, text in lines:
        location = f"line {line_number}"
        with at(location):
            yield _stated(location, _object(text))


def _object(text: str) -> Mapping[str, Any]:
    members = strict_json.loads(text, "it")
    if not isinstance(members, dict):
        raise UsageError("not a JSON object")
    for name in members:
        if name not in _STATED and name not in _WHETHER and name not in _IGNORED:
            scim = {"userName", "username", "schemas", "Resources"} & members.keys()
            hint = f"known members: {', '.join((*_STATED, *_WHETHER))}"
            raise UsageError(
                f"unknown member {quote(name)}", "this looks like SCIM: use --as scim" if scim else hint
            )
    if "name" not in members:
        raise UsageError("the member `name` is missing")
    return members


def _stated(location: str, members: Mapping[str, Any]) -> StatedDelegator:
    def value_of(name: str, read_value: Callable[[str, Any], Any]) -> Any:  # noqa: ANN401 - the type depends on the member
        return read_value(name, members[name]) if name in members else KEEP

    return StatedDelegator(
        location,
        directory.check_person(_text("name", members["name"])),
        entitlements=value_of("entitlements", _entitlements),
        sensitivity=value_of(
            "sensitivity", lambda name, value: roster_entry.check_sensitivity(_text(name, value))
        ),
        groups=value_of("groups", lambda name, value: roster_entry.groups(_texts(name, value))),
        manager=value_of("manager", _manager),
        aliases=value_of("aliases", lambda name, value: roster_entry.aliases(_texts(name, value))),
        disabled=_disabled(members),
        imported=_boolean("imported", members.get("imported", True)),
        external=_external(members.get("external_id")),
    )


def _disabled(members: Mapping[str, Any]) -> bool | Keep:
    names = [name for name in _WHETHER if name in members]
    if len(names) > 1:
        raise UsageError(f"the members {' and '.join(names)} exclude each other", "use one of them")
    if not names:
        return KEEP
    name, value = names[0], members[names[0]]
    if name == "state":
        if value not in ("enabled", "disabled"):
            raise UsageError("the member `state` must be enabled or disabled")
        return bool(value == "disabled")
    return _boolean(name, value) == (name == "disabled")


def _entitlements(name: str, value: object) -> tuple[str, ...] | None:
    return None if value is None else roster_entry.entitlements(_texts(name, value))


def _manager(name: str, value: object) -> str | None:
    return None if value is None else directory.check_person(_text(name, value))


def _external(value: object) -> str | Keep:
    return KEEP if value is None else directory.check_external(_text("external_id", value))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"the member `{name}` must be a string")
    return value


def _texts(name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"the member `{name}` must be an array of strings")
    return tuple(value)


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"the member `{name}` must be true or false")
    return value
