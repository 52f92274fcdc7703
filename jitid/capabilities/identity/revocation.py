"""Revoking and retiring: what ends, with everything that descends from it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.errors import NotFoundError, UsageError
from jitid.model import acceptance
from jitid.model.credential import State
from jitid.model.ledger_rows import Radius, Selection
from jitid.model.target import Settlement
from jitid.values.text import check_text
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.targets.settle import Left
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View


class TooManyError(UsageError):
    """More would end than is permitted."""


class Ended(NamedTuple):
    """What a revocation came to, or would come to."""

    radius: Radius
    """Before the change."""
    credentials: int
    """How many were ended; 0 if all were dead before, or in a dry run."""
    event: int | None
    """The audit event that names them."""
    task: str | None = None
    """The task that was retired."""
    unsettled: int = 0
    """Of so many that have ended it is still to be confirmed that nothing is left of them at their targets."""
    earlier: tuple[str, ...] = ()
    """Their ids, where some of them had ended before."""
    confirmed: int = 0
    """Of so many that is confirmed by now."""
    unsupported: int = 0
    """So many their targets cannot end."""
    left: tuple[Left, ...] = ()
    """The first of those that are not confirmed, with what was seen of them."""
    unsaid: str | None = None
    """Why targets could not even be asked; none if they were."""
    unproved: str | None = None
    """Why it could not be proved of what leaked that it is dead; none if that was done, or nothing had leaked."""
    settled_at: int | None = None
    """When targets were asked the last time; none if they were not."""

    @property
    def refused_since(self) -> int | None:
        """Since when the ledger refuses all of it; None while any of it is live."""
        return self.radius.refused_since

    @property
    def accepted_until(self) -> int | None:
        """The time from which no verifier and no target accepts any of it; None while nothing bounds that."""
        honoured = [one.honoured_until for one in self.left if one.settlement == Settlement.UNSUPPORTED]
        if self.unsettled or len(honoured) < self.unsupported or None in honoured:
            return None
        radius = self.radius
        times = (radius.refused_since, radius.accepted_until, radius.at_targets, self.settled_at)
        known = [at for at in times if at is not None] + [
            acceptance.accepted_until(at) for at in honoured if at is not None
        ]
        return max(known, default=None)


def preview(snapshot: View, selection: Selection) -> Ended:
    """Return what revoking that selection would come to.

    Raises:
        NotFoundError: nothing of it was ever issued.
        UsageError: the selection is empty.

    """
    _check(selection)
    return Ended(_found(CredentialStore(snapshot).measure(selection)), 0, None)


def revoke(
    transaction: Transaction,
    selection: Selection,
    reason: str | None,
    most: int | None,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Ended:
    """End the selected identities and everything below them.

    Args:
        transaction: what it happens in.
        selection: which identities; never empty.
        reason: free text for the audit log.
        most: how many live credentials may be ended; None for any number.
        facts: what else the audit event says.

    Raises:
        NotFoundError: nothing of it was ever issued.
        UsageError: the selection is empty, or more than `most` would end; nothing was changed.

    """
    _check(selection)
    check_reason(reason)
    if most is not None:
        guard(CredentialStore(transaction).measure(selection), most)
    radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
    _found(radius)
    if not radius.credentials:
        return Ended(radius, 0, None)
    event = transaction.append(
        "revoke",
        {"selection": _facts(selection), "reason": reason, **facts, **counts(radius), "ended": digest},
    )
    return Ended(radius, radius.credentials, event.seq)


def guard(radius: Radius, most: int) -> None:
    """Refuse to end more than `most` credentials.

    Raises:
        TooManyError: more than that would end.

    """
    if radius.credentials > most:
        raise TooManyError(
            f"this would end more than {most}: {blast(radius)}; nothing was changed",
            f"look at it with --dry-run, then repeat it with --yes or --max {radius.credentials}",
        )


def blast(radius: Radius, accepted_until: int | None = None, settled_at: int | None = None) -> str:
    """Return the blast radius in words, with what `facts` says of it."""
    text = (
        f"{_number(radius.credentials, 'live credential')} of {_number(radius.identities, 'identity', 'identities')},"
        f" {_number(radius.tasks, 'task')} and {_number(radius.delegators, 'delegator')}"
    )
    told = facts(radius, accepted_until, settled_at)
    return f"{text}; {told}" if told else text


def facts(radius: Radius, accepted_until: int | None = None, settled_at: int | None = None) -> str:
    """Return in words since when the ledger refuses all of it, and until when verifiers and targets accept some.

    Args:
        radius: what was measured.
        accepted_until: from this time on, no verifier and no target accepts any of it; None where nothing bounds that.
        settled_at: when targets were asked, if that was after the measurement.

    """
    since, until = radius.refused_since, radius.accepted_until
    now = radius.at if settled_at is None else max(radius.at, settled_at)
    offline = until is not None and until > radius.at
    later = (
        [f"offline verifiers accept some until {format_time(until)}"] if until is not None and offline else []
    )
    if since is None:
        return "; ".join(later)
    if accepted_until is not None and accepted_until > now and (until is None or accepted_until > until):
        later.append(f"a target may accept some until {format_time(accepted_until)}")
    elif accepted_until is not None and not offline:
        later = [f"accepted by no verifier since {format_time(max(since, accepted_until))}"]
    return "; ".join([f"refused by the ledger since {format_time(since)}", *later])


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _check(selection: Selection) -> None:
    if not any(selection):
        raise UsageError(
            "nothing is selected", "name ids, or select by --task, --delegator, --agent or --tree"
        )


def check_reason(reason: str | None) -> None:
    """Raise UsageError for a reason that cannot be kept, or that holds a token."""
    if reason is not None:
        check_text(reason, "the reason")


def _found(radius: Radius) -> Radius:
    if not radius.matched:
        raise NotFoundError(
            "the selection matches nothing, dead or alive; nothing was changed",
            "jitid list shows what there is",
        )
    return radius


def counts(radius: Radius) -> dict[str, Any]:
    """Return what the event says that ends so much, besides the digest."""
    return {"count": radius.credentials, "identities": radius.identities}


def _facts(selection: Selection) -> dict[str, Any]:
    """Return a selection for the audit log; long lists of ids by their number, since the members point back."""
    facts: dict[str, Any] = {}
    for name, values in selection._asdict().items():
        if values:
            shown = [value.hex() if isinstance(value, bytes) else value for value in values[:20]]
            facts[name] = shown if len(values) <= 20 else {"first": shown, "count": len(values)}
    return facts
