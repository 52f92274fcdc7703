"""OpenBao, or Vault, over its HTTP interface: one request after the other, all within the time of the call.

Redirects are not followed, certificates are always verified, and a token is sent only to the configured address.
Replies are parsed strictly, and texts for requests are validated.

And the logins: by an AppRole, by a JWT such as a service account's, or with a token from a file.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from time import monotonic
from typing import Any, NoReturn, Self
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
from jitid.issuers.target_issuer import TargetOption
from jitid.model.target import Target
from jitid.system import time_limit
from jitid.system.authority_address import parse_address
from jitid.system.files import check_private, read_regular
from jitid.system.http import Channel, LostError, Words
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.text import quote

_LONGEST = 16 << 10
"""Maximum characters of a token."""


class Reply(Record):
    """A reply of the server, including a refusal."""

    status: int
    body: Mapping[str, Any]
    errors: tuple[str, ...]
    """The server's error messages."""

    @property
    def good(self) -> bool:
        """Whether the request succeeded."""
        return self.status < 300

    @property
    def data(self) -> Mapping[str, Any]:
        """The data of the reply; empty without any."""
        return _table(self.body.get("data"))

    @property
    def auth(self) -> Mapping[str, Any]:
        """The token that it made; empty without one."""
        return _table(self.body.get("auth"))

    def mentions(self, words: str) -> bool:
        """Return whether an error message contains these words."""
        return any(words in error for error in self.errors)

    def error_text(self, *secrets: str | None) -> str:
        """Return the error messages in one line that is safe to show, with these secrets masked."""
        text = "; ".join(" ".join(error.split()) for error in self.errors) or f"status {self.status}"
        for secret in secrets:
            if secret:
                text = text.replace(secret, "****")
        return quote(text, 200)


def read(target: Target, status: int, text: bytes, secrets: Iterable[str | None] = ()) -> Reply:
    """Return the parsed reply; the request's secrets are masked in its error messages, which may repeat them.

    Raises StorageError for an unclear answer: invalid JSON, sealed, overloaded, a failure of the server.
    """
    body: Any = {}
    try:
        body = strict_json.loads(text, "the answer") if text else {}
    except strict_json.StrictJSONError as error:
        if status < 500:
            raise unclear(target, str(error)) from None
    if type(body) is not dict:
        raise unclear(target, "not a JSON object")
    reported = body.get("errors")
    errors = tuple(message for message in reported if type(message) is str) if type(reported) is list else ()
    for secret in secrets:
        if secret:
            errors = tuple(message.replace(secret, "****") for message in errors)
    reply = Reply(status, body, errors)
    if status == 503 and reply.mentions("sealed"):
        raise StorageError(f"the target {target.name} is sealed", "unseal it, then try again")
    if status in (412, 429) or status >= 500:
        raise StorageError(f"the target {target.name} failed: {reply.error_text()}", "try again")
    return reply


def unclear(target: Target, detail: str) -> StorageError:
    """Return the error for an answer that such a server does not give."""
    return StorageError(
        f"the target {target.name} gave an unexpected answer: {detail}",
        f"check that `address` of the target {target.name} is that of OpenBao or Vault",
    )


def check_token(text: object) -> str | None:
    """Return a text that is valid in a header; None for any other value."""
    if type(text) is str and 0 < len(text) <= _LONGEST and text.isascii() and text.isprintable():
        return None if " " in text else text
    return None


def plain(text: object, option: str, target: Target) -> str:
    """Return a valid path of the server, or a namespace: letters, digits and `._-/@`, no `.` or `..` as a part.

    Raises ConfigurationError for any other text.
    """
    path = str(text).strip("/")
    parts = path.split("/")
    good = path and all(part and part not in (".", "..") for part in parts)
    if not good or any(not (char.isascii() and (char.isalnum() or char in "._-/@")) for char in path):
        raise ConfigurationError(
            f"`{option}` of the target {target.name} is not a valid path: {quote(str(text))}",
            "use letters, digits and ._-/@, as in: database/creds/reader",
        )
    return path


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


_LOGIN_OPTIONS: Mapping[str, TargetOption] = {
    "role_id": TargetOption("text", "the role id of the AppRole for jitid's login"),
    "secret_id_file": TargetOption("place", "the private file with the AppRole's secret id"),
    "login_role": TargetOption(
        "text", "the role for a login with a JWT, such as a Kubernetes service account's"
    ),
    "jwt_file": TargetOption("place", "the file with that JWT"),
    "login_mount": TargetOption(
        "text", "the mount path of the login (default: `approle`, or `kubernetes` for a JWT)"
    ),
    "token_file": TargetOption("place", "the private file with a token, instead of a login"),
}

_LONGEST_SECRET = 16 << 10
_RELOGIN_SHARE = 2 / 3
"""The part of a login's lifetime after which jitid logs in again."""

Request = Callable[[str, str, Mapping[str, Any] | None, str | None], Reply]
"""A function that makes one bare request: method, path, body, token."""


class Login(Record):
    """The token of jitid's own requests."""

    token: str
    ours: bool
    """Whether it was made for this process, which must revoke it."""
    until: float | None = None
    """Its expiry by the monotonic clock; None if unknown."""
    again: float | None = None
    """The time for a new login, by the monotonic clock."""


