"""The MCP server: messages, the tools as an agent's model reads them, and their calls in the order of arrival."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jitid import __version__
from jitid.errors import JitidError, UsageError
from jitid.mcp import tool_answers
from jitid.mcp.session import AgentSession
from jitid.system import output
from jitid.values import strict_json
from jitid.values.declaration import Declared
from jitid.values.record import Record

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Supported protocol revisions, oldest first; a client with another revision is offered the last."""

_INSTRUCTIONS = (
    "You have your own identity, delegated to you for one task. Before you start a sub-agent or a program, get a "
    "narrower identity for it with request_identity. When it is done, hand the identity back with hand_back. The "
    "answer has the path of a file with a token for the services that you name. Pass that path to the program as its "
    "JITID_TOKEN_FILE. Never read or print the token."
)


class McpServer:
    """An MCP server for one client."""

    def __init__(self, session: AgentSession, *, debug: bool) -> None:
        self._debug = debug
        self._session = session
        self._version: str | None = None
        """The negotiated protocol revision."""

    def answer(self, line: bytes | None) -> str | None:
        """Return the answer to a line, without its line break; None if the message gets no answer."""
        try:
            request = read(line)
            if request is None or request.id is None:
                # Notifications have no effect: calls are answered in their order, so there is never a running call to
                # cancel.
                return None
            return answer(request.id, self._result(request))
        except MessageError as error:
            return refusal(error)

    def _result(self, request: Request) -> Mapping[str, Any]:
        match request.method:
            case "initialize":
                return self._initialize(request)
            case "ping":
                return {}
            case "tools/list" | "tools/call" if self._version is None:
                raise MessageError(INVALID_REQUEST, "the session must begin with `initialize`", request.id)
            case "tools/list":
                if request.params.get("cursor") is not None:
                    raise MessageError(
                        INVALID_PARAMS, "the list has only one page, so `cursor` is invalid", request.id
                    )
                return {"tools": [tool.listed() for tool in TOOLS.values()]}
            case "tools/call":
                return self._call(request)
            case _:
                raise MessageError(NO_METHOD, "unknown method", request.id)

    def _initialize(self, request: Request) -> Mapping[str, Any]:
        requested = request.params.get("protocolVersion")
        if not isinstance(requested, str):
            raise MessageError(INVALID_PARAMS, "`protocolVersion` is not a string", request.id)
        if self._version is not None:
            raise MessageError(INVALID_REQUEST, "the session has begun already", request.id)
        self._version = requested if requested in VERSIONS else VERSIONS[-1]
        return {
            "protocolVersion": self._version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "jitid", "title": "jitid", "version": __version__},
            "instructions": _INSTRUCTIONS,
        }

    def _call(self, request: Request) -> Mapping[str, Any]:
        name, arguments = request.params.get("name"), request.params.get("arguments", {})
        tool = TOOLS.get(name) if isinstance(name, str) else None
        if tool is None:
            raise MessageError(INVALID_PARAMS, f"unknown tool; the tools are: {', '.join(TOOLS)}", request.id)
        if not isinstance(arguments, dict):
            raise MessageError(INVALID_PARAMS, "`arguments` is not an object", request.id)
        try:
            return _content(tool.perform(self._session, tool_answers.read(arguments, tool.takes)))
        except JitidError as error:
            # The refusal of a tool is for the agent, not for its client (MCP, "Error Handling" of tools).
            return {**_content({"error": tool_answers.refusal(error)}), "isError": True}
        except Exception as error:
            if self._debug:
                raise
            output.print_message(f"jitid: error: internal error: {type(error).__name__}; this is a bug")
            raise MessageError(
                INTERNAL_ERROR, "internal error: this is a bug of jitid", request.id
            ) from error


def _content(structured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a tool as data, and as the same data in text for clients that only support text."""
    return {
        "content": [{"type": "text", "text": dumps(structured)}],
        "structuredContent": structured,
        "isError": False,
    }


class Tool(Record):
    """A tool: its listing, and the function that performs it."""

    name: str
    title: str
    description: str
    takes: type[Declared]
    gives: tool_answers.Schema
    hints: Mapping[str, bool]
    perform: Callable[[AgentSession, Any], dict[str, Any]]

    def listed(self) -> dict[str, Any]:
        """Return the tool in the form of `tools/list`."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": tool_answers.schema_of(self.takes),
            "outputSchema": self.gives,
            "annotations": {"title": self.title, "openWorldHint": False, **self.hints},
        }


_LOOKS = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True}

TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "whoami",
            "Who am I",
            "Return your identity: delegator, task, scopes, audiences and expiry. The answer also lists the "
            "identities that you obtained here for sub-agents.",
            tool_answers.Nothing,
            tool_answers.SELF,
            _LOOKS,
            AgentSession.whoami,
        ),
        Tool(
            "what_may_i_do",
            "Check a request",
            "Check whether request_identity would permit a request, without issuing. The answer has the granted "
            "values, or the reason for the denial and a request that would pass. Without arguments it checks an "
            "identity with your own name, without scopes and audiences.",
            tool_answers.IdentityQuestion,
            tool_answers.DECISION,
            _LOOKS,
            AgentSession.what_may_i_do,
        ),
        Tool(
            "request_identity",
            "Request an identity for a sub-task",
            "Get a narrower, short-lived identity for a sub-agent or a program, delegated from your own. Name in "
            "audiences the services that receive the token. Request the least scopes and the shortest lifetime that "
            "suffice. The token is in the file token_file, for the program that needs it. Never read or print it.",
            tool_answers.IdentityRequest,
            tool_answers.ISSUED,
            {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False},
            AgentSession.request_identity,
        ),
        Tool(
            "hand_back",
            "Hand an identity back",
            "Revoke an identity that descends from yours, with all its descendants, once it is no longer needed. Or "
            "revoke your own identity as your last step. This cannot be undone.",
            tool_answers.OneIdentity,
            tool_answers.HANDED_BACK,
            {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True},
            AgentSession.hand_back,
        ),
    )
}


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

    def __init__(self, code: int, reason: str, id_: Id = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.id = id_
        """The id of the request, if it could be read."""


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
    document = {"code": error.code, "message": error.reason}
    return dumps({"jsonrpc": "2.0", "id": error.id, "error": document})


def dumps(value: object) -> str:
    """Return a value as JSON on one line: ASCII only, so that no text in it can affect a terminal."""
    return json.dumps(value, separators=(",", ":"))
