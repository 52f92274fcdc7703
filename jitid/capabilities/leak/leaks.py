"""Report leaked credentials, prove that they are refused, and close leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from jitid.capabilities.identity import introspection
from jitid.capabilities.leak import exposure, match, trace_strings
from jitid.capabilities.leak.places import distinct
from jitid.capabilities.leak.store import LeakChanges, LeakStore
from jitid.capabilities.leak.trace_result import Stray
from jitid.errors import InvalidCredentialError, UsageError
from jitid.ledger.contract import Ledger
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.credential import Credential, State
from jitid.model.event import ended_digest
from jitid.model.leak import MOST_PLACES, LeakFilter, NewPlaces, Noted, Sighting
from jitid.model.ledger_rows import Names
from jitid.search.find import Finds, mark
from jitid.values.ids import credential_id
from jitid.values.text import check_text
from jitid.values.times import format_time

LONGEST_SOURCE = 200
"""The maximum number of characters of a source."""

PAGE = 250_000
"""The maximum number of leaks that are proved together."""

_NOWHERE = NewPlaces({}, {})
_NOTHING = Noted(0, "")
_MOST_MET = 1_000_000_000
"""The maximum number of occurrences that is recorded."""
_NAMED = 20
"""The maximum number of credentials that an event names; the rows that refer to it name all of them."""


class LeakReport(NamedTuple):
    """Where strings were found, and when that was reported."""

    source: str
    reported_at: int | None
    """None for now."""
    unproved: bool = False
    """Whether to record credentials that neither a signature nor a fingerprint proves."""


class ReportedLeaks(NamedTuple):
    """The outcome of a report."""

    credentials: dict[int, str]
    """Number and jti of each credential in an open report from that source: from this one or an earlier one."""
    unproved: dict[int, str]
    """The same for credentials that were not recorded: there is no proof that they were there."""
    new: set[int]
    """The credentials that were in no open report from that source."""
    moved: int
    """How many of these were issued after the reported time; their reports count from their issue."""
    later: int
    """How many have an open report with a later time than this one; that report stays unchanged."""
    event: int | None
    """The audit event that records the new leaks and places."""
    ids: int
    """The number of ids in the text: an id is not secret."""
    unknown: int
    """The number of strings in jitid's form that the ledger does not know."""
    strays: list[Stray]
    """The first of these strings."""
    places: int = 0
    """The number of new places where credentials were seen, for new and for known leaks."""
    alive: int = 0
    """How many of these credentials were live when the report was recorded."""
    marks: tuple[str, ...] = ()
    """The marks of the strings with stated places that belong to credentials, proved or not."""


class ClosedLeaks(NamedTuple):
    """The outcome of closing leaks."""

    closed: int
    """The number of leaks that were closed."""
    already: int
    """The number of leaks that had been closed before."""
    valid: int
    """The number of closed leaks whose credential works."""
    living: int
    """The number of closed leaks whose credential has ended while its identity or a descendant is live."""
    event: int | None


def check_source(text: str) -> str:
    """Return a source. Raises UsageError for a token, and unless it is a short text."""
    check_text(text, "the source")
    if not text.strip():
        raise UsageError("the source is blank", "say where it was found: --source TEXT")
    if len(text) > LONGEST_SOURCE:
        raise UsageError(
            f"the source is longer than {LONGEST_SOURCE} characters", "say where it was found: --source TEXT"
        )
    return text


def add(
    ledger: Ledger,
    finds: Finds,
    report: LeakReport,
    sightings: Mapping[str, Sequence[Sighting]] = MappingProxyType({}),
    *,
    dry_run: bool = False,
    accept_clock: bool = False,
) -> ReportedLeaks:
    """Record that the found credentials of this ledger have leaked; the strings themselves are not recorded.

    `sightings` are the places where strings were seen, by their marks in hexadecimal. Further places of a leak that
    was reported from that source before are added to it.

    Raises:
        UsageError: the time of the report is in the future, or its source is invalid; nothing was recorded.

    """
    source = check_source(report.source)
    with ledger.read() as snapshot:
        _check_time(report, snapshot.now)
        found = _recognise(snapshot, ledger.names, finds, report, sightings)
        if dry_run:
            known = LeakStore(snapshot).reported(found.told.credentials, source)
            return found.told._replace(new=found.told.new - known)
    if not found.told.credentials:
        return found.told
    with ledger.write(accept_clock=accept_clock) as transaction:
        return _record(transaction, found, source, _check_time(report, transaction.now))


