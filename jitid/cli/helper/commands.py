"""Verbs declared for `cli/helper`."""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar

from jitid.capabilities.issue.request_options import RequestOptions
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.capabilities.session.clients import CLIENTS
from jitid.errors import UsageError
from jitid.model.credential import SHOWN, USUAL_KIND, Kind, RequestedKind, parse_kind
from jitid.model.types import ANY_KIND
from jitid.operation.base import Verb, private_out_opt
from jitid.values.declaration import Field, arg, opt, required_opt
from jitid.values.field_types import AGENT, choice, texts
from jitid.values.text import quote


def _ssh_kind(text: str) -> RequestedKind:
    kind = parse_kind(text)
    if kind.kind != Kind.SSH_CERT:
        raise UsageError(
            f"invalid kind {text}: an ssh-agent accepts only keys with SSH certificates",
            "omit --kind, or name a template: --kind ssh-cert:TEMPLATE",
        )
    return kind


def _template(kind: Kind) -> Any:  # noqa: ANN401 - a field, of which type checkers see the type of its value
    """Return the option for the template of a kind; its value is the kind with the template."""
    return opt(
        texts(lambda text: parse_kind(f"{kind}:{text}"), "TEMPLATE", {}),
        "--template",
        help="Template, or TARGET/TEMPLATE.",
        absent=RequestedKind(kind.value, None),
    )


def _section(text: str) -> str:
    if not (0 < len(text) <= 64 and text.isascii() and text.isprintable() and not set(text) & set("[]# ")):
        raise UsageError(f"invalid name of a service {quote(text)}", "such as --service db")
    return text


def _token_kind(text: str) -> RequestedKind:
    kind = parse_kind(text)
    if kind.kind not in SHOWN:
        raise UsageError(f"a credential of the kind {kind.kind} is not a token", "such as --kind jwt")
    return kind


def _in_line(field: Field) -> Field:
    """Return a field without its variable, except that of the parent."""
    if field.env in (None, RUN_TOKEN):
        return field
    stated = copy(field)
    stated.env = None
    return stated


SSH_KIND = texts(_ssh_kind, "KIND", {}, words=ANY_KIND.words)
TOKEN_KIND = texts(_token_kind, "KIND", {}, words=ANY_KIND.words)
SECTION = texts(_section, "NAME", {})
"""The name of a section of a service file."""


class HelperOptions(RequestOptions):
    """The options of a helper; the calling program states the rest of the request."""

    unattended: ClassVar[bool] = True
    takes: ClassVar[str] = ""
    """The names of its options and arguments, in the order of the help."""
    is_set_up: ClassVar[bool] = False
    """Whether its line can state the whole request, as `jitid setup` writes it: then no variable states a part of it.

    The variable of the parent stays: `jitid run` sets it.
    """

    # No variable sets it: a project's settings have variables for its commands, and the name of an agent is a right.
    agent: str | None = opt(AGENT, "--agent", "-a", help="Agent (default: agent).", default=None)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.fields = {name: cls.fields[name] for name in cls.takes.split()}
        if cls.is_set_up:
            cls.fields = {name: _in_line(field) for name, field in cls.fields.items()}


class HelperGitCommand(HelperOptions, Verb):
    """Give git a token for a server, as a credential helper.

    Setup: git config credential.https://git.example.helper '!jitid helper git'. Outside of `jitid run` add --task and
    --delegator within the quotes. `jitid run` needs --may-audience https://git.example. The token is a `jwt` with the
    server's address as its audience, unless --audience or --kind states another. Nothing is stored; `erase` revokes
    nothing.
    """

    verb = "helper git"
    is_set_up = True
    function = "helper.helper_verbs:git"
    takes = "operation task delegator delegator_token_file agent kind scope audience ttl parent_file"

    operation: str = arg(
        choice("get", "store", "erase"), "OPERATION", help="Operation of git: get, store or erase."
    )


class HelperKubeCommand(HelperOptions, Verb):
    """Give kubectl a token or a certificate, as an exec plug-in.

    User in the kubeconfig: {exec: {apiVersion: client.authentication.k8s.io/v1, command: jitid, args: [helper, kube],
    interactiveMode: Never, provideClusterInfo: true}}. The token is a `jwt` for the server that kubectl names, or for
    --audience. The server must trust the issuer. With --kind x509-svid kubectl gets a certificate instead.
    """

    verb = "helper kube"
    is_set_up = True
    function = "helper.helper_verbs:kube"
    takes = "task delegator delegator_token_file agent kind scope audience ttl parent_file"


class HelperSshCommand(HelperOptions, Verb):
    """Add a key with a certificate to the ssh-agent.

    Setup in the configuration of ssh: Match host *.example exec "jitid helper ssh --task INC-1". Outside of `jitid run`
    a delegator is required. The ssh-agent is the one at $SSH_AUTH_SOCK; it deletes the key when the certificate
    expires. A valid earlier certificate is reused while a third of its lifetime is left.
    """

    verb = "helper ssh"
    function = "helper.helper_verbs:ssh"
    takes = "task delegator delegator_token_file agent kind scope ttl parent_file"

    kind: RequestedKind = opt(
        SSH_KIND,
        "--kind",
        "-k",
        help="ssh-cert (default) or ssh-cert:TEMPLATE.",
        env="JITID_KIND",
        default=RequestedKind(Kind.SSH_CERT.value, None),
    )


