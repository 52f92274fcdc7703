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
        delegator = undone[name]
        if delegator is None or delegator.name != name:
            raise IntegrityError(
                f"event {seq} tells of the delegator {label(name)}, and the directory lacks them"
            )
        undone[name] = _before(seq, event, delegator)

    def _as_it_was(self, undone: Mapping[str, Delegator | None]) -> Iterator[Delegator]:
        for delegator in _all_delegators(self._snapshot):
            former = undone.get(delegator.name, delegator)
            if former is None:
                continue
            if self._form != FORM and former.disabled_last not in (None, former.disabled_at):
                raise IntegrityError(f"no event says when {label(former.name)} was last disabled")
            yield former


def _before(seq: int, event: Mapping[str, Any], delegator: Delegator) -> Delegator | None:
    """Return a delegator in the state before an event; None if the event added it. Raises IntegrityError."""
    recorded, at = recorded_facts(delegator), event["at"]
    match event["op"]:
        case "delegator-add":
            fresh = delegator._replace(
                imported=False, external=None, added_at=at, disabled_at=None, disabled_last=None
            )
            if delegator == fresh and all(
                recorded[field] == event.get(field, _ABSENT[field]) for field in RECORDED_FIELDS
            ):
                return None
        case "delegator-change":
            if all(recorded[field] == value for field, value in event["now"].items()):
                was: dict[str, Any] = {field: _value(value) for field, value in event["was"].items()}
                return delegator._replace(**was)
        case "delegator-disable":
            if event.get("again"):
                return delegator
            if delegator.disabled_at == delegator.disabled_last == at:
                return delegator._replace(disabled_at=None, disabled_last=event.get("last"))
        case "delegator-enable":
            disabled_at = event["since"]
            # Events of earlier versions do not state whether the time is remembered: then it may be missing.
            if delegator.disabled_at is None and (
                delegator.disabled_last == disabled_at
                or (delegator.disabled_last is None and "last" not in event)
            ):
                return delegator._replace(disabled_at=disabled_at, disabled_last=disabled_at)
    raise IntegrityError(f"the delegator {label(delegator.name)} is not as event {seq} says")


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
