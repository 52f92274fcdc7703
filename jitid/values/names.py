"""Names of agents, tasks, delegators, trust domains, issuers and audiences, and their SPIFFE spelling.

Also the patterns of names that an issuer of ID tokens may prove, and the overlap of two patterns.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitid.errors import ConfigurationError, UsageError
from jitid.values.text import quote, refuse_mark, refuse_token

MAX_NAME = 128
MAX_URI = 255

# `text.strip(SET)` leaves nothing exactly if the text has no character outside the set.
_ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_HEX = "0123456789ABCDEFabcdef"
_NAME = _ALPHANUMERIC + "._@:/+-"
_PLAIN = _ALPHANUMERIC + "-"
_TRUST_DOMAIN = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
_URI = _ALPHANUMERIC + "-._~:/[]@!$&()*+,;=%"
_UNFIT_FOR_AUDIENCE = frozenset("\"'`\\<>")

_NAME_SHAPE = "a name has 1 to 128 ASCII letters, digits and ._@:/+-"
_DELEGATOR_SHAPE = "write NAME, user:NAME, system:NAME or agent:NAME"
_DELEGATOR_KINDS = frozenset({"user", "system", "agent"})

_ENCODED = {ord(character): f"_{ord(character):02X}" for character in _NAME if character not in _PLAIN}


def check_name(text: str, kind: str) -> str:
    """Return a name unchanged: 1 to 128 ASCII letters, digits and `._@:/+-`.

    `kind` is the kind of name ("task") for the error. Raise UsageError for any other text, and for a token.
    """
    _check_form(text, kind)
    # An opaque token has only characters that names can have, and names are shown and stored everywhere.
    refuse_token(text, f"the {kind} name")
    return text


def _check_form(text: str, kind: str) -> None:
    if not text:
        raise UsageError(f"the {kind} name is empty", _NAME_SHAPE)
    if len(text) > MAX_NAME:
        raise UsageError(f"the {kind} name has {len(text)} characters", _NAME_SHAPE)
    if text.strip(_NAME):
        refuse_mark(text, f"the {kind} name")
        raise UsageError(f"the {kind} name {quote(text)} has an invalid character", _NAME_SHAPE)


EPHEMERAL = "ephemeral"
"""The displayed prefix, with a slash, of the names of unregistered agents; no agent's own name begins with it."""


def check_new_agent(name: str) -> str:
    """Return the name of an agent for a new registration or issue. Raise UsageError for a reserved name."""
    if name.partition("/")[0] == EPHEMERAL:
        raise UsageError(
            f"the agent name {quote(name)} is reserved for unregistered agents; nothing was changed",
            f"choose a name other than `{EPHEMERAL}`, and not beginning with `{EPHEMERAL}/`",
        )
    return name


def check_delegator(text: str) -> str:
    """Return a delegator with its kind: `user:NAME`, `system:NAME`, `agent:NAME`; a bare name means `user:`.

    Raise UsageError for another kind or an invalid name.
    """
    kind, colon, name = text.partition(":")
    if not colon:
        return "user:" + check_name(text, "delegator")
    if kind not in _DELEGATOR_KINDS:
        raise UsageError(f"{quote(text)} is not a delegator: unknown kind", _DELEGATOR_SHAPE)
    check_name(name, "delegator")
    return text


def spiffe_id(trust_domain: str, agent: str, task: str, identity_id: str, *, registered: bool) -> str:
    """Return the SPIFFE ID of an identity: `spiffe://TRUST-DOMAIN/agent/AGENT/TASK/ID`.

    For an unregistered agent, `ephemeral` replaces `agent`, because the requester chose its name.

    The caller has checked trust domain and id; agent and task are encoded (SPIFFE-ID section 2).
    """
    category = "agent" if registered else "ephemeral"
    return f"spiffe://{trust_domain}/{category}/{encode_segment(agent)}/{encode_segment(task)}/{identity_id}"


def encode_segment(name: str) -> str:
    """Return a name in the characters of a SPIFFE path segment (SPIFFE-ID section 2.2), reversibly.

    Letters, digits and `-` stay; each other character becomes `_` and two upper-case hexadecimal digits. The full stop
    is encoded too, since no segment may be `.` or `..`. Raise UsageError for an invalid name.
    """
    # No check for tokens: a name that the ledger already has must be encodable, even if it is refused as a new name
    # today.
    _check_form(name, "SPIFFE")
    return name.translate(_ENCODED)


def check_trust_domain(text: str) -> str:
    """Return the name of a SPIFFE trust domain unchanged (SPIFFE-ID section 2.1).

    At most 255 lower-case ASCII letters, digits, `-`, `_`, and `.` between them. Raise UsageError for
    anything else.
    """
    if len(text) > MAX_URI or text.strip(_TRUST_DOMAIN) or not all(text.split(".")):
        raise UsageError(
            f"{quote(text)} is not a trust domain",
            "write at most 255 lower-case ASCII letters, digits, -, _, and full stops between them",
        )
    return text


def check_audience(text: str) -> str:
    """Return an audience unchanged: 1 to 255 printable ASCII characters.

    It must not have a space, a quote (backquotes too), a backslash, `<` or `>`. Raise UsageError for any other text.
    """
    printable = text.isascii() and text.isprintable() and " " not in text
    if not 1 <= len(text) <= MAX_URI or not printable or not _UNFIT_FOR_AUDIENCE.isdisjoint(text):
        refuse_mark(text, "the audience")
        raise UsageError(
            f"{quote(text)} is not an audience",
            "for several audiences, repeat the option"
            if " " in text.strip()
            else "write 1 to 255 printable ASCII characters, without space, quote, backslash, < and >",
        )
    refuse_token(text, "an audience")
    return text


