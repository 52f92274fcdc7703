"""Changes and lookups of single delegators: add, change, disable, enable, show.

With a disabled delegator end the credentials, agents, requests and access that depend on it. Audit events record facts
about delegators, and an import the digest of the whole directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from shlex import quote as word
from typing import Annotated, Any, Self

from jitid.capabilities.directory.delegator_store import SUSPENDED_AS
from jitid.capabilities.directory.roster import roster_entry
from jitid.capabilities.directory.roster.roster_entry import StatedDelegator, few, merged
from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity.barred_store import Barred, BarredChanges, BarredRow
from jitid.capabilities.identity.revocation import check_reason, counts
from jitid.capabilities.identity.revocation_result import guard
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.errors import NotFoundError, UsageError
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.credential import State
from jitid.model.directory import PERSON, Agent, Delegator, Ties
from jitid.model.ledger_rows import Radius, Selection
from jitid.model.types import SENSITIVITY
from jitid.values import strict_json
from jitid.values.field_types import text
from jitid.values.record import Record
from jitid.values.scope import Scope, covers, may_overlap
from jitid.values.text import label, quote

NOTHING = Radius(0, 0, 0, 0, 0, None, 0)
_NAMED = 20
"""The maximum number of names that an event lists one by one."""


class Departure(Record):
    """The credentials and records that end, or would end, with delegators."""

    radius: Radius
    """The credentials that descend from them; `NOTHING` if these stay valid."""
    ties: Ties
    digest: str | None = None
    """Digest of the credentials that ended."""
    barred: tuple[str, ...] = ()
    """The ids of identities whose processes, such as clients with sessions, get no other identity from now on."""
    bars: tuple[BarredRow, ...] = ()
    """These processes, and the names for which they are barred."""

    @property
    def anything(self) -> bool:
        """Whether any credential, agent, request, grant or access ends."""
        return bool(self.radius.credentials) or self.ties._replace(live=0, others=0) != Ties(0, (), 0, 0, 0)

    def facts(self) -> dict[str, Any]:
        """Return the facts that audit events record about the departure."""
        ended_facts = {} if self.digest is None else {**counts(self.radius), "ended": self.digest}
        if self.bars:
            ended_facts |= Barred(self.barred, self.bars).facts
        return {
            "agents": named(self.ties.agents) if self.ties.agents else None,
            "requests": self.ties.requests or None,
            "grants": self.ties.grants or None,
            "access": self.ties.access or None,
            **ended_facts,
        }


def foresee(snapshot: View, names: Sequence[str], *, keep_live: bool = False) -> Departure:
    """Return the departure that disabling the delegators with these names would cause."""
    ties = DirectoryStore(snapshot).ties(names)
    radius = NOTHING
    if ties.live and not keep_live:
        radius = CredentialStore(snapshot).measure(Selection(delegators=tuple(names)))
    return Departure(radius, ties)


def depart(
    transaction: Transaction, keys: Sequence[int], names: Sequence[str], *, keep_live: bool = False
) -> Departure:
    """Disable the delegators with these keys and names, and end their ties; the rows point to the next event.

    The processes of their clients are barred: they must not go on under another name.
    """
    ties = DirectoryChanges(transaction).disable(keys, names)
    if keep_live or not ties.live:
        return Departure(NOTHING, ties)
    radius, digest = CredentialChanges(transaction).end(Selection(delegators=tuple(names)), State.REVOKED)
    barred = BarredChanges(transaction).bar_doomed(radius, without=None)
    return Departure(radius, ties, digest, *barred)


def named(names: Sequence[str]) -> list[str] | dict[str, Any]:
    """Return names for an event: all of them, or if there are many the first ones, the number and the digest."""
    if len(names) <= _NAMED:
        return list(names)
    return {"first": list(names[:_NAMED]), "count": len(names), "digest": digest_of(names)}


def digest_of(names: Sequence[str]) -> str:
    r"""Return SHA-256 over names, each followed by `\n`, as hex."""
    return sha256("".join([f"{name}\n" for name in names]).encode()).hexdigest()


_ALL = 1 << 31


class Amendment(Record):
    """A change of a list: clear it if requested, then add values, then remove values."""

    clear: bool = False
    add: Annotated[tuple[str, ...], text(2 * 255 + 1)] = ()
    remove: Annotated[tuple[str, ...], text(2 * 255 + 1)] = ()

    def applied(self, values: Iterable[str]) -> tuple[str, ...]:
        """Return the changed list, sorted and without duplicates."""
        return tuple(sorted(({*(() if self.clear else values), *self.add}) - {*self.remove}))


class Edit(Record):
    """The changes to a delegator. None and an empty amendment leave a field unchanged."""

    entitlements: Amendment = Amendment()
    policy_alone: bool = False
    """Remove all entitlements: the policy alone decides which scopes they may hand out."""
    sensitivity: Annotated[str | None, SENSITIVITY] = None
    groups: Amendment = Amendment()
    manager: Annotated[str | None, PERSON] = None
    no_manager: bool = False
    aliases: Amendment = Amendment()

    def checked_request(self) -> Self:
        """Return the edit with its lists in their normal form. Raises UsageError for an invalid or doubtful one."""
        if self.manager is not None and self.no_manager:
            raise UsageError("a manager is both stated and removed; nothing was changed")
        # The edit itself does not say which field its values are for: each field has its own check.
        return self._replace(
            entitlements=_normal(self.entitlements, roster_entry.entitlements),
            groups=_normal(self.groups, roster_entry.groups),
            aliases=_normal(self.aliases, roster_entry.aliases),
        )


def _normal(amendment: Amendment, normal: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Amendment:
    return amendment._replace(add=normal(amendment.add), remove=normal(amendment.remove))


class Edited(Record):
    """The outcome of adding or changing a delegator."""

    delegator: Delegator
    changed: tuple[str, ...]
    """The changed fields; empty if the directory had these values already."""
    live: int
    """The number of live credentials that descend from the delegator; the change leaves them valid."""
    event: int | None


class Enabled(Record):
    """The outcome of enabling a delegator."""

    delegator: Delegator
    suspended: tuple[str, ...]
    """The delegator's agents that were suspended when the delegator was disabled. They stay suspended."""
    event: int | None
    """None if they were not disabled."""


