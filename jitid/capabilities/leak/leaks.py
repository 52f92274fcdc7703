"""What leaked: reported, proved refused, and closed."""

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
from jitid.model.leak import LeakFilter, NewPlaces, Noted
from jitid.model.ledger_rows import Names
from jitid.model.sighting import MOST_PLACES, Sighting
from jitid.search.find import Finds, mark
from jitid.values.ids import credential_id
from jitid.values.text import check_text
from jitid.values.times import format_time

LONGEST_SOURCE = 200
"""How many characters a source has at most."""

PAGE = 250_000
"""So many leaks are proved together, at most."""

_NOWHERE = NewPlaces({}, {})
_NOTHING = Noted(0, "")
_MOST_MET = 1_000_000_000
"""Above it nobody counts how often something was met."""
_NAMED = 20
"""So many credentials are named in an event; the rows that point to it name them all."""


class LeakReport(NamedTuple):
    """Where something was found, and when that was reported."""

    source: str
    reported_at: int | None
    """None for now."""
    unproved: bool = False
    """Whether to believe what neither a signature nor a fingerprint proves."""


class ReportedLeaks(NamedTuple):
    """What came of a report."""

    credentials: dict[int, str]
    """Number and jti of each credential that an open report says leaked there, this one or an earlier one."""
    unproved: dict[int, str]
    """The same of those that were not recorded, since nothing proves that they were there."""
    new: set[int]
    """Those that were in no open report from there."""
    moved: int
    """How many of those credentials were issued only after the time of the report, and count from their issue on."""
    later: int
    """How many were recorded before, as reported later than this report says; that stands."""
    event: int | None
    """The audit event that tells of what is new."""
    ids: int
    """How many ids stood in the text: no secret leaks with one."""
    unknown: int
    """How many strings of ours the ledger does not know."""
    strays: list[Stray]
    """The first of them."""
    places: int = 0
    """How many places are new where credentials were seen, of what is new and of what was known."""
    alive: int = 0
    """How many of those credentials were alive when it was recorded."""
    marks: tuple[str, ...] = ()
    """Of those strings whose places were told, the marks of those that are of credentials, proved or not."""


class ClosedLeaks(NamedTuple):
    """What closing came to."""

    closed: int
    """How many were closed."""
    already: int
    """How many had been closed before."""
    valid: int
    """How many were closed although their credential works."""
    living: int
    """How many were closed although their credential's identity, or something below it, lives on without it."""
    event: int | None


def check_source(text: str) -> str:
    """Return where something was found. Raises UsageError for a token, what is no text, or a document."""
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
    """Record that what was found has leaked: credentials of this ledger, and nothing of the strings themselves.

    `sightings` are the places where strings were seen, by their marks in hexadecimal. Where what had been reported
    from there before was seen in more places, those are added to it.

    Raises:
        UsageError: the report is of the future, or its source is none; nothing was recorded.

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
    """What strings are to the ledger."""

    told: ReportedLeaks
    """As if all of it were new; nothing of it is recorded yet."""
    weak: Mapping[int, str]
    """Number and jti of the credentials that nothing proves to have been there."""
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
    # What anybody could have written proves no leak.
    weak = {one.key: one.jti for one, evidence in others if evidence.proof is None}
    sure = {one.key: one.jti for one, _ in seen.found if report.unproved or one.key not in weak}
    sure |= looked_at.credentials
    strings = _together(seen.strings, looked_at.strings)
    told = ReportedLeaks(
        sure,
        {} if report.unproved else weak,
        set(sure),
        0,
        0,
        None,
        len(finds.ids) + len(finds.guessed),
        seen.unknown + seen.unknown_words + looked_at.unknown,
        seen.strays,
        alive=looked_at.alive + sum(one.key in sure and _lives(one, snapshot.now) for one, _ in others),
        marks=tuple(_marks_of(strings) & sightings.keys()) if sightings else (),
    )
    return _Recognised(told, weak, _places_of(strings, sure, finds, sightings) if sightings else _NOWHERE)


def _record(transaction: Transaction, found: _Recognised, source: str, at: int) -> ReportedLeaks:
    """Record what is new of it: leaks and places, each with the event that tells of it."""
    changes = LeakChanges(transaction)
    recorded = changes.add_leaks(found.told.credentials, source, at)
    noted = changes.add_places(source, found.places) if found.places.sightings else _NOTHING
    new = {key for key, _ in recorded.new}
    told = found.told._replace(new=new, moved=recorded.moved, later=recorded.later, places=noted.places)
    seen_there = {"sightings": noted.rows, "sighted": noted.digest} if noted.rows else {}
    if not recorded.new:
        if not seen_there:
            return told
        event = transaction.append("leak-sighting", {"source": source, **seen_there})
        return told._replace(event=event.seq)
    jtis = [jti for _, jti in recorded.new]
    facts = {
        "source": source,
        "reported": at,
        "count": len(jtis),
        "jtis": _named(jtis),
        "leaked": ended_digest(jtis),
        "unproved": len(new & found.weak.keys()) or None,
        "unknown": told.unknown or None,
        **seen_there,
    }
    return told._replace(event=transaction.append("leak", facts).seq)


_Strings = Mapping[int, Sequence[tuple[str, bytes | str]]]
"""Of credentials, by the ledger's numbers, the strings that were found: their sorts, and what is kept of them."""


