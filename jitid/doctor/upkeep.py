"""Maintenance of a ledger: `jitid ledger check` examines its files, `vacuum` returns free space."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from jitid.authority.open_local import caller, must_be_local, place_of
from jitid.backup import archive, restore, revive
from jitid.backup.take_backup import OUT, aside_for
from jitid.capabilities.integrity import examination
from jitid.doctor import installation_check
from jitid.doctor.installation_check import Installation
from jitid.model.ledger_condition import Check, ok
from jitid.values.times import format_time

if TYPE_CHECKING:
    from typing import IO

    from jitid.config.effective import Config
    from jitid.ledger.place import Vacuumed


def check(config: Config) -> list[Check]:
    """Return the results of the checks of the ledger itself: its files, its database, its keys and its audit log.

    These checks change nothing, and contact no other system. Raises UsageError if a remote authority has the ledger.
    """
    must_be_local(config)
    return list(examination.perform(installation_check.LEDGER, Installation(config, None)))


def check_backup(
    config: Config, backup_path: str, progress: Callable[[str], None], standard_input: IO[bytes] | None
) -> Iterator[Check]:
    """Check a backup like `restore`, in a temporary folder that is deleted afterwards.

    Raises:
        IntegrityError: it is damaged, truncated or open to others.
        NewerSchemaError: a newer jitid made it.
        StorageError: it cannot be read, or there is no room to unpack it.
        UsageError: there is no backup.

    """
    with aside_for(OUT, OUT) as aside:
        progress("unpacking")
        unpacked = revive.unpack(
            archive.members(backup_path, standard_input if backup_path == OUT else None), aside
        )
        progress("verifying")
        with revive.opened(aside, caller(), float(config.number("timeout"))) as ledger:
            restore.verify_backup(ledger, unpacked)
    manifest = unpacked.manifest
    yield ok("backup", f"{len(manifest.files)} members match the manifest, which the ledger has signed")
    yield ok("audit", f"the audit chain is intact: {manifest.events} events, and the ledger's rows agree")
    count = len(manifest.keys) or "no"
    keys = f"{count} private key{'s' * (count != 1)}"
    yield ok("content", f"ledger {manifest.ledger} at {format_time(manifest.at)}, with {keys}")


def vacuum(config: Config, progress: Callable[[str], None]) -> Vacuumed:
    """Return the space of deleted rows to the file system. Raises the errors of `LedgerPlace.vacuum`."""
    return place_of(config).vacuum(float(config.number("timeout")), progress)
