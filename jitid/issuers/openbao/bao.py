"""OpenBao, or Vault, over its HTTP interface: one request after the other, all within the time of the call.

Redirects are not followed, certificates are always verified, and a token is sent only to the configured address.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import Any, Self
from urllib.parse import quote as percent
from urllib.parse import urlencode

from jitid.errors import (
    ConfigurationError,
    IntegrityError,
    JitidError,
    RefusedError,
    StorageError,
    UsageError,
)
from jitid.issuers.openbao import login as openbaologin
from jitid.issuers.openbao.login import BaoLogin, Login, Reply, plain, unclear
from jitid.issuers.target_issuer import TargetOption
from jitid.model.target import Target
from jitid.system import time_limit
from jitid.system.authority_address import parse_address
from jitid.system.http import Channel, LostError, Words

OPTIONS: Mapping[str, TargetOption] = {
    "address": TargetOption("text", "where it is: https://HOST:8200", required=True),
    "ca_file": TargetOption("place", "the certificates (PEM) that vouch for it instead of the system's"),
    "namespace": TargetOption("text", "the namespace that everything is in"),
    **openbaologin.OPTIONS,
}

LARGEST = 64 << 20
"""Maximum bytes of a list: names of a million leases."""
_LARGE = 1 << 20
"""Maximum bytes of any other answer."""
_CLOSE_SECONDS = 2.0
"""Maximum seconds for revoking the login's token on close."""
_SECRET_MEMBERS = ("secret_id", "jwt")
"""The secret members of a login request."""
_ABSENT = ("no handler for route", "No secret engine mount", "unknown role", "unsupported path")


class OpenBao:
    """The server of one target."""

    def __init__(self, target: Target, timeout: float) -> None:
        """Raise ConfigurationError if the target's table is invalid."""
        self.target = target
        self._timeout = timeout
        options = target.options
        try:
            self.address = parse_address(str(options["address"]))
        except UsageError as error:
            raise ConfigurationError(
                f"the address of the target {target.name} cannot be meant: {error.message}",
                "write https://HOST:8200, or http://127.0.0.1:8200 on this machine",
            ) from None
        self.words = Words(
            f"the target {target.name}",
            f"set `address` of the target {target.name} to the server itself",
            f"`ca_file` of the target {target.name}",
            f"try again, or raise `timeout` of the target {target.name}",
            f"is the server of the target {target.name} running there?",
            "too much is there to be listed at once",
        )
        self.headers = {"Accept": "application/json", "X-Vault-Request": "true"}
        if options.get("namespace"):
            self.headers["X-Vault-Namespace"] = plain(options["namespace"], "namespace", target)
        self.access = BaoLogin(target)
        self._idle: deque[Channel] = deque()

    def call(self) -> BaoCall:
        """Return the object that makes the requests of one call; its time limit starts now."""
        return BaoCall(self, monotonic() + time_limit.left(self._timeout))

    def connect(self) -> Channel:
        """Return a connection that no other call uses."""
        try:
            return self._idle.pop()
        except IndexError:
            return Channel(self.address, self.target.options.get("ca_file"), self.words)

    def put_back(self, channel: Channel) -> None:
        """Keep a connection for the next call."""
        self._idle.append(channel)

    def close(self) -> None:
        """Revoke the login's token, if the server answers at once, and close the connections."""
        token = self.access.give_back()
        try:
            if token is not None:
                with BaoCall(self, monotonic() + min(_CLOSE_SECONDS, self._timeout)) as call:
                    call.bare("POST", "auth/token/revoke-self", None, token)
        except (StorageError, ConfigurationError, IntegrityError):
            pass  # the token expires anyway
        finally:
            while self._idle:
                self._idle.pop().close()