def may_reach(origin: str, audience: str) -> bool:
    """Return whether an entry of `may_audience` may match an audience; in doubt, return True.

    An entry is an origin, `https://*.example.com`: a `*` stands for one label of the host. An audience with a path
    belongs to the origin at its start.
    """
    if origin == audience:
        return True
    allowed, meant = _origin(origin), _origin(audience)
    if allowed is None:
        return "*" in origin
    if meant is None or allowed[::2] != meant[::2]:
        return False
    labels, others = allowed[1].split("."), meant[1].split(".")
    return len(labels) == len(others) and all(
        label == other_label or "*" in (label, other_label)
        for label, other_label in zip(labels, others, strict=True)
    )


_PORTS = {"http": "80", "https": "443"}


def _origin(text: str) -> tuple[str, str, str] | None:
    """Return the normalized scheme, host and port of a URL; None for any other text."""
    scheme, mark, rest = text.lower().partition("://")
    if not mark:
        return None
    for delimiter in "/?#":
        rest = rest.partition(delimiter)[0]
    authority = rest.rpartition("@")[2]
    host, port = authority, ""
    if ":" in authority and not authority.endswith("]"):
        host, _, port = authority.rpartition(":")
    return scheme, host.removesuffix("."), port or _PORTS.get(scheme, "")


def check_issuer(text: str) -> str:
    """Return the URI of an issuer unchanged: `urn:`, `https:`, or `http:` on a loopback address.

    At most 255 characters, without query, fragment and user (RFC 8414 section 2; RFC 3986, RFC 8141). Since issuers
    are compared character by character, the scheme is in lower case. Raise UsageError for any other text.
    """
    if len(text) > MAX_URI or text.strip(_URI) or not _is_issuer(text):
        raise UsageError(
            f"{quote(text)} is not an issuer",
            "write a urn: or https: URI (http: only on a loopback address), without query and fragment",
        )
    return text


def _is_issuer(text: str) -> bool:
    # Each percent sign must precede two hexadecimal digits.
    if any(len(code) < 2 or code[:2].strip(_HEX) for code in text.split("%")[1:]):
        return False
    scheme, _, rest = text.partition(":")
    if scheme == "urn":
        return _is_urn(rest)
    authority, _, path = rest.removeprefix("//").partition("/")
    if scheme not in {"https", "http"} or not rest.startswith("//") or "[" in path or "]" in path:
        return False
    if authority.startswith("["):
        host, bracket, port = authority.partition("]")
        host += bracket
        valid = len(host) > 3 and host.count(":") >= 2 and not host[1:-1].strip(_HEX + ":.") and bool(bracket)
    else:
        host, colon, port = authority.partition(":")
        port = colon + port
        valid = not host.strip(_PLAIN + ".") and all(host.split("."))
    return valid and _is_port(port) and (scheme == "https" or _is_loopback(host))


def _is_urn(rest: str) -> bool:
    namespace, _, name = rest.partition(":")
    if not 2 <= len(namespace) <= 32 or namespace.strip(_PLAIN) or "-" in namespace[:1] + namespace[-1:]:
        return False
    return bool(name) and name[0] != "/" and "[" not in name and "]" not in name


def _is_port(text: str) -> bool:
    # The text is ASCII here, so `isdigit` accepts only 0-9; the limit of five digits bounds the work of `int`.
    digits = text[1:]
    return not text or (text[0] == ":" and len(digits) <= 5 and digits.isdigit() and 0 < int(digits) < 65_536)


def _is_loopback(host: str) -> bool:
    if host in {"localhost", "[::1]"}:
        return True
    numbers = host.split(".")
    # RFC 1122 section 3.2.1.3. Other spellings of an address are read differently by different programs.
    return (
        len(numbers) == 4
        and numbers[0] == "127"
        and all(number.isdigit() and number == str(int(number)) and int(number) < 256 for number in numbers)
    )


def check_share_name(text: str) -> str:
    """Return a name to share with: `group:NAME`, or a delegator with its kind. Raises UsageError."""
    if text.startswith("group:"):
        check_name(text.removeprefix("group:"), "group")
        return text
    return check_delegator(text)


STAR = "*"


def check_pattern(text: str) -> str:
    """Return a pattern unchanged: a name, or one with a single `*` at its start or end. Raises ConfigurationError."""
    fixed = text[:-1] if text.endswith(STAR) else text.removeprefix(STAR)
    try:
        if text != STAR:
            check_name(fixed, "pattern")
    except UsageError:
        raise ConfigurationError(
            f"{quote(text)} is not a pattern of names",
            "write a name, or one with a single `*` at its start or end: *@example.com, ci-*, *",
        ) from None
    return text


def matches(pattern: str, name: str) -> bool:
    """Return whether a pattern matches a non-empty name; `*` stands for any text, also an empty one."""
    if pattern.endswith(STAR):
        return name.startswith(pattern[:-1])
    if pattern.startswith(STAR):
        return name.endswith(pattern[1:])
    return name == pattern


def overlap(pattern: str, other: str) -> bool:
    """Return whether there is a name, of any length, that matches both patterns."""
    if STAR not in pattern:
        return matches(other, pattern)
    if STAR not in other:
        return matches(pattern, other)
    if pattern.endswith(STAR) and other.endswith(STAR):
        return pattern.startswith(other[:-1]) or other.startswith(pattern[:-1])
    if pattern.startswith(STAR) and other.startswith(STAR):
        return pattern.endswith(other[1:]) or other.endswith(pattern[1:])
    # A prefix pattern and a suffix pattern: the prefix followed by the suffix matches both.
    return True


def common(patterns: Sequence[str], others: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two patterns of two lists that overlap; None if the lists are disjoint."""
    return next(
        ((pattern, other) for pattern in patterns for other in others if overlap(pattern, other)), None
    )
