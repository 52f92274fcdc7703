"""`jitid ledger backup`: one consistent state with its policy, and a manifest that the ledger's key signs.

A backup gets its final name only when it is complete.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jitid.authority.open_local import caller, place_of, with_transit
from jitid.backup import archive
from jitid.backup.archive import Manifest, write_manifest
from jitid.capabilities.audit import audit_log
from jitid.capabilities.integrity import verify_log
from jitid.capabilities.trust.rotation import signs_revocation_list
from jitid.capabilities.trust.signing import current_key_of
from jitid.config.policy_files import LARGEST
from jitid.errors import IntegrityError, JitidError, OutputError, RefusedError, StorageError, UsageError
from jitid.keys.keyring import Keyring, Signer
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite import ledger as sqlite_ledger
from jitid.ledger.sqlite.copy import duplicate
from jitid.ledger.sqlite.ledger_folder import LedgerFolder
from jitid.ledger.view import View
from jitid.model.event import Head
from jitid.model.ledger_rows import Names, SigningKey
from jitid.redaction.token_format import bare
from jitid.system.files import check_private, read_regular, sync_folder, write_private
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.config.effective import Config

OUT = "-"
"""The path that means standard output or standard input."""

_ASIDE = "jitid-backup"
_TAR = ".tar"


class MadeBackup(Record):
    """A backup that was made."""

    place: str
    manifest: Manifest
    size: int
    """The total size of its members in bytes."""


def back_up(
    config: Config,
    to: str,
    *,
    keys: bool,
    verify: bool,
    progress: BackupProgress,
    write: Callable[[bytes], None],
) -> MadeBackup:
    """Make a backup of the configured ledger: a folder, a file `*.tar`, or a stream (`-`).

    In an existing folder, the backup gets a name with the current time. `write` receives the pieces of a stream.

    Raises:
        IntegrityError: the verification of the ledger failed.
        OutputError: the backup could not be written; no part of it is left.
        StorageError: there is no ledger, or it cannot be reached.
        UsageError: the place already exists, or the ledger is in a database.

    """
    source = place_of(config)
    if not isinstance(source, LedgerFolder):
        raise UsageError(
            "`ledger backup` does not support ledgers in a database; nothing was written",
            "back up the database: pg_dump makes a consistent copy",
        )
    source.must_exist()
    path = source.home
    backup_path = _place(to, path)
    with aside_for(to, backup_path) as aside:
        try:
            manifest = take(
                path,
                aside,
                with_transit(config, source.keyring()),
                keys=keys,
                verify=verify,
                by=caller(),
                timeout=float(config.number("timeout")),
                progress=progress,
            )
        except JitidError as error:
            raise _refused(error) from error
        size = sum(entry[0] for entry in manifest.files.values())
        try:
            _store(to, backup_path, aside, manifest, write)
        except OSError as error:
            raise OutputError(
                f"cannot write {'standard output' if to == OUT else quote(backup_path, 200)}: "
                f"{(error.strerror or 'error').lower()}"
            ) from error
    return MadeBackup(backup_path, manifest, size)


def _place(to: str, ledger: str) -> str:
    if to == OUT:
        return OUT
    backup_path = to.rstrip("/") or to
    if os.path.isdir(to) and not os.path.lexists(os.path.join(to, archive.MANIFEST)):
        name = time.strftime("jitid-%Y%m%dT%H%M%SZ", time.gmtime())
        backup_path = os.path.join(to, name)
    if os.path.lexists(backup_path):
        raise UsageError(
            f"{quote(backup_path, 200)} exists already; nothing was written",
            "name another path",
        )
    parent = os.path.dirname(backup_path) or "."
    if not os.path.isdir(parent):
        raise UsageError(
            f"there is no folder {quote(parent, 200)} for the backup", "create it, or name another path"
        )
    ledger_path = os.path.realpath(ledger)
    if os.path.commonpath([ledger_path, os.path.realpath(parent)]) == ledger_path:
        raise UsageError(
            "a backup inside the ledger's folder would be lost with the ledger; nothing was written",
            "name a path elsewhere, preferably on another disk",
        )
    return backup_path


@contextmanager
def aside_for(to: str, backup_path: str) -> Iterator[str]:
    """Create the private folder in which a backup is assembled, and remove it at the end if it still exists."""
    if to == OUT:
        import tempfile

        parent = tempfile.gettempdir()
    else:
        parent = os.path.dirname(backup_path) or "."
    try:
        folder.remove_abandoned(parent, _ASIDE)
        aside, lock = folder.begin(parent, _ASIDE)
    except PermissionError as error:
        raise RefusedError(f"cannot make a backup in {quote(parent, 200)}: {error.strerror}") from error
    except OSError as error:
        raise OutputError(f"cannot write to {quote(parent, 200)}: {error.strerror}") from error
    try:
        check_private(aside, "the folder of the backup")
        yield aside
    finally:
        folder.remove(aside)
        os.close(lock)


def _store(to: str, backup_path: str, aside: str, manifest: Manifest, write: Callable[[bytes], None]) -> None:
    if to == OUT:
        archive.pack(aside, _Stream(write), manifest.at)
        return
    parent = os.path.dirname(backup_path) or "."
    if not backup_path.endswith(_TAR):
        sync_folder(aside)
        if not folder.publish(aside, backup_path, parent):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), backup_path)
        # Before the rename, the lock file showed other processes that the folder was in use.
        os.unlink(os.path.join(backup_path, folder.LOCK))
        return
    tar_path = os.path.join(aside, "whole")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(tar_path, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        archive.pack(aside, file, manifest.at)
        file.flush()
        os.fsync(file.fileno())
    _name(tar_path, backup_path)
    sync_folder(parent)


def _name(tar_path: str, backup_path: str) -> None:
    """Give a file its final name, unless that name exists. Raises OSError."""
    try:
        # A rename would replace a file that was created there meanwhile.
        os.link(tar_path, backup_path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        if os.path.lexists(backup_path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), backup_path) from error
        os.rename(tar_path, backup_path)


class _Stream:
    """Standard output as the destination of a tar file."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        """Write all of `data`. Raises OutputError."""
        self._write(data)
        return len(data)


class BackupProgress(Record):
    """The callbacks that report progress."""

    pages: Callable[[int, int], None]
    """Is called with the number of copied pages and the total number of pages."""
    stage: Callable[[str], None]
    """Is called with the name of a stage at its beginning."""


def take(
    path: str,
    aside: str,
    keyring: Keyring,
    *,
    keys: bool,
    verify: bool,
    by: str,
    timeout: float,
    progress: BackupProgress,
) -> Manifest:
    """Write a backup of the ledger in the folder `path` to the empty folder `aside`, durably.

    No other process waits for it, and the ledger is not changed.

    Args:
        path: the ledger's folder, which the caller has checked with `folder.exists`.
        aside: the folder for the members.
        keyring: the ledger's private keys; one of them signs.
        keys: whether to include the private keys that are still needed.
        verify: whether to verify the copy: its database, its audit chain, and its rows against the chain.
        by: the caller's name for the audit log.
        timeout: the maximum wait for other processes, in seconds.
        progress: the callbacks that report progress.

    Raises:
        IntegrityError: the verification failed, or a key is missing.
        OutputError: the backup cannot be written.
        StorageError: the ledger cannot be reached.

    """
    database = os.path.join(aside, archive.DATABASE)
    # Not the lock file by which other processes see that this folder is in use.
    lock = os.path.join(aside, "copying")
    # The head is read before the ledger is copied, because the ledger only grows.
    kept_head = head_kept_in(path)
    duplicate(
        os.path.join(path, folder.DATABASE),
        os.path.join(path, folder.LOCK),
        database,
        timeout=timeout,
        progress=progress.pages,
    )
    with _written(aside):
        _give_policy(os.path.join(path, folder.POLICY), os.path.join(aside, archive.POLICY))
        with _copy(database, lock, by, timeout) as ledger:
            if verify:
                progress.stage("verifying")
                must_hold(ledger)
            names = ledger.names
            # No verifier queries a copy. If the clock is behind, the copy is judged at its time mark.
            with ledger.read(by_mark=True) as snapshot:
                head, now = snapshot.head(), snapshot.now
                if verify:
                    verify_log.verify(snapshot, names, _expected(kept_head, names, snapshot))
                signer = _signer(snapshot, keyring)
                key_ids = _give_keys(snapshot, keyring, aside) if keys else ()
        progress.stage("signing")
        manifest = write_manifest(names, head, now, key_ids, aside, verified=verify)
        seal = audit_log.sign_head(head, names, signer, now, {"backup": manifest.digest})
        write_private(os.path.join(aside, archive.HEAD), f"{seal}\n".encode())
        for part in (archive.POLICY, archive.KEYS, "."):
            if os.path.isdir(os.path.join(aside, part)):
                sync_folder(os.path.join(aside, part))
    return manifest


@contextmanager
def _written(aside: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to {quote(aside, 200)}: {(error.strerror or 'error').lower()}"
        ) from error


@contextmanager
def _copy(database: str, lock: str, by: str, timeout: float) -> Iterator[sqlite_ledger.SqliteLedger]:
    """Open the copy, and migrate its schema if it is older; the ledger itself is not changed."""
    os.close(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    ledger = sqlite_ledger.connect(database, lock, by=by, timeout=timeout)
    try:
        yield ledger
    finally:
        # The last connection writes the log into the database as it closes, and removes the log.
        ledger.close()
        os.unlink(lock)
    with open(database, "rb") as file:
        os.fsync(file.fileno())


def must_hold(ledger: sqlite_ledger.SqliteLedger) -> None:
    """Raise IntegrityError if a database is damaged outside of its indexes, or differs from its schema."""
    condition = ledger.condition()
    # A restore rebuilds the indexes.
    damage = condition.damage(indexes=False) or condition.schema().differences
    if damage:
        raise IntegrityError(f"the ledger is damaged: {damage[0]}", "to see all damage: jitid doctor")


def head_kept_in(path: str) -> str | None:
    """Return the signed head up to which a sweep has verified the ledger in a folder; None if it cannot be read."""
    try:
        data = read_regular(os.path.join(path, folder.VERIFIED), archive.MAX_HEAD)
    except OSError:
        return None
    return bare(data.decode("utf-8", "replace"))


def _expected(kept_head: str | None, names: Names, snapshot: View) -> Head | None:
    try:
        return (
            None
            if kept_head is None
            else audit_log.read_head(kept_head, names, KeyStore(snapshot).signing_keys())
        )
    except audit_log.UnreadableHeadError:
        # An unreadable head proves nothing for or against the ledger; doctor and sweep report it.
        return None


def _signer(snapshot: View, keyring: Keyring) -> Signer:
    key = current_key_of(snapshot, keyring, "EdDSA")
    if key is None:
        raise IntegrityError("the ledger has no active EdDSA signing key", "to make one: jitid keys rotate")
    return keyring.load(key.kid, key.algorithm, key.public, key.use)


def needed(snapshot: View, key: SigningKey) -> bool:
    """Return whether a private key is still needed: it signs, or it must sign a list of its revoked certificates."""
    return key.signs or signs_revocation_list(snapshot, key)


def _give_keys(snapshot: View, source: Keyring, aside: str) -> tuple[str, ...]:
    keys_folder = os.path.join(aside, archive.KEYS)
    folder.make_private(keys_folder)
    target = Keyring(keys_folder)
    keys = [
        key for key in KeyStore(snapshot).signing_keys() if needed(snapshot, key) and source.holds(key.kid)
    ]
    for key in keys:
        source.give(target, key.kid, key.algorithm, key.public)
    return tuple([key.kid for key in keys])


def _give_policy(source: str, target: str) -> None:
    folder.make_private(target)
    for name, data in policy_in(source):
        if not archive.is_name(name):
            raise UsageError(
                f"the name of the policy file {quote(name)} is not allowed in a backup; nothing was written",
                "use a shorter name of printable characters",
            )
        write_private(os.path.join(target, name), data)


def policy_in(path: str) -> list[tuple[str, bytes]]:
    """Return names and contents of the regular files in a policy folder. Raises StorageError."""
    files = []
    try:
        for entry in sorted(os.scandir(path), key=lambda dir_entry: dir_entry.name):
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as file:
                    files.append((entry.name, file.read(LARGEST + 1)))
                if len(files[-1][1]) > LARGEST:
                    raise StorageError(f"the policy file {entry.path} is too large for a backup")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"cannot read the policy in {path}: {error.strerror}") from error
    return files


def _refused(error: JitidError) -> JitidError:
    """Return a verification error, with its consequence for the backup added to the message."""
    if isinstance(error, IntegrityError):
        error.message = f"the ledger failed its verification, and no backup was made: {error.message}"
        error.hint = (
            error.hint
            or "to see the failure: jitid audit verify; to back up without verification: --no-verify"
        )
    return error
