"""Check of the records of agents against their audit events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.capabilities.directory.delegator_store import SUSPENDED_AS
from jitid.capabilities.directory.store import DirectoryStore
from jitid.errors import IntegrityError
from jitid.model.directory import Agent
from jitid.values.text import label

MARK = b'"op":"agent-'
"""Bytes of every event about agents, and of no other event: inside a text the quotes would be escaped."""

_EVERY = 1 << 31
_LISTS = ("scopes", "audiences", "kinds", "users")
_OPS_WITH_LIMITS = ("agent-register", "agent-change")
_LIMIT_FIELDS = ("owner", "purpose", *_LISTS, "max_ttl", "concurrency")


def _defaults() -> dict[str, Any]:
    """Return the values of a record if no event states others."""
    return {**dict.fromkeys(("concurrency", "suspended_at", "unregistered_at")), "users": []}


class AgentMembers:
    """The comparison of the records of agents with the events about them."""

    def __init__(self, snapshot: DirectoryStore, without: str) -> None:
        """Keep the view; `without` names a table of identities that are gone."""
        self._snapshot = snapshot
        self._without = without
        self._registered: dict[str, int] = {}
        """The first event that registered each agent, by name."""
        self._expected: dict[str, dict[str, Any]] = {}
        """The values that each record must have, by agent and field."""
        self._unnamed: list[int] = []
        """Times at which more agents were suspended with their owners than the event can name."""

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event about an agent."""
        name, at = event["agent"], event["at"]
        expected = self._expected.setdefault(name, _defaults())
        # Each `|=` changes the stored values of the agent.
        if event["op"] in _OPS_WITH_LIMITS:
            expected |= {field: event[field] for field in _LIMIT_FIELDS if field in event}
        match event["op"]:
            case "agent-register":
                self._registered.setdefault(name, seq)
                expected |= dict.fromkeys(("reviewed_at", "suspended_at", "suspended_as", "unregistered_at"))
                expected |= {
                    "registered_at": at,
                    "review_at": event["review"],
                    "concurrency": event.get("concurrency"),
                    "users": event.get("users", []),
                }
            case "agent-change" if event.get("unlimited"):
                expected["concurrency"] = None
            case "agent-review":
                expected |= {"reviewed_at": at, "review_at": event["review"]}
            # With `again`, the agent was suspended already, and only further credentials of it were ended.
            case "agent-suspend" if expected["suspended_at"] is None and not event.get("again"):
                expected |= {"suspended_at": at, "suspended_as": event.get("reason")}
            case "agent-resume":
                expected |= {"suspended_at": None, "suspended_as": None}
            case "agent-unregister" if expected["unregistered_at"] is None:
                expected["unregistered_at"] = at

    def take_leaving(self, event: Mapping[str, Any]) -> None:
        """Take an event about delegators, which may have suspended their agents."""
        agents = event.get("agents") or ()
        if isinstance(agents, dict):
            self._unnamed.append(event["at"])
            agents = agents["first"]
        for name in agents:
            self._expected[name] |= {"suspended_at": event["at"], "suspended_as": SUSPENDED_AS}

    def compare_rows(self, ended: int) -> None:
        """Compare the records.

        Args:
            ended: the number of ended credentials that records count.

        Raises:
            IntegrityError: a record was edited, removed or inserted.

        """
        for agent in self._snapshot.agents(owner=(), after=None, limit=_EVERY):
            expected = self._expected.pop(agent.name, None)
            if expected is None:
                raise IntegrityError(
                    f"the ledger has a record of agent {label(agent.name)} that no event tells of"
                )
            if self._differs(agent, expected):
                raise IntegrityError(f"the record of agent {label(agent.name)} is not as the events tell")
        for name in self._expected:
            raise IntegrityError(f"events tell of agent {label(name)}, and the ledger has no record of it")
        if (
            agent_name := self._snapshot.miscounted_agent(self._registered, ended, self._without)
        ) is not None:
            raise IntegrityError(f"what agent {label(agent_name)} holds is not counted to its record")

    def _differs(self, agent: Agent, expected: Mapping[str, Any]) -> bool:
        record = agent._asdict()
        unnamed = agent.suspended_as == SUSPENDED_AS and agent.suspended_at in self._unnamed
        unchecked = ("suspended_at", "suspended_as") if expected["suspended_at"] is None and unnamed else ()
        return any(
            value != (list(record[field]) if field in _LISTS else record[field])
            for field, value in expected.items()
            if field not in unchecked
        )
