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
    """Say whether a token may be used for an action now, and record the action.

    It may if the token is valid, a scope of it covers the action, and directory and policy, asked as they are
    now, permit this agent that for this delegator. Exit status 0 says allow, 4 deny, 8 that the token is not
    valid. Each action is recorded before it is answered, allowed or denied. With --batch there is a JSON line in
    for each action, with token, action, resource and perhaps context and id, and a JSON line out.
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
        opt(FILE, "--token-file", help="The token; standard input if absent or `-`.")
    )
    action: str | None = local(
        opt(TEXT, "--action", help="What is to be done, as s3:GetObject.", metavar="ACTION")
    )
    resource: str | None = local(opt(TEXT, "--resource", help="What it is done to."))
    context: str | None = local(
        opt(TEXT, "--context", help="What policies may know of it: an object, or @FILE.", metavar="JSON")
    )
    asked: tuple[UseRequest, ...] = records(least=1, most=10_000)
    """At least one."""
    audiences: tuple[str, ...] = opts(
        AUDIENCE, "--audience", help="Accept tokens meant for AUD; repeatable.", default=()
    )
    """The tokens must be for one of these audiences; empty for any audience whose tokens the caller sees."""
    batch: bool = local(flag("--batch", help="Answer each JSON line of standard input with another."))
    accept_clock: bool = False


class UsePage(Record):
    """Recorded actions, with the chain above each acting identity."""

    uses: list[RecordedUse]
    lineages: dict[int, list[Ancestor]]
    """By the ledger's number of an identity, the nearest first; the root of a chain has none."""


class ListUses(Operation["UsePage"]):
    """Tell what was done at some time, by whom and for whom."""

    roles = ("responder", "auditor")
    effect = READS
    task_in = "chosen.task"

    chosen: UseFilter
    limit: int = value(ROWS)
