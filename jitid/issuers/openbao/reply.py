"""Strict parsing of replies from OpenBao or Vault, and validation of texts for requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jitid.errors import ConfigurationError, StorageError
from jitid.model.target import Target
from jitid.values import strict_json
from jitid.values.text import quote

_LONGEST = 16 << 10
"""Maximum characters of a token."""


class Reply(NamedTuple):
    """A reply of the server, including a refusal."""

    status: int
    body: Mapping[str, Any]
    errors: tuple[str, ...]
    """The server's error messages."""

    @property
    def good(self) -> bool:
        """Whether the request succeeded."""
        return self.status < 300

    @property
    def data(self) -> Mapping[str, Any]:
        """The data of the reply; empty without any."""
        return _table(self.body.get("data"))

    @property
    def auth(self) -> Mapping[str, Any]:
        """The token that it made; empty without one."""
        return _table(self.body.get("auth"))

    def mentions(self, words: str) -> bool:
        """Return whether an error message contains these words."""
        return any(words in error for error in self.errors)

    def error_text(self, *secrets: str | None) -> str:
        """Return the error messages in one line that is safe to show, with these secrets masked."""
        text = "; ".join(" ".join(error.split()) for error in self.errors) or f"status {self.status}"
        for secret in secrets:
            if secret:
                text = text.replace(secret, "****")
        return quote(text, 200)


def read(target: Target, status: int, text: bytes, secrets: Iterable[str | None] = ()) -> Reply:
    """Return the parsed reply; the request's secrets are masked in its error messages, which may repeat them.

    Raises StorageError for an unclear answer: invalid JSON, sealed, overloaded, a failure of the server.
    """
    body: Any = {}
    try:
        body = strict_json.loads(text, "the answer") if text else {}
    except strict_json.StrictJSONError as error:
        if status < 500:
            raise unclear(target, str(error)) from None
    if type(body) is not dict:
        raise unclear(target, "the answer is no JSON object")
    reported = body.get("errors")
    errors = tuple(message for message in reported if type(message) is str) if type(reported) is list else ()
    for secret in secrets:
        if secret:
            errors = tuple(message.replace(secret, "****") for message in errors)
    reply = Reply(status, body, errors)
    if status == 503 and reply.mentions("sealed"):
        raise StorageError(f"the target {target.name} is sealed", "unseal it, then try again")
    if status in (412, 429) or status >= 500:
        raise StorageError(f"the target {target.name} failed: {reply.error_text()}", "try again")
    return reply


def unclear(target: Target, detail: str) -> StorageError:
    """Return the error for an answer that such a server does not give."""
    return StorageError(
        f"the target {target.name} gave no clear answer: {detail}",
        "is it OpenBao or Vault that answers there?",
    )


def check_token(text: object) -> str | None:
    """Return a text that is valid in a header; None for any other value."""
    if type(text) is str and 0 < len(text) <= _LONGEST and text.isascii() and text.isprintable():
        return None if " " in text else text
    return None


def plain(text: object, option: str, target: Target) -> str:
    """Return a valid path of the server, or a namespace: letters, digits and `._-/@`, no `.` or `..` as a part.

    Raises ConfigurationError for any other text.
    """
    path = str(text).strip("/")
    parts = path.split("/")
    good = path and all(part and part not in (".", "..") for part in parts)
    if not good or any(not (char.isascii() and (char.isalnum() or char in "._-/@")) for char in path):
        raise ConfigurationError(
            f"`{option}` of the target {target.name} is no path of a server: {quote(str(text))}",
            "write it as in: database/creds/reader",
        )
    return path


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
