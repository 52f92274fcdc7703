"""Federation with one vendor: its table in the configuration, its audience, and its missing settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jitid.errors import ConfigurationError, UsageError
from jitid.model.subject_template import parse_template
from jitid.model.vendor import UNSUPPORTED, VENDORS, Vendor
from jitid.values.names import check_audience, check_issuer
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import parse_duration

COMMON = ("vendor", "audience", "subject", "lifetime")
"""The settings that each table `[federate.NAME]` may have."""
_LONGEST_NAME = 32
_LONGEST_VALUE = 512


class Federation(Record):
    """One table `[federate.NAME]`, or the defaults of a vendor of that name."""

    name: str
    settings: Mapping[str, str]

    @property
    def vendor(self) -> Vendor:
        """The vendor."""
        return VENDORS[self.vendor_name]

    @property
    def vendor_name(self) -> str:
        """The name of the vendor: the one in the table, or the name of the table."""
        return self.settings.get("vendor", self.name)

    @property
    def audience(self) -> str | None:
        """The audience of the tokens; None if it depends on a setting that is missing."""
        if (stated := self.settings.get("audience")) is not None:
            return stated
        usual = self.vendor.audience
        if "{provider}" not in usual:
            return usual
        provider = self.settings.get("provider")
        return None if provider is None else usual.replace("{provider}", provider.strip("/"))

    @property
    def audiences(self) -> tuple[str, ...]:
        """Every audience that the vendor accepts by its rule; empty if that depends on a missing setting."""
        audience = self.audience
        if audience is None:
            return ()
        if self.vendor_name == "google" and "audience" not in self.settings:
            # By default, Google accepts the name of the provider with and without its scheme.
            return (audience, audience.removeprefix("https:"))
        return (audience,)

    @property
    def subject(self) -> str | None:
        """The template of `sub`; None: the root delegator."""
        return self.settings.get("subject")

    @property
    def lifetime(self) -> int:
        """The longest life of a token that the vendor gives in exchange, in seconds."""
        stated = self.settings.get("lifetime")
        return self.vendor.lifetime if stated is None else parse_duration(stated)

    @property
    def missing(self) -> list[str]:
        """The names of the settings without which the programs of the vendor cannot exchange a token."""
        return [
            name
            for name, setting in self.vendor.settings.items()
            if setting.required and name not in self.settings
        ]

    @property
    def one_missing(self) -> list[str]:
        """The names of the settings of which one is missing: a program needs it, or states the value by itself."""
        return [] if any(name in self.settings for name in self.vendor.one_of) else [*self.vendor.one_of]


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a table."""
    return (
        0 < len(text) <= _LONGEST_NAME
        and text.isascii()
        and text[0].isalpha()
        and all(character.isalnum() or character in "_-" for character in text)
    )


def find(name: str, tables: Mapping[str, Mapping[str, str]]) -> Federation:
    """Return the federation of that name. Raises UsageError if there is no such table and no such vendor."""
    federation = Federation(name, tables.get(name, {}))
    if federation.vendor_name in VENDORS:
        return federation
    if name in UNSUPPORTED:
        raise UsageError(*UNSUPPORTED[name])
    known = ", ".join(dict.fromkeys([*VENDORS, *tables]))
    raise UsageError(f"there is no vendor {quote(name)}", f"known names: {known}")


def allowed(vendor: str) -> tuple[str, ...]:
    """Return the names of the settings that a table of a vendor may have."""
    return (*COMMON, *VENDORS[vendor].settings)


def check_table(name: str, table: Mapping[str, str]) -> None:
    """Check the name and the values of a table of a known vendor. Raises ConfigurationError."""
    if not is_name(name):
        raise ConfigurationError(
            f"the name of a federation must have 1 to {_LONGEST_NAME} letters, digits, `_-`, and begin with a letter"
        )
    for key, value in table.items():
        if not value.isprintable() or not value.isascii() or '"' in value or len(value) > _LONGEST_VALUE:
            raise ConfigurationError(
                f"{quote(key)} must have 1 to {_LONGEST_VALUE} printable ASCII characters"
            )
    if "lifetime" in table:
        _checked(table["lifetime"], parse_duration)
    if (audience := Federation(name, table).audience) is not None:
        _checked(audience, check_audience)
    for key, setting in VENDORS[table.get("vendor", name)].settings.items():
        if setting.is_address and key in table:
            _checked(table[key], _check_address)
        if setting.is_label and key in table:
            _checked(table[key], _check_label)
    if "subject" in table:
        _checked(table["subject"], parse_template)


def _check_address(text: str) -> None:
    try:
        if not check_issuer(text).startswith("urn:"):
            return
    except UsageError:
        pass
    raise UsageError(
        f"{quote(text, 200)} is not an https address (http: only on a loopback address)",
        "programs send the token there",
    )


def _check_label(text: str) -> None:
    if not text.replace("-", "").isalnum():
        raise UsageError(
            f"{quote(text, 200)} must have letters, digits and `-` only",
            "it is a part of the host name to which programs send the token",
        )


def _checked(text: str, check: Callable[[str], object]) -> None:
    try:
        check(text)
    except UsageError as error:
        raise ConfigurationError(error.message, error.hint) from None
