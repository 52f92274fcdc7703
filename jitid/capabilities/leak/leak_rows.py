"""The rows and the document of leaks: their exposure, the places where they were seen, and their history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.leak.operations import LEAKS, ShowLeaks
from jitid.capabilities.leak.timeline_text import between, words
from jitid.model.credential import LEEWAY
from jitid.values.times import format_duration, format_time, optional_duration, optional_time

if TYPE_CHECKING:
    from jitid.capabilities.leak.exposure import LeakDetails, Leaked
    from jitid.capabilities.leak.timeline import Account
    from jitid.model.leak import SeenPlace

_SHOWN = 10
_SHORT_REVISION = 12
"""Number of digits that identify a commit in a large repository; git abbreviates commits alike."""


def exposures(leaked: Leaked) -> dict[str, Any]:
    """Return the durations of a leak's exposure in words."""
    return {
        "exposure": format_duration(leaked.exposure),
        "exposure_verifiers": optional_duration(leaked.exposure_verifiers),
    }


def all_of(details: LeakDetails) -> dict[str, Any]:
    """Return the values that the view of `leak show` does not take from the record itself."""
    leaked = details.leaked
    return {
        **LEAKS.row(leaked, exposures(leaked)),
        "added_by": details.event.get("by"),
        "ended_reason": details.ended_event.get("reason"),
        "closed_by": details.closed_event.get("by"),
        "closed_reason": details.closed_event.get("reason"),
        "revoke": None if leaked.leak.kin is None else f"jitid revoke {leaked.credential.jti}",
        "sightings": [_sighting(seen) for seen in details.seen],
    }


def _sighting(seen: SeenPlace) -> dict[str, Any]:
    """Return a place as an object for JSON."""
    sighting = seen.sighting
    return {**sighting._asdict(), "found_at": optional_time(sighting.found_at), "event": seen.event}


def some_sightings(seen: Sequence[SeenPlace]) -> str:
    """Return the first places in words, and the number of further places."""
    more = [f"and {len(seen) - _SHOWN} more"] if len(seen) > _SHOWN else []
    return "; ".join([*map(_sighting_text, seen[:_SHOWN]), *more])


def _sighting_text(seen: SeenPlace) -> str:
    sighting = seen.sighting
    text = sighting.spot
    if sighting.revision is not None:
        text += f" at {sighting.revision[:_SHORT_REVISION]}"
    facts = [sighting.finder] if sighting.finder is not None else []
    if sighting.found_at is not None:
        facts.append(format_time(sighting.found_at))
    return f"{text} ({', '.join(facts)})" if facts else text


def rows_of_steps(account: Account) -> Iterator[dict[str, Any]]:
    """Yield each step as a row."""
    for step in account.steps:
        yield {
            "at": optional_time(step.at),
            "leak": account.leak.key,
            "what": step.what,
            "by": step.by,
            "event": step.event,
            "told": "".join(words(step)),
        }


def document(account: Account) -> dict[str, Any]:
    """Return all about a leak as a JSON object."""
    details, aftermath = account.details, account.aftermath
    credential, leak = details.leaked.credential, account.leak
    return {
        **ShowLeaks.view.row(details, all_of(details)),
        "delegator_proof": credential.delegator_proof,
        "sensitivity": credential.sensitivity,
        "scopes": list(credential.scopes),
        "audiences": list(credential.audiences),
        "details": credential.details,
        "task_opened_at": optional_time(account.task.opened_at),
        "task_ended_at": optional_time(account.task.ended_at),
        "issued_by": account.issue.get("by"),
        "issued_event": credential.event,
        "rules": account.issue.get("rules", []),
        "first_seen_at": optional_time(account.first_seen_at),
        "proof_event": account.proof,
        "seconds": {
            "reported_to_proved": None if leak.proved_at is None else account.exposure,
            "reported_to_dead": between(leak.reported_at, leak.dead_at),
            "reported_to_refused": between(leak.reported_at, leak.refused_since),
            "reported_to_accepted_until": between(leak.reported_at, leak.accepted_until),
            "first_seen_to_dead": between(account.first_seen_at, leak.dead_at),
            "issued_to_dead": between(credential.issued_at, leak.dead_at),
        },
        "leeway_seconds": LEEWAY,
        "below": {
            "identities": aftermath.identities,
            "credentials": aftermath.credentials - 1,
            "made_after_report": aftermath.later,
            "live": aftermath.live,
        },
        "used": [
            {
                **use._asdict(),
                "first_at": optional_time(use.first_at),
                "last_at": optional_time(use.last_at),
            }
            for use in aftermath.acted
        ],
        "at_targets": [
            {**at_target._asdict(), "settled_at": optional_time(at_target.settled_at)}
            for at_target in aftermath.at_targets
        ],
        "timeline": [
            {**row, "facts": dict(step.facts)}
            for row, step in zip(rows_of_steps(account), account.steps, strict=True)
        ],
    }
