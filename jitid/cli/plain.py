"""Plain command lines, read without Typer, whose import costs more than most verbs.

A line is plain if each word is exactly what the table, which is generated from the command tree, says can stand there.
Anything else, help and errors above all, is left to Typer; a test holds that both read a line alike.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jitid.cli.invocation import Globals
from jitid.cli.plain_table import GLOBALS, VERBS
from jitid.cli.verbs import GROUPS, RUNNING, changes, function_of
from jitid.config.effective import check_environment
from jitid.redaction.token_format import names_token

LARGEST = 999_999_999
"""The largest number on a line. Whatever a number bounds, or whatever it makes, is bounded by that."""
LARGEST_OF = {"event": (1 << 53) - 1, "after": (1 << 53) - 1}
"""The same of parameters that name an event of the audit log: the log grows for ever."""


class PlainLine(NamedTuple):
    """A line that was read: which function it means, and with what."""

    verb: str
    arguments: dict[str, Any]


def perform(line: PlainLine, given: Globals) -> None:
    """Do what a plain line says; raises whatever its verb raises."""
    function = function_of(line.verb)
    given.changes = changes(line.verb, line.arguments)
    # What was loaded stays; from here on the collector looks only at what the verb makes.
    gc.freeze()
    gc.enable()
    given.perform(function, line.arguments)


def read(argv: Sequence[str], environ: Mapping[str, str], given: Globals) -> PlainLine | None:
    """Return what a plain line says, its global options stored in `given`; None for a line that is not plain."""
    argv, rest = parted(argv)
    options, words = _split(argv)
    verb = " ".join(words[:2]) if words[:1] and words[0] in GROUPS else "".join(words[:1])
    # A token on the line is for Typer to refuse.
    if verb not in VERBS or not all(
        word.strip() and word.isascii() and not names_token(word) for word in argv
    ):
        return None
    known, positional = VERBS[verb]
    given.runs_command = verb in RUNNING
    if given.runs_command:
        # Without `--` it is for Typer to say where the command begins.
        if not rest or words[1:]:
            return None
        words = [verb, *rest]
    elif rest is not None:
        return None
    arguments = _positional(words[verb.count(" ") + 1 :], positional)
    if arguments is None:
        return None
    common: dict[str, Any] = {}
    for name, value in options:
        place, entry = (arguments, known[name]) if name in known else (common, GLOBALS.get(name))
        if entry is None or not _store(place, entry, value):
            return None
    for parameter, kind, variable in known.values():
        if not variable or parameter in arguments or variable not in environ:
            continue
        text = environ[variable]
        if (
            not text.strip()
            or not text.isascii()
            or names_token(text)
            or kind == "flag"
            or not _store(arguments, (parameter, kind, ""), text)
        ):
            return None
        if kind == "texts":
            arguments[parameter] = text.split()
        given.from_environment |= {parameter}
    check_environment(environ)
    for name, value in common.items():
        setattr(given, name, value)
    return PlainLine(verb, arguments)


def format_asked(argv: Sequence[str]) -> str | None:
    """Return the value of `--format` on a line that could not be read; the error about it has that format."""
    for number, word in enumerate(argv):
        if word == "--format" and number + 1 < len(argv):
            return argv[number + 1]
        if word.startswith("--format="):
            return word.partition("=")[2]
    return None


def parted(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str] | None]:
    """Part a line at `--`; what follows, if there is one, is another command's."""
    if "--" not in argv:
        return argv, None
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _split(argv: Sequence[str]) -> tuple[list[tuple[str, str | None]], list[str]]:
    """Part options with their values from words; what takes a value is known without the verb, by the whole table."""
    options: list[tuple[str, str | None]] = []
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = word.partition("=")
        if equals:
            options.append((name, value))
        elif name in _FLAGS:
            options.append((name, None))
        else:
            options.append((name, next(rest, "-?")))
    return options, words


_FLAGS = {
    name
    for table in (GLOBALS, *(options for options, _ in VERBS.values()))
    for name, (_, kind, _) in table.items()
    if kind == "flag"
}


def _store(place: dict[str, Any], entry: tuple[str, str, str], value: str | None) -> bool:
    """Keep an option's value; False if it is not plain."""
    parameter, kind, _ = entry
    if kind == "flag":
        place[parameter] = True
        return value is None
    # A value that looks like an option may be one whose own value was forgotten.
    if not value or not value.strip() or (value.startswith("-") and value != "-"):
        return False
    if kind == "texts":
        place.setdefault(parameter, []).append(value)
    elif kind == "number":
        # What is too large, Typer refuses.
        if not value.isdigit() or len(value) > 15 or int(value) > LARGEST_OF.get(parameter, LARGEST):
            return False
        place[parameter] = int(value)
    else:
        place[parameter] = value
    return True


def _positional(words: list[str], positional: Sequence[tuple[str, str, bool]]) -> dict[str, Any] | None:
    """Return the words that are not options by the names of their parameters."""
    arguments: dict[str, Any] = {}
    left = list(words)
    for parameter, kind, required in positional:
        if kind == "texts":
            taken, left = left, []
            if taken:
                arguments[parameter] = taken
        elif left:
            arguments[parameter] = left.pop(0)
        if required and parameter not in arguments:
            return None
    return None if left else arguments
