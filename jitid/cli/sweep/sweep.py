"""`jitid sweep`: find credentials that should not be live, and revoke them with --fix."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from jitid.authority.open_local import sweep_head
from jitid.capabilities.sweep.finding import Severity
from jitid.capabilities.sweep.findings_json import document, lines
from jitid.capabilities.sweep.findings_view import RuleInfo, SweptRows
from jitid.capabilities.sweep.known_findings import KnownFindings
from jitid.capabilities.sweep.rules import NAMES, rule_of
from jitid.cli.identity.revoke import most_of
from jitid.cli.invocation import Invocation
from jitid.cli.ledger.audit_heads import keep_head, keep_own_head, kept_heads
from jitid.cli.show import pieces
from jitid.cli.sweep.baseline import NewBaseline, entries
from jitid.cli.sweep.sweep_rows import FIELDS, RecordConverter, Whole, flat, severity_of
from jitid.cli.sweep.sweep_work import Work, in_time
from jitid.config.settings import nearest
from jitid.errors import ExitStatus, OutputError, PartialError, UsageError
from jitid.formats.display import Display, Format
from jitid.system import output
from jitid.system.files import writing_private, writing_public
from jitid.system.output_place import check_output
from jitid.system.temp_files import remove_leftovers
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.sweep.finding import Remedied, Unfixed
    from jitid.cli.sweep import commands

OWN_FORMATS = ("sarif", "prometheus", "html")
"""Formats of this verb, besides the formats of all verbs."""

_CANARY = "canary"
LIMIT, MOST_LIMIT = 60, 3_600
"""Seconds for a target, by default and at most."""

EXPLAINED = ("rule", "severity", "group", "owasp", "title", "reports", "spares", "examines", "fixed_unasked")


def sweep(cli: Invocation, args: commands.SweepCommand) -> None:
    """Perform `jitid sweep`."""
    own_format = cli.own_format(OWN_FORMATS)
    rule_names, severity, since_time = checked(
        args.rule, args.skip, args.fail_on, args.since, args.head_out, canary=args.canary
    )
    limit = target_limit(args.target_timeout)
    if args.list_rules:
        _explain(cli, rule_names if args.rule or args.skip else NAMES)
        return
    if _CANARY in rule_names and not args.canary:
        raise UsageError(
            "the rule canary tells of canaries, and none is flown without --canary", "add --canary"
        )
    cli.expect(FIELDS)
    check_flags(
        fix=args.fix,
        dry_run=args.dry_run,
        max_=args.max_,
        yes=args.yes,
        update=args.update_baseline,
        baseline=args.baseline,
    )
    for path in (args.head_out, args.baseline if args.update_baseline else None):
        check_output(path)
    known_findings = _known_findings(args.baseline, new=args.update_baseline)
    with in_time():
        work = Work(cli, rule_names, known_findings, since_time, tuple(args.target), limit)
        heads = kept_heads(sweep_head(cli.config()), args.head_out)
        if not args.dry_run:
            work.settle(tuple(args.target), limit)
        remedied: Iterable[Remedied | Unfixed] = ()
        if args.fix:
            ending = tuple(name for name in rule_names if args.rule or rule_of(name).mended)
            remedied = work.fix(ending, None if args.yes else most_of(cli, args.max_), dry_run=args.dry_run)
        with NewBaseline(args.baseline if args.update_baseline else None) as new_baseline:
            converter = RecordConverter(
                cli, work.name, severity, known_findings, work.since, new_baseline.add
            )
            unfinished = iter(remedied)
            results = work.sweep(
                heads,
                reread=args.head_out is not None and args.head_out not in dict(heads),
                canary=args.canary,
                dry_run=args.dry_run,
            )
            try:
                _write(cli, own_format, rule_names, Whole(converter.records(unfinished, results)), args.out)
            except BaseException as error:
                try:
                    if isinstance(error, OutputError):
                        # --fix must finish even if the output is closed.
                        deque(unfinished, maxlen=0)
                finally:
                    work.warn_of_ended()
                raise
            # Findings that --since hides were not searched for, so they stay in the baseline.
            new_baseline.finish(converter.complete if since_time is None else {})
        if work.ended:
            work.settle()
        kept_head = _keep_head(cli, converter, args.head_out)
        _conclude(cli, converter, kept_head, undone=work.undone)


def _known_findings(baseline: str | None, *, new: bool) -> KnownFindings:
    """Return the findings of a baseline file; none without a file. With `new`, the file need not exist."""
    if baseline is None:
        return KnownFindings(())
    return KnownFindings(
        (int(entry.fingerprint, 16), entry.credentials) for entry in entries(baseline, new=new)
    )


def target_limit(seconds: int | None) -> int:
    """Return the time limit of each target in seconds. Raises UsageError."""
    limit = LIMIT if seconds is None else seconds
    if limit > MOST_LIMIT:
        raise UsageError("--target-timeout is an hour at most; nothing was asked")
    return limit


def checked(
    rule: Sequence[str],
    skip: Sequence[str],
    fail_on: str | None,
    since: int | None,
    head_out: str | None,
    *,
    canary: bool = False,
) -> tuple[tuple[str, ...], Severity, int | None]:
    """Return the rules, the severity and the time that these options state. Raises UsageError."""
    rule_names = _chosen(rule, skip, canary=canary)
    if head_out is not None and "audit-gap" not in rule_names:
        raise UsageError("--head-out goes with the rule audit-gap, which is left out", "ask it too")
    return rule_names, severity_of(fail_on), since


def _chosen(named_rules: Sequence[str], skipped_rules: Sequence[str], *, canary: bool) -> tuple[str, ...]:
    for name in (*named_rules, *skipped_rules):
        if name not in NAMES:
            raise UsageError(f"there is no rule {quote(name)}", nearest(name, tuple(NAMES)))
    if canary and _CANARY in skipped_rules:
        raise UsageError("--canary goes with the rule canary, which is left out", "leave one of them out")
    # Without canaries, the rule would report that revocation never failed.
    default_rules = [name for name in NAMES if canary or name != _CANARY]
    requested = {*(named_rules or default_rules), *([_CANARY] if canary else ())}
    rule_names = tuple(name for name in NAMES if name in requested and name not in skipped_rules)
    if not rule_names:
        raise UsageError("no rule is left to ask", "--skip leaves out what --rule names")
    return rule_names


def check_flags(
    *, fix: bool, dry_run: bool, max_: int | None, yes: bool, update: bool, baseline: str | None
) -> None:
    """Raise UsageError for options that lack another option or contradict each other."""
    if not fix and (dry_run or yes or max_ is not None):
        raise UsageError("--dry-run, --max and --yes go with --fix", "add --fix, or leave them out")
    if yes and max_ is not None:
        raise UsageError("--yes and --max contradict each other", "--yes ends however many there are")
    if update and baseline in (None, "-"):
        raise UsageError(
            "--update-baseline goes with --baseline FILE", "name the file; standard input cannot be written"
        )


def _explain(cli: Invocation, names: Sequence[str]) -> None:
    if not cli.by_eye():
        cli.show(Display("jitid.sweep-rules/1", EXPLAINED, map(_explained, names)))
        return
    for index, name in enumerate(names):
        if index:
            output.write("\n")
        cli.show(Display("jitid.sweep-rules/1", EXPLAINED, [_explained(name)], one=True))


def _explained(name: str) -> dict[str, object]:
    rule = rule_of(name)
    info = _info(name)._asdict()
    return {
        **info,
        "rule": info.pop("name"),
        "severity": rule.severity.value,
        "group": rule.group.value,
        "fixed_unasked": rule.mended,
    }


def _write(
    cli: Invocation, own_format: str | None, rule_names: Sequence[str], records: Whole, out: str | None
) -> None:
    """Write the records as they arrive, to standard output or to a file that is replaced completely or not at all.

    If the records break off, standard output has the earlier ones, closed as the format requires. Then raise the
    error.
    """
    # Errors must be raised before anything is written.
    first_record = next(records, None)
    records.check()
    assert first_record is not None, "the last record says that it is"
    all_records = chain([first_record], records)
    text = _text(cli, own_format, rule_names, all_records, out)
    if out is None:
        output.write_pieces(text)
        records.check()
        return
    # A collector's file is public. Other formats contain names that are not public.
    with (writing_public if own_format == "prometheus" else writing_private)(out) as file:
        for piece in text:
            file.write(piece)
        records.check()
    remove_leftovers(out)


def _text(
    cli: Invocation, own_format: str | None, rule_names: Sequence[str], records: SweptRows, out: str | None
) -> Iterator[str]:
    name = cli.format_name()
    rules = [_info(rule_name) for rule_name in rule_names]
    if cli.field is not None:
        return pieces(
            Display("jitid.sweep/1", FIELDS, flat(records, coverage=False)),
            Format.TSV,
            cli.field,
            colour=False,
        )
    match own_format or name or ("table" if out is None and output.is_terminal() else "tsv"):
        case "sarif":
            from jitid.capabilities.sweep import findings_sarif

            return findings_sarif.text(records, rules)
        case "prometheus":
            from jitid.capabilities.sweep import findings_prometheus

            return findings_prometheus.text(records, rules)
        case "html":
            from jitid.capabilities.sweep import findings_html

            return findings_html.text(records, rules, cli.command)
        case "table":
            from jitid.capabilities.sweep import findings_text

            return findings_text.text(records, rules, cli.coloured(out), cli.command, verbose=cli.verbose)
        case "json":
            return document(records)
        case "jsonl":
            return lines(records)
        case other:
            rows = flat(records, coverage=True, quiet=cli.quiet)
            return pieces(Display("jitid.sweep/1", FIELDS, rows), Format(other), None, colour=False)


def _info(name: str) -> RuleInfo:
    rule = rule_of(name)
    owasp = tuple(f"{category}:2025" for category in rule.owasp)
    return RuleInfo(rule.name, rule.severity, owasp, rule.title, rule.reports, rule.spares, rule.examines)


class _KeptHead(NamedTuple):
    """The places that have the signed head of a sweep."""

    asked: bool
    """Whether the file of --head-out has it, if there is one."""
    remembered: bool
    """Whether a file has it, so that the next sweep finds a log that was cut or an older copy (promises 3 and 6)."""


def _keep_head(cli: Invocation, converter: RecordConverter, head_out: str | None) -> _KeptHead:
    """Store the signed head of a complete chain, and warn of each place that does not have it."""
    own_path = sweep_head(cli.config())
    if converter.head is None:
        reason = converter.unsigned
        if head_out is not None:
            explanation = (
                reason or "the audit chain was not found whole, or a head that was kept cannot be read"
            )
            cli.warn(f"{head_out} is as it was: {explanation}")
        elif own_path is not None and reason is not None:
            cli.warn(f"the signed audit head was not kept: {reason}")
        return _KeptHead(head_out is None, head_out is not None or own_path is None or reason is None)
    remembered = True
    if own_path is not None:
        try:
            keep_own_head(own_path, converter.head)
        except OutputError as error:
            remembered = head_out is not None
            advice = (
                "" if remembered else f"; keep one elsewhere: {cli.command('jitid sweep --head-out FILE')}"
            )
            cli.warn(
                f"the signed audit head was not kept: {error.message}; without it the next sweep misses a log that "
                f"was cut, or replaced by an older copy{advice}"
            )
    if head_out is not None:
        keep_head(head_out, converter.head)
    return _KeptHead(True, remembered)


def _conclude(cli: Invocation, converter: RecordConverter, kept_head: _KeptHead, *, undone: bool) -> None:
    """Set the exit status by the remaining findings. If a step was not done, it is never success."""
    if converter.accepted:
        raise PartialError(
            f"{converter.accepted} credentials that were ended are taken all the same",
            "run: jitid audit verify",
        )
    if converter.incomplete or not kept_head.remembered:
        cli.status = ExitStatus.INCOMPLETE
    elif converter.failed:
        cli.status = ExitStatus.FINDINGS
    elif undone or not kept_head.asked:
        cli.status = ExitStatus.PARTIAL
