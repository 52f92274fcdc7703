"""The one place that writes: data to standard output, talk to standard error."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from jitid.redaction.token_format import masked
from jitid.system import time_limit

DATA = 1
TALK = 2

_PIECE = 1 << 16
"""So many characters are written at once of what has no end."""


def claim_descriptors() -> None:
    """Fill closed standard descriptors, before any file is opened.

    A ledger opened while descriptor 1 is free would become descriptor 1, and a token printed would land
    inside it. The stand-ins for input and output are opened the wrong way round on purpose: reading from
    or writing to what was closed still fails.
    """
    for descriptor, mode in ((0, os.O_WRONLY), (DATA, os.O_RDONLY), (TALK, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is taken, and the lower ones are filled by now.
            os.open(os.devnull, mode)


def write(text: str) -> None:
    """Write `text` to standard output, as UTF-8 and in one call where the system takes it so.

    Raises OutputError when it cannot all be written: a closed descriptor, a full device, a reader that went
    away (its cause is then a BrokenPipeError, and there is nobody to tell).
    """
    try:
        _write_all(DATA, text)
    except OSError as error:
        raise _failed(error) from error


def write_bytes(data: bytes) -> None:
    """Write what is no text to standard output. Raises OutputError as `write` does."""
    try:
        _write_bytes(DATA, data)
    except OSError as error:
        raise _failed(error) from error


def write_pieces(pieces: Iterable[str]) -> None:
    """Write many pieces of text as they come, a good number in one call. Raises OutputError."""
    gathered: list[str] = []
    size = 0
    try:
        for piece in pieces:
            gathered.append(piece)
            size += len(piece)
            if size >= _PIECE:
                text = "".join(gathered)
                gathered.clear()
                size = 0
                write(text)
    finally:
        # Also where what makes them breaks off: what has come may tell of what was done.
        if gathered:
            write("".join(gathered))


def put(pieces: Iterable[str], out: str | None) -> None:
    """Write many pieces of text as they come: to standard output, or to the file `out` for its owner alone.

    The file has all of them or is as it was. Raises OutputError.
    """
    if out is None:
        write_pieces(pieces)
        return
    from jitid.system.files import writing_private

    with writing_private(out) as file:
        for piece in pieces:
            file.write(piece)


_quick = False


def be_quick() -> None:
    """Say nothing more to a standard error that does not take it at once."""
    global _quick
    _quick = True


def say(text: str) -> None:
    """Write `text` and a newline to standard error, with stars instead of what looks like a credential.

    A standard error that is closed is no error.
    """
    if _quick:
        import select

        ready = select.poll()
        ready.register(TALK, select.POLLOUT)
        if not any(event & select.POLLOUT for _, event in ready.poll(0)):
            return
    try:
        _write_all(TALK, masked(text) + "\n")
    except OSError:
        return


def tell_now(text: str) -> None:
    """Write `text` to standard error as it is, without a newline: a line of progress, or what takes it back."""
    try:
        _write_all(TALK, text)
    except OSError:
        return


def wait(seconds: float) -> None:
    """Wait; raise OutputError if standard output is closed, and as soon as nobody can read on from it."""
    import select

    try:
        os.write(DATA, b"")
    except OSError as error:
        raise _failed(error) from error
    poll = select.poll()
    # Whoever asks for no event still hears that the reader of a pipe has gone away.
    poll.register(DATA, 0)
    gone = poll.poll(seconds * 1000)
    if gone and gone[0][1] & (select.POLLERR | select.POLLHUP):
        broken = BrokenPipeError(errno.EPIPE, "nobody reads it")
        raise _failed(broken) from broken


def is_terminal() -> bool:
    """Return whether data goes to somebody's screen."""
    return os.isatty(DATA)


def _failed(error: OSError) -> Exception:
    # Only what fails pays for the enumeration that errors.py brings.
    from jitid.errors import OutputError

    reason = "it is closed" if error.errno == errno.EBADF else (error.strerror or "write failed").lower()
    failure = OutputError(f"standard output cannot be written: {reason}")
    failure.standard = True
    return failure


def _write_all(descriptor: int, text: str) -> None:
    # Lone surrogates (undecodable bytes of a file name) must not turn a report into a crash.
    _write_bytes(descriptor, text.encode("utf-8", "backslashreplace"))


def _write_bytes(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    # The reader may be slow: that takes none of the command's time.
    with time_limit.Pause():
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                # Another process made the shared terminal or pipe non-blocking.
                import select

                select.select([], [descriptor], [])
