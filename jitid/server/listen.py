"""Listening sockets of the service."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from contextlib import suppress
from ipaddress import ip_address
from shlex import quote as word

from jitid.errors import ConfigurationError, IntegrityError, StorageError, UsageError
from jitid.system.files import changeable, trusted_uids
from jitid.values.text import quote

_BACKLOG = 1024


def parse_bind(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `[IPV6]:PORT` or `PORT`. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host = "127.0.0.1"
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    # At most five digits, since `int` is slow for long texts.
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5) or int(port) > 65_535:
        raise UsageError(f"{quote(text, 200)} is no place to listen", "such as 127.0.0.1:8477 or [::1]:8477")
    return host, int(port)


def listen(host: str, port: int, *, encrypted: bool) -> list[socket.socket]:
    """Return listening sockets for a host and a port.

    Raises:
        UsageError: without TLS the address is not loopback; or there is no such host, or it cannot be used.
        StorageError: another process uses the port.

    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        # A text that cannot be a DNS name is not looked up.
        reason = error.strerror if isinstance(error, OSError) else "no name of a host"
        raise UsageError(f"there is no address {quote(host, 200)}: {reason}") from None
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in infos))
    if not encrypted and not all(_is_loopback(str(address[0])) for _, address in addresses):
        raise UsageError(
            f"on {quote(host, 200)} others could listen in: without TLS there is only loopback",
            "give --tls-cert and --tls-key, or bind to 127.0.0.1 behind what ends TLS",
        )
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            if port == 0 and sockets:
                # All sockets use the port that the first one got.
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            sockets.append(_bound(family, address))
    except BaseException:
        for listening in sockets:
            listening.close()
        raise
    return sockets


def _is_loopback(address: str) -> bool:
    # The interface follows the percent sign.
    return ip_address(address.partition("%")[0]).is_loopback


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        where = f"{address[0]}, port {address[1]}"
        if error.errno == errno.EADDRINUSE:
            raise StorageError(
                f"somebody else listens on {where} already", "end it, or choose another port with --bind"
            ) from None
        raise UsageError(f"{where} cannot be had: {(error.strerror or 'error').lower()}") from None
    return listening


def listen_at(path: str, mode: int) -> socket.socket:
    """Return a listening Unix socket at a path; a socket without a listener is replaced.

    Raises:
        UsageError: another kind of file is there, or the socket cannot be created.
        IntegrityError: other users could replace it.
        StorageError: another process listens there.

    """
    folder = os.path.dirname(path) or "."
    _check_folder(folder)
    if len(os.fsencode(path)) > 107:
        raise UsageError(f"the path {quote(path, 200)} is longer than the 107 bytes that a socket's can have")
    _clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        # The socket listens only after its mode is set, so no client connects before.
        old_umask = os.umask(0o777 & ~mode)
        try:
            listening.bind(path)
        finally:
            os.umask(old_umask)
        os.chmod(path, mode)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"no socket can be made at {quote(path, 200)}: {(error.strerror or 'error').lower()}"
        ) from None
    return listening


def _check_folder(folder: str) -> None:
    try:
        status = os.stat(folder)
    except OSError as error:
        raise UsageError(
            f"the folder {quote(folder, 200)} of the socket: {(error.strerror or 'error').lower()}",
            "make it first, for the service's user alone to write to",
        ) from None
    if status.st_uid not in trusted_uids():
        raise IntegrityError(
            f"the folder {quote(folder, 200)} of the socket belongs to another user, who could replace it",
            "choose one that belongs to the service's user",
        )
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise IntegrityError(
            f"the folder {quote(folder, 200)} of the socket may be written by others (mode "
            f"{stat.S_IMODE(status.st_mode):03o}), who could replace it",
            f"chmod go-w {folder}",
        )
    exposed_path = changeable(os.path.abspath(folder))
    if exposed_path is not None:
        raise IntegrityError(
            f"other users can change {quote(exposed_path, 200)}, and so the folder {quote(folder, 200)} of the socket",
            f"chmod go-w {word(exposed_path)}, and let root or the service's user own it",
        )


def _clear(path: str) -> None:
    """Delete a socket that has no listener any more."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{quote(path, 200)}: {(error.strerror or 'error').lower()}") from None
    if not stat.S_ISSOCK(status.st_mode):
        raise UsageError(f"{quote(path, 200)} is there and is no socket; it was left as it is")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        except OSError:
            pass
    raise StorageError(
        f"somebody listens at {quote(path, 200)} already", "end it, or choose another path with --socket"
    )


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the TLS server context: version 1.2 or later only (RFC 9325).

    Raises:
        ConfigurationError: certificate or key cannot be used.
        IntegrityError: others can read the key.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Read certificate and key again. Raises the errors of `server_context`; then the old ones stay in use."""
    try:
        status = os.stat(key)
        # Its group may read it: certificate tools use a dedicated group.
        if status.st_mode & 0o037:
            raise IntegrityError(
                f"the TLS key {quote(key, 200)} is open to others (mode {stat.S_IMODE(status.st_mode):03o})",
                f"chmod 600 {key}",
            )
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"{quote(certificate, 200)} and {quote(key, 200)} are no certificate with its key: "
            f"{(error.reason or 'unreadable').lower().replace('_', ' ')}"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationError(
            f"the TLS certificate or its key cannot be read: {(reason or 'it has a password').lower()}",
            f"they are {quote(certificate, 200)} and {quote(key, 200)}",
        ) from None


def _no_password() -> str:
    # Without this, OpenSSL would prompt for the password on a terminal.
    raise ValueError("the key has a password")
