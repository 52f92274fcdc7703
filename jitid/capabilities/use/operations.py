"""Operations on the use of credentials: their parameters and the types of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.formats.columns import Columns
from jitid.operation.base import READS, Operation
from jitid.values.declaration import flag, local, opt, opts, records, value
from jitid.values.field_types import AUDIENCE, FILE, ROWS, TEXT
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.use.authorization import RecordedUses, UseRequest
    from jitid.model.ledger_rows import Ancestor
    from jitid.model.use import RecordedUse, UseFilter


class Authorize(Operation["RecordedUses"]):
    """Decide whether a token permits an action, and record it.

    The token must be valid, and one of its scopes must cover the action. The directory and the policy must permit it
    now, for this agent and delegator. Each decision is recorded before the answer.

    Exit status: 0 allowed, 4 denied, 8 token not valid. With --batch, each line of standard input is a JSON object
    with `token`, `action`, `resource` and optional `context` and `id`. The output has a JSON line for each.
    """

    roles = ("verifier",)
    verb = "authorize"
    function = "identity.authorize:authorize"
    view = Columns(
        "jitid.authorize/1",
        "decision reason rules scope identity=credential.id jti=credential.jti agent=credential.agent "
        "delegator=credential.delegator chain task=credential.task action resource at event",
        single=True,
    )

    token_file: str | None = local(
        opt(FILE, "--token-file", help="File with the token (default: standard input).")
    )
    action: str | None = local(
        opt(TEXT, "--action", help="The action, such as s3:GetObject.", metavar="ACTION")
    )
    resource: str | None = local(opt(TEXT, "--resource", help="The resource of the action."))
    context: str | None = local(
        opt(TEXT, "--context", help="Facts for the policy: a JSON object, or @FILE.", metavar="JSON")
    )
    asked: tuple[UseRequest, ...] = records(least=1, most=10_000)
    """At least one."""
    audiences: tuple[str, ...] = opts(
        AUDIENCE, "--audience", help="Accept tokens for the audience AUD; repeatable.", default=()
    )
    """The tokens must be for one of these audiences; empty for any audience whose tokens the caller sees."""
    batch: bool = local(flag("--batch", help="Decide on each JSON line of standard input."))
    accept_clock: bool = False


class UsePage(Record):
    """Recorded actions, with the chain above each acting identity."""

    uses: list[RecordedUse]
    lineages: dict[int, list[Ancestor]]
    """By the ledger's number of an identity, the nearest first; the root of a chain has none."""


class ListUses(Operation["UsePage"]):
    """List recorded actions with their agents and delegators."""

    roles = ("responder", "auditor")
    effect = READS
    task_in = "chosen.task"

    chosen: UseFilter
    limit: int = value(ROWS)
