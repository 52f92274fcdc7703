"""The identities that a server has handed out, each with a token file until it is taken back.

And the limits of an agent: its number of identities, and its rate of writes to the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from jitid.capabilities.run.token_place import private_folder
from jitid.errors import JitidError
from jitid.system.files import write_private
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued


class Handed(Record):
    """An identity that was handed out."""

    id: str
    jti: str
    agent: str
    task: str
    scopes: tuple[str, ...]
    expires_at: int
    """As known here: the holder of the token may have renewed it."""
    token_file: str | None
    """None if the token could not be written."""


class HandedOut:
    """The identities that a server has handed out and not taken back, and the folder with their tokens."""

    def __init__(self) -> None:
        self._by_id: dict[str, Handed] = {}
        self._folder: str | None = None
        self._unshown: str | None = None
        """The id of the identity whose answer has not been written yet."""

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Handed]:
        """Return the identities, oldest first."""
        return list(self._by_id.values())

    def unshown(self) -> list[Handed]:
        """Return the identity whose answer has not been written."""
        return [] if self._unshown is None else [self._by_id[self._unshown]]

    def shown(self) -> None:
        """Record that the answer was written."""
        self._unshown = None

    def add(self, issued: Issued) -> None:
        """Write the token of a new identity to a separate file, mode 0600 in a folder 0700.

        Raises OutputError and StorageError; the identity is recorded all the same, since it may be valid.
        """
        (credential,) = issued.credentials
        identity = Handed(
            credential.id, credential.jti, issued.agent, issued.task, issued.scopes, issued.expires_at, None
        )
        self._by_id[identity.id] = identity
        self._unshown = identity.id
        if self._folder is None:
            self._folder = private_folder()
        path = os.path.join(self._folder, identity.id)
        write_private(path, f"{credential.secret.reveal()}\n".encode())
        self._by_id[identity.id] = identity._replace(token_file=path)

    def drop(self, id_: str) -> None:
        """Delete the entry and the file of an ended identity; an unknown id is ignored."""
        identity = self._by_id.pop(id_, None)
        if identity is not None and identity.token_file is not None:
            # The program that used the token may have deleted the file, and the token is no longer valid anyway.
            with suppress(OSError):
                os.unlink(identity.token_file)
        if self._unshown == id_:
            self._unshown = None

    def drop_expired(self, now: float, expiry_of: Callable[[str], int | None]) -> None:
        """Delete the entries that have expired at `now`, unless they were renewed.

        `expiry_of` returns the current expiry of an identity; None if it has ended. If it fails, the remaining entries
        stay.
        """
        for identity in [entry for entry in self._by_id.values() if entry.expires_at <= now]:
            try:
                expires_at = expiry_of(identity.id)
            except JitidError:
                return
            if expires_at is None:
                self.drop(identity.id)
            else:
                self._by_id[identity.id] = identity._replace(expires_at=expires_at)

    def close(self) -> None:
        """Remove the folder, unless it contains tokens of identities that stay valid."""
        if self._folder is not None:
            with suppress(OSError):
                os.rmdir(self._folder)


RESERVE = 10
"""Maximum burst, in seconds of the allowed rate, after a pause of the same length."""


class CallPace:
    """A rate limit: `rate` calls per second on average, and at most those of `RESERVE` seconds at once."""

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        """`clock` returns seconds, and never goes back."""
        self._rate = rate
        self._clock = clock
        self._most = float(rate * RESERVE)
        self._left = self._most
        self._at = clock()

    def take(self) -> float:
        """Count a call and return 0; beyond the limit, return the seconds until the next call is allowed."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class LimitError(JitidError):
    """A request of the agent beyond its limits; a retry may succeed later."""

    code = "limit"
    retryable = True

    def __init__(self, message: str, hint: str, seconds: float) -> None:
        super().__init__(message, hint)
        self.seconds = seconds
        """Seconds until a retry may succeed."""


class AgentLimits(Record):
    """The limits of an agent at one server."""

    most: int
    """Maximum number of identities that are handed out at once."""
    rate: int
    """Average number of writes to the ledger per second."""
    keep: bool
    """Whether the identities stay valid when the server ends."""
