"""A connection to a service: HTTP/1.1 over TLS, loopback or a Unix socket, with a time limit for every request.

A server must prove that it is the host of an https address, and no redirection is followed.

Connects directly, or to the proxy that HTTPS_PROXY names for the host.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from jitid.errors import ConfigurationError, IntegrityError, StorageError
from jitid.system import time_limit
from jitid.system.authority_address import Address
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    import ssl


class Proxy(Record):
    """A proxy that opens tunnels (RFC 9110, section 9.3.6)."""

    host: str
    port: int
    authorization: str | None
    """The value of the header Proxy-Authorization."""


def proxy_for(scheme: str, host_port: str) -> Proxy | None:
    """Return the proxy for a scheme and a host with its port; None without a proxy.

    Raises ValueError if the setting is not an address.
    """
    # Both functions only read the settings; they make no request.
    from urllib.request import getproxies, proxy_bypass

    setting = getproxies().get(scheme)
    if not setting or proxy_bypass(host_port):
        return None
    # The last `@` ends the password, which may contain `/`, `?` and `#`.
    login, _, address = setting.rpartition("://")[2].rpartition("@")
    parts = urlsplit(f"//{address}")
    if not parts.hostname:
        raise ValueError
    authorization = None
    name, _, password = login.partition(":")
    if name and password:
        from base64 import b64encode

        user = f"{unquote(name)}:{unquote(password)}"
        authorization = f"Basic {b64encode(user.encode()).decode()}"
    # A setting without a port means port 443 for every scheme: the library has always read it so.
    return Proxy(parts.hostname, 443 if parts.port is None else parts.port, authorization)


def connect(host: str, port: int, seconds_left: Callable[[], float]) -> socket.socket:
    """Return a socket that is connected to one of the addresses of a host.

    Args:
        host: its name, or an address without brackets.
        port: the port of the service.
        seconds_left: returns the seconds that are left for all of it. Raises TimeoutError if no time is left.

    Raises:
        OSError: none of its addresses can be reached; TimeoutError: not in time.

    """
    addresses = _resolved(host, port, seconds_left)
    while True:
        (family, kind, protocol, _, address), *addresses = addresses
        sock: socket.socket | None = None
        try:
            # If the kernel lacks an address family, addresses of another family may still be reachable.
            sock = socket.socket(family, kind, protocol)
            # An address that does not answer must leave time for the other addresses.
            sock.settimeout(seconds_left() / (1 + len(addresses)))
            sock.connect(address)
            sock.settimeout(seconds_left())
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not addresses or not isinstance(error, OSError):
                raise
        else:
            return sock


def _resolved(host: str, port: int, seconds_left: Callable[[], float]) -> list[Any]:
    """Return the addresses of a host like `socket.getaddrinfo`, at least one. Raises OSError."""
    with suppress(socket.gaierror, UnicodeError):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    results: Queue[list[Any] | OSError] = Queue()

    def resolve() -> None:
        try:
            results.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            results.put(error)
        except UnicodeError:
            # A label of it is too long for a name (RFC 1035, section 2.3.4).
            results.put(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    # A daemon thread: the resolver has its own time limits, and must not keep the process from ending.
    Thread(target=resolve, daemon=True).start()
    try:
        result = results.get(timeout=seconds_left())
    except Empty:
        raise TimeoutError from None
    if isinstance(result, OSError):
        raise result
    return result


LARGEST = 64 << 20
"""The maximum size of an answer that is read completely, in bytes."""
LONGEST_LINE = 16 << 20
"""The maximum size of a line of a streamed answer, in bytes."""
_FRESH = 2.0
"""Seconds that an idle connection is reused: a service closes idle connections, and a request must not meet that."""
_PIECE = 1 << 16


class Words(Record):
    """The texts in error messages for a service and its settings."""

    service: str
    """The service with its article: `the authority`."""
    elsewhere: str
    """What to do if it redirects its callers."""
    authorities: str
    """The setting that names its certificates."""
    slow: str
    """What to do if it does not answer in time."""
    unreachable: str
    """What to do if it cannot be reached."""
    large: str
    """What to do if its answer is too large."""


AUTHORITY = Words(
    "the authority",
    "use the final address: --remote URL",
    "the setting remote_ca",
    "wait longer with --timeout, or try again",
    "is the authority running there? see: jitid doctor",
    "request less: --limit",
)


class LostError(StorageError):
    """The connection failed or broke."""

    def __init__(self, message: str, hint: str | None = None, *, sent: bool) -> None:
        """`sent`: whether the service may have seen the request, and acted on it."""
        super().__init__(message, hint)
        self.sent = sent


class Answer:
    """An answer whose body is still unread."""

    def __init__(self, response: http.client.HTTPResponse, channel: Channel) -> None:
        self._response = response
        self._channel = channel
        self._service = channel.words.service
        self.status = response.status
        self.kind = (response.getheader("content-type") or "").partition(";")[0].strip().lower()

    @property
    def ends(self) -> bool:
        """Whether it states where its body ends. If not, a truncated body looks complete (RFC 9112, section 6.3)."""
        return self._response.length is not None or bool(self._response.chunked)

    def header(self, name: str) -> str | None:
        """Return a header of the answer."""
        return self._response.getheader(name)

    def read(self, max_size: int | None = None) -> bytes:
        """Return the whole body. Raises LostError, and StorageError if it is larger than `max_size` bytes."""
        max_size = LARGEST if max_size is None else max_size
        body = self.read_past(max_size)
        if len(body) > max_size:
            self._channel.close()
            raise StorageError(
                f"{self._service}'s answer is larger than {max_size >> 20} MiB", self._channel.words.large
            )
        return body

    def read_past(self, limit: int) -> bytes:
        """Return the whole body, or a beginning that is longer than `limit` if the body is longer.

        Raises LostError.
        """
        pieces: list[bytes] = []
        size = 0
        with self._channel.watched(sent=True):
            while size <= limit and (piece := self._response.read(_PIECE)):
                pieces.append(piece)
                size += len(piece)
        return b"".join(pieces)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the body as they arrive. Raises LostError, also if the body breaks off."""
        partial_line = bytearray()
        while True:
            with self._channel.watched(sent=True):
                piece = self._response.read1(_PIECE)
            if not piece:
                break
            *endings, beginning = piece.split(b"\n")
            for line in endings:
                yield bytes(partial_line + line)
                partial_line.clear()
            partial_line += beginning
            if len(partial_line) > LONGEST_LINE:
                raise StorageError(
                    f"a line of {self._service}'s answer is longer than {LONGEST_LINE >> 20} MiB"
                )
        if partial_line:
            raise LostError(f"{self._service}'s answer broke off in a line", sent=True)


