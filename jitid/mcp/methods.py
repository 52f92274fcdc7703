"""The MCP server: its tools, as an agent's model reads them, and their calls in the order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jitid import __version__
from jitid.errors import JitidError
from jitid.mcp import messages, tool_answers, tool_arguments
from jitid.mcp.messages import MessageError, Request
from jitid.mcp.session import AgentSession
from jitid.system import output
from jitid.values.declaration import Declared
from jitid.values.record import Record

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Supported protocol revisions, oldest first; a client with another revision is offered the last."""

_INSTRUCTIONS = (
    "You act with an identity of your own, which somebody has delegated to you for one task. Before you start a "
    "sub-agent or a program, ask for a narrower identity for it with request_identity, and hand it back with hand_back "
    "when it is done. You get the path of a file with a token for the services that you name: give that path to the "
    "program, as its JITID_TOKEN_FILE, and never read or print the token."
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
            request = messages.read(line)
            if request is None or request.id is None:
                # Notifications have no effect: calls are answered in their order, so there is never a running call to
                # cancel.
                return None
            return messages.answer(request.id, self._result(request))
        except MessageError as error:
            return messages.refusal(error)

    def _result(self, request: Request) -> Mapping[str, Any]:
        match request.method:
            case "initialize":
                return self._initialize(request)
            case "ping":
                return {}
            case "tools/list" | "tools/call" if self._version is None:
                raise MessageError(
                    messages.INVALID_REQUEST, "the session begins with `initialize`", request.id
                )
            case "tools/list":
                if request.params.get("cursor") is not None:
                    raise MessageError(
                        messages.INVALID_PARAMS, "there is one page, and no cursor", request.id
                    )
                return {"tools": [tool.listed() for tool in TOOLS.values()]}
            case "tools/call":
                return self._call(request)
            case _:
                raise MessageError(messages.NO_METHOD, "there is no such method", request.id)

    def _initialize(self, request: Request) -> Mapping[str, Any]:
        requested = request.params.get("protocolVersion")
        if not isinstance(requested, str):
            raise MessageError(messages.INVALID_PARAMS, "`protocolVersion` is no text", request.id)
        if self._version is not None:
            raise MessageError(messages.INVALID_REQUEST, "the session has begun already", request.id)
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
            raise MessageError(
                messages.INVALID_PARAMS, f"there is no such tool; there are: {', '.join(TOOLS)}", request.id
            )
        if not isinstance(arguments, dict):
            raise MessageError(messages.INVALID_PARAMS, "`arguments` is no object", request.id)
        try:
            return _content(tool.perform(self._session, tool_arguments.read(arguments, tool.takes)))
        except JitidError as error:
            # The refusal of a tool is for the agent, not for its client (MCP, "Error Handling" of tools).
            return {**_content({"error": tool_answers.refusal(error)}), "isError": True}
        except Exception as error:
            if self._debug:
                raise
            output.print_message(f"jitid: error: internal error: {type(error).__name__}; this is a bug")
            raise MessageError(
                messages.INTERNAL_ERROR, "internal error: this is a bug of jitid", request.id
            ) from error


def _content(structured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a tool as data, and as the same data in text for clients that only support text."""
    return {
        "content": [{"type": "text", "text": messages.dumps(structured)}],
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
            "inputSchema": tool_arguments.schema_of(self.takes),
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
            "Tell who you are: your identity, for whom and on which task you act, your scopes and audiences, until "
            "when, and which identities you have been given here for sub-agents.",
            tool_arguments.Nothing,
            tool_answers.SELF,
            _LOOKS,
            AgentSession.whoami,
        ),
        Tool(
            "what_may_i_do",
            "What may I do",
            "Ask whether request_identity would permit something, without doing it: the answer says what would be "
            "granted, or why not and what would pass. Without arguments it asks for an identity of your own name, "
            "without scopes and for no service.",
            tool_arguments.IdentityQuestion,
            tool_answers.DECISION,
            _LOOKS,
            AgentSession.what_may_i_do,
        ),
        Tool(
            "request_identity",
            "Request an identity for a sub-task",
            "Get a narrower, short-lived identity for a sub-agent or a program, delegated from your own. Name in "
            "audiences the services that its token is shown to. Ask for the least scopes and the shortest time that "
            "will do. The token is in the file token_file, for the program that needs it: never read it yourself, and "
            "never print it.",
            tool_arguments.IdentityRequest,
            tool_answers.ISSUED,
            {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False},
            AgentSession.request_identity,
        ),
        Tool(
            "hand_back",
            "Hand an identity back",
            "End an identity that descends from yours, with all that descends from it, as soon as it is no longer "
            "needed; or your own, as the last thing that you do. It cannot be undone.",
            tool_arguments.OneIdentity,
            tool_answers.HANDED_BACK,
            {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True},
            AgentSession.hand_back,
        ),
    )
}
