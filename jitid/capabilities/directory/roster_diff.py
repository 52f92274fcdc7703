"""Import of delegators: changes the directory to match a list, completely or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

from jitid.capabilities.directory import delegators
from jitid.capabilities.directory.delegators import Departure, recorded_facts, taken
from jitid.capabilities.directory.roster.roster_entry import (
    KEEP,
    Keep,
    Roster,
    StatedDelegator,
    merged,
    misplaced,
)
from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity.revocation import check_reason
from jitid.capabilities.identity.revocation_result import TooManyError, blast
from jitid.errors import UsageError
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.directory import Delegator, Holder
from jitid.values.field_types import choice, pattern
from jitid.values.record import Record
from jitid.values.text import label

_AT_ONCE = 5_000

CHANGES = 1_000
"""The maximum number of delegators whose differences are listed."""


class DelegatorChange(Record):
    """The changed fields of a known delegator, with the old and the new values."""

    name: str
    was: dict[str, Any]
    now: dict[str, Any]


class Comparison(Record):
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
        return sorted([delegator.name for delegator in self.put] + [holder.own for holder in self.missing])


def compare(snapshot: View, roster: Roster, *, full: bool) -> Comparison:
    """Return the changes that a list would make.

    Raises:
        UsageError: two entries are the same delegator, another delegator has a name of an entry, the list is empty, or
            with `full` the list is known to be partial.

    """
    if not roster.people:
        raise UsageError("the list has no delegators; nothing was changed", "an empty list is never imported")
    if full and roster.partial is not None:
        raise UsageError(f"{roster.partial}; nothing was changed", "with --full the list must be complete")
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
        for position, entry in enumerate(people):
            aliases = () if isinstance(entry.aliases, Keep) else entry.aliases
            for name in dict.fromkeys((self._own(position), entry.name, *aliases)):
                self._claim(name, position)

    def compared(self, *, full: bool) -> Comparison:
        """Return the changes."""
        managers = _Managers(self._snapshot, self._people, self._claims, self._own, self._losing())
        comparison = Comparison([], [], [], [], [], [], [], managers.unresolved, managers.strangers, [])
        for position, old in self._paired():
            entry = managers.named(self._people[position])
            new = merged(entry, old, self._snapshot.now)
            self._account(position, old, new)
            if old is None:
                comparison.added.append(new)
            elif old.disabled_at is None and new.disabled_at is not None:
                comparison.disabled.append(new)
            elif old.disabled_at is not None and new.disabled_at is None:
                comparison.enabled.append(new)
            elif new != old:
                comparison.changed.append(new)
            if old is not None and len(comparison.changes) < CHANGES:
                comparison.changes.extend(_changes(old, new))
            if new.disabled_at is not None and entry.disabled is KEEP:
                comparison.staying.append(new.name)
        self._must_be_free()
        keys = {holder.key for holder in self._known if holder is not None}
        if full:
            comparison.missing.extend(DirectoryStore(self._snapshot).imported_besides(keys))
        # A name that moves to another delegator does not end with the delegator who had it.
        comparison.names.extend(
            name for name in dict.fromkeys(self._left) if self._claims.get(name, -1) in self._leaving | {-1}
        )
        comparison.names.extend(
            DirectoryStore(self._snapshot).all_names(holder.key for holder in comparison.missing)
        )
        return comparison

    def _match(self) -> None:
        """Match entries to known delegators: by external id, by own name, or by an alias if no other entry matches."""
        by_alias: list[tuple[int, Holder]] = []
        taken_by: dict[int, int] = {}
        numbered = iter(enumerate(self._people))
        while chunk := list(islice(numbered, _AT_ONCE)):
            by_external = DirectoryStore(self._snapshot).known_outside(
                entry.external for _, entry in chunk if isinstance(entry.external, str)
            )
            holders = DirectoryStore(self._snapshot).holders(entry.name for _, entry in chunk)
            for position, entry in chunk:
                holder = holders.get(entry.name)
                outside_holder = by_external.get(entry.external) if isinstance(entry.external, str) else None
                if outside_holder is None and holder is not None and holder.own != entry.name:
                    by_alias.append((position, holder))
                    continue
                self._recognise(position, outside_holder or holder, taken_by)
        for position, holder in by_alias:
            if holder.key not in taken_by:
                self._recognise(position, holder, taken_by)
        self._must_differ()

    def _recognise(self, position: int, holder: Holder | None, taken_by: dict[int, int]) -> None:
        if holder is None:
            return
        taker = taken_by.setdefault(holder.key, position)
        if taker != position:
            raise misplaced(
                self._people[position].place,
                f"{label(self._people[position].name)} is the same delegator as {label(self._people[taker].name)} "
                f"({self._people[taker].place}): in the directory both are {label(holder.own)}",
                "each person has one entry, with all other names as aliases",
            )
        self._known[position] = holder

    def _must_differ(self) -> None:
        """Raise UsageError if two entries have the same external id."""
        positions: dict[str, int] = {}
        for position, entry in enumerate(self._people):
            if isinstance(entry.external, str) and positions.setdefault(entry.external, position) != position:
                earlier = self._people[positions[entry.external]]
                raise misplaced(
                    entry.place, f"the id is also that of {label(earlier.name)} ({earlier.place})"
                )

    def _losing(self) -> set[int]:
        """Return the keys of the delegators whose aliases the list states: they lose each alias that it lacks."""
        return {
            holder.key
            for holder, entry in zip(self._known, self._people, strict=True)
            if holder is not None and not isinstance(entry.aliases, Keep)
        }

    def _own(self, position: int) -> str:
        holder = self._known[position]
        return self._people[position].name if holder is None else holder.own

    def _claim(self, name: str, position: int, *, kept: bool = False) -> None:
        other_position = self._claims.setdefault(name, position)
        if other_position == position:
            return
        # If an entry keeps a name that the list does not state, the error points to the other entry.
        later, earlier = (
            (other_position, position) if kept or other_position > position else (position, other_position)
        )
        claimant = self._people[earlier]
        raise misplaced(
            self._people[later].place,
            f"{label(name)} is also a name of {label(self._own(earlier))} ({claimant.place})",
            "each name and alias belongs to one delegator",
        )

    def _paired(self) -> Iterator[tuple[int, Delegator | None]]:
        """Yield each position with the known delegator of its entry, or None."""
        numbered = iter(enumerate(self._known))
        while chunk := list(islice(numbered, _AT_ONCE)):
            keys = [holder.key for _, holder in chunk if holder is not None]
            by_key = {
                delegator.key: delegator for delegator in DirectoryStore(self._snapshot).find_delegators(keys)
            }
            for position, holder in chunk:
                yield position, None if holder is None else by_key[holder.key]

    def _account(self, position: int, old: Delegator | None, new: Delegator) -> None:
        """Record the names that a delegator has after the import, and all names of a delegator that it disables."""
        old_names = () if old is None else (old.name, *old.aliases)
        if new.aliases != old_names[1:] or old is None:
            for name in (new.name, *new.aliases):
                self._claim(name, position, kept=True)
                if name not in old_names:
                    self._fresh[name] = position
        elif isinstance(self._people[position].aliases, Keep) or not self._people[position].subjects_too:
            for name in new.aliases:
                self._claim(name, position, kept=True)
        if new.disabled_at is not None and (old is None or old.disabled_at is None):
            self._leaving.add(position)
            self._left += [*old_names, new.name, *new.aliases]

    def _must_be_free(self) -> None:
        """Raise UsageError if a new name belongs to a delegator who is not in the list."""
        listed_keys = {holder.key for holder in self._known if holder is not None}
        fresh = iter(self._fresh)
        while chunk := list(islice(fresh, _AT_ONCE)):
            for name, holder in DirectoryStore(self._snapshot).holders(chunk).items():
                if holder.key not in listed_keys:
                    error = taken(name, holder.own)
                    raise UsageError(f"{self._people[self._fresh[name]].place}: {error.message}", error.hint)


def _changes(old: Delegator, new: Delegator) -> Iterator[DelegatorChange]:
    """Yield the change of a delegator, if any field differs besides the disabled state."""
    old_fields, new_fields = _fields(old), _fields(new)
    different = [field for field, value in old_fields.items() if value != new_fields[field]]
    if different:
        yield DelegatorChange(
            new.name,
            {field: old_fields[field] for field in different},
            {field: new_fields[field] for field in different},
        )


def _fields(delegator: Delegator) -> dict[str, Any]:
    return {**recorded_facts(delegator), "external_id": delegator.external, "imported": delegator.imported}


class _Managers:
    """The managers that a list states, by their own names."""

    def __init__(
        self,
        snapshot: View,
        people: Sequence[StatedDelegator],
        claims: dict[str, int],
        own_name: Callable[[int], str],
        losing: set[int],
    ) -> None:
        manager_names = {entry.manager for entry in people if isinstance(entry.manager, str)}
        self._owns = {name: own_name(claims[name]) for name in manager_names if name in claims}
        unclaimed = [name for name in manager_names if name not in claims]
        self._owns |= {
            name: holder.own
            for name, holder in DirectoryStore(snapshot).holders(unclaimed).items()
            if holder.key not in losing
        }
        self.strangers = sorted(manager_names - self._owns.keys())
        ids = {entry.manager_external for entry in people if entry.manager_external is not None}
        self._ids = {id_: holder.own for id_, holder in DirectoryStore(snapshot).known_outside(ids).items()}
        self.unresolved = sum(
            entry.manager_external is not None and entry.manager_external not in self._ids for entry in people
        )

    def named(self, entry: StatedDelegator) -> StatedDelegator:
        """Return an entry with the manager's own name; None replaces a manager with an unknown id."""
        if entry.manager_external is not None:
            return entry._replace(manager=self._ids.get(entry.manager_external))
        if isinstance(entry.manager, str) and entry.manager in self._owns:
            return entry._replace(manager=self._owns[entry.manager])
        return entry


