"""The parser of every line that is not plain, built on Typer: help, versions and usage errors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from jitid import __version__
from jitid.cli import help_text, mistakes
from jitid.cli.invocation import GlobalOptions, Invocation
from jitid.cli.line import Line, by_flag
from jitid.cli.verbs import GROUPS, next_words, verbs_of
from jitid.errors import UsageError
from jitid.operation.base import Verb
from jitid.system import output
from jitid.values.declaration import Field
from jitid.values.text import EXPOSED, quote, safe, starred, token_warning

# Typer does not publish the class of the contexts that it hands to commands.
# ruff: noqa: ANN401

_PROGRAM = "jitid"

# Messages of Typer that jitid rewrites in its own style.
_MISSING = re.compile(r"Missing argument '\[?([^'\]]*)\]?(?:\.\.\.)?'")

_NO_VALUE = re.compile(r"Option '([^']*)' requires an argument")

_AFTER_THE_VERB = "the options of a verb follow it, such as: jitid issue --task NAME; see: jitid --help"

_GLOBAL = "global "
"""Prefix of the names of global options among the parameters of a Typer command; no field has a blank."""


def read(argv: Sequence[str], cli: Invocation) -> Line | None:
    """Parse a line. Return None after printing a help or the version.

    Raises:
        UsageError: the line is invalid. A line without a verb prints the help as well.

    """
    try:
        return _Reader(cli).read(list(argv))
    except typer.Exit:
        return None
    except typer.TyperException as error:
        usage = _usage_error(error)
        if any(token_warning(word.partition("=")[2] or word) for word in argv):
            usage.hint = EXPOSED
        raise usage from None


class _Reader:
    """One reading of a line, from the program's name to the last word."""

    def __init__(self, cli: Invocation) -> None:
        self._cli = cli
        self._global_values: dict[str, Any] = {}

    def read(self, words: list[str]) -> Line:
        if words and words[0] in ("-help", "-version"):
            raise UsageError(f"there is no global option `{words[0]}`", f"type two hyphens: -{words[0]}")
        context = self._context(_command("", _params((), root=True)), _PROGRAM, words, None)
        group = ""
        while True:
            word = self._word(context, group, next_words(group))
            verb = f"{group} {word}" if group else word
            if verb not in GROUPS:
                return self._line(verbs_of(verb.partition(" ")[0])[verb], word, context)
            group = verb
            context = self._context(_command(group, _params(())), word, context.args[1:], context)

    def _word(self, context: Any, group: str, words: Collection[str]) -> str:
        """Return the next word, which names a verb or a group. Raises UsageError with the nearest one."""
        if not context.args:
            error_format = self._global_values.get("format") or self._cli.error_format()
            if error_format not in ("json", "jsonl"):
                output.print_message(help_text.of(group))
            raise UsageError(f"`{context.command_path}` needs a verb")
        word: str = context.args[0]
        if word not in words:
            raise UsageError(
                f"there is no verb {quote(f'{group} {word}' if group else word)}",
                mistakes.verb_hint(group, word, context.command_path),
            )
        return word

    def _line(self, verb: type[Verb], name: str, parent: Any) -> Line:
        self._cli.runs_command = verb.runs_command
        self._cli.is_hook = verb.is_hook
        self._cli.unattended = verb.unattended
        # Words that the verb does not expect are left over, for an error with a hint.
        command = _command(verb.verb, _params(verb.fields.values()), takes_all=verb.runs_command)
        flags = by_flag({**GlobalOptions.fields, **verb.fields})
        words = parent.args[1:]
        if (mistaken := mistakes.single_hyphen(words, flags, runs=verb.runs_command)) is not None:
            raise UsageError(f"there is no option {quote(mistaken)}", f"type two hyphens: -{mistaken}")
        context = self._context(command, name, words, parent, verb)
        if context.args:
            raise UsageError(
                f"unexpected arguments ({safe(starred(' '.join(context.args))[:300])})",
                mistakes.operand_hint(context.args, flags, verb.verb)
                or f"see: {context.command_path} --help",
            )
        values = {name: value for name, value in context.params.items() if not name.startswith(_GLOBAL)}
        return Line(verb, _stated(values), self._global_values)

    def _context(
        self,
        command: TyperCommand,
        name: str,
        words: list[str],
        parent: Any,
        verb: type[Verb] | None = None,
    ) -> Any:
        """Parse the words of a command: those of a verb, or up to the next word of the root or of a group."""
        fields = GlobalOptions.fields if verb is None else {**GlobalOptions.fields, **verb.fields}
        _refuse_swallowed(words, by_flag(fields), runs=verb is None or verb.runs_command)
        context = command.make_context(name, words, parent=parent)
        values = {
            name.removeprefix(_GLOBAL): value
            for name, value in context.params.items()
            if name.startswith(_GLOBAL)
        }
        for field, value in _stated(values).items():
            # The values of a repeatable option add up, before and after the verb.
            before = self._global_values.get(field, [])
            self._global_values[field] = [*before, *value] if isinstance(value, list) else value
        return context


