"""The remote authority: sends each operation and returns its answer like a local authority.

A large answer comes in pages; the credential of the client is private to its owner.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from jitid.authority.wire import codec
from jitid.authority.wire.shapes import UnfitError
from jitid.errors import (
    ConfigurationError,
    IntegrityError,
    JitidError,
    RefusedError,
    StorageError,
    UnauthenticatedError,
    UsageError,
)
from jitid.operation.base import IDEMPOTENT, KEYED, Operation, PagedOperation, Result
from jitid.redaction.token_format import MAX_TOKEN, bare
from jitid.system import time_limit
from jitid.system.authority_address import parse_address
from jitid.system.files import trusted_uids
from jitid.system.http import Answer, Channel, LostError, new_key
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.model.access import WhoAmI
    from jitid.model.process import Process
    from jitid.system.authority_address import Address
    from jitid.values.secret import Secret


def is_paged(operation: PagedOperation[Any]) -> bool:
    """Return whether an operation requests more rows than one answer may have."""
    return operation.limit is None or operation.limit > operation.page_size


def complete_answer(
    operation: PagedOperation[Result], perform: Callable[[PagedOperation[Result]], Result]
) -> Result:
    """Return the complete answer, joined from all its pages."""
    answers: list[Result] = []
    rows: list[Any] = []
    page = operation
    while True:
        remaining = operation.page_size if operation.limit is None else operation.limit - len(rows)
        page = page.replace(limit=min(operation.page_size, remaining))
        answer = perform(page)
        answers.append(answer)
        page_rows = operation.rows_of(answer)
        rows += page_rows
        if len(page_rows) < page.limit or len(rows) == operation.limit:
            return operation.joined(answers[0], rows)
        page = page.following(rows[-1])


_LONG = 900.0
"""Seconds allowed for an answer that needs the whole ledger, unless the command's time limit is lower."""

_JSON, _LINES = "application/json", "application/x-ndjson"

_PAUSES = (0.1, 0.3, 1.0)
"""Seconds before each further try, as far as the timeout allows."""