_SHOWN = 20
"""The maximum number of names of each group that a report lists one by one."""


class RosterSource(Record):
    """The origin of a list."""

    form: Annotated[str, choice("csv", "scim", "jsonl")]
    """`csv`, `scim` or `jsonl`."""
    content: Annotated[str, pattern("[0-9a-f]{64}", "a SHA-256 in hexadecimal")]
    """SHA-256 of the file, as hex."""


class NameGroup(Record):
    """The number of delegators in a group, and the first of their names."""

    number: int
    first: tuple[str, ...]


class Reconciled(Record):
    """The outcome of an import, or its preview."""

    people: int
    """The number of delegators in the list."""
    added: NameGroup
    changed: NameGroup
    """Known delegators that the import changes, except those in `enabled` and `disabled`."""
    enabled: NameGroup
    disabled: NameGroup
    """Delegators that the list disables."""
    missing: NameGroup
    """Imported delegators that are not in the list; an import with `full` disables them."""
    staying: NameGroup
    """Disabled delegators whose state the list does not state; they stay disabled."""
    unresolved: int
    """The number of delegators in the list whose manager has an unknown id."""
    strangers: NameGroup
    """The managers who are neither in the directory nor in the list."""
    changes: tuple[DelegatorChange, ...]
    """The differences of known delegators, for the first thousand of them."""
    departure: Departure
    event: int | None = None
    """None in a dry run, and if there was nothing to change."""
    unproved: str | None = None
    """Why the refusal of leaked credentials could not be proved; None if it was, or if none needed a proof."""

    @property
    def anything(self) -> bool:
        """Whether the import changes any delegator."""
        return any(
            group.number for group in (self.added, self.changed, self.enabled, self.disabled, self.missing)
        )

    @property
    def leaving(self) -> int:
        """The number of enabled delegators that the import disables."""
        return self.disabled.number + self.missing.number


