"""The operations on recurring agents; `agent_perform.py` performs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from jitid.operation.base import Operation, PagedOperation
from jitid.operation.verb import READS
from jitid.values.declaration import value, values
from jitid.values.field_types import AGENT, COUNT, FILTER, MAX_ROWS, REASON, ROWS, number

if TYPE_CHECKING:
    from jitid.capabilities.directory.recurrence import Classified, RecurrenceRule
    from jitid.capabilities.directory.registry import Described, Due, KeptAgent, StatedAgent
    from jitid.capabilities.directory.withdrawal import WithdrawnAgent
    from jitid.model.credential import Credential
    from jitid.model.directory import AgentState


class RegisterAgent(Operation["KeptAgent"]):
    """Record an agent that recurs."""

    roles = ("admin",)

    name: str = value(AGENT)
    stated: StatedAgent
    due: Due
    most: int | None = value(COUNT, default=None)
    """The maximum number of live credentials, issued under its name before, that may end; None for any number."""
    accept_clock: bool = False


class ChangeAgent(Operation["KeptAgent"]):
    """Change what is stated of an agent."""

    roles = ("admin",)

    name: str = value(AGENT)
    stated: StatedAgent
    accept_clock: bool = False


class ReviewAgent(Operation["KeptAgent"]):
    """Record that somebody has looked at what an agent holds and may hold."""

    roles = ("admin",)

    name: str = value(AGENT)
    due: Due
    accept_clock: bool = False


class ResumeAgent(Operation["KeptAgent"]):
    """Let a suspended agent be issued to again."""

    roles = ("admin",)

    name: str = value(AGENT)
    accept_clock: bool = False


class SuspendAgent(Operation["WithdrawnAgent"]):
    """Issue nothing more to an agent until it is resumed, and end what it holds."""

    roles = ("admin",)

    name: str = value(AGENT)
    reason: str | None = value(REASON, default=None)
    keep_live: bool = False
    """Keep the agent's live credentials valid."""
    most: int | None = value(COUNT)
    """The maximum number of live credentials that may end; None for any number."""
    dry_run: bool = False
    accept_clock: bool = False


class UnregisterAgent(Operation["WithdrawnAgent"]):
    """End the record of an agent, and what it holds."""

    roles = ("admin",)

    name: str = value(AGENT)
    reason: str | None = value(REASON, default=None)
    keep_live: bool = False
    most: int | None = value(COUNT)
    dry_run: bool = False
    accept_clock: bool = False


class AgentDetails(NamedTuple):
    """All about an agent that is registered, or was."""

    record: Described
    issues: list[Credential]
    """The agent's latest credentials, newest first."""
    now: int


class ShowAgent(Operation["AgentDetails"]):
    """Tell everything about an agent."""

    roles = ("responder", "auditor", "admin")
    effect = READS

    name: str = value(AGENT)
    issues: int = value(number(0, MAX_ROWS))
    """The maximum number of the agent's latest credentials to return."""


class AgentPage(NamedTuple):
    """Records of agents, and the time that their states are told for."""

    records: list[Described]
    now: int


class ListAgents(PagedOperation["AgentPage"]):
    """List records of agents in the order of their names, a page at a time."""

    roles = ("responder", "auditor", "admin")
    effect = READS

    owner: str | None = value(FILTER, default=None)
    """Any name of the owner."""
    state: AgentState | None = None
    after: str | None = value(FILTER, default=None)
    limit: int = value(ROWS)

    def following(self, row: Described) -> Self:
        """Return the request that continues after an agent."""
        return self.replace(after=row.agent.name)

    def rows_of(self, answer: AgentPage) -> list[Described]:
        """Return the records."""
        return list(answer.records)

    def joined(self, answer: AgentPage, rows: list[Described]) -> AgentPage:
        """Return a page with all records."""
        return answer._replace(records=rows)


class ClassifyAgents(Operation["Classified"]):
    """Say for each agent's name whether it should have a record, from what the ledger remembers of it."""

    roles = ("auditor", "admin")
    effect = READS

    names: tuple[str, ...] = values(AGENT, default=())
    """Names of agents; empty for all."""
    rule: RecurrenceRule
    limit: int = value(ROWS)
