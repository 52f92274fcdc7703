"""Delegators in the shape that a format needs, and changes of delegators in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory.roster.spreadsheet import NO_SCOPE, POLICY_ALONE, joined
from jitid.capabilities.identity import revocation_result
from jitid.formats.display import Display

if TYPE_CHECKING:
    from jitid.capabilities.directory.delegators import Departure
    from jitid.capabilities.directory.roster_diff import DelegatorChange
    from jitid.cli.invocation import Invocation
    from jitid.formats.columns import Columns

_SHOWN = 10
"""Maximum number of names in a sentence."""


def show(cli: Invocation, view: Columns, record: object, **computed: object) -> None:
    """Show a record, with computed values, as the only row of a view."""
    cli.show(Display(view.schema, view.fields, [shown(cli, view.row(record, computed))], one=True))


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
