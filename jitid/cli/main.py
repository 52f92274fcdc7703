"""The run of a command line, from its start to its exit status. Only this module turns errors into statuses.

A verb runs by its function, or as an operation with a view.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import FrameType
from typing import Any

from jitid.cli.invocation import GivenOption, GlobalOptions, Invocation
from jitid.cli.line import bound, read, requested_format, split_command
from jitid.cli.verbs import GROUPS, verbs_of
from jitid.config.effective import check_environment
from jitid.errors import (
    ApprovalNeededError,
    ConfigurationError,
    ExitStatus,
    JitidError,
    OutputError,
    StorageError,
    UsageError,
)
from jitid.operation.base import Operation, Verb
from jitid.system import output, time_limit
from jitid.values.text import quote, safe


def run_verb(cli: Invocation, verb: Verb) -> None:
    """Run a verb. Raises any error of it."""
    operation: Operation[Any] | None = verb if isinstance(verb, Operation) else None
    if operation is not None and "accept_clock" in operation.fields:
        verb = operation = operation.replace(accept_clock=cli.accept_clock)
    if verb.function:
        module, name = verb.function.split(":")
        function = getattr(import_module(f"jitid.cli.{module}"), name)
        if verb.fields:
            function(cli, verb)
        else:
            function(cli)
        return
    from jitid.authority.open import open_authority

    assert operation is not None, "only operations have no function"
    assert verb.view is not None, "they have a view"
    answer = open_authority(cli.config()).perform(operation)
    cli.show_records(verb.view, [answer] if verb.view.single else answer)


# Errors of a full or failing disk, or of a machine at its limits; any operation may raise them.
_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)

_GC_THRESHOLD = 20_000
"""First threshold of the garbage collector: more objects than the modules have that a verb loads when it needs them."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal to end the process, raised as an exception so that cleanup runs."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(argv: list[str]) -> int:
    """Run a command line and return its exit status. Never raise.

    By then, data is on standard output, and errors are on standard error.
    """
    cli = Invocation()
    cli.read_line = _read_line
    time_limit.lift()
    try:
        _listen()
        verb = _verb(argv, cli)
        if verb is not None:
            _perform(verb, cli)
    except JitidError as error:
        return _status(report(error, cli), cli)
    except Interrupted as interrupted:
        return 128 + interrupted.number
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException as error:  # noqa: BLE001 - the boundary: no other code reports to the user
        # The error may come from a line that was not parsed.
        words, _ = split_command(argv)
        cli.format = cli.format or requested_format(words)
        cli.debug = cli.debug or "--debug" in words
        storage = _storage_error(error)
        return _status(_report_bug(error, cli) if storage is None else report(storage, cli), cli)
    return cli.status


def _perform(verb: Verb, cli: Invocation) -> None:
    """Run a verb. Check formats, fields and the file of --out before it issues or changes anything.

    Raises:
        UsageError: there is no such format or field, or the path is not a regular file of the caller.
        OutputError: the file could not be written.

    """
    out = getattr(verb, "out", None)
    if out is not None:
        from jitid.system.output_place import check_output

        check_output(out)
    if verb.only_formats is not None:
        cli.special_format = cli.expect_own_form(*verb.only_formats)
    elif verb.formats:
        cli.special_format = cli.own_format(verb.formats)
    if cli.special_format == "html" and out is None and output.is_terminal():
        raise UsageError(
            "the page is for a browser, not for a terminal", "write it to a file: --out FILE.html"
        )
    view = verb.shown_view()
    if view is not None and not verb.repairs_configuration:
        cli.expect(view.named)
    cli.changes = verb.may_change()
    # Loaded modules stay in memory. After the freeze, the collector checks only the objects of the verb.
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    gc.enable()
    if verb.may_page() and not (cli.no_pager or cli.no_input):
        _page()
    try:
        run_verb(cli, verb)
    except Interrupted:
        output.drop_pager()
        raise
    finally:
        output.finish()


def _drop_foreign_identities(cli: Invocation) -> None:
    """Remove the variables with the identity that a project chose for the hooks and helpers of a client."""
    from jitid.capabilities.session.foreign_identity import foreign_identities

    for name in foreign_identities(os.environ):
        cli.warn(
            f"{name} has no effect on hooks, helpers and `jitid mcp`: the client did not start with that value"
        )
        del os.environ[name]


def _page() -> None:
    """From now on, show long output in a pager if standard output is a terminal."""
    if output.is_terminal():
        from jitid.system import pager

        words = pager.command() if pager.can_page() else None
        if words is not None:
            output.use_pager(words)


