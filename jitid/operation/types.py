"""The types of declared fields: how each is parsed, its placeholder, and its completion."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitid.errors import UsageError
from jitid.model.credential import MADE, Kind
from jitid.model.task import SENSITIVITIES
from jitid.operation.declaration import FieldType, Source
from jitid.values.text import quote

MAX_NUMBER = 999_999_999
"""The largest number on a command line, as a limit or as a count of new items."""
MAX_EVENT = (1 << 53) - 1
"""The largest number of an event: the audit log grows forever."""


def choice(*words: str, metavar: str = "WHAT", label: str = "") -> FieldType[str]:
    """Return the type of one of a few words; `label` is their noun in messages.

    Without a label the verb itself refuses other words.
    """

    def parse(text: str, _label: str) -> str:
        if label and text not in words:
            raise UsageError(f"{quote(text)} is no {label}", f"choose one of: {', '.join(words)}")
        return text

    return FieldType(parse, metavar, words=words)


def number(maximum: int = MAX_NUMBER) -> FieldType[int]:
    """Return the type of a whole number."""

    def parse(text: str, label: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            raise UsageError(f"the value of {label} is no whole number: {quote(text)}")
        if len(digits) > 16 or int(digits) > maximum:
            raise UsageError(f"the value of {label} is more than {maximum}, which no ledger holds")
        return int(text)

    return FieldType(parse, "N")


def _text(
    metavar: str, *sources: Source, words: Sequence[str] | Callable[[], Sequence[str]] = ()
) -> FieldType[str]:
    return FieldType(lambda text, _label: text, metavar, words=words, sources=sources)


def _roles() -> Sequence[str]:
    from jitid.model.caller import ROLES

    return ROLES


def _settings() -> Sequence[str]:
    from jitid.config.settings import SETTINGS

    return tuple(SETTINGS)


TEXT = _text("TEXT")
NAME = _text("NAME")
NUMBER = number()
EVENT = number(MAX_EVENT)

TASK = _text("NAME", "tasks")
AGENT = _text("NAME", "agents")
REGISTERED_AGENT = _text("NAME", "records")
"""An agent that is or was registered."""
DELEGATOR = _text("NAME", "delegators")
KNOWN_DELEGATOR = _text("NAME", "known")
"""A delegator in the directory."""
ID = _text("ID", "ids")
ID_OR_FILE = _text("[ID|FILE]", "ids", "files")
ACCESS_ID = _text("ACCESS", "access")
ADOPTED = _text("NAME", "adopted")
LEAK = _text("ID", "leaks")
APPROVAL_ID = _text("REQUEST", "approvals")
KEY_ID = _text("KID", "keys")

KIND = _text("KIND", words=tuple(Kind))
MADE_KIND = _text("KIND", words=tuple(MADE))
KIND_TEMPLATE = _text("KIND", "kinds")
"""A kind of credential, with a template of the configuration."""
SCOPE = _text("SCOPE")
AUDIENCE = _text("AUD")
DURATION = _text("DURATION")
TIME = _text("TIME")
WHEN = _text("WHEN")
"""A duration or a time."""
SENSITIVITY = _text("LEVEL", words=SENSITIVITIES)
ROLE = _text("ROLE", words=_roles)

FILE = _text("FILE", "files")
FOLDER = _text("DIR", "folders")
URL = _text("URL")
COMMAND = _text("CMD", "command")
"""A nested command line: the rest of the line is completed like a separate command."""

SETTING = _text("KEY", words=_settings)
SETTING_VALUE = _text("VALUE", "setting")
"""A value of the setting that the word before it names."""
