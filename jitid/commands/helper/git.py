"""`jitid helper git`: a credential helper of git (gitcredentials(7), git-credential(1))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.commands.globals import Globals
from jitid.commands.helper import asked
from jitid.commands.obtaining import hand_over, obtain
from jitid.errors import UsageError
from jitid.formats import output
from jitid.text import quote

if TYPE_CHECKING:
    from jitid.commands import options
    from jitid.issuance import Issued

OPERATIONS = ("get", "store", "erase")

_USERNAME = "jitid"
"""For servers that take a token as the password of whomever."""


def git(
    given: Globals,
    operation: options.GitOperation,
    task: options.Task = None,
    delegator: options.Delegator = None,
    agent: options.Agent = None,
    kind: options.Kind = None,
    scope: options.Scopes = None,
    audience: options.Audiences = None,
    ttl: options.Ttl = None,
    parent_file: options.ParentFile = None,
) -> None:
    """Give git a token for a server, as a credential helper that keeps nothing.

    git config credential.https://git.example.helper '!jitid helper git' is all that git needs within a
    `jitid run`; elsewhere the helper needs --task and --delegator too. The token is a `jwt` for the server alone, with
    its address as the audience, unless --audience or --kind says otherwise.

    git 2.46 or later gets it as a bearer token, an earlier one as a password. Whatever git wants to be stored or
    erased is left alone: the token ends by itself.
    """
    given.expect_own_form()
    if operation not in OPERATIONS:
        # git may come to call more of them, and a helper that does not know one says nothing (gitcredentials(7)).
        given.detail(f"{quote(operation)} is nothing that this helper does")
        return
    stated = _attributes(asked.said("what git says"))
    if operation != "get":
        return
    place = asked.origin(_url(stated))
    issued = obtain(
        given,
        kind or "jwt",
        audience=audience or (place,),
        scope=scope or (),
        ttl=ttl,
        task=task,
        delegator=delegator,
        agent=agent,
        parent_file=parent_file,
    )
    hand_over(given, issued, lambda: output.write(_answer(stated, issued)))


def _answer(stated: dict[str, list[str]], issued: Issued) -> str:
    token = asked.bearer(issued.kind, issued.credentials[0].secret, "git")
    if "authtype" in stated.get("capability[]", []):
        told = {"capability[]": "authtype", "authtype": "Bearer", "credential": token, "ephemeral": "1"}
    else:
        told = {"username": stated.get("username", [_USERNAME])[-1], "password": token}
    told["password_expiry_utc"] = str(issued.expires_at)
    return "".join([f"{name}={value}\n" for name, value in told.items()])


def _url(stated: dict[str, list[str]]) -> str:
    protocol, host = (stated.get(name, [""])[-1] for name in ("protocol", "host"))
    if not protocol or not host:
        raise UsageError("git does not say for which server it wants a credential: protocol and host")
    if any(each in "/?#" for each in host):
        raise UsageError("git names a server that is no host; no credential was made", "look at the address")
    return f"{protocol}://{host}"


def _attributes(text: str) -> dict[str, list[str]]:
    """Return what git says, by name; only what ends in `[]` has several values. Raises UsageError."""
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        if not line:
            break
        name, equals, value = line.partition("=")
        if not equals:
            raise UsageError("what git says has a line without `=`")
        if not name.endswith("[]"):
            found[name] = []
        values = found.setdefault(name, [])
        if value:
            values.append(value)
        else:
            # An empty value takes back what was said before.
            values.clear()
    return {name: values for name, values in found.items() if values}
