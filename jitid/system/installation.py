"""This installation, for a unit or a crontab line: its start command, its owner and the paths that it needs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

import jitid
from jitid.errors import ConfigurationError, UsageError
from jitid.values.text import quote

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - looked for, not used


def beginning(config_file: str, profile: str | None) -> tuple[list[str], list[str]]:
    """Return the words that start this jitid with a configuration, and the paths that they need.

    Without a `profile`, it is that of the environment.
    """
    started = program()
    command = [*started]
    needs = [*started, sys.prefix, os.path.realpath(sys.executable), os.path.dirname(jitid.__file__)]
    if os.path.isfile(config_file):
        command += ["--config", config_file]
        needs.append(config_file)
    profile = profile or os.environ.get("JITID_PROFILE")
    if profile:
        command += ["--profile", profile]
    return command, needs


def check_words(command: Sequence[str]) -> None:
    """Raise UsageError for words that a unit or a crontab cannot contain."""
    for word in command:
        if _CONTROL.search(word):
            raise UsageError(
                f"{quote(word, 200)} has a control character, which units and crontabs cannot contain",
                "use another name",
            )


def check_for_systemd(command: Sequence[str]) -> None:
    """Raise UsageError for a program that systemd cannot start."""
    if set(command[0]) & set("\"'\\"):
        raise UsageError(
            f"systemd cannot start a program with a quote or a backslash in its path: {quote(command[0], 200)}",
            "move jitid to another folder",
        )


def program() -> list[str]:
    """Return the words that start this jitid, from any folder."""
    import shutil

    invoked = sys.argv[0]
    if os.path.basename(invoked) == "jitid":
        executable = shutil.which(invoked)
        if executable is not None:
            return [os.path.abspath(executable)]
    if not sys.executable:
        raise ConfigurationError("the path of this jitid is unknown", "start jitid by its absolute path")
    # -P: Python imports no module from the current folder.
    return [os.path.abspath(sys.executable), "-P", "-m", "jitid"]


def owner(ledger: str) -> str:
    """Return the login of the owner of a folder; if it is missing, of the nearest existing folder above it."""
    import pwd

    try:
        user = os.stat(there(ledger)).st_uid
    except OSError:
        user = os.getuid()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def there(path: str) -> str:
    """Return a path, or the nearest existing folder above it."""
    while path != "/" and not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def in_homes(paths: Sequence[str]) -> bool:
    """Return whether one of the paths is in a home folder."""
    return _lie_in(_HOMES, paths)


def in_temporary(paths: Sequence[str]) -> bool:
    """Return whether one of the paths is in a folder for temporary files."""
    return _lie_in(_TEMPORARY, paths)


def _lie_in(folders: Sequence[str], paths: Sequence[str]) -> bool:
    return any(
        f"{candidate}/".startswith(f"{folder}/")
        for folder in folders
        for path in paths
        for candidate in (path, os.path.realpath(path))
    )