class RemoteAuthority:
    """A client of an authority: sends operations and decodes the answers. It stores no answer."""

    def __init__(
        self,
        address: Address,
        credential: ClientCredential | None,
        *,
        timeout: float,
        authorities: str | None = None,
    ) -> None:
        """Prepare a connection. `credential` authenticates the caller; None if the kernel does, or nothing does.

        `timeout` is in seconds. `authorities` is a PEM file of certificates that replaces the system's.
        """
        self._address = address
        self._credential = credential
        self._timeout = timeout
        self._authorities = authorities
        self._channel = Channel(address, authorities)

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer; raise a `JitidError` if it fails.

        Raises, besides the errors of the operation:
            StorageError: the authority cannot be reached, or does not answer in time.
            RefusedError: the authority does not recognise the caller, or refuses it.
            IntegrityError: the server's certificate is not valid for the authority, or the server lacks TLS 1.2.
        """
        if isinstance(operation, PagedOperation) and is_paged(operation):
            return cast("Result", complete_answer(operation, self.perform))
        values = codec.encode_operation(operation)
        if codec.streams(type(operation)):
            return cast("Result", self._pieces(operation, _body(values)))
        while True:
            try:
                return self._result(operation, self._answer(operation, _body(values), self._channel, _JSON))
            except JitidError as error:
                if not (isinstance(error, UsageError) and codec.omits(operation, values, error.message)):
                    _add_aftermath(operation, error)
                    raise

    @property
    def place(self) -> str:
        """The address of the authority."""
        return str(self._address)

    @property
    def secured_by(self) -> str | None:
        """The TLS version of the last connection; None without TLS."""
        return self._channel.secured_by

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _result(self, operation: Operation[Result], answer: Answer) -> Result:
        try:
            document = _loaded(answer.read())
            if document is _NONE:
                codec.refuse(operation, "it is not JSON")
            return fitting(operation, codec.decode_result(operation, document))
        except JitidError as error:
            # The authority reported success, so the operation may have been performed.
            error.unsure = True
            raise

    def _pieces(self, operation: Operation[Any], body: bytes) -> Iterator[Any]:
        """Yield the pieces of a streamed answer. Iteration sends the request.

        It has a separate connection, so that other requests can run between the pieces.
        """
        channel = Channel(self._address, self._authorities)
        try:
            answer = self._answer(operation, body, channel, _LINES)
            yield from fitting(operation, codec.decode_result(operation, _documents(answer, channel)))
        finally:
            channel.close()

    def whoami(self) -> WhoAmI:
        """Return the authority's view of its caller. Raises the errors of `perform`."""
        from jitid.model.access import WhoAmI

        headers = {"Accept-Encoding": "identity", "User-Agent": "jitid"}
        answer = self._done("GET", "/v1/whoami", None, headers, self._channel, _JSON, safe=True)
        document = _document(answer)
        try:
            return cast("WhoAmI", codec.shape_of(WhoAmI, request=False).decode(document))
        except UnfitError as error:
            raise _unusable(f"the authority's answer about its caller is invalid: {error}") from None

    def _answer(self, operation: Operation[Any], body: bytes, channel: Channel, kind: str) -> Answer:
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "jitid",
        }
        keyed = operation.effect == KEYED and not getattr(operation, "dry_run", False)
        if keyed:
            headers["Idempotency-Key"] = new_key()
        safe = keyed or operation.is_reading or operation.effect == IDEMPOTENT
        path = f"/v1/operations/{type(operation).__name__}"
        long = operation.slow
        return self._done("POST", path, body, headers, channel, kind, safe=safe, long=long)

    def _done(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        channel: Channel,
        kind: str,
        *,
        safe: bool,
        long: bool = False,
    ) -> Answer:
        """Return the answer of a media type to a request; retry if that is `safe` and can help."""
        deadline: float | None = None
        unsure = False
        try:
            for pause in (*_PAUSES, None):
                # Read the credential at each try: a successor may have replaced it.
                if self._credential is not None:
                    headers["Authorization"] = f"Bearer {self._credential.read().reveal()}"
                # Reading the credential may have taken long, so time counts from here.
                deadline = deadline or time.monotonic() + time_limit.usual(self._timeout)
                seconds = max(deadline - time.monotonic(), 0.001)
                thinking = _LONG if long else None
                refusal = _try_request(channel, (method, path, body, headers), kind, seconds, thinking)
                if not isinstance(refusal, _Refusal):
                    return refusal
                unsure = unsure or refusal.error.unsure
                wait = refusal.wait(pause)
                if not (safe or refusal.undone) or wait is None or wait >= deadline - time.monotonic():
                    raise refusal.error
                time.sleep(wait)
        except JitidError as error:
            # An earlier try may have taken effect even if a later one failed.
            error.unsure = error.unsure or unsure
            raise
        raise AssertionError


class _Refusal(Record):
    """The failure of a try."""

    error: JitidError
    after: float = 0.0
    """Seconds until the next try, as the authority requests."""
    undone: bool = False
    """The request certainly changed nothing."""

    def wait(self, pause: float | None) -> float | None:
        """Return the seconds until the next try; None for no further try."""
        if pause is None or not self.error.retryable:
            return None
        # Jitter: clients that were refused together should not return together.
        return max(pause * (0.5 + os.urandom(1)[0] / 255), self.after)


def _try_request(
    channel: Channel,
    request: tuple[str, str, bytes | None, Mapping[str, str]],
    kind: str,
    seconds: float,
    thinking: float | None,
) -> Answer | _Refusal:
    """Return the answer to a request, or its failure. Raises JitidError if no retry can help."""
    try:
        answer = channel.request(*request, seconds=seconds, thinking=thinking)
        return _refusal(answer, kind) or answer
    except LostError as error:
        error.unsure = channel.sent
        return _Refusal(error, undone=not channel.sent)
    except JitidError as error:
        error.unsure = channel.sent
        raise


