"""Names of agents and tasks at targets; no two agents or tasks have the same name there."""

from __future__ import annotations

from jitid.errors import UsageError
from jitid.model.target import TargetRecord
from jitid.model.task import UNKNOWN_OWNER, written_task
from jitid.values.names import EPHEMERAL
from jitid.values.text import label


def agent_of(record: TargetRecord) -> str:
    """Return the displayed name of an agent; the name shows if the agent is not registered."""
    return record.agent if record.under_agent else f"{EPHEMERAL}/{record.agent}"


def proved_agent(record: TargetRecord, target: str) -> str:
    """Return the name of an agent for use where rights may depend on it.

    Raises UsageError for an agent that is not registered: its name was chosen by the requester.
    """
    if not record.under_agent:
        raise UsageError(
            f"a template of the target {target} has `{{agent}}`, and the agent {label(record.agent)} is not "
            "registered: any agent could have that name; nothing was made",
            f"jitid agent register {record.agent}; or let the template name the identity, by {{id}}",
        )
    return record.agent


def task_of(record: TargetRecord, slash: str = "%2F") -> str:
    """Return `OWNER/NAME`: other owners may have a task of the same name. `slash` replaces each slash of the owner."""
    return written_task(record.task_opener or UNKNOWN_OWNER, record.task, slash)
