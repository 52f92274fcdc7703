"""The steps of a scan: search, query the ledger, record and revoke on request, and report the new state."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from types import MappingProxyType
from typing import TYPE_CHECKING

from jitid.capabilities.scan.hits import MOST_PLACES, MOST_VERSIONS, ScanTally
from jitid.capabilities.scan.workers import Search
from jitid.capabilities.sweep.scan_findings import Counted
from jitid.errors import ExitStatus, JitidError, PartialError, UsageError
from jitid.search.find import Finds, mark
from jitid.system.read_input import spared
from jitid.values.record import Record
from jitid.values.text import safe

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.leak.leaks import LeakReport
    from jitid.capabilities.leak.trace_result import Evidence, Traced
    from jitid.capabilities.scan.hits import Batch, Hit, Source
    from jitid.capabilities.sweep.finding import Coverage, Finding, Swept
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands
    from jitid.cli.leak.scan_rows import Action
    from jitid.model.leak import Sighting
    from jitid.operation.base import Authority
    from jitid.search.find import SecretSearch

FINDER = "jitid scan"
_NO_SECRETS = frozenset({"prints", "cut", "locked"})
"""Types without a usable secret: certificates are public, cut tokens lack a signature, locked keys a passphrase."""
RULE = "scan"
"""Rule name in a scan's coverage, which is the same for all its rules."""
_MOST_UNKNOWN = 100_000
_OVERFLOWING = f"objects with strings beyond the first {_MOST_UNKNOWN:,} that the ledger does not know"


def run(
    cli: Invocation,
    args: commands.ScanCommand,
    action: Action | None,
    source: Source,
    categories: frozenset[str],
) -> None:
    """Scan, and report the findings. Raises PartialError, and any error of the ledger."""
    secret_search = _secret_search(cli) if "secrets" in categories else None
    with closing(source), Search(source, categories, source.processes, secret_search=secret_search) as search:
        work = _ScanWork(cli, action, source)
        work.look_up(spared(search.batches()))
        work.locate()
    work.act()
    try:
        work.show(args)
    finally:
        # Report the recorded leaks and the revocation even if writing the rows fails.
        work.report_actions()
    work.conclude()


def _secret_search(cli: Invocation) -> SecretSearch | None:
    """Return the search for adopted secrets; None without a ledger or without adopted secrets."""
    from jitid.cli.leak.trace import shapes_of
    from jitid.search.find import SecretSearch

    shapes = shapes_of(cli)
    return None if shapes is None or not shapes.shapes else SecretSearch(shapes.shapes, shapes.prints)


def _sighting(hit: Hit) -> Sighting:
    from jitid.model.leak import Sighting

    path = hit.place if hit.inside is None else f"{hit.place}!{hit.inside}"
    found_at = None if hit.origin is None else hit.origin.time
    return Sighting(path, hit.line, hit.revision, found_at, FINDER)


class _HeldBatch(Record):
    """The hits of one batch."""

    hits: list[Hit]
    finds: Finds
    traced: Traced | None
    """The ledger's answer; None without a ledger."""
    named: Mapping[str, tuple[Evidence, tuple[bytes, ...]]] = MappingProxyType({})
    """The credentials of the answer by their jti, each with its evidence and marks; replaces the answer's matches."""


