"""The only module that writes to the standard descriptors: data to standard output, messages to standard error."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from jitid.redaction.token_format import masked
from jitid.system import time_limit

TYPE_CHECKING = False  # As in `typing`, which would take a third of the time of `jitid --version`.
if TYPE_CHECKING:
    from jitid.system.pager import Pager

DATA = 1
TALK = 2

_PIECE = 1 << 16
"""The number of characters that a stream writes at once."""


def claim_descriptors() -> None:
    """Fill closed standard descriptors, before any file is opened.

    If descriptor 1 is free, a ledger that is opened would get this number, and a printed token would be written into
    it. The replacements for input and output are opened in the wrong direction on purpose: reading from or writing to
    a closed descriptor still fails.
    """
    for descriptor, mode in ((0, os.O_WRONLY), (DATA, os.O_RDONLY), (TALK, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system uses the lowest free number, and all lower ones are filled already.
            os.open(os.devnull, mode)


_pager: Pager | None = None


def use_pager(words: list[str]) -> None:
    """From now on, show output that is longer than the terminal in a pager with this command."""
    global _pager
    from jitid.system.pager import Pager

    _pager = Pager(words)


def finish() -> None:
    """Write output that was held back for a pager, or wait until the user has left the pager. Raises OutputError."""
    global _pager
    if _pager is not None:
        pager, _pager = _pager, None
        try:
            write(pager.close())
        except BaseException:
            pager.stop()
            raise
        finally:
            _print_late()


def drop_pager() -> None:
    """End the pager, and drop the output that it has not shown."""
    global _pager
    if _pager is not None:
        pager, _pager = _pager, None
        pager.stop()
        _print_late()


_late: list[str] = []
"""Messages after output that a pager holds back: they must not come before it."""


def _print_late() -> None:
    messages = _late.copy()
    _late.clear()
    for message in messages:
        print_message(message)


def write(text: str) -> None:
    """Write `text` to standard output as UTF-8, in one call if the system accepts that.

    Raises OutputError if not all of it can be written: a closed descriptor, a full device, or a reader that has gone
    away. In the last case the cause is a BrokenPipeError, and no message is needed.
    """
    if _pager is not None:
        _pager.write(text)
        return
    try:
        _write_all(DATA, text)
    except OSError as error:
        raise _failed(error) from error


def write_line(text: str, indent: int = 2) -> None:
    """Write a sentence to standard output; at a terminal, its lines end between words. Raises OutputError.

    `indent` is the number of blanks before further lines.
    """
    if len(text) > _NARROW and is_terminal():
        from jitid.system.message_lines import fitted

        text = fitted(text, os.get_terminal_size(DATA).columns, prefix="", indent=" " * indent)
    write(f"{text}\n")


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output. Raises OutputError as `write` does."""
    try:
        _write_bytes(DATA, data)
    except OSError as error:
        raise _failed(error) from error


def write_pieces(pieces: Iterable[str]) -> None:
    """Write pieces of text as they come, many of them in one call. Raises OutputError."""
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
        # Even if the iterator fails: the pieces so far may report work that was done.
        if gathered:
            write("".join(gathered))


def put(pieces: Iterable[str], out: str | None) -> None:
    """Write pieces of text as they come: to standard output, or to the private file `out`.

    The file gets all of them or is unchanged. Raises OutputError.
    """
    if out is None:
        write_pieces(pieces)
        return
    from jitid.system.files import writing_private

    with writing_private(out) as file:
        for piece in pieces:
            file.write(piece)


_NARROW = 40
"""The number of characters of a message that fits any terminal."""

_quick = False


def be_quick() -> None:
    """From now on, drop messages that standard error does not accept at once."""
    global _quick
    _quick = True


def print_message(text: str) -> None:
    """Write `text` and a newline to standard error; text that looks like a credential is replaced by stars.

    A closed standard error is ignored. A message after output that a pager shows or holds back comes after it.
    """
    if _pager is not None and _pager.is_used:
        _late.append(text)
        return
    if _quick:
        import select

        poll = select.poll()
        poll.register(TALK, select.POLLOUT)
        if not any(event & select.POLLOUT for _, event in poll.poll(0)):
            return
    text = masked(text)
    try:
        if len(text) > _NARROW and os.isatty(TALK):
            from jitid.system.message_lines import fitted

            text = fitted(text, os.get_terminal_size(TALK).columns)
        _write_all(TALK, text + "\n")
    except OSError:
        return


def write_now(text: str) -> None:
    """Write `text` unchanged to standard error, without a newline: a line of progress, or the codes that remove it."""
    try:
        _write_all(TALK, text)
    except OSError:
        return


def wait(seconds: float) -> None:
    """Wait. Raise OutputError if standard output is closed, and as soon as its reader has gone away."""
    import select

    try:
        os.write(DATA, b"")
    except OSError as error:
        raise _failed(error) from error
    poll = select.poll()
    # Without any requested event, poll still reports that the reader of a pipe has gone away.
    poll.register(DATA, 0)
    events = poll.poll(seconds * 1000)
    if events and events[0][1] & (select.POLLERR | select.POLLHUP):
        broken = BrokenPipeError(errno.EPIPE, "it has no reader")
        raise _failed(broken) from broken


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return os.isatty(DATA)


def _failed(error: OSError) -> Exception:
    # Imported here: only a failure needs the enumeration in errors.py.
    from jitid.errors import OutputError

    reason = "it is closed" if error.errno == errno.EBADF else (error.strerror or "write failed").lower()
    failure = OutputError(f"standard output cannot be written: {reason}")
    failure.standard = True
    return failure


def _write_all(descriptor: int, text: str) -> None:
    # Lone surrogates (undecodable bytes of a file name) must not turn a report into a crash.
    _write_bytes(descriptor, text.encode("utf-8", "backslashreplace"))


def _write_bytes(descriptor: int, data: bytes) -> None:
    remaining = memoryview(data)
    # The reader may be slow: that does not count toward the command's time.
    with time_limit.Pause():
        while remaining:
            try:
                remaining = remaining[os.write(descriptor, remaining) :]
            except BlockingIOError:
                # Another process made the shared terminal or pipe non-blocking.
                import select

                select.select([], [descriptor], [])
