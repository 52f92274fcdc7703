"""The requests for the identities of sessions and subagents: from the options of a hook and the event of a client."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from jitid.authority.open import current_login, last_login, open_authority
from jitid.capabilities.inventory.operations import Inspect, ShowTask
from jitid.capabilities.issue.request_options import RequestOptions
from jitid.cli.issue.request_input import stated_request
from jitid.errors import RefusedError, UsageError
from jitid.model.credential import USUAL_KIND
from jitid.model.types import TASK
from jitid.system import read_input
from jitid.values.names import MAX_NAME
from jitid.values.scope import Scope
from jitid.values.text import label

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation
    from jitid.config.effective import Config
    from jitid.model.request import IssueRequest
    from jitid.values.secret import Secret


def request_facts(
    options: RequestOptions, audience: tuple[str, ...], parent_file: str | None
) -> dict[str, Any]:
    """Return the stated options for the state: a later request repeats them. Raises UsageError."""
    proof_file = options.delegator_token_file
    if proof_file == "-":
        raise UsageError(
            "a later request reads the ID token again", "name a file: --delegator-token-file FILE"
        )
    return {
        "task": options.task,
        "delegator": options.delegator,
        "delegator_token_file": None if proof_file is None else os.path.abspath(proof_file),
        "agent": options.agent,
        "scope": [str(scope) for scope in options.scope],
        "audience": list(audience or options.audience),
        "may_audience": list(options.may_audience),
        "may_kind": list(options.may_kind),
        "ttl": options.ttl,
        "parent_file": parent_file,
    }


def session_request(
    cli: Invocation, client: str, name: str, stated: dict[str, Any], former: dict[str, Any] | None
) -> tuple[IssueRequest, Secret | None]:
    """Return the request for a session, and the ID token that proves its delegator, if any.

    `stated` are the facts of the request, and `former` is the session whose identity expired: the new identity is for
    the same task and delegator.
    """
    parent_file = stated["parent_file"]
    scopes, may_audience = stated["scope"], stated["may_audience"]
    task, delegator = stated["task"], stated["delegator"]
    token_file = None if parent_file else stated["delegator_token_file"]
    if task is None and former is not None and not _is_past_deadline(cli, former["task"]):
        task = former["task"]
    if parent_file is None:
        task = task or cli.config().text("task") or _new_task(client, name)
        if delegator is None and former is not None:
            # Another person may have logged in meanwhile: then the request is refused.
            delegator = former["delegator"]
        elif delegator is None and token_file is None and cli.config().remote is None:
            delegator = _person(cli.config())
    elif not (scopes or may_audience or stated["audience"]):
        # A session inside of a run has the rights of the run, unless its line states fewer.
        credential = (
            open_authority(cli.config())
            .perform(Inspect(token=read_input.token(parent_file, "the parent's token")))
            .credential
        )
        scopes, may_audience = credential.scopes, credential.may_audience
    options = RequestOptions(
        task=None if task is None else TASK.check(task),
        delegator=delegator,
        delegator_token_file=token_file,
        agent=stated["agent"],
        kind=USUAL_KIND,
        scope=tuple(Scope(scope) for scope in scopes),
        audience=tuple(stated["audience"]),
        may_audience=tuple(may_audience),
        may_kind=tuple(stated["may_kind"]),
        ttl=stated["ttl"],
        parent_file=parent_file,
    )
    return stated_request(cli, options, usual_agent=client, identity=True)


def subagent_request(
    cli: Invocation,
    client: str,
    kind: str | None,
    session: dict[str, Any],
    stated: dict[str, Any],
    parent_file: str,
) -> IssueRequest:
    """Return the request for a subagent of a kind: it has the scopes and the reach of its session."""
    options = RequestOptions(
        agent=_agent_name(client, kind or "subagent"),
        kind=USUAL_KIND,
        scope=tuple(Scope(scope) for scope in session["scopes"]),
        may_audience=tuple(session["may_audience"]),
        may_kind=tuple(stated["may_kind"]),
        ttl=stated["ttl"],
        parent_file=parent_file,
    )
    request, _ = stated_request(cli, options, identity=True)
    return request


def _is_past_deadline(cli: Invocation, task: str) -> bool:
    """Return whether a task ended by its deadline. If it was retired before, it must stay ended."""
    known = open_authority(cli.config()).perform(ShowTask(name=task)).task
    end = known.deadline if known.ended_at is None else known.ended_at
    return time.time() >= known.deadline <= end


def _new_task(client: str, name: str) -> str:
    """Return a new name for the task of a session: the name of an ended task is never used again."""
    short = name[:8] if name[:8].isascii() and name[:8].isalnum() else ""
    return f"session/{client}/{short}{'-' if short else ''}{os.urandom(4).hex()}"


def _person(config: Config) -> str:
    """Return the person who logged in beside the ledger; before the first login, the user of this process.

    Raises RefusedError if the login does not count any more: the user of the process is another name of the person.
    """
    import pwd

    login = current_login(config)
    if login is not None:
        return login.delegator
    former = last_login(config)
    if former is not None:
        raise RefusedError(
            f"the login of {label(former.delegator)} has ended, or does not count here",
            "log in again: jitid login; or name the delegator in the line of the hook: --delegator NAME",
        )
    try:
        return f"user:{pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        raise UsageError("this user has no name", "name the delegator: --delegator NAME") from None


def _agent_name(client: str, kind: str) -> str:
    """Return a client's name for a type of subagent as the name of an agent, below that of the client.

    The authors of a project choose the type, and must not choose a registered agent with it.
    """
    allowed = [
        character if character.isascii() and (character.isalnum() or character in "._@:+-") else "-"
        for character in kind
    ]
    return f"{client}/{''.join(allowed).strip('-') or 'subagent'}"[:MAX_NAME]
