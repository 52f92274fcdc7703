"""A command line: a plain one is parsed without Typer, which takes longer to load; its texts become fields.

A line is plain if each of its words is a declared option or argument, and its verb comes before its own options. Typer
parses all other lines, and above all reports errors; a test checks that both parsers agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jitid.cli.invocation import GlobalOptions, Invocation
from jitid.cli.verbs import GROUPS, verbs_of
from jitid.config.effective import check_environment
from jitid.errors import UsageError
from jitid.operation.base import Verb
from jitid.redaction.token_format import name_holds_token
from jitid.values.declaration import Field
from jitid.values.record import Record
from jitid.values.text import refuse_token
from jitid.values.times import parse_duration


class Line(Record):
    """A line as parsed: the texts by the names of the fields, True for a flag, a list if there may be several."""

    verb: type[Verb]
    values: Mapping[str, Any]
    global_values: Mapping[str, Any]


def bound(line: Line, environ: Mapping[str, str], cli: Invocation) -> Verb:
    """Return the verb with the values of the line and of the environment, and store the global options in `cli`.

    Raises:
        UsageError: a value is blank, a token, not UTF-8, or invalid.

    """
    fields = line.verb.fields
    check_environment(environ)
    check_environment(environ, frozenset(field.env for field in fields.values() if field.env))
    stated = [(GlobalOptions.fields[name], value) for name, value in line.global_values.items()]
    stated += [(fields[name], value) for name, value in line.values.items() if not _is_command(fields[name])]
    # All of them first: a token on a line must be revoked, even if another value is invalid.
    _refuse_tokens((field, value) for field, value in stated if not field.verb_refuses_tokens)
    try:
        return _bound(line, environ, cli)
    except UsageError:
        _refuse_tokens(stated)
        raise


def _bound(line: Line, environ: Mapping[str, str], cli: Invocation) -> Verb:
    fields = line.verb.fields
    for name, value in line.global_values.items():
        _check_texts(GlobalOptions.fields[name], value)
        setattr(cli, name, tuple(value) if isinstance(value, list) else value)
    if cli.json:
        if cli.format not in (None, "json"):
            raise UsageError("--json and --format cannot be combined", "use one of them")
        cli.format = "json"
    cli.runs_command = line.verb.runs_command
    cli.is_hook = line.verb.is_hook
    cli.unattended = line.verb.unattended
    texts = dict(line.values)
    for name, field in fields.items():
        if field.env and field.env in environ:
            # Refused even if the line overrides it: the raw value, because a token may contain a blank.
            refuse_token(environ[field.env], f"the environment variable {field.env}")
            if name not in texts:
                texts[name] = environ[field.env].split() if field.many else environ[field.env]
                cli.from_environment |= {name}
    cli.stated = frozenset(texts)
    help_hint = f"see: jitid {line.verb.verb} --help"
    values = {}
    for name, field in fields.items():
        if name not in texts:
            if field.stated and field.is_option:
                raise UsageError(
                    f"{field.label} is missing", f"add {field.flags[0]} {field.metavar}; {help_hint}"
                )
            if not field.stated:
                values[name] = field.absent
            continue
        try:
            if not _is_command(field):
                _check_texts(field, texts[name])
            values[name] = _converted(field, texts[name])
        except UsageError as error:
            if name in cli.from_environment:
                error.message = f"{field.env}: {error.message}"
            error.hint = error.hint or help_hint
            raise
    return line.verb(**values)


def _converted(field: Field, value: Any) -> Any:  # noqa: ANN401 - a value of the field's type
    if field.type is None:
        return not field.absent
    if field.type.direction and (seconds := _relative(value)) is not None:
        import time

        return int(time.time()) + field.type.direction * seconds
    if field.many:
        return tuple([field.type.parse(text, field.label) for text in value])
    return field.type.parse(value, field.label)


def _relative(text: str) -> int | None:
    """Return the seconds of a duration such as `1h30m`; None for any other text. A bare number has no unit."""
    if not text[:1].isdigit() or text.isdigit() or "T" in text.upper():
        return None
    try:
        return parse_duration(text)
    except UsageError:
        return None


def _is_command(field: Field) -> bool:
    """Return whether its texts are another command, which is passed on unchanged."""
    return field.type is not None and field.type.sources == ("command",)


def _texts(value: Any) -> list[str]:  # noqa: ANN401 - a text, several, or True
    return [text for text in (value if isinstance(value, list) else [value]) if text is not True]


def _refuse_tokens(stated: Iterable[tuple[Field, Any]]) -> None:
    """Raise UsageError if the text of a field is a token."""
    for field, value in stated:
        for text in _texts(value):
            refuse_token(text, field.label)


def _check_texts(field: Field, value: Any) -> None:  # noqa: ANN401 - a text, several, or True
    """Raise UsageError for a text that is blank or not UTF-8."""
    for text in _texts(value):
        if not text.strip():
            raise UsageError(
                f"the value of {field.label} is blank", "if it is a variable, is it set? otherwise omit it"
            )
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise UsageError(f"the value of {field.label} is not UTF-8")


def read(argv: Sequence[str]) -> Line | None:
    """Parse a plain line. Return None for a line that is not plain."""
    words, command = split_command(argv)
    if not all(word.strip() and word.isascii() and not name_holds_token(word) for word in words):
        return None
    global_values: dict[str, Any] = {}
    remaining = iter(words)
    verb = _verb(remaining, global_values)
    if verb is None:
        return None
    values: dict[str, Any] = {}
    arguments = _options(remaining, verb, values, global_values)
    if arguments is None:
        return None
    if verb.runs_command:
        # Without `--`, Typer decides where the command begins.
        if not command or arguments:
            return None
        arguments = list(command)
    elif command is not None:
        return None
    return Line(verb, values, global_values) if _positional(arguments, verb, values) else None


def requested_format(argv: Sequence[str]) -> str | None:
    """Return the format that a line requests which could not be parsed: its error has that format."""
    for index, word in enumerate(argv):
        if word == "--json":
            return "json"
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


def by_flag(fields: Mapping[str, Field]) -> dict[str, Field]:
    """Return the fields that are options, by each name of the option."""
    return {name: field for field in fields.values() for name in field.flags}


def _verb(words: Iterator[str], global_values: dict[str, Any]) -> type[Verb] | None:
    """Return the verb of a line, and read the words up to it: only global options may precede it."""
    group = ""
    for word in words:
        if word.startswith("-"):
            if not _store(word, words, _GLOBALS, global_values):
                return None
            continue
        verb = f"{group} {word}" if group else word
        if verb not in GROUPS:
            return verbs_of(verb.partition(" ")[0]).get(verb)
        group = verb
    return None


def _options(
    words: Iterator[str], verb: type[Verb], values: dict[str, Any], global_values: dict[str, Any]
) -> list[str] | None:
    """Store the values of the options; return the words that are not options, or None if the line is not plain."""
    own = by_flag(verb.fields)
    arguments = []
    for word in words:
        if not word.startswith("-") or word == "-":
            arguments.append(word)
        elif not (
            _store(word, words, own, values)
            if word.partition("=")[0] in own
            else _store(word, words, _GLOBALS, global_values)
        ):
            return None
    return arguments


def _store(word: str, words: Iterator[str], options: Mapping[str, Field], values: dict[str, Any]) -> bool:
    """Store the value of an option. Return False if it is not plain."""
    name, equals, value = word.partition("=")
    field = options.get(name)
    if field is None or (equals and not name.startswith("--")):
        # After a short name, `=` is a part of the value.
        return False
    if field.type is None:
        values[field.name] = True
        return not equals
    value = value if equals else next(words, "")
    # If the value looks like an option, the real value may be missing.
    if not value.strip() or (value.startswith("-") and value != "-"):
        return False
    if field.many:
        values.setdefault(field.name, []).append(value)
    else:
        values[field.name] = value
    return True


def _positional(words: list[str], verb: type[Verb], values: dict[str, Any]) -> bool:
    """Store the words that are not options. Return False if there are too many, or too few."""
    remaining = list(words)
    for name, field in verb.fields.items():
        if not field.is_argument:
            continue
        if field.many:
            taken, remaining = remaining, []
            if taken:
                values[name] = taken
        elif remaining:
            values[name] = remaining.pop(0)
        if field.stated and name not in values:
            return False
    return not remaining


_GLOBALS = by_flag(GlobalOptions.fields)