class Channel:
    """A connection that makes one request after another."""

    def __init__(
        self,
        address: Address,
        authorities: str | None = None,
        words: Words = AUTHORITY,
        proxy: Proxy | None = None,
    ) -> None:
        """Prepare a channel; the first request connects it.

        Args:
            address: the address of the service.
            authorities: a file of CA certificates (PEM) that replace the system's.
            words: the texts in error messages.
            proxy: opens a tunnel to an https address; it sees the host's name and port, and no request.

        """
        self.words = words
        self._address = address
        self._authorities = authorities
        self._proxy = proxy if address.is_encrypted else None
        self._context: ssl.SSLContext | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._used = 0.0
        self._end = 0.0
        self.sent = False
        """Whether the service may have seen the last request, and acted on it."""

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        seconds: float,
        thinking: float | None = None,
    ) -> Answer:
        """Make a request, and return its answer once its headers have arrived.

        All of it, including the body of the answer, must finish in `seconds`. With `thinking`, the time limit is that
        number of seconds after the request was sent.

        Raises:
            LostError: the service does not answer, or not in time.
            IntegrityError: the server does not prove that it is the host of the address.
            ConfigurationError: the answer is a redirection.
            StorageError: the answer has a content coding.

        """
        answer = self.exchange(method, path, body, headers, seconds=seconds, thinking=thinking)
        if 300 <= answer.status < 400:
            self.close()
            raise ConfigurationError(
                f"{self._address} redirects to another address, and redirections are never followed",
                self.words.elsewhere,
            )
        if answer.header("content-encoding") not in (None, "identity"):
            self.close()
            raise StorageError(f"{self.words.service}'s answer has an unexpected content coding")
        return answer

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        seconds: float,
        thinking: float | None = None,
    ) -> Answer:
        """Make a request as `request` does, but also return an answer that is a redirection or has a content coding.

        Raises LostError, and IntegrityError as `request` does. Their `__cause__` is the failure of the connection.
        """
        self._end = monotonic() + seconds
        self.sent = False
        connection = self._connection
        if connection is not None and (connection.sock is None or monotonic() - self._used > _FRESH):
            self.close()
        with self.watched(sent=False):
            connection = self._connection or self._connect()
        with self.watched(sent=True):
            self.sent = True
            try:
                connection.request(method, f"{self._prefix}{path}", body, dict(headers))
            except (BrokenPipeError, ConnectionResetError):
                # A service may refuse a request for its size before all of it was sent.
                if body is None or len(body) <= _PIECE:
                    raise
            if thinking is not None:
                self.extend(thinking)
            response = connection.getresponse()
        self._used = monotonic()
        return Answer(response, self)

    @property
    def secured_by(self) -> str | None:
        """The TLS version of the connection, such as `TLSv1.3`; None without TLS."""
        version = getattr(self._socket, "version", None)
        tls_version: str | None = None if version is None else version()
        return tls_version

    def extend(self, seconds: float) -> None:
        """Set the time limit for the unread rest to `seconds` from now."""
        self._end = monotonic() + seconds

    def close(self) -> None:
        """Close the connection, even if an answer is still being read."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def _prefix(self) -> str:
        return "" if self._address.is_socket else self._address.path

    def left(self) -> float:
        """Return the seconds that are left. Raises TimeoutError if no time is left."""
        seconds = time_limit.left(self._end - monotonic())
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def watched(self, *, sent: bool) -> _FailureWatch:
        """Return a context that translates failures of the connection into jitid's errors, and then closes it."""
        return _FailureWatch(self, sent=sent)

    def _connect(self) -> http.client.HTTPConnection:
        address = self._address
        connection = http.client.HTTPConnection(address.host.strip("[]") or "localhost", address.port or None)
        # By default it would reconnect without TLS.
        connection.auto_open = 0
        if address.is_socket:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(self.left())
            sock.connect(address.path)
        else:
            host, port = address.host.strip("[]"), address.port
            if self._proxy is not None:
                host, port = self._proxy.host, self._proxy.port
            sock = connect(host, port, self.left)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A request of several minutes must not wait for ever for a machine that is gone.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._proxy is not None:
                self._open_tunnel(sock, self._proxy)
            if address.is_encrypted:
                sock = self._secured(sock)
        connection.sock = _Timed(sock, self)
        self._connection, self._socket = connection, sock
        return connection

    def _open_tunnel(self, sock: socket.socket, proxy: Proxy) -> None:
        """Let the proxy connect a socket to the host (RFC 9110, section 9.3.6). Raises OSError and HTTPException."""
        host_port = f"{self._address.host}:{self._address.port}"
        lines = [f"CONNECT {host_port} HTTP/1.1", f"Host: {host_port}"]
        if proxy.authorization is not None:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        timed: Any = _Timed(sock, self)
        # The host sends no data before TLS begins: data that is read ahead here can only come from the proxy.
        answer = http.client.HTTPResponse(timed, method="CONNECT")
        try:
            timed.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
            answer.begin()
            if answer.status != http.client.OK:
                raise OSError(None, f"the proxy answered with status {answer.status}")
        except BaseException:
            sock.close()
            raise
        finally:
            answer.close()

    def _secured(self, sock: socket.socket) -> socket.socket:
        import ssl

        if self._context is None:
            try:
                # The system's certificates by default; the host's name is checked.
                context = ssl.create_default_context(cafile=self._authorities)
            except (OSError, ssl.SSLError) as error:
                sock.close()
                reason = error.strerror or "it has no certificate"
                raise ConfigurationError(
                    f"the certificates in {quote(self._authorities or '', 200)} cannot be used: {reason.lower()}",
                    f"see {self.words.authorities}",
                ) from None
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._context = context
        sock.settimeout(self.left())
        try:
            return self._context.wrap_socket(sock, server_hostname=self._address.host.strip("[]"))
        except ssl.SSLCertVerificationError as error:
            sock.close()
            # A retry would not help: another server answers there, or the certificate is wrong.
            raise IntegrityError(
                f"the server at {self._address} did not prove its identity: "
                f"{(error.verify_message or 'certificate not valid').lower()}; nothing was sent",
                "the certificate is invalid, or another server intercepts the connection; the check cannot be "
                f"disabled; to accept {self.words.service}'s own certificates: {self.words.authorities}",
            ) from error
        except ssl.SSLError as error:
            sock.close()
            raise IntegrityError(
                f"the server at {self._address} does not support TLS 1.2 or newer: "
                f"{(error.reason or 'error').lower().replace('_', ' ')}; nothing was sent"
            ) from error
        except BaseException:
            sock.close()
            raise


