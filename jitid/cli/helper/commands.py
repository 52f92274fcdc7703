"""Verbs declared for `cli/helper`."""

from __future__ import annotations

from typing import Any, ClassVar

from jitid.capabilities.issue.request_options import RequestOptions
from jitid.errors import UsageError
from jitid.model.credential import Kind, RequestedKind, parse_kind
from jitid.model.types import ANY_KIND
from jitid.operation.base import Verb, private_out_opt
from jitid.values.declaration import arg, opt
from jitid.values.field_types import choice, texts
from jitid.values.text import quote


def _ssh_kind(text: str) -> RequestedKind:
    kind = parse_kind(text)
    if kind.kind != Kind.SSH_CERT:
        raise UsageError(
            f"an ssh-agent takes keys with certificates, and no credential of the kind {text}",
            "leave --kind out, or name a template: --kind ssh-cert:TEMPLATE",
        )
    return kind


def _template(kind: Kind) -> Any:  # noqa: ANN401 - a field, of which type checkers see the type of its value
    """Return the option for the template of a kind; its value is the kind with the template."""
    return opt(
        texts(lambda text: parse_kind(f"{kind}:{text}"), "TEMPLATE", {}),
        "--template",
        help="What it is made from: the name of a template, or TARGET/TEMPLATE.",
        absent=RequestedKind(kind.value, None),
    )


def _section(text: str) -> str:
    if not (0 < len(text) <= 64 and text.isascii() and text.isprintable() and not set(text) & set("[]# ")):
        raise UsageError(f"{quote(text)} cannot be the name of a service", "such as --service db")
    return text


SSH_KIND = texts(_ssh_kind, "KIND", {}, words=ANY_KIND.words)
SECTION = texts(_section, "NAME", {})
"""The name of a section of a service file."""


class HelperOptions(RequestOptions):
    """The options of a helper. It does not have all of a request: the program that calls it states the others."""

    takes: ClassVar[str] = ""
    """The names of its options and arguments, in the order of the help."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.fields = {name: cls.fields[name] for name in cls.takes.split()}


class HelperGitCommand(HelperOptions, Verb):
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
    function = "helper.helper_verbs:git"
    takes = "operation task delegator agent kind scope audience ttl parent_file"

    operation: str = arg(
        choice("get", "store", "erase"), "OPERATION", help="What git calls: get, store or erase."
    )


class HelperKubeCommand(HelperOptions, Verb):
    """Give kubectl a token or a certificate, as its exec plug-in.

    A user of a kubeconfig has it as {exec: {apiVersion: client.authentication.k8s.io/v1, command: jitid, args:
    [helper, kube], interactiveMode: Never, provideClusterInfo: true}}. The token is a `jwt` whose audience is the
    server that kubectl names, or whatever --audience says; a server must be told to believe the issuer. With --kind
    x509-svid the client shows a certificate instead.
    """

    verb = "helper kube"
    function = "helper.helper_verbs:kube"
    takes = "task delegator agent kind scope audience ttl parent_file"


class HelperSshCommand(HelperOptions, Verb):
    """Let the ssh-agent at $SSH_AUTH_SOCK have a key with a certificate.

    ssh asks for it itself, by a line of its configuration: Match host *.example exec "jitid helper ssh --task INC-1".
    Within a `jitid run`, `jitid helper ssh` says enough; elsewhere JITID_DELEGATOR or --delegator says for whom. The
    key is made for the certificate and goes from memory to memory; the agent forgets both when the certificate ends.

    What the agent has of an earlier time is used again while a third of its life is left and the ledger has not ended
    it. --kind ssh-cert:TEMPLATE takes a template of the configuration.
    """

    verb = "helper ssh"
    function = "helper.helper_verbs:ssh"
    takes = "task delegator agent kind scope ttl parent_file"

    kind: RequestedKind = opt(
        SSH_KIND,
        "--kind",
        help="The certificate: ssh-cert (default) or ssh-cert:TEMPLATE.",
        env="JITID_KIND",
        default=RequestedKind(Kind.SSH_CERT.value, None),
    )


class HelperDockerCommand(HelperOptions, Verb):
    """Give docker, podman or skopeo a token for a registry, as a credential helper that keeps nothing.

    They call it by the name docker-credential-jitid, which is installed beside jitid: "credHelpers":
    {"registry.example": "jitid"} in their configuration is all that they need within a `jitid run`; elsewhere
    JITID_TASK and JITID_DELEGATOR say the rest. The token is the password of the user `jitid`: a `jwt` for the
    registry alone, with its address as the audience, unless JITID_AUDIENCE or JITID_KIND says otherwise.

    Nothing is stored, listed or erased: the token ends by itself.
    """

    verb = "helper docker"
    function = "helper.helper_verbs:docker"
    takes = "operation task delegator agent kind scope audience ttl parent_file"

    operation: str = arg(
        choice("get", "store", "erase", "list", label="operation of such a helper"),
        "OPERATION",
        help="What docker calls: get, store, erase or list.",
    )


class HelperPgpassCommand(HelperOptions, Verb):
    """Give psql, and whatever else uses libpq, a role of its own, as a password file or a service file.

    With --service, which names a section of a service file, host, database, role and password are all in it, and
    `PGSERVICEFILE=<(jitid helper pgpass --service db) psql service=db` leaves nothing on the disk. Without it, it is
    the password alone, in the lines of a password file: libpq takes that from a regular file only, so that --out FILE
    or a shell's temporary file has to stand behind PGPASSFILE; the fourth field is the role, for PGUSER.

    The role's time is that of any credential: a connection that is open at its end is ended with it.
    """

    verb = "helper pgpass"
    function = "helper.helper_verbs:pgpass"
    takes = "template service task delegator agent scope ttl parent_file out"

    template: RequestedKind = _template(Kind.POSTGRES_ROLE)
    service: str | None = opt(
        SECTION,
        "--service",
        help="Write the section NAME of a service file, with all that a connection takes.",
    )
    out: str | None = private_out_opt()


class HelperAwsCommand(HelperOptions, Verb):
    """Give AWS's command line and SDKs a session of a role, as their credential_process.

    A profile has the line `credential_process = jitid helper aws --template deploy`, which is all that is needed within
    a `jitid run`; elsewhere the line needs --task and --delegator too. What the session may do follows from the scopes
    and the template; jitid-aws(7) tells how.

    A session lives 20 minutes unless --ttl or a setting says otherwise: AWS's programs ask for the next one from 15
    minutes before its end on. With --ttl 1h a program that makes many calls starts jitid every three quarters of an
    hour.
    """

    verb = "helper aws"
    function = "helper.helper_verbs:aws"
    takes = "template task delegator agent scope ttl parent_file"

    template: RequestedKind = _template(Kind.AWS_STS)
