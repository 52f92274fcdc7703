"""The rows of a trace: credentials that were found, and strings that the ledger does not know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.leak.trace_result import Match, Stray, Traced, first_of, honour
from jitid.model.access import AccessState
from jitid.model.credential import Credential, State
from jitid.values.text import number_of
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.formats.columns import Columns

_UNPROVED = "none: this can be written without the secret"
_FIRST = ("state", "reason", "match", "proof", "honoured_by", "honoured_until")
"""The first fields for people."""


def rows_of(traced: Traced, view: Columns) -> Iterator[dict[str, Any]]:
    """Yield a row of a view for each credential, live ones first, and then for unknown strings."""
    matches = sorted(traced.matches, key=_sort_key)
    strays = first_of(traced.strays) or ([] if matches else traced.words)
    yield from (view.row(match, _match(match, traced.now)) for match in matches)
    yield from ({**dict.fromkeys(view.fields), **_stray(stray)} for stray in strays)


def summary(traced: Traced, *, revoked: bool = False) -> str:
    """Return a sentence with the numbers of found strings and credentials; `revoked` if it follows a revocation."""
    matches = traced.matches
    strings = sum(match.evidence.strings for match in matches)
    alive = sum(match.reason is None for match in matches)
    unknown = traced.unknown or (0 if matches else len(traced.words))
    access_tokens = sum(stray.access is not None for stray in traced.strays)
    keys = sum(stray.match == "private-key" for stray in traced.strays)
    if keys and not matches and not unknown:
        return f"found {number_of(keys, 'signing key')} of the ledger"
    if access_tokens and not matches and not unknown:
        return f"found {number_of(access_tokens, 'access token')} of the authority"
    if not matches:
        return f"found {number_of(unknown, 'string')} that the ledger does not know"
    state = f"{alive} valid{' after the revocation' if revoked else ''}"
    text = f"found {number_of(strings, 'string')} of {number_of(len(matches), 'credential')}, {state}"
    return text + (f"; and {number_of(unknown, 'string')} that the ledger does not know" if unknown else "")


def for_eyes(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the non-empty fields of a row for people, with a note if the proof is missing."""
    fields = {name: row[name] for name in (*_FIRST, *row) if name != "active"}
    fields["proof"] = row["proof"] or _UNPROVED
    return {name: value for name, value in fields.items() if value not in (None, "", [], ())}


def _sort_key(match: Match) -> tuple[bool, bool, bool, int]:
    honoured_until = honour(match)[1]
    return match.reason is not None, not match.endable, honoured_until is None, -match.credential.key


def _match(match: Match, now: int) -> dict[str, Any]:
    credential, event = match.credential, match.ended_event or {}
    honoured_by, honoured_until = honour(match)
    state = match.state_at(now)
    return {
        "task_state": match.task.state_at(now),
        "state": state,
        "active": match.reason is None,
        "age": format_duration(now - credential.issued_at),
        "ended_at": _ended_at(credential, state),
        # An expired or superseded credential ended by itself: the caller of that event did not end it.
        "ended_by": None if state in (State.EXPIRED, State.SUPERSEDED) else event.get("by"),
        "ended_reason": event.get("reason"),
        "audiences": list(credential.audiences),
        "honoured_by": honoured_by,
        "honoured_until": honoured_until,
        "revoke": f"jitid revoke {credential.jti}" if match.endable else None,
    }


def _ended_at(credential: Credential, state: str) -> int | None:
    """Return the end of a credential, even if the ledger has not recorded it yet."""
    if credential.ended_at is not None:
        return credential.ended_at
    if state == State.SUPERSEDED:
        return credential.superseded_at
    return credential.expires_at if state == State.EXPIRED else None


def _stray(stray: Stray) -> dict[str, Any]:
    if stray.access is not None:
        alive = stray.state == AccessState.ACTIVE
        return {
            "match": stray.match,
            "proof": "fingerprint",
            "delegator": stray.whose,
            "state": stray.state,
            "active": alive,
            "reason": stray.reason,
            "occurrences": stray.occurrences,
            "revoke": f"jitid access revoke {stray.access}" if alive else None,
        }
    name = stray.name or ""
    return {
        "match": stray.match,
        "proof": "fingerprint" if stray.match == "private-key" else stray.signed_by and "signature",
        "id": stray.name if name.startswith("jid_") else None,
        "jti": stray.name if name.startswith("jti_") else None,
        "state": "unknown",
        "active": False,
        "reason": stray.reason,
        "occurrences": stray.occurrences,
        "revoke": None if stray.signed_by is None else f"jitid keys revoke {stray.signed_by}",
    }
