"""The parser of a command line, built on Typer: the tree of verbs, global options, help and usage errors."""

from __future__ import annotations

import gc
import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from jitid import __version__
from jitid.cli import options
from jitid.cli.invocation import GivenOption, Invocation
from jitid.cli.plain import LARGEST, LARGEST_OF, requested_format
from jitid.cli.verbs import COMMANDS, GROUPS, RUNNING, changes, function_of
from jitid.config.effective import check_environment
from jitid.errors import UsageError
from jitid.system import output
from jitid.values.text import quote, refuse_token, safe, starred

# Typer does not publish the class of the contexts that it hands to commands.
# ruff: noqa: ANN401

_PROGRAM = "jitid"
_EPILOG = "Global options, before or after the verb: see `jitid --help`."
_ROOT_EPILOG = """Start with: jitid issue --task INC-4821 --delegator "$USER"

Exit status: 0 done, 1 a bug, 2 usage, 3 not found, 4 denied by policy, 5 storage (try again), 6 refused,
7 integrity, 8 credential not valid, 9 partly done, 10 findings, 11 not all was examined, 74 output not written
(what was just made is revoked), 128+n ended by signal n."""

# The positional words of these verbs are texts, files or ids, and a file name may look like a token. The verbs refuse
# tokens themselves, with a hint how to pass a token.
_READING = frozenset({"trace", "scan", "inspect", "verify", "explain", "revoke", "timeline"})

# Messages of Typer that jitid rewrites in its own style.
_NO_NUMBER = re.compile(r"Invalid value for '([^']*)': '(.*)' is not a valid int")
_MISSING = re.compile(r"Missing argument '\[?([^'\]]*)\]?(?:\.\.\.)?'")

# declaration, metavar (None: a flag), help
_GLOBAL_OPTIONS: tuple[tuple[tuple[str, ...], str | None, str], ...] = (
    (("config_file", "--config"), "FILE", "Use FILE as the user's configuration. [env var: JITID_CONFIG]"),
    (
        ("profile", "--profile"),
        "NAME",
        "Let [profile.NAME] overlay the configuration. [env var: JITID_PROFILE]",
    ),
    (("ledger", "--ledger"), "URL", "The folder of ledger and keys. [env var: JITID_LEDGER]"),
    (
        ("remote", "--remote"),
        "URL",
        "Ask the authority at URL: https://HOST, unix:///PATH. [env var: JITID_REMOTE]",
    ),
    (
        ("credential_file", "--credential-file"),
        "FILE",
        "The credential to ask it with. [env var: JITID_REMOTE_CREDENTIAL_FILE]",
    ),
    (("credential_fd", "--credential-fd"), "N", "Read that credential from descriptor N."),
    (("format", "--format"), "FMT", "table, tsv, json, jsonl or csv. [env var: JITID_FORMAT]"),
    (("field", "--field"), "NAME", "Print this field only, one value a line."),
    (
        ("timeout", "--timeout"),
        "DURATION",
        "Stop waiting after this time in all. [env var: JITID_TIMEOUT]",
    ),
    (("no_color", "--no-color"), None, "No colours, whatever the terminal."),
    (("quiet", "--quiet", "-q"), None, "No notes on standard error."),
    (("verbose", "--verbose", "-v"), None, "Tell more on standard error."),
    (("debug", "--debug"), None, "Show where an internal error comes from."),
    (("no_input", "--no-input"), None, "Never ask a question."),
    (("accept_clock", "--accept-clock"), None, "Believe a clock that has jumped; audited."),
)


def invoke(argv: list[str], cli: Invocation) -> None:
    """Parse a command line and run its verb. Store the global options in `cli`.

    Raises UsageError for an invalid line, and any error of the verb.
    """
    try:
        check_environment(os.environ)
        root = command_tree(cli)
        with root.make_context(_PROGRAM, list(argv), obj=cli) as context:
            root.invoke(context)
    except typer.Exit:
        # Help and version have been written.
        return
    except typer.TyperException as error:
        cli.format = cli.format or requested_format(argv)
        raise _usage_error(error) from None
    except UsageError:
        cli.format = cli.format or requested_format(argv)
        raise


