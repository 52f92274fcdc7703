"""Requests of git to a credential helper, and the answers (git-credential(1), gitcredentials(7))."""

from __future__ import annotations

import re
from base64 import b64encode

from jitid.errors import UsageError

CHALLENGES = "wwwauth[]"
"""A `WWW-Authenticate` header of the server; git 2.41 and later repeat each (git-credential(1))."""

_USERNAME = "jitid"
"""The user name beside the token as password, if the address has no user."""

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|$)')
"""A quoted string (RFC 9110, section 5.6.4). Without a closing quote it extends to the end of the text."""

_CHALLENGE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?![^ ])(?! *=)")
"""A scheme, also in the place of a parameter: no `=` follows it (RFC 9110, section 11.6.1)."""


def request_of(text: str) -> dict[str, list[str]]:
    """Return the attributes of a request. Only a name that ends in `[]` has several values. Raises UsageError."""
    attributes: dict[str, list[str]] = {}
    for line in text.split("\n"):
        if not line:
            break
        name, equals, value = line.partition("=")
        if not equals:
            raise UsageError("git's request has a line without `=`")
        if not name.endswith("[]"):
            attributes[name] = []
        values = attributes.setdefault(name, [])
        if value:
            values.append(value)
        else:
            # An empty value resets the list.
            values.clear()
    return {name: values for name, values in attributes.items() if values}


def url_of(request: dict[str, list[str]]) -> str:
    """Return the address of the server that a request names. Raises UsageError."""
    protocol, host = (request.get(name, [""])[-1] for name in ("protocol", "host"))
    if not protocol or not host:
        raise UsageError("git's request names no server: protocol and host are required")
    if any(character in "/?#" for character in host):
        raise UsageError(
            "git's request has an invalid host; no credential was issued", "check the address of the remote"
        )
    return f"{protocol}://{host}"


def answer(request: dict[str, list[str]], token: str, expires_at: int) -> str:
    """Return the answer to a request: a token that expires at a time, in the form that the server requested."""
    user = request.get("username", [_USERNAME])[-1]
    if "authtype" not in request.get("capability[]", []):
        answered = {"username": user, "password": token}
    else:
        # If the server offers both, use the Bearer scheme, which is for tokens (RFC 6750): no server or log takes the
        # token for the password of a person. The order of challenges has no meaning (RFC 9110, section 11.6.1).
        if "bearer" in _schemes(request.get(CHALLENGES, [])):
            answered = {"authtype": "Bearer", "credential": token}
        else:
            # git-credential-store would write a `password` to a file, even an ephemeral one.
            answered = {
                "authtype": "Basic",
                "credential": b64encode(f"{user}:{token}".encode()).decode("ascii"),
            }
        answered = {"capability[]": "authtype", **answered, "ephemeral": "1"}
    answered["password_expiry_utc"] = str(expires_at)
    return "".join([f"{name}={value}\n" for name, value in answered.items()])


def _schemes(challenges: list[str]) -> set[str]:
    """Return the schemes that a server offers, in lower case (RFC 9110, sections 11.1 and 11.6.1)."""
    elements = [
        element.strip() for challenge in challenges for element in _QUOTED.sub('""', challenge).split(",")
    ]
    return {match[1].lower() for element in elements if (match := _CHALLENGE.match(element))}
