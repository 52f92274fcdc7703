"""`jitid report`: report the state of identity sprawl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority, sweep_limits
from jitid.capabilities.report.operations import MakeReport
from jitid.capabilities.report.sprawl_report import DEFAULT_DAYS, Report
from jitid.cli import progress
from jitid.cli.invocation import Invocation
from jitid.cli.sweep.commands import ReportCommand
from jitid.cli.sweep.findings_output import page_origin, remedy_of
from jitid.errors import UsageError
from jitid.formats.display import Display, Format
from jitid.system import output
from jitid.system.files import write_private, write_public
from jitid.system.processes import host_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.cli.sweep import commands


def report(cli: Invocation, args: commands.ReportCommand) -> None:
    """Perform `jitid report`."""
    own_format = cli.special_format
    if own_format == "prometheus" and args.at is not None:
        raise UsageError(
            "--at and --format prometheus cannot be combined",
            "a collector stores metrics as present values: omit --at",
        )
    operation = MakeReport(
        at=args.at,
        days=DEFAULT_DAYS if args.days is None else args.days,
        limits=sweep_limits(cli.config()),
        accept_clock=cli.accept_clock,
    )
    authority = open_authority(cli.config())
    with progress.Waiting(cli, lambda: "making the report"):
        sprawl_report = authority.perform(operation)
    sprawl_report = _with_commands(cli, sprawl_report)
    if args.out is None:
        output.write_pieces(_text(cli, sprawl_report, own_format, args.out))
        return
    data = "".join(_text(cli, sprawl_report, own_format, args.out)).encode("utf-8", "backslashreplace")
    # A collector's file is public. Other formats contain names that are not public.
    (write_public if own_format == "prometheus" else write_private)(args.out, data)


def _with_commands(cli: Invocation, sprawl_report: Report) -> Report:
    """Return the report with remedies that act on the same ledger from any shell."""
    if sprawl_report.offenders is None:
        return sprawl_report
    command = remedy_of(cli)
    offenders = (offender._replace(remedy=command(offender)) for offender in sprawl_report.offenders)
    return sprawl_report._replace(offenders=tuple(offenders))


def _text(cli: Invocation, sprawl_report: Report, own_format: str | None, out: str | None) -> Iterator[str]:
    if own_format == "html":
        from jitid.capabilities.report import report_html

        return report_html.text(sprawl_report, page_origin(cli))
    if own_format == "prometheus":
        from jitid.capabilities.report import report_figures

        return report_figures.exposition(sprawl_report)
    name = cli.format_name()
    shape = Format(name) if name else Format.TABLE if out is None and output.is_terminal() else Format.TSV
    if cli.field:
        from jitid.cli import show

        totals = ReportCommand.view.display([sprawl_report.survey.totals])
        return show.pieces(totals, shape, cli.field, colour=False)
    if shape is Format.TABLE:
        from jitid.capabilities.report import report_text

        return report_text.text(sprawl_report, cli.coloured(out), host_name())
    from jitid.capabilities.report import report_document, report_figures
    from jitid.cli import show

    view = Display(
        "jitid.report/1",
        report_figures.FIELDS,
        report_figures.rows(sprawl_report),
        document=report_document.document(sprawl_report, host_name()) if shape is Format.JSON else None,
    )
    return show.pieces(view, shape, (), colour=False)
