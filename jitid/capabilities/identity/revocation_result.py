"""The outcome of a revocation, and its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.errors import UsageError
from jitid.model import credential as credentials
from jitid.model.ledger_rows import Radius
from jitid.model.target import Settlement
from jitid.values.record import Record
from jitid.values.text import number_of
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.model.target import Left


class Ended(Record):
    """The outcome of a revocation, or its preview."""

    radius: Radius
    """The blast radius before the change."""
    credentials: int
    """The number of ended credentials; 0 if all had ended before, and in a dry run."""
    event: int | None
    """The audit event of the revocation; None if it changed nothing."""
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
    barred: int = 0
    """The number of processes, such as clients with sessions, that get no other identity from now on."""

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
        times = (
            radius.refused_since,
            radius.accepted_until,
            radius.at_targets,
            radius.exchanged_until,
            self.settled_at,
        )
        known_ends = [time for time in times if time is not None] + [
            credentials.accepted_until(until) for until in honoured if until is not None
        ]
        return max(known_ends, default=None)


def blast(radius: Radius, accepted_until: int | None = None, settled_at: int | None = None) -> str:
    """Return the blast radius in words, with the text of `facts`."""
    credentials = number_of(radius.credentials, "live credential")
    selected = f"{number_of(radius.identities, 'identity', 'identities')} selected"
    if radius.refused_since is None and radius.identities > radius.credentials:
        selected += ", ended ones included"
    text = (
        f"{credentials} of {number_of(radius.tasks, 'task')} and {number_of(radius.delegators, 'delegator')}"
        f" ({selected})"
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
    exchanged_until = radius.exchanged_until
    phrases = (
        [f"offline verifiers accept some until {format_time(verifiable_until)}"]
        if verifiable_until is not None and offline
        else []
    )
    if exchanged_until is not None and exchanged_until > now:
        phrases.append(
            f"vendors may accept exchanged tokens until {format_time(exchanged_until)}, which cannot be recalled"
        )
    if refused_since is None:
        return "; ".join(phrases)
    known_until = max(verifiable_until or 0, exchanged_until or 0)
    if accepted_until is not None and accepted_until > now and accepted_until > known_until:
        phrases.append(f"a target may accept some until {format_time(accepted_until)}")
    elif accepted_until is not None and not phrases:
        phrases = [f"accepted by no verifier since {format_time(max(refused_since, accepted_until))}"]
    return "; ".join([f"refused by the ledger since {format_time(refused_since)}", *phrases])


class TooManyError(UsageError):
    """A revocation would end more credentials than permitted."""


def guard(radius: Radius, limit: int) -> None:
    """Refuse to end more than `limit` credentials.

    Raises:
        TooManyError: more would end.

    """
    if radius.credentials > limit:
        raise TooManyError(
            f"this would revoke more than {limit}: {blast(radius)}; nothing was changed",
            f"check with --dry-run, then repeat with --yes or --max {radius.credentials}",
        )


def at_targets(ended: Ended) -> str | None:
    """Return the outcome at targets as text; None if no target is involved."""
    parts = []
    if ended.confirmed:
        parts.append(f"{ended.confirmed} confirmed as deleted at the target")
    if ended.unsettled or ended.unsupported:
        ending = "" if parts else " as deleted at the target"
        parts.append(f"{ended.unsettled + ended.unsupported} not confirmed{ending}")
    return ", ".join(parts) or None
