"""The foreign text of a client's file, for people: keys and structure, with stars for every value.

Nothing is guessed from the form of a value, so that no secret passes as something else. Comments may hold secrets, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from jitid.capabilities.setup.entries import Form
from jitid.capabilities.setup.splice import Splice, lines_of
from jitid.redaction.token_format import MASK

_Range = tuple[int, int]


class OwnText:
    """The characters of a text that jitid inserted: one byte for each character, 1 for its own."""

    def __init__(
        self, length: int, steps: Iterable[Sequence[Splice]] = (), values: frozenset[str] = frozenset()
    ) -> None:
        """Apply changes, in order, to a foreign text of a length.

        `values` are texts that jitid once inserted: they are its own at any place.
        """
        self.values = values
        own = bytearray(length)
        for step in steps:
            for splice in sorted(step, key=lambda splice: splice.offset, reverse=True):
                own[splice.offset : splice.offset + len(splice.removed)] = b"\x01" * len(splice.inserted)
        self._own = bytes(own)

    def covers(self, start: int, end: int) -> bool:
        """Return whether jitid inserted every character of a range."""
        return end <= len(self._own) and self._own.find(0, start, end) < 0


def shown(form: Form, text: str, own: OwnText) -> str:
    """Return a text with stars for each value that jitid did not insert. It has the same number of lines."""
    pieces: list[str] = []
    position = 0
    for start, end in _hidden(form, text):
        if start < end and not own.covers(start, end) and text[start:end] not in own.values:
            pieces += (text[position:start], _NOT_BREAK.sub(MASK, text[start:end]))
            position = end
    return "".join((*pieces, text[position:]))


def inserted_values(form: Form, steps: Iterable[Sequence[Splice]]) -> frozenset[str]:
    """Return the long values that changes inserted; a short one, such as a number, may be the user's."""
    return frozenset(
        splice.inserted[start:end]
        for step in steps
        for splice in step
        for start, end in _hidden(form, splice.inserted)
        if end - start >= _LONG
    )


_LONG = 8
_NOT_BREAK = re.compile(r"[^\r\n]+")


def _hidden(form: Form, text: str) -> Iterator[_Range]:
    """Yield the ranges of values and comments, in order."""
    match form:
        case Form.JSON:
            return _json(text)
        case Form.TOML:
            return _toml(text)
        case Form.GIT:
            return _lines(text, _GIT)
        case Form.AWS:
            return _lines(text, _AWS)
        case Form.KUBE:
            return _lines(text, _KUBE)
        case _:
            assert_never(form)


_STRING = r'"(?:[^"\\\n]|\\[^\n])*"'
_JSON = re.compile(
    r"(?P<space>[\ufeff\s{}\[\],:]+)"
    r"|//(?P<comment>[^\n]*)|/\*(?P<block>.*?)\*/"
    rf"|(?P<key>{_STRING}(?=(?:\s|//[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*:))|\"(?P<text>(?:[^\"\\\n]|\\[^\n])*)\""
    r"|(?P<other>[^\s{}\[\],:\"/]+|.)",
    re.DOTALL,
)


def _json(text: str) -> Iterator[_Range]:
    for found in _JSON.finditer(text):
        kind = found.lastgroup
        if kind is not None and kind not in ("space", "key"):
            yield found.span(kind)


_PART = rf"(?:[A-Za-z0-9_-]+|{_STRING}|'[^'\n]*')"
_PARTS = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"[ \t]*\[\[?[ \t]*{_PARTS}[ \t]*\]\]?(?=[ \t\r]*(?:#|\n|\Z))")
_TOML = re.compile(
    r'(?P<long>"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5})'
    rf"|(?P<key>{_PARTS}(?=[ \t]*=))"
    rf"|(?P<text>{_STRING}|'[^'\n]*')"
    r"|#(?P<comment>[^\n]*)"
    r"|(?P<space>[\ufeff\s{}\[\],=])"
    r"|(?P<other>[^\s{}\[\],=#\"']+|.)",
    re.DOTALL,
)


def _toml(text: str) -> Iterator[_Range]:
    depth = 0
    position = 0
    while position < len(text):
        starts_line = position == 0 or text[position - 1] in "\n\ufeff"
        # Within an array, a line may have the form of a header.
        header = _HEADER.match(text, position) if starts_line and not depth else None
        found = header or _TOML.match(text, position)
        assert found is not None, "its last part matches any character"
        position = found.end()
        kind = found.lastgroup
        if kind == "space":
            depth += (found[0] in "[{") - (found[0] in "]}")
        elif kind in ("long", "text"):
            quotes = 3 if kind == "long" else 1
            yield found.start() + quotes, found.end() - quotes
        elif kind in ("comment", "other"):
            yield found.span(kind)


_GIT = re.compile(
    r"[ \t]*(?:[#;](?P<comment>.*)"
    r'|(?:\[[A-Za-z0-9.-]+(?:[ \t]+"(?P<sub>(?:[^"\\]|\\.)*)")?\][ \t]*)?'
    r"(?:[A-Za-z][A-Za-z0-9-]*[ \t]*=[ \t]*(?P<value>.*))?)"
)
# An indented line may continue a value.
_AWS = re.compile(
    r"(?:[#;](?P<comment>.*)|\[[\w .@:/+-]+\][ \t]*|[a-z][a-z0-9_.-]{0,63}[ \t]*=[ \t]*(?P<value>.*))?",
    re.ASCII,
)
_KUBE_KEYS = (
    "apiVersion|args|as|as-groups|as-uid|as-user-extra|auth-provider|certificate-authority|"
    "certificate-authority-data|client-certificate|client-certificate-data|client-key|client-key-data|"
    "cluster|clusters|command|config|context|contexts|current-context|disable-compression|env|exec|"
    "extension|extensions|insecure-skip-tls-verify|installHint|interactiveMode|kind|name|namespace|"
    "password|preferences|provideClusterInfo|proxy-url|server|tls-server-name|token|tokenFile|user|"
    "username|users|value"
)
# A line of a longer scalar may have the form of a key: known keys alone are shown, which hold no secret.
_KUBE = re.compile(
    rf"[ \t]*(?:#(?P<comment>.*)|---|(?:-[ \t]+)*(?:{_KUBE_KEYS})[ \t]*:(?:[ \t]+(?P<value>.*))?"
    r"|-[ \t]+(?P<item>.*))?"
)


def _lines(text: str, form: re.Pattern[str]) -> Iterator[_Range]:
    """Yield the hidden parts of lines; the whole line where it has another form, or continues the one before."""
    offset = 0
    continues = False
    for line in lines_of(text):
        mark = len(line) - len(line.removeprefix("\ufeff"))
        body = line.rstrip("\r\n")
        found = None if continues else form.fullmatch(body, mark)
        if found is None:
            yield offset + len(body) - len(body.lstrip(" \t\ufeff")), offset + len(body)
        else:
            yield from sorted(
                (offset + found.start(name), offset + found.end(name))
                for name in form.groupindex
                if found[name] is not None
            )
        continues = form is _GIT and body.endswith("\\")
        offset += len(line)
