"""The operations on policies and decisions: their parameters, and the types of their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.formats.columns import Columns
from jitid.model.types import TASK
from jitid.operation.base import READS, Operation, subject_arg
from jitid.values.declaration import leaves, local, opt, optional_arg, value
from jitid.values.field_types import AGENT, COUNT, EVENT, ID, TIME, number, pattern, text, typed_as

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
    """Explain a decision: its inputs, its rules, and what would be decided now.

    It is the one that made a credential, the latest of an identity, or that of an audit event. The rules are
    shown as they were then, with the hash of each. What would be decided now is told as if the same were asked
    today, of the policy and the directory as they are, on a task that is open.
    """

    roles = ("auditor", "admin")
    effect = READS
    slow = True
    verb = "explain"
    function = "identity.inspect:explain"
    view = Columns(
        "jitid.explain/1",
        "decision=then.decision reason event operation at by id jti count rules=then.rules granted=then.granted "
        "refused lifetime=then.lifetime needs=then.needs asked approvers policy stored texts now differs",
        durations="lifetime",
        single=True,
    )

    subject: str | None = local(subject_arg())
    id: str | None = value(ID, default=None)
    token: Secret | None = None
    event: int | None = opt(
        EVENT, "--event", help="The decision of audit event N, such as a denial.", default=None
    )


class SuggestPolicy(Operation["list[Suggestion]"]):
    """Write the policy that permits an agent what it needs.

    It permits the scopes that were used where use is reported, otherwise those that were granted, to whom, for
    how long and when it happened, and nothing besides. With --task alone it is about all agents of that task.
    """

    summary = "Return the policy that permits an agent what it needs."
    roles = ("auditor", "admin")
    effect = READS
    task_in = "task"
    verb = "agent suggest"
    function = "directory.agent_verbs:suggest"
    view = Columns(
        "jitid.agent-suggest/1",
        "agent policy rules scopes scopes_from=practice.scopes_from max_ttl delegators identities=practice.identities "
        "credentials=practice.credentials uses=practice.uses first_at=practice.first_at last_at=practice.last_at",
        durations="max_ttl",
    )

    agent: str | None = optional_arg(AGENT, "[NAME]", help="The name of an agent.", default=None)
    task: str | None = opt(TASK, "--task", help="What was issued on this task alone.", default=None)
    days: int = opt(
        typed_as(number(1, 3_660), parse=COUNT.parse),
        "--days",
        help="For how many days to look back (default: 90).",
        absent=90,
    )
    """The number of UTC days to look back, today included."""