def options_of(argv: Sequence[str]) -> dict[str, GivenOption]:
    """Return the options that a line gives to its verb, by their long names, without running the verb.

    Raises UsageError for an invalid line, and for a line that requests help or a version.
    """
    cli = Invocation()
    command: Any = command_tree(cli)
    words = list(argv)
    requested = next((word for word in words if word in {*_HELP.opts, *_VERSION.opts}), None)
    if requested is not None:
        raise UsageError(f"{quote(requested)} does nothing on such a line")
    try:
        context = command.make_context(_PROGRAM, words, obj=cli)
        while isinstance(command, _Group):
            words = [*context._protected_args, *context.args]  # noqa: SLF001 - as `invoke` has it
            name, command, remaining = command.resolve_command(context, words)
            context = command.make_context(name, remaining, parent=context, obj=cli)
    except typer.TyperException as error:
        raise _usage_error(error) from None
    line_options = {}
    for param in command.params:
        source = context.get_parameter_source(param.name)
        if param.param_type_name != "option" or source is None or source.name != "COMMANDLINE":
            continue
        # Values of global options are stored in `cli`.
        value = context.params.get(param.name, getattr(cli, param.name, None))
        long_name = next((name for name in param.opts if name.startswith("--")), param.opts[0])
        line_options[long_name] = GivenOption(None if param.is_flag else param.metavar, value)
    return line_options


def command_tree(cli: Invocation) -> TyperGroup:
    """Return the whole tree of commands as a Typer group."""
    return _Group("", "Just-in-time identity for AI agents.", cli)


class _Command(TyperCommand):
    """A verb: its own parameters, and the global options, which its help does not repeat."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        variables = frozenset(
            parameter.envvar for parameter in self.params if isinstance(parameter.envvar, str)
        )
        with _at(ctx):
            remaining = super().parse_args(ctx, args)
        check_environment(os.environ, variables)
        for variable in sorted(variables & os.environ.keys()):
            # The raw value is checked before Typer splits a list at blanks, because a token may contain a blank.
            refuse_token(os.environ[variable], f"the environment variable {variable}")
        for param in self.params:
            if param.name != "command":
                _check_value(param, ctx.params.get(param.name or ""), ctx.info_name)
        sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
        ctx.obj.from_environment = frozenset(
            name for name, source in sources.items() if source is not None and source.name == "ENVIRONMENT"
        )
        return remaining

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line. Required words have no braces, as in manual pages."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def get_help_option(self, ctx: Any) -> TyperOption:  # noqa: ARG002
        return _HELP


class _Group(TyperGroup):
    """The root, or the first word of verbs with two words. It takes its verbs from the table alone."""

    def __init__(self, name: str, sentence: str, cli: Invocation) -> None:
        super().__init__(
            name=name or None,
            help=sentence,
            params=_global_options(hidden=True) if name else [*_global_options(hidden=False), _VERSION],
            epilog=_EPILOG if name else _ROOT_EPILOG,
            subcommand_metavar="VERB ...",
            rich_markup_mode=None,
        )
        self._prefix = f"{name} " if name else ""
        self._cli = cli

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _at(ctx):
            return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the table."""
        names = [name.removeprefix(self._prefix) for name in COMMANDS if name.startswith(self._prefix)]
        return list(dict.fromkeys(name.partition(" ")[0] for name in names))

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:  # noqa: ARG002
        """Return a verb, or None; this imports its module."""
        full_name = self._prefix + cmd_name
        if full_name in COMMANDS:
            return _command(full_name, cmd_name, self._cli)
        return _Group(full_name, GROUPS[full_name], self._cli) if full_name in GROUPS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the verb that the line names. Raises UsageError with the nearest verb."""
        names = self.list_commands(ctx)
        if args[0] not in names:
            raise UsageError(
                f"there is no verb {quote(self._prefix + args[0])}",
                f"{_guess(get_close_matches(args[0][:100], names, n=2))}see: {ctx.command_path} --help",
            )
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb. Raises UsageError if the line names none, after printing the help."""
        if not ctx._protected_args:  # noqa: SLF001 - Typer has no public way to find out
            if self._cli.error_format() not in ("json", "jsonl"):
                output.print_message(ctx.get_help() + "\n")
            raise UsageError(f"`{ctx.command_path}` needs a verb")
        return super().invoke(ctx)

    def get_help_option(self, ctx: Any) -> TyperOption:  # noqa: ARG002
        return _HELP

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the verbs with the table's sentences, and then the options."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, self._sentence(name)) for name in self.list_commands(ctx)])
        TyperCommand.format_options(self, ctx, formatter)  # type: ignore[arg-type]

    def _sentence(self, name: str) -> str:
        full_name = self._prefix + name
        return GROUPS[full_name] if full_name in GROUPS else COMMANDS[full_name][1]


