"""Delegators as rows for a format, and changes of delegators in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory.roster.spreadsheet import NO_SCOPE, POLICY_ALONE, joined
from jitid.capabilities.identity import revocation
from jitid.cli import record_rows

if TYPE_CHECKING:
    from jitid.capabilities.directory.delegators import DelegatorDetails, Disabled
    from jitid.capabilities.directory.departures import Departure
    from jitid.capabilities.directory.roster_diff import DelegatorChange
    from jitid.cli.invocation import Invocation
    from jitid.model.directory import Delegator

FIELDS = (
    "name",
    "state",
    "sensitivity",
    "entitlements",
    "groups",
    "manager",
    "aliases",
    "external_id",
    "imported",
    "added_at",
    "disabled_at",
)
BRIEF = ("name", "state", "sensitivity", "entitlements", "groups")
EDITED = (*FIELDS, "changed", "live", "event")
ENABLED = ("name", "suspended", "event")
DETAILS = (*FIELDS, "live", "agents", "suspended", "requests", "grants", "access")
DISABLED = (
    "name",
    "ended",
    "credentials",
    "identities",
    "tasks",
    "offline_until",
    "kept_live",
    "agents",
    "others",
    "requests",
    "grants",
    "access",
    "event",
    "dry_run",
)
_SHOWN = 10
"""Maximum number of names in a sentence."""


def delegator(one: Delegator) -> dict[str, Any]:
    """Return a delegator as a row with the fields of `FIELDS`."""
    return {
        "name": one.name,
        "state": "enabled" if one.disabled_at is None else "disabled",
        "sensitivity": one.sensitivity,
        "entitlements": one.entitlements,
        "groups": one.groups,
        "manager": one.manager,
        "aliases": one.aliases,
        "external_id": one.external,
        "imported": one.imported,
        "added_at": record_rows.time(one.added_at),
        "disabled_at": record_rows.time(one.disabled_at),
    }


def details(one: DelegatorDetails) -> dict[str, Any]:
    """Return all about a delegator as a row with the fields of `DETAILS`."""
    return {
        **delegator(one.delegator),
        "live": one.ties.live,
        "agents": tuple(agent.name for agent in one.agents),
        "suspended": tuple(agent.name for agent in one.agents if agent.suspended_at is not None),
        "requests": one.ties.requests,
        "grants": one.ties.grants,
        "access": one.ties.access,
    }


def disabled(done: Disabled, *, keep_live: bool, dry_run: bool) -> dict[str, Any]:
    """Return the result of disabling a delegator as a row with the fields of `DISABLED`."""
    radius, ties = done.departure.radius, done.departure.ties
    return {
        "name": done.delegator.name,
        "ended": 0 if done.event is None else radius.credentials,
        "credentials": radius.credentials,
        "identities": radius.identities,
        "tasks": radius.tasks,
        "offline_until": record_rows.time(radius.offline_until),
        "kept_live": ties.live if keep_live else 0,
        "agents": ties.agents,
        "others": ties.others,
        "requests": ties.requests,
        "grants": ties.grants,
        "access": ties.access,
        "event": done.event,
        "dry_run": dry_run,
    }


def shown(cli: Invocation, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row in the shape that the requested format needs.

    JSON keeps lists. Other formats join the values with semicolons, because names of groups contain blanks. They also
    distinguish an empty list of entitlements from entitlements that the policy alone decides.
    """
    if cli.field is None and cli.format_name() in ("json", "jsonl"):
        return row
    found = {name: joined(value) if isinstance(value, tuple) else value for name, value in row.items()}
    if not row.get("entitlements", True):
        found["entitlements"] = POLICY_ALONE if row["entitlements"] is None else NO_SCOPE
    return found


def departed(departure: Departure, *, would: bool) -> list[str]:
    """Return in words the credentials, agents and requests that ended with delegators, or would end."""
    radius, ties = departure.radius, departure.ties
    found = []
    if radius.credentials:
        found.append(f"{'end' if would else 'ended'} {revocation.blast(radius)}")
    if ties.agents:
        agents = "agent" if len(ties.agents) == 1 else "agents"
        found.append(
            f"{'suspend' if would else 'suspended'} {len(ties.agents)} {agents} ({first_of(ties.agents)})"
        )
    withdrawn = [
        f"{count} {noun}{'' if count == 1 else 's'}"
        for count, noun in ((ties.requests, "open request"), (ties.grants, "unused approval"))
        if count
    ]
    if withdrawn:
        found.append(f"{'withdraw' if would else 'withdrew'} {' and '.join(withdrawn)}")
    if ties.access:
        credentials = "credential" if ties.access == 1 else "credentials"
        found.append(f"{'end' if would else 'ended'} {ties.access} access {credentials}")
    return found


def different(change: DelegatorChange) -> str:
    """Return in words the fields of a delegator that differ."""
    found = []
    for field, was in change.was.items():
        now = change.now[field]
        if isinstance(was, list) and isinstance(now, list):
            lost, got = (
                [one for one in values if one not in others] for values, others in ((was, now), (now, was))
            )
            parts = [f"{word} {first_of(some)}" for word, some in (("without", lost), ("with", got)) if some]
            found.append(f"{field} {' and '.join(parts)}")
        else:
            found.append(f"{field} {_value(field, now)}, was {_value(field, was)}")
    return "; ".join(found)


def _value(field: str, value: object) -> str:
    if isinstance(value, list):
        return first_of(value) or "(none)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return POLICY_ALONE if field == "entitlements" else "(none)"
    return str(value)


def first_of(names: Sequence[str], count: int | None = None) -> str:
    """Return the first of some names, and how many there are besides."""
    more = (len(names) if count is None else count) - len(names[:_SHOWN])
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more else "")
