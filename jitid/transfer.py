"""`jitid ledger copy`: which implementations two places need, and what goes along with the rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from jitid.copying import Copy, copy
from jitid.environment import caller, folder_of, ledger_path
from jitid.errors import StorageError, UsageError
from jitid.files import write_private
from jitid.keyring import Keyring
from jitid.ledger import folder
from jitid.ledger.copyingsqlite import SqliteSource, SqliteTarget
from jitid.ledger.protocol import Snapshot

if TYPE_CHECKING:
    from jitid.config import Config


def copy_ledger(config: Config, to: str, issuer: str | None, progress: Callable[[str, int], None]) -> Copy:
    """Copy the ledger that the configuration names, with its private keys and its policy.

    `issuer` is the name of the copy's issuer, if it is to have another. `progress` is told of each table how many
    more rows of it have come.

    Raises:
        UsageError: there is something at the place already.
        StorageError: there is no ledger, or one of the two is busy, full or out of reach.
        IntegrityError: the ledger does not hold by itself, or lacks a key that signs.

    """
    path = ledger_path(config)
    if not folder.exists(path):
        raise StorageError(f"there is no ledger at {path}", "name another with --ledger")
    place = folder_of(to)
    if os.path.realpath(place) == os.path.realpath(path):
        raise UsageError("the ledger is there already; nothing was copied", "name another place with --to")
    source = SqliteSource(path, float(config.number("timeout")))
    target = SqliteTarget(place)

    def furnish() -> None:
        _give_keys(source.snapshot, folder.keyring(path), Keyring(target.keys))
        _give_policy(os.path.join(path, folder.POLICY), target.policy)

    return copy(source, target, by=caller(), issuer=issuer, furnish=furnish, progress=progress)


def _give_keys(snapshot: Snapshot, ours: Keyring, theirs: Keyring) -> None:
    for key in snapshot.signing_keys():
        if key.retired_at is None and key.revoked_at is None:
            ours.give(theirs, key.kid, key.algorithm, key.public)


def _give_policy(ours: str, theirs: str) -> None:
    try:
        for entry in os.scandir(ours):
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as file:
                    write_private(os.path.join(theirs, entry.name), file.read())
    except OSError as error:
        raise StorageError(f"the policy in {ours} could not be copied: {error.strerror}") from error
