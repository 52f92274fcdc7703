"""Comparison of a list of delegators with the directory: matches each entry to a delegator, and finds the changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from jitid.capabilities.directory.delegator_facts import recorded_facts
from jitid.capabilities.directory.delegators import taken
from jitid.capabilities.directory.roster.line_error import misplaced
from jitid.capabilities.directory.roster.roster_entry import KEEP, Keep, Roster, StatedDelegator, merged
from jitid.capabilities.directory.store import DirectoryStore
from jitid.errors import UsageError
from jitid.ledger.view import View
from jitid.model.directory import Delegator, Holder
from jitid.values.text import label

_AT_ONCE = 5_000

CHANGES = 1_000
"""The maximum number of delegators whose differences are listed."""


class DelegatorChange(NamedTuple):
    """The changed fields of a known delegator, with the old and the new values."""

    name: str
    was: dict[str, Any]
    now: dict[str, Any]


class Comparison(NamedTuple):
    """The changes that a list would make."""

    added: list[Delegator]
    changed: list[Delegator]
    """Known delegators that change, except those in `enabled` and `disabled`."""
    enabled: list[Delegator]
    disabled: list[Delegator]
    """Enabled delegators that the list disables."""
    missing: list[Holder]
    """Imported delegators that are enabled and not in the list; empty if the list is not `full`."""
    staying: list[str]
    """The names of disabled delegators whose state the list does not state; they stay disabled."""
    names: list[str]
    """All names and subjects of the delegators that the import disables."""
    unresolved: int
    """The number of entries whose manager has an unknown id."""
    strangers: list[str]
    """The managers who are neither in the directory nor in the list."""
    changes: list[DelegatorChange]
    """The differences of the first delegators in `changed`, `enabled` and `disabled`."""

    @property
    def put(self) -> list[Delegator]:
        """All delegators to record."""
        return [*self.added, *self.changed, *self.enabled, *self.disabled]

    def members(self) -> list[str]:
        """Return the names of all delegators that change, sorted."""
        return sorted([one.name for one in self.put] + [one.own for one in self.missing])


def compare(snapshot: View, roster: Roster, *, full: bool) -> Comparison:
    """Return the changes that a list would make.

    Raises:
        UsageError: two entries are the same delegator, another delegator has a name of an entry, the list is empty, or
            with `full` the list is known to be partial.

    """
    if not roster.people:
        raise UsageError(
            "the list names nobody; nothing was changed", "an empty list never stands for nobody at all"
        )
    if full and roster.partial is not None:
        raise UsageError(f"{roster.partial}; nothing was changed", "with --full the list must have everybody")
    return _Matching(snapshot, roster.people).compared(full=full)


class _Matching:
    """The entries of a list by position, matched to the delegators of the directory."""

    def __init__(self, snapshot: View, people: Sequence[StatedDelegator]) -> None:
        self._snapshot = snapshot
        self._people = people
        self._known: list[Holder | None] = [None] * len(people)
        """The known delegator of each entry; None for a new one."""
        self._claims: dict[str, int] = {}
        """The position of the entry that has each name after the import."""
        self._fresh: dict[str, int] = {}
        """The claimed names that the delegator of the entry did not have before, with its position."""
        self._leaving: set[int] = set()
        self._left: list[str] = []
        """The old and new names of the delegators that the import disables."""
        self._match()
        for position, stated in enumerate(people):
            named = () if isinstance(stated.aliases, Keep) else stated.aliases
            for name in dict.fromkeys((self._own(position), stated.name, *named)):
                self._claim(name, position)

    def compared(self, *, full: bool) -> Comparison:
        """Return the changes."""
        managers = _Managers(self._snapshot, self._people, self._claims, self._own, self._losing())
        found = Comparison([], [], [], [], [], [], [], managers.unresolved, managers.strangers, [])
        for position, before in self._paired():
            stated = managers.named(self._people[position])
            new = merged(stated, before, self._snapshot.now)
            self._account(position, before, new)
            if before is None:
                found.added.append(new)
            elif before.disabled_at is None and new.disabled_at is not None:
                found.disabled.append(new)
            elif before.disabled_at is not None and new.disabled_at is None:
                found.enabled.append(new)
            elif new != before:
                found.changed.append(new)
            if before is not None and len(found.changes) < CHANGES:
                found.changes.extend(_changes(before, new))
            if new.disabled_at is not None and stated.disabled is KEEP:
                found.staying.append(new.name)
        self._must_be_free()
        keys = {holder.key for holder in self._known if holder is not None}
        if full:
            found.missing.extend(DirectoryStore(self._snapshot).imported_besides(keys))
        # A name that moves to another delegator does not end with the delegator who had it.
        found.names.extend(
            name for name in dict.fromkeys(self._left) if self._claims.get(name, -1) in self._leaving | {-1}
        )
        found.names.extend(DirectoryStore(self._snapshot).all_names(holder.key for holder in found.missing))
        return found

    def _match(self) -> None:
        """Match entries to known delegators: by external id, by own name, or by an alias if no other entry matches."""
        by_alias: list[tuple[int, Holder]] = []
        taken_by: dict[int, int] = {}
        numbered = iter(enumerate(self._people))
        while chunk := list(islice(numbered, _AT_ONCE)):
            outside = DirectoryStore(self._snapshot).known_outside(
                stated.external for _, stated in chunk if isinstance(stated.external, str)
            )
            holders = DirectoryStore(self._snapshot).holders(stated.name for _, stated in chunk)
            for position, stated in chunk:
                holder = holders.get(stated.name)
                known = outside.get(stated.external) if isinstance(stated.external, str) else None
                if known is None and holder is not None and holder.own != stated.name:
                    by_alias.append((position, holder))
                    continue
                self._recognise(position, known or holder, taken_by)
        for position, holder in by_alias:
            if holder.key not in taken_by:
                self._recognise(position, holder, taken_by)
        self._must_differ()

    def _recognise(self, position: int, holder: Holder | None, taken_by: dict[int, int]) -> None:
        if holder is None:
            return
        other = taken_by.setdefault(holder.key, position)
        if other != position:
            raise misplaced(
                self._people[position].place,
                f"{label(self._people[position].name)} is the same delegator as {label(self._people[other].name)} "
                f"({self._people[other].place}): the directory has both as {label(holder.own)}",
                "one person has one entry, and their other names as aliases in it",
            )
        self._known[position] = holder

    def _must_differ(self) -> None:
        """Raise UsageError if two entries have the same external id."""
        seen: dict[str, int] = {}
        for position, stated in enumerate(self._people):
            if isinstance(stated.external, str) and seen.setdefault(stated.external, position) != position:
                first = self._people[seen[stated.external]]
                raise misplaced(stated.place, f"it has the same id as {label(first.name)} ({first.place})")

    def _losing(self) -> set[int]:
        """Return the keys of the delegators whose aliases the list states: they lose each alias that it lacks."""
        return {
            holder.key
            for holder, stated in zip(self._known, self._people, strict=True)
            if holder is not None and not isinstance(stated.aliases, Keep)
        }

    def _own(self, position: int) -> str:
        holder = self._known[position]
        return self._people[position].name if holder is None else holder.own

    def _claim(self, name: str, position: int, *, kept: bool = False) -> None:
        other = self._claims.setdefault(name, position)
        if other == position:
            return
        # If an entry keeps a name that the list does not state, the error points to the other entry.
        later, first = (other, position) if kept or other > position else (position, other)
        one = self._people[first]
        raise misplaced(
            self._people[later].place,
            f"{label(name)} is a name of {label(self._own(first))} too ({one.place})",
            "one person has one entry, and nobody has a name of somebody else's",
        )

    def _paired(self) -> Iterator[tuple[int, Delegator | None]]:
        """Yield each position with the known delegator of its entry, or None."""
        numbered = iter(enumerate(self._known))
        while chunk := list(islice(numbered, _AT_ONCE)):
            keys = [holder.key for _, holder in chunk if holder is not None]
            found = {one.key: one for one in DirectoryStore(self._snapshot).find_delegators(keys)}
            for position, holder in chunk:
                yield position, None if holder is None else found[holder.key]

    def _account(self, position: int, before: Delegator | None, new: Delegator) -> None:
        """Record the names that a delegator has after the import, and all names of a delegator that it disables."""
        had = () if before is None else (before.name, *before.aliases)
        if new.aliases != had[1:] or before is None:
            for name in (new.name, *new.aliases):
                self._claim(name, position, kept=True)
                if name not in had:
                    self._fresh[name] = position
        elif isinstance(self._people[position].aliases, Keep) or not self._people[position].subjects_too:
            for name in new.aliases:
                self._claim(name, position, kept=True)
        if new.disabled_at is not None and (before is None or before.disabled_at is None):
            self._leaving.add(position)
            self._left += [*had, new.name, *new.aliases]

    def _must_be_free(self) -> None:
        """Raise UsageError if a new name belongs to a delegator who is not in the list."""
        inside = {holder.key for holder in self._known if holder is not None}
        fresh = iter(self._fresh)
        while chunk := list(islice(fresh, _AT_ONCE)):
            for name, holder in DirectoryStore(self._snapshot).holders(chunk).items():
                if holder.key not in inside:
                    error = taken(name, holder.own)
                    raise UsageError(f"{self._people[self._fresh[name]].place}: {error.message}", error.hint)


def _changes(before: Delegator, new: Delegator) -> Iterator[DelegatorChange]:
    """Yield the change of a delegator, if any field differs besides the disabled state."""
    was, now = _fields(before), _fields(new)
    different = [field for field, value in was.items() if value != now[field]]
    if different:
        yield DelegatorChange(
            new.name, {field: was[field] for field in different}, {field: now[field] for field in different}
        )


def _fields(one: Delegator) -> dict[str, Any]:
    return {**recorded_facts(one), "external_id": one.external, "imported": one.imported}


class _Managers:
    """The managers that a list states, by their own names."""

    def __init__(
        self,
        snapshot: View,
        people: Sequence[StatedDelegator],
        claims: dict[str, int],
        own: Callable[[int], str],
        losing: set[int],
    ) -> None:
        stated = {one.manager for one in people if isinstance(one.manager, str)}
        self._owns = {name: own(claims[name]) for name in stated if name in claims}
        outside = [name for name in stated if name not in claims]
        self._owns |= {
            name: holder.own
            for name, holder in DirectoryStore(snapshot).holders(outside).items()
            if holder.key not in losing
        }
        self.strangers = sorted(stated - self._owns.keys())
        ids = {one.manager_external for one in people if one.manager_external is not None}
        self._ids = {id_: holder.own for id_, holder in DirectoryStore(snapshot).known_outside(ids).items()}
        self.unresolved = sum(
            one.manager_external is not None and one.manager_external not in self._ids for one in people
        )

    def named(self, stated: StatedDelegator) -> StatedDelegator:
        """Return an entry with the manager's own name; None replaces a manager with an unknown id."""
        if stated.manager_external is not None:
            return stated._replace(manager=self._ids.get(stated.manager_external))
        if isinstance(stated.manager, str) and stated.manager in self._owns:
            return stated._replace(manager=self._owns[stated.manager])
        return stated
