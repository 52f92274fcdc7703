"""`jitid config`: read and change the settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jitid.cli.invocation import Invocation
from jitid.cli.setup import commands
from jitid.config.config_file import TABLES, parse, read_layer, read_text
from jitid.config.effective import Config, here, own_file
from jitid.config.settings import SETTINGS, Value, absolute, convert, nearest
from jitid.errors import ConfigurationError, NotFoundError, UsageError
from jitid.system import output
from jitid.system.files import write_private
from jitid.values.record import Record
from jitid.values.text import MARK, quote, safe

_TABLES = {"floor.scope.": 2, "floor.audience.": 2, "algorithm.audience.": 2, "oidc.": 1}
"""Tables whose keys are words of the user, which may contain dots, and the number of dots before the key."""


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
    if setting is None and key not in SETTINGS and not key.startswith(tuple(_TABLES)):
        raise UsageError(f"there is no setting {quote(key)}", nearest(key, tuple(SETTINGS)))
    if setting is None or setting.value is None:
        raise NotFoundError(
            f"{quote(key, 200)} is not set", f"set it with: jitid config set {safe(key)} VALUE"
        )
    values = setting.value if isinstance(setting.value, tuple) else (setting.value,)
    cli.show_record(args.view, setting, "".join(safe(str(item)) + "\n" for item in values))


def set_(cli: Invocation, args: commands.ConfigSetCommand) -> None:
    """Perform `jitid config set`."""
    # The modules that read and write TOML load slowly.
    from jitid.config.config_text import with_value

    path, profile = own_file(cli.config_file), _profile(cli)
    names, toml_value = _assignment(args.key, args.value)
    with _locked(path):
        text = read_text(path) or ""
        table: Any = parse(text, path)
        for name in (*profile, *names[:-1]):
            table = table.get(name, {})
            if not isinstance(table, dict):
                raise ConfigurationError(f"{safe(path)}: {quote(name)} is no table; nothing was changed")
        mark, body = _split_mark(text)
        text = mark + with_value(body, (*profile, *names), toml_value)
        document = parse(text, path)
        for layer in (document, document["profile"][profile[-1]] if profile else {}):
            read_layer(layer, path, path, "user")
        write_private(path, text.encode())


def unset(cli: Invocation, args: commands.ConfigUnsetCommand) -> None:
    """Perform `jitid config unset`."""
    key = args.key
    from jitid.config.config_text import without

    path = own_file(cli.config_file)
    with _locked(path):
        text = read_text(path) or ""
        table: Any = parse(text, path)
        profile = _profile(cli)
        for name in profile:
            table = table.get(name, {}) if isinstance(table, dict) else {}
        key_path = next((names for names in _places(key, table) if _holds(table, names)), None)
        if key_path is not None:
            mark, body = _split_mark(text)
            write_private(path, (mark + without(body, (*profile, *key_path), len(profile))).encode())
        else:
            cli.note(f"{quote(key, 200)} is not set in {path}; nothing was changed")


def path(cli: Invocation) -> None:
    """Perform `jitid config path`."""
    if cli.field is None and cli.format is None:
        output.write(safe(own_file(cli.config_file)) + "\n")
        return
    # The user may be about to repair the file.
    cli.try_config()
    cli.show_records(commands.ConfigPathCommand.view, [{"path": own_file(cli.config_file)}])


def _split_mark(text: str) -> tuple[str, str]:
    """Return the byte order mark of a text, or an empty text, and the rest."""
    body = text.removeprefix(MARK)
    return text.removesuffix(body), body


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


def _places(key: str, table: object) -> list[list[str]]:
    """Return the possible paths to a key in a file, the most likely one first.

    An unknown key that the file has can be removed too. Raises UsageError.
    """
    for name, dots in _TABLES.items():
        if key.startswith(name) and len(key) > len(name):
            names = key.split(".", dots)
            if name != "oidc.":
                return [names]
            issuer, _, field = names[1].rpartition(".")
            return [names, ["oidc", issuer, field]]
    unknown = isinstance(table, dict) and key in table and key not in TABLES
    if key not in SETTINGS and not unknown:
        raise UsageError(f"there is no setting {quote(key)}", nearest(key, (*SETTINGS, *_TABLES)))
    return [[key]]


def _holds(table: Any, names: list[str]) -> bool:  # noqa: ANN401 - TOML
    """Return whether a table has a value at a path."""
    for name in names[:-1]:
        table = table.get(name) if isinstance(table, dict) else None
    return isinstance(table, dict) and names[-1] in table


def _written(name: str, value: Value) -> Value:
    if SETTINGS[name].kind == "duration" and isinstance(value, int):
        from jitid.values.times import format_duration

        return format_duration(value)
    return value


def _assignment(key: str, value: str) -> tuple[list[str], Any]:
    """Return the path of tables to a key, and its value in the form for TOML."""
    for table, dots in _TABLES.items():
        if key.startswith(table) and len(key) > len(table):
            names = key.split(".", dots)
            if table != "oidc.":
                return names, value
            issuer, _, field = names[1].rpartition(".")
            return ["oidc", issuer, field], _of_issuer(issuer, field, value)
    if key not in SETTINGS:
        raise UsageError(f"there is no setting {quote(key)}", nearest(key, (*SETTINGS, *_TABLES)))
    # A relative path is resolved here: read from the file, it would be relative to the file's folder.
    converted = convert(SETTINGS[key], value, f"`{key}`", here())
    if SETTINGS[key].kind == "duration":
        return [key], value
    return [key], list(converted) if isinstance(converted, tuple) else converted


def _of_issuer(issuer: str, field: str, value: str) -> str | list[str] | dict[str, str]:
    """Return the value of a field of an issuer of ID tokens in the form for TOML. Raises ConfigurationError."""
    from jitid.capabilities.access.oidc import check_settings
    from jitid.model.access import OidcIssuer

    toml_value: str | list[str] | dict[str, str] = value
    parsed: dict[str, Any] = {}
    if field in ("algorithms", "names"):
        toml_value = value.split()
        parsed = {field: tuple(toml_value)}
    elif field == "clients":
        toml_value = _clients(value)
        parsed = {field: tuple(toml_value.items())}
    elif field == "jwks" and value.strip():
        toml_value = absolute(value, here())
    if field in OidcIssuer._fields:
        # The other fields may not be set yet. An error in this field is reported now, not at its first use.
        check_settings(OidcIssuer(issuer, "/", "any")._replace(**(parsed or {field: toml_value})))
    return toml_value


def _clients(value: str) -> dict[str, str]:
    """Return the clients of an issuer, written as `CLIENT=CALLER` with blanks between. Raises ConfigurationError."""
    clients = {}
    for pair in value.split():
        client, _, caller = pair.rpartition("=")
        if not (client and caller):
            raise ConfigurationError(
                f"{quote(pair)} is not a client with its caller",
                "write CLIENT=CALLER, such as 0oa123=system:ci",
            )
        clients[client] = caller
    return clients


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Lock the folder of a file, so that no concurrent writer undoes another's change. Create the folder if needed."""
    import fcntl

    folder = path.rpartition("/")[0] or "/"
    try:
        _make_folder(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        message = f"the folder {safe(folder)} cannot be used: {reason}; nothing was changed"
        raise ConfigurationError(message) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_folder(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_folder(folder.rpartition("/")[0] or "/")
        _make_folder(folder)
