"""Verbs declared for `cli/helper`."""

from __future__ import annotations

from jitid.cli.command import Command
from jitid.model.types import ANY_KIND, TASK
from jitid.values.declaration import arg, opt, opts
from jitid.values.field_types import (
    AGENT,
    AUDIENCE,
    DELEGATOR,
    DURATION,
    FILE,
    KIND_TEMPLATE,
    NAME,
    SCOPE,
    TEXT,
    choice,
)
from jitid.values.scope import Scope


class HelperGitCommand(Command):
    """Give git a token for a server, as a credential helper that keeps nothing.

    git config credential.https://git.example.helper '!jitid helper git' is all that git needs within a
    `jitid run`; elsewhere the helper needs --task and --delegator too. The token is a `jwt` for the server alone, with
    its address as the audience, unless --audience or --kind says otherwise.

    The server's challenge decides how git shows the token. A server that offers Bearer gets a bearer token from git
    2.46 or later. Every other server gets it as the password of the user `jitid`, or of the user in the address
    (Basic).

    The helper stores nothing. If git calls `erase` because a server refused the token, nothing is revoked: the token
    expires by itself. git 2.46 or later does not hand the token to other helpers that store passwords.
    """

    verb = "helper git"
    function = "helper.git:git"

    operation: str = arg(
        choice("get", "store", "erase"), "OPERATION", help="What git calls: get, store or erase."
    )
    task: str | None = opt(TASK, "--task", help="The task the identity is for.", env="JITID_TASK")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", help="Who asks: NAME, user:NAME or system:NAME.", env="JITID_DELEGATOR"
    )
    agent: str | None = opt(AGENT, "--agent", help="Who acts (default: agent).", env="JITID_AGENT")
    kind: str | None = opt(
        KIND_TEMPLATE,
        "--kind",
        help="What to make: jwt (default), opaque … or KIND:TEMPLATE.",
        env="JITID_KIND",
    )
    scope: tuple[Scope, ...] = opts(
        SCOPE, "--scope", help="A right, as segment:segment; repeatable.", env="JITID_SCOPE"
    )
    audience: tuple[str, ...] = opts(
        AUDIENCE,
        "--audience",
        help="A service that it is shown to; repeatable (default: an identity token).",
        env="JITID_AUDIENCE",
    )
    ttl: int | None = opt(
        DURATION, "--ttl", help="How long it lives, as 90s or 15m (default).", env="JITID_TTL"
    )
    parent_file: str | None = opt(
        FILE,
        "--parent-file",
        help="The token to delegate from; `-` is standard input.",
        env="JITID_PARENT_FILE",
    )


class HelperKubeCommand(Command):
    """Give kubectl a token or a certificate, as its exec plug-in.

    A user of a kubeconfig has it as {exec: {apiVersion: client.authentication.k8s.io/v1, command: jitid, args:
    [helper, kube], interactiveMode: Never, provideClusterInfo: true}}. The token is a `jwt` whose audience is the
    server that kubectl names, or whatever --audience says; a server must be told to believe the issuer. With --kind
    x509-svid the client shows a certificate instead.
    """

    verb = "helper kube"
    function = "helper.kube:kube"

    task: str | None = opt(TASK, "--task", help="The task the identity is for.", env="JITID_TASK")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", help="Who asks: NAME, user:NAME or system:NAME.", env="JITID_DELEGATOR"
    )
    agent: str | None = opt(AGENT, "--agent", help="Who acts (default: agent).", env="JITID_AGENT")
    kind: str | None = opt(
        KIND_TEMPLATE,
        "--kind",
        help="What to make: jwt (default), opaque … or KIND:TEMPLATE.",
        env="JITID_KIND",
    )
    scope: tuple[Scope, ...] = opts(
        SCOPE, "--scope", help="A right, as segment:segment; repeatable.", env="JITID_SCOPE"
    )
    audience: tuple[str, ...] = opts(
        AUDIENCE,
        "--audience",
        help="A service that it is shown to; repeatable (default: an identity token).",
        env="JITID_AUDIENCE",
    )
    ttl: int | None = opt(
        DURATION, "--ttl", help="How long it lives, as 90s or 15m (default).", env="JITID_TTL"
    )
    parent_file: str | None = opt(
        FILE,
        "--parent-file",
        help="The token to delegate from; `-` is standard input.",
        env="JITID_PARENT_FILE",
    )


