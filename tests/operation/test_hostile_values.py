"""Hostile values of every type at every field, by the command line and by the wire, as the declarations list them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jitid.authority.wire import codec
from jitid.authority.wire.codec import operations
from jitid.cli.invocation import Invocation
from jitid.cli.line import Line, bound
from jitid.cli.verbs import all_verbs
from jitid.errors import JitidError
from jitid.operation.base import Operation, Verb
from jitid.values.declaration import Field
from tests.operation.values import operation_values

FEW = settings(
    max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)

SECRET = "jitid_0123456789abcdefghijABCDEFGHIJ01234567"
TEXTS = (
    SECRET,
    f"x {SECRET}",
    "eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiJqdGlfMDZoMnFzcGRrcHNrYjA4MmxpcDVrcTY2ODQifQ.c2VjcmV0LXNpZ25hdHVyZQ",
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "\x1b[31mred",
    "\x1b]8;;https://e.example\x07x",
    "\u202etxt",
    "\u200b",
    "\ud800",
    "\u0430" * 3,
    "=cmd()",
    "<script>",
    "[bold]x[/bold]",
    "%s%n{0}{label}",
    "../../etc/passwd",
    "-1",
    "9" * 400,
    "1e9",
    "0x10",
    "٣",
    "NaN",
    "true",
    "null",
    "{}",
    '{"type":"a","type":"b"}',
    "[" * 500,
    "user:" + "a" * 300,
    "group:",
    "jid_" + "v" * 26,
    "jti_" + "z" * 26,
    "9999-99-99T99:99:99Z",
    "0001-01-01T00:00:00Z",
    "99999999999999999999d",
    "*" * 200,
    ":" * 200,
    "a" * 100_000,
)
VALUES: tuple[Any, ...] = (
    *TEXTS,
    None,
    True,
    0,
    -1,
    1 << 53,
    1 << 200,
    -(1 << 63),
    1.5,
    1e308,
    [],
    {},
    [[[[]]]],
    [None],
    [SECRET] * 3,
    {"type": SECRET},
    {SECRET: SECRET},
    {"__class__": "x"},
    [0] * 2_000,
)


def _typed_fields() -> Iterator[tuple[type[Verb], Field]]:
    for verb in all_verbs().values():
        yield from ((verb, field) for field in verb.fields.values() if field.is_option or field.is_argument)


def test_no_text_on_a_command_line_is_taken_badly() -> None:
    """Each text at each option and argument is taken, or refused without a part of a secret."""
    tried = 0
    for verb, field in _typed_fields():
        if field.type is None or field.type.sources == ("command",):
            continue
        stated = {name: ["x"] if each.many else "x" for name, each in verb.fields.items() if each.stated}
        for text in TEXTS:
            tried += 1
            line = Line(verb, {**stated, field.name: [text] if field.many else text}, {})
            try:
                bound(line, {}, Invocation())
            except JitidError as error:
                _must_be_silent(error)
    assert tried > 10_000


@pytest.mark.parametrize("name", codec.names())
@FEW
@given(data=st.data())
def test_no_value_from_elsewhere_is_taken_badly(name: str, data: st.DataObject) -> None:
    """Each value at each place of a valid request is taken, or refused without a part of a secret."""
    request = _filled(name, data.draw(operation_values(operations()[name])))
    paths = list(_paths(request))
    for path in paths:
        for value in VALUES:
            try:
                codec.decode_operation(name, _with(request, path, value))
            except JitidError as error:
                _must_be_silent(error)
    # Over all operations, these are more than ten thousand.
    assert len(paths) * len(VALUES) >= len(VALUES) > 50


def _must_be_silent(error: JitidError) -> None:
    text = f"{error.message} {error.hint}"
    assert SECRET[6:20] not in text
    assert "c2VjcmV0" not in text
    assert len(text) < 3_000


def _filled(name: str, operation: Operation[Any]) -> Any:
    """Return a request with a member for each field, also where the value is the default."""
    document = codec.encode_operation(operation)
    for field in operations()[name].fields.values():
        if not field.authority_only:
            document.setdefault(field.name, None)
    return document


def _paths(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of a document and of all its parts."""
    yield above
    members: Any = enumerate(document) if isinstance(document, list) else ()
    for key, part in document.items() if isinstance(document, dict) else members:
        yield from _paths(part, (*above, key))


def _with(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a document with another value at a path."""
    if not path:
        return value
    copy = json.loads(json.dumps(document))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy
