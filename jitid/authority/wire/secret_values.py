"""The JSON form of secrets, in bodies only: a token as a text, a secret of several parts as an object of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.wire.shapes import Definitions, Schema, UnfitError

if TYPE_CHECKING:
    from jitid.values.secret import Secret

# The input may be any JSON value.
# ruff: noqa: ANN401

# `WireShape` documents the methods.
# ruff: noqa: D102

_TOKEN = 32_768
"""Maximum characters of a token. It is above the limit of valid tokens, so that the parser reports the error."""

_PART = 262_144
"""Maximum characters of one of several parts; a certificate chain is far shorter."""

_PARTS = 64

_NAME = 128


class PresentedSecret:
    """A token in a request. The operation reports a text that is not a token."""

    def encode(self, value: Secret) -> str:
        return value.reveal()

    def decode(self, raw: Any) -> Secret:
        from jitid.values.secret import Secret

        if type(raw) is not str or not raw.strip() or len(raw) > _TOKEN:
            raise UnfitError(f"a token of at most {_TOKEN} characters is wanted")
        return Secret.single(raw)

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        # The format makes tools hide it (OpenAPI 3.1, section 4.4).
        return {"type": "string", "format": "password", "minLength": 1, "maxLength": _TOKEN}


class Given:
    """A secret in an answer. The client may print it to a terminal, so it must not contain control characters."""

    def encode(self, value: Secret) -> str | dict[str, str]:
        if value.names == ("token",) and _is_visible(value.reveal()):
            return value.reveal()
        return {name: value.reveal(name) for name in value.names}

    def decode(self, raw: Any) -> Secret:
        from jitid.values.secret import Secret

        if type(raw) is dict:
            if not 0 < len(raw) <= _PARTS:
                raise UnfitError(f"a secret has 1 to {_PARTS} parts")
            if not all(_is_name(name) for name in raw):
                raise UnfitError("a part of a secret has a name of visible ASCII")
            if not all(_is_part(part) for part in raw.values()):
                raise UnfitError(f"a part is text of at most {_PART} characters, without control characters")
            return Secret(raw)
        if type(raw) is not str or not raw or len(raw) > _TOKEN:
            raise UnfitError(f"a token of at most {_TOKEN} characters is wanted")
        if not _is_visible(raw):
            raise UnfitError("a token of visible ASCII is wanted")
        return Secret.single(raw)

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        text_schema: Schema = {"type": "string", "format": "password", "minLength": 1}
        return {
            "oneOf": [
                {**text_schema, "maxLength": _TOKEN},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": _PARTS,
                    "additionalProperties": {**text_schema, "maxLength": _PART},
                },
            ]
        }


def _is_visible(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _NAME and _is_visible(name)


def _is_part(part: Any) -> bool:
    return (
        type(part) is str
        and 0 < len(part) <= _PART
        # PEM consists of several lines.
        and all(character.isprintable() or character in "\r\n\t" for character in part)
    )
