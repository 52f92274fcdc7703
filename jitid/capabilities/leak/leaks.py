"""Report leaked credentials, prove that they are refused, and close leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from jitid.capabilities.identity import validity
from jitid.capabilities.leak import exposure, trace_strings
from jitid.capabilities.leak.store import LeakChanges, LeakStore
from jitid.capabilities.leak.trace_result import Stray, distinct_places
from jitid.errors import InvalidCredentialError, UsageError
from jitid.ledger.contract import Ledger
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.credential import Credential, State
from jitid.model.event import ended_digest
from jitid.model.leak import MOST_PLACES, LeakFilter, NewPlaces, Noted, Sighting
from jitid.model.ledger_rows import Names
from jitid.search.find import Finds, mark
from jitid.values.field_types import LONG, TIME, kept_text
from jitid.values.ids import credential_id
from jitid.values.record import Record
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


class LeakReport(Record):
    """Where strings were found, and when that was reported."""

    source: Annotated[str, kept_text(LONG, "the source")]
    reported_at: Annotated[int | None, TIME]
    """None for now."""
    unproved: bool = False
    """Whether to record credentials that neither a signature nor a fingerprint proves."""


class ReportedLeaks(Record):
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


class ClosedLeaks(Record):
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
        raise UsageError("the source is blank", "state where it was found: --source TEXT")
    if len(text) > LONGEST_SOURCE:
        raise UsageError(
            f"the source is longer than {LONGEST_SOURCE} characters",
            "state where it was found: --source TEXT",
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

    Raises UsageError if the time of the report is in the future, or its source is invalid; nothing was recorded.
    """
    source = check_source(report.source)
    with ledger.read() as snapshot:
        _check_time(report, snapshot.now)
        recognised = _recognise(snapshot, ledger.names, finds, report, sightings)
        if dry_run:
            reported = LeakStore(snapshot).reported(recognised.told.credentials, source)
            return recognised.told._replace(new=recognised.told.new - reported)
    if not recognised.told.credentials:
        return recognised.told
    with ledger.write(accept_clock=accept_clock) as transaction:
        return _record(transaction, recognised, source, _check_time(report, transaction.now))


class _Recognised(Record):
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
    matched = trace_strings.match(snapshot, _secrets(finds), strings=bool(sightings))
    recognised = trace_strings.recognise(snapshot, names, matched.left)
    others = [
        (credential, evidence)
        for credential, evidence in recognised.found
        if credential.key not in matched.credentials
    ]
    # A string that can be written without the token proves no leak.
    weak = {credential.key: credential.jti for credential, evidence in others if evidence.proof is None}
    sure = {
        credential.key: credential.jti
        for credential, _ in recognised.found
        if report.unproved or credential.key not in weak
    }
    sure |= matched.credentials
    strings = {
        key: (*recognised.strings.get(key, ()), *matched.strings.get(key, ()))
        for key in recognised.strings.keys() | matched.strings.keys()
    }
    marks = {mark(*string).hex() for found in strings.values() for string in found} if sightings else set()
    reported = ReportedLeaks(
        sure,
        {} if report.unproved else weak,
        set(sure),
        0,
        0,
        None,
        len(finds.ids) + len(finds.guessed),
        recognised.unknown + recognised.unknown_words + matched.unknown,
        recognised.strays,
        alive=matched.alive
        + sum(
            credential.key in sure and credential.state_at(snapshot.now) in (State.ACTIVE, State.PENDING)
            for credential, _ in others
        ),
        marks=tuple(marks & sightings.keys()),
    )
    return _Recognised(reported, weak, _places_of(strings, sure, finds, sightings) if sightings else _NOWHERE)


def _record(
    transaction: Transaction, recognised: _Recognised, source: str, reported_at: int
) -> ReportedLeaks:
    """Record new leaks and new places, each with the event that reports it."""
    changes = LeakChanges(transaction)
    recorded = changes.add_leaks(recognised.told.credentials, source, reported_at)
    noted = changes.add_places(source, recognised.places) if recognised.places.sightings else _NOTHING
    new_keys = {key for key, _ in recorded.new}
    reported = recognised.told._replace(
        new=new_keys, moved=recorded.moved, later=recorded.later, places=noted.places
    )
    sighting_facts = {"sightings": noted.rows, "sighted": noted.digest} if noted.rows else {}
    if not recorded.new:
        if not sighting_facts:
            return reported
        event = transaction.append("leak-sighting", {"source": source, **sighting_facts})
        return reported._replace(event=event.seq)
    jtis = [jti for _, jti in recorded.new]
    facts = {
        "source": source,
        "reported": reported_at,
        **_named("leaked", jtis),
        "unproved": len(new_keys & recognised.weak.keys()) or None,
        "unknown": reported.unknown or None,
        **sighting_facts,
    }
    return reported._replace(event=transaction.append("leak", facts).seq)


_Strings = Mapping[int, Sequence[tuple[str, bytes | str]]]
"""The strings that were found for each credential, by its number: for each string its type and its stored form."""


