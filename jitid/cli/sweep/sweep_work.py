"""The operations of one sweep: revoke on request, end credentials at targets, and examine the rest.

And the baseline of a sweep: known findings, which are not reported as new.
"""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from jitid.authority.open import open_authority, sweep_limits
from jitid.capabilities.identity import revocation_result
from jitid.capabilities.leak.operations import ProveLeaks
from jitid.capabilities.sweep.finding import Coverage, Finding, KnownFindings, Remedied, Severity
from jitid.capabilities.sweep.operations import Fix, FlyCanaries, ForeseeFix, Sweep
from jitid.capabilities.targets.operations import Settle
from jitid.cli import input_lines, progress
from jitid.cli.invocation import Invocation
from jitid.cli.sweep.findings_output import new_run
from jitid.errors import (
    ClockError,
    ExitStatus,
    IntegrityError,
    JitidError,
    PartialError,
    RefusedError,
    StorageError,
    UsageError,
)
from jitid.system import output, read_input, time_limit
from jitid.system.files import remove_leftovers, writing_private
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.sweep.finding import Canary, Swept, Unfixed
    from jitid.capabilities.sweep.remedies import ForeseenFix
    from jitid.capabilities.targets.operations import SettledTargets
    from jitid.operation.base import Authority


class Work:
    """The operations of one sweep."""

    def __init__(
        self,
        cli: Invocation,
        rules: tuple[str, ...],
        known: KnownFindings,
        since: int | None,
        targets: tuple[str, ...],
        target_timeout: int,
    ) -> None:
        """Take the options; empty `targets` means all. Each target has `target_timeout` seconds."""
        self._cli = cli
        self._rules = rules
        self._known = known
        self._targets = targets
        self._target_timeout = target_timeout
        self.undone = False
        """Whether a requested step was not done, as when more credentials than permitted would end."""
        self.ended = 0
        """Number of credentials that --fix has ended so far."""
        self.since = since
        self._limits = sweep_limits(cli.config())
        self._authority: Authority = open_authority(cli.config(), accept_clock=cli.accept_clock)
        self.name = new_run()

    def settle(self, targets: tuple[str, ...] = (), limit: int = 60) -> None:
        """End at targets the credentials that have ended in the ledger and are due; by default at all targets.

        Unconfirmed credentials stay in the queue, and the rules report them. Each target has `limit` seconds.
        """
        for target in targets or (None,):
            try:
                with self._waiting("ending at targets what has ended"):
                    settled = self._authority.perform(
                        Settle(target=target, limit=_share(limit), accept_clock=self._cli.accept_clock)
                    )
            except RefusedError:
                # A caller with read-only access changes nothing.
                return
            except JitidError as error:
                self.undone = True
                self._cli.warn(f"what had ended was not ended at its target: {error.message}")
                return
            if settled.done or settled.unsupported or settled.left:
                self._cli.note(_settled(settled))
            if settled.left and self.ended:
                # A credential that --fix ended may still work at its target.
                self.undone = True

    def sweep(
        self,
        heads: tuple[tuple[str, str], ...],
        *,
        reread: bool,
        canary: bool = False,
        dry_run: bool = False,
    ) -> Iterator[Finding | Coverage | Swept]:
        """Issue the canaries if requested, and yield the results of the rules."""
        canaries = self._canaries() if canary else ()
        operation = Sweep(
            rules=self._rules,
            limits=self._limits,
            heads=heads,
            reread=reread,
            most=self._cli.config().number("max"),
            canaries=canaries,
            targets=self._targets,
            target_timeout=_share(self._target_timeout),
            dry_run=dry_run,
            accept_clock=self._cli.accept_clock,
        )
        examined: set[str] = set()

        def reason() -> str:
            return f"{len(examined)} of {len(self._rules)} rules examined"

        try:
            results = self._authority.perform(operation)
            for result in progress.waiting(self._cli, results, reason):
                if isinstance(result, Coverage):
                    examined.add(result.rule)
                yield result
        except StorageError:
            if time_limit.has_expired():
                for rule in self._rules:
                    if rule not in examined:
                        yield Coverage(rule, "nothing", ("the time that --timeout gives was over",))
            raise

    def _waiting(self, reason: str) -> progress.Waiting:
        return progress.Waiting(self._cli, lambda: reason)

    def _canaries(self) -> tuple[Canary, ...]:
        flown = self._authority.perform(
            FlyCanaries(targets=self._targets, limit=_share(self._target_timeout))
        )
        return tuple(flown)

    def fix(
        self, rules: tuple[str, ...], max_count: int | None, *, dry_run: bool
    ) -> Iterable[Remedied | Unfixed]:
        """End the findings of these rules, unless more than `max_count` credentials would end; `dry_run` ends none."""
        cli = self._cli
        operation = ForeseeFix(
            rules=rules,
            limits=self._limits,
            since=self.since,
            known=self._known,
            accept_clock=cli.accept_clock,
        )
        with self._waiting("counting what --fix would end"):
            foreseen = self._authority.perform(operation)
        if dry_run:
            output.print_message(
                f"jitid: --fix would end {revocation_result.blast(foreseen.radius)}; nothing was changed"
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
                since=self.since,
                known=self._known,
                most=max_count,
                targets=self._targets,
                target_timeout=_share(self._target_timeout),
                accept_clock=self._cli.accept_clock,
            )
            ended = self._authority.perform(operation)
            for outcome in progress.waiting(self._cli, ended, self._ended_by_now):
                if isinstance(outcome, Remedied):
                    self.ended += outcome.credentials
                yield outcome
        self._prove()

    def _ended_by_now(self) -> str:
        return f"{self.ended} credentials ended"

    def _prove(self) -> None:
        """Prove that the ledger refuses all leaked credentials, even if they ended before this sweep."""
        try:
            self._authority.perform(ProveLeaks(accept_clock=self._cli.accept_clock))
        except (StorageError, ClockError) as error:
            if not self.ended:
                raise
            raise PartialError(
                f"{error.message.removesuffix('; nothing was changed')}; {self.ended} had ended before "
                f"(sweep {self.name})",
                "the next sweep --fix proves that the ledger refuses what leaked",
            ) from error
        except IntegrityError as error:
            # An unreadable row must not suppress the report of all others.
            self.undone = True
            self._cli.warn(f"it is not proved that the ledger refuses what leaked: {error.message}")

    def warn_of_ended(self) -> None:
        """Warn of the credentials that --fix has ended, if its report broke off."""
        if self.ended:
            command = self._cli.command(f"jitid audit log --members --sweep {self.name}")
            self._cli.warn(
                f"the report of --fix broke off; it had ended {self.ended} (sweep {self.name}): {command}"
            )


