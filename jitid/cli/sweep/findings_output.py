"""The output of `sweep` and `scan`: their findings in every format, to standard output or to a file.

The rows are findings as they arrive, the coverage after each rule, and a summary at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from jitid.capabilities.sweep.findings_json import document, lines
from jitid.capabilities.sweep.findings_view import (
    SWEEP,
    FindingRow,
    RuleInfo,
    SweptRow,
    SweptRows,
    Wording,
    covered,
    remedy,
)
from jitid.cli.invocation import Invocation
from jitid.cli.show import pieces
from jitid.formats.display import Display, Format
from jitid.system import output
from jitid.system.files import remove_leftovers, writing_private, writing_public
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.sweep.finding import Finding
    from jitid.formats.columns import Columns
    from jitid.formats.page import PageOrigin


def _unchanged(record: FindingRow) -> Mapping[str, Any]:
    return record


class FindingsOutput(Record):
    """The form in which a verb shows its findings."""

    view: Columns
    """The fields of a finding. A missed or examined part is a row too, with that state."""
    rules: Sequence[RuleInfo]
    wording: Wording
    row: Callable[[FindingRow], Mapping[str, Any]] = _unchanged
    """Returns a finding with the fields of the view."""
    quiet_hides_info: bool = False
    """Whether --quiet leaves out findings of severity `info` in rows."""
    with_ledger: bool = True
    """Whether a ledger was queried, which a page names."""

    def write(self, cli: Invocation, out: str | None, results: SweptRows) -> None:
        """Write findings as they arrive, to standard output or to a file that is replaced completely or not at all.

        If they break off, standard output has the earlier ones, closed as the format requires. Then raise the error.
        """
        records = _UntilError(results)
        # Errors must be raised before anything is written.
        first_record = next(records, None)
        records.check()
        assert first_record is not None, "a summary is the last record"
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
        if cli.field:
            findings = (self.row(record) for record in self._sorted(records) if "state" in record)
            return self._table(findings, Format.TSV, cli.field)
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

                origin = page_origin(cli, with_ledger=self.with_ledger)
                return findings_html.text(records, rules, cli.command, wording, origin)
            case "table":
                from jitid.capabilities.sweep import findings_text

                colour = cli.coloured(out)
                shown = self._sorted(records)
                if cli.quiet:
                    shown = (record for record in shown if not self._is_hidden(record))
                return findings_text.text(
                    shown, rules, colour, cli.command, verbose=cli.verbose, wording=wording
                )
            case "json":
                return document(records, self.view.schema)
            case "jsonl":
                return lines(records)
            case other:
                rows = self._rows_with_coverage(
                    self._sorted(records), quiet=cli.quiet, verbose=cli.verbose and not cli.quiet
                )
                return self._table(rows, Format(other))

    def _is_hidden(self, record: Mapping[str, Any]) -> bool:
        """Return whether `--quiet` leaves out a record: an open finding of severity `info`."""
        is_info = record.get("state") == "open" and record["severity"] == "info"
        return self.quiet_hides_info and is_info

    def _sorted(self, records: SweptRows) -> SweptRows:
        """Return the records of a sweep with its findings sorted by severity, for a format for people."""
        if self.wording is not SWEEP:
            return records
        from jitid.capabilities.sweep.findings_order import by_severity

        return by_severity(records)

    def _table(
        self, rows: Iterable[Mapping[str, Any]], form: Format, fields: tuple[str, ...] = ()
    ) -> Iterator[str]:
        return pieces(Display(self.view.schema, self.view.fields, rows), form, fields, colour=False)

    def _rows_with_coverage(
        self, records: SweptRows, *, quiet: bool, verbose: bool
    ) -> Iterator[Mapping[str, Any]]:
        """Yield findings and missed parts as rows with the same fields, and with `verbose` the examined parts.

        With `quiet`, leave out findings of severity `info`: cron sends each line by mail.
        """
        complete = False
        rule_names = {rule.name for rule in self.rules}
        for record in records:
            if "state" in record:
                if not (quiet and self._is_hidden(record)):
                    yield self.row(record)
            elif "summary" in record:
                complete = True
            else:
                extent = record["coverage"]
                rule = {"rule": extent["rule"]} if extent["rule"] in rule_names else {}
                if verbose:
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


def page_origin(cli: Invocation, *, with_ledger: bool = True) -> PageOrigin:
    """Return the place where a page is made: this machine, and the ledger that this line uses."""
    from jitid.authority.open import shown_place
    from jitid.formats.page import PageOrigin
    from jitid.system.processes import host_name

    return PageOrigin(host_name(), shown_place(cli.config()) if with_ledger else "")


def remedy_of(cli: Invocation) -> Callable[[Finding], str | None]:
    """Return a function that returns the command that fixes a finding on this ledger."""
    most = cli.config().number("max")

    def command(finding: Finding) -> str | None:
        text = remedy(finding, most)
        return None if text is None else cli.command(text)

    return command
