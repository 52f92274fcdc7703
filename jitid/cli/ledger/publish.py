"""`jitid publish`: write keys and status lists for offline verifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.display import Display

if TYPE_CHECKING:
    from jitid.capabilities.trust.publish_folder import Put
    from jitid.cli.ledger import commands

FIELDS = ("file", "state", "bytes")


def publish(cli: Invocation, args: commands.PublishCommand) -> None:
    """Perform `jitid publish`."""
    from jitid.capabilities.trust import publish_folder

    cli.expect(FIELDS)
    if not args.folder.strip():
        raise UsageError("DIR is blank", "name a folder")
    config = cli.config()
    authority = open_authority(config)
    published = publish_folder.publish(
        authority, args.folder, float(config.number("timeout")), dry=args.dry_run
    )
    cli.show(Display("jitid.publish/1", FIELDS, [_row(file) for file in published.files]))
    for note in published.notes:
        cli.note(note)


def _row(file: Put) -> dict[str, object]:
    return {"file": file.name, "state": file.state, "bytes": file.bytes}
