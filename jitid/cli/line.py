"""A parsed line: the texts of its options and arguments, and their conversion to the fields of its verb."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jitid.cli.invocation import GlobalOptions, Invocation
from jitid.config.effective import check_environment
from jitid.errors import UsageError
from jitid.operation.base import Verb
from jitid.values.declaration import Field
from jitid.values.text import refuse_token


class Line(NamedTuple):
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
    for name, value in line.global_values.items():
        _check_texts(GlobalOptions.fields[name], value)
        setattr(cli, name, value)
    cli.runs_command = line.verb.runs_command
    texts = dict(line.values)
    for name, field in fields.items():
        if field.env and field.env in environ:
            # Refused even if the line overrides it: the raw value, because a token may contain a blank.
            refuse_token(environ[field.env], f"the environment variable {field.env}")
            if name not in texts:
                texts[name] = environ[field.env].split() if field.many else environ[field.env]
                cli.from_environment |= {name}
    for name, field in fields.items():
        if field.stated and field.is_option and name not in texts:
            raise UsageError(f"{field.label} is missing", f"see: jitid {line.verb.verb} --help")
    values = {
        name: _converted(field, texts[name]) if name in texts else field.absent
        for name, field in fields.items()
        if name in texts or not field.stated
    }
    return line.verb(**values)


def _converted(field: Field, value: Any) -> Any:  # noqa: ANN401 - a value of the field's type
    if field.type is None:
        return value
    if field.type.sources != ("command",):
        _check_texts(field, value)
    if field.many:
        return tuple([field.type.parse(text, field.label) for text in value])
    return field.type.parse(value, field.label)


def _check_texts(field: Field, value: Any) -> None:  # noqa: ANN401 - a text, several, or True
    """Raise UsageError for a text that is blank, a token, or not UTF-8."""
    texts: Iterable[Any] = value if isinstance(value, list) else (value,)
    for text in texts:
        if text is True:
            continue
        if not text.strip():
            raise UsageError(
                f"the value of {field.label} is blank", "an empty value is never taken for none: leave it out"
            )
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise UsageError(f"the value of {field.label} is not UTF-8")
        if not field.verb_refuses_tokens:
            refuse_token(text, field.label)
