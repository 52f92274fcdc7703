"""The folder of keys and policy on a machine whose ledger is in a database."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence

from jitid.errors import IntegrityError, RefusedError, StorageError
from jitid.keys.keyring import Keyring, key_names
from jitid.ledger.sqlite.folder import KEYS, POLICY, remove
from jitid.system.files import check_private, sync_folder, write_private


def exists(path: str) -> bool:
    """Return whether the folder is there, after checking that other users have no access to it.

    Raises:
        IntegrityError: it is a link, or its permissions are too loose.

    """
    if not os.path.lexists(path):
        return False
    check_private(path, "the folder of keys and policy")
    for name in (KEYS, POLICY):
        if os.path.lexists(os.path.join(path, name)):
            check_private(os.path.join(path, name), "a part of the folder of keys and policy")
    return True


def make(path: str, policy: Iterable[tuple[str, str]]) -> None:
    """Create the folder with this policy (names and texts of its files) and without a key; existing parts stay.

    Raises:
        RefusedError: this user may not create it.
        StorageError: it cannot be created.

    """
    try:
        # Other users may have access to the parent folders, as to those of any user data.
        os.makedirs(os.path.dirname(path) or "/", mode=0o700, exist_ok=True)
        for folder in (path, os.path.join(path, KEYS)):
            _make_private(folder)
        if not os.path.lexists(os.path.join(path, POLICY)):
            _fill_policy(path, policy)
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


def _make_private(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    # Regardless of the umask.
    os.chmod(folder, 0o700)


def _fill_policy(path: str, policy: Iterable[tuple[str, str]]) -> None:
    """Create the policy folder completely or not at all: a folder without rules would always permit nothing."""
    aside = os.path.join(path, f".{POLICY}.{os.urandom(6).hex()}.new")
    _make_private(aside)
    for name, text in policy:
        write_private(os.path.join(aside, name), text.encode())
    sync_folder(aside)
    try:
        os.rename(aside, os.path.join(path, POLICY))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # Another process was first.
        remove(aside)


def has_keys(path: str) -> bool:
    """Return whether the folder has signing keys. Raises StorageError if that cannot be determined."""
    return bool(key_names(os.path.join(path, KEYS)))


def lost_ledger(path: str, address: str, schemas: Sequence[str]) -> IntegrityError:
    """Return the error for a folder with signing keys whose ledger is not in the database.

    Args:
        path: the folder of keys and policy.
        address: the address of the database, without passwords.
        schemas: the schemas of the database that hold a ledger.

    """
    hint = "correct --ledger, or restore the database; a new ledger needs a folder of its own: JITID_HOME=DIR"
    if schemas:
        hint = f"the schema {schemas[0]} has a ledger; to name it: ?options=-csearch_path%3D{schemas[0]}"
    return IntegrityError(
        f"{address} has no ledger, and {os.path.join(path, KEYS)} has signing keys: a ledger and its keys belong "
        "together, and no new one was made",
        hint,
    )


def keyring(path: str) -> Keyring:
    """Return this machine's private keys; other machines may have their own."""
    return Keyring(os.path.join(path, KEYS), others=True)