class _FailureWatch:
    """A block that translates failures of the connection."""

    def __init__(self, channel: Channel, *, sent: bool) -> None:
        self._channel = channel
        self._sent = sent

    def __enter__(self) -> None:
        try:
            self._channel.left()
        except TimeoutError as error:
            if not self._sent and time_limit.has_expired():
                # Nothing was sent: the service is not at fault.
                raise LostError(
                    f"{time_limit.EXPIRED}; nothing was sent", time_limit.MORE, sent=False
                ) from error
            # Python does not call `__exit__` for an error in `__enter__`.
            self.__exit__(TimeoutError, error, None)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        channel = self._channel
        channel.close()
        address = channel._address  # noqa: SLF001 - of this module
        if isinstance(error, TimeoutError):
            raise LostError(
                f"{address} did not answer in time", channel.words.slow, sent=self._sent
            ) from error
        if isinstance(error, (OSError, http.client.HTTPException)):
            reason = getattr(error, "strerror", None) or _WORDS.get(type(error).__name__, "it broke off")
            hint = channel.words.unreachable
            if isinstance(error, PermissionError) and address.is_socket and not self._sent:
                hint = _closed(address.path)
            raise LostError(
                f"{address} cannot be reached: {reason.lower()}"
                if not self._sent
                else f"the connection to {address} failed: {reason.lower()}",
                hint,
                sent=self._sent,
            ) from error