class Disabled(Record):
    """The outcome of disabling a delegator, or its preview."""

    delegator: Delegator
    """The delegator before the change."""
    departure: Departure
    event: int | None
    """None in a dry run, and if there was nothing to change."""
    unproved: str | None = None
    """Why the refusal of leaked credentials could not be proved; None if it was, or if none needed a proof."""


class DelegatorDetails(Record):
    """A delegator with agents and ties."""

    delegator: Delegator
    agents: tuple[Agent, ...]
    """The agents that the delegator owns, without unregistered ones."""
    ties: Ties
    """The records and credentials that would end if the delegator were disabled."""


def add(transaction: Transaction, entry: StatedDelegator) -> Edited:
    """Add a delegator.

    Raises:
        UsageError: the delegator is in the directory, another delegator has one of the names, or the delegator is
            stated as imported, as disabled, or with an external id; nothing was changed.

    """
    # The event does not record these fields, so the audit could not account for them.
    if entry.imported or entry.disabled is True or isinstance(entry.external, str) or entry.manager_external:
        raise UsageError(
            "a new delegator must not be imported, disabled or have an external id; nothing was changed"
        )
    holder = DirectoryStore(transaction).holders([entry.name]).get(entry.name)
    if holder is not None and holder.own == entry.name:
        raise UsageError(
            f"{label(entry.name)} is in the directory already; nothing was changed",
            f"to change the entry: jitid delegator change {entry.name}",
        )
    delegator = _resolved(transaction, merged(entry, None, transaction.now))
    _must_be_free(transaction, delegator)
    DirectoryChanges(transaction).put_delegators([delegator])
    facts = recorded_facts(delegator)
    event = transaction.append(
        "delegator-add",
        {
            "delegator": delegator.name,
            **facts,
            # Empty entitlements are recorded: without the fact, the policy alone decides.
            "groups": facts["groups"] or None,
            "aliases": facts["aliases"] or None,
        },
    )
    return Edited(delegator, RECORDED_FIELDS, _live(transaction, delegator), event.seq)


def change(transaction: Transaction, name: str, edit: Edit) -> Edited:
    """Change the record of a delegator in the directory.

    Raises:
        NotFoundError: the directory has no delegator of that name.
        UsageError: another delegator has one of the names, or other entitlements still cover a removed scope; nothing
            was changed.

    """
    old = must_find(transaction, name)
    new = _resolved(transaction, _edited(old, edit))
    _must_be_removed(old, new, edit.entitlements.remove)
    changed = tuple(field for field in RECORDED_FIELDS if getattr(new, field) != getattr(old, field))
    if not changed:
        return Edited(old, (), 0, None)
    _must_be_free(transaction, new)
    DirectoryChanges(transaction).put_delegators([new])
    new_facts, old_facts = recorded_facts(new), recorded_facts(old)
    event = transaction.append(
        "delegator-change",
        {
            "delegator": new.name,
            "now": {field: new_facts[field] for field in changed},
            "was": {field: old_facts[field] for field in changed},
        },
    )
    return Edited(new, changed, _live(transaction, new), event.seq)


