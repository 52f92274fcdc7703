"""Key sets of foreign issuers (RFC 7517): read from a file, or fetched with limits and cached."""

from __future__ import annotations

import os
import stat
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from jitid.errors import ConfigurationError, IntegrityError, JitidError, StorageError
from jitid.system import time_limit
from jitid.values import strict_json
from jitid.values.text import quote, safe

if TYPE_CHECKING:
    from jitid.system.authority_address import Address

MAX_KEY_SET = 1024 * 1024
"""The maximum size of a key set in bytes."""

FRESH = 300.0
"""Seconds that a fetched key set is fresh. For as long again it is still used while a new one is fetched."""

AGAIN = 30.0
"""The minimum number of seconds between fetches because of an unknown key id."""

PAUSE = 5.0
"""Seconds without a fetch after a failure."""

LONGEST = 10.0
"""The maximum duration of a fetch in seconds, even if the caller's timeout is longer."""

WAITING = 1.0
"""Other threads wait for a fetch until this number of seconds after its beginning."""

KeySet = list[dict[str, Any]]


def key_set(location: str, timeout: float, kid: str | None = None, authorities: str | None = None) -> KeySet:
    """Return the keys at an absolute path, or the cached keys of an https address.

    `authorities` is a file of CA certificates (PEM) that replaces the system's.

    A process that verifies many tokens fetches an address once in five minutes, and once more for a `kid` that is not
    among the keys: issuers publish a new key before they sign with it, or soon after. One thread fetches, and the
    others use the cached keys meanwhile. So tokens with made-up key ids can neither flood an issuer with requests nor
    block other callers while an issuer hangs.

    Raises ConfigurationError if the place has no valid key set, and StorageError if it cannot be reached.
    """
    if location.startswith("/"):
        return read_key_set(location, timeout)
    source = _PLACES.setdefault((location, authorities), _FetchedAddress(location, authorities))
    return source.keys(timeout, kid)


class _FetchedAddress:
    """The cached key set of one address."""

    def __init__(self, address: str, authorities: str | None = None) -> None:
        self._address = address
        self._authorities = authorities
        self._fetching = Lock()
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._requested_at = 0.0
        self._began: float | None = None
        """When the current fetch began; None without a fetch."""
        self._failure: JitidError | None = None

    def keys(self, timeout: float, kid: str | None) -> KeySet:
        now = monotonic()
        keys = self._serving(now)
        if keys is not None and not self._is_due(keys, now, kid):
            return keys
        seconds = time_limit.left(min(timeout, LONGEST))
        if not self._fetching.acquire(blocking=False):
            if keys is not None:
                return keys
            # A thread may wait for a hanging issuer. If all threads waited, none could serve requests that need no key
            # set.
            wait = min(seconds, WAITING) - (0.0 if self._began is None else now - self._began)
            if not self._fetching.acquire(timeout=max(0.0, wait)):
                raise StorageError(
                    f"the key set {quote(self._address)} is still being fetched: its server is slow",
                    "try again later",
                )
        try:
            return self._refresh(seconds, kid)
        finally:
            self._fetching.release()

    def _serving(self, now: float) -> KeySet | None:
        return self._keys if now < self._fetched_at + 2 * FRESH else None

    def _is_due(self, keys: KeySet, now: float, kid: str | None) -> bool:
        if now < self._requested_at + PAUSE:
            return False
        if now >= self._fetched_at + FRESH:
            return True
        return (
            kid is not None
            and now >= self._requested_at + AGAIN
            and all(key.get("kid") != kid for key in keys)
        )

    def _refresh(self, timeout: float, kid: str | None) -> KeySet:
        # The previous holder of the lock may have fetched the key already, or may have failed just now.
        now = monotonic()
        keys = self._serving(now)
        if keys is not None and not self._is_due(keys, now, kid):
            return keys
        if keys is None and self._failure is not None and now < self._requested_at + PAUSE:
            raise type(self._failure)(self._failure.message, self._failure.hint)
        self._requested_at = self._began = now
        try:
            self._keys = read_key_set(self._address, timeout, self._authorities)
        except JitidError as failure:
            self._failure = failure
            self._requested_at = monotonic()
            if keys is None:
                raise
            return keys
        finally:
            self._began = None
        self._failure = None
        self._fetched_at = monotonic()
        return self._keys


