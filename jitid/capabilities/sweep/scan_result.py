"""The hits of a scan: looked up in the ledger batch by batch, recorded as leaks on request, and made into findings."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from jitid.capabilities.leak.operations import AddLeaks, Trace
from jitid.capabilities.leak.trace_result import place_parts, together
from jitid.capabilities.scan.hits import MOST_PLACES, MOST_VERSIONS, ScanTally
from jitid.capabilities.sweep.finding import Coverage, Finding, Swept
from jitid.capabilities.sweep.scan_findings import (
    Counted,
    FindingStore,
    findings,
    kept_marks,
    known,
    offline,
    refused_marks,
    reportable,
)
from jitid.errors import JitidError, PartialError, UsageError
from jitid.formats.cell import counted, size
from jitid.model.leak import Sighting, starred
from jitid.search.find import Finds, mark
from jitid.values.record import Record
from jitid.values.text import number_of

if TYPE_CHECKING:
    from jitid.capabilities.leak.leaks import LeakReport
    from jitid.capabilities.leak.trace_result import Evidence, Traced
    from jitid.capabilities.scan.hits import Batch, Hit, Source
    from jitid.operation.base import Authority

FINDER = "jitid scan"
_NO_SECRETS = frozenset({"prints", "cut", "locked"})
"""Types without a usable secret: certificates are public, cut tokens lack a signature, locked keys a passphrase."""
RULE = "scan"
"""Rule name in a scan's coverage, which is the same for all its rules."""
_MOST_UNKNOWN = 100_000
_OVERFLOWING = f"objects with unknown strings beyond the first {_MOST_UNKNOWN:,}"
_NAMED = 5


class Action(Record):
    """The requested action on proved secrets."""

    report: LeakReport | None
    """None to record nothing."""
    revoke: bool
    reason: str | None
    most: int | None
    dry_run: bool


class _HeldBatch(Record):
    """The hits of one batch."""

    hits: list[Hit]
    finds: Finds
    traced: Traced | None
    """The ledger's answer; None without a ledger."""
    named: Mapping[str, tuple[Evidence, tuple[bytes, ...]]] = MappingProxyType({})
    """The credentials of the answer by their jti, each with its evidence and marks; replaces the answer's matches."""


