"""The issue of an identity of a program: from its parent, or for a task and a delegator of the settings."""

from __future__ import annotations

import os
from collections.abc import Callable

from jitid.api.authority_access import DELEGATOR, DELEGATOR_TOKEN, AuthorityAccess
from jitid.api.held_identity import HeldIdentity
from jitid.capabilities.issue.operations import Issue
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.errors import PolicyDeniedError, UsageError
from jitid.model.request import IssueRequest
from jitid.model.types import TASK
from jitid.system.processes import this_process
from jitid.system.read_input import token as read_token
from jitid.values.field_types import AGENT
from jitid.values.field_types import DELEGATOR as DELEGATOR_NAME
from jitid.values.record import Record
from jitid.values.secret import Secret
from jitid.values.times import LATEST, parse_time

_PARENT = "the parent's token"


class IssueRight(Record):
    """The right by which an identity is issued, as far as the program states it."""

    parent: HeldIdentity | None
    parent_file: str | None
    proof: Secret | None
    """The ID token of the delegator."""


def issue_identity(
    access: AuthorityAccess,
    request: IssueRequest,
    origin: IssueRight,
    note: Callable[[str], None],
    *,
    keep_task: bool,
) -> HeldIdentity:
    """Issue an identity that is bound to this process. The first use creates a ledger and reports that to `note`.

    Raises the errors of `Identity.__enter__`.
    """
    config = access.config
    parent, until = _parent_token(access, origin)
    proof = origin.proof
    if parent is None:
        if proof is None and (path := os.environ.get(DELEGATOR_TOKEN)):
            proof = read_token(path, "the delegator's ID token")
        if request.task is None and (setting := config.text("task")) is not None:
            request = request._replace(task=TASK.check(setting))
        if proof is None and request.delegator is None and (variable := os.environ.get(DELEGATOR)):
            request = request._replace(delegator=DELEGATOR_NAME.check(variable))
        if request.task is None and config.remote is None:
            raise UsageError("a task is required", 'such as jitid.identity(task="INC-4821", …)')
    if config.remote is not None and not request.audiences and not request.may_audience:
        # A remote authority does not know the settings of its client.
        request = request._replace(audiences=config.many("audience"))
    request = request._replace(
        agent=request.agent or AGENT.check(config.text("agent") or "agent"),
        agent_suggested=not request.agent and config.is_of_project("agent"),
        parent=parent,
        process=this_process(renews_until=LATEST if until is None else until),
    )
    try:
        (issued,) = access.issue(Issue(requests=(request,), delegator_token=proof), note)
    except PolicyDeniedError as error:
        if "rule `task-ended`" in error.message:
            error.hint = (
                "use a new name. The block that opens a task retires the task; keep_task=True leaves it open"
            )
        raise
    if keep_task:
        issued = issued._replace(opened=False)
    return HeldIdentity(access, issued, ttl=request.ttl, allow_narrower=request.allow_narrower, until=until)


def _parent_token(access: AuthorityAccess, origin: IssueRight) -> tuple[Secret | None, int | None]:
    """Return the token of the parent, and the end of the parent if that is known; None if there is no parent."""
    if origin.parent is not None:
        until = origin.parent.until
        if not origin.parent.is_foreign:
            return origin.parent.secret(), until
        return read_token(origin.parent.path(), _PARENT), until
    if origin.parent_file is not None:
        return read_token(origin.parent_file, _PARENT), None
    if not access.within_run:
        return None, None
    try:
        end = parse_time(os.environ.get("JITID_EXPIRES_AT", ""))
    except UsageError:
        end = None
    return read_token(os.environ[RUN_TOKEN], _PARENT), end
