"""`jitid config`: read and change the settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jitid.cli.invocation import Invocation
from jitid.cli.setup import commands
from jitid.config.config_file import WORD_TABLES
from jitid.config.effective import Config, own_file
from jitid.config.settings import SETTINGS, Value, nearest
from jitid.errors import ConfigurationError, NotFoundError, UsageError
from jitid.system import output
from jitid.values.record import Record
from jitid.values.text import quote, safe

if TYPE_CHECKING:
    from jitid.model.access import OidcIssuer


def show(cli: Invocation, args: commands.ConfigShowCommand) -> None:
    """Perform `jitid config show`."""
    cli.show_records(args.shown_view(), _settings(cli.config()))
    for target in cli.config().targets():
        from jitid.issuers.targets import check

        try:
            check(target)
        except ConfigurationError as error:
            # The settings are shown anyway: the user may be about to repair this one.
            cli.warn(f"{error.message}{f' ({error.hint})' if error.hint else ''}")


def get(cli: Invocation, args: commands.ConfigGetCommand) -> None:
    """Perform `jitid config get`."""
    key = args.key
    setting = next((setting for setting in _settings(cli.config()) if setting.key == key), None)
    if setting is None and key not in SETTINGS and not key.startswith(tuple(WORD_TABLES)):
        raise UsageError(f"there is no setting {quote(key)}", nearest(key, tuple(SETTINGS)))
    if setting is not None and setting.value is None and key == "issuer":
        from jitid.authority.open import issuer

        setting = setting._replace(value=issuer(cli.config()), origin="ledger")
    if setting is None or setting.value is None:
        raise NotFoundError(f"{quote(key, 200)} is not set", f"to set it: jitid config set {safe(key)} VALUE")
    values = setting.value if isinstance(setting.value, tuple) else (setting.value,)
    cli.show_record(args.view, setting, "".join(safe(str(item)) + "\n" for item in values))


def set_(cli: Invocation, args: commands.ConfigSetCommand) -> None:
    """Perform `jitid config set`."""
    # The modules that read and write TOML load slowly.
    from jitid.cli.setup.check_setting import OF_LEDGER, check_setting, check_with_ledger
    from jitid.config.change_setting import set_value

    check_setting(args.key, args.value)
    if args.key in OF_LEDGER:
        try:
            config = cli.config_with({args.key: args.value})
        except ConfigurationError:
            # The user may be about to repair or to create a file.
            pass
        else:
            check_with_ledger(config, args.key)
    set_value(own_file(cli.config_file), _profile(cli), args.key, args.value, _check_issuer)
    if args.key.startswith(("federate.", "oidc.")):
        _warn_if_in_vain(cli, args.key)


def _warn_if_in_vain(cli: Invocation, key: str) -> None:
    """Warn about a setting that was written to a file in which it does not count."""
    try:
        found = cli.config().set_in_vain(key)
    except (ConfigurationError, UsageError):
        # The user may be about to repair the file.
        return
    if found is not None:
        where, remedy = found
        use = " for logins" if key.startswith("oidc.") else ""
        cli.warn(f"{quote(key, 200)} is {where}: there it does not count{use}; {remedy}")


def _check_issuer(issuer: OidcIssuer) -> None:
    from jitid.capabilities.access.oidc import check_settings

    check_settings(issuer)


def unset(cli: Invocation, args: commands.ConfigUnsetCommand) -> None:
    """Perform `jitid config unset`."""
    from jitid.config.change_setting import unset_value

    path = own_file(cli.config_file)
    if not unset_value(path, _profile(cli), args.key):
        cli.note(f"{quote(args.key, 200)} is not set in {path}; nothing was changed")


def path(cli: Invocation) -> None:
    """Perform `jitid config path`."""
    if not cli.field and cli.format is None:
        output.write(safe(own_file(cli.config_file)) + "\n")
        return
    # The user may be about to repair the file.
    cli.try_config()
    cli.show_records(commands.ConfigPathCommand.view, [{"path": own_file(cli.config_file)}])


class _ShownSetting(Record):
    """A setting in force."""

    key: str
    value: Value
    origin: str


def _settings(config: Config) -> Iterator[_ShownSetting]:
    for name in SETTINGS:
        value = _written(name, config.get(name))
        shown_value = _without_passwords(value) if name == "ledger" else value
        yield _ShownSetting(name, shown_value, config.origin(name))
    for name, entries in config.tables():
        for key, (text, origin) in entries.items():
            yield _ShownSetting(f"{name}.{key}", text, origin)


def _without_passwords(value: Value) -> Value:
    if not isinstance(value, str) or "://" not in value:
        return value
    from jitid.ledger.postgres.address import shown

    return shown(value)


def _profile(cli: Invocation) -> tuple[str, ...]:
    """Return the path of tables to the selected profile; an empty path without one."""
    profile = cli.profile or os.environ.get("JITID_PROFILE")
    return ("profile", profile) if profile else ()


def _written(name: str, value: Value) -> Value:
    if SETTINGS[name].kind == "duration" and isinstance(value, int):
        from jitid.values.times import format_duration

        return format_duration(value)
    return value
