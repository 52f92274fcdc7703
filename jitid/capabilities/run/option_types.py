"""The types of the options of a run."""

from __future__ import annotations

from jitid.errors import UsageError
from jitid.model.credential import RequestedKind, parse_kind
from jitid.values.field_types import choice, texts
from jitid.values.names import MAX_NAME
from jitid.values.text import quote
from jitid.values.times import parse_duration

_LONGEST_NAME = 32


def _variable(text: str) -> str:
    if not (
        text.isascii()
        and text.isidentifier()
        and len(text) <= MAX_NAME
        and not text.startswith("JITID_")
        and text != "PATH"
    ):
        raise UsageError(
            f"{quote(text)} is not allowed as the variable of the token", "for example: --env API_TOKEN"
        )
    return text


def _secret(text: str) -> tuple[str, RequestedKind]:
    name, equals, kind = text.partition("=")
    if not equals or not _is_name(name):
        raise UsageError(
            f"invalid secret {quote(text)}: expected NAME=KIND or NAME=KIND:TEMPLATE",
            "for example: --secret db=postgres-role:reader",
        )
    return name, parse_kind(kind)


def _is_name(name: str) -> bool:
    return (
        0 < len(name) <= _LONGEST_NAME
        and name.isascii()
        and name[0].isalpha()
        and all(character.isalnum() or character in "_-" for character in name)
    )


def _federation(text: str) -> str:
    from jitid.model.federation import is_name

    if not is_name(text):
        example = " ".join(f"--for {part}" for part in text.split(",") if is_name(part))
        hint = f"repeat the option: {example}" if "," in text and example else "such as --for anthropic"
        raise UsageError(f"{quote(text)} is not the name of a federation", hint)
    return text


def _vendors() -> list[str]:
    from jitid.model.vendor import VENDORS

    return list(VENDORS)


FEDERATION = texts(_federation, "NAME", {}, words=_vendors)
"""The name of a federation: of a vendor, or of a table of the configuration."""
VARIABLE = texts(_variable, "VAR", {})
"""The variable of a command for its token."""
SECRET = texts(_secret, "NAME=KIND", {})
"""A name and the kind of a further credential."""
ON_EXIT = choice("revoke", "keep", metavar="WHAT", label="action on exit")
GRACE = texts(lambda text: 0 if text in ("0", "0s") else parse_duration(text), "DURATION", {})
"""The seconds from TERM to KILL, which may be zero."""
