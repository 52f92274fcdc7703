"""Signed audit heads in files: what a sweep reads on from, and what it leaves for the next one."""

from __future__ import annotations

import json
import os

from jitid.crypto.jws import parse_any
from jitid.errors import InvalidCredentialError, OutputError, UsageError
from jitid.redaction.token_format import MAX_TOKEN, bare
from jitid.system.files import read_regular, write_private
from jitid.system.output_place import is_special
from jitid.system.temp_files import remove_leftovers


def kept_heads(own: str | None, other: str | None) -> tuple[tuple[str, str], ...]:
    """Return the places and the texts of the heads that are there: the ledger's own, and the one kept elsewhere.

    What is in a file is believed by nobody yet, so that an empty or damaged one is the ledger's to tell of. A pipe or a
    device of the user's is only written to. Raises UsageError for a file of the user's that cannot be read.
    """
    found = []
    for path in (own, other):
        if path is None or not os.path.lexists(path):
            continue
        if path == other and is_special(path) and not os.path.isdir(path):
            continue
        try:
            found.append((path, _text(path)))
        except OSError as error:
            if path == other:
                reason = (error.strerror or "error").lower()
                raise UsageError(f"the signed head cannot be read from {path}: {reason}") from error
            # What is in the place of the ledger's own vouches for nothing, as one that is empty.
            found.append((path, ""))
    return tuple(found)


def keep_head(path: str, head: str) -> None:
    """Put a head into a file, unless a later one is there: two sweeps may end in any order.

    Raises OutputError if the file does not have it afterwards.
    """
    if _seq(path) > _seq_of(head):
        return
    write_private(path, f"{head}\n".encode())
    remove_leftovers(path)


def keep_own_head(path: str, head: str) -> None:
    """Put a head into the ledger's own file, unless one of as many events is there and cannot be replaced.

    Raises OutputError if the file does not have such a head afterwards.
    """
    if is_special(path):
        # The sweep has reported a finding about it, and nothing waits for its reader.
        return
    kept, seq = _seq(path), _seq_of(head)
    if kept > seq:
        return
    try:
        write_private(path, f"{head}\n".encode(), of_folder=True)
    except OutputError:
        # Of the same events the new head has a later time alone.
        if kept == seq:
            return
        raise
    remove_leftovers(path)


def _text(path: str) -> str:
    return bare(read_regular(path, MAX_TOKEN).decode("utf-8", "replace"))


def _seq(path: str) -> int:
    try:
        return _seq_of(_text(path))
    except OSError:
        return -1


def _seq_of(head: str) -> int:
    """Return the event that a head tells of; -1 for what is none. Whoever may write the file may write any number."""
    try:
        seq = parse_any(head).claims.get("seq")
    except (InvalidCredentialError, json.JSONDecodeError):
        return -1
    return seq if isinstance(seq, int) else -1
