"""Measurements of a ledger as a whole, and the history of agents by name: counts and distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from jitid.errors import UsageError
from jitid.values.record import Record


class Part(Record):
    """The number of live credentials of one task, agent, kind or other name."""

    name: str
    live: int


class Breakdown(Record):
    """All live credentials by one property: the names with the highest counts, and the rest."""

    top: tuple[Part, ...]
    """The highest count first; equal counts in the order of names."""
    names: int
    """The number of all names."""
    live: int
    """The number of their live credentials."""

    @property
    def others(self) -> Part:
        """The live credentials of all names that are not in `top`."""
        remaining = self.names - len(self.top)
        return Part(
            f"{remaining:,} {'other' if remaining == 1 else 'others'}",
            self.live - sum(part.live for part in self.top),
        )


class Spread(Record):
    """The distribution of durations, by nearest rank, in seconds; the values are unset without any duration."""

    number: int
    """The number of durations."""
    p50: int | None
    p95: int | None
    longest: int | None


class Sensitive(Record):
    """The live credentials of one sensitivity."""

    sensitivity: str
    live: int
    standing: int
    """How many of them have a longer lifetime, until a successor replaces them, than that sensitivity allows."""


class Band(Record):
    """The live credentials whose lifetime is above the previous band, and at most `up_to` seconds."""

    up_to: int | None
    """None for the last band, which has no end."""
    live: int


class People(Record):
    """The number of live identities by their persons."""

    people: int
    """The number of root delegators `user:…` with live credentials."""
    identities: int
    """The live identities of all of them."""
    highest: int | None
    highest_delegator: str | None


class SurveyedUse(Record):
    """The use of live identities, as far as the ledger sees it."""

    identities: int
    renewed: int
    delegated: int
    """How many delegated to another identity."""
    authorized: int
    """How many were allowed an action, as enforcement points reported."""
    never: int
    """How many were neither renewed nor delegated from nor allowed an action."""
    unknown: int
    """How many of these may have been used: no use was reported for their audiences since their issue."""


class Retirement(Record):
    """The time by which credentials outlived their task, for tasks that were retired or passed their deadline."""

    delays: Spread
    """From the end of a task to the end of its last credential; a live credential counts up to now."""
    at_once: int
    """The number of tasks without a live credential after their end."""
    still_live: int
    """The number of ended tasks that still have a live credential."""


class Leaks(Record):
    """The fate of secrets that were reported leaked; each secret counts once, from its first report."""

    secrets: int
    valid: int
    """How many are still valid."""
    valid_closed: int
    """How many of the valid ones have only closed reports."""
    living_on: int
    """How many have ended while their identity or a descendant still has a live credential."""
    living_on_closed: int
    """How many of these have only closed reports."""
    offline: int
    """How many the ledger refuses that are signed and not expired: offline verifiers may still accept them."""
    proved: int
    """How many have a proof that they, their identity and all descendants have ended."""
    dead_before: int
    """How many had ended before their report."""
    exposure: Spread
    """From the report to the end in the ledger, for ended secrets that were valid when they were reported."""
    oldest_valid: int | None
    """Seconds since the earliest report of a secret that is still valid."""
    aged: int
    """How many were reported at least five days ago, and were valid then."""
    aged_valid: int
    """How many of these were still valid five days after the report."""
    young_dead: int
    """How many have ended that were reported less than five days ago and were valid then."""
    young_valid: int
    accepted: int
    """How many the ledger refuses, with everything made with them, while a verifier may accept a part."""
    unsettled: int
    """How many of these have a credential whose end its target has not confirmed."""
    aged_known: int
    """How many were reported at least five days ago, and were accepted by the ledger or by another verifier then."""
    aged_accepted: int
    """How many of these the ledger or another verifier may have accepted five days after the report."""
    exposure_verifiers: Spread
    """From the report to the time from which no verifier accepts the secret or the credentials made with it.

    It covers the secrets that the ledger refuses, with everything made with them, if a verifier accepted them at or
    after the report. Secrets with an unconfirmed end at a target are left out. Part of that time may be in the future.
    """


class Day(Record):
    """One day (UTC); the last one ends at the time of the survey."""

    start: int
    issued: int
    ended: int
    live: int
    """Credentials that were live at the end of the day."""
    leaks: int
    """The number of leaked secrets that were reported."""


class Totals(Record):
    """The totals of a ledger."""

    issued: int
    """All credentials that were ever issued."""
    identities: int
    """All identities that were ever made."""
    live: int
    """Live credentials."""
    live_identities: int
    """Identities with a live credential."""
    tasks: int
    tasks_open: int
    tasks_overdue: int
    tasks_ended: int
    delegators: int
    """Root delegators with live credentials."""
    agents: int
    """Agents with live credentials."""
    agents_registered: int
    """How many of these agents are registered."""


class DirectoryCounts(Record):
    """The number of delegators and agents in the directory now; it keeps no history."""

    delegators: int
    disabled: int
    """How many of them were disabled."""
    agents: int
    """Registered agents in any state except unregistered."""
    overdue: int
    """How many of these are refused credentials because their review date has passed."""
    suspended: int
    """How many of these are refused credentials because they were suspended."""
    owners: int
    """Delegators that own such an agent."""
    ownerless: int
    """How many of these agents have an owner that was disabled or is not in the directory."""

    @property
    def may_delegate(self) -> int:
        """Delegators that were not disabled."""
        return self.delegators - self.disabled

    @property
    def active(self) -> int:
        """Registered agents that receive credentials."""
        return self.agents - self.overdue - self.suspended


PROPERTIES = (
    "kind",
    "task",
    "agent",
    "delegator",
    "sensitivity",
    "delegator_proof",
    "delegator_state",
    "agent_record",
)
"""The properties by which a survey divides the live credentials."""


class Survey(Record):
    """The state of a ledger at one time."""

    totals: Totals
    live_by: Mapping[str, Breakdown]
    """The live credentials by each of `PROPERTIES`."""
    sensitive: tuple[Sensitive, ...]
    lifetimes: Spread
    """The granted lifetimes of live credentials."""
    bands: tuple[Band, ...]
    people: People
    use: SurveyedUse
    retirement: Retirement
    leaks: Leaks
    trend: tuple[Day, ...]
    """The oldest day first."""

    def checked_answer(self) -> Self:
        """Return the survey of an authority. Raises UsageError if it is not whole."""
        if not self.trend:
            raise UsageError("a survey must cover at least one day")
        if not self.live_by.keys() >= set(PROPERTIES):
            raise UsageError(f"a survey must have these properties: {', '.join(PROPERTIES)}")
        return self


class Past(Record):
    """The history of one agent name since a given time.

    Times are seconds since the epoch, durations are seconds, and days are UTC days.
    """

    agent: str
    identities: int
    """The number of identities issued under the name; the other fields describe these identities."""
    tasks: int
    days: int
    """The number of days on which an identity was issued."""
    first_at: int
    """When the first identity was issued."""
    last_at: int
    """When the latest identity was issued."""
    live: int
    """The number of live identities."""
    run_time: Spread
    """From the issue of each ended identity to the end of its last credential."""
    intervals: Spread
    """Days from one day with an issue to the next such day."""
    longest: int
    """The longest lifetime of one of its credentials, at most until its scheduled end.

    A revoked credential counts until its expiry.
    """
    concurrency: int
    """The maximum number of identities that were live at the same second."""
    delegators: int
    """The number of their root delegators."""
    delegator: str
    """The root delegator of most of the identities, by primary name."""
    delegated: int
    """The number of identities of that delegator."""
    purpose: str | None
    """The purpose of the latest task."""
    kinds: frozenset[str]
    audiences: frozenset[str]
    granted: frozenset[str]
    """The granted scopes."""
    used: frozenset[str] | None
    """The used scopes, as enforcement points report them; None if no use of the identities was reported."""


class Pasts(Record):
    """The histories of the requested names, or of the highest-ranked names."""

    told: list[Past]
    names: int
    """The total number of matching names with identities since that time."""
    recurring: int
    """The number of recurring names."""
    left_out: frozenset[str]
    """The registered agents among the names beyond the limit."""


class Practice(Record):
    """The permissions of one agent since a given time, and the part of them that it used. Units as in `Past`."""

    agent: str
    reported: bool
    """Whether use was reported; if so, the other fields describe the used identities only."""
    identities: int
    credentials: int
    uses: int
    first_at: int
    last_at: int
    """When one of its credentials was last issued or used."""
    delegators: frozenset[str]
    """Root delegators, by the recorded names and by their primary names."""
    proofs: frozenset[str]
    """How the root delegators were proved."""
    sensitivities: frozenset[str]
    kinds: frozenset[str]
    audiences: frozenset[str]
    depth: int
    """The maximum delegation depth of its identities."""
    scopes: frozenset[str]
    """The used scopes if use was reported, otherwise the granted scopes."""
    quarters: frozenset[int]
    """The quarter-hours (UTC), counted from the epoch, in which a credential was issued or used."""
    longest: int
    """The longest time from the first issue of an identity to its last use, or to its end if use was not reported.

    A revoked credential counts until its expiry.
    """
    templates: frozenset[str] = frozenset({""})
    """The templates of its credentials and of the kinds it may obtain, as `TARGET/TEMPLATE`; blank for no template."""

    @property
    def scopes_from(self) -> str:
        """`used` or `granted`."""
        return "used" if self.reported else "granted"
