"""What is measured of a ledger as a whole: counts and spreads, never single credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Part(NamedTuple):
    """The live credentials of one name: of a task, an agent, a kind or the like."""

    name: str
    live: int


class Breakdown(NamedTuple):
    """All live credentials by one property: the names that have most, and what is left."""

    top: tuple[Part, ...]
    """The most first, and in the order of names where there are equally many."""
    names: int
    """How many names there are in all."""
    live: int
    """How many live credentials they have in all."""

    @property
    def others(self) -> Part:
        """What the names that are not among the first have together."""
        rest = self.names - len(self.top)
        return Part(
            f"{rest:,} {'other' if rest == 1 else 'others'}", self.live - sum(part.live for part in self.top)
        )


class Spread(NamedTuple):
    """How some durations are spread, by nearest rank; seconds, None where there are none."""

    number: int
    """How many durations there are."""
    p50: int | None
    p95: int | None
    longest: int | None


class Sensitive(NamedTuple):
    """The live credentials of one sensitivity."""

    sensitivity: str
    live: int
    standing: int
    """How many of them live for longer than that sensitivity allows, up to where a successor stands for them."""


class Band(NamedTuple):
    """The live credentials whose lifetime is above the band before, and at most `up_to` seconds."""

    up_to: int | None
    """None for the last band, which has no end."""
    live: int


class People(NamedTuple):
    """How many live identities descend from each person."""

    people: int
    """Root delegators `user:…` of whom something is alive."""
    identities: int
    """The live identities of all of them."""
    highest: int | None
    highest_delegator: str | None


class SurveyedUse(NamedTuple):
    """Which live identities were used, as far as the ledger sees it."""

    identities: int
    renewed: int
    delegated: int
    """From how many of them another identity was delegated."""
    authorized: int
    """How many were allowed something, as enforcement points reported."""
    never: int
    """How many were nothing of this."""
    unknown: int
    """How many of those may have been used all the same: for their audiences no use was reported since their issue."""


class Retirement(NamedTuple):
    """How long credentials outlived their task, over the tasks that were retired or passed their deadline."""

    delays: Spread
    """From the end of the task to the death of its last credential; what still lives counts up to now."""
    at_once: int
    """How many tasks had nothing alive after their end."""
    still_live: int
    """How many tasks have something alive although they ended."""


class Leaks(NamedTuple):
    """What became of secrets that were reported leaked; each counts once, from its first report on."""

    secrets: int
    valid: int
    """How many still work."""
    valid_closed: int
    """Of how many of those every report was closed."""
    living_on: int
    """How many are dead, and their identity or something below it is not."""
    living_on_closed: int
    """Of how many of those every report was closed."""
    offline: int
    """How many are dead for whoever asks the ledger, and signed and not expired: others may still take them."""
    proved: int
    """Of how many it was proved that they are dead, and all of their identity and below it."""
    dead_before: int
    """How many were dead before they were reported."""
    exposure: Spread
    """From the report to the death in the ledger, over those that worked when they were reported and are dead."""
    oldest_valid: int | None
    """For how many seconds the one that was reported first of those that still work has been known."""
    aged: int
    """How many were reported at least five days ago, and worked then."""
    aged_valid: int
    """How many of those worked five days after the report."""
    young_dead: int
    """How many worked when they were reported, less than five days ago, and are dead."""
    young_valid: int
    accepted: int
    """How many the ledger refuses with all that was made with them, while a verifier may accept some of that."""
    unsettled: int
    """How many of those have something at a target that has not confirmed its end."""
    aged_known: int
    """How many were reported at least five days ago, and were accepted by the ledger or by another verifier then."""
    aged_accepted: int
    """How many of those the ledger or another verifier may have accepted five days after the report."""
    exposure_verifiers: Spread
    """From the report to the time from which no verifier accepts the secret or what was made with it.

    Over those that the ledger refuses with all that was made with them, and that a verifier accepted when they were
    reported. Part of that time may be in the future.
    """


class Day(NamedTuple):
    """One day of UTC; the last one goes up to the time of the survey."""

    start: int
    issued: int
    ended: int
    live: int
    """At the end of the day."""
    leaks: int
    """How many leaked secrets were reported."""


class Totals(NamedTuple):
    """What there is in all."""

    issued: int
    """Credentials that were ever issued."""
    identities: int
    """Identities that were ever made."""
    live: int
    """Credentials that are alive."""
    live_identities: int
    """Identities that hold one of those."""
    tasks: int
    tasks_open: int
    tasks_overdue: int
    tasks_ended: int
    delegators: int
    """Root delegators of whom something is alive."""
    agents: int
    """Agents of whom something is alive."""
    agents_registered: int
    """How many of those are registered."""


class DirectoryCounts(NamedTuple):
    """How many delegators and agents the directory has; of the past it does not tell."""

    delegators: int
    disabled: int
    """How many of them were disabled."""
    agents: int
    """Agents that are registered, in whatever state; those that were unregistered do not count."""
    overdue: int
    """How many of those may get nothing, since their review date has passed."""
    suspended: int
    """How many of those may get nothing, since they were suspended."""
    owners: int
    """Delegators who own one of those."""
    ownerless: int
    """How many of those agents have an owner who was disabled, or whom the directory lacks."""


PROPERTIES = (
    "kind",
    "sensitivity",
    "delegator_proof",
    "delegator_state",
    "agent_record",
    "task",
    "agent",
    "delegator",
)
"""The properties by which a survey divides the live credentials."""


class Survey(NamedTuple):
    """The state of a ledger at one time."""

    totals: Totals
    live_by: Mapping[str, Breakdown]
    """How the live credentials are made up, by the name of each of `PROPERTIES`."""
    sensitive: tuple[Sensitive, ...]
    lifetimes: Spread
    """Of the live, as they were granted."""
    bands: tuple[Band, ...]
    people: People
    use: SurveyedUse
    retirement: Retirement
    leaks: Leaks
    trend: tuple[Day, ...]
    """The oldest day first."""