@contextmanager
def in_time() -> Iterator[None]:
    """Mark the error of a sweep as incomplete if the command's time limit has passed."""
    try:
        yield
    except StorageError as error:
        if time_limit.has_expired():
            error.message = f"the sweep is incomplete, its time is over: {error.message}"
            error.exit_status = ExitStatus.INCOMPLETE
        raise


def _share(limit: int) -> int:
    """Return the seconds for targets: at most half of the time left, because other steps follow."""
    seconds = time_limit.left(limit * 2) / 2
    return max(1, int(seconds))


def _settled(settled: SettledTargets) -> str:
    """Return the result of ending credentials at targets in words."""
    ended = f"{settled.done} that had ended {'is' if settled.done == 1 else 'are'} gone at targets by now"
    lasting = f"{settled.unsupported} cannot be ended there" if settled.unsupported else ""
    open_text = f"{settled.open} are still to be ended there" if settled.open else ""
    example = next(
        (f" ({credential.jti} at {credential.target}: {credential.seen})" for credential in settled.left), ""
    )
    return ", ".join(filter(None, (ended, lasting, open_text))) + example


def _confirmed(foreseen: ForeseenFix) -> int:
    """Return the number of credentials that may end if the user types it. Raises UsageError for another answer."""
    count = foreseen.radius.credentials
    output.print_message(f"jitid: --fix would end {revocation_result.blast(foreseen.radius)}")
    output.print_message(
        f"jitid: type the number of credentials, {count}, to end them; anything else ends none"
    )
    if input_lines.answer() != str(count):
        raise UsageError("not confirmed; nothing was changed", "with --yes nobody is asked")
    return count


