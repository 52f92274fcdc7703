"""Delegators as rows for a format, and changes of delegators in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory.roster.spreadsheet import NO_SCOPE, POLICY_ALONE, joined
from jitid.capabilities.identity import revocation_result
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


def delegator(entry: Delegator) -> dict[str, Any]:
    """Return a delegator as a row with the fields of `FIELDS`."""
    return {
        "name": entry.name,
        "state": "enabled" if entry.disabled_at is None else "disabled",
        "sensitivity": entry.sensitivity,
        "entitlements": entry.entitlements,
        "groups": entry.groups,
        "manager": entry.manager,
        "aliases": entry.aliases,
        "external_id": entry.external,
        "imported": entry.imported,
        "added_at": record_rows.time(entry.added_at),
        "disabled_at": record_rows.time(entry.disabled_at),
    }


def details(delegator_details: DelegatorDetails) -> dict[str, Any]:
    """Return all about a delegator as a row with the fields of `DETAILS`."""
    return {
        **delegator(delegator_details.delegator),
        "live": delegator_details.ties.live,
        "agents": tuple(agent.name for agent in delegator_details.agents),
        "suspended": tuple(
            agent.name for agent in delegator_details.agents if agent.suspended_at is not None
        ),
        "requests": delegator_details.ties.requests,
        "grants": delegator_details.ties.grants,
        "access": delegator_details.ties.access,
    }


def disabled(result: Disabled, *, keep_live: bool, dry_run: bool) -> dict[str, Any]:
    """Return the result of disabling a delegator as a row with the fields of `DISABLED`."""
    radius, ties = result.departure.radius, result.departure.ties
    return {
        "name": result.delegator.name,
        "ended": 0 if result.event is None else radius.credentials,
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
        "event": result.event,
        "dry_run": dry_run,
    }


def shown(cli: Invocation, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row in the shape that the requested format needs.

    JSON keeps lists. Other formats join the values with semicolons, because names of groups contain blanks. They also
    distinguish an empty list of entitlements from entitlements that the policy alone decides.
    """
    if cli.field is None and cli.format_name() in ("json", "jsonl"):
        return row
    cells = {name: joined(value) if isinstance(value, tuple) else value for name, value in row.items()}
    if not row.get("entitlements", True):
        cells["entitlements"] = POLICY_ALONE if row["entitlements"] is None else NO_SCOPE
    return cells


def departed(departure: Departure, *, would: bool) -> list[str]:
    """Return in words the credentials, agents and requests that ended with delegators, or would end."""
    radius, ties = departure.radius, departure.ties
    parts = []
    if radius.credentials:
        parts.append(f"{'end' if would else 'ended'} {revocation_result.blast(radius)}")
    if ties.agents:
        agents = "agent" if len(ties.agents) == 1 else "agents"
        parts.append(
            f"{'suspend' if would else 'suspended'} {len(ties.agents)} {agents} ({first_of(ties.agents)})"
        )
    withdrawn = [
        f"{count} {noun}{'' if count == 1 else 's'}"
        for count, noun in ((ties.requests, "open request"), (ties.grants, "unused approval"))
        if count
    ]
    if withdrawn:
        parts.append(f"{'withdraw' if would else 'withdrew'} {' and '.join(withdrawn)}")
    if ties.access:
        credentials = "credential" if ties.access == 1 else "credentials"
        parts.append(f"{'end' if would else 'ended'} {ties.access} access {credentials}")
    return parts


def different(change: DelegatorChange) -> str:
    """Return in words the fields of a delegator that differ."""
    differences = []
    for field, was in change.was.items():
        now = change.now[field]
        if isinstance(was, list) and isinstance(now, list):
            lost, got = (
                [value for value in values if value not in others]
                for values, others in ((was, now), (now, was))
            )
            parts = [
                f"{word} {first_of(names)}" for word, names in (("without", lost), ("with", got)) if names
            ]
            differences.append(f"{field} {' and '.join(parts)}")
        else:
            differences.append(f"{field} {_value(field, now)}, was {_value(field, was)}")
    return "; ".join(differences)


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
