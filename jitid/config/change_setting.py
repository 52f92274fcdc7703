"""Changes of one setting in a configuration file: checked before they are written, one process after the other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jitid.config.config_file import TABLES, WORD_TABLES, parse, read_layer, read_text
from jitid.config.config_text import with_value, without
from jitid.config.effective import here
from jitid.config.settings import SETTINGS, absolute, convert, nearest, one_of
from jitid.errors import ConfigurationError, UsageError
from jitid.model.access import OidcIssuer
from jitid.system.files import write_private
from jitid.values.text import MARK, quote, safe


def set_value(
    path: str, profile: Sequence[str], key: str, value: str, check_issuer: Callable[[OidcIssuer], None]
) -> None:
    """Write a setting into the file at a path, or into a profile of it.

    `check_issuer` raises ConfigurationError for invalid settings of an issuer of ID tokens.

    Raises:
        UsageError: there is no such setting.
        ConfigurationError: the value or the file is invalid.

    """
    names, toml_value = _assignment(key, value, check_issuer)
    with _locked(path):
        text = read_text(path) or ""
        table: Any = parse(text, path)
        for name in (*profile, *names[:-1]):
            table = table.get(name, {})
            if not isinstance(table, dict):
                raise ConfigurationError(f"{safe(path)}: {quote(name)} is not a table; nothing was changed")
        mark, body = _split_mark(text)
        text = mark + with_value(body, (*profile, *names), toml_value)
        document = parse(text, path)
        for layer in (document, document["profile"][profile[-1]] if profile else {}):
            read_layer(layer, path, path, "user")
        write_private(path, text.encode())


def unset_value(path: str, profile: Sequence[str], key: str) -> bool:
    """Take a setting out of the file at a path, or out of a profile of it. Return whether it was there.

    Raises:
        UsageError: there is no such setting.
        ConfigurationError: the file is invalid.

    """
    with _locked(path):
        text = read_text(path) or ""
        table: Any = parse(text, path)
        for name in profile:
            table = table.get(name, {}) if isinstance(table, dict) else {}
        key_path = next((names for names in _places(key, table) if _holds(table, names)), None)
        if key_path is None:
            return False
        mark, body = _split_mark(text)
        write_private(path, (mark + without(body, (*profile, *key_path), len(profile))).encode())
        return True


def _split_mark(text: str) -> tuple[str, str]:
    """Return the byte order mark of a text, or an empty text, and the rest."""
    body = text.removeprefix(MARK)
    return text.removesuffix(body), body


def _places(key: str, table: object) -> list[list[str]]:
    """Return the possible paths to a key in a file, the most likely one first.

    An unknown key that the file has can be removed too. Raises UsageError.
    """
    for name, dots in WORD_TABLES.items():
        if key.startswith(name) and len(key) > len(name):
            names = key.split(".", dots)
            if name != "oidc.":
                return [names]
            issuer, _, field = names[1].rpartition(".")
            return [names, ["oidc", issuer, field]]
    unknown = isinstance(table, dict) and key in table and key not in TABLES
    if key not in SETTINGS and not unknown:
        raise UsageError(f"there is no setting {quote(key)}", nearest(key, (*SETTINGS, *WORD_TABLES)))
    return [[key]]


def _holds(table: Any, names: list[str]) -> bool:  # noqa: ANN401 - TOML
    """Return whether a table has a value at a path."""
    for name in names[:-1]:
        table = table.get(name) if isinstance(table, dict) else None
    return isinstance(table, dict) and names[-1] in table


def _assignment(key: str, value: str, check_issuer: Callable[[OidcIssuer], None]) -> tuple[list[str], Any]:
    """Return the path of tables to a key, and its value in the form for TOML."""
    for table, dots in WORD_TABLES.items():
        if key.startswith(table) and len(key) > len(table):
            names = key.split(".", dots)
            if table != "oidc.":
                return names, value
            issuer, _, field = names[1].rpartition(".")
            return ["oidc", issuer, field], _of_issuer(issuer, field, value, check_issuer)
    if key not in SETTINGS:
        raise UsageError(f"there is no setting {quote(key)}", nearest(key, (*SETTINGS, *WORD_TABLES)))
    # A relative path is resolved here: read from the file, it would be relative to the file's folder.
    converted = convert(SETTINGS[key], value, f"`{key}`", here())
    if SETTINGS[key].kind == "duration":
        return [key], value
    return [key], list(converted) if isinstance(converted, tuple) else converted


def _of_issuer(
    issuer: str, field: str, value: str, check_issuer: Callable[[OidcIssuer], None]
) -> str | bool | list[str] | dict[str, str]:
    """Return the value of a field of an issuer of ID tokens in the form for TOML. Raises ConfigurationError."""
    toml_value: str | bool | list[str] | dict[str, str] = value
    parsed: dict[str, Any] = {}
    if field in ("device", "id_jag"):
        toml_value = one_of(value, ("true", "false")) == "true"
    elif field in ("algorithms", "names", "scopes"):
        toml_value = value.split()
        parsed = {field: tuple(toml_value)}
    elif field == "clients":
        toml_value = _clients(value)
        parsed = {field: tuple(toml_value.items())}
    elif field in ("jwks", "client_secret_file", "ca") and value.strip():
        toml_value = absolute(value, here())
    if field in OidcIssuer._fields:
        # The other fields may not be set yet. An error in this field is reported now, not at its first use.
        check_issuer(OidcIssuer(issuer, "/", "any")._replace(**(parsed or {field: toml_value})))
    return toml_value


def _clients(value: str) -> dict[str, str]:
    """Return the clients of an issuer, written as `CLIENT=CALLER` with blanks between. Raises ConfigurationError."""
    clients = {}
    for pair in value.split():
        client, _, caller = pair.rpartition("=")
        if not (client and caller):
            raise ConfigurationError(
                f"{quote(pair)} is not a pair of client and caller",
                "write CLIENT=CALLER, such as 0oa123=system:ci",
            )
        clients[client] = caller
    return clients


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Lock the folder of a file, so that no concurrent writer undoes another's change. Create the folder if needed."""
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
        # A new file replaces the old one, so the mode of the old one would not matter.
        if os.path.exists(path) and not os.access(path, os.W_OK):
            raise ConfigurationError(
                f"{safe(path)} is read-only; nothing was changed", "change its mode first"
            )
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
