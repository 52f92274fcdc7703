"""`jitid helper`: answers to git, docker, kubectl, AWS's tools, libpq and ssh, in the form that each reads."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jitid.authority.open import open_authority
from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.run.delivery import pg_service as libpq
from jitid.capabilities.run.delivery.kube_config import VERSION, exec_credential
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.crypto import openssh
from jitid.errors import JitidError, UsageError
from jitid.formats.json import dumps
from jitid.issuers.aws_sts import credential_process
from jitid.model.credential import USUAL_KIND, named_kind
from jitid.system import output, ssh_agent
from jitid.system.files import write_private
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
        raise UsageError(f"{_AGENT} names no ssh-agent that could have a key", "start one: eval $(ssh-agent)")
    slot = _slot(
        cli,
        (
            named_kind(*args.kind),
            args.task,
            args.delegator,
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
        cli.detail(f"of the certificate in the ssh-agent nothing is known: {error.message}")
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


_MOST = 65_536
"""Maximum number of bytes in a request; requests of git and docker need a thousandth of it."""

_NEVER = ("Cc", "Cf", "Zl", "Zp", "Cs")
"""Control and format characters, and separators of lines and paragraphs (Unicode, table 4-4)."""

_UNPRINTABLE = re.compile(rb"[^ -~]")

_AUTHORITY = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
"""Host and port, in a form that all parsers read alike."""

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


def read_request(label: str, of_servers: str | None = None) -> str:
    """Return the request that a program writes to standard input. It has no control characters but line feeds.

    An attacker may control parts of it, such as the user in an address for `git clone`. If a character ended a line
    for jitid but not for the program, the attacker could name another server than the receiver of the token. Lines
    that begin with `of_servers` repeat a header of a server. A header may contain any byte (RFC 9110, section 5.5) and
    names no server, so each byte that is not printable ASCII becomes a space.

    Raises UsageError for an invalid or too long request.
    """
    from jitid.system.read_input import read

    data = read("-", _MOST, label)
    if len(data) > _MOST:
        raise UsageError(f"{label} has more than {_MOST} bytes")
    if of_servers is not None:
        data = b"\n".join(
            _UNPRINTABLE.sub(b" ", line) if line.startswith(of_servers.encode()) else line
            for line in data.split(b"\n")
        )
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{label} is not UTF-8") from None
    if any(unicodedata.category(character) in _NEVER and character != "\n" for character in text):
        raise UsageError(
            f"{label} has a character that no address has; no credential was made",
            "somebody may want the token of one server to reach another: look at the address",
        )
    return text


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, the audience of a token for that server.

    Raises UsageError for an invalid address, or if the token would be sent unencrypted to another machine.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if not host or parts.scheme not in ("https", "http") or not _AUTHORITY.fullmatch(parts.netloc):
        raise UsageError(f"{quote(url, 200)} is no address with a host", "such as https://git.example")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise UsageError(
            f"a token for {quote(host)} would cross the network unencrypted; none was made", "use https"
        )
    url_host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{url_host}" + ("" if port is None else f":{port}")


def token_of(kind: str, secret: Secret, consumer: str) -> str:
    """Return the token of a credential. Raises UsageError if its secret has another form."""
    if secret.names != ("token",):
        raise UsageError(
            f"a credential of kind {kind} is no token, and {consumer} takes nothing else",
            "such as --kind jwt; it was ended",
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
    address = read_request("what docker says").strip()
    if args.operation != "get":
        return
    server = address if "://" in address else f"https://{address}"
    issued = obtain(cli, args, args.kind or USUAL_KIND, args.audience or (origin(server),))
    hand_over(cli, issued, lambda: output.write(_docker_answer(address, issued)))


def _docker_answer(server: str, issued: Issued) -> str:
    token = token_of(issued.kind, issued.credentials[0].secret, "docker")
    return dumps({"ServerURL": server, "Username": _DOCKER_USERNAME, "Secret": token}) + "\n"


OPERATIONS = ("get", "store", "erase")

_GIT_USERNAME = "jitid"
"""The user name beside the token as password, if the address has no user."""

_CHALLENGES = "wwwauth[]"
"""A `WWW-Authenticate` header of the server; git 2.41 and later repeat each (git-credential(1))."""

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|$)')
"""A quoted string (RFC 9110, section 5.6.4). Without a closing quote it extends to the end of the text."""

_CHALLENGE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?![^ ])(?! *=)")
"""A scheme, also in the place of a parameter: no `=` follows it (RFC 9110, section 11.6.1)."""


def git(cli: Invocation, args: commands.HelperGitCommand) -> None:
    """Perform `jitid helper git`."""
    operation = args.operation
    cli.expect_own_form()
    if operation not in OPERATIONS:
        # Later versions of git may call other operations. A helper ignores unknown ones (gitcredentials(7)).
        cli.detail(f"{quote(operation)} is nothing that this helper does")
        return
    request = _attributes(read_request("what git says", of_servers=f"{_CHALLENGES}="))
    if operation != "get":
        return
    server = origin(_url(request))
    issued = obtain(cli, args, args.kind or USUAL_KIND, args.audience or (server,))
    hand_over(cli, issued, lambda: output.write(_git_answer(request, issued)))


def _git_answer(request: dict[str, list[str]], issued: Issued) -> str:
    token = token_of(issued.kind, issued.credentials[0].secret, "git")
    user = request.get("username", [_GIT_USERNAME])[-1]
    if "authtype" not in request.get("capability[]", []):
        attributes = {"username": user, "password": token}
    else:
        # If the server offers both, use the Bearer scheme, which is for tokens (RFC 6750): no server or log takes the
        # token for the password of a person. The order of challenges has no meaning (RFC 9110, section 11.6.1).
        if "bearer" in _schemes(request.get(_CHALLENGES, [])):
            attributes = {"authtype": "Bearer", "credential": token}
        else:
            # git-credential-store would write a `password` to a file, even an ephemeral one.
            attributes = {
                "authtype": "Basic",
                "credential": b64encode(f"{user}:{token}".encode()).decode("ascii"),
            }
        attributes = {"capability[]": "authtype", **attributes, "ephemeral": "1"}
    attributes["password_expiry_utc"] = str(issued.expires_at)
    return "".join([f"{name}={value}\n" for name, value in attributes.items()])


def _schemes(challenges: list[str]) -> set[str]:
    """Return the schemes that a server offers, in lower case (RFC 9110, sections 11.1 and 11.6.1)."""
    elements = [
        element.strip() for challenge in challenges for element in _QUOTED.sub('""', challenge).split(",")
    ]
    return {match[1].lower() for element in elements if (match := _CHALLENGE.match(element))}


def _url(request: dict[str, list[str]]) -> str:
    protocol, host = (request.get(name, [""])[-1] for name in ("protocol", "host"))
    if not protocol or not host:
        raise UsageError("git does not say for which server it wants a credential: protocol and host")
    if any(character in "/?#" for character in host):
        raise UsageError("git names a server that is no host; no credential was made", "look at the address")
    return f"{protocol}://{host}"


def _attributes(text: str) -> dict[str, list[str]]:
    """Return the attributes from git, by name. Only a name that ends in `[]` has several values. Raises UsageError."""
    attributes: dict[str, list[str]] = {}
    for line in text.split("\n"):
        if not line:
            break
        name, equals, value = line.partition("=")
        if not equals:
            raise UsageError("what git says has a line without `=`")
        if not name.endswith("[]"):
            attributes[name] = []
        values = attributes.setdefault(name, [])
        if value:
            values.append(value)
        else:
            # An empty value resets the list.
            values.clear()
    return {name: values for name, values in attributes.items() if values}


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
            f"kubectl asks in another version than {VERSION}",
            f"write apiVersion: {VERSION} in the kubeconfig",
        )
    spec = request.get("spec")
    cluster = spec.get("cluster") if isinstance(spec, dict) else None
    server = cluster.get("server") if isinstance(cluster, dict) else None
    return (origin(server),) if isinstance(server, str) else ()
