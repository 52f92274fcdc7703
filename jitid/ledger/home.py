"""The folder of keys and policy on a machine whose ledger is in a database."""

from __future__ import annotations

import os
from collections.abc import Iterable

from jitid.errors import RefusedError, StorageError
from jitid.files import check_private, sync_folder, write_private
from jitid.keyring import Keyring
from jitid.ledger.folder import KEYS, POLICY


def exists(path: str) -> bool:
    """Tell whether the folder is there, after checking that nothing of it is open to others.

    Raises:
        IntegrityError: a link, or a looser permission.

    """
    if not os.path.lexists(path):
        return False
    check_private(path, "the folder of keys and policy")
    for name in (KEYS, POLICY):
        if os.path.lexists(os.path.join(path, name)):
            check_private(os.path.join(path, name), "a part of the folder of keys and policy")
    return True


def make(path: str, policy: Iterable[tuple[str, str]]) -> None:
    """Make the folder, with no key yet and this policy: names and texts of its files; what is there stays.

    Raises:
        RefusedError: this user may not make it.
        StorageError: it cannot be made.

    """
    try:
        # Its parents may be for others too, as those of any folder of a user's data.
        os.makedirs(os.path.dirname(path) or "/", mode=0o700, exist_ok=True)
        for folder in (path, os.path.join(path, KEYS)):
            _make_private(folder)
        if _make_private(os.path.join(path, POLICY)):
            for name, text in policy:
                write_private(os.path.join(path, POLICY, name), text.encode())
        for folder in (os.path.join(path, POLICY), os.path.join(path, KEYS), path, os.path.dirname(path)):
            sync_folder(folder)
    except PermissionError as error:
        raise RefusedError(
            f"the folder {path} cannot be made: {error.strerror}", "name another with the setting `home`"
        ) from error
    except OSError as error:
        raise StorageError(
            f"the folder {path} cannot be made: {error.strerror}", "name another with the setting `home`"
        ) from error


def _make_private(folder: str) -> bool:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return False
    # Whatever the umask takes away.
    os.chmod(folder, 0o700)
    return True


def keyring(path: str) -> Keyring:
    """Return this machine's private keys; other machines may have their own."""
    return Keyring(os.path.join(path, KEYS), others=True)
