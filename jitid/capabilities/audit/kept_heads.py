"""Signed audit heads in files: a sweep continues from them, and stores the new head."""

from __future__ import annotations

import json
import os

from jitid.crypto.jws import parse_any
from jitid.errors import InvalidCredentialError, OutputError, UsageError
from jitid.redaction.token_format import MAX_TOKEN, bare
from jitid.system.files import read_regular, remove_leftovers, write_private
from jitid.system.output_place import is_special


def kept_heads(own_path: str | None, user_path: str | None) -> tuple[tuple[str, str], ...]:
    """Return the places and the texts of the existing heads: in the ledger's file, and in the user's file.

    The texts are not verified here: the ledger reports an empty or damaged head. A pipe or a device of the user is
    only written, never read. Raises UsageError if the user's file cannot be read.
    """
    heads = []
    for path in (own_path, user_path):
        if path is None or not os.path.lexists(path):
            continue
        if path == user_path and is_special(path) and not os.path.isdir(path):
            continue
        try:
            heads.append((path, _text(path)))
        except OSError as error:
            if path == user_path:
                reason = (error.strerror or "error").lower()
                raise UsageError(f"cannot read the signed head from {path}: {reason}") from error
            # An unreadable head of the ledger proves nothing, like an empty one.
            heads.append((path, ""))
    return tuple(heads)


def keep_head(path: str, head: str) -> None:
    """Write a head to a file, unless the file has a later one: two sweeps may end in any order.

    Raises OutputError if the file does not have the head afterwards.
    """
    if _seq(path) > _seq_of(head):
        return
    write_private(path, f"{head}\n".encode())
    remove_leftovers(path)


def keep_own_head(path: str, head: str) -> None:
    """Write a head to the ledger's file, unless the file has a later one.

    Raises OutputError if the file has neither this head nor another head of the same event afterwards.
    """
    if is_special(path):
        # The sweep has reported this as a finding, and a write could wait for a reader.
        return
    file_seq, seq = _seq(path), _seq_of(head)
    if file_seq > seq:
        return
    try:
        write_private(path, f"{head}\n".encode(), of_folder=True)
    except OutputError:
        # Two heads of the same event differ only in their time.
        if file_seq == seq:
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
    """Return the event number of a head, or -1. It is not verified: any writer of the file can choose it."""
    try:
        seq = parse_any(head).claims.get("seq")
    except (InvalidCredentialError, json.JSONDecodeError):
        return -1
    return seq if isinstance(seq, int) else -1