def _refusal(answer: Answer, kind: str) -> _Refusal | None:
    """Return the failure of a request; None if it succeeded, with the body of the answer unread."""
    if answer.status == 200 and answer.kind == kind and answer.ends:
        return None
    data = answer.read()
    document = _loaded(data) if answer.kind == _JSON else None
    if answer.status < 300 or not isinstance(document, dict) or "error" not in document:
        foreign = _no_document(answer)
        # An intermediary sent this answer, and the authority may have done the request. A request that is too large
        # (413) did not reach it whole.
        foreign.unsure = answer.status != 413
        return _Refusal(foreign)
    error = codec.decode_error(document)
    if isinstance(error, UnauthenticatedError):
        error.hint = error.hint or "pass a credential: --credential-file FILE; or log in: jitid login"
    if answer.status == 413:
        error.hint = error.hint or "send less at once, or raise the setting serve_body of the authority"
    retry_after = answer.header("retry-after") or ""
    seconds = (
        float(retry_after)
        if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 4
        else 0.0
    )
    return _Refusal(error, seconds, undone=answer.status == 429)


def _no_document(answer: Answer) -> JitidError:
    """Return the error for an answer that no authority sent, but a proxy or another service."""
    message = f"the answer is HTTP status {answer.status}, without a document of jitid"
    if answer.status < 300:
        return _unusable(message)
    if answer.status in (401, 407):
        return UnauthenticatedError(message, "pass a credential: --credential-file FILE")
    if answer.status == 403:
        return RefusedError(message, "a proxy before the authority refuses this caller")
    if answer.status == 413:
        return UsageError("the request is larger than the authority accepts; nothing was changed")
    if answer.status in (408, 429) or answer.status >= 500:
        return StorageError(message, "a proxy answered: it cannot reach the authority; try again")
    return ConfigurationError(message, "is --remote the address of an authority?")


def _document(answer: Answer) -> Any:  # noqa: ANN401 - JSON may be anything
    return _parsed(answer.read())


def _documents(answer: Answer, channel: Channel) -> Iterator[Any]:
    """Yield the documents of an answer in lines. If the last one is an error, raise that."""
    for line in answer.lines():
        document = _parsed(line)
        if isinstance(document, dict) and document.keys() == {"error"}:
            raise codec.decode_error(document)
        yield document
        # The consumer may pause between pieces.
        channel.extend(_LONG)


def _parsed(data: bytes) -> Any:  # noqa: ANN401
    document = _loaded(data)
    if document is _NONE:
        raise _unusable("the authority's answer is not JSON")
    return document


def _unusable(message: str) -> StorageError:
    """Return the error for an answer that no authority sent; a retry would give the same answer."""
    error = StorageError(
        message, "is --remote the address of an authority of this version? see: jitid doctor"
    )
    error.retryable = False
    return error


_NONE = object()


def _loaded(data: bytes) -> Any:  # noqa: ANN401
    try:
        return strict_json.loads(data)
    except strict_json.StrictJSONError:
        return _NONE


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
            from jitid.system.read_input import unreadable_hint

            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a path"
            hint = unreadable_hint(self._path, error) if isinstance(error, OSError) else None
            raise UsageError(f"{label} cannot be read: {reason.lower()}", hint) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{label} is not a regular file", "for a pipe, use --credential-fd")
            if status.st_mode & self._forbidden_mode_bits:
                raise IntegrityError(
                    f"{label} is open to others (mode {stat.S_IMODE(status.st_mode):03o}); nothing was sent",
                    f"chmod 600 {self._path}; other users may have read the credential: replace it",
                )
            if status.st_uid not in trusted_uids():
                raise RefusedError(f"{label} belongs to another user", "name a file that you own")
            return _secret(_read(descriptor), label)
        finally:
            os.close(descriptor)


class LoginCredential(FileCredential):
    """The access token of this user's login: it is the person's, and not for an agent that the person started."""

    def __init__(self, path: str, client: Process | None = None) -> None:
        """`client` is the client whose hook or helper reads it."""
        super().__init__(path)
        self._client = client

    def read(self) -> Secret:
        """Return the current access token. Raises RefusedError in an agent's process, and the errors of a file."""
        from jitid.authority.stored_login import must_be_persons_process

        must_be_persons_process(self._client)
        return super().read()


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


@cache
def _at_descriptor(descriptor: int) -> DescriptorCredential:
    """Return the credential at a descriptor, the same one for all authorities of a command: a pipe is read once."""
    return DescriptorCredential(descriptor)


