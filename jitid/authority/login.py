"""The login of this user: beside a ledger, or at an authority with an access token in a file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from jitid.errors import OutputError
from jitid.system.files import remove_leftovers, write_private
from jitid.system.xdg import state_folder
from jitid.values.secret import Secret
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.model.access import LoginProof


def current_login(config: Config) -> LoginProof | None:
    """Return the login of this user beside the ledger, or at the authority; None without one.

    Raises the errors of both.
    """
    if config.remote is not None:
        from jitid.authority.remote import login_credential, open_remote

        if login_credential(config.remote) is None:
            return None
        authority = open_remote(config)
        try:
            return authority.whoami().login
        finally:
            authority.close()
    from jitid.authority.open import open_if_there
    from jitid.authority.open_local import holder
    from jitid.capabilities.access.operations import FindLogin

    local = open_if_there(config)
    return None if local is None else local.perform(FindLogin(holder=holder()))


def login_path(remote: str) -> str:
    """Return the path of the file for an authority. Raises ConfigurationError without a home folder.

    The name has the address, so that the token goes to the authority that made it, and to no other.
    """
    return f"{state_folder()}/login-{sha256(remote.encode()).hexdigest()[:32]}"


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