def _refuse_swallowed(words: Sequence[str], flags: Mapping[str, Field], *, runs: bool) -> None:
    """Raise UsageError if an option has another option as its value: its own value is missing."""
    found = mistakes.swallowed(words, flags, runs=runs)
    if found is not None:
        option, following = found
        raise UsageError(
            f"the value of `{option}` is missing: `{following}` is an option",
            f"if it is a variable, is it set? to pass that value: {option}={following}",
        )


def _stated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the line states: Typer fills in the others."""
    return {
        name: list(value) if isinstance(value, (list, tuple)) else value
        for name, value in values.items()
        if value is not None and value is not False and value != () and value != []
    }


class _Command(TyperCommand):
    """A command of Typer that adds its context to each error."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _at(ctx):
            return super().parse_args(ctx, args)


def _command(words: str, params: list[Any], *, takes_all: bool = True) -> TyperCommand:
    """Return the command of a verb; with `takes_all` that of a group, which leaves the words from the first on."""
    settings = {"allow_interspersed_args": not takes_all, "allow_extra_args": True}
    command = _Command(words or None, params=params, context_settings=settings, add_help_option=False)
    command.params.append(_eager(["--help", "-h"], lambda: help_text.of(words)))
    return command


def _params(fields: Iterable[Field], *, root: bool = False) -> list[Any]:
    """Return the parameters of a command: its own, and the global options."""
    params: list[Any] = [
        _option(field, field.name) if field.is_option else _argument(field)
        for field in fields
        if field.is_option or field.is_argument
    ]
    params += [_option(field, _GLOBAL + name) for name, field in GlobalOptions.fields.items()]
    if root:
        params.append(_eager(["--version", "-V"], lambda: f"{_PROGRAM} {__version__}\n"))
    return params


def _option(field: Field, name: str) -> TyperOption:
    option = TyperOption(
        param_decls=[*field.flags], is_flag=field.type is None, multiple=field.many, metavar=field.metavar
    )
    option.name = name
    return option


def _argument(field: Field) -> TyperArgument:
    return TyperArgument(
        param_decls=[field.name],
        nargs=-1 if field.many else 1,
        required=field.stated,
        metavar=field.metavar,
    )


def _eager(names: list[str], text: Any) -> TyperOption:
    """Return an option that prints a text and stops the parsing, also of an invalid line."""

    def show(ctx: Any, _param: Any, value: object) -> None:
        if value and not ctx.resilient_parsing:
            output.write(text())
            raise typer.Exit

    return TyperOption(param_decls=names, is_flag=True, is_eager=True, expose_value=False, callback=show)


@contextmanager
def _at(context: Any) -> Iterator[None]:
    """Add the command's context to an error that Typer raises without one."""
    try:
        yield
    except typer.TyperException as error:
        if getattr(error, "ctx", None) is None:
            error.ctx = context  # type: ignore[attr-defined]
        raise


def _usage_error(error: typer.TyperException) -> UsageError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else _PROGRAM
    params = context.command.params if context else []
    flags = [name for param in params if isinstance(param, TyperOption) for name in param.opts]
    operands = [str(param.name) for param in params if isinstance(param, TyperArgument)]
    option = getattr(error, "option_name", None)
    if option and hasattr(error, "possibilities"):
        if path == _PROGRAM:
            return UsageError(f"there is no global option {quote(option)}", _AFTER_THE_VERB)
        return UsageError(
            f"there is no option {quote(option)}", mistakes.option_hint(option, flags, operands, path)
        )
    message = " ".join(starred(error.format_message()).split())[:300].rstrip(".")
    message = message.removeprefix("Got ").replace("extra argument(s)", "arguments")
    message = _MISSING.sub(r"`\1` is missing", message).replace("`CMD...`", "the command")
    message = _NO_VALUE.sub(r"option `\1` requires a value", message)
    return UsageError(safe(message[:1].lower() + message[1:]), f"see: {path} --help")
