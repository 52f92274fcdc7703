"""The file of a list of delegators: read once and completely, with its digest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from typing import IO, TYPE_CHECKING

from jitid.capabilities.directory.roster_diff import RosterSource
from jitid.errors import UsageError
from jitid.system.read_input import file_of, opened, unreadable

if TYPE_CHECKING:
    from jitid.capabilities.directory.roster.roster_entry import Roster


FORMS = ("csv", "scim", "jsonl")
MOST = 1 << 30
"""Largest size of the file, in bytes."""
LONGEST = 1 << 20
"""Longest line, in bytes."""

_ENDINGS = {".csv": "csv", ".json": "scim", ".scim": "scim", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_LABEL = "the list"


def form_of(path: str, stated_form: str | None) -> str:
    """Return the form of a list: the stated form, or the form of the file's extension. Raises UsageError."""
    if stated_form is not None:
        return stated_form
    form = _ENDINGS.get(os.path.splitext(path)[1].lower())
    if form is None:
        raise UsageError("the form of the list is unknown", f"state it with --as: {', '.join(FORMS)}")
    return form


def read(path: str, form: str) -> tuple[Roster, RosterSource]:
    """Return the content of a list, and its source. The path `-` is standard input.

    Raises:
        UsageError: the file cannot be read, or an entry is invalid; the message names its place.

    """
    descriptor = opened(path, _LABEL)
    try:
        with file_of(descriptor) as file:
            content = Content(file)
            roster = _roster(content, form)
            return roster, RosterSource(form, content.digest())
    except OSError as error:
        raise unreadable(path, _LABEL, error) from error


def _roster(content: Content, form: str) -> Roster:
    match form:
        case "csv":
            from jitid.capabilities.directory.roster import spreadsheet

            return spreadsheet.read(text for _, text in content.lines(mark=True))
        case "jsonl":
            from jitid.capabilities.directory.roster import json_lines

            return json_lines.read(
                (line_number, text) for line_number, text in content.lines() if text.strip()
            )
        case _:
            from jitid.capabilities.directory.roster import scim

            return scim.read(content.text())


class Content:
    """Reader of a file that computes the digest of all that it reads."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = sha256()
        self._size = 0

    def digest(self) -> str:
        """Return the SHA-256 of the bytes read so far, as hex."""
        return self._hash.hexdigest()

    def lines(self, *, mark: bool = False) -> Iterator[tuple[int, str]]:
        """Yield each line with its number and its end. With `mark`, skip a byte order mark before the first line."""
        line_number = 0
        while line := self._file.readline(LONGEST + 1):
            line_number += 1
            self._count(line)
            if len(line) > LONGEST:
                raise UsageError(f"line {line_number} is longer than {LONGEST} bytes; nothing was changed")
            if mark and line_number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            try:
                yield line_number, line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UsageError(f"line {line_number}: not UTF-8; nothing was changed") from error

    def text(self) -> str:
        """Return the whole file as text."""
        pieces = []
        while piece := self._file.read(1 << 20):
            self._count(piece)
            pieces.append(piece)
        try:
            return b"".join(pieces).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError("the list is not UTF-8; nothing was changed") from error

    def _count(self, piece: bytes) -> None:
        self._hash.update(piece)
        self._size += len(piece)
        if self._size > MOST:
            raise UsageError(
                f"the list is longer than {MOST} bytes; nothing was changed", "import it in parts"
            )
