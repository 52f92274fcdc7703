"""The files of a user and of the system (XDG Base Directory Specification)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from jitid.errors import ConfigurationError

APPLICATION = "jitid"
PROJECT_FILE = ".jitid.toml"
AUTHORITY = "authority"
"""The name of the folder of keys and policy for a ledger in a database, which may be in the folder of a ledger."""

# `platformdirs` knows all platforms, and is slow to load; on Linux its rules are these few lines.
_XDG = sys.platform.startswith("linux")


def home(environ: Mapping[str, str] = os.environ) -> str:
    """Return the user's home folder. Raises ConfigurationError when there is none."""
    folder = environ.get("HOME", "")
    if folder.startswith("/"):
        return folder.rstrip("/") or "/"
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        raise ConfigurationError(
            "the environment names no home folder", "set HOME, or both --config and --ledger"
        ) from None


def user_file(environ: Mapping[str, str] = os.environ) -> str:
    """Return the path of the user's own configuration."""
    if not _XDG:
        from platformdirs import user_config_dir

        return f"{user_config_dir(APPLICATION, appauthor=False)}/config.toml"
    return f"{_folder('XDG_CONFIG_HOME', '.config', environ)}/{APPLICATION}/config.toml"


def own_files() -> tuple[list[str], list[str]]:
    """Return the paths of configurations that do not depend on the environment: the user's own, and the system's.

    The home folder is the one of the user's entry in the password database; without an entry there is none.
    """
    import pwd

    try:
        folder = pwd.getpwuid(os.geteuid()).pw_dir.rstrip("/")
    except KeyError:
        folder = ""
    subfolder = "Library/Application Support" if sys.platform == "darwin" else ".config"
    own_paths = [f"{folder}/{subfolder}/{APPLICATION}/config.toml"] if folder.startswith("/") else []
    return own_paths, system_files({})


def data_folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return the folder of the user's data."""
    if not _XDG:
        from platformdirs import user_data_dir

        return user_data_dir(APPLICATION, appauthor=False)
    return f"{_folder('XDG_DATA_HOME', '.local/share', environ)}/{APPLICATION}"


def state_folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return the folder of the user's records of past runs."""
    if not _XDG:
        from platformdirs import user_state_dir

        return user_state_dir(APPLICATION, appauthor=False)
    return f"{_folder('XDG_STATE_HOME', '.local/state', environ)}/{APPLICATION}"


def default_ledger(environ: Mapping[str, str] = os.environ) -> str:
    """Return the folder of ledger and keys, unless the configuration names another.

    That is the data folder. If the data folder already holds the keys of a ledger in a database, it is a folder
    inside: a ledger's folder appears by one rename, and so cannot be an existing folder.
    """
    folder = data_folder(environ)
    inside = f"{folder}/ledger"
    if not (os.path.lexists(f"{folder}/{AUTHORITY}") or os.path.lexists(inside)):
        return folder
    has_ledger = any(os.path.lexists(f"{folder}/{name}") for name in ("ledger.db", "keys", "policy", "lock"))
    return folder if has_ledger else inside


def authority_folder() -> str:
    """Return the folder of keys and policy for ledgers in databases, unless the configuration names another."""
    return f"{data_folder()}/{AUTHORITY}"


def system_files(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the paths of the system's configuration, the most important first."""
    if not _XDG:
        from platformdirs import site_config_dir

        return [f"{site_config_dir(APPLICATION, appauthor=False)}/config.toml"]
    folders = [
        folder.rstrip("/")
        for folder in environ.get("XDG_CONFIG_DIRS", "").split(":")
        if folder.startswith("/")
    ]
    return [f"{folder}/{APPLICATION}/config.toml" for folder in folders or ["/etc/xdg"]]


def project_files(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the possible paths of a project's file: in the working directory or above it, up to the home folder."""
    try:
        folder = os.getcwd()
        home_folder = home(environ)
    except (OSError, ConfigurationError):
        return []
    paths = []
    while folder:
        paths.append(f"{folder.rstrip('/')}/{PROJECT_FILE}")
        if folder == home_folder:
            break
        folder = folder.rpartition("/")[0]
    return paths


def shared_data(environ: Mapping[str, str] = os.environ) -> str:
    """Return the user's folder of data that programs share: shells and `man` use it on every platform."""
    return _folder("XDG_DATA_HOME", ".local/share", environ)


def shared_configuration(environ: Mapping[str, str] = os.environ) -> str:
    """Return the user's folder of configuration, for programs that use this folder on every platform."""
    return _folder("XDG_CONFIG_HOME", ".config", environ)


def shared_data_of_the_system(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the system's folders of data that programs share, the most important first."""
    folders = [
        folder.rstrip("/") for folder in environ.get("XDG_DATA_DIRS", "").split(":") if folder.startswith("/")
    ]
    return folders or ["/usr/local/share", "/usr/share"]


def _folder(variable: str, default: str, environ: Mapping[str, str]) -> str:
    folder = environ.get(variable, "")
    # A relative path in these variables is invalid and must be ignored, according to the specification.
    return folder.rstrip("/") if folder.startswith("/") else f"{home(environ).rstrip('/')}/{default}"
