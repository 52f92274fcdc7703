"""What a server has handed out: a file with a token for each identity, until it is taken back."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from jitid.capabilities.run.token_place import private_folder
from jitid.errors import JitidError
from jitid.system.files import write_private

if TYPE_CHECKING:
    from jitid.capabilities.issue.issuance import Issued


class Handed(NamedTuple):
    """An identity that was handed out."""

    id: str
    jti: str
    agent: str
    task: str
    scopes: tuple[str, ...]
    expires_at: int
    """As far as is known here: whoever holds its token may have renewed it."""
    token_file: str | None
    """None if the token could not be written."""


class HandedOut:
    """The identities that a server has handed out and not taken back, and the folder with their tokens."""

    def __init__(self) -> None:
        self._by_id: dict[str, Handed] = {}
        self._folder: str | None = None
        self._unshown: str | None = None
        """The one that nobody has been told of yet."""

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Handed]:
        """Return them, the oldest first."""
        return list(self._by_id.values())

    def unshown(self) -> list[Handed]:
        """Return the one that was made for an answer that has not been written."""
        return [] if self._unshown is None else [self._by_id[self._unshown]]

    def shown(self) -> None:
        """Note that the answer was written."""
        self._unshown = None

    def add(self, issued: Issued) -> None:
        """Write the token of what was issued to a file of its own, mode 0600 in a folder 0700.

        Raises OutputError and StorageError; it is among those handed out all the same, since it may live.
        """
        (credential,) = issued.credentials
        one = Handed(
            credential.id, credential.jti, issued.agent, issued.task, issued.scopes, issued.expires_at, None
        )
        self._by_id[one.id] = one
        self._unshown = one.id
        if self._folder is None:
            self._folder = private_folder()
        path = os.path.join(self._folder, one.id)
        write_private(path, f"{credential.secret.reveal()}\n".encode())
        self._by_id[one.id] = one._replace(token_file=path)

    def drop(self, id_: str) -> None:
        """Forget one that has ended, with its file; one that was not handed out here is no error."""
        one = self._by_id.pop(id_, None)
        if one is not None and one.token_file is not None:
            # Whoever has used it up may have tidied up, and the token is dead anyway.
            with suppress(OSError):
                os.unlink(one.token_file)
        if self._unshown == id_:
            self._unshown = None

    def drop_expired(self, now: float, expiry_of: Callable[[str], int | None]) -> None:
        """Forget those that have expired at `now`; `expiry_of` tells when an id ends that was renewed, None for dead.

        What cannot be asked about stays.
        """
        for one in [each for each in self._by_id.values() if each.expires_at <= now]:
            try:
                expires_at = expiry_of(one.id)
            except JitidError:
                return
            if expires_at is None:
                self.drop(one.id)
            else:
                self._by_id[one.id] = one._replace(expires_at=expires_at)

    def close(self) -> None:
        """Remove the folder, unless there are files left of what lives on."""
        if self._folder is not None:
            with suppress(OSError):
                os.rmdir(self._folder)
