"""Input of the verbs from files and standard input: tokens, ids, lines. It is bounded, and never echoed.

The wait for a slow writer, at a pipe or a terminal, does not count against the command's time limit.
"""

from __future__ import annotations

import io
import os
import select
from collections import deque
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from jitid.errors import InvalidCredentialError, UsageError
from jitid.redaction.token_format import CERTIFICATE, MAX_TOKEN, bare
from jitid.system import output, time_limit
from jitid.values.text import MARK, decoded, mark_of, quote, refuse_mark, token_warning

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation
    from jitid.values.secret import Secret


T = TypeVar("T")

_DER = b"0\x82"
"""First bytes of a certificate in DER; no token begins with them."""
_BUFFER = 1 << 16
_ROOM = 4096
"""Number of bytes of white space that are accepted around a token."""


def check_one_stdin(*paths: str | None) -> None:
    """Raise UsageError if more than one of the files is standard input."""
    if paths.count("-") > 1:
        raise UsageError("standard input cannot be two things at once", "name a file for all but one")


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
        raise InvalidCredentialError(f"{label} begins with {mark}", "save it as UTF-8 without the mark")
    # The parser of tokens refuses an invalid text, with one error for all verbs.
    text = bare(data.decode("utf-8", "replace"))
    if not text:
        raise UsageError(f"{label} is empty", "a token is one line of text")
    if text.startswith(CERTIFICATE):
        # The file of a certificate often contains its private key too, which no verb needs.
        text = bare(text.partition("-----BEGIN PRIVATE KEY-----")[0])
    return Secret.single(text)


def public_key(path: str) -> str:
    """Return the text of the public key in the file `path`; `-` is standard input.

    Raises:
        UsageError: the file cannot be read, is empty, too long or not text, or contains a private key.

    """
    from jitid.values.field_types import MAX_PUBLIC_KEY

    data = unmarked(path, MAX_PUBLIC_KEY, "the public key")
    if len(data) > MAX_PUBLIC_KEY or not data.isascii() or not data.strip():
        raise UsageError(f"{quote(path, 200)} holds no public key", _KEYS)
    if b"PRIVATE KEY" in data:
        raise UsageError(f"{quote(path, 200)} holds a private key, which stays where it is", _KEYS)
    return data.decode("ascii").strip()


_KEYS = "a public key is PEM (PUBLIC KEY, CERTIFICATE REQUEST) or a line of OpenSSH"


def check_text_file(path: str) -> None:
    """Raise UsageError if there is no such file. The error does not repeat the name: it may be part of a secret."""
    if path == "-" or os.path.lexists(path):
        return
    refuse_mark(path, "the word")
    if path.strip().lower().startswith(("jti_", "jid_")):
        raise UsageError("this is no id, and there is no such file", "an id has 26 characters of 0-9 and a-v")
    raise UsageError(
        "there is no such file",
        "a leaked string goes to standard input, never on the line: it is in your shell's history now",
    )


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
                f"{label} is expected on standard input, and that is a terminal",
                "pipe it in, or name a file",
            )
        return 0
    try:
        with time_limit.Pause():
            # Opening a FIFO waits for its writer.
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(path, label, error) from error
    except ValueError as error:
        raise UsageError(f"{label} cannot be read from {quote(path)}: it is no path") from error


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
        return UsageError(
            f"{label} cannot be read: its name holds a byte order mark (U+FEFF)", "type it again"
        )
    from jitid.capabilities.run.token_place import unreadable_hint

    reason = (error.strerror or "error").lower()
    return UsageError(
        f"{label} cannot be read from {quote(path)}: {reason}",
        token_warning(path) or unreadable_hint(path, error),
    )


def answer() -> str:
    """Return one line from the terminal, without white space around it; an empty text at its end."""
    try:
        return piece_of(0, 256).decode("utf-8", "replace").strip()
    except OSError:
        return ""


LONGEST = 1 << 16
"""Maximum number of bytes in a line."""

MOST = 1_000
"""Maximum number of lines in a batch."""

PATIENCE = 1.0
"""Seconds after which a batch is returned, even if more lines are available."""

GC_THRESHOLD = 100_000
"""First threshold of the garbage collector (`gc.set_threshold`): about the number of objects of some thousand lines."""

_MOST_BYTES = 1 << 21
_PIECE = 1 << 16


class InputLine(NamedTuple):
    """A line without its end."""

    number: int
    """Counted from 1."""
    text: bytes | None
    """None for a line that is too long."""


class Lines:
    """Reader of standard input, line by line and in bounded memory."""

    def __init__(self, label: str) -> None:
        """Open standard input; errors name it `label`. Raises UsageError for a terminal."""
        self._label = label
        if os.isatty(0):
            raise UsageError(
                f"{label} is expected on standard input, and that is a terminal", "pipe it in: … < FILE"
            )
        self._descriptor = opened("-", label)
        self._pending: deque[bytes | None] = deque()
        self._begun = b""
        self._overlong = False
        self._ended = False
        self._number = 0
        self._input = select.poll()
        self._input.register(self._descriptor, select.POLLIN)
        self._both = select.poll()
        self._both.register(self._descriptor, select.POLLIN)
        # Even an empty event mask reports that the reader of the pipe has closed it.
        self._both.register(output.DATA, 0)

    def some(self) -> list[InputLine]:
        """Wait for a line, and return it with the lines that are available at once; return none at the end.

        Raises:
            OutputError: the reader of standard output has closed the pipe.
            UsageError: standard input cannot be read.

        """
        batch: list[InputLine] = []
        size, deadline = 0, 0.0
        while True:
            while self._pending and len(batch) < MOST and size < _MOST_BYTES:
                self._number += 1
                text = self._pending.popleft()
                batch.append(InputLine(self._number, text))
                size += len(text or b"")
            if batch and not deadline:
                deadline = monotonic() + PATIENCE
            if self._ended or len(batch) == MOST or size >= _MOST_BYTES:
                return batch
            if batch and (monotonic() >= deadline or not self._input.poll(0)):
                return batch
            if not batch:
                self._wait()
            self._read()

    def _wait(self) -> None:
        with time_limit.Pause():
            events = self._both.poll()
        for descriptor, _ in events:
            if descriptor == output.DATA and not self._input.poll(0):
                # This raises the proper error.
                output.wait(0)

    def _read(self) -> None:
        try:
            piece = piece_of(self._descriptor, _PIECE)
        except BlockingIOError:
            return
        except OSError as error:
            raise unreadable("-", self._label, error) from error
        if not piece:
            self._ended = True
            if self._overlong or self._begun:
                self._pending.append(None if self._overlong else self._begun)
            self._begun = b""
            return
        *tails, beginning = piece.split(b"\n")
        for tail in tails:
            text = self._begun + tail
            self._pending.append(None if self._overlong or len(text) > LONGEST else text)
            self._begun, self._overlong = b"", False
        if not self._overlong:
            self._begun += beginning
            if len(self._begun) > LONGEST:
                self._begun, self._overlong = b"", True


def can_prompt(cli: Invocation) -> bool:
    """Return whether a user is at a terminal to answer."""
    return not cli.no_input and os.isatty(0) and os.isatty(2)


def confirm(effect: str, number: int, expected: str) -> None:
    """Print the effect and the required answer. Raise UsageError for any answer but the number."""
    output.print_message(f"jitid: this would {effect}")
    output.print_message(f"jitid: type {expected}")
    if answer() != str(number):
        raise UsageError("not confirmed; nothing was changed", "with --yes nobody is asked")
