"""Input from files and standard input: tokens, ids, lines. It is bounded, and never echoed.

The wait for a slow writer, at a pipe or a terminal, does not count against the command's time limit.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from jitid.errors import InvalidCredentialError, UsageError
from jitid.redaction.token_format import CERTIFICATE, MAX_TOKEN, bare
from jitid.system import time_limit
from jitid.values.ids import PREFIXES
from jitid.values.text import MARK, decoded, mark_of, may_be_secret, quote, refuse_mark, token_warning

if TYPE_CHECKING:
    from jitid.values.secret import Secret


T = TypeVar("T")

_DER = b"0\x82"
"""First bytes of a certificate in DER; no token begins with them."""
_BUFFER = 1 << 16
_MOST_NAMES, _LONGEST_NAME, _ALIKE = 1_000, 255, 0.8
"""Limits of the search for a name that is spelt alike: names in the folder, characters, and similarity (0 to 1)."""
_ROOM = 4096
"""Number of bytes of white space that are accepted around a token."""


def check_one_stdin(*paths: str | None) -> None:
    """Raise UsageError if more than one of the files is standard input."""
    if paths.count("-") > 1:
        raise UsageError("standard input can be used only once", "name files for the other inputs")


def token(path: str, label: str) -> Secret:
    """Return the token in the file `path`; `-` is standard input.

    Raises:
        UsageError: the file cannot be read, or is empty.

    """
    from jitid.values.secret import Secret

    data = read(path, MAX_TOKEN + _ROOM, label)
    if data.startswith(_DER):
        from jitid.crypto.der import to_pem

        return Secret.single(bare(to_pem(data)))
    if mark := mark_of(data):
        # A token has exactly one spelling, without a mark.
        raise InvalidCredentialError(
            f"{label} begins with {mark}", f"save it as UTF-8 without the mark; {_to_search(path)}"
        )
    # The parser of tokens refuses an invalid text, with one error for all verbs.
    text = bare(data.decode("utf-8", "replace"))
    if not text:
        raise UsageError(f"{label} is empty", "a token is one line of text")
    if text.startswith(CERTIFICATE):
        # The file of a certificate often contains its private key too, which no verb needs.
        text = bare(text.partition("-----BEGIN PRIVATE KEY-----")[0])
    elif not (text.isascii() and text.replace(".", "").replace("-", "").replace("_", "").isalnum()):
        from jitid.redaction.surroundings import surroundings

        if description := surroundings(text):
            source = "standard input" if path == "-" else "the file"
            raise InvalidCredentialError(
                f"{source} has {description.replace('the token', label)}",
                f"expected only the token, on one line; {_to_search(path)}",
            )
    return Secret.single(text)


def _to_search(path: str) -> str:
    """Return the part of a hint that names the command for tokens in other text."""
    from shlex import quote as word

    operand = "" if path == "-" else f" {word(path)}" if path.isascii() and path.isprintable() else " FILE"
    return f"to look for tokens in other text: jitid trace{operand}"


def public_key(path: str) -> str:
    """Return the text of the public key in the file `path`; `-` is standard input.

    Raises:
        UsageError: the file cannot be read, is empty, too long or not text, or contains a private key.

    """
    from jitid.values.field_types import MAX_PUBLIC_KEY

    data = unmarked(path, MAX_PUBLIC_KEY, "the public key")
    if len(data) > MAX_PUBLIC_KEY or not data.isascii() or not data.strip():
        raise UsageError(f"{quote(path, 200)} is not a public key", _KEYS)
    if b"PRIVATE KEY" in data:
        raise UsageError(f"{quote(path, 200)} has a private key, which jitid does not accept", _KEYS)
    return data.decode("ascii").strip()


_KEYS = "a public key is PEM (PUBLIC KEY, CERTIFICATE REQUEST) or a line of OpenSSH"


def check_text_file(path: str) -> None:
    """Raise UsageError if there is no such file. The error does not repeat the name: it may be part of a secret."""
    if path == "-" or os.path.lexists(path):
        return
    refuse_mark(path, "the word")
    if path.strip().lower().startswith(("jti_", "jid_")):
        raise UsageError("neither an id nor an existing file", "an id ends with 26 characters of 0-9 and a-v")
    if may_be_secret(path):
        raise UsageError(
            "there is no such file",
            token_warning(path)
            or "the word may be a secret, which is now in the shell's history: pass it on standard input",
        )
    raise UsageError("there is no such file", "name a file or an id, or pass text on standard input")


def read(path: str, limit: int, label: str) -> bytes:
    """Return the first `limit` + 1 bytes of the file `path`, or all if there are fewer; `-` is standard input.

    Raises:
        UsageError: it cannot be read.

    """
    descriptor = opened(path, label)
    try:
        pieces = []
        remaining = limit + 1
        while remaining and (piece := piece_of(descriptor, remaining)):
            pieces.append(piece)
            remaining -= len(piece)
    except OSError as error:
        raise unreadable(path, label, error) from error
    finally:
        if descriptor:
            os.close(descriptor)
    return b"".join(pieces)


def unmarked(path: str, limit: int, label: str) -> bytes:
    """Return the same as `read`, without a leading byte order mark: for public text and DER.

    Raises:
        UsageError: it cannot be read.

    """
    return read(path, limit, label).removeprefix(MARK.encode())


def opened(path: str, label: str) -> int:
    """Return a descriptor of the file `path`; `-` is standard input. The caller closes it unless it is 0.

    Raises:
        UsageError: it cannot be opened.

    """
    if path == "-":
        if os.isatty(0):
            raise UsageError(
                f"{label} is expected on standard input, but standard input is a terminal",
                "use a pipe, or name a file",
            )
        return 0
    try:
        with time_limit.Pause():
            # Opening a FIFO waits for its writer.
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(path, label, error) from error
    except ValueError as error:
        raise UsageError(f"{label} cannot be read from {quote(path)}: it is not a path") from error


def piece_of(descriptor: int, size: int) -> bytes:
    """Return the next bytes of a file, at most `size`; no bytes at its end. Raises OSError."""
    with time_limit.Pause():
        return os.read(descriptor, size)


def file_of(descriptor: int) -> io.BufferedReader:
    """Return a file that reads from a descriptor, and closes it unless it is 0. Reading raises OSError."""
    return io.BufferedReader(_Waiting(descriptor), _BUFFER)


def spared(pieces: Iterable[T]) -> Iterator[T]:
    """Yield pieces as they arrive. The wait for each does not count against the command's time limit."""
    iterator = iter(pieces)
    while True:
        with time_limit.Pause():
            piece = next(iterator, _NONE)
        if piece is _NONE:
            return
        yield cast("T", piece)