def preview(snapshot: View, roster: Roster, *, full: bool) -> Reconciled:
    """Return the preview of an import. Raises UsageError with the place of an invalid value."""
    comparison = compare(snapshot, roster, full=full)
    return _outcome(roster, comparison, delegators.foresee(snapshot, comparison.names))


def reconcile(
    transaction: Transaction,
    roster: Roster,
    source: RosterSource,
    reason: str | None,
    most: int | None,
    *,
    full: bool,
) -> Reconciled:
    """Change the directory to match a list; with `full`, disable imported delegators that the list lacks.

    Args:
        transaction: the transaction of the import.
        roster: the list.
        source: the origin of the list.
        reason: free text for the audit log.
        most: the maximum number of live credentials that may end, and of delegators that may be disabled; None for any
            number.
        full: whether the list is complete.

    Raises:
        UsageError: a value in the list is invalid.
        TooManyError: more than `most` would be disabled or end; nothing was changed.

    """
    check_reason(reason)
    comparison = compare(transaction, roster, full=full)
    outcome = _outcome(roster, comparison, delegators.foresee(transaction, comparison.names))
    if not outcome.anything:
        return outcome
    if most is not None:
        guard(outcome, most)
    DirectoryChanges(transaction).put_delegators(comparison.put)
    if comparison.names:
        keys = [holder.key for holder in comparison.missing]
        outcome = outcome._replace(departure=delegators.depart(transaction, keys, comparison.names))
    event = transaction.append(
        "delegator-import",
        {
            "form": source.form,
            "content": source.content,
            "reason": reason,
            "full": full or None,
            "people": outcome.people,
            **{name: getattr(outcome, name).number or None for name in CHANGED_GROUPS},
            "members": delegators.named(comparison.members()),
            "directory": delegators.digest(DirectoryStore(transaction)),
            "digests": delegators.FORM,
            **outcome.departure.facts(),
        },
    )
    return outcome._replace(event=event.seq)