def _edited(delegator: Delegator, edit: Edit) -> Delegator:
    entitlements = delegator.entitlements
    if edit.policy_alone:
        entitlements = None
    elif edit.entitlements.clear or edit.entitlements.add or entitlements is not None:
        entitlements = normal(edit.entitlements.applied(entitlements or ()))
    manager = None if edit.no_manager else edit.manager or delegator.manager
    aliases = tuple(alias for alias in edit.aliases.applied(delegator.aliases) if alias != delegator.name)
    return delegator._replace(
        sensitivity=edit.sensitivity or delegator.sensitivity,
        entitlements=entitlements,
        groups=few(edit.groups.applied(delegator.groups), "groups"),
        manager=manager,
        aliases=few(aliases, "aliases"),
    )


def _must_be_removed(old: Delegator, new: Delegator, removed: tuple[str, ...]) -> None:
    """Raise UsageError if the delegator could still hand out one of the removed scopes."""
    for scope in removed:
        if new.entitlements is None:
            raise UsageError(
                f"{label(new.name)} has no entitlements: the policy alone decides; nothing was changed",
                "to limit the scopes: --entitlement SCOPE for each one, or --no-entitlements",
            )
        # An entitlement may be removed while parts of it are kept.
        # Removing a scope that only overlaps an entitlement is a mistake.
        was_entitled = scope in (old.entitlements or ())
        for granted in map(Scope, new.entitlements):
            if covers(granted, Scope(scope)) or (not was_entitled and may_overlap(granted, Scope(scope))):
                raise UsageError(
                    f"cannot remove {quote(scope)} from {label(new.name)}: {quote(granted)} covers scopes in it; "
                    "nothing was changed",
                    f"add --remove-entitlement {word(granted)}, and --entitlement for each scope to keep",
                )


