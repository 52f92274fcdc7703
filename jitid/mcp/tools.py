"""The tools, as a client lists them and as an agent's model reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jitid.mcp import tool_answers, tool_arguments
from jitid.mcp.session import AgentSession
from jitid.values.declaration import Declared
from jitid.values.record import Record


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