CHANGED_GROUPS = ("added", "changed", "enabled", "disabled", "missing")
"""The fields of `Reconciled` that list changed delegators."""


def guard(foreseen: Reconciled, most: int) -> None:
    """Refuse to disable more than `most` delegators, or to end more than `most` credentials.

    Raises:
        TooManyError: the import would disable or end more.

    """
    needed_limit = needed(foreseen)
    if needed_limit > most:
        raise TooManyError(
            f"this would disable or revoke more than {most}: {losses(foreseen)}; nothing was changed",
            f"preview with --dry-run, then repeat with --yes or --max {needed_limit}",
        )


def needed(foreseen: Reconciled) -> int:
    """Return the smallest `most` that permits the import."""
    return max(foreseen.leaving, foreseen.departure.radius.credentials)


def losses(foreseen: Reconciled) -> str:
    """Return in words the number of delegators that would be disabled, and of credentials that would end with them."""
    people = f"{foreseen.leaving} delegator{'' if foreseen.leaving == 1 else 's'}"
    radius = foreseen.departure.radius
    return f"{people}, with {blast(radius)}" if radius.credentials else people


def _outcome(roster: Roster, comparison: Comparison, departure: Departure) -> Reconciled:
    return Reconciled(
        len(roster.people),
        _group([delegator.name for delegator in comparison.added]),
        _group([delegator.name for delegator in comparison.changed]),
        _group([delegator.name for delegator in comparison.enabled]),
        _group([delegator.name for delegator in comparison.disabled]),
        _group([holder.own for holder in comparison.missing]),
        _group(comparison.staying),
        comparison.unresolved,
        _group(comparison.strangers),
        tuple(comparison.changes),
        departure,
    )


def _group(names: Sequence[str]) -> NameGroup:
    return NameGroup(len(names), tuple(names[:_SHOWN]))
