"""An import of delegators: the directory made to say what a list says, all of it or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitid.capabilities.directory import delegator_facts, departures
from jitid.capabilities.directory.departures import Departure
from jitid.capabilities.directory.roster.roster_entry import Roster
from jitid.capabilities.directory.roster_diff import Comparison, DelegatorChange, compare
from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity.revocation import TooManyError, blast, check_reason
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View

_SHOWN = 20
"""So many names of each sort are told one by one."""


class RosterSource(NamedTuple):
    """Where a list came from."""

    form: str
    """`csv`, `scim` or `jsonl`."""
    content: str
    """SHA-256 of the file, as hex."""


class Sort(NamedTuple):
    """Of how many delegators something is so, and the names of the first."""

    number: int
    first: tuple[str, ...]


class Reconciled(NamedTuple):
    """What an import came to, or would come to."""

    people: int
    """How many the list has."""
    added: Sort
    changed: Sort
    """Those who were known and of whom anything is different now, but for the next two."""
    enabled: Sort
    disabled: Sort
    """Those whom the list says to be disabled."""
    missing: Sort
    """Those who came with an import once and are not in the list: disabled with a full one."""
    staying: Sort
    """Those in the list who are disabled, of whom it does not say whether they are."""
    unresolved: int
    """How many managers nobody knows by the id that stands for them."""
    strangers: Sort
    """The managers who are neither in the directory nor in the list."""
    changes: tuple[DelegatorChange, ...]
    """What is different of those who were known; of the first thousand."""
    departure: Departure
    event: int | None = None
    """None in a dry run, and if nothing was to be changed."""
    unproved: str | None = None
    """Why it could not be proved of what leaked that it is dead; none if that was done, or nothing had leaked."""

    @property
    def anything(self) -> bool:
        """Whether anything is different afterwards."""
        return any(
            one.number for one in (self.added, self.changed, self.enabled, self.disabled, self.missing)
        )

    @property
    def leaving(self) -> int:
        """How many who were not are disabled."""
        return self.disabled.number + self.missing.number


def preview(snapshot: View, roster: Roster, *, full: bool) -> Reconciled:
    """Return what an import would come to. Raises UsageError with the place of what cannot be meant."""
    found = compare(snapshot, roster, full=full)
    return _told(roster, found, departures.foresee(snapshot, found.names))


def reconcile(
    transaction: Transaction,
    roster: Roster,
    source: RosterSource,
    reason: str | None,
    most: int | None,
    *,
    full: bool,
) -> Reconciled:
    """Make the directory say what a list says; with `full`, disable whom an import has brought and it lacks.

    Args:
        transaction: what it happens in.
        roster: the list.
        source: where it came from.
        reason: free text for the audit log.
        most: how many live credentials may end, and how many delegators may be disabled; None for any number.
        full: whether the list has everybody.

    Raises:
        UsageError: something of the list cannot be meant.
        TooManyError: more than `most` would be disabled or end; nothing was changed.

    """
    check_reason(reason)
    found = compare(transaction, roster, full=full)
    told = _told(roster, found, departures.foresee(transaction, found.names))
    if not told.anything:
        return told
    if most is not None:
        guard(told, most)
    DirectoryChanges(transaction).put_delegators(found.put)
    if found.names:
        keys = [holder.key for holder in found.missing]
        told = told._replace(departure=departures.depart(transaction, keys, found.names))
    event = transaction.append(
        "delegator-import",
        {
            "form": source.form,
            "content": source.content,
            "reason": reason,
            "full": full or None,
            "people": told.people,
            **{name: getattr(told, name).number or None for name in SORTS},
            "members": departures.named(found.members()),
            "directory": delegator_facts.digest(DirectoryStore(transaction)),
            "digests": delegator_facts.FORM,
            **told.departure.facts(),
        },
    )
    return told._replace(event=event.seq)


SORTS = ("added", "changed", "enabled", "disabled", "missing")
"""The fields of `Reconciled` that tell who is different."""


def guard(foreseen: Reconciled, most: int) -> None:
    """Refuse to disable more than `most` delegators, or to end more than `most` credentials.

    Raises:
        TooManyError: more than that would be.

    """
    number = needed(foreseen)
    if number > most:
        raise TooManyError(
            f"this would disable or end more than {most}: {losses(foreseen)}; nothing was changed",
            f"look at it with --dry-run, then repeat it with --yes or --max {number}",
        )


def needed(foreseen: Reconciled) -> int:
    """Return what must be permitted at least."""
    return max(foreseen.leaving, foreseen.departure.radius.credentials)


def losses(foreseen: Reconciled) -> str:
    """Return in words who would be disabled, and what would end with them."""
    people = f"{foreseen.leaving} delegator{'' if foreseen.leaving == 1 else 's'}"
    radius = foreseen.departure.radius
    return f"{people}, with {blast(radius)}" if radius.credentials else people


def _told(roster: Roster, found: Comparison, departure: Departure) -> Reconciled:
    return Reconciled(
        len(roster.people),
        _sort([one.name for one in found.added]),
        _sort([one.name for one in found.changed]),
        _sort([one.name for one in found.enabled]),
        _sort([one.name for one in found.disabled]),
        _sort([one.own for one in found.missing]),
        _sort(found.staying),
        found.unresolved,
        _sort(found.strangers),
        tuple(found.changes),
        departure,
    )


def _sort(names: Sequence[str]) -> Sort:
    return Sort(len(names), tuple(names[:_SHOWN]))