class HeldCredential:
    """A credential that this process holds."""

    def __init__(self, token: Secret) -> None:
        self.place = "this process"
        """The place of the credential, for messages."""
        self._token = token

    def read(self) -> Secret:
        """Return the credential."""
        return self._token


ClientCredential = FileCredential | DescriptorCredential | HeldCredential


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
        raise UsageError(f"{label} is invalid: expected one line of visible ASCII characters")
    return Secret.single(text)


def open_remote(config: Config, patience: float | None = None) -> RemoteAuthority:
    """Return the configured remote authority, without a request to it.

    Raises UsageError if none is configured.
    """
    timeout = float(config.number("timeout"))
    return RemoteAuthority(
        parse_address(config.remote or ""),
        credential(config),
        timeout=timeout if patience is None else min(timeout, patience),
        authorities=config.text("remote_ca"),
    )


def is_of_run(config: Config, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether requests use the identity token of an agent under `jitid run`."""
    is_configured = config.credential_fd is not None or config.text("remote_credential_file") is not None
    return not is_configured and environ.get("JITID_PARENT_FILE") is not None


def credential(config: Config, environ: Mapping[str, str] = os.environ) -> ClientCredential | None:
    """Return the place of the credential for a remote authority; None if there is none.

    A server that acts for a session has the token of that session alone. Otherwise a configured descriptor or file
    takes precedence; then the identity token of the agent under `jitid run`; then the credential from systemd
    (`jitid-credential` of LoadCredential=); then the access token of this user's login.

    Raises UsageError for a configured file whose credential is not for this authority, such as a login at another.
    """
    if config.session_file is not None:
        return FileCredential(config.session_file)
    if config.credential_fd is not None:
        return _at_descriptor(config.credential_fd)
    path = config.credential_file or environ.get("JITID_PARENT_FILE")
    if path:
        # A link to the file is the file.
        if config.remote is not None and os.path.basename(os.path.realpath(path)).startswith("login-"):
            from jitid.authority.stored_login import is_login_file

            if is_login_file(path, config.remote):
                return LoginCredential(path, config.client_process)
        return FileCredential(path)
    folder = environ.get("CREDENTIALS_DIRECTORY")
    systemd_path = os.path.join(folder, "jitid-credential") if folder else None
    if systemd_path is not None and os.path.lexists(systemd_path):
        return FileCredential(systemd_path, systemd=True)
    return None if config.remote is None else login_credential(config.remote, config.client_process)


def login_credential(remote: str, client: Process | None = None) -> LoginCredential | None:
    """Return the place of the access token of this user's login at an authority; None without a login.

    `client` is the client whose hook or helper this process is.
    """
    from jitid.authority.stored_login import login_path

    try:
        path = login_path(remote)
    except ConfigurationError:
        return None
    return LoginCredential(path, client) if os.path.lexists(path) else None


def fitting(operation: Operation[Result], answer: Result) -> Result:
    """Return the answer if it fits the operation. A streamed answer is checked while it is read, also for its end.

    Raises:
        StorageError: the answer does not fit.

    """
    if operation.last_piece or operation.never_empty:
        return cast("Result", _complete(operation, cast("Iterable[Any]", answer)))
    if not operation.fits(answer):
        codec.refuse(operation)
    return answer


def _complete(operation: Operation[Any], pieces: Iterable[Any]) -> Iterator[Any]:
    """Yield pieces; the last one, and no other, must be the end marker, or there must be one at all."""
    last = ""
    for piece in pieces:
        if operation.last_piece and last == operation.last_piece:
            codec.refuse(operation)
        yield piece
        last = type(piece).__name__
    if last != operation.last_piece if operation.last_piece else not last:
        codec.refuse(operation)


def _body(values: dict[str, Any]) -> bytes:
    # ASCII only, members in their order: each try sends the same bytes.
    return json.dumps(values, separators=(",", ":")).encode()


def _add_aftermath(operation: Operation[Any], error: JitidError) -> None:
    """Add to an error that credentials may exist that no caller holds, and the command that lists them."""
    command = operation.aftermath() if error.unsure else None
    if command is not None:
        error.message += f"; credentials that it created may be live: {command}"
