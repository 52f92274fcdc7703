"""The operations on policies and decisions: their parameters, and the types of their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.formats.columns import Columns
from jitid.model.types import TASK
from jitid.operation.base import READS, Operation
from jitid.values.declaration import leaves, value
from jitid.values.field_types import AGENT, EVENT, ID, TIME, number, pattern, text

if TYPE_CHECKING:
    from jitid.capabilities.decisions.explanation import Explanation
    from jitid.capabilities.decisions.policy_suggestion import Suggestion
    from jitid.capabilities.decisions.replay import Replayed
    from jitid.values.secret import Secret

Files = tuple[tuple[str, str], ...]
"""Names and texts of the files of a policy."""


class StoredPolicy(Operation["Files"]):
    """Return the files of a policy that made a recorded decision."""

    roles = ("auditor", "admin")
    effect = READS
    slow = True

    digest: str = value(pattern("[0-9A-Fa-f]{1,64}", "the beginning of a digest"))
    """The digest in hexadecimal, or its beginning."""


class ReplayDecisions(Operation["Replayed"]):
    """Replay recorded decisions under two policies, and return the differences."""

    roles = ("auditor", "admin")
    effect = READS
    slow = True

    old: Files = leaves(text(1 << 20, "a file"), most=10_000)
    new: Files = leaves(text(1 << 20, "a file"), most=10_000)
    since: int | None = value(TIME, default=None)
    """Only decisions from then on, in seconds since the epoch."""


_THEN = (
    "decision=then.decision reason event operation at by id jti count rules=then.rules granted=then.granted refused "
    "lifetime=then.lifetime needs=then.needs"
)
_REQUEST = "asked"


class Explain(Operation["Explanation"]):
    """Explain a decision: inputs, rules, and today's outcome.

    It is the decision for a credential, for the latest credential of an identity, or of an audit event. Rules have
    their text and hash at the time of the decision. Today's outcome is that of the same request with the current policy
    and directory, on an open task.
    """

    summary = "Explain a decision: its inputs, its rules, and the outcome that it would have today."
    roles = ("auditor", "admin")
    effect = READS
    slow = True
    view = Columns(
        "jitid.explain/1",
        f"{_THEN} {_REQUEST} approvers policy stored texts now differs",
        durations="lifetime",
        single=True,
    )

    id: str | None = value(ID, default=None)
    token: Secret | None = None
    event: int | None = value(EVENT, default=None)
    """The number of the audit event, such as a denial."""


class SuggestPolicy(Operation["list[Suggestion]"]):
    """Suggest a policy from the recorded practice of an agent.

    It permits the scopes that were used, or were granted if no use was reported. Delegators, lifetimes and times are
    limited to the recorded ones. With --task alone: all agents of that task.
    """

    roles = ("auditor", "admin")
    effect = READS
    task_in = "task"
    view = Columns(
        "jitid.agent-suggest/1",
        "agent policy rules scopes scopes_from=practice.scopes_from max_ttl delegators identities=practice.identities "
        "credentials=practice.credentials uses=practice.uses first_at=practice.first_at last_at=practice.last_at",
        durations="max_ttl",
    )

    agent: str | None = value(AGENT, default=None)
    task: str | None = value(TASK, default=None)
    """Only credentials of this task."""
    days: int = value(number(1, 3_660))
    """The number of UTC days to look back, today included."""
