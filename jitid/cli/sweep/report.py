"""`jitid report`: report the state of identity sprawl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority, sweep_limits
from jitid.capabilities.report.operations import MakeReport
from jitid.capabilities.report.sprawl_report import DEFAULT_DAYS, Report
from jitid.cli import progress
from jitid.cli.invocation import Invocation
from jitid.cli.sweep.sweep_rows import remedy
from jitid.errors import UsageError
from jitid.formats.display import Display, Format
from jitid.model.survey import Totals
from jitid.system import output
from jitid.system.files import write_private, write_public
from jitid.values.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.cli import options

FIELDS = Totals._fields
FORMATS = ("html", "prometheus")
"""Formats of this verb, besides the formats of all verbs."""


def report(
    cli: Invocation,
    at: options.At = None,
    days: options.Days = None,
    out: options.ReportOut = None,
) -> None:
    """Tell the state of identity sprawl.

    What is alive by kind, task, agent, delegator and sensitivity; how long it lives, how long it outlives its
    task, how much of it was never used; how long leaked secrets went on working; what to end first. With
    --format html it is one page that asks nothing of any network; with --format prometheus it is a file for the
    node exporter's textfile collector.
    """
    own = cli.own_format(FORMATS)
    cli.expect(FIELDS)
    if own == "prometheus" and at is not None:
        raise UsageError(
            "--at and --format prometheus cannot go together",
            "whoever collects metrics takes them for the present",
        )
    operation = MakeReport(
        at=None if at is None else parse_time(at),
        days=DEFAULT_DAYS if days is None else days,
        limits=sweep_limits(cli.config()),
        accept_clock=cli.accept_clock,
    )
    authority = open_authority(cli.config())
    with progress.Waiting(cli, lambda: "making the report"):
        found = authority.perform(operation)
    found = _with_commands(cli, found)
    if out is None:
        output.write_pieces(_text(cli, found, own, out))
        return
    data = "".join(_text(cli, found, own, out)).encode("utf-8", "backslashreplace")
    # A collector's file is public. Other formats contain names that are not public.
    (write_public if own == "prometheus" else write_private)(out, data)


def _with_commands(cli: Invocation, found: Report) -> Report:
    """Return the report with remedies that act on the same ledger from any shell."""
    if found.offenders is None:
        return found
    most = cli.config().number("max")
    offenders = (each._replace(remedy=remedy(cli, each, most)) for each in found.offenders)
    return found._replace(offenders=tuple(offenders))


def _text(cli: Invocation, found: Report, own: str | None, out: str | None) -> Iterator[str]:
    if own == "html":
        from jitid.capabilities.report import report_html

        return report_html.text(found)
    if own == "prometheus":
        from jitid.capabilities.report import report_metrics

        return report_metrics.exposition(found)
    name = cli.format_name()
    shape = Format(name) if name else Format.TABLE if out is None and output.is_terminal() else Format.TSV
    if cli.field is not None:
        from jitid.cli import show

        return show.pieces(
            Display("", FIELDS, [found.survey.totals._asdict()]), shape, cli.field, colour=False
        )
    if shape is Format.TABLE:
        from jitid.capabilities.report import report_text

        return report_text.text(found, cli.coloured(out))
    from jitid.capabilities.report import report_document, report_metrics
    from jitid.cli import show

    view = Display(
        "jitid.report/1",
        report_metrics.FIELDS,
        report_metrics.rows(found),
        document=report_document.document(found) if shape is Format.JSON else None,
    )
    return show.pieces(view, shape, None, colour=False)
