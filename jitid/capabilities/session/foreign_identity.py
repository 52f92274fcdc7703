"""The variables that name an identity, where a client runs its hooks and helpers with a project's variables."""

from __future__ import annotations

import os
from collections.abc import Mapping

from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.capabilities.session.clients import ParentProcess, client_of
from jitid.capabilities.session.session_place import SessionPlace, base_folder, client_with_place
from jitid.system import processes

IDENTITIES = (RUN_TOKEN, "CREDENTIALS_DIRECTORY")
"""`jitid run` sets the first, and systemd the second, for the client itself."""

_FILES = ("JITID_CONFIG", "JITID_PROFILE", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "HOME")
"""The variables that select a configuration file, or a part of it."""


def is_foreign_authority(authority: str, variable: str | None, environ: Mapping[str, str]) -> bool:
    """Return whether the environment chose an authority, and the client above this process started with another value.

    A hook or helper sends the client's identity, its parent's token or a login to its authority. `variable` names the
    authority; without it a file does, which the environment chose. Not foreign is an authority at which that client
    has or had sessions: its commands get the authority as a variable.
    """
    for pid, words, names in processes.ancestors():
        if processes.OF_RUN in names:
            return False
        process = processes.process_of(pid)
        if client_of(ParentProcess(pid, words, names)) or (process and client_with_place([process])):
            if process and SessionPlace(authority, process).exists():
                return False
            chosen = _FILES if variable is None else (variable,)
            return any(
                name in environ and environ[name] != processes.variable_of(pid, name) for name in chosen
            )
    return False


def foreign_identities(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that name an identity, and that the client above this process did not start with.

    The identity of a session of that client is not a foreign one, and neither is that of a nearer `jitid run`.
    """
    stated = [name for name in IDENTITIES if environ.get(name)]
    for pid, words, names in processes.ancestors() if stated else ():
        if processes.OF_RUN in names:
            return []
        process = processes.process_of(pid)
        if client_of(ParentProcess(pid, words, names)) or (process and client_with_place([process])):
            own_folder = f"{os.path.realpath(base_folder(pid))}/"
            return [
                name
                for name in stated
                if environ[name] != processes.variable_of(pid, name)
                and not os.path.realpath(environ[name]).startswith(own_folder)
            ]
    return []
