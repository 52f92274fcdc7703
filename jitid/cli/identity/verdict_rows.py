"""The verdict on an action, as a row for a format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.cli.identity.commands import AuthorizeCommand

if TYPE_CHECKING:
    from jitid.capabilities.use.authorization import UseRequest, UseVerdict


def row_of(request: UseRequest, verdict: UseVerdict, decided_at: str | None, event: int) -> dict[str, Any]:
    """Return the verdict on an action as a row with the fields of the view."""
    row: dict[str, Any] = dict.fromkeys(AuthorizeCommand.view.fields)
    row |= {
        "decision": "allow" if verdict.allowed else "deny",
        "reason": verdict.reason,
        "rules": verdict.rules,
        "scope": verdict.scope,
        "action": request.action,
        "resource": request.resource,
        "at": decided_at,
        "event": event,
    }
    credential = verdict.credential
    if credential is not None:
        row |= {
            "identity": credential.id,
            "jti": credential.jti,
            "agent": credential.agent,
            "delegator": credential.delegator,
            "chain": (
                credential.delegator,
                *[ancestor.agent for ancestor in reversed(verdict.lineage)],
                credential.agent,
            ),
            "task": credential.task,
        }
    return row
