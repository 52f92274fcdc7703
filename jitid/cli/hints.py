"""Hints after a refused token or an invalid id, from facts that the verb has and the ledger lacks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jitid.cli import read_input
from jitid.errors import InvalidCredentialError, JitidError, UsageError
from jitid.redaction.token_format import name_holds_token
from jitid.values.ids import parse_id
from jitid.values.text import quote, safe, token_warning

if TYPE_CHECKING:
    from jitid.values.secret import Secret

OTHER_LEDGER = "it may be another ledger's: name it with --ledger"
_OTHER_ISSUER = "the token is from another issuer"
_OTHER_AUDIENCE = "is for another audience"
_MOST_AUDIENCES = 5
_LONGEST_FILE = 200


@contextmanager
def advised(token: Secret | None = None) -> Iterator[None]:
    """Add the next step to the refusal of a token: another ledger, or the audience in the token."""
    try:
        yield
    except InvalidCredentialError as error:
        if error.hint is None and error.message.endswith(_OTHER_ISSUER):
            error.hint = OTHER_LEDGER
        elif error.hint is None and error.message.endswith(_OTHER_AUDIENCE) and token is not None:
            error.hint = _meant_for(token.reveal())
        raise


def _meant_for(text: str) -> str:
    from jitid.crypto import jws

    try:
        claim = jws.parse_any(text).claims.get("aud")
    except JitidError:
        # An opaque token contains no audience, and the ledger reveals it to no other verifier.
        return "name the audience that it is for: --audience URL"
    audiences = [
        audience for audience in (claim if type(claim) is list else [claim]) if type(audience) is str
    ]
    quoted = " and ".join(quote(audience) for audience in audiences[:_MOST_AUDIENCES])
    more = f" and {len(audiences) - _MOST_AUDIENCES} more" if len(audiences) > _MOST_AUDIENCES else ""
    return f"it is for {quoted}{more}: a verifier with that name says --audience URL"


def check_ids(texts: Iterable[str], *, token_files: bool) -> None:
    """Raise UsageError for a word that is not an id. The hint names the option for such a word.

    `token_files`: the verb has --token-file, besides --task.
    """
    for text in texts:
        try:
            parse_id(text)
        except UsageError as error:
            if error.hint is None:
                error.hint = token_warning(text) or _instead(text, token_files=token_files)
            raise


def _instead(text: str, *, token_files: bool) -> str:
    if safe(text) == text and len(text) <= _LONGEST_FILE and os.path.isfile(text):
        from shlex import quote as word

        if token_files:
            return f"for the token in that file: --token-file {word(text)}"
        return f"for the id of the token in that file: jitid inspect --field id {word(text)}"
    if (task := _task(text)) is not None:
        return f"for everything on a task: --task {task}; for ids: jitid list"
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
        return None if name_holds_token(text) or token_warning(text) else check_task(text)
    except JitidError:
        return None
