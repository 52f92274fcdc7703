"""`jitid helper git`: a credential helper of git (gitcredentials(7), git-credential(1))."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING

from jitid.cli.helper import helper_request
from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.errors import UsageError
from jitid.model.credential import USUAL_KIND
from jitid.system import output
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.helper import commands

OPERATIONS = ("get", "store", "erase")

_USERNAME = "jitid"
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
    request = _attributes(helper_request.read_request("what git says", of_servers=f"{_CHALLENGES}="))
    if operation != "get":
        return
    server = helper_request.origin(_url(request))
    issued = obtain(cli, args, args.kind or USUAL_KIND, args.audience or (server,))
    hand_over(cli, issued, lambda: output.write(_answer(request, issued)))


def _answer(request: dict[str, list[str]], issued: Issued) -> str:
    token = helper_request.token_of(issued.kind, issued.credentials[0].secret, "git")
    user = request.get("username", [_USERNAME])[-1]
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