class HelperSshCommand(Command):
    """Let the ssh-agent at $SSH_AUTH_SOCK have a key with a certificate.

    ssh asks for it itself, by a line of its configuration: Match host *.example exec "jitid helper ssh --task INC-1".
    Within a `jitid run`, `jitid helper ssh` says enough; elsewhere JITID_DELEGATOR or --delegator says for whom. The
    key is made for the certificate and goes from memory to memory; the agent forgets both when the certificate ends.

    What the agent has of an earlier time is used again while a third of its life is left and the ledger has not ended
    it. --kind ssh-cert:TEMPLATE takes a template of the configuration.
    """

    verb = "helper ssh"
    function = "helper.ssh:ssh"

    task: str | None = opt(TASK, "--task", help="The task the identity is for.", env="JITID_TASK")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", help="Who asks: NAME, user:NAME or system:NAME.", env="JITID_DELEGATOR"
    )
    agent: str | None = opt(AGENT, "--agent", help="Who acts (default: agent).", env="JITID_AGENT")
    kind: str | None = opt(
        ANY_KIND,
        "--kind",
        help="What to make: jwt (default), opaque … or KIND:TEMPLATE.",
        env="JITID_KIND",
    )
    scope: tuple[Scope, ...] = opts(
        SCOPE, "--scope", help="A right, as segment:segment; repeatable.", env="JITID_SCOPE"
    )
    ttl: int | None = opt(
        DURATION, "--ttl", help="How long it lives, as 90s or 15m (default).", env="JITID_TTL"
    )
    parent_file: str | None = opt(
        FILE,
        "--parent-file",
        help="The token to delegate from; `-` is standard input.",
        env="JITID_PARENT_FILE",
    )


class HelperDockerCommand(Command):
    """Give docker, podman or skopeo a token for a registry, as a credential helper that keeps nothing.

    They call it by the name docker-credential-jitid, which is installed beside jitid: "credHelpers":
    {"registry.example": "jitid"} in their configuration is all that they need within a `jitid run`; elsewhere
    JITID_TASK and JITID_DELEGATOR say the rest. The token is the password of the user `jitid`: a `jwt` for the
    registry alone, with its address as the audience, unless JITID_AUDIENCE or JITID_KIND says otherwise.

    Nothing is stored, listed or erased: the token ends by itself.
    """

    verb = "helper docker"
    function = "helper.docker:docker"

    operation: str = arg(
        choice("get", "store", "erase", "list"),
        "OPERATION",
        help="What docker calls: get, store, erase or list.",
    )
    task: str | None = opt(TASK, "--task", help="The task the identity is for.", env="JITID_TASK")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", help="Who asks: NAME, user:NAME or system:NAME.", env="JITID_DELEGATOR"
    )
    agent: str | None = opt(AGENT, "--agent", help="Who acts (default: agent).", env="JITID_AGENT")
    kind: str | None = opt(
        KIND_TEMPLATE,
        "--kind",
        help="What to make: jwt (default), opaque … or KIND:TEMPLATE.",
        env="JITID_KIND",
    )
    scope: tuple[Scope, ...] = opts(
        SCOPE, "--scope", help="A right, as segment:segment; repeatable.", env="JITID_SCOPE"
    )
    audience: tuple[str, ...] = opts(
        AUDIENCE,
        "--audience",
        help="A service that it is shown to; repeatable (default: an identity token).",
        env="JITID_AUDIENCE",
    )
    ttl: int | None = opt(
        DURATION, "--ttl", help="How long it lives, as 90s or 15m (default).", env="JITID_TTL"
    )
    parent_file: str | None = opt(
        FILE,
        "--parent-file",
        help="The token to delegate from; `-` is standard input.",
        env="JITID_PARENT_FILE",
    )


