"""Leaks as rows for a format and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.leak.operations import ListLeaks
from jitid.cli import record_rows
from jitid.cli.leak.trace_rows import number
from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.leak.exposure import LeakDetails, Leaked
    from jitid.capabilities.leak.leaks import ClosedLeaks
    from jitid.model.leak import LeakFilter, SeenPlace, Sighting
    from jitid.operation.base import Authority

FIELDS = (
    "leak",
    "id",
    "jti",
    "task",
    "agent",
    "delegator",
    "kind",
    "source",
    "reported_at",
    "added_at",
    "state",
    "valid",
    "dead_at",
    "exposure",
    "offline_until",
    "proved_at",
    "closed_at",
    "successors",
    "delegated",
    "lives_until",
    "places",
    "place",
    "refused_since",
    "accepted_until",
    "exposure_verifiers",
)
BRIEF = ("leak", "jti", "agent", "source", "state", "exposure")
"""Columns for a terminal of 80 columns, if the source is short."""
DETAILS = (
    *FIELDS,
    "reason",
    "purpose",
    "chain",
    "issued_at",
    "expires_at",
    "added_by",
    "event",
    "ended_by",
    "ended_reason",
    "ended_event",
    "closed_by",
    "closed_reason",
    "closed_event",
    "revoke",
    "sightings",
)
CLOSED = ("closed", "already", "valid", "living", "event")
_PAGE = 5_000
_SHOWN = 10
_SHORT_REVISION = 12
"""Number of digits that identify a commit in a large repository; git abbreviates commits alike."""


def pages(
    authority: Authority, chosen: LeakFilter, most: int, *, valid: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the rows of at most `most` leaks, newest first, and read them page by page."""
    left = most
    while left:
        size = _PAGE if valid else min(_PAGE, left)
        page = authority.perform(ListLeaks(chosen=chosen, valid=valid, limit=size))
        yield from map(leak, page.leaks[:left])
        left -= min(len(page.leaks), left)
        if page.before is None:
            return
        chosen = chosen._replace(before=page.before)


def leak(one: Leaked) -> dict[str, Any]:
    """Return a leak as a row with the fields of `FIELDS`."""
    leak, credential, kin, places = one.leak, one.credential, one.leak.kin, one.places
    at = record_rows.time
    return {
        "leak": leak.key,
        "id": credential.id,
        "jti": credential.jti,
        "task": credential.task,
        "agent": credential.agent,
        "delegator": credential.delegator,
        "kind": credential.kind,
        "source": leak.source,
        "reported_at": format_time(leak.reported_at),
        "added_at": format_time(leak.added_at),
        "state": one.state,
        "valid": one.reason is None,
        "dead_at": at(leak.dead_at),
        "exposure": format_duration(one.exposure),
        "offline_until": at(one.offline_until),
        "proved_at": at(leak.proved_at),
        "closed_at": at(leak.closed_at),
        "successors": 0 if kin is None else kin.successors,
        "delegated": 0 if kin is None else kin.delegated,
        "lives_until": None if kin is None else at(kin.until),
        "places": 0 if places is None else places.total,
        "place": None if places is None else spot(places.first.sighting),
        "refused_since": at(leak.refused_since),
        "accepted_until": at(leak.accepted_until),
        "exposure_verifiers": None
        if one.exposure_verifiers is None
        else format_duration(one.exposure_verifiers),
    }


def spot(seen: Sighting) -> str:
    """Return a place for people: with its line."""
    return seen.place if seen.line is None else f"{seen.place}:{seen.line}"


def sighting(seen: SeenPlace) -> dict[str, Any]:
    """Return a place as an object for JSON."""
    one = seen.sighting
    return {
        "place": one.place,
        "line": one.line,
        "revision": one.revision,
        "found_at": record_rows.time(one.found_at),
        "finder": one.finder,
        "event": seen.event,
    }


def sighting_text(row: Mapping[str, Any]) -> str:
    """Return a place in words, from the object of `sighting`."""
    text = str(row["place"]) if row["line"] is None else f"{row['place']}:{row['line']}"
    if row["revision"] is not None:
        text += f" at {row['revision'][:_SHORT_REVISION]}"
    facts = [row["finder"]] if row["finder"] is not None else []
    if row["found_at"] is not None:
        facts.append(row["found_at"])
    return f"{text} ({', '.join(facts)})" if facts else text


def some_sightings(sightings: list[dict[str, Any]]) -> str:
    """Return the first places in words, and the number of further places."""
    shown = [sighting_text(each) for each in sightings[:_SHOWN]]
    more = [f"and {len(sightings) - _SHOWN} more"] if len(sightings) > _SHOWN else []
    return "; ".join([*shown, *more])


def has_live_identity(row: Mapping[str, Any]) -> bool:
    """Return whether the credential of an open leak has ended while its identity is still live."""
    return row["closed_at"] is None and row["dead_at"] is not None and row["lives_until"] is not None


def details(one: LeakDetails) -> dict[str, Any]:
    """Return all about a leak as a row with the fields of `DETAILS`."""
    credential = one.leaked.credential
    return {
        **leak(one.leaked),
        "reason": one.leaked.reason,
        "purpose": credential.purpose,
        "chain": [
            credential.delegator,
            *(above.agent for above in reversed(one.lineage)),
            credential.agent,
        ],
        "issued_at": record_rows.time(credential.issued_at),
        "expires_at": record_rows.time(credential.expires_at),
        "added_by": one.event.get("by"),
        "event": one.leaked.leak.event,
        # An expired or superseded credential ended by itself: the caller of that event did not end it.
        "ended_by": None if one.leaked.state in ("expired", "superseded") else one.ended_event.get("by"),
        "ended_reason": one.ended_event.get("reason"),
        "ended_event": credential.ended_event,
        "closed_by": one.closed_event.get("by"),
        "closed_reason": one.closed_event.get("reason"),
        "closed_event": one.leaked.leak.closed_event,
        "revoke": None if one.leaked.leak.kin is None else f"jitid revoke {credential.jti}",
        "sightings": [sighting(each) for each in one.seen],
    }


def closed(one: ClosedLeaks) -> dict[str, Any]:
    """Return the result of closing leaks as a row with the fields of `CLOSED`."""
    return one._asdict()


def sentence(one: ClosedLeaks) -> str:
    """Return the result of closing leaks in words."""
    if not one.closed:
        return "nothing was open: it had been closed already"
    text = f"closed {number(one.closed, 'leak')}"
    if one.already:
        text += f", {one.already} had been closed already"
    if one.valid:
        text += f", {one.valid} of what still works"
    if one.living:
        text += (
            f", {one.living} of {'an identity that lives' if one.living == 1 else 'identities that live'} on"
        )
    return f"{text} (audit event {one.event})"