class BaoLogin:
    """The login at one target, the same for all calls of a process."""

    def __init__(self, target: Target) -> None:
        """Raise ConfigurationError unless the table has exactly one complete way to log in."""
        self._target = target
        self._options = options = target.options
        self._login: Login | None = None
        self._lock = Lock()
        self.kept = False
        """Whether the login must not be revoked, because tokens made with it would end with it."""
        ways = {"token_file": (), "role_id": ("secret_id_file",), "login_role": ("jwt_file",)}
        chosen = [way for way in ways if way in options]
        missing = [option for way in chosen for option in ways[way] if option not in options]
        if len(chosen) != 1 or missing:
            raise ConfigurationError(
                f"the target {target.name} needs exactly one complete login method",
                "set `token_file`, or `role_id` and `secret_id_file`, or `login_role` and `jwt_file`",
            )

    @property
    def token(self) -> str | None:
        """The token that is in use."""
        login = self._login
        return None if login is None else login.token

    def get(self, request: Request, instead: Login | None = None) -> Login:
        """Return the login; log in again near its expiry, or if it is the failed login `instead`."""
        with self._lock:
            login = self._login
            fresh = login is not None and (login.again is None or monotonic() < login.again)
            if login is None or not fresh or login is instead:
                self._login = login = self._log_in(request)
            return login

    def give_back(self) -> str | None:
        """Forget the login, and return its token if the caller must revoke it."""
        with self._lock:
            login, self._login = self._login, None
        return login.token if login is not None and login.ours and not self.kept else None

    def _log_in(self, request: Request) -> Login:
        options = self._options
        if "token_file" in options:
            return Login(self._secret("token_file", "the token"), ours=False)
        if "role_id" in options:
            mount = options.get("login_mount", "approle")
            secret = self._secret("secret_id_file", "the secret id")
            body = {"role_id": options["role_id"], "secret_id": secret}
        else:
            mount = options.get("login_mount", "kubernetes")
            # The file need not be private: every process of a container may read a service account's token.
            secret = self._read("jwt_file")
            body = {"role": options["login_role"], "jwt": secret}
        path = f"auth/{plain(mount, 'login_mount', self._target)}/login"
        reply = request("POST", path, body, None)
        if not reply.good:
            raise RefusedError(
                f"the target {self._target.name} refuses the login: {reply.error_text(secret)}",
                f"check the table [target.{self._target.name}]",
            )
        auth = reply.auth
        token, seconds = check_token(auth.get("client_token")), auth.get("lease_duration")
        if token is None or type(seconds) is not int or seconds < 0:
            raise unclear(self._target, "a login without a token")
        now = monotonic()
        if not seconds:
            return Login(token, ours=True)
        return Login(token, ours=True, until=now + seconds, again=now + seconds * _RELOGIN_SHARE)

    def _secret(self, option: str, label: str) -> str:
        try:
            check_private(self._options[option], f"{label} of the target {self._target.name},")
        except OSError as error:
            self._unreadable(option, error)
        return self._read(option)

    def _read(self, option: str) -> str:
        path = self._options[option]
        try:
            data = read_regular(path, _LONGEST_SECRET + 1).strip()
        except OSError as error:
            self._unreadable(option, error)
        secret = check_token(data.decode("latin-1")) if len(data) <= _LONGEST_SECRET else None
        if secret is None:
            raise ConfigurationError(
                f"`{option}` of the target {self._target.name} has no secret on a single line; nothing was sent",
                f"write the secret into {quote(str(path), 200)} again",
            )
        return secret

    def _unreadable(self, option: str, error: OSError) -> NoReturn:
        raise ConfigurationError(
            f"`{option}` of the target {self._target.name} cannot be read: {(error.strerror or 'error').lower()}",
            f"check the table [target.{self._target.name}]",
        ) from None


OPTIONS: Mapping[str, TargetOption] = {
    "address": TargetOption("text", "the address of the server: https://HOST:8200", required=True),
    "ca_file": TargetOption("place", "CA certificates (PEM) for the server, instead of the system's"),
    "namespace": TargetOption("text", "the namespace of all paths"),
    **_LOGIN_OPTIONS,
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
                f"`address` of the target {target.name} is invalid: {error.message}",
                "write https://HOST:8200, or http://127.0.0.1:8200 on this machine",
            ) from None
        self.words = Words(
            f"the target {target.name}",
            f"set `address` of the target {target.name} to the server itself",
            f"`ca_file` of the target {target.name}",
            f"try again, or raise `timeout` of the target {target.name}",
            f"check that the server of the target {target.name} is running",
            "the list is too large for one answer",
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
            return ConfigurationError(message, f"check the table [target.{self.target.name}]")
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
            raise self.refused(reply, "to look up its own token", "auth/token/lookup-self", ("read",))
        ttl = reply.data.get("ttl")
        if type(ttl) is not int or ttl < 0:
            raise unclear(self.target, "a token without a lifetime")
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
        return read(self.target, answer.status, answer.read(most), secrets)

    def _is_alive(self, login: Login) -> bool:
        return self.bare("GET", "auth/token/lookup-self", None, login.token).good
