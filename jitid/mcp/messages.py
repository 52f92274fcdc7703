"""JSON-RPC messages on standard input and output, one on each line: read strictly, and bounded in size."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Iterator, Mapping
from typing import Any

from jitid.errors import UsageError
from jitid.values import strict_json
from jitid.values.record import Record

LONGEST = 1 << 16
"""Maximum bytes of a message; a longer one is discarded while it is read."""

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, INTERNAL_ERROR = (
    -32700,
    -32600,
    -32601,
    -32602,
    -32603,
)
"""JSON-RPC 2.0, section 5.1."""

_PIECE = 1 << 16
_LONGEST_ID = 256
"""Maximum characters of an id, which the answer repeats."""

Id = str | int | None


class Request(Record):
    """A request, or a notification, which gets no answer."""

    method: str
    params: Mapping[str, Any]
    id: Id
    """None for a notification."""


class MessageError(Exception):
    """A message that is invalid or cannot be served. The reason quotes no part of it."""

    def __init__(self, code: int, reason: str, id_: Id = None, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.id = id_
        """The id of the request, if it could be read."""
        self.data = data
        """Members for the client's program, in the form that the protocol fixes for this code."""


def lines() -> Iterator[bytes | None]:
    """Yield each line of standard input without its line break; None for a line that is too long.

    Text after the last line break is a line too. Blank lines are skipped. Raises UsageError if standard input cannot
    be read.
    """
    buffer = bytearray()
    too_long = False
    while piece := _read():
        *whole, tail = piece.split(b"\n")
        for part in whole:
            buffer += part
            if too_long or len(buffer) > LONGEST:
                yield None
            elif buffer.strip():
                yield bytes(buffer)
            buffer.clear()
            too_long = False
        if not too_long:
            buffer += tail
        if len(buffer) > LONGEST:
            buffer.clear()
            too_long = True
    if too_long:
        yield None
    elif buffer.strip():
        yield bytes(buffer)


def _read() -> bytes:
    while True:
        try:
            return os.read(0, _PIECE)
        except BlockingIOError:
            # Another process made the shared terminal or pipe non-blocking.
            select.select([0], [], [])
        except OSError as error:
            raise UsageError(
                f"standard input cannot be read: {(error.strerror or 'error').lower()}",
                "a client of the Model Context Protocol writes to it",
            ) from error


def read(line: bytes | None) -> Request | None:
    """Return the request in a line; None for an answer, since this server sends no requests.

    Raises MessageError for a message that is not a valid request.
    """
    if line is None:
        raise MessageError(INVALID_REQUEST, f"the message is longer than {LONGEST} bytes")
    try:
        message = strict_json.loads(line, "the message")
    except strict_json.StrictJSONError as error:
        raise MessageError(PARSE_ERROR, str(error)) from None
    if isinstance(message, list):
        raise MessageError(
            INVALID_REQUEST, "batches are not supported: write each message on a separate line"
        )
    if not isinstance(message, dict):
        raise MessageError(INVALID_REQUEST, "the message is not an object")
    id_ = message.get("id")
    if not _is_id(id_):
        id_ = None
    if message.get("jsonrpc") != "2.0":
        raise MessageError(INVALID_REQUEST, 'the member `jsonrpc` is not "2.0"', id_)
    if "method" not in message and ("result" in message or "error" in message):
        return None
    if "id" in message and id_ is None:
        raise MessageError(
            INVALID_REQUEST,
            f"the member `id` must be an integer or a string of at most {_LONGEST_ID} characters",
        )
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str):
        raise MessageError(INVALID_REQUEST, "the member `method` is not a string", id_)
    if not isinstance(params, dict):
        raise MessageError(INVALID_PARAMS, "the member `params` is not an object", id_)
    return Request(method, params, id_)


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_ID
    return isinstance(value, int) and not isinstance(value, bool)


def answer(id_: Id, result: Mapping[str, Any]) -> str:
    """Return the line that answers a request, without its line break."""
    return dumps({"jsonrpc": "2.0", "id": id_, "result": result})


def refusal(error: MessageError) -> str:
    """Return the line that refuses a message, without its line break."""
    document: dict[str, Any] = {"code": error.code, "message": error.reason}
    if error.data is not None:
        document["data"] = error.data
    return dumps({"jsonrpc": "2.0", "id": error.id, "error": document})


def dumps(value: object) -> str:
    """Return a value as JSON on one line: ASCII only, so that no text in it can affect a terminal."""
    return json.dumps(value, separators=(",", ":"))
