"""`jitid ledger copy`: the classes for the two places, and the keys and the policy that are copied with the rows.

The copy is complete and verified, and continues with its own audit chains.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from jitid.authority.open_local import caller, folder_of, is_address, place_of
from jitid.capabilities.integrity import verify_log
from jitid.capabilities.trust import own_issuer
from jitid.capabilities.trust.rotation import signs_revocation_list
from jitid.errors import IntegrityError, JitidError, StorageError, UsageError
from jitid.keys.keyring import Keyring
from jitid.ledger.contract import Seal, sealed
from jitid.ledger.contract import find_seal as find_seal
from jitid.ledger.copy_rows import Copied, CopySource, CopyTarget, Stage, carry, compare, shared
from jitid.ledger.postgres import ledger_database
from jitid.ledger.postgres.ledger_database import must_be_installed
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.copy import SqliteTarget
from jitid.model.chain import head_of
from jitid.model.event import Head
from jitid.model.ledger_rows import Names, SigningKey
from jitid.system.files import write_private
from jitid.system.xdg import authority_folder
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.ledger.place import LedgerPlace


class Copy(Record):
    """A ledger that was copied."""

    tables: tuple[Copied, ...]
    """The tables that were compared; empty if an earlier attempt only had to be published."""
    events: int
    head: Head
    """The audit head of the source; the copy continues from it."""
    event: int | None
    """The first event that only the copy has; None if an earlier attempt has written it."""
    resumed: bool
    """Whether it continued an earlier attempt that was interrupted."""


def copy(
    source: CopySource,
    target: CopyTarget,
    *,
    by: str,
    issuer: str | None = None,
    signs: Callable[[SigningKey], bool] | None = None,
    furnish: Callable[[], None],
    progress: Callable[[str, int], None],
) -> Copy:
    """Copy a ledger: compare every row by count and digest, and verify the audit log, before the copy can be used.

    Then the source is sealed, and after that the copy is published. If this is interrupted, neither is live, and the
    same command continues from there. So two live ledgers never have the same keys or the same credentials.

    Args:
        source: the ledger. No other process writes to it meanwhile, and none can after it is sealed.
        target: the place of the copy. A partial copy of the same state there is continued.
        by: the caller's name for the audit log.
        issuer: the copy's issuer, if it changes; tokens of earlier issuers stay valid.
        signs: returns whether a key signs for the copy too; by default all keys do that sign now.
        furnish: puts keys and policy beside the rows, shortly before the copy is published.
        progress: is called with the name of a table and the number of its rows that were copied since the last call.

    Raises:
        IntegrityError: the verification of the ledger or the comparison failed, or it was copied elsewhere before.
        StorageError: one of the two is busy, full or cannot be reached; the copied rows are kept for the next attempt.
        UsageError: live credentials use `issuer` as the name of a service; nothing was copied.

    """
    with source, target:
        snapshot = source.snapshot
        chains = snapshot.chains()
        head = head_of(chains)
        seal = find_seal(snapshot)
        if seal is not None and (seal.done or seal.to != target.place):
            raise sealed(seal)
        names = source.names
        if issuer not in (None, names.issuer):
            names = own_issuer.renamed(snapshot, str(issuer)).names
        mark = f"{names.uuid} {names.issuer} {head.seq} {head.hash.hex()}"
        if seal is not None:
            # A sealed ledger does not change: rows that were copied before the seal are still equal.
            if seal.mark.split(" ")[1] != names.issuer:
                raise sealed(seal)
            mark = seal.mark
        stage = target.begin(names, mark, chains, snapshot.now)
        result = Copy((), head.seq, head, None, resumed=stage is not Stage.NEW)
        if stage is not Stage.COMPLETE:
            pairs = shared(source, target)
            for table, rows in carry(source, target, pairs):
                progress(table, rows)
            target.index()
            result = result._replace(tables=tuple(compare(source, target, pairs)))
            result = result._replace(event=_go_on(source, target, names, head, by, signs))
        if stage is not Stage.COMPLETE or seal is None:
            _must_stand(source, head)
        # Also for a complete copy: its keys and policy must be durable too.
        furnish()
        target.complete()
        _publish(
            source, target, seal or Seal(target.place, snapshot.now, mark), by, was_sealed=seal is not None
        )
        return result


def _go_on(
    source: CopySource,
    target: CopyTarget,
    names: Names,
    head: Head,
    by: str,
    signs: Callable[[SigningKey], bool] | None,
) -> int:
    """Begin the copy's own part of the audit log, and verify the whole log; return the number of the first event."""
    transaction = target.open(by)
    facts = {"from": source.kind, "to": target.kind, "events": head.seq}
    if names != source.names:
        facts |= {"issuer": names.issuer, "until": dict(names.lasting())[source.names.issuer]}
    retired = [
        key
        for key in KeyStore(source.snapshot).signing_keys()
        if key.retired_at is None and signs and not signs(key)
    ]
    for key in retired:
        KeyChanges(transaction).end_key(key.key, revoked=False)
    facts |= {"retired": [key.kid for key in retired]} if retired else {}
    event = transaction.append("ledger-copy", facts)
    try:
        verify_log.verify(transaction, names, head)
    except IntegrityError as error:
        error.message = f"the ledger failed its verification, and was not copied: {error.message}"
        error.hint = "to see the failure: jitid audit verify"
        raise
    return event.seq


