"""Shared parts of the verbs that issue: from options to a request, and the fields of an issued secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.errors import UsageError
from jitid.model.credential import TOKENS
from jitid.model.request import IssueRequest
from jitid.model.types import TASK
from jitid.system import read_input
from jitid.system.read_input import token
from jitid.values.field_types import AGENT
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.capabilities.issue.request_options import RequestOptions
    from jitid.cli.invocation import Invocation
    from jitid.values.secret import Secret

_IN_RUN = "start the program by `jitid run --task TASK --delegator NAME -- PROGRAM`, or "
_SETUP = "write both into its line: jitid setup {} … --task TASK --delegator NAME"
_IN_LINE = {
    **{f"helper {name}": _SETUP.format(name) for name in ("git", "kube", "aws")},
    "helper docker": "set JITID_TASK and JITID_DELEGATOR",
}
_BEFORE = (
    "put the options of `jitid run` before its command: jitid run --task NAME --delegator NAME -- COMMAND"
)
_EXAMPLE = "such as: --task INC-4821 --delegator alice"

CERTIFIED = ("x509-svid", "ssh-cert")
"""The kinds that are certificates. The requester may supply the public key."""


def stated_request(
    cli: Invocation,
    options: RequestOptions,
    *,
    public_key: str | None = None,
    usual_agent: str | None = None,
    identity: bool = False,
    of_helper: str | None = None,
) -> tuple[IssueRequest, Secret | None]:
    """Return a request from the stated options, and the ID token that proves its delegator, if any.

    `public_key` is a file. Without a stated or configured agent, use `usual_agent`, or the setting's default. With
    `identity`, request an identity token, even if audiences are stated. `of_helper` is the verb of the helper that
    found no identity.

    Raises:
        UsageError: a value is invalid.
        ConfigurationError: a setting is wrong.

    """
    config = cli.config()
    parent_file, token_file = options.parent_file, options.delegator_token_file
    task, agent = options.task, options.agent
    # With a parent, the task is the parent's unless it is stated.
    if task is None and parent_file is None and (configured := config.text("task")):
        task = TASK.check(configured)
    _check_missing(cli, options, task, of_helper)
    suggested = agent is None and config.is_of_project("agent")
    if agent is None:
        default_agent = usual_agent if config.origin("agent") == "default" else None
        agent = AGENT.check(default_agent or config.text("agent") or "agent")
    parent = None if parent_file is None else token(parent_file, "the parent's token")
    proof = None if token_file is None else token(token_file, "the delegator's ID token")
    template = IssueRequest(
        task=task,
        delegator=None,
        agent=agent,
        parent=parent,
        allow_narrower=options.allow_narrower,
        public_key=None if public_key is None else read_input.public_key(public_key),
        identity=identity,
        agent_suggested=suggested,
    )
    request = options.request(template)
    several = next((each for each in request.audiences if "://" in each.partition(",")[2]), None)
    if several is not None:
        raise UsageError(
            f"{quote(several)} has several addresses", "for several audiences, repeat --audience"
        )
    if parent is not None and "delegator" in cli.from_environment:
        request = request._replace(delegator=None)
    if "may_audience" in cli.from_environment and not _obtains(request):
        # The variable applies to identity tokens only.
        request = request._replace(may_audience=())
    if public_key is not None and request.kind not in CERTIFIED:
        raise UsageError(
            f"a credential of the kind {request.kind} cannot use a public key",
            f"--public-key requires --kind {' or '.join(CERTIFIED)}",
        )
    if config.remote is not None and not request.audiences and (identity or not request.may_audience):
        # A remote authority does not know the client's settings: without an audience it makes an identity token.
        request = request._replace(audiences=config.many("audience"))
    return request, proof


def _check_missing(cli: Invocation, options: RequestOptions, task: str | None, of_helper: str | None) -> None:
    """Raise UsageError if both the task and the delegator are missing: the user should not learn of one at a time."""
    sources = (
        options.parent_file,
        options.delegator,
        options.delegator_token_file,
        getattr(options, "from_file", None),
    )
    if task is None and not any(sources) and cli.config().remote is None:
        if of_helper is not None:
            raise UsageError(
                "no session of a client and no `jitid run` is above this process, and `--task` and `--delegator` are "
                "missing",
                _IN_RUN + _IN_LINE.get(of_helper, "add --task TASK --delegator NAME to its line"),
            )
        command: tuple[str, ...] = getattr(options, "command", ())
        after = any(word.partition("=")[0] in ("--task", "-t", "--delegator", "-d") for word in command)
        hint = _BEFORE if after else _EXAMPLE
        raise UsageError("`--task` and `--delegator` are missing", hint)


def _obtains(request: IssueRequest) -> bool:
    """Return whether it is for an identity token, with which other tokens can be obtained."""
    return (request.identity or not request.audiences) and request.kind in TOKENS


def secret_fields(issued: Issued, *, shown: bool = True) -> dict[str, Any]:
    """Return the fields of the one credential that was issued; a secret of one part is in `token`."""
    (credential,) = issued.credentials
    parts = {name: credential.secret.reveal(name) for name in credential.secret.names} if shown else {}
    return {
        "token": parts.pop("token", None) if len(parts) == 1 else None,
        "id": credential.id,
        "jti": credential.jti,
        "secret": parts or None,
    }