_NONE = object()


class _Waiting(io.RawIOBase):
    """A file whose reads do not count against the command's time limit."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        with time_limit.Pause():
            return os.readv(self._descriptor, [buffer])

    def close(self) -> None:
        if self._descriptor and not self.closed:
            os.close(self._descriptor)
        super().close()


def lines(path: str, label: str, longest: int = 1 << 20) -> Iterator[tuple[int, str]]:
    """Yield the lines of the file `path` that are not blank, with their numbers; `-` is standard input.

    Raises:
        UsageError: it cannot be read, is not UTF-8, or has a line longer than `longest` bytes.

    """
    descriptor = opened(path, label)
    try:
        with file_of(descriptor) as file:
            line_number = 0
            while line := file.readline(longest + 1):
                line_number += 1
                if len(line) > longest:
                    raise UsageError(f"line {line_number} of {label} is longer than {longest} bytes")
                text = decoded(line, f"line 1 of {label}") if line_number == 1 else line.decode()
                if text.strip():
                    yield line_number, text.strip()
    except OSError as error:
        raise unreadable(path, label, error) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"line {line_number} of {label} is not UTF-8") from error


def unreadable(path: str, label: str, error: OSError) -> UsageError:
    """Return the error for a file that cannot be opened or read."""
    if MARK in path:
        # The mark is invisible, so the error must name it. The word may even be an id, and not a file.
        return UsageError(f"{label} cannot be read: its name has a byte order mark (U+FEFF)", "type it again")
    reason = (error.strerror or "error").lower()
    return UsageError(
        f"{label} cannot be read from {quote(path)}: {reason}",
        token_warning(path) or unreadable_hint(path, error) or _instead(path, error),
    )


def _instead(path: str, error: OSError) -> str | None:
    """Return a hint about an id in place of a file, or the name of a file that is spelt alike."""
    if path.startswith(PREFIXES):
        return "an id is an argument, not a file: jitid inspect ID, or jitid revoke ID"
    if not isinstance(error, FileNotFoundError):
        return None
    from difflib import get_close_matches

    folder, name = os.path.split(path)
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry in islice(entries, _MOST_NAMES)]
    except OSError:
        return None
    close = [os.path.join(folder, each) for each in get_close_matches(name[:_LONGEST_NAME], names, 1, _ALIKE)]
    return f"did you mean {quote(close[0])}?" if close and not may_be_secret(close[0]) else None


def unreadable_hint(path: str, error: OSError) -> str | None:
    """Return a hint if the file is a token that `run` keeps in memory for another user; None for any other file."""
    if not isinstance(error, PermissionError) or not re.fullmatch(r"/proc/[0-9]+/fd/[0-9]+", path):
        return None
    return (
        "only the user of `jitid run` can read this token, which is in memory; for a command of another user, set "
        "JITID_PARENT_FILE to that user's own file with the token; set JITID_REMOTE to an authority on loopback: "
        "see jitid-run(1)"
    )
