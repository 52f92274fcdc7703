"""Keys in an ssh-agent: added and removed over its socket (the SSH agent protocol, RFC draft sshm-ssh-agent).

A key goes from memory to memory, with a lifetime: no disk stores it, and the agent deletes it when its certificate
expires.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from jitid.crypto import openssh
from jitid.crypto.openssh import Reader, string
from jitid.errors import IntegrityError, RefusedError, StorageError
from jitid.values.record import Record
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
"""The maximum size of an answer of OpenSSH's agent (AGENT_MAX_LEN), in bytes."""
_MOST = 2_048
_LONGEST_LIFETIME = 0xFFFFFFFF


class HeldKey(Record):
    """A key in an agent: a public key or a certificate, with the comment from when it was added."""

    blob: bytes
    comment: str


class AgentConnection:
    """A connection to an agent; each call waits for its answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def held(self) -> list[HeldKey]:
        """Return the keys in the agent. Raises StorageError."""
        answer = self._request(bytes([_REQUEST_IDENTITIES]))
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
        """Add a key with its certificate to the agent for `lifetime` seconds; return the blob that identifies it.

        Args:
            key: the private key in the form of OpenSSH's file, Ed25519 and without a passphrase.
            certificate: its certificate as a line.
            lifetime: seconds until the agent deletes it.
            comment: the key's name in the agent.

        Raises:
            RefusedError: the agent refuses it: it is locked, or does not support certificates or lifetimes.
            StorageError: it does not answer.

        """
        seed, public = openssh.parse_private(key)
        parsed = openssh.parse_certificate(certificate)
        # Section 4.2.6 of the draft; for certificates as OpenSSH does it: the certificate precedes the key.
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
        if self._request(body) != bytes([_SUCCESS]):
            raise RefusedError(
                "the ssh-agent refuses a key with a certificate and a lifetime",
                "it may be locked (ssh-add -X); or use the ssh-agent of OpenSSH",
            )
        return parsed.blob

    def remove(self, blob: bytes) -> bool:
        """Remove a key from the agent; return False if the agent did not have it. Raises StorageError."""
        return self._request(bytes([_REMOVE]) + string(blob)) == bytes([_SUCCESS])

    def _request(self, body: bytes) -> bytes:
        try:
            self._connection.sendall(string(body))
            size = int.from_bytes(self._receive(4))
            if not 1 <= size <= _LONGEST_ANSWER:
                raise _unclear()
            return self._receive(size)
        except TimeoutError:
            raise StorageError("the ssh-agent does not answer", "check SSH_AUTH_SOCK") from None
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
    return StorageError("the answer of the ssh-agent is not of its protocol", "check SSH_AUTH_SOCK")


@contextmanager
def connected(path: str, timeout: float) -> Iterator[AgentConnection]:
    """Yield a connection to the agent that listens at `path`; each wait for data takes at most `timeout` seconds.

    Raises:
        StorageError: no agent listens there.
        IntegrityError: the agent belongs to another user, and that user would get the keys.

    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a path"
            raise StorageError(
                f"no ssh-agent listens at {quote(path, 120)}: {reason.lower()}",
                "start one: eval $(ssh-agent); or check SSH_AUTH_SOCK",
            ) from None
        owner = _owner(connection, path)
        if owner not in (os.geteuid(), 0):
            raise IntegrityError(
                f"the ssh-agent at {quote(path, 120)} belongs to another user, and would get the key",
                "set SSH_AUTH_SOCK to your own agent",
            )
        yield AgentConnection(connection)


def _owner(connection: socket.socket, path: str) -> int:
    """Return the id of the user who listens."""
    if hasattr(socket, "SO_PEERCRED"):
        form = struct.Struct("3i")  # process, user, group
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size)
        return int(form.unpack(raw)[1])
    return os.stat(path).st_uid
