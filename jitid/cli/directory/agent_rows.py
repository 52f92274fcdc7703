"""Registered agents as rows for a format and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.identity import revocation_result
from jitid.cli import record_rows
from jitid.cli.identity import revoke
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.capabilities.directory.registry import Described, KeptAgent
    from jitid.capabilities.directory.withdrawal import WithdrawnAgent

FIELDS = (
    "agent",
    "state",
    "owner",
    "owner_state",
    "purpose",
    "scopes",
    "beyond",
    "audiences",
    "kinds",
    "max_ttl",
    "concurrency",
    "live",
    "last_issued_at",
    "review_at",
    "registered_at",
    "reviewed_at",
    "suspended_at",
    "suspended_as",
    "unregistered_at",
    "users",
)
BRIEF = ("agent", "state", "owner", "live", "review_at")
"""Columns for a terminal of 80 columns, if names are short."""
DETAILS = (*FIELDS, "issues")
ISSUES = ("jti", "task", "delegator", "scopes", "issued_at", "state")
"""Fields of an agent's latest credentials."""
BRIEF_ISSUES = ("task", "delegator", "issued_at", "state")
KEPT = ("agent", "state", "owner", "live", "review_at", "event")
WITHDRAWN = ("agent", "state", "kept", *revoke.FIELDS)


def record(described: Described, now: int) -> dict[str, Any]:
    """Return a record as a row with the fields of `FIELDS`."""
    agent = described.agent
    return {
        "agent": agent.name,
        "state": agent.state_at(now).value,
        "owner": agent.owner,
        "owner_state": described.owner_state,
        "purpose": agent.purpose,
        "scopes": agent.scopes,
        "beyond": described.beyond,
        "audiences": agent.audiences,
        "kinds": agent.kinds,
        "max_ttl": format_duration(agent.max_ttl),
        "concurrency": agent.concurrency,
        "live": described.live,
        "last_issued_at": record_rows.time(described.last_issued_at),
        "review_at": record_rows.time(agent.review_at),
        "registered_at": record_rows.time(agent.registered_at),
        "reviewed_at": record_rows.time(agent.reviewed_at),
        "suspended_at": record_rows.time(agent.suspended_at),
        "suspended_as": agent.suspended_as,
        "unregistered_at": record_rows.time(agent.unregistered_at),
        "users": agent.users,
    }


def kept(stored: KeptAgent) -> dict[str, Any]:
    """Return the result of storing an agent's record as a row with the fields of `KEPT`."""
    agent = stored.agent
    return {
        "agent": agent.name,
        "state": agent.state_at(stored.now).value,
        "owner": agent.owner,
        "live": stored.live,
        "review_at": record_rows.time(agent.review_at),
        "event": stored.event,
    }


def withdrawn(withdrawal: WithdrawnAgent, *, dry_run: bool) -> dict[str, Any]:
    """Return the result of suspending or unregistering an agent as a row with the fields of `WITHDRAWN`."""
    return {
        "agent": withdrawal.agent.name,
        "state": withdrawal.agent.state_at(withdrawal.now).value,
        "kept": withdrawal.kept,
        **revoke.row(withdrawal.ended, dry_run=dry_run),
    }


def sentence(withdrawal: WithdrawnAgent, verb: str, *, dry_run: bool) -> str:
    """Return the result of withdrawing an agent in words; `verb` is `suspend` or `unregister`."""
    return _foreseen_sentence(withdrawal, verb) if dry_run else _done_sentence(withdrawal, verb)


def _kept_clause(withdrawal: WithdrawnAgent) -> str:
    """Return `2 live credentials live on`; "" if none stays live."""
    if not withdrawal.kept:
        return ""
    return f"{withdrawal.kept} live {'credential lives' if withdrawal.kept == 1 else 'credentials live'} on"


def _foreseen_sentence(withdrawal: WithdrawnAgent, verb: str) -> str:
    """Return `would suspend agent planner, and end 2 credentials…; nothing was changed`."""
    name, radius, kept = withdrawal.agent.name, withdrawal.ended.radius, _kept_clause(withdrawal)
    text = f"agent {name} is {verb}ed already" if withdrawal.already else f"would {verb} agent {name}"
    if kept:
        text += f"; {kept}"
    elif radius.credentials:
        text += f"{'; would' if withdrawal.already else ', and'} end {revocation_result.blast(radius)}"
    return f"{text}; nothing was changed"


def _done_sentence(withdrawal: WithdrawnAgent, verb: str) -> str:
    """Return `suspended agent planner, and ended 2 credentials… (audit event 7)`."""
    name, ended, kept = withdrawal.agent.name, withdrawal.ended, _kept_clause(withdrawal)
    if ended.event is None:
        return f"agent {name} was {verb}ed already; {kept or 'nothing of it was live'}"
    text = f"agent {name} was {verb}ed already" if withdrawal.already else f"{verb}ed agent {name}"
    if ended.credentials:
        text += f", and ended {revocation_result.blast(ended.radius)}"
    else:
        text += f"; {kept or 'nothing of it was live'}"
    text += f" (audit event {ended.event})"
    return text if ended.unproved is None else f"{text}; {revoke.unproved(ended.unproved)}"
