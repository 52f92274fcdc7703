"""One configuration file: checks whether it can be trusted, and reads its content."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from jitid.config.settings import ALGORITHMS, SETTINGS, Value, absolute, convert, meant, nearest, one_of
from jitid.errors import ConfigurationError, UsageError
from jitid.model.task import SENSITIVITIES, most_sensitive
from jitid.system.files import open_to_others, trusted_uids
from jitid.values.record import Record
from jitid.values.text import MARK, decoded, foreign, quote, safe

if TYPE_CHECKING:
    from jitid.model.target import StatedTarget

Owner = Literal["project", "user", "system"]

_MOST = 1 << 20
TABLES = ("floor", "algorithm", "oidc", "socket", "target", "federate", "profile")
WORD_TABLES = {"floor.scope.": 2, "floor.audience.": 2, "algorithm.audience.": 2, "oidc.": 1, "federate.": 2}
"""Tables whose keys are words of the user, which may contain dots, and the number of dots before the key."""
_OIDC = (
    "jwks",
    "audience",
    "claim",
    "kind",
    "algorithms",
    "names",
    "clients",
    "id_jag",
    "client_id",
    "client_secret_file",
    "device",
    "scopes",
    "ca",
)
_LISTS = ("algorithms", "names", "scopes")
_PATHS = ("jwks", "client_secret_file", "ca")
_CHOICES = ("kind", "algorithms")
# A login, a uid, or a group after an `@`.
_SYSTEM_USER = re.compile(r"@?[A-Za-z0-9_][A-Za-z0-9_.$-]{0,63}", re.ASCII)


class ConfigLayer(Record):
    """The content of one file, or of one profile in it, checked and converted."""

    origin: str
    owner: Owner
    values: dict[str, Value]
    scope_floors: dict[str, str]
    audience_floors: dict[str, str]
    algorithms: dict[str, str]
    oidc: dict[str, dict[str, Any]]
    socket_delegators: dict[str, str]
    socket_roles: dict[str, tuple[str, ...]]
    targets: dict[str, StatedTarget]
    federations: dict[str, dict[str, str]]
    """The tables `[federate.NAME]`."""


def read_layers(path: str, owner: Owner, profile: str | None) -> tuple[list[ConfigLayer], bool]:
    """Return the layers of a file, its profile before the rest of it, and whether the file exists.

    A missing file has no layers. Raises ConfigurationError if the file is not trusted or is invalid.
    """
    data = read_file(path)
    if data is None:
        return [], False
    # All profiles are checked: a misspelt name must not stay hidden until its profile is used.
    layers = {
        name: read_layer(document, path, f"{owner} {path}{_where(name)}", owner, name)
        for name, document in _profiles(data, path).items()
    }
    overlay = [layers[profile]] if profile and profile in layers else []
    return [*overlay, read_layer(data, path, f"{owner} {path}", owner)], True


def read_file(path: str) -> dict[str, Any] | None:
    """Return the TOML of a file, or None if there is no file. Raises ConfigurationError."""
    text = read_text(path)
    return None if text is None else parse(text, path)


def read_text(path: str) -> str | None:
    """Return the text of a file with its byte order mark, or None if there is no file. Raises ConfigurationError."""
    raw = _read(path)
    if raw is None:
        return None
    try:
        return (MARK if raw.startswith(MARK.encode()) else "") + decoded(raw, safe(path))
    except UsageError as error:
        raise ConfigurationError(error.message, error.hint) from None


def parse(text: str, path: str) -> dict[str, Any]:
    """Return the content of a TOML text. Raises ConfigurationError, which names the file."""
    import tomllib

    try:
        return tomllib.loads(text.removeprefix(MARK))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"{safe(path)} is not TOML: {foreign(str(error) or 'nested too deeply')}"
        ) from None


def _read(path: str) -> bytes | None:
    label = safe(path)
    try:
        # O_NOFOLLOW refuses a link, and O_NONBLOCK does not wait for the other end of a named pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            word = _word(path)
            hint = f'replace it with a regular file: cp --remove-destination "$(readlink -f {word})" {word}'
            raise ConfigurationError(
                f"{label} is a symbolic link, and its target may change; it was not read", hint
            ) from None
        raise ConfigurationError(f"{label} cannot be read: {(error.strerror or 'error').lower()}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{label} is not a regular file")
        if status.st_uid not in trusted_uids():
            hint = f"if you trust its content: chown {os.geteuid()} {_word(path)}"
            raise ConfigurationError(f"{label} belongs to another user; it was not read", hint)
        if open_to_others(status):
            raise ConfigurationError(
                f"{label} can be changed by other users; it was not read", f"chmod go-w {_word(path)}"
            )
        if status.st_size > _MOST:
            raise ConfigurationError(f"{label} is larger than {_MOST >> 20} MiB")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_MOST)
    except OSError as error:
        raise ConfigurationError(f"{label} cannot be read: {(error.strerror or 'error').lower()}") from None
    finally:
        os.close(descriptor)


def read_layer(
    document: Mapping[str, Any], path: str, origin: str, owner: Owner, profile: str | None = None
) -> ConfigLayer:
    """Return the checked content of a file or of one profile. Raises ConfigurationError for unknown names."""
    label = safe(f"{path}{_where(profile)}")
    folder = path.rpartition("/")[0] or "/"
    values: dict[str, Value] = {}
    for name, raw in document.items():
        if name in TABLES:
            if owner == "project":
                raise ConfigurationError(f"{label}: a project's file may not have `{name}`", _project_hint())
            continue
        if name not in SETTINGS:
            raise ConfigurationError(
                f"{label}: there is no setting {quote(name)}", nearest(name, (*SETTINGS, *TABLES))
            )
        if owner == "project" and SETTINGS[name].project == "no":
            raise ConfigurationError(f"{label}: a project's file may not set `{name}`", _project_hint())
        values[name] = convert(SETTINGS[name], raw, f"{label}: `{name}`", folder)
    floors = _section(document, "floor", ("scope", "audience"), label)
    algorithms = _section(document, "algorithm", ("audience",), label)
    return ConfigLayer(
        origin,
        owner,
        values,
        {
            _scope(scope, label): sensitivity
            for scope, sensitivity in _choices(floors, "floor", "scope", SENSITIVITIES, label).items()
        },
        {
            _audience(name, label): sensitivity
            for name, sensitivity in _choices(floors, "floor", "audience", SENSITIVITIES, label).items()
        },
        {
            _audience(name, label): algorithm
            for name, algorithm in _choices(algorithms, "algorithm", "audience", ALGORITHMS, label).items()
        },
        _oidc(document, label, folder),
        *_socket(document, label),
        _targets(document, label, folder, origin),
        _federations(document, label),
    )


def stricter(floors: list[dict[str, str]]) -> dict[str, str]:
    """Return all floors together; for the same name, the higher one counts."""
    merged: dict[str, str] = {}
    for layer_floors in floors:
        for name, sensitivity in layer_floors.items():
            merged[name] = most_sensitive(sensitivity, merged.get(name, sensitivity))
    return merged


def _project_hint() -> str:
    return f"it may set: {', '.join(name for name, setting in SETTINGS.items() if setting.project != 'no')}"


def _profiles(data: Mapping[str, Any], path: str) -> dict[str, dict[str, Any]]:
    profiles = _table(data.get("profile", {}), "profile", safe(path))
    for name, profile in profiles.items():
        if "profile" in _table(profile, f"profile.{name}", safe(path)):
            raise ConfigurationError(f"{safe(path)}: the profile {quote(name)} cannot contain a profile")
    return profiles


def _table(value: object, name: str, label: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{label}: {quote(name)} must be a table")
    return value


def _section(
    document: Mapping[str, Any], name: str, allowed: tuple[str, ...], label: str
) -> dict[str, dict[str, Any]]:
    section = _table(document.get(name, {}), name, label)
    for key, value in section.items():
        if key not in allowed:
            raise ConfigurationError(f"{label}: there is no {quote(f'{name}.{key}')}", nearest(key, allowed))
        _table(value, f"{name}.{key}", label)
    return section


def _choices(
    section: Mapping[str, Any], table: str, name: str, allowed: tuple[str, ...], label: str
) -> dict[str, str]:
    chosen: dict[str, str] = section.get(name, {})
    for key, value in chosen.items():
        _must_be_among([value], allowed, f"{label}: {quote(f'{table}.{name}.{key}', 200)}")
    return dict(chosen)


def _must_be_among(texts: Iterable[str], allowed: tuple[str, ...], where: str) -> None:
    for text in texts:
        try:
            one_of(text, allowed)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error.message}", error.hint) from None


def _scope(text: str, label: str) -> str:
    from jitid.values.scope import parse_scope

    try:
        return parse_scope(text)
    except UsageError as error:
        raise ConfigurationError(f"{label}: {error.message}", error.hint) from None


def _audience(text: str, label: str) -> str:
    from jitid.values.names import check_audience

    try:
        return check_audience(text)
    except UsageError as error:
        raise ConfigurationError(f"{label}: {error.message}", error.hint) from None


def _oidc(document: Mapping[str, Any], label: str, folder: str) -> dict[str, dict[str, Any]]:
    """Return the issuers of ID tokens with their fields; relative paths are relative to `folder`."""
    issuers = _table(document.get("oidc", {}), "oidc", label)
    for issuer, fields in issuers.items():
        for name, value in _table(fields, f"oidc.{issuer}", label).items():
            where = f"{label}: {quote(f'oidc.{issuer}.{name}', 200)}"
            if name not in _OIDC:
                raise ConfigurationError(f"{where} is unknown", nearest(name, _OIDC))
            if name in ("device", "id_jag"):
                if not isinstance(value, bool):
                    raise ConfigurationError(f"{where} must be true or false")
                continue
            texts = value if name in _LISTS and isinstance(value, list) else [value]
            expected = "a list of strings" if name in _LISTS else "a string"
            if name == "clients":
                texts = [
                    text for pair in _table(value, f"oidc.{issuer}.clients", label).items() for text in pair
                ]
                expected = "a table of strings: the issuer's client ids, each with its caller"
            if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
                raise ConfigurationError(f"{where} must be {expected}")
            if name in _CHOICES:
                from jitid.model import access

                _must_be_among(texts, access.KINDS if name == "kind" else access.ALGORITHMS, where)
    return {
        issuer: {**fields, **{name: absolute(fields[name], folder) for name in _PATHS if name in fields}}
        for issuer, fields in issuers.items()
    }


def _socket(document: Mapping[str, Any], label: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return the delegators and the roles that users and groups of this machine have over a Unix socket."""
    from jitid.model.access import ROLES
    from jitid.values.names import check_delegator

    section = _section(document, "socket", ("delegator", "role"), label)
    delegators, roles = {}, {}
    for name, entries in section.items():
        for user, value in entries.items():
            where = f"{label}: {quote(f'socket.{name}.{user}', 200)}"
            if not _SYSTEM_USER.fullmatch(user):
                raise ConfigurationError(f"{where}: expected a login, a user id, or @GROUP")
            texts = value if name == "role" and isinstance(value, list) else [value]
            if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
                raise ConfigurationError(
                    f"{where} must be {'a list of strings' if name == 'role' else 'a string'}"
                )
            try:
                if name == "role":
                    roles[user] = tuple(one_of(text, ROLES) for text in texts)
                else:
                    delegators[user] = check_delegator(value)
            except (ConfigurationError, UsageError) as error:
                raise ConfigurationError(f"{where}: {error.message}", error.hint) from None
    return delegators, roles


