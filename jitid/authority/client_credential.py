"""The credential with which a client authenticates: from a file or a descriptor, private to its owner."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from jitid.errors import IntegrityError, RefusedError, UsageError
from jitid.redaction.token_format import MAX_TOKEN, bare
from jitid.system import time_limit
from jitid.system.files import trusted_uids
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.values.secret import Secret

_ROOM = 4_096
"""Maximum bytes of white space around the credential."""
_OTHERS = 0o077
_OTHERS_OF_SYSTEMD = 0o037
"""An ACL names the readers of a systemd credential; the mask of the ACL shows as the group permissions."""


class FileCredential:
    """A credential in a file, read at each use, since a successor may replace it at any time."""

    def __init__(self, path: str, *, systemd: bool = False) -> None:
        """With `systemd`, systemd wrote the file and controls read access."""
        self.place = f"the file {path}"
        """The place of the credential, for messages."""
        self._path = path
        self._forbidden_mode_bits = _OTHERS_OF_SYSTEMD if systemd else _OTHERS

    def read(self) -> Secret:
        """Return the current credential.

        Raises:
            IntegrityError: other users may read or write the file.
            RefusedError: the file belongs to another user.
            UsageError: the file cannot be read, or does not contain a credential.

        """
        label = f"the credential file {quote(self._path, 200)}"
        try:
            # O_NONBLOCK: a named pipe at the path must not block the command.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            from jitid.capabilities.run.token_place import unreadable_hint

            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no path"
            hint = unreadable_hint(self._path, error) if isinstance(error, OSError) else None
            raise UsageError(f"{label} cannot be read: {reason.lower()}", hint) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{label} is no plain file", "for a pipe there is --credential-fd")
            if status.st_mode & self._forbidden_mode_bits:
                raise IntegrityError(
                    f"{label} is open to others (mode {stat.S_IMODE(status.st_mode):03o}); nothing was asked",
                    f"chmod 600 {self._path}; and whoever could read it may have it: replace the credential",
                )
            if status.st_uid not in trusted_uids():
                raise RefusedError(f"{label} belongs to another user", "name a file of your own")
            return _secret(_read(descriptor), label)
        finally:
            os.close(descriptor)


class DescriptorCredential:
    """A credential that is read from a descriptor, once."""

    def __init__(self, descriptor: int) -> None:
        self.place = f"descriptor {descriptor}"
        """The place of the credential, for messages."""
        self._descriptor = descriptor
        self._found: Secret | None = None

    def read(self) -> Secret:
        """Return the credential. Raises UsageError if there is none."""
        if self._found is None:
            label = f"the credential at descriptor {self._descriptor}"
            try:
                data = _read(self._descriptor)
            except OSError as error:
                reason = (error.strerror or "error").lower()
                raise UsageError(
                    f"{label} cannot be read: {reason}", "such as --credential-fd 3 3<FILE"
                ) from None
            self._found = _secret(data, label)
        return self._found


ClientCredential = FileCredential | DescriptorCredential


def _read(descriptor: int) -> bytes:
    pieces = []
    remaining = MAX_TOKEN + _ROOM
    with time_limit.Pause():
        while remaining and (piece := os.read(descriptor, remaining)):
            pieces.append(piece)
            remaining -= len(piece)
    return b"".join(pieces)


def _secret(data: bytes, label: str) -> Secret:
    from jitid.values.secret import Secret

    text = bare(data.decode("ascii", "replace"))
    # In a header, a line break would begin another header.
    if not text or len(text) > MAX_TOKEN or any(not "!" <= character <= "~" for character in text):
        raise UsageError(f"{label} is none: a credential is one line of visible ASCII characters")
    return Secret.single(text)
