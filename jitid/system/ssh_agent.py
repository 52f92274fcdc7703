"""Keys given to an ssh-agent and taken from it, over its socket (the SSH agent protocol, RFC draft sshm-ssh-agent).

A key goes from memory to memory, with a lifetime: no disk has it, and the agent forgets it as its certificate ends.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from jitid.crypto import openssh
from jitid.crypto.openssh import Reader, string
from jitid.errors import IntegrityError, RefusedError, StorageError
from jitid.values.text import quote

# Section 6.1 of the draft.
_FAILURE = 5
_SUCCESS = 6
_REQUEST_IDENTITIES = 11
_IDENTITIES = 12
_REMOVE = 18
_ADD_CONSTRAINED = 25
_LIFETIME = b"\x01"

_LONGEST_ANSWER = 256 * 1024
"""OpenSSH's agent sends no more (AGENT_MAX_LEN)."""
_MOST = 2_048
_LONGEST_LIFETIME = 0xFFFFFFFF


class HeldKey(NamedTuple):
    """What an agent holds: a public key or a certificate, and what it was called when it was added."""

    blob: bytes
    comment: str


class AgentConnection:
    """A connection to an agent; each call waits for its answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def held(self) -> list[HeldKey]:
        """Return what the agent holds. Raises StorageError."""
        answer = self._ask(bytes([_REQUEST_IDENTITIES]))
        try:
            reader = Reader(answer)
            if reader.number(1) != _IDENTITIES:
                raise _unclear()
            count = reader.number(4)
            if count > _MOST:
                raise _unclear()
            return [
                HeldKey(reader.string(), reader.string().decode("utf-8", "replace")) for _ in range(count)
            ]
        except ValueError:
            raise _unclear() from None

    def add(self, key: str, certificate: str, lifetime: int, comment: str) -> bytes:
        """Give the agent a key with its certificate for so many seconds, and return what it is known by there.

        Args:
            key: the private key as OpenSSH's file has it, Ed25519 and without a passphrase.
            certificate: its certificate as a line.
            lifetime: seconds until the agent forgets it.
            comment: what the agent calls it.

        Raises:
            RefusedError: the agent does not take it: it is locked, or knows no certificates or no lifetimes.
            StorageError: it does not answer.

        """
        seed, public = openssh.parse_private(key)
        parsed = openssh.parse_certificate(certificate)
        # Section 4.2.6 of the draft, for certificates as OpenSSH does it: the certificate stands before the key.
        body = b"".join(
            [
                bytes([_ADD_CONSTRAINED]),
                string(parsed.key.certificate_type),
                string(parsed.blob),
                string(public),
                string(seed + public),
                string(comment),
                _LIFETIME,
                min(max(lifetime, 1), _LONGEST_LIFETIME).to_bytes(4),
            ]
        )
        if self._ask(body) != bytes([_SUCCESS]):
            raise RefusedError(
                "the ssh-agent does not take a key with a certificate and a lifetime",
                "it may be locked (ssh-add -X); or use the agent of OpenSSH: ssh-agent",
            )
        return parsed.blob

    def remove(self, blob: bytes) -> bool:
        """Take a key from the agent; return False if it was not there. Raises StorageError."""
        return self._ask(bytes([_REMOVE]) + string(blob)) == bytes([_SUCCESS])

    def _ask(self, body: bytes) -> bytes:
        try:
            self._connection.sendall(string(body))
            size = int.from_bytes(self._receive(4))
            if not 1 <= size <= _LONGEST_ANSWER:
                raise _unclear()
            return self._receive(size)
        except TimeoutError:
            raise StorageError("the ssh-agent does not answer", "see what SSH_AUTH_SOCK names") from None
        except OSError as error:
            raise StorageError(f"the connection to the ssh-agent was lost: {error.strerror}") from error

    def _receive(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            part = self._connection.recv(size - len(received))
            if not part:
                raise StorageError("the ssh-agent has closed the connection")
            received += part
        return received


def _unclear() -> StorageError:
    return StorageError(
        "what answers for the ssh-agent gives no answer of the protocol", "see what SSH_AUTH_SOCK names"
    )


@contextmanager
def connected(path: str, timeout: float) -> Iterator[AgentConnection]:
    """Yield a connection to the agent that listens at `path`; it waits `timeout` seconds for each answer at most.

    Raises:
        StorageError: nobody listens there.
        IntegrityError: somebody else does, who would get the keys.

    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no path"
            raise StorageError(
                f"no ssh-agent listens at {quote(path, 120)}: {reason.lower()}",
                "start one: eval $(ssh-agent); or see what SSH_AUTH_SOCK names",
            ) from None
        owner = _owner(connection, path)
        if owner not in (os.geteuid(), 0):
            raise IntegrityError(
                f"the ssh-agent at {quote(path, 120)} is another user's, who would get the key",
                "let SSH_AUTH_SOCK name your own",
            )
        yield AgentConnection(connection)


def _owner(connection: socket.socket, path: str) -> int:
    """Return the user who listens."""
    if hasattr(socket, "SO_PEERCRED"):
        form = struct.Struct("3i")  # process, user, group
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size)
        return int(form.unpack(found)[1])
    return os.stat(path).st_uid
