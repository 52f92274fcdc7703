"""What a ledger remembers of agents, name by name: how often each came, for how long, for whom and with what."""

from __future__ import annotations

from typing import NamedTuple

from jitid.model.survey import Spread


class Past(NamedTuple):
    """One agent's name since some time. Times are seconds since the epoch, durations are seconds; days are of UTC."""

    agent: str
    identities: int
    """How many identities it was given; all else is about these."""
    tasks: int
    days: int
    """On how many days it was given one."""
    first_at: int
    """When it was given the first."""
    last_at: int
    """When it was given the last."""
    live: int
    """How many of them live."""
    run_time: Spread
    """From the issue of each that has ended to the end of its last credential."""
    intervals: Spread
    """From one day on which it was given some to the next; in days."""
    longest: int
    """The longest that one of its credentials lived, or will live unless it ends before its time.

    One that was revoked counts to when it would have expired."""
    concurrency: int
    """How many of them lived at the same second, at most."""
    delegators: int
    """How many root delegators they had."""
    delegator: str
    """The one who was behind most of them, by their own name."""
    delegated: int
    """How many those were."""
    purpose: str | None
    """That of its latest task."""
    kinds: frozenset[str]
    audiences: frozenset[str]
    granted: frozenset[str]
    """The scopes that they were granted."""
    used: frozenset[str] | None
    """Those that were used, as enforcement points report; None where nothing was reported of any of them."""


class Pasts(NamedTuple):
    """The names that were asked about, or of all those that matter most."""

    told: list[Past]
    names: int
    """How many names there are since then."""
    recurring: int
    """How many of them recur."""


class Practice(NamedTuple):
    """What one agent was permitted since some time, and what of that it used. Times as above."""

    agent: str
    reported: bool
    """Whether use was reported; then all else is about the identities that were used."""
    identities: int
    credentials: int
    uses: int
    first_at: int
    last_at: int
    """When one of its credentials was issued or used for the last time."""
    delegators: frozenset[str]
    """Root delegators, by the names that are on record and by their own."""
    proofs: frozenset[str]
    """How they were proved."""
    sensitivities: frozenset[str]
    kinds: frozenset[str]
    audiences: frozenset[str]
    depth: int
    """The most delegations above one of its identities."""
    scopes: frozenset[str]
    """Those that were used if use was reported, otherwise those that were granted."""
    quarters: frozenset[int]
    """The quarters of an hour of UTC, counted from the epoch, in which something was issued or used."""
    longest: int
    """From the first issue of an identity to its last use, or to its end if use was not reported; the longest.

    One that was revoked counts to when it would have expired."""
    templates: frozenset[str] = frozenset({""})
    """Those that its credentials were made from, as `TARGET/TEMPLATE`; blank for one without."""
