"""The MCP server: messages, the tools as an agent's model reads them, and their calls in the order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jitid.errors import JitidError
from jitid.mcp import revisions, tool_answers
from jitid.mcp.messages import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    NO_METHOD,
    MessageError,
    Request,
    answer,
    dumps,
    read,
    refusal,
)
from jitid.mcp.session import AgentSession
from jitid.system import output
from jitid.values.declaration import Declared
from jitid.values.record import Record

_CAPABILITIES: Mapping[str, Any] = {"tools": {}}
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
        """The revision that the first request of the session chose."""

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
        enveloped = revisions.is_enveloped(request)
        if request.method == "initialize":
            return self._initialize(request, enveloped=enveloped)
        if self._version in revisions.HANDSHAKE:
            if enveloped:
                raise MessageError(
                    INVALID_REQUEST,
                    f"the session began with `initialize`, so its revision is {self._version}",
                    request.id,
                )
        elif enveloped or request.method == "server/discover" or self._version == revisions.STATELESS:
            revisions.check_envelope(request)
            # It offers the older revisions too, so that a client may still choose one.
            if request.method != "server/discover":
                self._version = revisions.STATELESS
            return self._stateless(request)
        match request.method:
            case "ping":
                return {}
            case "tools/list" | "tools/call" if self._version is None:
                raise MessageError(
                    INVALID_REQUEST,
                    "the session must begin with `initialize`, or each request must name its revision in `_meta`",
                    request.id,
                )
            case "tools/list":
                return _tools(request)
            case "tools/call":
                return self._call(request)
            case _:
                raise _no_method(request)

    def _stateless(self, request: Request) -> Mapping[str, Any]:
        """Return the result of a request that names its own revision."""
        match request.method:
            case "server/discover":
                offer = {
                    "supportedVersions": list(revisions.VERSIONS),
                    "capabilities": _CAPABILITIES,
                    "instructions": _INSTRUCTIONS,
                }
                return revisions.stateless(offer, lasting=True)
            case "tools/list":
                return revisions.stateless(_tools(request), lasting=True)
            case "tools/call":
                return revisions.stateless(self._call(request))
            case _:
                raise _no_method(request)

    def _initialize(self, request: Request, *, enveloped: bool) -> Mapping[str, Any]:
        requested = request.params.get("protocolVersion")
        if self._version == revisions.STATELESS:
            if enveloped:
                raise _no_method(request)
            # A client whose probe was answered too late reads here that it may go on without a handshake.
            raise revisions.unsupported(request, requested, (revisions.STATELESS,))
        if not isinstance(requested, str):
            raise MessageError(INVALID_PARAMS, "`protocolVersion` is not a string", request.id)
        if self._version is not None:
            raise MessageError(INVALID_REQUEST, "the session has begun already", request.id)
        known = requested in revisions.HANDSHAKE
        self._version = requested if known else revisions.HANDSHAKE[-1]
        return {
            "protocolVersion": self._version,
            "capabilities": _CAPABILITIES,
            "serverInfo": revisions.SERVER,
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


def _tools(request: Request) -> dict[str, Any]:
    if request.params.get("cursor") is not None:
        raise MessageError(INVALID_PARAMS, "the list has only one page, so `cursor` is invalid", request.id)
    return {"tools": [tool.listed() for tool in TOOLS.values()]}


def _no_method(request: Request) -> MessageError:
    return MessageError(NO_METHOD, "unknown method", request.id)


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