class _Recognised(NamedTuple):
    """The credentials that the ledger recognises in found strings."""

    told: ReportedLeaks
    """The outcome as if all credentials were new; none is recorded yet."""
    weak: Mapping[int, str]
    """Number and jti of the credentials without a proof that they were there."""
    places: NewPlaces


def _recognise(
    snapshot: View,
    names: Names,
    finds: Finds,
    report: LeakReport,
    sightings: Mapping[str, Sequence[Sighting]],
) -> _Recognised:
    looked_at = match.match(snapshot, _secrets(finds), strings=bool(sightings))
    seen = trace_strings.recognise(snapshot, names, looked_at.left)
    others = [(one, evidence) for one, evidence in seen.found if one.key not in looked_at.credentials]
    # A string that can be written without the token proves no leak.
    weak = {one.key: one.jti for one, evidence in others if evidence.proof is None}
    sure = {one.key: one.jti for one, _ in seen.found if report.unproved or one.key not in weak}
    sure |= looked_at.credentials
    strings = _together(seen.strings, looked_at.strings)
    reported = ReportedLeaks(
        sure,
        {} if report.unproved else weak,
        set(sure),
        0,
        0,
        None,
        len(finds.ids) + len(finds.guessed),
        seen.unknown + seen.unknown_words + looked_at.unknown,
        seen.strays,
        alive=looked_at.alive + sum(one.key in sure and _is_live(one, snapshot.now) for one, _ in others),
        marks=tuple(_marks_of(strings) & sightings.keys()) if sightings else (),
    )
    return _Recognised(reported, weak, _places_of(strings, sure, finds, sightings) if sightings else _NOWHERE)


def _record(transaction: Transaction, found: _Recognised, source: str, at: int) -> ReportedLeaks:
    """Record new leaks and new places, each with the event that reports it."""
    changes = LeakChanges(transaction)
    recorded = changes.add_leaks(found.told.credentials, source, at)
    noted = changes.add_places(source, found.places) if found.places.sightings else _NOTHING
    new = {key for key, _ in recorded.new}
    reported = found.told._replace(new=new, moved=recorded.moved, later=recorded.later, places=noted.places)
    seen_there = {"sightings": noted.rows, "sighted": noted.digest} if noted.rows else {}
    if not recorded.new:
        if not seen_there:
            return reported
        event = transaction.append("leak-sighting", {"source": source, **seen_there})
        return reported._replace(event=event.seq)
    jtis = [jti for _, jti in recorded.new]
    facts = {
        "source": source,
        "reported": at,
        "count": len(jtis),
        "jtis": _named(jtis),
        "leaked": ended_digest(jtis),
        "unproved": len(new & found.weak.keys()) or None,
        "unknown": reported.unknown or None,
        **seen_there,
    }
    return reported._replace(event=transaction.append("leak", facts).seq)


_Strings = Mapping[int, Sequence[tuple[str, bytes | str]]]
"""The strings that were found for each credential, by its number: for each string its type and its stored form."""


def _together(one: _Strings, other: _Strings) -> _Strings:
    return {key: (*one.get(key, ()), *other.get(key, ())) for key in one.keys() | other.keys()}


def _marks_of(found: _Strings) -> set[str]:
    return {mark(*string).hex() for strings in found.values() for string in strings}


def _places_of(
    found: _Strings, sure: Mapping[int, str], finds: Finds, sightings: Mapping[str, Sequence[Sighting]]
) -> NewPlaces:
    """Return where each of these credentials was seen, from the places of its strings."""
    kept_places: dict[int, list[Sighting]] = {}
    met: dict[int, int] = {}
    for key in sure:
        strings = found.get(key, ())
        signs = {mark(*string).hex() for string in strings}
        places = distinct([each for sign in signs & sightings.keys() for each in sightings[sign]])
        if places:
            kept_places[key] = places[:MOST_PLACES]
            met[key] = min(sum(getattr(finds, kind)[text] for kind, text in strings), _MOST_MET)
    return NewPlaces(kept_places, met)


