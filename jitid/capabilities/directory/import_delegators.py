"""Import of delegators: changes the directory to match a list, completely or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from jitid.capabilities.directory import delegator_facts, departures
from jitid.capabilities.directory.departures import Departure
from jitid.capabilities.directory.roster.roster_entry import Roster
from jitid.capabilities.directory.roster_diff import Comparison, DelegatorChange, compare
from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity.revocation import TooManyError, check_reason
from jitid.capabilities.identity.revocation_result import blast
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.values.field_types import choice, pattern

_SHOWN = 20
"""The maximum number of names of each group that a report lists one by one."""


class RosterSource(NamedTuple):
    """The origin of a list."""

    form: Annotated[str, choice("csv", "scim", "jsonl")]
    """`csv`, `scim` or `jsonl`."""
    content: Annotated[str, pattern("[0-9a-f]{64}", "a SHA-256 in hexadecimal")]
    """SHA-256 of the file, as hex."""


class NameGroup(NamedTuple):
    """The number of delegators in a group, and the first of their names."""

    number: int
    first: tuple[str, ...]


class Reconciled(NamedTuple):
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
    return _outcome(roster, comparison, departures.foresee(snapshot, comparison.names))


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
    outcome = _outcome(roster, comparison, departures.foresee(transaction, comparison.names))
    if not outcome.anything:
        return outcome
    if most is not None:
        guard(outcome, most)
    DirectoryChanges(transaction).put_delegators(comparison.put)
    if comparison.names:
        keys = [holder.key for holder in comparison.missing]
        outcome = outcome._replace(departure=departures.depart(transaction, keys, comparison.names))
    event = transaction.append(
        "delegator-import",
        {
            "form": source.form,
            "content": source.content,
            "reason": reason,
            "full": full or None,
            "people": outcome.people,
            **{name: getattr(outcome, name).number or None for name in CHANGED_GROUPS},
            "members": departures.named(comparison.members()),
            "directory": delegator_facts.digest(DirectoryStore(transaction)),
            "digests": delegator_facts.FORM,
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
            f"this would disable or end more than {most}: {losses(foreseen)}; nothing was changed",
            f"look at it with --dry-run, then repeat it with --yes or --max {needed_limit}",
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
