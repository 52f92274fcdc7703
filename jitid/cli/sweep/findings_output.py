"""The output of `sweep` and `scan`: their findings in every format, to standard output or to a file.

The rows are findings as they arrive, the coverage after each rule, and a summary at the end.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from jitid.capabilities.sweep.finding import SEVERITIES, Coverage, Finding, Remedied, Severity, Swept, Unfixed
from jitid.capabilities.sweep.findings_json import document, lines
from jitid.capabilities.sweep.findings_view import (
    FindingRow,
    FindingState,
    RuleInfo,
    Summary,
    SweptRow,
    SweptRows,
    Wording,
    covered,
)
from jitid.capabilities.sweep.rules import rule_of
from jitid.cli import record_rows
from jitid.cli.invocation import Invocation
from jitid.cli.show import pieces
from jitid.formats.display import Display, Format
from jitid.system import output
from jitid.system.files import remove_leftovers, writing_private, writing_public
from jitid.values.record import Record
from jitid.values.text import number_of
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.formats.columns import Columns


def _unchanged(record: FindingRow) -> Mapping[str, Any]:
    return record


class FindingsOutput(Record):
    """The form in which a verb shows its findings."""

    view: Columns
    """The fields of a finding. Coverage is a row too, with the state `examined` or `missed`."""
    rules: Sequence[RuleInfo]
    wording: Wording
    row: Callable[[FindingRow], Mapping[str, Any]] = _unchanged
    """Returns a finding with the fields of the view."""
    quiet_hides_info: bool = False
    """Whether --quiet leaves out findings of severity `info` in rows."""

    def write(self, cli: Invocation, out: str | None, results: SweptRows) -> None:
        """Write findings as they arrive, to standard output or to a file that is replaced completely or not at all.

        If they break off, standard output has the earlier ones, closed as the format requires. Then raise the error.
        """
        records = _UntilError(results)
        # Errors must be raised before anything is written.
        first_record = next(records, None)
        records.check()
        assert first_record is not None, "the last record says that it is"
        text = self._text(cli, chain([first_record], records), out)
        if out is None:
            output.write_pieces(text)
            records.check()
            return
        # A collector's file is public. Other formats contain names that are not public.
        with (writing_public if cli.special_format == "prometheus" else writing_private)(out) as file:
            for piece in text:
                file.write(piece)
            records.check()
        remove_leftovers(out)

    def _text(self, cli: Invocation, records: SweptRows, out: str | None) -> Iterator[str]:
        rules, wording = self.rules, self.wording
        if cli.field is not None:
            return self._table(self._rows(records), Format.TSV, cli.field)
        on_terminal = out is None and output.is_terminal()
        match cli.special_format or cli.format_name() or ("table" if on_terminal else "tsv"):
            case "sarif":
                from jitid.capabilities.sweep import findings_sarif

                return findings_sarif.text(records, rules, wording)
            case "prometheus":
                from jitid.capabilities.sweep import findings_prometheus

                return findings_prometheus.text(records, rules, wording)
            case "html":
                from jitid.capabilities.sweep import findings_html

                return findings_html.text(records, rules, cli.command, wording)
            case "table":
                from jitid.capabilities.sweep import findings_text

                colour = cli.coloured(out)
                return findings_text.text(
                    records, rules, colour, cli.command, verbose=cli.verbose, wording=wording
                )
            case "json":
                return document(records, self.view.schema)
            case "jsonl":
                return lines(records)
            case other:
                return self._table(self._rows_with_coverage(records, quiet=cli.quiet), Format(other))

    def _table(
        self, rows: Iterable[Mapping[str, Any]], form: Format, field: str | None = None
    ) -> Iterator[str]:
        return pieces(Display(self.view.schema, self.view.fields, rows), form, field, colour=False)

    def _rows(self, records: SweptRows) -> Iterator[Mapping[str, Any]]:
        return (self.row(record) for record in records if "state" in record)

    def _rows_with_coverage(self, records: SweptRows, *, quiet: bool) -> Iterator[Mapping[str, Any]]:
        """Yield records as rows with the same fields, for formats that have no other place for the coverage.

        With `quiet`, leave out complete coverage: cron sends each line by mail.
        """
        complete = False
        rule_names = {rule.name for rule in self.rules}
        hides_info = quiet and self.quiet_hides_info
        for record in records:
            if "state" in record:
                if not (hides_info and record["state"] == "open" and record["severity"] == "info"):
                    yield self.row(record)
            elif "summary" in record:
                complete = True
            else:
                extent = record["coverage"]
                rule = {"rule": extent["rule"]} if extent["rule"] in rule_names else {}
                if not quiet:
                    yield {"state": "examined", **rule, "summary": covered(extent)}
                for reason in extent["missed"]:
                    yield {"state": "missed", **rule, "summary": reason}
        if not complete:
            yield {"state": "missed", "summary": self.wording.broken}


class _UntilError:
    """Records that stop at an error, so that a format can close its output before `check` raises the error."""

    def __init__(self, records: SweptRows) -> None:
        self._records = iter(records)
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[SweptRow]:
        return self

    def __next__(self) -> SweptRow:
        try:
            return next(self._records)
        except StopIteration:
            raise
        except BaseException as error:
            self._error = error
            raise StopIteration from error

    def check(self) -> None:
        """Raise the error at which the records stopped."""
        if self._error is not None:
            raise self._error


def new_run() -> str:
    """Return the name of a new run of `sweep` or `scan`: a UUID that has the time."""
    from uuid import UUID

    from jitid.values.ids import new_uuid7

    return str(UUID(bytes=new_uuid7(time.time_ns() // 1_000_000, os.urandom(10))))


class RecordConverter:
    """Converter from the results of a sweep to records, with totals for the end of the command."""

    def __init__(
        self,
        cli: Invocation,
        sweep: str,
        fail_on: Severity,
        known: Container[Finding],
        since: int | None,
        keep: Callable[[Finding], None],
    ) -> None:
        """Call `keep` with every remaining finding, known or not. Leave out findings from before `since`."""
        self._cli = cli
        self._most = cli.config().number("max")
        self._sweep = sweep
        self._fail_on = fail_on
        self._known = known
        self._since = since
        self._keep = keep
        self.counts: Counter[str] = Counter()
        """Number of findings of each state, and of each severity among the open ones."""
        self.ended = 0
        """Number of credentials that --fix has ended."""
        self.accepted = 0
        """Number of ended credentials that a verifier still accepts."""
        self.failed = False
        """Whether an open finding has at least the severity at which the sweep fails."""
        self.complete: dict[str, bool] = {}
        """For each examined rule, whether its coverage is complete."""
        self._unfixed: Counter[tuple[str, str]] = Counter()
        """Number of findings that --fix could not end, by rule and reason."""
        self.head: str | None = None
        self.unsigned: str | None = None

    def records(
        self, remedied: Iterable[Remedied | Unfixed], results: Iterable[Finding | Coverage | Swept]
    ) -> Iterator[SweptRow]:
        """Yield the records of a sweep in order: ended findings, open findings with coverage, the summary."""
        for outcome in remedied:
            if isinstance(outcome, Unfixed):
                self._unfixed[outcome.rule, outcome.why] += outcome.findings
                continue
            self.ended += outcome.credentials
            self.accepted += outcome.accepted or 0
            for finding in outcome.findings:
                self.counts["ended"] += 1
                yield self._ended(finding, outcome)
        for result in results:
            match result:
                case Finding():
                    if self._since is None or result.since is None or result.since >= self._since:
                        yield self._open(result)
                case Coverage():
                    missed = [*result.missed, *self._unfixed_reasons(result.rule)]
                    self.complete[result.rule] = not missed
                    yield {
                        "coverage": {
                            "rule": result.rule,
                            "examined": result.examined,
                            "complete": not missed,
                            "missed": missed,
                            "unknown": result.unknown,
                        }
                    }
                case Swept():
                    self.head, self.unsigned = result.head, result.unsigned
                    yield {"summary": self._summary(result)}

    @property
    def incomplete(self) -> bool:
        """Whether a part was not examined."""
        return not all(self.complete.values())

    def _unfixed_reasons(self, rule: str) -> Iterator[str]:
        """Yield the reasons why --fix could not end findings of a rule."""
        for (unfixed_rule, reason), count in self._unfixed.items():
            if unfixed_rule == rule:
                findings = number_of(count, "finding") if count else "what was found"
                yield f"--fix could not end {findings}: {reason}"

    def _ended(self, finding: Finding, remedied: Remedied) -> FindingRow:
        row = self._row(finding, "ended")
        row["remedy"] = None
        row["sweep"] = self._sweep
        row["event"] = remedied.event
        row["ended_at"] = record_rows.time(remedied.at)
        row["proof"] = _proof(remedied)
        row["ended_credentials"] = remedied.credentials
        row["offline_until"] = record_rows.time(remedied.offline_until)
        return row

    def _open(self, finding: Finding) -> FindingRow:
        self._keep(finding)
        is_known = finding in self._known
        self.counts["known" if is_known else "open"] += 1
        if not is_known:
            self.counts[finding.severity] += 1
            self.failed = self.failed or finding.severity.rank >= self._fail_on.rank
        return self._row(finding, "known" if is_known else "open")

    def _row(self, finding: Finding, state: FindingState) -> FindingRow:
        return {
            "state": state,
            "severity": finding.severity.value,
            "rule": finding.rule,
            "subject": finding.subject,
            "since": record_rows.time(finding.since),
            "credentials": finding.credentials,
            "summary": finding.summary,
            "remedy": remedy(self._cli, finding, self._most),
            "event": None,
            "ended_at": None,
            "ended_credentials": None,
            "sweep": None,
            "proof": None,
            "offline_until": None,
            "fingerprint": finding.fingerprint,
            "evidence": {name: _formatted(name, value) for name, value in finding.evidence.items()},
        }

    def _summary(self, swept: Swept) -> Summary:
        worst = max(
            (severity for severity in SEVERITIES if self.counts[severity]),
            key=lambda severity: severity.rank,
            default=None,
        )
        return {
            "sweep": self._sweep,
            "at": format_time(swept.at),
            "live": swept.live,
            "open": self.counts["open"],
            "known": self.counts["known"],
            "ended": self.counts["ended"],
            "ended_credentials": self.ended,
            "worst": None if worst is None else worst.value,
            "complete": not self.incomplete,
        }


def remedy(cli: Invocation, finding: Finding, max_count: int) -> str | None:
    """Return the command that ends a finding on this ledger. Above `max_count` credentials, it has --max."""
    if finding.remedy is None:
        return None
    # Without --max and without a terminal, the command would be refused.
    bounded = f" --max {finding.revokes}" if finding.revokes > max_count else ""
    return cli.command(finding.remedy + bounded)


def _proof(outcome: Remedied) -> str:
    if rule_of(outcome.rule).closes:
        return "they were dead, and the ledger says so from now on"
    if outcome.accepted is None:
        return f"whether a verifier takes some of what event {outcome.event} ended could not be told"
    if outcome.accepted:
        return f"{outcome.accepted} of what event {outcome.event} ended are still taken"
    return f"a verifier that asks this ledger takes none of the {outcome.credentials} that event {outcome.event} ended"


def _formatted(name: str, value: object) -> object:
    if isinstance(value, int) and name.endswith(("_at", "_until")):
        return record_rows.time(value)
    return value
