"""Keys of the EC2 role of this machine, from the instance metadata service, version 2."""

from __future__ import annotations

import re
import time

from jitid.errors import ConfigurationError, StorageError
from jitid.issuers.aws.api import Keys
from jitid.system.authority_address import Address
from jitid.system.http import Channel, Words
from jitid.values import strict_json

METADATA = Address("http", "169.254.169.254", 80, "")
"""A link-local address: requests to it never leave the machine's own host."""

_ROLES = "/latest/meta-data/iam/security-credentials/"
_ROLE = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_MOST = 1 << 16
_SESSION_SECONDS = "60"
"""Seconds that the service's session token is valid."""
_PATIENCE = 2.0
"""Maximum seconds for the service: it is on the machine's own host, and outside EC2 there is no answer."""
_WORDS = Words(
    "the instance metadata service",
    "is this machine one of EC2?",
    "nothing",
    "is this machine one of EC2, and may its containers ask (hop limit 2)?",
    "is this machine one of EC2?",
    "is this machine one of EC2?",
)


def machine_keys(timeout: float) -> Keys:
    """Return the current keys of the machine's role.

    Raises:
        StorageError: there is no answer, or it is not from such a service.
        ConfigurationError: the machine has no role.

    """
    deadline = time.monotonic() + min(timeout, _PATIENCE)
    channel = Channel(METADATA, None, _WORDS)

    def request(method: str, path: str, header: str, value: str) -> str | None:
        answer = channel.request(
            method, path, None, {header: value}, seconds=max(deadline - time.monotonic(), 0.001)
        )
        body = answer.read(_MOST)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise StorageError(f"the instance metadata service answers with status {answer.status}")
        return body.decode("utf-8", "replace")

    try:
        token = (
            request("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", _SESSION_SECONDS)
            or ""
        )
        if not token.isascii() or not token.isprintable():
            raise StorageError("what answers as the instance metadata service is none")
        auth_header = "X-aws-ec2-metadata-token"
        role = (request("GET", _ROLES, auth_header, token) or "").strip()
        if not role:
            raise ConfigurationError("this machine has no role", "give it one, or set credentials_file")
        document = request("GET", f"{_ROLES}{role}", auth_header, token) if _ROLE.fullmatch(role) else None
        credentials = strict_json.loads(document or "", "what the machine's role has")
        keys = [credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")]
        if not all(isinstance(key, str) and key for key in keys):
            raise TypeError
        return Keys(*keys)
    except (KeyError, TypeError, strict_json.StrictJSONError):
        raise StorageError(
            "the instance metadata service gives no keys for the machine's role",
            "may EC2 assume that role? see its trust policy",
        ) from None
    finally:
        channel.close()
