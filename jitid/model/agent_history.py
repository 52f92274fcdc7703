"""The history of agents by name in a ledger: how often and how long each ran, on which tasks, with which scopes."""

from __future__ import annotations

from typing import NamedTuple

from jitid.model.survey import Spread


class Past(NamedTuple):
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


class Pasts(NamedTuple):
    """The histories of the requested names, or of the highest-ranked names."""

    told: list[Past]
    names: int
    """The total number of matching names with identities since that time."""
    recurring: int
    """The number of recurring names."""
    left_out: frozenset[str]
    """The registered agents among the names beyond the limit."""


class Practice(NamedTuple):
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
