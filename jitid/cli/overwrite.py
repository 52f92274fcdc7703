"""The old token in a file that an output replaces: a note reports it if it is still valid."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.invocation import Invocation
    from jitid.operation.base import Authority
    from jitid.values.secret import Secret


class Replaced:
    """The token in a file that an output is about to replace, if there is one."""

    def __init__(self, path: str) -> None:
        """Read the file at a path that `Invocation.perform` has checked."""
        self._path = path
        # Most outputs are new files, and need no more work.
        self._text = _text_in(path) if os.path.lexists(path) else ""

    def report(
        self, cli: Invocation, authority: Authority, issued: Issued, *, renewed: Secret | None = None
    ) -> None:
        """Print a note about the replaced token if it is still valid.

        `renewed` is the token that `issued` succeeds.
        """
        if not self._text or cli.quiet:
            return
        from jitid.values.secret import fingerprint

        if renewed is not None and fingerprint(self._text) in renewed.fingerprints().values():
            # A renewal ends the predecessor by itself.
            return
        remote = cli.config().remote is not None
        # The old file may be a private key, a password or a token of another authority, so its content is never sent.
        note = self._by_its_form(cli, issued) if remote else self._looked_up(cli, authority, issued)
        if note is not None:
            cli.note(note)

    def _looked_up(self, cli: Invocation, authority: Authority, issued: Issued) -> str | None:
        """Return the note about the old token from the local ledger."""
        from jitid.capabilities.inventory.operations import Inspect
        from jitid.errors import JitidError
        from jitid.values.secret import Secret
        from jitid.values.times import format_time

        try:
            inspection = authority.perform(Inspect(token=Secret.single(self._text)))
        except JitidError:
            # Not a token of this ledger.
            return None
        old = inspection.credential
        if not inspection.active or old.id in [credential.id for credential in issued.credentials]:
            return None
        return (
            f"{self._shown} held {old.jti} (agent {old.agent}, task {old.task}), which stays valid "
            f"until {format_time(old.expires_at)}; {_to_revoke(cli, old.jti, old.id, issued)}"
        )

    def _by_its_form(self, cli: Invocation, issued: Issued) -> str | None:
        """Return the note about the old token from its own text, which neither a signature nor a ledger proves."""
        import time

        from jitid.redaction.token_format import is_opaque
        from jitid.values.times import format_time

        if is_opaque(self._text):
            from jitid.values.secret import fingerprint

            command = cli.command(f"jitid trace {fingerprint(self._text).hex()}")
            return f"{self._shown} held an opaque token, which was not looked up; to look it up: {command}"
        claims = _stated(self._text)
        if (
            claims is None
            or claims.until <= time.time()
            or claims.identity in [credential.id for credential in issued.credentials]
        ):
            return None
        return (
            f"{self._shown} held {claims.jti}, which was not looked up: unless it was revoked or renewed, it stays "
            f"valid until {format_time(claims.until)}; {_to_revoke(cli, claims.jti, claims.identity, issued)}"
        )

    @property
    def _shown(self) -> str:
        from jitid.values.text import quote

        return quote(self._path, 200)


class _Stated(NamedTuple):
    """The unverified claims of a token."""

    jti: str
    identity: str | None
    """Id of its identity, if the token names one."""
    until: int
    """Expiry, in seconds since the epoch."""


def _to_revoke(cli: Invocation, jti: str, identity: str | None, issued: Issued) -> str:
    tokens = "it and the new token" if identity is not None and identity == issued.parent else "it"
    return f"to revoke {tokens}: {cli.command(f'jitid revoke {jti}')}"


def _stated(text: str) -> _Stated | None:
    """Return the claims of a text in the form of a signed token or a certificate of jitid; else None."""
    from jitid.crypto import jws
    from jitid.errors import InvalidCredentialError, UsageError
    from jitid.redaction.token_format import CERTIFICATE, is_ssh_certificate
    from jitid.values.ids import parse_id

    try:
        if text.startswith(CERTIFICATE):
            from jitid.crypto import x509

            presented = x509.parse(text)
            token_claims = _Stated(presented.jti, _last_segment(presented.uri), presented.not_after)
        elif is_ssh_certificate(text):
            from jitid.crypto import openssh

            parsed = openssh.parse_certificate(text)
            token_claims = _Stated(parsed.key_id, None, parsed.valid_before)
        else:
            claims = jws.parse(text, types=jws.TOKENS).claims
            jti, expires_at, actor = claims.get("jti"), claims.get("exp"), claims.get("act")
            if type(jti) is not str or type(expires_at) is not int:
                return None
            subject = actor.get("sub") if isinstance(actor, dict) else claims.get("sub")
            token_claims = _Stated(jti, _last_segment(subject), expires_at)
        return token_claims if parse_id(token_claims.jti)[0] == "jti" else None
    except (InvalidCredentialError, UsageError, ValueError):
        return None


def _last_segment(subject: object) -> str | None:
    """Return the id of the identity that a SPIFFE id ends with."""
    return subject.rpartition("/")[2] if type(subject) is str else None


def _text_in(path: str) -> str:
    """Return the possible token in a regular file of this user, or an empty text. The text is never shown."""
    from jitid.redaction.token_format import MAX_TOKEN, bare
    from jitid.system.files import read_regular

    try:
        data = read_regular(path, MAX_TOKEN + 1)
    except OSError:
        return ""
    if len(data) > MAX_TOKEN:
        return ""
    return bare(data.decode("utf-8", "replace").partition("-----BEGIN PRIVATE KEY-----")[0])
