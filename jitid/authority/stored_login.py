"""The file with the access token of this user's login at an authority, by the address of the authority."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from jitid.capabilities.session.agent_above import OWN_IDENTITY, agent_above
from jitid.errors import OutputError, RefusedError, UsageError
from jitid.system.authority_address import parse_address
from jitid.system.files import remove_leftovers, write_private
from jitid.system.xdg import state_folder
from jitid.values.secret import Secret
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.model.process import Process

_LOGIN = re.compile("login-[0-9a-f]{32}")


def login_path(remote: str) -> str:
    """Return the path of the file for an authority.

    The name has the address, so that the token goes to the authority that made it, and to no other.

    Raises ConfigurationError without a home folder, and UsageError if `remote` is not an address.
    """
    address = str(parse_address(remote))
    return f"{state_folder()}/login-{sha256(address.encode()).hexdigest()[:32]}"


def is_login_file(path: str, remote: str) -> bool:
    """Return whether a file is that of the login at an authority, by its name or by that of the file it links to.

    Raises UsageError if it is that of the login at another one, which `remote` must not receive.
    """
    name = os.path.basename(os.path.realpath(path))
    if _LOGIN.fullmatch(name) is None:
        return False
    if name != os.path.basename(login_path(remote)):
        raise UsageError(
            f"{quote(path, 200)} is the login at another authority than {quote(remote, 200)}; nothing was sent",
            "log in there: jitid login",
        )
    return True


def must_be_persons_process(client: Process | None = None) -> None:
    """Raise RefusedError in a process that an agent runs: below `jitid run`, or in a session of a coding agent.

    A hook or a helper of a `client`, which opens the sessions of that client, is not such a process.
    """
    where = agent_above(client)
    if where is not None:
        raise RefusedError(f"{where}, the login of the person does not count", OWN_IDENTITY)


@contextmanager
def changing_login() -> Iterator[None]:
    """Keep other commands of this user from changing a login during the block. Raises OutputError."""
    folder = state_folder()
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _failure(folder, error) from None
    try:
        # The block has no requests over a network, so the lock is held briefly.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def store_login(remote: str, token: Secret) -> None:
    """Write the access token with mode 0600. Raises OutputError."""
    path = login_path(remote)
    write_private(path, f"{token.reveal()}\n".encode())
    remove_leftovers(path)


def delete_login(remote: str) -> None:
    """Delete the file, if it is there. Raises OutputError."""
    path = login_path(remote)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failure(path, error) from None


def _failure(path: str, error: OSError) -> OutputError:
    return OutputError(f"{quote(path, 200)} cannot be changed: {(error.strerror or 'error').lower()}")
