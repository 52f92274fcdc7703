"""`jitid sweep`: find credentials that should not be live, and revoke them with --fix; the verb and its steps."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority, shown_place, sweep_limits
from jitid.authority.open_local import sweep_head
from jitid.capabilities.audit.kept_heads import keep_head, keep_own_head, kept_heads
from jitid.capabilities.identity import revocation_result
from jitid.capabilities.leak.operations import ProveLeaks
from jitid.capabilities.sweep.baseline import NewBaseline, known_findings
from jitid.capabilities.sweep.finding import Coverage, Finding, KnownFindings, Remedied, Severity
from jitid.capabilities.sweep.findings_order import run_order
from jitid.capabilities.sweep.findings_view import SWEEP, RecordConverter, RuleInfo, new_run
from jitid.capabilities.sweep.operations import Fix, FlyCanaries, ForeseeFix, Sweep
from jitid.capabilities.sweep.rules import NAMES, rule_of
from jitid.capabilities.targets.operations import Settle
from jitid.cli import input_lines, progress
from jitid.cli.invocation import Invocation
from jitid.cli.sweep.commands import EXPLAINED, FINDINGS
from jitid.cli.sweep.findings_output import FindingsOutput, remedy_of
from jitid.errors import (
    ClockError,
    ExitStatus,
    IntegrityError,
    JitidError,
    NotFoundError,
    OutputError,
    PartialError,
    RefusedError,
    StorageError,
    UsageError,
)
from jitid.formats.display import Display
from jitid.system import output, time_limit
from jitid.system.output_place import check_output
from jitid.system.processes import host_name
from jitid.values.record import Record
from jitid.values.text import number_of

if TYPE_CHECKING:
    from jitid.capabilities.sweep.finding import Canary, Swept, Unfixed
    from jitid.capabilities.sweep.remedies import ForeseenFix
    from jitid.capabilities.targets.operations import SettledTargets
    from jitid.cli.sweep import commands
    from jitid.operation.base import Authority

_CANARY = "canary"


def sweep(cli: Invocation, args: commands.SweepCommand) -> None:
    """Perform `jitid sweep`."""
    rule_names = chosen_rules(args.rule, args.skip, args.head_out, canary=args.canary)
    if args.list_rules:
        _explain(cli, rule_names if args.rule or args.skip else NAMES)
        return
    if _CANARY in rule_names and not args.canary:
        raise UsageError("the rule canary requires --canary", "add --canary")
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
    known = known_findings(args.baseline, new=args.update_baseline)
    run_names = run_order(rule_names)
    with in_time():
        work = Work(cli, args, run_names, known)
        heads = kept_heads(sweep_head(cli.config()), args.head_out)
        if not args.dry_run:
            work.settle(args.target, args.target_timeout)
        remedied: Iterable[Remedied | Unfixed] = ()
        if args.fix:
            # A finding that is named needs no further consent by --rule.
            named = args.rule or args.finding is not None
            ending = tuple(name for name in run_names if named or rule_of(name).mended)
            remedied = work.fix(ending, cli.most(args.max_, yes=args.yes))
        with NewBaseline(args.baseline if args.update_baseline else None) as new_baseline:
            converter = RecordConverter(
                Severity(args.fail_on),
                remedy_of(cli),
                host=host_name(),
                sweep=work.name,
                known=known,
                since=args.since,
                only=args.finding,
                keep=new_baseline.add,
            )
            unfinished = iter(remedied)
            reread = args.head_out is not None and args.head_out not in dict(heads)
            results = work.sweep(heads, reread=reread)
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
            # Findings that --since or --finding hides were not searched for, so they stay in the baseline.
            is_whole = args.since is None and args.finding is None
            new_baseline.finish(converter.complete if is_whole else {})
        if work.ended:
            work.settle()
        if is_whole and not (args.rule or args.skip or args.target or args.dry_run):
            _remember(cli, converter)
        kept_head = _keep_head(cli, converter, args.head_out)
        if args.finding is not None and not (converter.found or converter.incomplete):
            raise NotFoundError(
                f"no finding has the fingerprint {args.finding}; nothing was revoked",
                "it was fixed, or its severity or subject has changed; to list findings: jitid sweep",
            )
        _conclude(cli, converter, kept_head, undone=work.undone)


def _remember(cli: Invocation, converter: RecordConverter) -> None:
    """Record the outcome for `jitid status`."""
    from jitid.capabilities.sweep import last_sweep

    swept = converter.swept
    if swept is None or swept.issuer is None:
        return
    counts = {severity.value: converter.counts[severity] for severity in reversed(Severity)}
    outcome = last_sweep.LastSweep(
        swept.issuer, swept.at, counts, not converter.incomplete, converter.counts["known"]
    )
    last_sweep.remember(shown_place(cli.config()), outcome)


def chosen_rules(
    named_rules: Sequence[str], skipped_rules: Sequence[str], head_out: str | None, *, canary: bool = False
) -> tuple[str, ...]:
    """Return the rules that these options choose. Raises UsageError."""
    if canary and _CANARY in skipped_rules:
        raise UsageError("--canary requires the rule canary, which --skip excludes", "omit one of them")
    # Without canaries, the rule would report that revocation never failed.
    default_rules = [name for name in NAMES if canary or name != _CANARY]
    requested = {*(named_rules or default_rules), *([_CANARY] if canary else ())}
    rule_names = tuple(name for name in NAMES if name in requested and name not in skipped_rules)
    if not rule_names:
        raise UsageError("no rule is left to run", "--skip excludes all rules that --rule names")
    if head_out is not None and "audit-gap" not in rule_names:
        raise UsageError(
            "--head-out requires the rule audit-gap, which is excluded", "include it, or omit --head-out"
        )
    return rule_names


def check_flags(
    *, fix: bool, dry_run: bool, max_: int | None, yes: bool, update: bool, baseline: str | None
) -> None:
    """Raise UsageError for options that lack another option or contradict each other."""
    if not fix and (dry_run or yes or max_ is not None):
        raise UsageError("--dry-run, --max and --yes require --fix", "omit them to look only, or add --fix")
    if yes and max_ is not None:
        raise UsageError("--yes and --max cannot be combined", "--yes permits any number of credentials")
    if update and baseline in (None, "-"):
        raise UsageError(
            "--update-baseline requires --baseline FILE", "name a file; standard input cannot be written"
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
    swept = converter.swept
    head, reason = (None, None) if swept is None else (swept.head, swept.unsigned)
    if head is None:
        if head_out is not None:
            explanation = (
                reason or "the audit chain was not verified completely, or a kept head is unreadable"
            )
            cli.warn(f"{head_out} is unchanged: {explanation}")
        elif own_path is not None and reason is not None:
            cli.warn(f"the signed audit head was not saved: {reason}")
        return _KeptHead(head_out is None, head_out is not None or own_path is None or reason is None)
    remembered = True
    if own_path is not None:
        try:
            keep_own_head(own_path, head)
        except OutputError as error:
            remembered = head_out is not None
            advice = (
                "" if remembered else f"; save one elsewhere: {cli.command('jitid sweep --head-out FILE')}"
            )
            cli.warn(
                f"the signed audit head was not saved: {error.message}; without it the next sweep cannot detect a cut "
                f"audit log or an older copy{advice}"
            )
    if head_out is not None:
        keep_head(head_out, head)
    return _KeptHead(True, remembered)


def _conclude(cli: Invocation, converter: RecordConverter, kept_head: _KeptHead, *, undone: bool) -> None:
    """Set the exit status by the remaining findings. If a step was not done, it is never success."""
    if converter.accepted:
        raise PartialError(
            f"verifiers still accept {converter.accepted} credentials that were revoked",
            "run: jitid audit verify",
        )
    if converter.incomplete or not kept_head.remembered:
        cli.status = ExitStatus.INCOMPLETE
    elif converter.failed:
        cli.status = ExitStatus.FINDINGS
    elif undone or not kept_head.asked:
        cli.status = ExitStatus.PARTIAL


class Work:
    """The operations of one sweep."""

    def __init__(
        self, cli: Invocation, args: commands.SweepCommand, rules: tuple[str, ...], known: KnownFindings
    ) -> None:
        """Take the line, the rules that it chooses, and the known findings."""
        self._cli = cli
        self._args = args
        self._rules = rules
        self._known = known
        self.undone = False
        """Whether a requested step was not done, as when more credentials than permitted would end."""
        self.ended = 0
        """Number of credentials that --fix has ended so far."""
        self._limits = sweep_limits(cli.config())
        self._authority: Authority = open_authority(cli.config(), accept_clock=cli.accept_clock)
        self.name = new_run()

    def settle(self, targets: tuple[str, ...] = (), limit: int = 60) -> None:
        """Revoke at targets the credentials that have ended in the ledger and are due; by default at all targets.

        Unconfirmed credentials stay in the queue, and the rules report them. Each target has `limit` seconds.
        """
        for target in targets or (None,):
            try:
                with self._waiting("revoking ended credentials at targets"):
                    settled = self._authority.perform(
                        Settle(target=target, limit=_share(limit), accept_clock=self._cli.accept_clock)
                    )
            except RefusedError:
                # A caller with read-only access changes nothing.
                return
            except JitidError as error:
                self.undone = True
                self._cli.warn(f"ended credentials were not revoked at targets: {error.message}")
                return
            if settled.done or settled.unsupported or settled.left:
                self._cli.note(_settled(settled))
            if settled.left and self.ended:
                # A credential that --fix ended may still work at its target.
                self.undone = True

    def sweep(
        self, heads: tuple[tuple[str, str], ...], *, reread: bool
    ) -> Iterator[Finding | Coverage | Swept]:
        """Issue the canaries if requested, and yield the results of the rules."""
        canaries: tuple[Canary, ...] = ()
        if self._args.canary:
            flown = self._authority.perform(
                FlyCanaries(targets=self._args.target, limit=_share(self._args.target_timeout))
            )
            canaries = tuple(flown)
        operation = Sweep(
            rules=self._rules,
            limits=self._limits,
            heads=heads,
            reread=reread,
            most=self._cli.config().number("max"),
            canaries=canaries,
            targets=self._args.target,
            target_timeout=_share(self._args.target_timeout),
            dry_run=self._args.dry_run,
            accept_clock=self._cli.accept_clock,
        )
        examined: set[str] = set()
        try:
            results = self._authority.perform(operation)
            for result in progress.waiting(
                self._cli, results, lambda: f"{len(examined)} of {len(self._rules)} rules examined"
            ):
                if isinstance(result, Coverage):
                    examined.add(result.rule)
                yield result
        except StorageError:
            if time_limit.has_expired():
                for rule in self._rules:
                    if rule not in examined:
                        yield Coverage(rule, "nothing", ("the time limit of --timeout was reached",))
            raise

    def _waiting(self, reason: str) -> progress.Waiting:
        return progress.Waiting(self._cli, lambda: reason)

    def fix(self, rules: tuple[str, ...], max_count: int | None) -> Iterable[Remedied | Unfixed]:
        """Fix the findings of these rules, unless more than `max_count` credentials would end; --dry-run fixes none."""
        cli = self._cli
        operation = ForeseeFix(
            rules=rules,
            limits=self._limits,
            since=self._args.since,
            known=self._known,
            finding=self._args.finding,
            accept_clock=cli.accept_clock,
        )
        with self._waiting("counting the credentials that --fix would revoke"):
            foreseen = self._authority.perform(operation)
        if self._args.dry_run:
            output.print_message(
                f"jitid: --fix would revoke {revocation_result.blast(foreseen.radius)}; nothing was changed"
            )
            return ()
        if max_count is not None and foreseen.radius.credentials > max_count:
            if cli.no_input or not (os.isatty(0) and os.isatty(2)):
                self._refuse(foreseen, max_count)
                return ()
            max_count = _confirmed(foreseen)
        return self._end(foreseen.rules, max_count)

    def _refuse(self, foreseen: ForeseenFix, max_count: int) -> None:
        """Warn that nothing is ended. The sweep still reports its findings: no user may be there to confirm."""
        try:
            revocation_result.guard(foreseen.radius, max_count)
        except UsageError as error:
            self.undone = True
            self._cli.warn(f"--fix was refused: {error.message}; {error.hint}")

    def _end(self, rules: tuple[str, ...], max_count: int | None) -> Iterator[Remedied | Unfixed]:
        if rules:
            operation = Fix(
                rules=rules,
                limits=self._limits,
                sweep=self.name,
                since=self._args.since,
                known=self._known,
                finding=self._args.finding,
                most=max_count,
                targets=self._args.target,
                target_timeout=_share(self._args.target_timeout),
                accept_clock=self._cli.accept_clock,
            )
            ended = self._authority.perform(operation)
            for outcome in progress.waiting(self._cli, ended, lambda: f"{self.ended} credentials revoked"):
                if isinstance(outcome, Remedied):
                    self.ended += outcome.credentials
                yield outcome
        self._prove()

    def _prove(self) -> None:
        """Prove that the ledger refuses all leaked credentials, even if they ended before this sweep."""
        try:
            self._authority.perform(ProveLeaks(accept_clock=self._cli.accept_clock))
        except (StorageError, ClockError) as error:
            if not self.ended:
                raise
            raise PartialError(
                f"{error.message.removesuffix('; nothing was changed')}; {self.ended} credentials were revoked before "
                f"that (sweep {self.name})",
                "the next sweep --fix proves that the ledger refuses the leaked credentials",
            ) from error
        except IntegrityError as error:
            # An unreadable row must not suppress the report of all others.
            self.undone = True
            self._cli.warn(f"could not prove that the ledger refuses the leaked credentials: {error.message}")

    def warn_of_ended(self) -> None:
        """Warn of the credentials that --fix has ended, if its report broke off."""
        if self.ended:
            command = self._cli.command(f"jitid audit log --members --sweep {self.name}")
            self._cli.warn(
                f"--fix was interrupted after it had revoked {self.ended} (sweep {self.name}): {command}"
            )


@contextmanager
def in_time() -> Iterator[None]:
    """Mark the error of a sweep as incomplete if the command's time limit has passed."""
    try:
        yield
    except StorageError as error:
        if time_limit.has_expired():
            error.message = f"the sweep is incomplete, its time limit was reached: {error.message}"
            error.exit_status = ExitStatus.INCOMPLETE
        raise