def _verb(argv: Sequence[str], cli: Invocation) -> Verb | None:
    """Return the verb of a line with its values; None after printing a help or the version.

    Raises UsageError for an invalid line.
    """
    if argv and argv[-1] in ("--help", "-h") and " ".join(argv[:-1]) in ("", *GROUPS, *verbs_of(argv[0])):
        from jitid.cli import help_text

        _page()
        output.write(help_text.of(" ".join(argv[:-1])))
        output.finish()
        return None
    if len(argv) > 1 and argv[0] in ("--help", "-h") and not argv[1].startswith("-"):
        return _verb(["help", *argv[1:]], cli)
    if not argv:
        return _verb(["status"], cli)
    try:
        line = read(argv)
        if line is None:
            from jitid.cli import old_names, typer_parser

            present = old_names.present(argv)
            if old_names.has_no_verb(argv):
                present = [*argv, "status"]
            if present is not argv:
                return _verb(present, cli)
            check_environment(os.environ)
            line = typer_parser.read(argv, cli)
        if line is not None and line.verb.unattended:
            _drop_foreign_identities(cli)
        return None if line is None else bound(line, os.environ, cli)
    except UsageError:
        cli.format = cli.format or requested_format(argv)
        raise


def _read_line(argv: Sequence[str]) -> Mapping[str, GivenOption]:
    """Return the options of another line of jitid, by their long names, without running its verb.

    Raises UsageError for an invalid line, and for a line that requests help or a version.
    """
    requested = next((word for word in argv if word in ("--help", "-h", "--version", "-V")), None)
    if requested is not None:
        raise UsageError(f"{quote(requested)} does nothing on such a line")
    cli = Invocation()
    line = read(argv)
    if line is None:
        from jitid.cli import old_names, typer_parser

        present = old_names.present(argv)
        if present is not argv:
            return _read_line(present)
        line = typer_parser.read(argv, cli)
        assert line is not None, "it requests no help"
    command = bound(line, {}, cli)
    fields = [(line.verb.fields[name], getattr(command, name)) for name in line.values]
    fields += [(GlobalOptions.fields[name], value) for name, value in line.global_values.items()]
    return {field.flags[0]: GivenOption(field.metavar, value) for field, value in fields if field.flags}


def _status(status: int, cli: Invocation) -> int:
    """Return the status of an error. `run` leaves most numbers to its command, as `env` and `timeout` do.

    Clients interpret the status 2 of a hook as an order, such as not to end a subagent.
    """
    if cli.is_hook and status == ExitStatus.USAGE:
        return ExitStatus.NOT_RUN
    return max(status, ExitStatus.NOT_RUN) if cli.runs_command else status


def report(error: JitidError, cli: Invocation) -> int:
    """Print an error on standard error, as text or as one line of JSON, and return its exit status."""
    if isinstance(error, OutputError) and error.standard:
        if cli.changes:
            error.add("the changes of the command remain")
        elif error.outcome is None and isinstance(error.__cause__, BrokenPipeError):
            # `jitid list | head -1` is normal use, and nothing was changed.
            return error.exit_status
    if isinstance(error, ApprovalNeededError):
        from jitid.cli.issue.approve_verbs import with_authority

        error.hint = with_authority(cli, error.hint)
    if error.hint:
        error.hint = cli.selecting(error.hint)
    if cli.error_format() in ("json", "jsonl"):
        from jitid.formats.json import dumps

        fields = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "retryable": error.retryable,
        }
        output.print_message(dumps({"error": fields}))
    elif isinstance(error, OutputError) and error.outcome:
        # One line, for logs that keep single lines: the loss of a credential must be next to its cause.
        output.print_message(f"jitid: error: {safe(error.message)}; {safe(error.outcome)}")
    else:
        output.print_message(f"jitid: error: {safe(error.message)}")
        if error.hint:
            output.print_message(f"jitid: hint: {safe(error.hint)}")
    return error.exit_status


def _listen() -> None:
    for signal_number in _SIGNALS:
        # A signal that the parent ignores stays ignored (nohup, a job in the background).
        if signal.getsignal(signal_number) is not signal.SIG_IGN:
            signal.signal(signal_number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # `timeout` signals its child and then the whole group: the second signal must not interrupt the cleanup.
    for signal_number in _SIGNALS:
        signal.signal(signal_number, signal.SIG_IGN)
    raise Interrupted(number)


def _report_bug(error: BaseException, cli: Invocation) -> int:
    import traceback

    if cli.debug:
        for line in "".join(traceback.format_exception(error)).splitlines():
            output.print_message(safe(line))
    from jitid.system.dependencies import fault

    problem = fault(error)
    if problem is not None:
        return report(ConfigurationError(*problem), cli)
    frames = traceback.extract_tb(error.__traceback__)[-1:]
    location = f" in {frames[0].filename.rpartition('/')[2]}, line {frames[0].lineno}" if frames else ""
    # The message of a foreign exception may repeat its input, so only the type is printed.
    cause = f"{type(error).__name__}{location}"
    hint = None if cli.debug else "the same command with --debug shows where it comes from"
    bug = JitidError(f"internal error: {cause}; this is a bug", hint)
    bug.code = "internal"
    return report(bug, cli)


def _storage_error(error: BaseException) -> StorageError | None:
    """Return the error to report if the machine is at its limits; None for any other error."""
    if isinstance(error, MemoryError):
        return StorageError("the system refuses: out of memory")
    if isinstance(error, OSError) and error.errno in _STORAGE:
        return StorageError(f"the system refuses: {(error.strerror or 'error').lower()}")
    return None