class HelperDockerCommand(HelperOptions, Verb):
    """Give docker, podman or skopeo a token for a registry.

    Setup in their configuration: "credHelpers": {"registry.example": "jitid"}; they call docker-credential-jitid.
    Outside of `jitid run` set JITID_TASK and JITID_DELEGATOR. The token is the password of the user `jitid`: a `jwt`
    with the registry's address as its audience, unless JITID_AUDIENCE or JITID_KIND states another.
    """

    verb = "helper docker"
    function = "helper.helper_verbs:docker"
    takes = "operation task delegator delegator_token_file agent kind scope audience ttl parent_file"

    operation: str = arg(
        choice("get", "store", "erase", "list", label="operation of such a helper"),
        "OPERATION",
        help="Operation of docker: get, store, erase or list.",
    )


class HelperPgpassCommand(HelperOptions, Verb):
    """Give psql and libpq a database role, as a password file.

    With --service the output is a service file with host, database, role and password:
    `PGSERVICEFILE=<(jitid helper pgpass --service db) psql service=db`. Otherwise it is a password file for PGPASSFILE,
    which must be a regular file (--out FILE); its fourth field is the role. Open connections end with the role.
    """

    verb = "helper pgpass"
    function = "helper.helper_verbs:pgpass"
    takes = "template service task delegator delegator_token_file agent scope ttl parent_file out"

    template: RequestedKind = _template(Kind.POSTGRES_ROLE)
    service: str | None = opt(
        SECTION,
        "--service",
        help="Write a service file with the section NAME.",
    )
    out: str | None = private_out_opt()


class HelperAwsCommand(HelperOptions, Verb):
    """Give AWS programs a session, as their credential_process.

    Setup in a profile: `credential_process = jitid helper aws --template deploy`. Outside of `jitid run` the line
    requires --task and --delegator. Scopes and template limit the session: see jitid-aws(7). The default lifetime is 20
    minutes.
    """

    verb = "helper aws"
    is_set_up = True
    function = "helper.helper_verbs:aws"
    takes = "template task delegator delegator_token_file agent scope ttl parent_file"

    template: RequestedKind = _template(Kind.AWS_STS)


class _TokenCommand(HelperOptions):
    """The options of a helper that supplies one token for a service."""

    is_set_up = True
    takes = "audience may_audience task delegator delegator_token_file agent kind scope ttl parent_file"

    kind: RequestedKind = opt(
        TOKEN_KIND,
        "--kind",
        "-k",
        help="jwt (default), opaque or jwt-svid.",
        env="JITID_KIND",
        default=USUAL_KIND,
    )


class HelperTokenCommand(_TokenCommand, Verb):
    """Print a token for a service, for a client that runs a command to get its key.

    Setup: in the settings of Claude Code `"apiKeyHelper": "jitid helper token --audience https://llm.example"`, in
    Codex the `command` and `args` of a provider's `auth`. Inside of `jitid run` the token belongs to the run's
    identity, which requires --may-audience. Elsewhere add --task and --delegator. Each call makes a new token.
    """

    verb = "helper token"
    function = "helper.token_verbs:token"


class HelperHeadersCommand(_TokenCommand, Verb):
    """Print the HTTP headers with a token for a server, as a JSON object.

    Setup in .mcp.json: `"headersHelper": "jitid helper headers"`. Without --audience the audience is the origin of the
    server's address in $CLAUDE_CODE_MCP_SERVER_URL. The token belongs to the same identity as that of `jitid helper
    token`.
    """

    verb = "helper headers"
    function = "helper.token_verbs:headers"


CLIENT = choice(*(client.name for client in CLIENTS), metavar="CLIENT", label="client")


class HelperSessionStartCommand(HelperOptions, Verb):
    """Open an identity for a session of a coding agent, or for a subagent.

    The client runs it as a hook, with its event as JSON on standard input. SessionStart opens an identity, which ends
    with the client's process. SubagentStart opens a child identity. Every other event renews tokens that are due.
    `jitid helper token` and `jitid helper headers` find the identity. jitid-agents(7) shows the hooks of each client.
    """

    verb = "helper session start"
    is_set_up = True
    function = "helper.session_verbs:start"
    is_hook = True
    takes = "client task delegator delegator_token_file agent scope audience may_audience may_kind ttl parent_file"

    client: str = required_opt(CLIENT, "--client", help="The client: claude-code, codex, …")
    agent: str | None = opt(AGENT, "--agent", "-a", help="Agent (default: the client's name).", default=None)


class HelperSessionStopCommand(Verb):
    """Revoke the identity of a session of a coding agent, or of a subagent.

    The client runs it as a hook, with its event as JSON on standard input. SessionEnd revokes the identity of the
    session with all subagents, SubagentStop that of one subagent. An unknown session is not an error.
    """

    verb = "helper session stop"
    function = "helper.session_verbs:stop"
    unattended = True
    is_hook = True

    client: str = required_opt(CLIENT, "--client", help="The client: claude-code, codex, …")