def _command(verb: str, name: str, cli: Invocation) -> TyperCommand:
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    # The first word of `run` that is not an option begins the command. All later words belong to that command.
    settings = {"allow_interspersed_args": False} if verb in RUNNING else {}
    cli.runs_command = verb in RUNNING
    app.command(name, cls=_Command, epilog=_EPILOG, context_settings=settings)(_bound(verb, cli))
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand)
    command.params.extend(_global_options(hidden=True))
    return command


def _bound(verb: str, cli: Invocation) -> Callable[..., None]:
    function = function_of(verb)

    # The first parameter of a verb is the Invocation of this line, not an option of the user.
    def call(**arguments: object) -> None:
        # Loaded modules stay in memory. After the freeze, the collector checks only the objects of the verb.
        gc.freeze()
        gc.enable()
        cli.changes = changes(verb, arguments)
        cli.perform(function, arguments)

    signature = inspect.signature(
        function, eval_str=True, locals={"options": options, "Invocation": Invocation}
    )
    call.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    call.__annotations__ = {}
    call.__doc__ = function.__doc__
    call.__name__ = function.__name__
    return call


def _global_options(*, hidden: bool) -> list[Any]:
    return [
        TyperOption(
            param_decls=list(names),
            metavar=metavar,
            is_flag=metavar is None,
            help=sentence,
            hidden=hidden,
            expose_value=False,
            callback=_store,
        )
        for names, metavar, sentence in _GLOBAL_OPTIONS
    ]


def _store(ctx: Any, param: Any, value: object) -> None:
    if value is not None and ctx.get_parameter_source(param.name).name == "COMMANDLINE":
        _check_value(param, value)
        setattr(ctx.obj, param.name, value)


def _check_value(param: Any, value: object, verb: str | None = None) -> None:
    """Raise UsageError for a value that is blank, a token, not UTF-8, or too large a number."""
    for element in value if isinstance(value, (list, tuple)) else (value,):
        if type(element) is int and element > (largest := LARGEST_OF.get(param.name, LARGEST)):
            raise UsageError(f"the value of `{param.opts[0]}` is more than {largest}, which no ledger holds")
        if not isinstance(element, str):
            continue
        name = next((opt for opt in param.opts if opt.startswith("--")), param.human_readable_name)
        name = f"`{name.strip('[].')}`"
        if not element.strip():
            raise UsageError(
                f"the value of {name} is blank", "an empty value is never taken for none: leave it out"
            )
        if any("\ud800" <= character <= "\udfff" for character in element):
            raise UsageError(f"the value of {name} is not UTF-8")
        if param.param_type_name == "option" or verb not in _READING:
            refuse_token(element, name)


def _show_help(ctx: Any, _param: Any, value: object) -> None:
    if value and not ctx.resilient_parsing:
        output.write(ctx.get_help() + "\n")
        raise typer.Exit


def _show_version(_ctx: Any, _param: Any, value: object) -> None:
    if value:
        output.write(f"{_PROGRAM} {__version__}\n")
        raise typer.Exit


def _eager(names: list[str], sentence: str, callback: Callable[[Any, Any, object], None]) -> TyperOption:
    return TyperOption(
        param_decls=names, is_flag=True, is_eager=True, expose_value=False, help=sentence, callback=callback
    )


_HELP = _eager(["--help", "-h"], "Show this help.", _show_help)
_VERSION = _eager(["--version", "-V"], "Show the version.", _show_version)


@contextmanager
def _at(context: Any) -> Iterator[None]:
    """Add the command's context to an error that Typer raises without one."""
    try:
        yield
    except typer.TyperException as error:
        if getattr(error, "ctx", None) is None:
            error.ctx = context  # type: ignore[attr-defined]
        raise


def _guess(names: Iterable[str]) -> str:
    guesses = " or ".join(f"`{name}`" for name in sorted(names))
    return f"did you mean {guesses}? " if guesses else ""


def _usage_error(error: typer.TyperException) -> UsageError:
    context = getattr(error, "ctx", None)
    help_hint = f"see: {context.command_path if context else _PROGRAM} --help"
    option = getattr(error, "option_name", None)
    if option and hasattr(error, "possibilities"):
        # None for a short option.
        return UsageError(
            f"there is no option {quote(option)}", _guess(error.possibilities or ()) + help_hint
        )
    message = " ".join(starred(error.format_message()).split())[:300].rstrip(".")
    message = message.removeprefix("Got ").replace("extra argument(s)", "arguments")
    message = _NO_NUMBER.sub(r"the value of `\1` is no whole number: `\2`", message)
    message = _MISSING.sub(r"`\1` is missing", message).replace("`CMD...`", "the command")
    return UsageError(safe(message[:1].lower() + message[1:]), help_hint)
