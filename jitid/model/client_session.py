"""A session of a coding agent, or a subagent in it: the client's names for it, and the path of its transcript."""

from __future__ import annotations

from typing import Annotated

from jitid.values.field_types import kept_text
from jitid.values.record import Record

LONGEST_NAME = 256
LONGEST_PATH = 4_096


class ClientSession(Record):
    """A client's names for an identity. They are free texts, and give no right."""

    client: Annotated[str, kept_text(LONGEST_NAME, "the client")]
    name: Annotated[str, kept_text(LONGEST_NAME, "the session")]
    """The client's id of the session."""
    subagent: Annotated[str | None, kept_text(LONGEST_NAME, "the subagent")] = None
    """The client's id of the subagent; None for the session itself."""
    transcript: Annotated[str | None, kept_text(LONGEST_PATH, "the transcript")] = None
    """The path of the transcript on the machine of the client."""