def _publish(source: CopySource, target: CopyTarget, seal: Seal, by: str, *, was_sealed: bool) -> None:
    """Seal the source, unless it is sealed already, and only then publish the copy."""
    if not was_sealed:
        source.seal(seal, by)
    target.publish()
    # The source is sealed already; this only adds that the copy is live.
    with suppress(JitidError):
        source.seal(seal._replace(done=True), by)


def _must_stand(source: CopySource, head: Head) -> None:
    if source.head_now() != head:
        raise StorageError(
            "the ledger was changed during the copy; the copy was not completed",
            "stop all writers, and repeat the command",
        )


class CopyRequest(Record):
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
        raise UsageError(
            "source and copy are the same folder; nothing was copied", "name another place: --to"
        )
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
    must_be_installed()
    from jitid.ledger.postgres.copy import PostgresTarget

    target_home = config.text("home") or authority_folder()
    target: CopyTarget = PostgresTarget(request.to, float(config.number("timeout")))
    is_other_home = os.path.realpath(target_home) != os.path.realpath(source_home)

    def furnish() -> None:
        if not is_other_home:
            return
        ledger_database.home_exists(target_home)
        ledger_database.home_keyring(target_home).must_be_for(
            {key.kid for key in KeyStore(source.snapshot).signing_keys()}
        )
        ledger_database.make_home(target_home, _policy(os.path.join(source_home, folder.POLICY)))
        if request.keys:
            _give_keys(source, keyring, ledger_database.home_keyring(target_home))

    result = copy(source, target, by=caller(), issuer=request.issuer, furnish=furnish, progress=progress)
    if is_other_home and not request.keys:
        note(
            f"the private keys stay in {keyring.folder}; on each machine that signs, make a new key: "
            "jitid keys rotate; or copy these keys: --keys"
        )
    return result


def _give_keys(source: CopySource, keyring: Keyring, target: Keyring) -> None:
    can_sign = False
    for key in KeyStore(source.snapshot).signing_keys():
        # A retired authority still signs the list of the certificates that it has revoked.
        signs = key.retired_at is None and key.revoked_at is None
        if (signs or signs_revocation_list(source.snapshot, key)) and keyring.holds(key.kid):
            keyring.give(target, key.kid, key.algorithm, key.public)
            can_sign = can_sign or (key.use, key.algorithm) == ("jws", "EdDSA")
    if not can_sign:
        raise IntegrityError(
            f"{keyring.folder} has no active signing key of this ledger; nothing was copied",
            "to make one: jitid keys rotate",
        )


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
        raise StorageError(f"cannot copy the policy in {path}: {error}") from error
    return files
