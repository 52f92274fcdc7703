"""Hints after a refused token or an invalid id, from facts that the verb has and the ledger lacks.

And a note about the old token in a file that an output replaces, if it is still valid.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote as shell_word
from typing import TYPE_CHECKING

from jitid.errors import InvalidCredentialError, JitidError, UsageError
from jitid.system import read_input
from jitid.values.record import Record
from jitid.values.text import may_be_secret, quote, safe, token_warning

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.invocation import Invocation
    from jitid.operation.base import Authority
    from jitid.values.secret import Secret


OTHER_LEDGER = "it may be another ledger's: name it with --ledger"
_OTHER_ISSUER = "the token is from another issuer"
_FALSE = "the token's signature is invalid"
_OTHER_AUDIENCE = "is for another audience"
_MOST_AUDIENCES = 5
_LONGEST_FILE = 200


@contextmanager
def advised(token: Secret | None = None) -> Iterator[None]:
    """Add the next step to the refusal of a token."""
    try:
        yield
    except InvalidCredentialError as error:
        advise(error, token)
        raise


def advise(error: InvalidCredentialError, token: Secret | None = None) -> None:
    """Add the next step to the refusal of a token: another ledger, or the audience in the token."""
    if error.hint is None and error.message.endswith(_OTHER_ISSUER):
        error.hint = OTHER_LEDGER
    elif error.hint is None and error.message.endswith(_FALSE):
        error.hint = "the token was changed, or its end is cut off: copy the whole token"
    elif error.hint is None and error.message.endswith(_OTHER_AUDIENCE) and token is not None:
        error.hint = _meant_for(token.reveal())


def _meant_for(text: str) -> str:
    from jitid.crypto import jws

    try:
        parsed = jws.parse_any(text)
        if parsed.typ == jws.IDENTITY:
            return "an identity token is for jitid alone; for a service: jitid issue --audience URL"
        claim = parsed.claims.get("aud")
    except JitidError:
        # An opaque token contains no audience, and the ledger reveals it to no other verifier.
        return "name the audience that it is for: --audience URL"
    audiences = [
        audience for audience in (claim if type(claim) is list else [claim]) if type(audience) is str
    ]
    quoted = " and ".join(quote(audience) for audience in audiences[:_MOST_AUDIENCES])
    more = f" and {len(audiences) - _MOST_AUDIENCES} more" if len(audiences) > _MOST_AUDIENCES else ""
    if len(audiences) == 1 and safe(audiences[0]) == audiences[0]:
        return f"to verify it for that service: --audience {shell_word(audiences[0])}"
    return f"it is for {quoted}{more}: select one by --audience URL"


def hint_for_word(text: str, *, token_files: bool) -> str:
    """Return the hint about a word that is not an id: the option for such a word.

    `token_files`: the verb has --token-file, besides --task.
    """
    return token_warning(text) or _instead(text, token_files=token_files)


def _instead(text: str, *, token_files: bool) -> str:
    if safe(text) == text and len(text) <= _LONGEST_FILE and os.path.isfile(text):
        if token_files:
            return f"for the token in that file: --token-file {shell_word(text)}"
        return f"for the id of the token in that file: jitid inspect --field id {shell_word(text)}"
    return "for ids: jitid list"


def subject(word: str | None) -> Secret:
    """Return the token in the file `word`, or on standard input. If the file is missing, the hint explains ids.

    Raises:
        UsageError: the file cannot be read, or is empty.

    """
    path = word or "-"
    try:
        return read_input.token(path, "the token")
    except UsageError as error:
        if error.hint is None and path != "-" and not os.path.lexists(path):
            # A dot or a slash means that the word is a file name.
            task = None if "." in path or "/" in path else _task(path)
            command = "jitid list" if task is None else f"jitid list --task {task}"
            error.hint = f"an id is jid_ or jti_ and 26 characters of 0-9 and a-v; to list them: {command}"
        raise


def _task(text: str) -> str | None:
    """Return the word if it may be the name of a task. Return None for any other word, or a possible secret."""
    from jitid.model.task import check_task

    try:
        return None if may_be_secret(text) else check_task(text)
    except JitidError:
        return None


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


class _Stated(Record):
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
