"""The operations on policies and decisions: their parameters, and the types of their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.model.types import TASK
from jitid.operation.base import READS, Operation
from jitid.values.declaration import leaves, value
from jitid.values.field_types import AGENT, ID, POSITIVE, TIME, number, pattern, text

if TYPE_CHECKING:
    from jitid.capabilities.decisions.explanation import Explanation
    from jitid.capabilities.decisions.policy_suggestion import Suggestion
    from jitid.capabilities.decisions.replay import Replayed
    from jitid.values.secret import Secret

Files = tuple[tuple[str, str], ...]
"""Names and texts of the files of a policy."""


class StoredPolicy(Operation["Files"]):
    """Return the files of a policy that decided something once."""

    roles = ("auditor", "admin")
    effect = READS
    slow = True

    digest: str = value(pattern("[0-9A-Fa-f]{1,64}", "the beginning of a digest"))
    """The digest in hexadecimal, or its beginning."""


class ReplayDecisions(Operation["Replayed"]):
    """Ask two policies about everything that was decided, and tell what they decide differently."""

    roles = ("auditor", "admin")
    effect = READS
    slow = True

    old: Files = leaves(text(1 << 20, "a file"), most=10_000)
    new: Files = leaves(text(1 << 20, "a file"), most=10_000)
    since: int | None = value(TIME, default=None)
    """Only decisions from then on, in seconds since the epoch."""


class Explain(Operation["Explanation"]):
    """Explain a decision: of a credential, by its id or itself, or that of an audit event."""

    roles = ("auditor", "admin")
    effect = READS
    slow = True

    id: str | None = value(ID, default=None)
    token: Secret | None = None
    event: int | None = value(POSITIVE, default=None)


class SuggestPolicy(Operation["list[Suggestion]"]):
    """Return the policy that permits agents no more than what they were permitted so far and, as is known, used."""

    roles = ("auditor", "admin")
    effect = READS
    task_in = "task"

    agent: str | None = value(AGENT, default=None)
    task: str | None = value(TASK, default=None)
    """Only credentials that were issued on this task."""
    days: int = value(number(1, 3_660))
    """The number of UTC days to look back, today included."""