_PLACES: dict[tuple[str, str | None], _FetchedAddress] = {}
"""The caches by address and file of CA certificates. All addresses are from the configuration, so there are few."""


def read_key_set(location: str, timeout: float, authorities: str | None = None) -> KeySet:
    """Return the keys of the JWK set (RFC 7517, section 5) at an absolute path or an https address, without a cache.

    Raises ConfigurationError if the place has no valid key set, and StorageError if it cannot be reached.
    """
    data = _read_file(location) if location.startswith("/") else _fetch(location, timeout, authorities)
    name = f"the key set {quote(location)}"
    if len(data) > MAX_KEY_SET:
        raise ConfigurationError(f"{name} is larger than {MAX_KEY_SET} bytes")
    try:
        document = strict_json.loads(data, name)
    except strict_json.StrictJSONError as error:
        raise ConfigurationError(str(error)) from None
    keys = document.get("keys") if type(document) is dict else None
    if type(keys) is not list or not all(type(key) is dict for key in keys):
        raise ConfigurationError(f"{name} is not a JSON object with a list of keys")
    kids = [key["kid"] for key in keys if "kid" in key]
    if not all(type(kid) is str for kid in kids) or len(set(kids)) != len(kids):
        raise ConfigurationError(f"{name} has a duplicate key id, or a key id that is not a string")
    return keys


def _read_file(path: str) -> bytes:
    name = f"the key set {quote(path)}"
    try:
        # Without O_NONBLOCK, opening a pipe would block until a writer opens it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "invalid path"
        raise ConfigurationError(f"{name} cannot be opened: {reason}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigurationError(f"{name} is not a regular file")
        if mode & stat.S_IWOTH:
            # A user who can write the key set can sign tokens for any name.
            raise ConfigurationError(f"{name} can be written by every user", f"chmod o-w {safe(path)}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_KEY_SET + 1)
    finally:
        os.close(descriptor)


def check_address(address: str) -> bool:
    """Return whether the address is on the loopback interface, rather than an https address elsewhere.

    Raises ConfigurationError for an address that is neither https nor on this machine.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address)
        loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
        valid = parts.hostname and parts.username is None and (parts.port or 1)
    except ValueError:
        valid = False
    if not valid or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise ConfigurationError(
            f"the location of the key set, {quote(address)}, is neither a path nor an https URL",
            "http is accepted on this machine only: http://127.0.0.1:PORT/",
        )
    return loopback


def _fetch(address: str, timeout: float, authorities: str | None) -> bytes:
    """Return the response body of an address, truncated just above the maximum size of a key set.

    Redirections are not followed: they could lead into a network that only this machine can reach (CWE-918), or to
    keys that are not configured.
    """
    from contextlib import closing

    from jitid.system.http import Channel, LostError, proxy_for

    loopback = check_address(address)
    try:
        endpoint, host, target = parts_of(address)
        # A request to this machine must not go through a proxy: without TLS, nothing would protect it there.
        proxy = None if loopback else proxy_for(endpoint.scheme, host)
        headers = {"Host": host, "Accept": "application/json", "User-Agent": "jitid", "Connection": "close"}
        with closing(Channel(endpoint, authorities, proxy=proxy)) as channel:
            answer = channel.exchange("GET", target, None, headers, seconds=timeout)
            if not 200 <= answer.status < 300:
                raise StorageError(
                    f"the server of the key set {quote(address)} answered with status {answer.status}"
                )
            return answer.read_past(MAX_KEY_SET)
    except (LostError, IntegrityError, ValueError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, TimeoutError):
            message = f"the key set {quote(address)} was not fetched within {timeout:g} seconds"
        else:
            message = f"the key set {quote(address)} cannot be fetched: {type(cause).__name__}"
        raise StorageError(message) from None


def parts_of(address: str) -> tuple[Address, str, str]:
    """Return the endpoint, the host with port as written, and the request target of a checked address."""
    from urllib.parse import urlsplit

    from jitid.system.authority_address import PORTS, Address

    parts = urlsplit(address)
    name = parts.hostname or ""
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    endpoint = Address(parts.scheme, f"[{name}]" if ":" in name else name, port, "")
    # The target is cut from the original text: `urlsplit` removes line breaks, and such an address must be refused.
    target = address.partition("://")[2].partition("#")[0].removeprefix(parts.netloc)
    return endpoint, parts.netloc, target if target.startswith("/") else f"/{target}"
