"""The event of a client: one JSON object on the standard input of a hook. Only the members named here are read."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from jitid.errors import UsageError
from jitid.model.client_session import LONGEST_NAME, LONGEST_PATH
from jitid.values import strict_json
from jitid.values.record import Record


class Change(StrEnum):
    """The change of identities after an event."""

    SESSION_START = "sessionstart"
    SESSION_END = "sessionend"
    SUBAGENT_START = "subagentstart"
    SUBAGENT_END = "subagentstop"
    NOTHING = ""
    """Another event: only a renewal may be due."""


class HookEvent(Record):
    """An event of a client."""

    name: str
    change: Change
    session: str | None
    """The client's id of its session."""
    source: str | None = None
    """How the session began, such as `resume`."""
    transcript: str | None = None
    agent: str | None = None
    """The client's id of the subagent that the event is about."""
    agent_type: str | None = None


_SESSION = ("session_id", "sessionId", "conversation_id")
_AGENT = ("agent_id", "agentId", "subagent_id")
_AGENT_TYPE = ("agent_type", "agentType", "agentName", "subagent_type")
_TRANSCRIPT = ("agent_transcript_path", "transcript_path", "transcriptPath")
_NAME = ("hook_event_name", "hookEventName")


def read_event(text: str) -> HookEvent:
    """Return the event in the input of a hook. Raises UsageError for an invalid input."""
    try:
        members = strict_json.loads(text, "the input of the hook")
    except strict_json.StrictJSONError as error:
        raise UsageError(str(error), "a client passes its event as JSON on standard input") from None
    if not isinstance(members, dict):
        raise UsageError("the input of the hook is not a JSON object")
    name = _text(members, _NAME, LONGEST_NAME) or ""
    kind = name.lower().replace("_", "")
    change = next((change for change in Change if change and change.value == kind), Change.NOTHING)
    of_subagent = change in (Change.SUBAGENT_START, Change.SUBAGENT_END)
    return HookEvent(
        name,
        change,
        _text(members, _SESSION, LONGEST_NAME),
        _text(members, ("source",), LONGEST_NAME),
        # Only the end of a subagent names its own transcript.
        _text(members, _TRANSCRIPT if change is Change.SUBAGENT_END else _TRANSCRIPT[1:], LONGEST_PATH),
        _text(members, _AGENT, LONGEST_NAME) if of_subagent else None,
        _text(members, _AGENT_TYPE, LONGEST_NAME) if of_subagent else None,
    )


def _text(members: dict[str, Any], names: tuple[str, ...], longest: int) -> str | None:
    """Return the first of these members that is a text. Raises UsageError if it is too long."""
    for name in names:
        value = members.get(name)
        if isinstance(value, str) and value:
            if len(value) > longest:
                raise UsageError(f"{name} in the input of the hook has more than {longest} characters")
            return value
    return None