class HelperPgpassCommand(Command):
    """Give psql, and whatever else uses libpq, a role of its own, as a password file or a service file.

    With --service, which names a section of a service file, host, database, role and password are all in it, and
    `PGSERVICEFILE=<(jitid helper pgpass --service db) psql service=db` leaves nothing on the disk. Without it, it is
    the password alone, in the lines of a password file: libpq takes that from a regular file only, so that --out FILE
    or a shell's temporary file has to stand behind PGPASSFILE; the fourth field is the role, for PGUSER.

    The role's time is that of any credential: a connection that is open at its end is ended with it.
    """

    verb = "helper pgpass"
    function = "helper.pgpass:pgpass"

    template: str | None = opt(
        TEXT,
        "--template",
        help="What it is made from: the name of a template, or TARGET/TEMPLATE.",
        metavar="TEMPLATE",
    )
    service: str | None = opt(
        NAME, "--service", help="Write the section NAME of a service file, with all that a connection takes."
    )
    task: str | None = opt(TASK, "--task", help="The task the identity is for.", env="JITID_TASK")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", help="Who asks: NAME, user:NAME or system:NAME.", env="JITID_DELEGATOR"
    )
    agent: str | None = opt(AGENT, "--agent", help="Who acts (default: agent).", env="JITID_AGENT")
    scope: tuple[Scope, ...] = opts(
        SCOPE, "--scope", help="A right, as segment:segment; repeatable.", env="JITID_SCOPE"
    )
    ttl: int | None = opt(
        DURATION, "--ttl", help="How long it lives, as 90s or 15m (default).", env="JITID_TTL"
    )
    parent_file: str | None = opt(
        FILE,
        "--parent-file",
        help="The token to delegate from; `-` is standard input.",
        env="JITID_PARENT_FILE",
    )
    out: str | None = opt(FILE, "--out", help="Write it to FILE, for its owner alone (0600).")


class HelperAwsCommand(Command):
    """Give AWS's command line and SDKs a session of a role, as their credential_process.

    A profile has the line `credential_process = jitid helper aws --template deploy`, which is all that is needed within
    a `jitid run`; elsewhere the line needs --task and --delegator too. What the session may do follows from the scopes
    and the template; jitid-aws(7) tells how.

    A session lives 20 minutes unless --ttl or a setting says otherwise: AWS's programs ask for the next one from 15
    minutes before its end on. With --ttl 1h a program that makes many calls starts jitid every three quarters of an
    hour.
    """

    verb = "helper aws"
    function = "helper.aws:aws"

    template: str | None = opt(
        TEXT,
        "--template",
        help="What it is made from: the name of a template, or TARGET/TEMPLATE.",
        metavar="TEMPLATE",
    )
    task: str | None = opt(TASK, "--task", help="The task the identity is for.", env="JITID_TASK")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", help="Who asks: NAME, user:NAME or system:NAME.", env="JITID_DELEGATOR"
    )
    agent: str | None = opt(AGENT, "--agent", help="Who acts (default: agent).", env="JITID_AGENT")
    scope: tuple[Scope, ...] = opts(
        SCOPE, "--scope", help="A right, as segment:segment; repeatable.", env="JITID_SCOPE"
    )
    ttl: int | None = opt(
        DURATION, "--ttl", help="How long it lives, as 90s or 15m (default).", env="JITID_TTL"
    )
    parent_file: str | None = opt(
        FILE,
        "--parent-file",
        help="The token to delegate from; `-` is standard input.",
        env="JITID_PARENT_FILE",
    )
