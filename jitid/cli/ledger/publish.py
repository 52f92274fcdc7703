"""`jitid publish`: write keys and status lists for offline verifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.display import Display

if TYPE_CHECKING:
    from jitid.capabilities.trust.publish_folder import Put
    from jitid.cli import options

FIELDS = ("file", "state", "bytes")


def publish(cli: Invocation, folder: options.PublishedFolder, dry_run: options.DryRun = False) -> None:
    """Write keys, status lists and what else verifiers need into DIR, for any web server to serve.

    Whoever has these files can verify tokens without asking anybody, and sees what was ended until they were written:
    so it is run every few minutes, from cron. Each file is replaced whole.
    """
    from jitid.capabilities.trust import publish_folder

    cli.expect(FIELDS)
    if not folder.strip():
        raise UsageError("DIR is blank", "name a folder")
    config = cli.config()
    authority = open_authority(config)
    published = publish_folder.publish(authority, folder, float(config.number("timeout")), dry=dry_run)
    cli.show(Display("jitid.publish/1", FIELDS, [_row(file) for file in published.files]))
    for note in published.notes:
        cli.note(note)


def _row(file: Put) -> dict[str, object]:
    return {"file": file.name, "state": file.state, "bytes": file.bytes}