class _ScanWork:
    def __init__(self, cli: Invocation, action: Action | None, source: Source) -> None:
        from jitid.authority.open import open_if_there, room
        from jitid.capabilities.sweep.scan_findings import FindingStore

        self._cli = cli
        self._action = action
        self._source = source
        self._store = FindingStore()
        self._tally = ScanTally()
        self._hits = 0
        self._mistyped = 0
        self._authority: Authority | None = open_if_there(cli.config(), accept_clock=cli.accept_clock)
        if self._authority is None and action is not None:
            raise UsageError(
                "there is no ledger to ask; nothing was changed", "name one with --ledger or --remote"
            )
        self._room = room(cli.config())
        self._now = int(time.time())
        self._held: list[_HeldBatch] = []
        """Batches that wait for their places, or for the requested action."""
        self._full: set[bytes] = set()
        """Strings with the maximum number of reported places. Further places are only counted."""
        self._counted = Counted()
        self._unreported = 0
        """Number of the places that are only counted."""
        self._places: Counter[bytes] = Counter()
        """Number of hits of each string that wait for their places. All strings that the ledger does not know share a
        count.
        """
        self._overflowing: set[str] = set()
        """Objects with further unknown strings, which are not reported."""
        self._sure: dict[str, None] = {}
        """The credentials to revoke: they are live, and the found strings prove them."""
        self._ended: Ended | None = None
        self._recorded: dict[int, None] = {}
        self._events: list[int] = []
        self._failure: JitidError | None = None

    def look_up(self, batches: Iterator[Batch]) -> None:
        """Look up each batch in the ledger."""
        try:
            self._look_up_each(batches)
        except JitidError as error:
            self._check_partly(error)
            raise

    def _check_partly(self, error: JitidError) -> None:
        """Raise PartialError instead of an error if leaks were recorded before it."""
        if not self._events or isinstance(error, PartialError):
            return
        from jitid.values.text import number_of

        raise PartialError(
            f"{error.message}; what was found before is recorded: {number_of(len(self._recorded), 'leak')}",
            "scan again: what is recorded is recorded once",
        ) from error

    def _look_up_each(self, batches: Iterator[Batch]) -> None:
        from jitid.cli.progress import ProgressLine

        with ProgressLine(self._cli) as progress:
            for batch in batches:
                self._tally.add(batch.tally)
                self._hits += len(batch.hits)
                self._mistyped += batch.finds.mistyped
                if batch.hits:
                    self._look_up_batch(batch)
                progress.show(self._source.unit, self._tally, self._hits)
        hits, finds = self._counted.together()
        if (
            hits
            and self._authority is not None
            and self._action is not None
            and self._action.report is not None
        ):
            self._record(self._authority, self._action.report, _HeldBatch(hits, finds, None))

    def _look_up_batch(self, batch: Batch) -> None:
        traced: Traced | None = None
        if self._authority is not None:
            from jitid.capabilities.leak.operations import Trace
            from jitid.capabilities.leak.trace_result import together

            authority = self._authority
            traced = together(authority.perform(Trace(finds=part)) for part in self._parts(batch.finds))
            self._now = traced.now
        held_batch = _HeldBatch(batch.hits, batch.finds, traced)
        if self._source.locates:
            self._wait(held_batch)
        else:
            self._settle(self._first(held_batch))

    def _first(self, batch: _HeldBatch) -> _HeldBatch:
        """Return the batch without further places of frequent strings, and count those places."""
        from jitid.capabilities.sweep.scan_findings import reportable

        hits = reportable(batch.hits, batch.traced)
        if self._action is not None and self._action.report is not None:
            self._counted.note(hits, batch.finds)
        counts = Counter(hit.mark for hit in hits)
        frequent = {
            string_mark: count
            for category, key, count in batch.finds.strings()
            if (count > MOST_PLACES or self._full) and (string_mark := mark(category, key)) in counts
        }
        for string_mark, count in frequent.items():
            if string_mark in self._full:
                self._unreported += count
            elif count > counts[string_mark]:
                self._unreported += count - counts[string_mark]
        if self._full:
            hits = [hit for hit in hits if hit.mark not in self._full]
        self._full.update(string_mark for string_mark, count in frequent.items() if count >= MOST_PLACES)
        return batch._replace(hits=hits)

    def _parts(self, finds: Finds) -> list[Finds]:
        return [finds] if self._room is None else list(finds.parts(self._room))

    def _wait(self, batch: _HeldBatch) -> None:
        """Keep the hits to report until they are located, and the strings to record."""
        from jitid.capabilities.sweep.scan_findings import known, reportable

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
                self._tally.miss(_OVERFLOWING, hit.place)
        if hits:
            marks = {hit.mark for hit in hits}
            traced = batch.traced and batch.traced._replace(
                others=tuple(marks.intersection(batch.traced.others))
            )
            reported = self._action is not None and self._action.report is not None
            finds = batch.finds.only(marks & known_marks if reported else frozenset())
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
        from jitid.capabilities.sweep import scan_findings

        if batch.traced is None:
            self._store.extend(scan_findings.offline(batch.hits))
        elif self._action is None:
            self._store.extend(scan_findings.findings(batch.hits, batch.traced))
        else:
            if self._authority is not None and self._action.report is not None:
                self._record(self._authority, self._action.report, batch)
            self._keep(batch.hits, batch.traced)

    def _keep(self, hits: list[Hit], traced: Traced) -> None:
        """Keep the hits, and note the credentials to revoke. After the action, the ledger is queried again."""
        secret_marks = {hit.mark for hit in hits if hit.sort not in _NO_SECRETS}
        for match in traced.matches:
            if match.endable and match.evidence.proof and not secret_marks.isdisjoint(match.marks):
                self._sure[match.credential.jti] = None
        evidence_by_jti = {match.credential.jti: (match.evidence, match.marks) for match in traced.matches}
        self._held.append(_HeldBatch(hits, Finds(), traced._replace(matches=[]), evidence_by_jti))

    def _record(self, authority: Authority, report: LeakReport, batch: _HeldBatch) -> None:
        from jitid.capabilities.leak.operations import AddLeaks
        from jitid.capabilities.leak.trace_result import place_parts

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
                accept_clock=self._cli.accept_clock,
            )
            try:
                result = authority.perform(operation)
            except JitidError as error:
                self._check_partly(error)
                raise
            self._recorded.update(dict.fromkeys(result.new))
            if result.event is not None:
                self._events.append(result.event)

    def act(self) -> None:
        """Revoke credentials on request, and make findings of the state after that."""
        from jitid.capabilities.sweep import scan_findings

        action, authority = self._action, self._authority
        if action is None or authority is None:
            return
        if action.revoke:
            try:
                self._end(authority, action)
            except JitidError as error:
                # The findings are reported even so.
                self._failure = error
        for batch in self._held:
            if batch.traced is not None:
                traced = self._refreshed(authority, batch, batch.traced)
                self._store.extend(scan_findings.findings(batch.hits, traced))
        self._held.clear()

    def _end(self, authority: Authority, action: Action) -> None:
        from jitid.capabilities.inventory.operations import Revoke
        from jitid.cli.identity.revoke import perform
        from jitid.model.ledger_rows import Selection

        if not self._sure:
            return
        self._ended = perform(
            self._cli,
            authority,
            Revoke(
                selection=Selection(ids=tuple(self._sure)),
                reason=action.reason,
                most=action.most,
                dry_run=action.dry_run,
                accept_clock=self._cli.accept_clock,
            ),
        )

    def _refreshed(self, authority: Authority, batch: _HeldBatch, traced: Traced) -> Traced:
        """Return the answer for a batch with the ledger's state after the action."""
        from jitid.capabilities.leak.operations import Trace
        from jitid.capabilities.leak.trace_result import together

        finds = Finds()
        finds.ids.update(dict.fromkeys(batch.named, 1))
        refreshed = together(authority.perform(Trace(finds=part)) for part in self._parts(finds))
        matches = []
        for match in refreshed.matches:
            evidence, marks = batch.named[match.credential.jti]
            matches.append(match._replace(evidence=evidence, marks=marks))
        return traced._replace(matches=matches, now=refreshed.now)

    def show(self, args: commands.ScanCommand) -> None:
        """Write the findings and the coverage. Raises OutputError."""
        from jitid.capabilities.sweep.findings_view import SCAN
        from jitid.cli.leak import scan_rows

        wording = SCAN._replace(listing=self._source.listing, about=self._source.root)
        self._converter = scan_rows.write(self._cli, args, wording, self._found())

    def _found(self) -> Iterator[Finding | Coverage | Swept]:
        from jitid.capabilities.sweep.finding import Swept
        from jitid.cli.leak.scan_rows import Searched, coverage

        yield from self._store
        with_ledger = self._authority is not None
        searched = Searched(self._source.unit, self._tally, self._mistyped, self._unreported)
        yield coverage(RULE, searched, with_ledger=with_ledger)
        yield Swept(self._now, self._store.live, None, None)

    def report_actions(self) -> None:
        """Report the actions on standard error."""
        cli, action = self._cli, self._action
        if self._authority is None:
            cli.note("there is no ledger here: what was found is told by its form alone")
        if self._tally.histories:
            cli.note(self._unread())
        if action is None:
            return
        from jitid.system import output
        from jitid.values.text import number_of

        if action.report is not None:
            would = "would record" if action.dry_run else "recorded"
            events = f" (audit event {' '.join(map(str, self._events))})" if self._events else ""
            cli.note(f"{would} {number_of(len(self._recorded), 'leak')}{events}")
        if self._ended is not None:
            from jitid.cli.identity.revoke import sentence

            output.print_message(f"jitid: {sentence(self._ended, dry_run=action.dry_run)}")
        elif action.revoke and self._failure is None:
            output.print_message("jitid: nothing that is proved to be ours was live: nothing was ended")

    def _unread(self) -> str:
        """Return a sentence about the repositories whose history was not searched, with the commands for it."""
        from shlex import quote as word

        from jitid.cli.leak.scan_rows import repositories

        count, paths = self._tally.histories, self._tally.repositories
        commands = [self._cli.command(f"jitid scan --git {word(safe(path))}") for path in sorted(paths)]
        more = f"; and so for {count - len(paths)} more" if count > len(paths) else ""
        return f"the history of {repositories(count)} was not searched: {'; '.join(commands)}{more}"

    def conclude(self) -> None:
        """Set the exit status, or raise the error of a failed step."""
        if self._failure is not None:
            raise self._failure
        if self._ended is not None:
            from jitid.authority.settle_at_targets import must_be_confirmed

            must_be_confirmed(self._ended)
        if self._converter.incomplete:
            self._cli.status = ExitStatus.INCOMPLETE
        elif self._converter.failed:
            self._cli.status = ExitStatus.FINDINGS
