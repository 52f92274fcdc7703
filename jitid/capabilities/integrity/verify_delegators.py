"""Check of the directory's delegators against their audit events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from jitid.capabilities.directory.delegator_facts import (
    FORM,
    RECORDED_FIELDS,
    _all_delegators,
    _digest,
    recorded_facts,
)
from jitid.capabilities.directory.store import DirectoryStore
from jitid.errors import IntegrityError
from jitid.model.directory import Delegator
from jitid.values.text import label


class DelegatorMembers:
    """The comparison of the directory with the events about delegators.

    An import records the digest of the whole directory, and each change the values before it. So the changes since the
    last import are undone one by one, and the result must have that digest.
    """

    def __init__(self, snapshot: DirectoryStore) -> None:
        self._snapshot = snapshot
        self._base = sha256().hexdigest()
        """The digest that the last import recorded; before any import, the digest of an empty directory."""
        self._form = FORM
        """The version of the format that was digested."""
        self._since: list[tuple[int, Mapping[str, Any]]] = []
        """The events of single changes since the last import."""

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event."""
        if event["op"] == "delegator-import":
            self._base = event["directory"]
            self._form = event.get("digests", 1)
            self._since.clear()
        else:
            self._since.append((seq, event))

    def compare_rows(self) -> None:
        """Compare the directory.

        Raises:
            IntegrityError: a part of it was edited, removed or inserted.

        """
        if (name := self._snapshot.wrongly_named()) is not None:
            raise IntegrityError(f"whom the name {label(name)} stands for was changed in the ledger")
        undone: dict[str, Delegator | None] = {}
        for seq, event in reversed(self._since):
            try:
                self._undo(seq, event, undone)
            except (KeyError, AttributeError, TypeError, ValueError) as error:
                raise IntegrityError(f"event {seq} does not tell what an event of its sort tells") from error
        if _digest(self._as_it_was(undone), self._form) != self._base:
            raise IntegrityError("the directory of delegators is not as the events say")

    def _undo(self, seq: int, event: Mapping[str, Any], undone: dict[str, Delegator | None]) -> None:
        """Undo the change that one event made to a delegator."""
        name = event["delegator"]
        if name not in undone:
            undone[name] = self._snapshot.find_delegator(name)
        found = undone[name]
        if found is None or found.name != name:
            raise IntegrityError(
                f"event {seq} tells of the delegator {label(name)}, and the directory lacks them"
            )
        undone[name] = _before(seq, event, found)

    def _as_it_was(self, undone: Mapping[str, Delegator | None]) -> Iterator[Delegator]:
        for one in _all_delegators(self._snapshot):
            before = undone.get(one.name, one)
            if before is None:
                continue
            if self._form != FORM and before.disabled_last not in (None, before.disabled_at):
                raise IntegrityError(f"no event says when {label(before.name)} was last disabled")
            yield before


def _before(seq: int, event: Mapping[str, Any], found: Delegator) -> Delegator | None:
    """Return a delegator in the state before an event; None if the event added it. Raises IntegrityError."""
    now, at = recorded_facts(found), event["at"]
    match event["op"]:
        case "delegator-add":
            fresh = found._replace(
                imported=False, external=None, added_at=at, disabled_at=None, disabled_last=None
            )
            if found == fresh and all(
                now[field] == event.get(field, _ABSENT[field]) for field in RECORDED_FIELDS
            ):
                return None
        case "delegator-change":
            if all(now[field] == value for field, value in event["now"].items()):
                was: dict[str, Any] = {field: _value(value) for field, value in event["was"].items()}
                return found._replace(**was)
        case "delegator-disable":
            if event.get("again"):
                return found
            if found.disabled_at == found.disabled_last == at:
                return found._replace(disabled_at=None, disabled_last=event.get("last"))
        case "delegator-enable":
            since = event["since"]
            # Events of earlier versions do not state whether the time is remembered: then it may be missing.
            if found.disabled_at is None and (
                found.disabled_last == since or (found.disabled_last is None and "last" not in event)
            ):
                return found._replace(disabled_at=since, disabled_last=since)
    raise IntegrityError(f"the delegator {label(found.name)} is not as event {seq} says")


_ABSENT: Mapping[str, Any] = {
    "sensitivity": None,
    "entitlements": None,
    "groups": [],
    "manager": None,
    "aliases": [],
}
"""The values of fields that an event which adds a delegator leaves out."""


def _value(recorded: object) -> object:
    return tuple(recorded) if isinstance(recorded, list) else recorded
