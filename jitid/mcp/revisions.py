"""The revisions of the protocol: the older ones begin with a handshake, the latest is stateless.

A request of the stateless revision names its revision and the abilities of its client in `_meta`. Only the protocol is
stateless: the identities that a server hands out belong to its process, and end with it (`handed_out.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jitid import __version__
from jitid.mcp.messages import INVALID_PARAMS, MessageError, Request

HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions that begin with `initialize`, oldest first; a client with another revision is offered the last."""
STATELESS = "2026-07-28"
VERSIONS = (*HANDSHAKE, STATELESS)
"""Supported protocol revisions, oldest first."""

UNSUPPORTED_VERSION = -32022
"""The code of UnsupportedProtocolVersionError, revision 2026-07-28."""

SERVER = {"name": "jitid", "title": "jitid", "version": __version__}

_KEY = "io.modelcontextprotocol/"
_VERSION, _CAPABILITIES, _CLIENT = (
    f"{_KEY}{name}" for name in ("protocolVersion", "clientCapabilities", "clientInfo")
)
_VERSION_NAME = re.compile(r"[A-Za-z0-9.-]{1,32}")
"""A revision that an error may repeat: it is shorter than any token."""
_LASTS = 3_600_000
"""Milliseconds for which a client may keep lists: they change with the installed version only."""


def is_enveloped(request: Request) -> bool:
    """Return whether a request names its own revision."""
    meta = request.params.get("_meta")
    return isinstance(meta, dict) and _VERSION in meta


def check_envelope(request: Request) -> None:
    """Refuse a request that is not a complete one of the stateless revision. Raises MessageError."""
    meta = request.params.get("_meta")
    if not isinstance(meta, dict):
        raise _invalid(request, "the member `_meta` is missing or not an object")
    if _VERSION not in meta:
        raise _invalid(request, f"`_meta` has no `{_VERSION}`")
    if not isinstance(meta.get(_CAPABILITIES), dict):
        raise _invalid(request, f"`{_CAPABILITIES}` of `_meta` is missing or not an object")
    client = meta.get(_CLIENT, {"name": "", "version": ""})
    if not (
        isinstance(client, dict) and all(isinstance(client.get(name), str) for name in ("name", "version"))
    ):
        raise _invalid(request, f"`{_CLIENT}` of `_meta` has no `name` and `version`")
    version = meta[_VERSION]
    if not isinstance(version, str):
        raise _invalid(request, f"`{_VERSION}` of `_meta` is not a string")
    if version in HANDSHAKE:
        raise _invalid(request, f"the revision {version} begins with `initialize`")
    if version != STATELESS:
        raise unsupported(request, version, VERSIONS)


def unsupported(request: Request, version: object, supported: tuple[str, ...]) -> MessageError:
    """Return the error about a revision; it repeats the revision only if that is certainly not a token."""
    repeatable = isinstance(version, str) and _VERSION_NAME.fullmatch(version)
    return MessageError(
        UNSUPPORTED_VERSION,
        f"unsupported protocol version; supported: {', '.join(supported)}",
        request.id,
        {"supported": list(supported), "requested": version if repeatable else ""},
    )


def stateless(result: Mapping[str, Any], *, lasting: bool = False) -> Mapping[str, Any]:
    """Return a result in the form of the stateless revision; a `lasting` one may be kept by the client."""
    kept = {"ttlMs": _LASTS, "cacheScope": "private"} if lasting else {}
    return {**result, **kept, "resultType": "complete", "_meta": {f"{_KEY}serverInfo": SERVER}}


def _invalid(request: Request, reason: str) -> MessageError:
    return MessageError(INVALID_PARAMS, reason, request.id)