class ScanResult:
    """The result of a scan: its hits with the ledger's answers, which become findings."""

    def __init__(
        self,
        authority: Authority | None,
        source: Source,
        action: Action | None,
        room: int | None,
        *,
        accept_clock: bool = False,
        holds: bool = False,
    ) -> None:
        """Take the ledger to query, if there is one; `room` is the maximum number of characters of one request to it.

        `holds`: leaks are recorded by `record_held`, after a confirmation.

        Raises UsageError for an action without a ledger.
        """
        if authority is None and action is not None:
            raise UsageError(
                "there is no ledger to query; nothing was changed", "name one with --ledger or --remote"
            )
        self._authority = authority
        self._source = source
        self._action = action
        self._report = None if action is None else action.report
        self._room = room
        self._accept_clock = accept_clock
        self.store = FindingStore()
        self.tally = ScanTally()
        self.hits = 0
        self._mistyped = 0
        self._now = int(time.time())
        self._unrecorded: list[_HeldBatch] | None = [] if holds else None
        """Batches whose leaks are not recorded yet; None to record each batch at once."""
        self._held: list[_HeldBatch] = []
        """Batches that wait for their places, or for the requested action."""
        self._full: set[bytes] = set()
        """Strings with the maximum number of reported places. Further places are only counted."""
        self._counted = Counted()
        self.unreported = 0
        """Number of the places that are only counted."""
        self._places: Counter[bytes] = Counter()
        """Number of hits of each string that wait for their places. All strings that the ledger does not know share a
        count.
        """
        self._overflowing: set[str] = set()
        """Objects with further unknown strings, which are not reported."""
        self.sure: dict[str, None] = {}
        """The credentials to revoke: they are live, and the found strings prove them."""
        self.recorded: dict[int, None] = {}
        """The leaks that were recorded."""
        self.refused: list[Hit] | None = None
        """The places of secrets that no verifier accepts; None unless they are requested."""
        self.kept: list[tuple[Hit, str]] = []
        """The places of secrets that a verifier may accept, each with the reason to keep it, if they are requested."""
        self.unknown: set[bytes] = set()
        """The marks of strings in jitid's form that the ledger does not know, if they are requested."""
        self.events: list[int] = []
        """The audit events that recorded them."""

    def look_up(self, batches: Iterable[Batch]) -> None:
        """Look up each batch in the ledger, and record the leaks in it on request."""
        try:
            self._look_up_each(batches)
        except JitidError as error:
            self._check_partly(error)
            raise

    def _check_partly(self, error: JitidError) -> None:
        """Raise PartialError instead of an error if leaks were recorded before it."""
        if not self.events or isinstance(error, PartialError):
            return
        raise PartialError(
            f"{error.message}; recorded before that: {number_of(len(self.recorded), 'leak')}",
            "scan again: no leak is recorded twice",
        ) from error

    def _look_up_each(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self.tally.add(batch.tally)
            self.hits += len(batch.hits)
            self._mistyped += batch.finds.mistyped
            if batch.hits:
                self._look_up_batch(batch)
        hits, finds = self._counted.together()
        if hits and self._report is not None:
            self._record(self._report, _HeldBatch(hits, finds, None))

    def _look_up_batch(self, batch: Batch) -> None:
        traced: Traced | None = None
        if self._authority is not None:
            traced = self._traced(self._authority, batch.finds)
            self._now = traced.now
        held_batch = _HeldBatch(batch.hits, batch.finds, traced)
        if self._source.locates:
            self._wait(held_batch)
        else:
            first = self._first(held_batch)
            self._settle(first._replace(hits=self._source.located(first.hits)))

    def _first(self, batch: _HeldBatch) -> _HeldBatch:
        """Return the batch without further places of frequent strings, and count those places."""
        hits = reportable(batch.hits, batch.traced)
        if self._report is not None:
            self._counted.note(hits, batch.finds)
        counts = Counter(hit.mark for hit in hits)
        frequent = {
            string_mark: count
            for category, key, count in batch.finds.strings()
            if (count > MOST_PLACES or self._full) and (string_mark := mark(category, key)) in counts
        }
        for string_mark, count in frequent.items():
            if string_mark in self._full:
                self.unreported += count
            elif count > counts[string_mark]:
                self.unreported += count - counts[string_mark]
        if self._full:
            hits = [hit for hit in hits if hit.mark not in self._full]
        self._full.update(string_mark for string_mark, count in frequent.items() if count >= MOST_PLACES)
        return batch._replace(hits=hits)

    def _traced(self, authority: Authority, finds: Finds) -> Traced:
        parts = [finds] if self._room is None else list(finds.parts(self._room))
        return together(authority.perform(Trace(finds=part)) for part in parts)

    def _wait(self, batch: _HeldBatch) -> None:
        """Keep the hits to report until they are located, and the strings to record."""
        known_marks = known(batch.traced)
        hits: list[Hit] = []
        for hit in reportable(batch.hits, batch.traced):
            count_key = hit.mark if hit.mark in known_marks else b""
            if self._places[count_key] < (MOST_VERSIONS if count_key else _MOST_UNKNOWN):
                self._places[count_key] += 1
                hits.append(hit)
            elif not count_key and hit.place not in self._overflowing:
                # An attacker could write any number of unknown strings.
                self._overflowing.add(hit.place)
                self.tally.miss(_OVERFLOWING, hit.place)
        if hits:
            marks = {hit.mark for hit in hits}
            traced = batch.traced and batch.traced._replace(
                others=tuple(marks.intersection(batch.traced.others))
            )
            finds = batch.finds.only(frozenset() if self._report is None else marks & known_marks)
            self._held.append(_HeldBatch(hits, finds, traced))

    def locate(self) -> None:
        """Locate all hits, if the source locates them last."""
        if not self._source.locates:
            return
        batches, self._held = self._held, []
        placed: dict[bytes, list[Hit]] = {}
        for hit in self._source.located([hit for batch in batches for hit in batch.hits]):
            placed.setdefault(hit.mark, []).append(hit)
        for batch in batches:
            # A string in several batches is reported with the first of them.
            marks = dict.fromkeys(hit.mark for hit in batch.hits)
            self._settle(batch._replace(hits=[hit for mark in marks for hit in placed.pop(mark, ())]))

    def _settle(self, batch: _HeldBatch) -> None:
        """Turn a batch into findings, or record and keep it if an action is requested."""
        if batch.traced is not None and self.refused is not None:
            marks = refused_marks(batch.traced)
            self.refused += [hit for hit in batch.hits if hit.mark in marks]
            reasons, known_marks = kept_marks(batch.traced), known(batch.traced)
            self.kept += [(hit, reasons[hit.mark]) for hit in batch.hits if hit.mark in reasons]
            self.unknown.update(
                hit.mark
                for hit in batch.hits
                if hit.sort in ("opaque", "signed") and hit.mark not in known_marks
            )
        if batch.traced is None:
            self.store.extend(offline(batch.hits))
        elif self._action is None:
            self.store.extend(findings(batch.hits, batch.traced))
        else:
            if self._report is not None:
                self._record(self._report, batch)
            self._keep(batch.hits, batch.traced)

    def _keep(self, hits: list[Hit], traced: Traced) -> None:
        """Keep the hits, and note the credentials to revoke. After the action, the ledger is queried again."""
        secret_marks = {hit.mark for hit in hits if hit.sort not in _NO_SECRETS}
        for match in traced.matches:
            if match.endable and match.evidence.proof and not secret_marks.isdisjoint(match.marks):
                self.sure[match.credential.jti] = None
        evidence_by_jti = {match.credential.jti: (match.evidence, match.marks) for match in traced.matches}
        self._held.append(_HeldBatch(hits, Finds(), traced._replace(matches=[]), evidence_by_jti))

    def record_held(self) -> None:
        """Record the leaks that were held back for a confirmation."""
        batches, self._unrecorded = self._unrecorded or [], None
        for batch in batches:
            if self._report is not None:
                self._record(self._report, batch)

    def _record(self, report: LeakReport, batch: _HeldBatch) -> None:
        if self._unrecorded is not None:
            self._unrecorded.append(batch)
            return
        assert self._authority is not None
        assert self._action is not None
        # A certificate is not a secret.
        batch.finds.prints.clear()
        sightings: dict[bytes, list[Sighting]] = {}
        for hit in batch.hits:
            sightings.setdefault(hit.mark, []).append(_sighting(hit))
        for part, part_sightings in place_parts(batch.finds, sightings, self._room):
            operation = AddLeaks(
                finds=part,
                report=report,
                sightings=part_sightings,
                dry_run=self._action.dry_run,
                accept_clock=self._accept_clock,
            )
            try:
                result = self._authority.perform(operation)
            except JitidError as error:
                self._check_partly(error)
                raise
            self.recorded.update(dict.fromkeys(result.new))
            if result.event is not None:
                self.events.append(result.event)

    def refresh(self) -> None:
        """Make findings of the held batches, with the ledger's state after the action."""
        authority = self._authority
        if self._action is None or authority is None:
            return
        for batch in self._held:
            if batch.traced is not None:
                self.store.extend(findings(batch.hits, self._refreshed(authority, batch, batch.traced)))
        self._held.clear()

    def _refreshed(self, authority: Authority, batch: _HeldBatch, traced: Traced) -> Traced:
        """Return the answer for a batch with the ledger's state after the action."""
        finds = Finds()
        finds.ids.update(dict.fromkeys(batch.named, 1))
        refreshed = self._traced(authority, finds)
        matches = []
        for match in refreshed.matches:
            evidence, marks = batch.named[match.credential.jti]
            matches.append(match._replace(evidence=evidence, marks=marks))
        return traced._replace(matches=matches, now=refreshed.now)

    def results(self) -> Iterator[Finding | Coverage | Swept]:
        """Yield the findings, and the extent of the search."""
        yield from self.store
        yield self._coverage()
        yield Swept(self._now, self.store.live, None, None)

    def _coverage(self) -> Coverage:
        """Return the coverage: the searched data, and the missed data."""
        tally = self.tally
        searched = f"searched {counted(tally.items, self._source.unit)}, {size(tally.bytes)}"
        if tally.passed:
            passed = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(tally.passed.items()))
            searched += f"; skipped: {passed}"
        if tally.histories:
            searched += f"; the history of {repositories(tally.histories)} was not searched"
        if self._mistyped:
            searched += f"; {counted(self._mistyped, 'token is', 'tokens are')} cut or mistyped"
        if self.unreported:
            more = counted(self.unreported, "more place", "more places")
            searched += f"; {more} of strings with many places"
        unknown = "whether the secrets are valid: no ledger was queried" if self._authority is None else None
        return Coverage(RULE, searched, tuple(_missed(tally)), unknown)


def _sighting(hit: Hit) -> Sighting:
    path = hit.place if hit.inside is None else f"{hit.place}!{hit.inside}"
    found_at = None if hit.origin is None else hit.origin.time
    return Sighting(path, hit.line, hit.revision, found_at, FINDER)


def repositories(count: int) -> str:
    """Return a number of repositories in words."""
    return "a git repository" if count == 1 else f"{count:,} git repositories"


def _missed(tally: ScanTally) -> Iterator[str]:
    for reason, count in sorted(tally.missed.items()):
        paths = sorted(tally.named[reason])
        first_paths = ", ".join(map(starred, paths[:_NAMED]))
        more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
        yield f"{reason}: {first_paths}{more}"