class BaoCall:
    """The requests of one call of an issuer, which share its time."""

    def __init__(self, bao: OpenBao, deadline: float) -> None:
        self._bao = bao
        self._end = deadline
        self._channel = bao.connect()
        self.target = bao.target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bao.put_back(self._channel)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - monotonic()

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        most: int = _LARGE,
    ) -> Reply:
        """Make one request, with jitid's own token or another one, and return the reply.

        Raises StorageError if the server is unreachable, sealed, overloaded or gives no clear answer.
        """
        if token is not None:
            return self.bare(method, path, body, token, most)
        access = self._bao.access
        login = access.get(self.bare)
        reply = self.bare(method, path, body, login.token, most)
        # The token may have been revoked early. A refused request had no effect, so it may be repeated.
        if reply.status == 403 and not self._is_alive(login):
            new_login = access.get(self.bare, instead=login)
            if new_login.token != login.token:
                return self.bare(method, path, body, new_login.token, most)
        return reply

    def names(self, path: str) -> list[str]:
        """Return the names in a list; empty if the server has none. Raises as `request`, and RefusedError."""
        reply = self.request("LIST", path, most=LARGEST)
        if reply.status == 404:
            return []
        if not reply.good:
            raise self.refused(reply, f"to list {path}", path, ("list", "sudo"))
        keys = reply.data.get("keys")
        if type(keys) is not list or not all(type(key) is str for key in keys):
            raise unclear(self.target, "a list without names")
        return keys

    def refused(self, reply: Reply, action: str, path: str, capabilities: tuple[str, ...]) -> JitidError:
        """Return the error for a refusal: RefusedError, or ConfigurationError if the path does not exist."""
        message = f"the target {self.target.name} refuses {action}: {self.error_text(reply)}"
        if reply.status == 403:
            required = ", ".join(f'"{capability}"' for capability in capabilities)
            return RefusedError(message, f'its policy needs: path "{path}" {{ capabilities = [{required}] }}')
        if reply.status in (404, 405) or any(reply.mentions(words) for words in _ABSENT):
            return ConfigurationError(message, f"see the table [target.{self.target.name}]")
        return RefusedError(message)

    def error_text(self, reply: Reply) -> str:
        """Return the server's error messages, in one line that is safe to show."""
        return reply.error_text(self._bao.access.token)

    def life(self) -> float | None:
        """Return the remaining seconds of the login; None if it does not expire."""
        login = self._bao.access.get(self.bare)
        if login.ours:
            return None if login.until is None else login.until - monotonic()
        reply = self.request("GET", "auth/token/lookup-self")
        if not reply.good:
            raise self.refused(reply, "to look at its own token", "auth/token/lookup-self", ("read",))
        ttl = reply.data.get("ttl")
        if type(ttl) is not int or ttl < 0:
            raise unclear(self.target, "a token without a life")
        return ttl or None

    def keep_login(self) -> None:
        """Keep the login on close: tokens made with it would end with it."""
        self._bao.access.kept = True

    def bare(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        token: str | None,
        most: int = _LARGE,
    ) -> Reply:
        """Make one request with the given token, or without one."""
        headers = self._bao.headers if token is None else {**self._bao.headers, "X-Vault-Token": token}
        url_path = f"/v1/{percent(path, safe='/')}"
        data = None
        if body is not None and method in ("GET", "LIST"):
            url_path = f"{url_path}?{urlencode(body)}"
        elif body is not None:
            headers = {**headers, "Content-Type": "application/json"}
            data = json.dumps(body).encode()
        seconds = self.left
        if seconds <= 0:
            raise LostError(f"{self._bao.address} did not answer in time", self._bao.words.slow, sent=False)
        answer = self._channel.request(method, url_path, data, headers, seconds=seconds)
        secrets = (token, *(str(body[name]) for name in _SECRET_MEMBERS if body is not None and name in body))
        return openbaologin.read(self.target, answer.status, answer.read(most), secrets)

    def _is_alive(self, login: Login) -> bool:
        return self.bare("GET", "auth/token/lookup-self", None, login.token).good
