"""The folder with ledger, keys, policy and lock. The first use builds it aside and publishes it by one rename."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from jitid.errors import (
    ConfigurationError,
    IntegrityError,
    JitidError,
    OutputError,
    RefusedError,
    StorageError,
    UsageError,
)
from jitid.keys.keyring import Keyring
from jitid.ledger.signing_keys import KeyChanges
from jitid.ledger.sqlite import ledger as sqlite_ledger
from jitid.ledger.sqlite.lock import FAULTS, translated
from jitid.ledger.transaction import KnownRows, Transaction
from jitid.model.ledger_rows import Names
from jitid.system.files import check_private, sync_folder, write_private
from jitid.values.text import quote, safe

DATABASE = "ledger.db"
KEYS = "keys"
POLICY = "policy"
LOCK = "lock"
VERIFIED = "audit.head"
"""The signed audit head up to which a sweep has verified the chain; the file may be missing."""


def exists(path: str) -> bool:
    """Return whether a ledger with its keys is there, after checking that it is complete and private.

    Raises:
        IntegrityError: a ledger without its keys, keys without their ledger, a link, or permissions for other users.
        RefusedError: this user may not access it.
        UsageError: the path cannot be the folder of a ledger.

    """
    present = content(path)
    if not present:
        return False
    check_private(path, "the ledger's folder")
    check_whole(path, present)
    for name in present & {DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", KEYS, LOCK, POLICY}:
        try:
            check_private(os.path.join(path, name), "the ledger's part")
        except FileNotFoundError:
            continue  # the write-ahead log is created and removed by its users
    return True


_OF_ANOTHER = "run it as the owner of the folder, or name another ledger: --ledger"


def content(path: str) -> set[str]:
    """Return the names in the folder; an empty set if it is empty or does not exist.

    Raises:
        IntegrityError: it is a link.
        RefusedError: this user may not access it.
        UsageError: the path cannot be the folder of a ledger.

    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return set()
    except NotADirectoryError as error:
        raise UsageError(f"{path} cannot be a ledger: a part of the path is not a folder") from error
    except PermissionError as error:
        raise RefusedError(
            f"permission denied: this user may not access the ledger {path}", _OF_ANOTHER
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{safe(path)} cannot be a ledger: {_reason(error)}") from error
    if os.path.islink(path):
        check_private(path, "the ledger's folder")
    try:
        return set(os.listdir(path))
    except FileNotFoundError:
        return set()
    except NotADirectoryError:
        raise UsageError(
            f"{path} is not a folder", "name the folder with the ledger, its keys and its policy"
        ) from None
    except PermissionError as error:
        raise RefusedError(
            f"permission denied: this user may not access the ledger {path}", _OF_ANOTHER
        ) from error
    except OSError as error:
        raise StorageError(f"the ledger {path} cannot be read: {error.strerror}") from error


def check_whole(path: str, present: set[str]) -> None:
    """Check that a folder with these names contains a complete ledger.

    Raises:
        IntegrityError: a part of the ledger is missing, or its database is empty.
        UsageError: the folder has no part of a ledger at all.

    """
    missing = [name for name in (DATABASE, KEYS, LOCK) if name not in present]
    if missing and not present & {DATABASE, KEYS}:
        raise UsageError(f"{path} has other files, but no ledger", "name another folder, or an empty folder")
    if missing:
        raise IntegrityError(
            f"the ledger {path} is incomplete: {missing[0]} is missing; nothing was created",
            "jitid ledger restore --replace BACKUP",
        )
    database = os.path.join(path, DATABASE)
    # SQLite would treat it as a new database, and delete a write-ahead log that still has content.
    if not os.path.islink(database) and not os.path.getsize(database):
        raise IntegrityError(
            f"{database} is empty; it was not changed", "jitid ledger restore --replace BACKUP"
        )


def create(path: str, names: Names, policy: Sequence[tuple[str, str]], *, by: str, now: int) -> bool:
    """Create a ledger with its signing key and policy, completely or not at all.

    Args:
        path: the folder to create.
        names: the fixed names of the ledger.
        policy: names and texts of the initial policy files.
        by: the caller's name for the audit log.
        now: seconds since the epoch.

    Returns:
        Whether this call created it; another process may have been first.

    Raises:
        RefusedError: this user may not write there.
        StorageError: the disk is full, or the folder cannot be written.

    """
    parent, name = os.path.split(os.path.abspath(path))
    try:
        make_parents(parent)
        remove_abandoned(parent, name)
        aside, descriptor = begin(parent, name)
    except OSError as error:
        raise _storage(path, error) from error
    try:
        try:
            _fill(aside, names, policy, by, now)
            return publish(aside, path, parent)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _storage(path, error) from error
    except OutputError as error:
        raise StorageError(error.message, "name another folder with --ledger") from error
    except FAULTS as error:
        raise translated(error) from error
    finally:
        if os.path.isdir(aside):
            remove(aside)


def begin(parent: str, name: str) -> tuple[str, int]:
    """Create a private folder that is filled aside for a name; return it with its lock file, which is locked."""
    while True:
        aside = os.path.join(parent, f".{name}.{os.urandom(6).hex()}.new")
        os.mkdir(aside, 0o700)
        try:
            os.chmod(aside, 0o700)
            descriptor = os.open(
                os.path.join(aside, LOCK), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
        except OSError:
            os.rmdir(aside)
            raise
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            os.fchmod(descriptor, 0o600)
            return aside, descriptor
        # Before it was locked it looked abandoned, and the first use in another process has removed it.
        os.close(descriptor)


def _fill(aside: str, names: Names, policy: Sequence[tuple[str, str]], by: str, now: int) -> None:
    for folder in (KEYS, POLICY):
        make_private(os.path.join(aside, folder))
    for file, text in policy:
        write_private(os.path.join(aside, POLICY, file), text.encode())
    signer = Keyring(os.path.join(aside, KEYS)).create("EdDSA")
    database = os.path.join(aside, DATABASE)
    os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    os.chmod(database, 0o600)
    db = sqlite_ledger.create(database, names, now)
    try:
        db.execute("BEGIN IMMEDIATE")
        transaction = Transaction(db, names, now, by, KnownRows({}, set()))
        KeyChanges(transaction).add_key(signer.kid, signer.algorithm, signer.public)
        transaction.append("init", names.facts(signer.kid))
        db.execute("COMMIT")
    finally:
        db.close()
    for folder in (os.path.join(aside, KEYS), os.path.join(aside, POLICY), aside):
        sync_folder(folder)


def publish(aside: str, path: str, parent: str) -> bool:
    """Rename the folder that was filled aside; return False if its final name is already in use. Raises OSError."""
    try:
        os.rename(aside, path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    sync_folder(parent)
    return True


def make_private(path: str) -> None:
    """Create a folder with mode 0700, regardless of the umask. Raises OSError."""
    os.mkdir(path, 0o700)
    os.chmod(path, 0o700)


def make_parents(parent: str) -> None:
    """Create the parent folders of a ledger's folder, where they are missing. Raises OSError."""
    missing = []
    while not os.path.isdir(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            continue
        sync_folder(os.path.dirname(folder))


def remove_abandoned(parent: str, name: str) -> None:
    """Remove the folders aside that killed processes have left for a name: they are unused and incomplete."""
    for entry in os.listdir(parent):
        if not (entry.startswith(f".{name}.") and entry.endswith(".new") and len(entry) == len(name) + 18):
            continue
        abandoned = os.path.join(parent, entry)
        try:
            descriptor = os.open(os.path.join(abandoned, LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            _remove_unlocked(abandoned, parent)
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(abandoned)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _remove_unlocked(abandoned: str, parent: str) -> None:
    """Remove an abandoned folder without a lock file once it is an hour old; it may have just been created."""
    try:
        if os.lstat(abandoned).st_mtime < os.lstat(parent).st_mtime - 3600:
            remove(abandoned)
    except FileNotFoundError:
        return  # it was published or removed meanwhile


def remove(abandoned: str) -> None:
    """Remove a folder that was filled aside.

    Its lock goes last: a later call finds a partly removed folder by its lock.
    """
    # Imported here: each command loads this module, and shutil would slow down the start by four milliseconds.
    from shutil import rmtree

    with suppress(OSError):
        for entry in list(os.scandir(abandoned)):
            if entry.is_dir(follow_symlinks=False):
                rmtree(entry.path, ignore_errors=True)
            elif entry.name != LOCK:
                os.unlink(entry.path)
    rmtree(abandoned, ignore_errors=True)


def _reason(error: OSError | ValueError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "the path is invalid"


def _storage(path: str, error: OSError) -> JitidError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return RefusedError(
            f"no ledger can be created at {path}: {error.strerror}", "name another folder with --ledger"
        )
    return StorageError(
        f"no ledger can be created at {path}: {error.strerror}", "name another folder with --ledger"
    )


def check_names(names: Names, configured: Mapping[str, str | None]) -> None:
    """Check a ledger's names against the configured `issuer` and `trust_domain`; None means that it is not configured.

    Raises ConfigurationError if the configuration has a different value.
    """
    for setting, value in configured.items():
        fixed = str(getattr(names, setting))
        accepted = (fixed, *(names.former if setting == "issuer" else ()))
        if value is not None and value not in accepted:
            change = ", or change the issuer: jitid ledger issuer set URL" if setting == "issuer" else ""
            raise ConfigurationError(
                f"the configuration has {setting} {quote(str(value))}, but the ledger has {quote(fixed)}",
                f"remove `{setting}` from the configuration, or name another ledger{change}",
            )


def open_ledger(path: str, *, by: str, timeout: float) -> sqlite_ledger.SqliteLedger:
    """Open the ledger in the folder `path`, which the caller has checked with `exists`."""
    return sqlite_ledger.connect(
        os.path.join(path, DATABASE), os.path.join(path, LOCK), by=by, timeout=timeout
    )


def keyring(path: str) -> Keyring:
    """Return the private keys of the ledger in the folder `path`."""
    return Keyring(os.path.join(path, KEYS))