def _together(one: _Strings, other: _Strings) -> _Strings:
    return {key: (*one.get(key, ()), *other.get(key, ())) for key in one.keys() | other.keys()}


def _marks_of(found: _Strings) -> set[str]:
    return {mark(*string).hex() for strings in found.values() for string in strings}


def _places_of(
    found: _Strings, sure: Mapping[int, str], finds: Finds, sightings: Mapping[str, Sequence[Sighting]]
) -> NewPlaces:
    """Return where each of these credentials was seen, by the strings that were found of it."""
    told: dict[int, list[Sighting]] = {}
    met: dict[int, int] = {}
    for key in sure:
        strings = found.get(key, ())
        signs = {mark(*string).hex() for string in strings}
        places = distinct([each for sign in signs & sightings.keys() for each in sightings[sign]])
        if places:
            told[key] = places[:MOST_PLACES]
            met[key] = min(sum(getattr(finds, sort)[text] for sort, text in strings), _MOST_MET)
    return NewPlaces(told, met)


def close(
    ledger: Ledger, chosen: LeakFilter, reason: str, *, valid_too: bool = False, accept_clock: bool = False
) -> ClosedLeaks:
    """Close leaks: somebody is done with them.

    Raises:
        NotFoundError: there is no such leak; nothing was closed.
        UsageError: the credential of one works, and `valid_too` was not given; nothing was closed.

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
        living = sum(leak.lives_on for leak in due)
        event = transaction.append(
            "leak-close",
            {
                "reason": reason,
                "count": len(jtis),
                "jtis": _named(jtis),
                "closed": ended_digest(jtis),
                "valid": len(valid) or None,
                "living": living or None,
            },
        )
        return ClosedLeaks(len(jtis), len(found) - len(jtis), len(valid), living, event.seq)


def prove(ledger: Ledger, *, accept_clock: bool = False) -> int:
    """Prove of each leaked credential that is dead, and not proved so yet, that what verifies refuses it.

    As long as its identity lives on, or anything below that, it is not proved: whoever had the string may have renewed
    it, or delegated from it. It is asked what the judge asks that `verify` asks (`refused_store` says why that is the
    same), in a view of what has been committed; so whoever ends something and then calls this has proof of what the
    disk says, not of what it meant to do. Doing it twice proves nothing twice.
    Page after page is proved, each with an event of its own; an error leaves those that came before it proved.

    Returns how many this call proved.
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
    """Return which of these leaks the judge refuses, who is asked about each."""
    if not numbers:
        return []
    found = LeakStore(snapshot).leaks(LeakFilter(numbers=tuple(numbers)), len(numbers))
    credentials = exposure.credentials_of(snapshot, found)
    return [leak.key for leak in found if _is_refused(snapshot, credentials[leak.jti])]


def _prove_page(ledger: Ledger, refused: list[int], *, accept_clock: bool) -> int:
    """Record that these leaks are proved, but for those that somebody else has proved meanwhile."""
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
                # Of several events of one second these say which has which leaks.
                "first": proved[0][0],
                "last": proved[-1][0],
            },
        )
        return len(jtis)


def _secrets(finds: Finds) -> Finds:
    """Return what was found without the ids: an id is no secret, and stands in every log."""
    own = finds.copy()
    own.ids, own.guessed = {}, {}
    return own


def _lives(credential: Credential, now: int) -> bool:
    return credential.state_at(now) in (State.ACTIVE, State.PENDING)


def _check_time(report: LeakReport, now: int) -> int:
    """Return when it was reported. Raises UsageError for the future."""
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