def close(
    ledger: Ledger, chosen: LeakFilter, reason: str, *, valid_too: bool = False, accept_clock: bool = False
) -> ClosedLeaks:
    """Close leaks.

    Raises:
        NotFoundError: there is no such leak; nothing was closed.
        UsageError: the credential of a leak works, and `valid_too` is not set; nothing was closed.

    """
    check_text(reason, "the reason")
    with ledger.write(accept_clock=accept_clock) as transaction:
        found = exposure.find(transaction, chosen)
        due = [leak for leak in found if leak.closed_at is None]
        valid = [one for one in exposure.described(transaction, due) if one.reason is None]
        if valid and not valid_too:
            first = valid[0]
            more = "" if len(valid) == 1 else f" and that of {len(valid) - 1} more"
            raise UsageError(
                f"the credential of leak {first.leak.key}{more} still works; nothing was closed",
                f"jitid revoke {first.credential.jti}",
            )
        closed = LeakChanges(transaction).close_leaks([leak.key for leak in due])
        if not closed:
            return ClosedLeaks(0, len(found), 0, 0, None)
        jtis = [jti for _, jti in closed]
        live = sum(leak.has_live_kin for leak in due)
        event = transaction.append(
            "leak-close",
            {
                "reason": reason,
                "count": len(jtis),
                "jtis": _named(jtis),
                "closed": ended_digest(jtis),
                "valid": len(valid) or None,
                "living": live or None,
            },
        )
        return ClosedLeaks(len(jtis), len(found) - len(jtis), len(valid), live, event.seq)


def prove(ledger: Ledger, *, accept_clock: bool = False) -> int:
    """Prove that verification refuses each leaked credential that has ended; skip leaks that are proved already.

    A leak whose identity or a descendant is live is not proved: the holder of the string may have renewed it, or
    delegated from it. The check equals that of `verify` (`refused_store` says why), in a view of committed data. So a
    caller who ends a credential and then calls this function has a proof from the disk. A second call proves no leak
    twice. Each page of leaks has its own event; after an error, earlier pages stay proved.

    Returns the number of leaks that this call proved.
    """
    count = after = 0
    while True:
        with ledger.read() as snapshot:
            found = LeakStore(snapshot).refused_leaks(after, PAGE)
            refused = [*found.leaks, *_judged(snapshot, found.doubtful)]
        if refused:
            count += _prove_page(ledger, refused, accept_clock=accept_clock)
        if found.last is None:
            return count
        after = found.last


def _judged(snapshot: View, numbers: list[int]) -> list[int]:
    """Return the leaks whose credential the judge refuses."""
    if not numbers:
        return []
    found = LeakStore(snapshot).leaks(LeakFilter(numbers=tuple(numbers)), len(numbers))
    credentials = exposure.credentials_of(snapshot, found)
    return [leak.key for leak in found if _is_refused(snapshot, credentials[leak.jti])]


def _prove_page(ledger: Ledger, refused: list[int], *, accept_clock: bool) -> int:
    """Record the proof of these leaks, except those proved by another process meanwhile; return the number."""
    with ledger.write(accept_clock=accept_clock) as transaction:
        proved = LeakChanges(transaction).prove_leaks(refused)
        if not proved:
            return 0
        jtis = [jti for _, jti in proved]
        transaction.append(
            "leak-proof",
            {
                "count": len(jtis),
                "jtis": _named(jtis),
                "proved": ended_digest(jtis),
                # Several events may have the same second: the bounds assign each leak to its event.
                "first": proved[0][0],
                "last": proved[-1][0],
            },
        )
        return len(jtis)


def _secrets(finds: Finds) -> Finds:
    """Return the found strings without the ids: an id is not secret, and every log contains ids."""
    own = finds.copy()
    own.ids, own.guessed = {}, {}
    return own


def _is_live(credential: Credential, now: int) -> bool:
    return credential.state_at(now) in (State.ACTIVE, State.PENDING)


def _check_time(report: LeakReport, now: int) -> int:
    """Return the time of the report. Raises UsageError for the future."""
    if report.reported_at is None:
        return now
    if report.reported_at > now:
        raise UsageError(
            f"the time of the report, {format_time(report.reported_at)}, is in the future; nothing was recorded",
            f"it is {format_time(now)} by the ledger",
        )
    return report.reported_at


def _is_refused(snapshot: View, credential: Credential) -> bool:
    try:
        introspection.judge(snapshot, credential, None)
    except InvalidCredentialError:
        return True
    return False


def _named(jtis: list[bytes]) -> list[str] | dict[str, Any]:
    shown = [credential_id(jti) for jti in jtis[:_NAMED]]
    return shown if len(jtis) <= _NAMED else {"first": shown, "count": len(jtis)}
