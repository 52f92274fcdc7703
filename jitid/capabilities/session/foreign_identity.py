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


_OF_SETTINGS = ("JITID_REMOTE", "JITID_CONFIG", "JITID_PROFILE", "XDG_CONFIG_HOME", "HOME")
"""The variables that may choose an authority, alone or by a file."""


def is_foreign_authority(authority: str, environ: Mapping[str, str]) -> bool:
    """Return whether a variable chose an authority that has no claim to the identity token of this process.

    That token, in the file of $JITID_PARENT_FILE, belongs to the authority of a run or a session. The client above this
    process started with the same variables, or the token is of its session at that authority.
    """
    for pid, words, names in processes.ancestors():
        if processes.OF_RUN in names:
            return False
        process = processes.process_of(pid)
        if client_of(ParentProcess(pid, words, names)) or (process and client_with_place([process])):
            own = processes.variable_of(pid, RUN_TOKEN)
            file = environ.get(RUN_TOKEN) or own
            if not file:
                return False
            if process and os.path.dirname(file) == SessionPlace(authority, process).folder:
                return False
            return any(environ.get(name, "") != processes.variable_of(pid, name) for name in _OF_SETTINGS)
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