def _closed(path: str) -> str:
    """Return a hint with the group and the mode of a socket that this user may not connect to."""
    import grp

    try:
        status = os.stat(path)
    except OSError:
        return "this user may not connect: a folder above the socket does not let it in"
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"this user may not connect: the socket has the group {group} and the mode {status.st_mode & 0o777:04o}"


_WORDS = {
    "BadStatusLine": "the answer is not HTTP",
    "IncompleteRead": "the answer broke off",
    "LineTooLong": "a line of the answer is too long",
    "RemoteDisconnected": "it was closed without an answer",
}


class _Timed:
    """A socket; each wait on it ends with the time limit of the request.

    It is closed when its last user is done: http.client closes its connection before it reads the body of a last
    answer.
    """

    def __init__(self, sock: socket.socket, channel: Channel) -> None:
        self._socket = sock
        self._channel = channel
        self._users = 1
        self._left = False

    def sendall(self, data: Any) -> None:  # noqa: ANN401 - any data that http.client sends
        """Send all of `data` within the time limit."""
        self._socket.settimeout(self._channel.left())
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a reader of the socket."""
        self._users += 1
        return io.BufferedReader(_BodyReading(self), _PIECE)

    def receive(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """Read the available bytes within the time limit."""
        self._socket.settimeout(self._channel.left())
        return self._socket.recv_into(buffer)

    def close(self) -> None:
        """Release the socket for the connection; readers of the body continue."""
        if not self._left:
            self._left = True
            self.leave()

    def leave(self) -> None:
        """Count one user less, and close the socket after the last one."""
        self._users -= 1
        if not self._users:
            self._socket.close()


class _BodyReading(io.RawIOBase):
    def __init__(self, source: _Timed) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        return self._source.receive(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._source.leave()


def new_key() -> str:
    """Return an idempotency key for a request (a UUID of version 4, RFC 9562, section 5.4)."""
    from uuid import UUID

    return str(UUID(bytes=os.urandom(16), version=4))
