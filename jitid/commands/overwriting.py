"""What an output replaces: a live token in the old file is reported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jitid.authority.protocol import Authority
    from jitid.commands.globals import Globals
    from jitid.issuance import Issued
    from jitid.secret import Secret


class Replaced:
    """The token in a file that an output is about to replace, if there is one."""

    def __init__(self, path: str) -> None:
        """Read the file at a path that `Globals.perform` has checked."""
        self._path = path
        # Most outputs are new files, and cost nothing more.
        self._token = _token_in(self._path) if os.path.lexists(self._path) else None

    def report(self, given: Globals, authority: Authority, new: Issued) -> None:
        """Note what becomes of the token that the token of `new` replaced, if it is still valid."""
        if self._token is None or given.quiet:
            return
        from jitid.authority.operations import Inspect
        from jitid.errors import JitidError
        from jitid.lifetime import format_time
        from jitid.text import quote

        try:
            found = authority.perform(Inspect(token=self._token))
        except JitidError:
            # Not a token of this ledger, or not one that this caller may look at.
            return
        old = found.credential
        if not found.active or old.id in [one.id for one in new.credentials]:
            # The predecessor of a renewed token ends by itself.
            return
        what = "it and the new token" if old.id == new.parent else "it"
        given.note(
            f"{quote(self._path, 200)} held {old.jti} (agent {old.agent}, task {old.task}), which stays valid "
            f"until {format_time(old.expires_at)}; to revoke {what}: {given.command(f'jitid revoke {old.jti}')}"
        )


def _token_in(path: str) -> Secret | None:
    """Return the token in a regular file of this user; None for anything else, which is never shown."""
    from jitid.files import read_regular
    from jitid.secret import Secret
    from jitid.tokenform import MAX_TOKEN

    try:
        data = read_regular(path, MAX_TOKEN + 1)
    except OSError:
        return None
    text = data.decode("utf-8", "replace").partition("-----BEGIN PRIVATE KEY-----")[0].strip()
    return Secret.single(text) if text and len(data) <= MAX_TOKEN else None