def _share(limit: int) -> int:
    """Return the seconds for targets: at most half of the time left, because other steps follow."""
    seconds = time_limit.left(limit * 2) / 2
    return max(1, int(seconds))


def _settled(settled: SettledTargets) -> str:
    """Return the result of revoking ended credentials at targets in words."""
    ended = f"{number_of(settled.done, 'ended credential')} revoked at targets"
    lasting = f"{settled.unsupported} cannot be revoked there" if settled.unsupported else ""
    open_text = f"{settled.open} not yet revoked there" if settled.open else ""
    example = next(
        (f" ({credential.jti} at {credential.target}: {credential.seen})" for credential in settled.left), ""
    )
    return ", ".join(filter(None, (ended, lasting, open_text))) + example


def _confirmed(foreseen: ForeseenFix) -> int:
    """Return the number of credentials that may end if the user types it. Raises UsageError for another answer."""
    count = foreseen.radius.credentials
    output.print_message(f"jitid: --fix would revoke {revocation_result.blast(foreseen.radius)}")
    output.print_message(
        f"jitid: type the number of credentials, {count}, to revoke them; any other answer changes nothing"
    )
    if input_lines.answer() != str(count):
        raise UsageError("not confirmed; nothing was changed", "to revoke without confirmation: --yes")
    return count
