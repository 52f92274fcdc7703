"""JSON of any length read piece by piece: lists and objects are entered, and what is inside is read or passed over.

The standard library reads a JSON text as a whole; a report may be longer than there is memory.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from jitid.errors import UsageError

MAX_VALUE = 1 << 22
"""The longest value that is read, in characters: one finding of a report. What is passed over may be longer."""
MAX_DEPTH = 64
"""How many lists and objects may stand inside one another."""

_LEAST = 1 << 16
_SPACE = re.compile(r"[ \t\n\r]*")
_TELLING = re.compile(r'["\[\]{},]')
# Possessive: what it has passed it never looks at again.
_IN_STRING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CUT = "Unterminated string"
"""How the decoder tells of a string without an end."""
_LONGEST_LITERAL = 6
"""Of `false`, or of an escape in a string, fewer characters than these are no error if they are the last ones."""
_DECODER = json.JSONDecoder()
_TOO_DEEP = f"is nested more than {MAX_DEPTH} levels deep"
_MANY_DIGITS = "has a number of too many digits"


class JsonReader:
    """A place in JSON texts that stand after one another.

    Whoever asks for the elements of a list or the members of an object reads each of them, enters it, or passes it
    over, before asking for the next one.
    """

    def __init__(self, pieces: Iterable[bytes], what: str) -> None:
        """Args are the bytes, cut anywhere: UTF-8, or UTF-16 with a mark; and what errors call the text.

        What is no UTF-8 becomes U+FFFD, which no string that we look for has.
        """
        self._pieces = iter(pieces)
        self._what = what
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head = b""
        self._text = ""
        self._at = 0
        self._ended = False
        self._before = 0
        """How many characters came before the text that is held."""
        self._lines = 0
        """How many of them ended a line."""
        self._depth = 0
        self._glanced = 0

    def peek(self) -> str:
        """Return the next character that is no space; nothing at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def place(self) -> str:
        """Return where it stands, in words."""
        line = self._lines + self._text.count("\n", 0, self._at) + 1
        return f"character {self._before + self._at + 1} (line {line})"

    def elements(self) -> Iterator[None]:
        """Enter the list that begins here; each turn stands at an element. Raises UsageError."""
        self._enter("[")
        if self.peek() != "]":
            yield
            while self._another("]"):
                yield
        self._leave()

    def members(self) -> Iterator[str]:
        """Enter the object that begins here; each turn stands at the value of a member. Raises UsageError."""
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
                # A number may go on behind what is held.
                if end < len(self._text) or self._ended:
                    self._check_depth(end)
                    self._at = end
                    return value
            # What is not whole yet and what is broken look alike: there is more to be seen, or nothing more.
            if not self._grow():
                rest = len(self._text) - broken
                self._at = broken
                raise self._cut() if cut or rest < _LONGEST_LITERAL else self._broken()

    def glance(self) -> Any:  # noqa: ANN401 - JSON may be anything
        """Return the value that begins here, if all of it is held and can be read, and stay; otherwise None."""
        try:
            value, self._glanced = _DECODER.raw_decode(self._text, self._at)
        except (ValueError, RecursionError):
            return None
        return value if self._glanced < len(self._text) or self._ended else None

    def pass_glanced(self) -> None:
        """Go on behind what `glance` returned. Raises UsageError."""
        self._check_depth(self._glanced)
        self._at = self._glanced

    def skip(self) -> None:
        """Pass over the value that begins here, however long it is. Raises UsageError."""
        first = self.peek()
        if first == '"':
            self._skip_string()
        elif first in ("[", "{"):
            self._skip_nested()
        elif first in ("", "]", "}", ",", ":"):
            raise self._broken()
        else:
            self.value()

    def broken(self, why: str) -> UsageError:
        """Return the error for what stands here and cannot be meant."""
        return UsageError(f"{self._what} {why} at {self.place()}")

    def _skip_nested(self) -> None:
        depth = 0
        while True:
            found = _TELLING.search(self._text, self._at)
            if found is None:
                self._at = len(self._text)
                if not self._more():
                    raise self._cut()
                continue
            self._at = found.start()
            mark = found[0]
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
            found = _IN_STRING.match(self._text, self._at)
            self._at = found.end() if found else self._at
            # Only a backslash may be left, whose character is still to come.
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

    def _another(self, end: str) -> bool:
        """Tell whether another one follows; then it stands there."""
        mark = self.peek()
        if mark == end:
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
        text, at = self._text, self._at
        if text.count("[", at, end) + text.count("{", at, end) > MAX_DEPTH - self._depth:
            # Most of what has so many is wide, not deep: only now each is looked at.
            self._skip_nested()

    def _broken(self) -> UsageError:
        return self.broken("is not JSON") if self.peek() else self._cut()

    def _cut(self) -> UsageError:
        self._at = len(self._text)
        return UsageError(
            f"{self._what} is cut short: it ends at {self.place()}", "the scanner may have been ended"
        )

    def _grow(self) -> bool:
        """Hold twice as much from here on; tell whether there was more. Raises UsageError for a value too long."""
        held = len(self._text) - self._at
        if held > MAX_VALUE:
            raise self.broken(f"has a value of more than {MAX_VALUE >> 20} million characters")
        wanted = max(2 * held, _LEAST)
        grown = False
        while len(self._text) - self._at < wanted and self._more():
            grown = True
        return grown

    def _more(self) -> bool:
        """Read on, and let go of what came before. Tell whether there was more."""
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
            # Shells of Windows write what is redirected as UTF-16, or with a mark.
            name = "utf-16" if self._head.startswith(_WIDE) else "utf-8-sig"
            self._decoder = codecs.getincrementaldecoder(name)("replace")
            piece, self._head = self._head, b""
        return self._decoder.decode(piece, last)
