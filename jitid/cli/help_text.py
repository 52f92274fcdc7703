"""The help of the program, of a group and of a verb, from their declarations."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterable, Iterator
from textwrap import TextWrapper

from jitid.cli.invocation import GlobalOptions
from jitid.cli.verbs import FIRST_WORDS, GROUPS, verbs_of
from jitid.operation.base import Verb
from jitid.values.declaration import Field

_NAME_COLUMN = 30
"""Maximum width of the column of names; a longer name has a separate line."""
HELP = ("-h, --help", "Show this help.")
VERSION = ("-V, --version", "Show the version.")
_EPILOG = "Global options, before or after the verb: see `jitid --help`."
ROOT_SENTENCE = "Just-in-time identity for AI agents."
_ROOT_EPILOG = """Start with: jitid issue --task INC-4821 --delegator "$USER"

Exit status: 0 done, 1 a bug, 2 usage, 3 not found, 4 denied by policy, 5 storage (try again), 6 refused,
7 integrity, 8 credential not valid, 9 partly done, 10 findings, 11 not all was examined, 74 output not written
(what was just made is revoked), 128+n ended by signal n."""


def of(words: str) -> str:
    """Return the help of a verb or a group; without words, of the program."""
    command = verbs_of(words.partition(" ")[0]).get(words)
    if command is not None:
        return _text(
            words, ["[OPTIONS]", *_arguments(command)], inspect.getdoc(command) or "", _EPILOG, command
        )
    if words:
        return _text(words, ["[OPTIONS]", "VERB", "..."], GROUPS[words], _EPILOG, None)
    return _text("", ["[OPTIONS]", "VERB", "..."], ROOT_SENTENCE, _ROOT_EPILOG, None)


def sentence(doc: str | None) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join(inspect.cleandoc(doc or "").partition("\n\n")[0].split())


def _text(words: str, usage: list[str], doc: str, epilog: str, command: type[Verb] | None) -> str:
    width = max(min(shutil.get_terminal_size().columns, 80) - 2, 50)
    start = f"Usage: {' '.join(('jitid', *words.split()))} "
    parts = [_wrapped(" ".join(usage), width, start, " " * len(start))]
    parts += [_paragraphs(doc, width)]
    if command is None:
        parts.append("Verbs:\n" + "\n".join(_rows(_verbs(words), width)))
    fields = (
        command.fields.values() if command is not None else () if words else GlobalOptions.fields.values()
    )
    options = [(_names(field), field.help + _variable(field)) for field in fields if field.is_option]
    arguments = [
        (field.metavar or "", field.help + ("  [required]" if field.stated else ""))
        for field in fields
        if field.is_argument
    ]
    if arguments:
        parts.append("Arguments:\n" + "\n".join(_rows(arguments, width)))
    options += [HELP] if words else [VERSION, HELP]
    parts.append("Options:\n" + "\n".join(_rows(options, width)))
    parts.append(_paragraphs(epilog, width))
    return "\n\n".join(parts) + "\n"


def _arguments(command: type[Verb]) -> list[str]:
    return [field.metavar or "" for field in command.fields.values() if field.is_argument]


def _verbs(group: str) -> list[tuple[str, str]]:
    if group:
        return [(verb.partition(" ")[2], sentence(each.__doc__)) for verb, each in verbs_of(group).items()]
    return [(word, GROUPS.get(word) or sentence(verbs_of(word)[word].__doc__)) for word in FIRST_WORDS]


def _names(field: Field) -> str:
    names = ", ".join(sorted(field.flags, key=lambda name: name.startswith("--")))
    return names if field.type is None else f"{names} {field.metavar}"


def _variable(field: Field) -> str:
    return f"  [env var: {field.env}]" if field.env else ""


def _rows(rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    """Yield the lines of a list of names and sentences in two columns."""
    rows = list(rows)
    column = min(max(len(name) for name, _ in rows), _NAME_COLUMN) + 2
    for name, text in rows:
        lines = _wrapped(text, max(width - column - 2, 10)).splitlines()
        if len(name) > column - 2:
            yield f"  {name}"
        else:
            yield f"  {name:{column}}{lines.pop(0)}"
        yield from (" " * (column + 2) + line for line in lines)


def _paragraphs(text: str, width: int) -> str:
    return "\n\n".join(
        _wrapped(" ".join(paragraph.split()), width, "  ", "  ") for paragraph in text.split("\n\n")
    )


def _wrapped(text: str, width: int, first: str = "", other: str = "") -> str:
    return TextWrapper(width, initial_indent=first, subsequent_indent=other).fill(text)
