"""Streaming reader for JSON of any length: it enters lists and objects, and reads or skips their values.

The standard library reads a JSON text as a whole, and a report may not fit into memory.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from jitid.errors import UsageError

MAX_VALUE = 1 << 22
"""Maximum length of a value that is read, in characters: one finding of a report. A skipped value may be longer."""
MAX_DEPTH = 64
"""Maximum nesting of lists and objects."""

_LEAST = 1 << 16
_SPACE = re.compile(r"[ \t\n\r]*")
_STRUCTURAL = re.compile(r'["\[\]{},]')
# Possessive quantifiers: the match never backtracks.
_IN_STRING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CUT = "Unterminated string"
"""The beginning of the decoder's message for a string without an end."""
_LONGEST_LITERAL = 6
"""Number of characters from which the end of a text cannot be a cut `false`, or a cut escape in a string."""
_DECODER = json.JSONDecoder()
_TOO_DEEP = f"is nested more than {MAX_DEPTH} levels deep"
_MANY_DIGITS = "has a number with too many digits"


class JsonReader:
    """A position in consecutive JSON texts.

    For each step of `elements` or `members`, the caller must read, enter or skip the value before the next step.
    """

    def __init__(self, pieces: Iterable[bytes], label: str) -> None:
        """Take bytes that are cut anywhere: UTF-8, or UTF-16 with a byte order mark. Errors call the text `label`.

        Invalid bytes become U+FFFD, which no string of jitid contains.
        """
        self._pieces = iter(pieces)
        self._label = label
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head = b""
        self._text = ""
        self._at = 0
        self._ended = False
        self._before = 0
        """Number of characters before the text that is held."""
        self._lines = 0
        """Number of line ends among these characters."""
        self._depth = 0
        self._glanced = 0

    def peek(self) -> str:
        """Return the next character that is not a space; an empty string at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def place(self) -> str:
        """Return the current position, in words."""
        line = self._lines + self._text.count("\n", 0, self._at) + 1
        return f"character {self._before + self._at + 1} (line {line})"

    def elements(self) -> Iterator[None]:
        """Enter the list that begins here, and yield at each element. Raises UsageError."""
        self._enter("[")
        if self.peek() != "]":
            yield
            while self._another("]"):
                yield
        self._leave()

    def members(self) -> Iterator[str]:
        """Enter the object that begins here, and yield the name of each member at its value. Raises UsageError."""
        self._enter("{")
        if self.peek() != "}":
            yield self._name()
            while self._another("}"):
                yield self._name()
        self._leave()

    def value(self) -> Any:  # noqa: ANN401 - JSON may be anything
        """Return the value that begins here. Raises UsageError."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                broken, cut = error.pos, error.msg.startswith(_CUT)
            except RecursionError:
                raise self.broken(_TOO_DEEP) from None
            except ValueError:
                raise self.broken(_MANY_DIGITS) from None
            else:
                # A number may continue after the text that is held.
                if end < len(self._text) or self._ended:
                    self._check_depth(end)
                    self._at = end
                    return value
            # An incomplete value and a broken value look alike: read more text, until there is no more.
            if not self._grow():
                unread = len(self._text) - broken
                self._at = broken
                raise self._cut() if cut or unread < _LONGEST_LITERAL else self._broken()

    def glance(self) -> Any:  # noqa: ANN401 - JSON may be anything
        """Return the value that begins here without moving; None if it is broken or not completely held."""
        try:
            value, self._glanced = _DECODER.raw_decode(self._text, self._at)
        except (ValueError, RecursionError):
            return None
        return value if self._glanced < len(self._text) or self._ended else None

    def pass_glanced(self) -> None:
        """Move past the value that `glance` returned. Raises UsageError."""
        self._check_depth(self._glanced)
        self._at = self._glanced

    def skip(self) -> None:
        """Skip the value that begins here, of any length. Raises UsageError."""
        mark = self.peek()
        if mark == '"':
            self._skip_string()
        elif mark in ("[", "{"):
            self._skip_nested()
        elif mark in ("", "]", "}", ",", ":"):
            raise self._broken()
        else:
            self.value()

    def broken(self, problem: str) -> UsageError:
        """Return the error for invalid text at the current position."""
        return UsageError(f"{self._label} {problem} at {self.place()}")

    def _skip_nested(self) -> None:
        depth = 0
        while True:
            match = _STRUCTURAL.search(self._text, self._at)
            if match is None:
                self._at = len(self._text)
                if not self._more():
                    raise self._cut()
                continue
            self._at = match.start()
            mark = match[0]
            if mark == '"':
                self._skip_string()
                continue
            self._at += 1
            if mark in "[{":
                depth += 1
                if depth + self._depth > MAX_DEPTH:
                    raise self.broken(_TOO_DEEP)
            elif mark in "]}":
                depth -= 1
                if depth == 0:
                    return

    def _skip_string(self) -> None:
        self._at += 1
        while True:
            match = _IN_STRING.match(self._text, self._at)
            self._at = match.end() if match else self._at
            # Only a backslash may be left: its next character is not read yet.
            if self._text.startswith('"', self._at):
                self._at += 1
                return
            if not self._more():
                raise self._cut()

    def _enter(self, mark: str) -> None:
        if self.peek() != mark:
            raise self._broken()
        self._at += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.broken(_TOO_DEEP)

    def _leave(self) -> None:
        self._at += 1
        self._depth -= 1

    def _another(self, closing: str) -> bool:
        """Return whether another element follows, and move to it."""
        mark = self.peek()
        if mark == closing:
            return False
        if mark != ",":
            raise self._broken()
        self._at += 1
        return True

    def _name(self) -> str:
        if self.peek() != '"':
            raise self._broken()
        name: str = self.value()
        if self.peek() != ":":
            raise self._broken()
        self._at += 1
        return name

    def _check_depth(self, end: int) -> None:
        text, start = self._text, self._at
        if text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH - self._depth:
            # Most values with this number of brackets are wide, not deep: only here the nesting is counted exactly.
            self._skip_nested()

    def _broken(self) -> UsageError:
        return self.broken("is not JSON") if self.peek() else self._cut()

    def _cut(self) -> UsageError:
        self._at = len(self._text)
        return UsageError(
            f"{self._label} is cut short: it ends at {self.place()}", "the scanner may have been stopped"
        )

    def _grow(self) -> bool:
        """Hold twice as much text from here on, and return whether there was more.

        Raises UsageError if a value is too long.
        """
        length = len(self._text) - self._at
        if length > MAX_VALUE:
            raise self.broken(f"has a value of more than {MAX_VALUE >> 20} million characters")
        size = max(2 * length, _LEAST)
        grown = False
        while len(self._text) - self._at < size and self._more():
            grown = True
        return grown

    def _more(self) -> bool:
        """Read more text, and drop the text before the current position. Return whether there was more."""
        if self._ended:
            return False
        parts = [self._text[self._at :]]
        size = 0
        while size < _LEAST and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            text = self._decoded(piece or b"", last=piece is None)
            size += len(text)
            parts.append(text)
        self._before += self._at
        self._lines += self._text.count("\n", 0, self._at)
        self._text, self._at = "".join(parts), 0
        return size > 0

    def _decoded(self, piece: bytes, *, last: bool) -> str:
        if self._decoder is None:
            self._head += piece
            if len(self._head) < len(codecs.BOM_UTF8) and not last:
                return ""
            # Shells of Windows write redirected output as UTF-16, or with a byte order mark.
            name = "utf-16" if self._head.startswith(_WIDE) else "utf-8-sig"
            self._decoder = codecs.getincrementaldecoder(name)("replace")
            piece, self._head = self._head, b""
        return self._decoder.decode(piece, last)