def _targets(document: Mapping[str, Any], label: str, folder: str, origin: str) -> dict[str, StatedTarget]:
    """Return the targets. Their kind determines the valid entries of their tables, which are checked at their use.

    The kind is checked here: a target of an unknown kind is never used, and its error would never appear.
    """
    targets = _table(document.get("target", {}), "target", label)
    if not targets:
        return {}
    from jitid.model.credential import MADE, is_target_name
    from jitid.model.target import StatedTarget

    for name, table in targets.items():
        where = f"target.{name}"
        if not is_target_name(name):
            raise ConfigurationError(
                f"{label}: {quote(where, 200)}: the name of a target must have 1 to 64 letters, digits, `_.-`"
            )
        templates = _table(_table(table, where, label).get("template", {}), f"{where}.template", label)
        for template, entries in templates.items():
            _table(entries, f"{where}.template.{template}", label)
        if "kind" not in table:
            raise ConfigurationError(
                f"{label}: {quote(where, 200)} has no `kind`", f"kinds are: {', '.join(MADE)}"
            )
        _must_be_among([table["kind"]], MADE, f"{label}: {quote(f'{where}.kind', 200)}")
    return {name: StatedTarget(name, table, folder, origin) for name, table in targets.items()}


def _federations(document: Mapping[str, Any], label: str) -> dict[str, dict[str, str]]:
    """Return the tables of federations, checked; their values are strings."""
    tables = _table(document.get("federate", {}), "federate", label)
    if not tables:
        return {}
    from jitid.model.federation import allowed, check_table
    from jitid.model.vendor import VENDORS

    for name, table in tables.items():
        where = f"{label}: {quote(f'federate.{name}', 200)}"
        for key, value in _table(table, f"federate.{name}", label).items():
            if not isinstance(value, str) or not value.strip():
                raise ConfigurationError(f"{where}: {quote(key)} must be a string")
        vendor = table.get("vendor", name)
        if vendor not in VENDORS:
            at = f"{where}: `vendor`" if "vendor" in table else where
            raise ConfigurationError(
                f"{at}: there is no vendor {quote(vendor)}",
                meant(vendor, tuple(VENDORS)) or f"set `vendor` to one of: {', '.join(VENDORS)}",
            )
        for key in table:
            if key not in allowed(vendor):
                raise ConfigurationError(
                    f"{where}: there is no setting {quote(key)}", nearest(key, allowed(vendor))
                )
        try:
            check_table(name, table)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error.message}", error.hint) from None
    return {name: dict(table) for name, table in tables.items()}


def _where(profile: str | None) -> str:
    return "" if profile is None else f" [profile.{profile}]"


def _word(path: str) -> str:
    from shlex import quote as quote_word

    return quote_word(safe(path))
