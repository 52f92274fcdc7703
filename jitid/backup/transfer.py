"""`jitid ledger copy`: the classes for the two places, and the keys and the policy that are copied with the rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from jitid.authority.open_local import caller, folder_of, is_address, place_of
from jitid.backup.copy_ledger import Copy, copy
from jitid.capabilities.trust.rotation import signs_revocation_list
from jitid.errors import IntegrityError, StorageError, UsageError
from jitid.keys.keyring import Keyring
from jitid.ledger.copy_rows import CopySource, CopyTarget
from jitid.ledger.postgres import ledger_database
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.copy import SqliteTarget
from jitid.model.ledger_rows import SigningKey
from jitid.system.files import write_private
from jitid.system.xdg import authority_folder

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.ledger.place import LedgerPlace


class CopyRequest(NamedTuple):
    """The request for a copy."""

    to: str
    """The folder or the address of the copy."""
    issuer: str | None
    """The copy's issuer, if it changes."""
    keys: bool
    """Whether a database gets this machine's private keys; a folder always gets them."""


def copy_ledger(
    config: Config, request: CopyRequest, progress: Callable[[str, int], None], note: Callable[[str], None]
) -> Copy:
    """Copy the configured ledger with its policy.

    `progress` is called with the name of a table and the number of its rows that were copied since the last call.
    `note` is called with a message about the keys.

    Raises:
        UsageError: the place is in use already.
        StorageError: there is no ledger, or one of the two is busy, full or cannot be reached.
        IntegrityError: the verification of the ledger failed, or it lacks a key that signs.

    """
    ledger_place = place_of(config)
    source, keyring = ledger_place.source(float(config.number("timeout"))), ledger_place.keyring()
    if is_address(request.to):
        return _to_database(config, request, source, ledger_place.home, keyring, progress, note)
    target = SqliteTarget(_target_folder(ledger_place, request.to))

    def furnish() -> None:
        _give_keys(source, keyring, Keyring(target.keys))
        _give_policy(os.path.join(ledger_place.home, folder.POLICY), target.policy)

    return copy(
        source,
        target,
        by=caller(),
        issuer=request.issuer,
        signs=lambda key: keyring.holds(key.kid),
        furnish=furnish,
        progress=progress,
    )


def _target_folder(source: LedgerPlace, to: str) -> str:
    """Return the folder for the copy. Raises UsageError if the ledger itself is there."""
    path = folder_of(to)
    if not source.in_database and os.path.realpath(path) == os.path.realpath(source.home):
        raise UsageError("the ledger is there already; nothing was copied", "name another place with --to")
    return path


def _to_database(
    config: Config,
    request: CopyRequest,
    source: CopySource,
    source_home: str,
    keyring: Keyring,
    progress: Callable[[str, int], None],
    note: Callable[[str], None],
) -> Copy:
    from jitid.ledger.postgres.ledger_database import must_be_installed

    must_be_installed()
    from jitid.ledger.postgres.copy import PostgresTarget

    target_home = config.text("home") or authority_folder()
    target: CopyTarget = PostgresTarget(request.to, float(config.number("timeout")))
    is_other_home = os.path.realpath(target_home) != os.path.realpath(source_home)

    def furnish() -> None:
        if not is_other_home:
            return
        ledger_database.exists(target_home)
        ledger_database.keyring(target_home).must_be_for(
            {key.kid for key in KeyStore(source.snapshot).signing_keys()}
        )
        ledger_database.make(target_home, _policy(os.path.join(source_home, folder.POLICY)))
        if request.keys:
            _give_keys(source, keyring, ledger_database.keyring(target_home))

    result = copy(source, target, by=caller(), issuer=request.issuer, furnish=furnish, progress=progress)
    if is_other_home and not request.keys:
        note(
            f"the private keys stay in {keyring.folder}: each machine that signs makes a key of its own with "
            "`jitid keys rotate`, or takes these along with --keys"
        )
    return result


def _give_keys(source: CopySource, keyring: Keyring, target: Keyring) -> None:
    can_sign = False
    for key in KeyStore(source.snapshot).signing_keys():
        # A retired authority still signs the list of the certificates that it has revoked.
        if (_signs(key) or signs_revocation_list(source.snapshot, key)) and keyring.holds(key.kid):
            keyring.give(target, key.kid, key.algorithm, key.public)
            can_sign = can_sign or (key.use, key.algorithm) == ("jws", "EdDSA")
    if not can_sign:
        raise IntegrityError(
            f"{keyring.folder} holds no key that signs for this ledger; nothing was copied",
            "make one first: jitid keys rotate",
        )


def _signs(key: SigningKey) -> bool:
    return key.retired_at is None and key.revoked_at is None


def _give_policy(source: str, target: str) -> None:
    for name, text in _policy(source):
        write_private(os.path.join(target, name), text.encode())


def _policy(path: str) -> list[tuple[str, str]]:
    """Return names and texts of the files in a policy folder."""
    files = []
    try:
        for entry in sorted(os.scandir(path), key=lambda dir_entry: dir_entry.name):
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, encoding="utf-8", newline="") as file:
                    files.append((entry.name, file.read()))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"the policy in {path} could not be copied: {error}") from error
    return files
