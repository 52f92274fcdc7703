"""The operations on policies and decisions: their parameters, and the types of their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import Operation

if TYPE_CHECKING:
    from jitid.capabilities.decisions.explanation import Explanation
    from jitid.capabilities.decisions.policy_suggestion import Suggestion
    from jitid.capabilities.decisions.replay import Replayed
    from jitid.values.secret import Secret

Files = tuple[tuple[str, str], ...]
"""Names and texts of the files of a policy."""


class StoredPolicy(Operation["Files"]):
    """Return the files of a policy that decided something once."""

    slow = True

    digest: str
    """The digest in hexadecimal, or its beginning."""


class ReplayDecisions(Operation["Replayed"]):
    """Ask two policies about everything that was decided, and tell what they decide differently."""

    slow = True

    old: Files
    new: Files
    since: int | None = None
    """Only decisions from then on, in seconds since the epoch."""


class Explain(Operation["Explanation"]):
    """Explain a decision: of a credential, by its id or itself, or that of an audit event."""

    slow = True

    id: str | None = None
    token: Secret | None = None
    event: int | None = None


class SuggestPolicy(Operation["list[Suggestion]"]):
    """Write the policy that permits agents no more than what they were permitted so far and, as is known, used."""

    task_in = "task"

    agent: str | None = None
    task: str | None = None
    """Only credentials that were issued on this task."""
    days: int
    """The number of UTC days to look back, today included."""


AnyOperation = StoredPolicy | ReplayDecisions | Explain | SuggestPolicy
