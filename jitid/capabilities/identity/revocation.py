"""Revocation of identities with all that descend from them, and its blast radius."""

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
    """A revocation would end more credentials than permitted."""


class Ended(NamedTuple):
    """The outcome of a revocation, or its preview."""

    radius: Radius
    """The blast radius before the change."""
    credentials: int
    """The number of ended credentials; 0 if all had ended before, and in a dry run."""
    event: int | None
    """The audit event of the revocation; None if no credential ended."""
    task: str | None = None
    """The retired task."""
    unsettled: int = 0
    """The number of ended credentials whose removal at their targets is not confirmed."""
    earlier: tuple[str, ...] = ()
    """The ids of the unsettled credentials, if some of them had ended before."""
    confirmed: int = 0
    """The number of credentials whose removal at their targets is confirmed now."""
    unsupported: int = 0
    """The number of credentials that their targets cannot end."""
    left: tuple[Left, ...] = ()
    """The first unconfirmed credentials, with the state at their targets."""
    unsaid: str | None = None
    """Why the targets could not be called; None if they were."""
    unproved: str | None = None
    """Why the refusal of leaked credentials could not be proved; None if it was, or if none needed a proof."""
    settled_at: int | None = None
    """When the targets were last called; None if they were not."""

    @property
    def unconfirmed(self) -> int:
        """The number of ended credentials whose removal at their targets is not confirmed, or not possible."""
        return self.unsettled + self.unsupported

    @property
    def refused_since(self) -> int | None:
        """The time since when the ledger refuses all of it; None while any of it is live."""
        return self.radius.refused_since

    @property
    def accepted_until(self) -> int | None:
        """The time from which no verifier and no target accepts any of it; None while that time is unknown."""
        honoured = [
            credential.honoured_until
            for credential in self.left
            if credential.settlement == Settlement.UNSUPPORTED
        ]
        if self.unsettled or len(honoured) < self.unsupported or None in honoured:
            return None
        radius = self.radius
        times = (radius.refused_since, radius.accepted_until, radius.at_targets, self.settled_at)
        known_ends = [time for time in times if time is not None] + [
            acceptance.accepted_until(until) for until in honoured if until is not None
        ]
        return max(known_ends, default=None)


def preview(snapshot: View, selection: Selection) -> Ended:
    """Return the outcome that revoking a selection would have.

    Raises:
        NotFoundError: the selection matches no identity that was ever issued.
        UsageError: the selection is empty.

    """
    _check(selection)
    return Ended(_found(CredentialStore(snapshot).measure(selection)), 0, None)


def revoke(
    transaction: Transaction,
    selection: Selection,
    reason: str | None,
    limit: int | None,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Ended:
    """End the selected identities and all below them.

    Args:
        transaction: the transaction of the revocation.
        selection: the identities; must not be empty.
        reason: free text for the audit log.
        limit: the maximum number of live credentials that may end; None for any number.
        facts: more facts for the audit event.

    Raises:
        NotFoundError: the selection matches no identity that was ever issued.
        UsageError: the selection is empty, or more than `limit` would end; nothing was changed.

    """
    _check(selection)
    check_reason(reason)
    if limit is not None:
        guard(CredentialStore(transaction).measure(selection), limit)
    radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
    _found(radius)
    if not radius.credentials:
        return Ended(radius, 0, None)
    event = transaction.append(
        "revoke",
        {"selection": _facts(selection), "reason": reason, **facts, **counts(radius), "ended": digest},
    )
    return Ended(radius, radius.credentials, event.seq)


def guard(radius: Radius, limit: int) -> None:
    """Refuse to end more than `limit` credentials.

    Raises:
        TooManyError: more would end.

    """
    if radius.credentials > limit:
        raise TooManyError(
            f"this would end more than {limit}: {blast(radius)}; nothing was changed",
            f"look at it with --dry-run, then repeat it with --yes or --max {radius.credentials}",
        )


def blast(radius: Radius, accepted_until: int | None = None, settled_at: int | None = None) -> str:
    """Return the blast radius in words, with the text of `facts`."""
    text = (
        f"{_number(radius.credentials, 'live credential')} of {_number(radius.identities, 'identity', 'identities')},"
        f" {_number(radius.tasks, 'task')} and {_number(radius.delegators, 'delegator')}"
    )
    details = facts(radius, accepted_until, settled_at)
    return f"{text}; {details}" if details else text


def facts(radius: Radius, accepted_until: int | None = None, settled_at: int | None = None) -> str:
    """Return in words since when the ledger refuses all of it, and until when verifiers and targets accept some.

    Args:
        radius: the measured blast radius.
        accepted_until: the time from which no verifier and no target accepts any of it; None if that time is unknown.
        settled_at: when the targets were called, if that was after the measurement.

    """
    refused_since, verifiable_until = radius.refused_since, radius.accepted_until
    now = radius.at if settled_at is None else max(radius.at, settled_at)
    offline = verifiable_until is not None and verifiable_until > radius.at
    phrases = (
        [f"offline verifiers accept some until {format_time(verifiable_until)}"]
        if verifiable_until is not None and offline
        else []
    )
    if refused_since is None:
        return "; ".join(phrases)
    if (
        accepted_until is not None
        and accepted_until > now
        and (verifiable_until is None or accepted_until > verifiable_until)
    ):
        phrases.append(f"a target may accept some until {format_time(accepted_until)}")
    elif accepted_until is not None and not offline:
        phrases = [f"accepted by no verifier since {format_time(max(refused_since, accepted_until))}"]
    return "; ".join([f"refused by the ledger since {format_time(refused_since)}", *phrases])


def _number(count: int, singular: str, plural: str | None = None) -> str:
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def _check(selection: Selection) -> None:
    if not any(selection):
        raise UsageError(
            "nothing is selected", "name ids, or select by --task, --delegator, --agent or --tree"
        )


def check_reason(reason: str | None) -> None:
    """Raise UsageError for a reason that cannot be stored, or that contains a token."""
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
    """Return the numbers that the event of a revocation records, besides the digest."""
    return {"count": radius.credentials, "identities": radius.identities}


def _facts(selection: Selection) -> dict[str, Any]:
    """Return a selection for the audit log; a long list is shortened, since the ended rows point to the event."""
    facts: dict[str, Any] = {}
    for name, values in selection._asdict().items():
        if values:
            first_values = [value.hex() if isinstance(value, bytes) else value for value in values[:20]]
            facts[name] = first_values if len(values) <= 20 else {"first": first_values, "count": len(values)}
    return facts
