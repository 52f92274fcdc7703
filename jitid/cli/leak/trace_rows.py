"""The results of `trace`, as rows for a format and in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.leak.trace_result import first_of, honour
from jitid.cli.hints import OTHER_LEDGER
from jitid.cli.leak.commands import TraceCommand
from jitid.errors import IncompleteError, NotFoundError
from jitid.model.access import AccessState
from jitid.model.credential import Credential, State
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.capabilities.leak.trace_result import Match, Stray, Traced
    from jitid.cli.invocation import Invocation

_NAMED = 5
"""Maximum number of names in a sentence."""
_UNPROVED = "none: anybody could have written this"
_FIRST = ("state", "reason", "match", "proof", "honoured_by", "honoured_until")
"""The first fields for people."""


def rows_of(traced: Traced) -> Iterator[dict[str, Any]]:
    """Yield a row for each credential, live ones first, and then for unknown strings."""
    matches = sorted(traced.matches, key=lambda match: _sort_key(match))
    strays = first_of(traced.strays) or ([] if matches else traced.words)
    yield from (_match(match, traced.now) for match in matches)
    yield from map(_stray, strays)


def summary(traced: Traced) -> str:
    """Return a sentence with the numbers of found strings and credentials."""
    matches = traced.matches
    strings = sum(match.evidence.strings for match in matches)
    alive = sum(match.reason is None for match in matches)
    unknown = traced.unknown or (0 if matches else len(traced.words))
    access_tokens = sum(stray.access is not None for stray in traced.strays)
    keys = sum(stray.match == "private-key" for stray in traced.strays)
    if keys and not matches and not unknown:
        return f"found {number(keys, 'key')} by which the ledger itself signs"
    if access_tokens and not matches and not unknown:
        return f"found {number(access_tokens, 'bearer')} by which somebody asks the authority"
    if not matches:
        return f"found {number(unknown, 'string')} that the ledger does not know"
    text = f"found {number(strings, 'string')} of {number(len(matches), 'credential')}, {alive} alive"
    return text + (f"; and {number(unknown, 'string')} that the ledger does not know" if unknown else "")


def some(names: list[str]) -> str:
    """Return the first names for a sentence, and the number of further names."""
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def warn_of_thieves(cli: Invocation, strays: Collection[Stray]) -> None:
    """Warn of stolen signing keys and access tokens.

    A key is stolen if it was found, or if it signed a found token that the ledger never issued.
    """
    for stray in strays:
        if stray.access is not None and stray.state == AccessState.ACTIVE:
            remedy = cli.command(f"jitid access revoke {stray.access}")
            cli.warn(f"whoever has what was found asks the authority as {stray.whose}: {remedy}")
    found_kids = {stray.signed_by for stray in strays if stray.match == "private-key"}
    for kid in dict.fromkeys(stray.signed_by for stray in strays if stray.signed_by is not None):
        remedy = cli.command(f"jitid keys revoke {kid}")
        signs = "can sign" if kid in found_kids else "signs"
        cli.warn(f"somebody else has our key {kid}, and {signs} with it: {remedy}")


def nothing(cli: Invocation, strays: list[Stray], words: list[Stray], caveat: str | None) -> NotFoundError:
    """Return the error for a text without any string that this ledger issued."""
    leaked = next((stray for stray in strays if stray.signed_by is not None), None)
    if leaked is not None:
        return NotFoundError(
            "what was found is no credential: it is the private half of a key by which the ledger signs"
            if leaked.match == "private-key"
            else "the ledger knows nothing of what was found, and a key of ours signed it",
            f"end the key with all that it signed: {cli.command(f'jitid keys revoke {leaked.signed_by}')}",
        )
    hint = "a signed token is found by any part of its payload's beginning, an opaque one only whole"
    if strays and all(stray.mistyped for stray in strays):
        return NotFoundError("what was found is cut or mistyped", hint)
    if any(stray.match == "private-key" for stray in strays):
        return NotFoundError(
            "what was found is no credential: it is the private half of a key by which the ledger signed",
            "nothing is left to be done: it was revoked with all that it had signed",
        )
    if strays or words:
        return NotFoundError("the ledger knows nothing of what was found", OTHER_LEDGER)
    return NotFoundError(
        "nothing of ours was found: no token or part of one, no id, no fingerprint, no private key",
        caveat or hint,
    )


def incomplete(
    missed: Mapping[str, int], caveat: str | None, command: str = "jitid trace"
) -> IncompleteError:
    """Return the error for a text of which a part was not searched."""
    from jitid.cli.leak.search_stream import COMPRESSED, UNKNOWN_FORM

    hint = f"decode that part, and search the result: base64 -d FILE | {command}"
    if COMPRESSED in missed:
        hint = caveat or hint
    elif UNKNOWN_FORM in missed:
        hint = "search the part around the leak, in a smaller text"
    return IncompleteError(f"the search is incomplete; not searched: {', '.join(sorted(missed))}", hint)


def for_eyes(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the non-empty fields of a row for people, with a note if the proof is missing."""
    fields = {name: row[name] for name in (*_FIRST, *row) if name != "active"}
    fields["proof"] = row["proof"] or _UNPROVED
    return {name: value for name, value in fields.items() if value not in (None, "", [], ())}


def number(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _sort_key(match: Match) -> tuple[bool, bool, bool, int]:
    honoured_until = honour(match)[1]
    return match.reason is not None, not match.endable, honoured_until is None, -match.credential.key


def _match(match: Match, now: int) -> dict[str, Any]:
    credential, event = match.credential, match.ended_event or {}
    honoured_by, honoured_until = honour(match)
    state = match.state_at(now)
    computed = {
        "task_state": match.task.state_at(now),
        "state": state,
        "active": match.reason is None,
        "age": format_duration(now - credential.issued_at),
        "ended_at": _end(credential, state),
        # An expired or superseded credential ended by itself: the caller of that event did not end it.
        "ended_by": None if state in (State.EXPIRED, State.SUPERSEDED) else event.get("by"),
        "ended_reason": event.get("reason"),
        "audiences": list(credential.audiences),
        "honoured_by": honoured_by,
        "honoured_until": honoured_until,
        "revoke": f"jitid revoke {credential.jti}" if match.endable else None,
    }
    return TraceCommand.view.row(match, computed)


def _end(credential: Credential, state: str) -> int | None:
    """Return the end of a credential, even if the ledger has not recorded it yet."""
    if credential.ended_at is not None:
        return credential.ended_at
    if state == State.SUPERSEDED:
        return credential.superseded_at
    return credential.expires_at if state == State.EXPIRED else None


def _stray(stray: Stray) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(TraceCommand.view.fields)
    if stray.access is not None:
        alive = stray.state == AccessState.ACTIVE
        return row | {
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
    row |= {
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
    return row
