"""One credential for another program: within `jitid run` from the run's identity, otherwise by the settings."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from jitid.authority.hand_out import hand_out
from jitid.authority.open import as_holder, open_authority, open_for_issue
from jitid.authority.settle_at_targets import AT_ONCE
from jitid.capabilities.issue.operations import AbandonAttachment, Attach, Issue
from jitid.capabilities.issue.request_options import RequestOptions
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.capabilities.targets.operations import Settle
from jitid.cli.issue.request_input import stated_request
from jitid.errors import JitidError, NotFoundError, OutputError, UsageError
from jitid.model.credential import SHOWN
from jitid.model.request import AttachRequest, IssueRequest
from jitid.system import time_limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.invocation import Invocation
    from jitid.model.credential import RequestedKind


def obtain(
    cli: Invocation,
    options: RequestOptions,
    kind: RequestedKind,
    audience: tuple[str, ...] = (),
    *,
    usual_ttl: int | None = None,
    attached: bool = False,
) -> Issued:
    """Issue one credential of a kind, and return it without showing its secret.

    Within `jitid run`, if no task or delegator is named, the credential belongs to the identity of the run. With an
    `audience` it belongs to a child of that identity. Otherwise it is issued as by `jitid issue` with the same
    options; `usual_ttl` is the lifetime without --ttl. A token is for a service, never an identity token.

    In a session of a coding agent, the identity is that of the session (`helper session start`).

    With `attached` it belongs to the identity of the run, the session or --parent-file itself, for any audience. In a
    run, an option for another agent makes a child.

    Raises:
        UsageError: no delegator or no task is named, or a value is invalid.
        PolicyDeniedError: the policy or the parent's grant refuses it, or an approval is needed.

    """
    task, delegator, parent_file = options.task, options.delegator, options.parent_file
    if "parent_file" in cli.from_environment:
        parent_file = None
    token_file = options.delegator_token_file
    is_stated = _stated(cli, task=task, delegator=delegator, delegator_token_file=token_file)
    within_run, session = False, None
    if parent_file is None and (attached or not is_stated):
        from jitid.cli.helper.session_token import session_token

        session = session_token(cli, options, audience, opens=attached)
        if session is None:
            # A command of an agent, and not a helper of its client.
            cli.config().client_process = None
        else:
            within_run, parent_file, task, delegator = True, session.path, None, None
    if parent_file is None and not is_stated:
        parent_file = os.environ.get(RUN_TOKEN) or None
        if parent_file is not None:
            within_run = True
            # Task and delegator are those of the parent.
            task = delegator = None
    stated = RequestOptions(
        task=task,
        delegator=delegator,
        delegator_token_file=None if parent_file else token_file,
        agent=options.agent,
        kind=kind,
        scope=options.scope,
        audience=audience,
        ttl=usual_ttl if options.ttl is None else options.ttl,
        parent_file=parent_file,
    )
    request, proof = stated_request(cli, stated, of_helper=getattr(options, "verb", None))
    if request.kind in SHOWN:
        # Without an audience in the request, an authority whose settings name no service makes an identity token.
        request = request._replace(audiences=request.audiences or cli.config().many("audience"))
        if not request.audiences:
            raise UsageError(
                f"an audience is required for a credential of the kind {request.kind}",
                "name the service: --audience AUD",
            )
    if attached and parent_file is not None:
        # In a session, the line's agent is that of the session.
        another = session is None and _stated(cli, task=task, delegator=delegator, agent=options.agent)
    else:
        another = not within_run or bool(audience)
    with nullcontext() if session is None else session.explained(cli):
        if not another:
            with nullcontext() if session is None else session.session_place.in_turn():
                return _attached(cli, request)
        operation = Issue(requests=(request,), delegator_token=proof, accept_clock=cli.accept_clock)
        authority = open_for_issue(cli.config(), operation, cli.note)
        if within_run and request.parent is not None:
            # The right of the identity decides about the agent's name, not the access of this process to the ledger.
            authority = as_holder(cli.config(), authority, request.parent)
        (issued,) = authority.perform(operation)
        return _noted(cli, issued)


def _attached(cli: Invocation, request: IssueRequest) -> Issued:
    """Attach a credential to the identity of the run."""
    assert request.parent is not None
    attach = AttachRequest(
        request.parent,
        request.kind,
        request.template,
        scopes=request.scopes,
        audiences=request.audiences if request.kind in SHOWN else (),
        ttl=request.ttl,
    )
    operation = Attach(request=attach, accept_clock=cli.accept_clock)
    return _noted(cli, open_authority(cli.config()).perform(operation))


def hand_over(cli: Invocation, issued: Issued, show: Callable[[], None]) -> None:
    """Show a new credential. If that fails, end the credential, or its identity if it has no other credential.

    Raises the same errors as `hand_out`.
    """
    try:
        show()
    except BaseException as error:
        (credential,) = issued.credentials
        if abandon(cli, credential.jti):
            if isinstance(error, OutputError):
                error.add("the new credential was revoked")
            raise
        failure = error

        def fail() -> None:
            raise failure

        hand_out(open_authority(cli.config()), [issued], fail, warn=cli.warn, command=cli.command)


def abandon(cli: Invocation, jti: str) -> bool:
    """End a credential that was attached to an identity, and only that one. Return whether it was attached."""
    time_limit.take_back()
    authority = open_authority(cli.config())
    try:
        authority.perform(AbandonAttachment(jti=jti))
    except NotFoundError:
        return False
    # If the target does not confirm now, the next sweep tries again.
    with suppress(JitidError):
        authority.perform(Settle(ids=(jti,), waiting=True, limit=AT_ONCE))
    return True


def _noted(cli: Invocation, issued: Issued) -> Issued:
    for note in issued.notes:
        cli.note(note)
    return issued


def _stated(cli: Invocation, **values: str | None) -> bool:
    """Return whether the line has one of the options: a variable may describe the run's identity."""
    return any(value is not None and name not in cli.from_environment for name, value in values.items())
