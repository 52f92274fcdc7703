"""A secret as the text that its user reads: one form for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jitid.model.credential import PARTS, base_kind
from jitid.values.text import ended

if TYPE_CHECKING:
    from jitid.issuers.issuer import KindSpec
    from jitid.values.secret import Secret

CERTIFICATE_SUFFIX = "-cert.pub"
"""The end of the name under which ssh(1) looks for a certificate beside its private key."""


def usable_until(expires_at: int, facts: Mapping[str, Any]) -> int:
    """Return until when a secret works: its own end, as its target reports it, or that of its credential if earlier."""
    until = facts.get("usable_until")
    return min(expires_at, until) if isinstance(until, int) else expires_at


def text_of(kind: str, secret: Secret, expires_at: int) -> str:
    """Return a secret of a kind (`jwt`, `exec:NAME`) as text that ends with a newline.

    A token is printed without any other text. Other kinds have the form of their `KindSpec`; without one they are one
    JSON object with the parts by name.
    """
    if secret.names == ("token",):
        return ended(secret.reveal())
    if kind in PARTS:
        text = _spec(kind).text
        assert text is not None
        return ended(text(secret, expires_at))
    from jitid.formats.json import dumps

    return ended(dumps({name: secret.reveal(name) for name in secret.names}))


def files_of(kind: str, secret: Secret, expires_at: int, path: str) -> dict[str, str]:
    """Return the texts of the files that keep a secret, by path. The caller named `path` for it.

    An SSH certificate gets a separate file beside its key.
    """
    if kind in PARTS and set(secret.names) == {"certificate", "key"} and _spec(kind).separate_certificate:
        # The key comes last: a program that waits for the key finds the certificate.
        return {
            path + CERTIFICATE_SUFFIX: ended(secret.reveal("certificate")),
            path: ended(secret.reveal("key")),
        }
    return {path: text_of(kind, secret, expires_at)}


def paths_of(kind: str, path: str, *, key: bool) -> tuple[str, ...]:
    """Return the paths of `files_of` for a secret that is not made yet; `key` says whether jitid makes its key."""
    if key and kind in PARTS and _spec(kind).separate_certificate:
        return (path, path + CERTIFICATE_SUFFIX)
    return (path,)


def _spec(kind: str) -> KindSpec:
    from jitid.issuers.issuer import spec_of

    return spec_of(base_kind(kind))
