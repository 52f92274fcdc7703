"""`jitid sweep`: find credentials that should not be live, and revoke them with --fix."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from jitid.authority.open_local import sweep_head
from jitid.capabilities.audit.kept_heads import keep_head, keep_own_head, kept_heads
from jitid.capabilities.sweep.finding import KnownFindings, Severity
from jitid.capabilities.sweep.findings_view import SWEEP, RuleInfo
from jitid.capabilities.sweep.rules import NAMES, rule_of
from jitid.cli.invocation import Invocation
from jitid.cli.sweep.commands import EXPLAINED, FINDINGS
from jitid.cli.sweep.findings_output import FindingsOutput, RecordConverter
from jitid.cli.sweep.sweep_work import NewBaseline, Work, entries, in_time
from jitid.errors import ExitStatus, OutputError, PartialError, UsageError
from jitid.formats.display import Display
from jitid.system import output
from jitid.system.output_place import check_output
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.sweep.finding import Remedied, Unfixed
    from jitid.cli.sweep import commands

_CANARY = "canary"


def sweep(cli: Invocation, args: commands.SweepCommand) -> None:
    """Perform `jitid sweep`."""
    rule_names = chosen_rules(args.rule, args.skip, args.head_out, canary=args.canary)
    limit = args.target_timeout
    if args.list_rules:
        _explain(cli, rule_names if args.rule or args.skip else NAMES)
        return
    if _CANARY in rule_names and not args.canary:
        raise UsageError(
            "the rule canary tells of canaries, and none is flown without --canary", "add --canary"
        )
    cli.expect(FINDINGS.fields)
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
        work = Work(cli, rule_names, known_findings, args.since, tuple(args.target), limit)
        heads = kept_heads(sweep_head(cli.config()), args.head_out)
        if not args.dry_run:
            work.settle(tuple(args.target), limit)
        remedied: Iterable[Remedied | Unfixed] = ()
        if args.fix:
            ending = tuple(name for name in rule_names if args.rule or rule_of(name).mended)
            remedied = work.fix(ending, cli.most(args.max_, yes=args.yes), dry_run=args.dry_run)
        with NewBaseline(args.baseline if args.update_baseline else None) as new_baseline:
            converter = RecordConverter(
                cli, work.name, Severity(args.fail_on), known_findings, work.since, new_baseline.add
            )
            unfinished = iter(remedied)
            results = work.sweep(
                heads,
                reread=args.head_out is not None and args.head_out not in dict(heads),
                canary=args.canary,
                dry_run=args.dry_run,
            )
            try:
                rules = [_info(name) for name in rule_names]
                findings = FindingsOutput(FINDINGS, rules, SWEEP, quiet_hides_info=True)
                findings.write(cli, args.out, converter.records(unfinished, results))
            except BaseException as error:
                try:
                    if isinstance(error, OutputError):
                        # --fix must finish even if the output is closed.
                        deque(unfinished, maxlen=0)
                finally:
                    work.warn_of_ended()
                raise
            # Findings that --since hides were not searched for, so they stay in the baseline.
            new_baseline.finish(converter.complete if args.since is None else {})
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


def chosen_rules(
    named_rules: Sequence[str], skipped_rules: Sequence[str], head_out: str | None, *, canary: bool = False
) -> tuple[str, ...]:
    """Return the rules that these options choose. Raises UsageError."""
    if canary and _CANARY in skipped_rules:
        raise UsageError("--canary goes with the rule canary, which is left out", "leave one of them out")
    # Without canaries, the rule would report that revocation never failed.
    default_rules = [name for name in NAMES if canary or name != _CANARY]
    requested = {*(named_rules or default_rules), *([_CANARY] if canary else ())}
    rule_names = tuple(name for name in NAMES if name in requested and name not in skipped_rules)
    if not rule_names:
        raise UsageError("no rule is left to ask", "--skip leaves out what --rule names")
    if head_out is not None and "audit-gap" not in rule_names:
        raise UsageError("--head-out goes with the rule audit-gap, which is left out", "ask it too")
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
        cli.show(Display(EXPLAINED.schema, EXPLAINED.fields, map(_explained, names)))
        return
    for index, name in enumerate(names):
        if index:
            output.write("\n")
        cli.show(Display(EXPLAINED.schema, EXPLAINED.fields, [_explained(name)], one=True))


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


def _info(name: str) -> RuleInfo:
    rule = rule_of(name)
    owasp = tuple(f"{category}:2025" for category in rule.owasp)
    return RuleInfo(rule.name, rule.severity, owasp, rule.title, rule.reports, rule.spares, rule.examines)


class _KeptHead(Record):
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