def normal(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return scopes in their normal form. Raises UsageError for an invalid scope, and for too many scopes."""
    return roster_entry.entitlements(tuple(scopes))


def disable(
    transaction: Transaction, name: str, reason: str | None, most: int | None, *, keep_live: bool
) -> Disabled:
    """Disable a delegator: no more credentials are issued for them.

    Credentials that descend from any of their names end, unless `keep_live`. The agents that they own are suspended.
    Their requests for approval, and their unused approvals, are withdrawn. Their access to an authority ends.

    Raises:
        NotFoundError: the directory has no delegator of that name.
        TooManyError: more than `most` live credentials would end; nothing was changed.

    """
    check_reason(reason)
    delegator = must_find(transaction, name)
    names = DirectoryStore(transaction).known_by(delegator.name)
    foreseen = foresee(transaction, names, keep_live=keep_live)
    if delegator.disabled_at is not None and not foreseen.anything:
        return Disabled(delegator, foreseen, None)
    if most is not None:
        guard(foreseen.radius, most)
    departure = depart(transaction, [delegator.key], names, keep_live=keep_live)
    event = transaction.append(
        "delegator-disable",
        {
            "delegator": delegator.name,
            "reason": reason,
            "kept_live": keep_live or None,
            "again": True if delegator.disabled_at is not None else None,
            "last": delegator.disabled_last if delegator.disabled_at is None else None,
            **departure.facts(),
        },
    )
    return Disabled(delegator, departure, event.seq)


def preview_disable(snapshot: View, name: str, *, keep_live: bool) -> Disabled:
    """Return the outcome that disabling a delegator would have. Raises NotFoundError."""
    delegator = must_find(snapshot, name)
    return Disabled(
        delegator,
        foresee(snapshot, DirectoryStore(snapshot).known_by(delegator.name), keep_live=keep_live),
        None,
    )


def enable(transaction: Transaction, name: str, reason: str | None) -> Enabled:
    """Enable a delegator; their agents stay suspended. Raises NotFoundError."""
    check_reason(reason)
    delegator = must_find(transaction, name)
    suspended = tuple(
        agent.name for agent in _owned(transaction, delegator) if agent.suspended_as == SUSPENDED_AS
    )
    if delegator.disabled_at is None:
        return Enabled(delegator, suspended, None)
    DirectoryChanges(transaction).put_delegators([delegator._replace(disabled_at=None)])
    event = transaction.append(
        "delegator-enable",
        {
            "delegator": delegator.name,
            "since": delegator.disabled_at,
            "last": delegator.disabled_last,
            "reason": reason,
        },
    )
    return Enabled(delegator, suspended, event.seq)


def details(snapshot: View, name: str) -> DelegatorDetails:
    """Return a delegator with agents and ties. Raises NotFoundError."""
    delegator = must_find(snapshot, name)
    ties = DirectoryStore(snapshot).ties(DirectoryStore(snapshot).known_by(delegator.name))
    return DelegatorDetails(delegator, tuple(_owned(snapshot, delegator)), ties)


def must_find(snapshot: View, name: str) -> Delegator:
    """Return the delegator with this name or alias. Raises NotFoundError."""
    delegator = DirectoryStore(snapshot).find_delegator(name)
    if delegator is None:
        # `delegator add` does not accept the subject of an ID token as a name.
        to_add = "" if " " in name else f"; to add this one: jitid delegator add {name}"
        raise NotFoundError(
            f"the directory has no delegator {label(name)}", f"see: jitid delegator list{to_add}"
        )
    return delegator


def _owned(snapshot: View, delegator: Delegator) -> list[Agent]:
    owners = DirectoryStore(snapshot).names_of(delegator.name)
    return [
        agent
        for agent in DirectoryStore(snapshot).agents(owner=owners, after=None, limit=_ALL)
        if agent.unregistered_at is None
    ]


def _live(snapshot: View, delegator: Delegator) -> int:
    return DirectoryStore(snapshot).ties(DirectoryStore(snapshot).names_of(delegator.name)).live


def _resolved(snapshot: View, delegator: Delegator) -> Delegator:
    """Return the delegator with the manager's own name in place of an alias."""
    manager = delegator.manager
    return (
        delegator
        if manager is None
        else delegator._replace(manager=DirectoryStore(snapshot).own_name(manager))
    )


def _must_be_free(snapshot: View, delegator: Delegator) -> None:
    """Raise UsageError if another delegator has one of the names."""
    for name, holder in DirectoryStore(snapshot).holders((delegator.name, *delegator.aliases)).items():
        if holder.key != delegator.key:
            raise taken(name, holder.own)


def taken(name: str, own_name: str) -> UsageError:
    """Return the error for a name of another delegator; `own_name` is that delegator's own name."""
    if name == own_name:
        return UsageError(
            f"{label(name)} is another delegator in the directory; nothing was changed",
            "each person has one entry, with all other names as aliases",
        )
    return UsageError(
        f"{label(name)} is an alias of {label(own_name)}; nothing was changed",
        f"to free the name: jitid delegator change {own_name} --remove-alias {word(name)}",
    )


MARK = b'"op":"delegator-'
"""Bytes that every event about delegators contains, and no other event: inside a text the quotes would be escaped."""
RECORDED_FIELDS = ("sensitivity", "entitlements", "groups", "manager", "aliases")
"""The fields of a delegator that events record; the other fields follow from the event, or do not change."""
FORM = 2
"""Version of the digest in an import event. Version 2 includes `disabled_last`, which older ledgers did not record."""
_PAGE = 5_000


def recorded_facts(delegator: Delegator) -> dict[str, Any]:
    """Return the facts about a delegator that events record."""
    return {
        field: list(value) if isinstance(value, tuple) else value
        for field, value in ((field, getattr(delegator, field)) for field in RECORDED_FIELDS)
    }


def digest(snapshot: DirectoryStore) -> str:
    r"""Return SHA-256, as hex, over all delegators in the order of their names: each as JSON, followed by `\n`."""
    return _digest(_all_delegators(snapshot))


def _digest(people: Iterator[Delegator], form: int = FORM) -> str:
    checksum = sha256()
    for person in people:
        # The key is a row number of this ledger, not a fact about the delegator.
        fields = person[1:] if form == FORM else person[1:-1]
        checksum.update(strict_json.dumps(fields).encode() + b"\n")
    return checksum.hexdigest()


def _all_delegators(snapshot: DirectoryStore) -> Iterator[Delegator]:
    after: str | None = None
    while page := snapshot.delegators(group=None, disabled=None, after=after, limit=_PAGE):
        yield from page
        after = page[-1].name
