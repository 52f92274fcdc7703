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
    authority: Authority, leak_filter: LeakFilter, max_count: int, *, valid: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the rows of at most `max_count` leaks, newest first, and read them page by page."""
    remaining = max_count
    while remaining:
        size = _PAGE if valid else min(_PAGE, remaining)
        page = authority.perform(ListLeaks(chosen=leak_filter, valid=valid, limit=size))
        yield from map(leak, page.leaks[:remaining])
        remaining -= min(len(page.leaks), remaining)
        if page.before is None:
            return
        leak_filter = leak_filter._replace(before=page.before)


def leak(leaked: Leaked) -> dict[str, Any]:
    """Return a leak as a row with the fields of `FIELDS`."""
    leak, credential, kin, leak_places = leaked.leak, leaked.credential, leaked.leak.kin, leaked.places
    time_of = record_rows.time
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
        "state": leaked.state,
        "valid": leaked.reason is None,
        "dead_at": time_of(leak.dead_at),
        "exposure": format_duration(leaked.exposure),
        "offline_until": time_of(leaked.offline_until),
        "proved_at": time_of(leak.proved_at),
        "closed_at": time_of(leak.closed_at),
        "successors": 0 if kin is None else kin.successors,
        "delegated": 0 if kin is None else kin.delegated,
        "lives_until": None if kin is None else time_of(kin.until),
        "places": 0 if leak_places is None else leak_places.total,
        "place": None if leak_places is None else spot(leak_places.first.sighting),
        "refused_since": time_of(leak.refused_since),
        "accepted_until": time_of(leak.accepted_until),
        "exposure_verifiers": None
        if leaked.exposure_verifiers is None
        else format_duration(leaked.exposure_verifiers),
    }


def spot(sighting: Sighting) -> str:
    """Return a place for people: with its line."""
    return sighting.place if sighting.line is None else f"{sighting.place}:{sighting.line}"


def sighting(seen_place: SeenPlace) -> dict[str, Any]:
    """Return a place as an object for JSON."""
    sighting = seen_place.sighting
    return {
        "place": sighting.place,
        "line": sighting.line,
        "revision": sighting.revision,
        "found_at": record_rows.time(sighting.found_at),
        "finder": sighting.finder,
        "event": seen_place.event,
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
    texts = [sighting_text(row) for row in sightings[:_SHOWN]]
    more = [f"and {len(sightings) - _SHOWN} more"] if len(sightings) > _SHOWN else []
    return "; ".join([*texts, *more])


def has_live_identity(row: Mapping[str, Any]) -> bool:
    """Return whether the credential of an open leak has ended while its identity is still live."""
    return row["closed_at"] is None and row["dead_at"] is not None and row["lives_until"] is not None


def details(leak_details: LeakDetails) -> dict[str, Any]:
    """Return all about a leak as a row with the fields of `DETAILS`."""
    credential = leak_details.leaked.credential
    return {
        **leak(leak_details.leaked),
        "reason": leak_details.leaked.reason,
        "purpose": credential.purpose,
        "chain": [
            credential.delegator,
            *(ancestor.agent for ancestor in reversed(leak_details.lineage)),
            credential.agent,
        ],
        "issued_at": record_rows.time(credential.issued_at),
        "expires_at": record_rows.time(credential.expires_at),
        "added_by": leak_details.event.get("by"),
        "event": leak_details.leaked.leak.event,
        # An expired or superseded credential ended by itself: the caller of that event did not end it.
        "ended_by": None
        if leak_details.leaked.state in ("expired", "superseded")
        else leak_details.ended_event.get("by"),
        "ended_reason": leak_details.ended_event.get("reason"),
        "ended_event": credential.ended_event,
        "closed_by": leak_details.closed_event.get("by"),
        "closed_reason": leak_details.closed_event.get("reason"),
        "closed_event": leak_details.leaked.leak.closed_event,
        "revoke": None if leak_details.leaked.leak.kin is None else f"jitid revoke {credential.jti}",
        "sightings": [sighting(seen_place) for seen_place in leak_details.seen],
    }


def closed(result: ClosedLeaks) -> dict[str, Any]:
    """Return the result of closing leaks as a row with the fields of `CLOSED`."""
    return result._asdict()


def sentence(result: ClosedLeaks) -> str:
    """Return the result of closing leaks in words."""
    if not result.closed:
        return "nothing was open: it had been closed already"
    text = f"closed {number(result.closed, 'leak')}"
    if result.already:
        text += f", {result.already} had been closed already"
    if result.valid:
        text += f", {result.valid} of what still works"
    if result.living:
        text += f", {result.living} of {'an identity that lives' if result.living == 1 else 'identities that live'} on"
    return f"{text} (audit event {result.event})"