def _places_of(
    by_credential: _Strings,
    sure: Mapping[int, str],
    finds: Finds,
    sightings: Mapping[str, Sequence[Sighting]],
) -> NewPlaces:
    """Return where each of these credentials was seen, from the places of its strings."""
    kept_places: dict[int, list[Sighting]] = {}
    occurrences: dict[int, int] = {}
    for key in sure:
        strings = by_credential.get(key, ())
        marks = {mark(*string).hex() for string in strings}
        seen_places = distinct_places(
            [sighting for hex_mark in marks & sightings.keys() for sighting in sightings[hex_mark]]
        )
        if seen_places:
            kept_places[key] = seen_places[:MOST_PLACES]
            occurrences[key] = min(sum(getattr(finds, kind)[form] for kind, form in strings), _MOST_MET)
    return NewPlaces(kept_places, occurrences)


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
        leaks = exposure.find(transaction, chosen)
        open_leaks = [leak for leak in leaks if leak.closed_at is None]
        valid = [leaked for leaked in exposure.described(transaction, open_leaks) if leaked.reason is None]
        if valid and not valid_too:
            first_valid = valid[0]
            others = "" if len(valid) == 1 else f" and that of {len(valid) - 1} more"
            raise UsageError(
                f"the credential of leak {first_valid.leak.key}{others} still works; nothing was closed",
                f"jitid revoke {first_valid.credential.jti}",
            )
        closed = LeakChanges(transaction).close_leaks([leak.key for leak in open_leaks])
        if not closed:
            return ClosedLeaks(0, len(leaks), 0, 0, None)
        jtis = [jti for _, jti in closed]
        live = sum(leak.has_live_kin for leak in open_leaks)
        counts = {"valid": len(valid) or None, "living": live or None}
        event = transaction.append("leak-close", {"reason": reason, **_named("closed", jtis), **counts})
        return ClosedLeaks(len(jtis), len(leaks) - len(jtis), len(valid), live, event.seq)


def prove(ledger: Ledger, *, accept_clock: bool = False) -> int:
    """Prove that verification refuses each leaked credential that has ended; skip leaks that are proved already.

    A leak whose identity or a descendant is live is not proved: the holder of the string may have renewed it, or
    delegated from it. The check equals that of `verify` (`leak/store` says why), in a view of committed data. So a
    caller who ends a credential and then calls this function has a proof from the disk. A second call proves no leak
    twice. Each page of leaks has its own event; after an error, earlier pages stay proved.

    Returns the number of leaks that this call proved.
    """
    count = last_number = 0
    while True:
        with ledger.read() as snapshot:
            page = LeakStore(snapshot).refused_leaks(last_number, PAGE)
            refused = [*page.leaks, *_judged(snapshot, page.doubtful)]
        if refused:
            count += _prove_page(ledger, refused, accept_clock=accept_clock)
        if page.last is None:
            return count
        last_number = page.last


def _judged(snapshot: View, numbers: list[int]) -> list[int]:
    """Return the leaks whose credential the judge refuses."""
    if not numbers:
        return []
    leaks = LeakStore(snapshot).leaks(LeakFilter(numbers=tuple(numbers)), len(numbers))
    credentials = exposure.credentials_of(snapshot, leaks)
    return [leak.key for leak in leaks if _is_refused(snapshot, credentials[leak.jti])]


def _prove_page(ledger: Ledger, refused: list[int], *, accept_clock: bool) -> int:
    """Record the proof of these leaks, except those proved by another process meanwhile; return the number."""
    with ledger.write(accept_clock=accept_clock) as transaction:
        proved = LeakChanges(transaction).prove_leaks(refused)
        if not proved:
            return 0
        jtis = [jti for _, jti in proved]
        # Several events may have the same second: the bounds assign each leak to its event.
        bounds = {"first": proved[0][0], "last": proved[-1][0]}
        transaction.append("leak-proof", {**_named("proved", jtis), **bounds})
        return len(jtis)


def _secrets(finds: Finds) -> Finds:
    """Return the found strings without the ids: an id is not secret, and every log contains ids."""
    secrets = finds.copy()
    secrets.ids, secrets.guessed = {}, {}
    return secrets


def _check_time(report: LeakReport, now: int) -> int:
    """Return the time of the report. Raises UsageError for the future."""
    if report.reported_at is None:
        return now
    if report.reported_at > now:
        raise UsageError(
            f"the time of the report, {format_time(report.reported_at)}, is in the future; nothing was recorded",
            f"the time of the ledger is {format_time(now)}",
        )
    return report.reported_at


def _is_refused(snapshot: View, credential: Credential) -> bool:
    try:
        validity.judge(snapshot, credential, None)
    except InvalidCredentialError:
        return True
    return False


def _named(digest: str, jtis: list[bytes]) -> dict[str, Any]:
    """Return the facts about credentials in an event; `digest` is the name of their digest there."""
    ids = [credential_id(jti) for jti in jtis[:_NAMED]]
    named = ids if len(jtis) <= _NAMED else {"first": ids, "count": len(jtis)}
    return {"count": len(jtis), "jtis": named, digest: ended_digest(jtis)}
