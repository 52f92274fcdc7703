"""A secret as the text that whoever uses it takes as it is: one form a kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitid.values.secret import Secret

CERTIFICATE_SUFFIX = "-cert.pub"
"""What ssh(1) looks for beside a private key."""


def usable_until(expires_at: int, facts: Mapping[str, Any]) -> int:
    """Return until when a secret works, by what its maker tells of it: no longer than its credential lives."""
    until = facts.get("usable_until")
    return min(expires_at, until) if isinstance(until, int) else expires_at


def text_of(kind: str, secret: Secret, expires_at: int) -> str:
    """Return a secret of a kind (`jwt`, `exec:NAME`) as text, the last line ended.

    A token stands alone; X.509 certificates stand before their key and an SSH key before its certificate, as programs
    read them from one file; a database's is its URL; what a cloud gave is what `credential_process` prints; of
    anything else it is one JSON object with the parts by their names.
    """
    parts = secret.names
    if "token" in parts and len(parts) == 1:
        return ended(secret.reveal())
    match kind.partition(":")[0]:
        case "x509-svid":
            return "".join(ended(secret.reveal(name)) for name in ("certificate", "key") if name in parts)
        case "ssh-cert":
            return "".join(ended(secret.reveal(name)) for name in ("key", "certificate") if name in parts)
        case "postgres-role":
            return ended(secret.reveal("url"))
        case "aws-sts":
            return ended(credential_process(secret, expires_at))
        case _:
            return ended(_object({name: secret.reveal(name) for name in parts}))


def files_of(kind: str, secret: Secret, expires_at: int, path: str) -> dict[str, str]:
    """Return the files, by their paths, that a secret is kept in where `path` is named for it.

    An SSH certificate is a file of its own beside its key, where ssh(1) finds it.
    """
    if kind == "ssh-cert":
        certificate = ended(secret.reveal("certificate"))
        if "key" not in secret.names:
            return {path: certificate}
        # The key is written last: whoever waits for it finds all of it.
        return {path + CERTIFICATE_SUFFIX: certificate, path: ended(secret.reveal("key"))}
    return {path: text_of(kind, secret, expires_at)}


def paths_of(kind: str, path: str, *, key: bool) -> tuple[str, ...]:
    """Return the paths that `files_of` gives for a secret of a kind that is still to be made; `key`: with its key."""
    return (path, path + CERTIFICATE_SUFFIX) if kind == "ssh-cert" and key else (path,)


def credential_process(secret: Secret, expires_at: int) -> str:
    """Return what a program of `credential_process` prints (AWS SDKs and Tools, process credential provider)."""
    from jitid.values.times import format_time

    return _object(
        {
            "Version": 1,
            "AccessKeyId": secret.reveal("access_key_id"),
            "SecretAccessKey": secret.reveal("secret_access_key"),
            "SessionToken": secret.reveal("session_token"),
            "Expiration": format_time(expires_at),
        }
    )


def _object(value: dict[str, str | int]) -> str:
    from jitid.formats.json import dumps

    return dumps(value)


def ended(text: str) -> str:
    """Return a text whose last line is ended."""
    return text if text.endswith("\n") else f"{text}\n"