SCHEMA = "jitid.baseline/1"
_LONGEST = 1 << 20


class BaselineEntry(Record):
    """One finding of a baseline."""

    rule: str
    severity: str
    subject: str
    fingerprint: str
    credentials: int
    """Number of credentials of the finding. A larger number makes it new again."""


class NewBaseline:
    """Findings for a baseline file, which is written at the end, completely or not at all."""

    def __init__(self, path: str | None) -> None:
        """Collect findings for the file at `path`; without a path collect none."""
        self._path = path
        self._added = array("Q")
        # Closed by __exit__.
        self._file = None if path is None else tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, finding: Finding) -> None:
        """Collect a finding. A critical finding is never part of a baseline."""
        if self._file is not None and finding.severity is not Severity.CRITICAL:
            entry = BaselineEntry(
                finding.rule,
                finding.severity.value,
                finding.subject,
                finding.fingerprint,
                finding.credentials,
            )
            self._added.append(int(entry.fingerprint, 16))
            self._file.write(json.dumps(entry._asdict()) + "\n")

    def finish(self, complete: Mapping[str, bool]) -> None:
        """Write the file. Keep its old entries for rules that were not examined completely.

        Raises OutputError, and UsageError like `entries`.
        """
        if self._file is None or self._path is None:
            return
        added = KnownFindings((fingerprint, 0) for fingerprint in self._added)
        for entry in entries(self._path, new=True):
            if not complete.get(entry.rule) and added.number(int(entry.fingerprint, 16)) < 0:
                self._file.write(json.dumps(entry._asdict()) + "\n")
        self._file.seek(0)
        with writing_private(self._path) as file:
            file.write(json.dumps({"schema": SCHEMA}) + "\n")
            for line in self._file:
                file.write(line)
        remove_leftovers(self._path)


def entries(path: str, *, new: bool) -> Iterator[BaselineEntry]:
    """Yield the findings of the baseline in the file `path`. A `new` baseline may be missing.

    Raises:
        UsageError: it cannot be read, is not a baseline, or has another version.

    """
    if new and not os.path.lexists(path):
        return
    lines = read_input.lines(path, "the baseline", _LONGEST)
    _, first_line = next(lines, (0, ""))
    schema = _parsed(first_line, path).get("schema")
    if schema != SCHEMA:
        other = f": it says {quote(str(schema))}" if schema else ""
        raise UsageError(
            f"{quote(path)} is no baseline of this version, {SCHEMA}{other}; nothing was changed",
            "write another file: --baseline NEW --update-baseline",
        )
    for line_number, line in lines:
        row = _parsed(line, path)
        entry = _entry(row)
        if entry is None:
            raise UsageError(f"line {line_number} of the baseline {quote(path)} is no finding")
        yield entry


def _entry(row: Mapping[str, Any]) -> BaselineEntry | None:
    entry = BaselineEntry._make(row.get(name) for name in BaselineEntry._fields)
    if not all(isinstance(value, str) for value in entry[:4]) or type(entry.credentials) is not int:
        return None
    well_formed = len(entry.fingerprint) == 16 and not entry.fingerprint.strip("0123456789abcdef")
    return entry if well_formed and 0 <= entry.credentials < 1 << 63 else None


def _parsed(text: str, path: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise UsageError(
            f"{quote(path)} is no baseline; nothing was changed", "make one: --baseline NEW --update-baseline"
        )
    return parsed
