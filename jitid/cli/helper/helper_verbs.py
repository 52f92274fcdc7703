"""`jitid helper`: answers to git, docker, kubectl, AWS's tools, libpq and ssh, in the form that each reads."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.run.delivery import pg_service as libpq
from jitid.capabilities.run.delivery.kube_config import VERSION, exec_credential
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.crypto import openssh
from jitid.errors import JitidError, UsageError
from jitid.formats import git_credential
from jitid.formats.json import dumps
from jitid.issuers.aws_sts import credential_process
from jitid.model.credential import USUAL_KIND, named_kind
from jitid.system import output, ssh_agent
from jitid.system.files import write_private
from jitid.system.program_request import origin, read_request
from jitid.values import strict_json
from jitid.values.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.helper import commands
    from jitid.system.ssh_agent import AgentConnection, HeldKey
    from jitid.values.secret import Secret


_TTL = 1200
"""Seconds. With 15 minutes, botocore would request a new session at each signature (`RefreshableCredentials`)."""


def aws(cli: Invocation, args: commands.HelperAwsCommand) -> None:
    """Perform `jitid helper aws`."""
    cli.expect_own_form()
    usual_ttl = _TTL if cli.config().origin("ttl") == "default" else None
    issued = obtain(cli, args, args.template, usual_ttl=usual_ttl)
    secret = issued.credentials[0].secret
    hand_over(cli, issued, lambda: output.write(f"{credential_process(secret, issued.expires_at)}\n"))


def pgpass(cli: Invocation, args: commands.HelperPgpassCommand) -> None:
    """Perform `jitid helper pgpass`."""
    cli.expect_own_form()
    issued = obtain(cli, args, args.template)
    text = _text(issued.credentials[0].secret, args.service)

    def show() -> None:
        if args.out is None:
            output.write(text)
        else:
            write_private(args.out, text.encode())

    hand_over(cli, issued, show)


def _text(secret: Secret, name: str | None) -> str:
    login_place = libpq.place_of(secret.reveal("url"))
    role = (login_place, secret.reveal("username"), secret.reveal("password"))
    if name is None:
        return libpq.passwords(role)
    return libpq.service(name, *role) + f"password={secret.reveal('password')}\n"


_AGENT = "SSH_AUTH_SOCK"
_PATIENCE = 10.0
_MARK = "jitid"
"""Prefix of the comments of the keys that this helper adds to an ssh-agent."""
_LEFT = 3
"""A certificate is reused while at least 1/`_LEFT` of its lifetime remains."""


def ssh(cli: Invocation, args: commands.HelperSshCommand) -> None:
    """Perform `jitid helper ssh`."""
    cli.expect_own_form()
    path = os.environ.get(_AGENT)
    if not path:
        raise UsageError(f"{_AGENT} is not set: an ssh-agent is required", "start one: eval $(ssh-agent)")
    slot = _slot(
        cli,
        (
            named_kind(*args.kind),
            args.task,
            args.delegator,
            args.delegator_token_file,
            args.agent,
            None if args.ttl is None else str(args.ttl),
            args.parent_file,
            *args.scope,
        ),
    )
    with ssh_agent.connected(path, _PATIENCE) as connection:
        held_keys = [key for key in connection.held() if key.comment.startswith(f"{_MARK} {slot} ")]
        if _is_enough(cli, connection, held_keys):
            return
        issued = obtain(cli, args, args.kind)
        hand_over(cli, issued, lambda: _add(connection, issued, slot))


def _add(connection: AgentConnection, issued: Issued, slot: str) -> None:
    (credential,) = issued.credentials
    lifetime = issued.expires_at - int(time.time())
    comment = f"{_MARK} {slot} {credential.jti}"
    connection.add(
        credential.secret.reveal("key"), credential.secret.reveal("certificate"), lifetime, comment
    )


def _is_enough(cli: Invocation, connection: AgentConnection, held_keys: Iterable[HeldKey]) -> bool:
    """Return whether the ssh-agent has a valid certificate for the request. Remove certificates that have ended."""
    enough = False
    for key in held_keys:
        if not _lasts(key) or enough:
            # This certificate expires soon, and a connection may be using it.
            continue
        if _is_active(cli, key.comment.rpartition(" ")[2]):
            enough = True
        else:
            connection.remove(key.blob)
    return enough


def _lasts(key: HeldKey) -> bool:
    try:
        kind = openssh.Reader(key.blob).text()
        certificate = openssh.parse_certificate(openssh.line(kind, key.blob))
    except ValueError:
        return False
    remaining = certificate.valid_before - int(time.time())
    return remaining * _LEFT >= certificate.valid_before - certificate.valid_after


def _is_active(cli: Invocation, jti: str) -> bool:
    """Return whether a credential is active in the ledger. If the ledger cannot say, return False."""
    try:
        return open_authority(cli.config()).perform(Inspect(id=jti)).active
    except JitidError as error:
        cli.detail(f"cannot look up the certificate in the ssh-agent: {error.message}")
        return False


def _slot(cli: Invocation, request_words: Iterable[str | None]) -> str:
    """Return the digest of a request: an equal request finds the earlier certificate, and any other does not."""
    config = cli.config()
    ledger = config.remote or config.ledger
    defaults = (config.text(name) for name in ("task", "agent"))
    words = (ledger, os.environ.get(RUN_TOKEN), *defaults, *request_words)
    # Each word has its length as a prefix, so that different requests never have the same text.
    text = "".join("-" if word is None else f"{len(word)}:{word}" for word in words)
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def token_of(kind: str, secret: Secret, consumer: str) -> str:
    """Return the token of a credential. Raises UsageError if its secret has another form."""
    if secret.names != ("token",):
        raise UsageError(
            f"{consumer} accepts only tokens, not a credential of the kind {kind}; it was revoked",
            "use a token, such as --kind jwt",
        )
    return secret.reveal()


_DOCKER_USERNAME = "jitid"
"""A registry that accepts a token as the password accepts any name; `<token>` would mean an OAuth refresh token."""


def docker(cli: Invocation, args: commands.HelperDockerCommand) -> None:
    """Perform `jitid helper docker`."""
    cli.expect_own_form()
    if args.operation == "list":
        output.write("{}\n")
        return
    address = read_request("the input from docker").strip()
    if args.operation != "get":
        return
    server = address if "://" in address else f"https://{address}"
    issued = obtain(cli, args, args.kind or USUAL_KIND, args.audience or (origin(server),))
    hand_over(cli, issued, lambda: output.write(_docker_answer(address, issued)))


def _docker_answer(server: str, issued: Issued) -> str:
    token = token_of(issued.kind, issued.credentials[0].secret, "docker")
    return dumps({"ServerURL": server, "Username": _DOCKER_USERNAME, "Secret": token}) + "\n"


OPERATIONS = ("get", "store", "erase")


def git(cli: Invocation, args: commands.HelperGitCommand) -> None:
    """Perform `jitid helper git`."""
    operation = args.operation
    cli.expect_own_form()
    if operation not in OPERATIONS:
        # Later versions of git may call other operations. A helper ignores unknown ones (gitcredentials(7)).
        cli.detail(f"ignored: unknown operation {quote(operation)}")
        return
    request = git_credential.request_of(
        read_request("the input from git", of_servers=f"{git_credential.CHALLENGES}=")
    )
    if operation != "get":
        return
    server = origin(git_credential.url_of(request))
    issued = obtain(cli, args, args.kind or USUAL_KIND, args.audience or (server,))

    def show() -> None:
        token = token_of(issued.kind, issued.credentials[0].secret, "git")
        output.write(git_credential.answer(request, token, issued.expires_at))

    hand_over(cli, issued, show)


_INFO = "KUBERNETES_EXEC_INFO"


def kube(cli: Invocation, args: commands.HelperKubeCommand) -> None:
    """Perform `jitid helper kube`."""
    cli.expect_own_form()
    issued = obtain(cli, args, args.kind or USUAL_KIND, args.audience or _server(os.environ.get(_INFO)))
    hand_over(cli, issued, lambda: output.write(dumps(_credential(issued)) + "\n"))


def _credential(issued: Issued) -> dict[str, Any]:
    secret = issued.credentials[0].secret
    if issued.kind != "x509-svid":
        token_of(issued.kind, secret, "kubectl")
    return exec_credential(issued.kind, secret, issued.expires_at)


def _server(info: str | None) -> tuple[str, ...]:
    """Return the server that kubectl names in its request, or an empty tuple. Raises UsageError."""
    if not info:
        return ()
    try:
        request = strict_json.loads(info, _INFO)
    except strict_json.StrictJSONError as error:
        raise UsageError(str(error)) from None
    if not isinstance(request, dict) or request.get("apiVersion") != VERSION:
        raise UsageError(
            f"unsupported API version of kubectl: expected {VERSION}",
            f"set apiVersion: {VERSION} in the kubeconfig",
        )
    spec = request.get("spec")
    cluster = spec.get("cluster") if isinstance(spec, dict) else None
    server = cluster.get("server") if isinstance(cluster, dict) else None
    return (origin(server),) if isinstance(server, str) else ()
