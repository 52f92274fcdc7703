"""Parser of plain command lines. It runs without Typer, because the import of Typer takes longer than most verbs.

A line is plain if each word fits the table that is generated from the command tree. Typer parses all other lines, and
above all help and errors; a test checks that both parsers agree.
"""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
import gc
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jitid.cli.invocation import Invocation
from jitid.cli.plain_table import GLOBALS, VERBS
from jitid.cli.verbs import GROUPS, RUNNING, changes, function_of
from jitid.config.effective import check_environment
from jitid.redaction.token_format import name_holds_token

LARGEST = 999_999_999
"""The largest number on a line, as a limit or as a count of new items."""
LARGEST_OF = {"event": (1 << 53) - 1, "after": (1 << 53) - 1}
"""The largest number for parameters that name an event: the audit log grows forever."""


class PlainLine(NamedTuple):
    """A parsed line: its verb and the arguments."""

    verb: str
    arguments: dict[str, Any]


def perform(line: PlainLine, cli: Invocation) -> None:
    """Run the verb of a plain line. Raises any error of the verb."""
    function = function_of(line.verb)
    cli.changes = changes(line.verb, line.arguments)
    # Loaded modules stay in memory. After the freeze, the collector checks only the objects of the verb.
    gc.freeze()
    gc.enable()
    cli.perform(function, line.arguments)


def read(argv: Sequence[str], environ: Mapping[str, str], cli: Invocation) -> PlainLine | None:
    """Parse a plain line, and store its global options in `cli`. Return None for a line that is not plain."""
    argv, command = split_command(argv)
    options, words = _split(argv)
    verb = " ".join(words[:2]) if words[:1] and words[0] in GROUPS else "".join(words[:1])
    # Typer refuses a token on the line.
    if verb not in VERBS or not all(
        word.strip() and word.isascii() and not name_holds_token(word) for word in argv
    ):
        return None
    verb_options, positional = VERBS[verb]
    cli.runs_command = verb in RUNNING
    if cli.runs_command:
        # Without `--`, Typer decides where the command begins.
        if not command or words[1:]:
            return None
        words = [verb, *command]
    elif command is not None:
        return None
    arguments = _positional(words[verb.count(" ") + 1 :], positional)
    if arguments is None:
        return None
    global_values: dict[str, Any] = {}
    for name, value in options:
        target, entry = (
            (arguments, verb_options[name]) if name in verb_options else (global_values, GLOBALS.get(name))
        )
        if entry is None or not _store(target, entry, value):
            return None
    for parameter, kind, variable in verb_options.values():
        if not variable or parameter in arguments or variable not in environ:
            continue
        text = environ[variable]
        if (
            not text.strip()
            or not text.isascii()
            or name_holds_token(text)
            or kind == "flag"
            or not _store(arguments, (parameter, kind, ""), text)
        ):
            return None
        if kind == "texts":
            arguments[parameter] = text.split()
        cli.from_environment |= {parameter}
    check_environment(environ)
    for name, value in global_values.items():
        setattr(cli, name, value)
    return PlainLine(verb, arguments)


def requested_format(argv: Sequence[str]) -> str | None:
    """Return the value of `--format` on a line that could not be parsed: its error has that format."""
    for index, word in enumerate(argv):
        if word == "--format" and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith("--format="):
            return word.partition("=")[2]
    return None


def split_command(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str] | None]:
    """Split a line at `--`. The words after it belong to another command."""
    if "--" not in argv:
        return argv, None
    index = argv.index("--")
    return argv[:index], argv[index + 1 :]


def _split(argv: Sequence[str]) -> tuple[list[tuple[str, str | None]], list[str]]:
    """Split a line into options with their values, and words. The table of all verbs says which options are flags."""
    options: list[tuple[str, str | None]] = []
    words: list[str] = []
    remaining = iter(argv)
    for word in remaining:
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = word.partition("=")
        if equals:
            options.append((name, value))
        elif name in _FLAGS:
            options.append((name, None))
        else:
            options.append((name, next(remaining, "-?")))
    return options, words


_FLAGS = {
    name
    for table in (GLOBALS, *(options for options, _ in VERBS.values()))
    for name, (_, kind, _) in table.items()
    if kind == "flag"
}


def _store(target: dict[str, Any], entry: tuple[str, str, str], value: str | None) -> bool:
    """Store an option's value. Return False if it is not plain."""
    parameter, kind, _ = entry
    if kind == "flag":
        target[parameter] = True
        return value is None
    # If the value looks like an option, the real value may be missing.
    if not value or not value.strip() or (value.startswith("-") and value != "-"):
        return False
    if kind == "texts":
        target.setdefault(parameter, []).append(value)
    elif kind == "number":
        # Typer refuses a larger number.
        if not value.isdigit() or len(value) > 15 or int(value) > LARGEST_OF.get(parameter, LARGEST):
            return False
        target[parameter] = int(value)
    else:
        target[parameter] = value
    return True


def _positional(words: list[str], positional: Sequence[tuple[str, str, bool]]) -> dict[str, Any] | None:
    """Return the words that are not options, by the names of their parameters."""
    arguments: dict[str, Any] = {}
    remaining = list(words)
    for parameter, kind, required in positional:
        if kind == "texts":
            taken, remaining = remaining, []
            if taken:
                arguments[parameter] = taken
        elif remaining:
            arguments[parameter] = remaining.pop(0)
        if required and parameter not in arguments:
            return None
    return None if remaining else arguments
