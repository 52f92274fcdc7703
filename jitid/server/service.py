"""The shared base of all routes: authentication of callers, and operations in threads, with time limits.

An agent that revoked itself cannot send a request, so its credentials at targets are revoked in the background.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from jitid.authority.served import ReadTally
from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.identity.revocation_result import Ended
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.issue.token_operations import RevokeToken
from jitid.capabilities.targets.operations import Settle
from jitid.capabilities.trust import operations as trust_operations
from jitid.errors import (
    ClockError,
    ConfigurationError,
    IntegrityError,
    JitidError,
    PolicyDeniedError,
    RefusedError,
    StorageError,
    UnauthenticatedError,
)
from jitid.model.access import UNAUTHENTICATED
from jitid.server.answers import RequestError
from jitid.server.listen import Peers
from jitid.server.metrics import record_of
from jitid.server.service_limits import RequestPace
from jitid.server.thread_pool import Pool, Seat, Together
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.authority.local import LocalAuthority
    from jitid.config.effective import Config
    from jitid.model.access import Caller
    from jitid.model.ledger_rows import Names
    from jitid.operation.base import Authority, Operation, Result
    from jitid.server.metrics import Log, Metrics
    from jitid.server.service_limits import ServiceLimits


_LIMIT = 20
"""Seconds for each target, the same as in a command."""


class Settler:
    """A settler of all due revocations: one pass at a time, in one thread, so that no request waits for it.

    A target that could not be reached is retried only when the queue says so. A settler belongs to one event loop.
    """

    def __init__(self, make: Callable[[], Seat]) -> None:
        """`make` returns the seat of the thread."""
        self._pool = Pool(1, "jitid-targets", make)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = False
        self._again = False

    def begin(self) -> None:
        """Remember the running event loop."""
        self._loop = self._loop or asyncio.get_running_loop()

    def watch(self, authority: Authority, caller: Caller) -> Authority:
        """Return an authority that starts a pass when the caller leaves revocations at targets unsettled."""
        return _Watching(authority, caller, self._soon)

    def close(self, patience: float) -> None:
        """Stop the thread; wait at most `patience` seconds."""
        self._pool.close(patience)

    def _soon(self) -> None:
        assert self._loop is not None, "the loop runs before the first request"
        self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        if self._running:
            self._again = True
            return
        self._running, self._again = True, False
        self._pool.run(_settle).add_done_callback(self._done)

    def _done(self, future: asyncio.Future[None]) -> None:
        self._running = False
        # Failed settlements stay in the queue, and a sweep reports them.
        if not future.cancelled():
            future.exception()
        if self._again:
            self._start()


def _settle(seat: Seat) -> None:
    with seat.authority() as authority:
        authority.perform(Settle(limit=_LIMIT))


class _Watching:
    """An authority that starts a pass after an operation with revocations that no caller will settle."""

    def __init__(self, authority: Authority, caller: Caller, soon: Callable[[], None]) -> None:
        self._within = authority
        self._caller = caller
        self._soon = soon

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer. Raises the errors of the operation."""
        answer = self._within.perform(operation)
        ended = getattr(answer, "ended", answer)
        unattended = self._caller.agent is not None or isinstance(operation, RevokeToken)
        if unattended and isinstance(ended, Ended) and ended.unsettled:
            self._soon()
        return answer

    def close(self) -> None:
        """Close the inner authority."""
        self._within.close()


class Counting:
    """An authority that passes operations on, and counts credentials and refusals."""

    def __init__(self, authority: Authority, metrics: Metrics) -> None:
        self._authority = authority
        self._metrics = metrics

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer; raise a `JitidError` if it fails."""
        try:
            answer = self._authority.perform(operation)
        except PolicyDeniedError:
            self._metrics.count("denied")
            raise
        except RefusedError:
            self._metrics.count("refused")
            raise
        match operation:
            case issue_operations.Issue(dry_run=False, requests=requests):
                self._metrics.count("issued", len(requests))
            case issue_operations.Renew() | Attach():
                self._metrics.count("issued")
            case _:
                pass
        return answer

    def close(self) -> None:
        """Close the inner authority."""
        self._authority.close()


T = TypeVar("T")

OperationType = type["Operation[Any]"]
"""The kind of operation, if it is known before the request is parsed."""

_PIECES = 256
"""Maximum number of pieces of an answer that are sent together."""
_LONGEST_TOKEN = 16_384
_LONGEST_KEY = 255
_FAILURES_PER_SECOND = 10.0
_FAILURES_AT_ONCE = 50.0
_SILENCE = 10.0
"""Seconds before the reason of an unavailable ledger is logged again."""


class Service:
    """The authority for the routes. Its state is in the ledger, so several services can share one ledger."""

    def __init__(
        self,
        config: Config,
        names: Names,
        base_url: str,
        limits: ServiceLimits,
        metrics: Metrics,
        log: Log | None = None,
        socket: str | None = None,
    ) -> None:
        """Store the shared parts.

        `base_url` is the address for clients, without a slash at the end; `socket` is the path of the Unix socket.
        """
        self._log = log
        self._next_log_at = 0.0
        self.config = config
        self.names = names
        """The names at the start of the service; `names_now` reads them again."""
        self.base_url = base_url
        self.limits = limits
        self.metrics = metrics
        self._peers = Peers(config)
        self._pace = RequestPace(limits.rate, 2.0 * limits.rate)
        self._failures = RequestPace(_FAILURES_PER_SECOND, _FAILURES_AT_ONCE)
        # A wait for the ledger ends with its own error before the request times out.
        patience = max(1.0, limits.time * 0.8)
        self._tally = ReadTally()

        addresses = (base_url,) if socket is None else (base_url, f"unix://{socket}")

        def seat() -> Seat:
            return Seat(config, addresses, patience, self._tally, self._out_of_reach)

        self._quick = Pool(limits.threads, "jitid", seat)
        self._together = Together(self._quick)
        self._long = Pool(limits.long_threads, "jitid-long", seat)
        self._probe = Pool(1, "jitid-probe", seat)
        self._settler = Settler(seat)

    def _out_of_reach(self, reason: str) -> None:
        """Log why the ledger is unavailable, at most once per `_SILENCE` seconds."""
        now = monotonic()
        if self._log is not None and now >= self._next_log_at:
            self._next_log_at = now + _SILENCE
            self._log.write("ledger", "error", error=reason)

    def close(self, patience: float) -> None:
        """Stop the threads, and release the ledger."""
        for pool in (self._quick, self._long, self._probe, self._settler):
            pool.close(patience)

    async def perform(self, caller: Caller, operation: Operation[Result]) -> Result:
        """Perform an operation for a caller and return its answer.

        For an answer that is an iterator, use `stream`.

        Raises:
            JitidError: the operation failed.
            StorageError: it took too long; it may have been performed.
            LimitedError: this caller exceeds its request rate.

        """

        def work(authority: LocalAuthority) -> Result:
            return self._serving(authority, caller).perform(operation)

        return await self.within(work, long=operation.slow)

    async def call(
        self,
        request: Request,
        work: Callable[[Authority, Caller], T],
        *,
        long: bool = False,
        reads: bool = False,
        proof: Callable[[LocalAuthority], Caller] | None = None,
        operation_type: OperationType | None = None,
    ) -> T:
        """Run work in a thread for the caller of a request, with the authority as it serves this caller.

        Authentication runs in the same thread: one trip to a thread, where `caller_of` and `perform` need two. `proof`
        authenticates the caller if given; otherwise the header or the socket does. With `reads`, authentication and
        work are read-only, and share a batch with other requests.

        The caller is authenticated first. Then it is refused if it may not request operations of `operation_type`; only
        `work` parses the request. Raises the errors of all these steps.
        """
        authenticate = self._authenticator(request, proof)
        if reads:

            def look(view_authority: LocalAuthority) -> T:
                caller = authenticate(view_authority)
                return work(self._serving(view_authority, caller, operation_type), caller)

            return await _in_time(self._together.run(look), self.limits.time)

        def do(authority: LocalAuthority) -> T:
            with authority.in_one_view() as view_authority:
                caller = authenticate(view_authority)
                return work(self._serving(view_authority, caller, operation_type), caller)

        return await self.within(do, long=long)

    async def caller_of(self, request: Request) -> Caller:
        """Return the caller of a request, by its access token (RFC 6750) or by its socket.

        Raises:
            UnauthenticatedError: the caller is not authenticated.
            RequestError: the headers are invalid.

        """
        return await self.within(self._authenticator(request))

    async def within(self, work: Callable[[LocalAuthority], T], *, long: bool = False) -> T:
        """Run work in a thread with the authority itself, which does not check any permissions."""
        pool, limit = (self._long, self.limits.long_time) if long else (self._quick, self.limits.time)
        self._settler.begin()

        def job(seat: Seat) -> T:
            with seat.authority() as authority:
                return work(authority)

        return await _in_time(pool.run(job), limit)

    async def names_now(self) -> Names:
        """Return the current names of the ledger: its issuer may have been renamed on the ledger's machine."""
        return await self.within(lambda authority: authority.names_now())

    async def stream(
        self,
        request: Request,
        work: Callable[[Authority, Caller], Iterator[bytes]],
        *,
        operation_type: OperationType | None = None,
    ) -> AsyncIterator[bytes]:
        """Yield the pieces of the work for a request; pieces that come fast are joined.

        A thread produces pieces while earlier ones are sent, and waits for a slow client. Raises the errors of `call`.
        """
        authenticate = self._authenticator(request)
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue(4)
        ended = False

        def put(piece: bytes | None) -> None:
            if not ended:
                asyncio.run_coroutine_threadsafe(pieces.put(piece), loop).result(self.limits.long_time)

        def job(seat: Seat) -> None:
            try:
                with seat.authority() as authority:
                    caller = authenticate(authority)
                    batch: list[bytes] = []
                    for piece in work(self._serving(authority, caller, operation_type), caller):
                        if ended:
                            return
                        batch.append(piece)
                        if len(batch) >= _PIECES or pieces.empty():
                            put(b"".join(batch))
                            batch.clear()
                    put(b"".join(batch))
            finally:
                put(None)

        future = self._long.run(job)
        try:
            async with asyncio.timeout(self.limits.long_time):
                while (piece := await pieces.get()) is not None:
                    if piece:
                        yield piece
                await future
        except TimeoutError:
            raise StorageError(
                "the answer takes longer than this service allows", "request less at once"
            ) from None
        finally:
            ended = True
            while not pieces.empty():
                pieces.get_nowait()

    async def ready(self, patience: float) -> JitidError | None:
        """Check that the ledger answers; return the error that prevents issuing, if there is one.

        Raises:
            JitidError: the ledger does not answer.

        """

        def job(seat: Seat) -> JitidError | None:
            with seat.authority() as authority:
                authority.perform(trust_operations.PublishKeys())
                try:
                    authority.check_issuing()
                except (ConfigurationError, IntegrityError) as error:
                    return error
            return None

        return await _in_time(self._probe.run(job), patience)

    async def record_counts(self) -> None:
        """Write the counts of reads and refusals to the audit log if they are due."""
        # Counts that cannot be written now are kept.
        with suppress(JitidError):
            if self._tally.due:
                await self.within(lambda authority: authority.record_counts())

    def keep_pace(self, name: str) -> None:
        """Count a request of a caller. Raises LimitedError if there are too many."""
        self._pace.keep(name, "this caller sends too many requests; nothing was done")

    def keep_client_pace(self, request: Request) -> None:
        """Count a request of an unauthenticated client. Raises LimitedError if this client sends too many."""
        self.keep_pace(f"{UNAUTHENTICATED.name} {_client(request)}")

    @contextmanager
    def counting_failures(
        self, request: Request, kind: type[JitidError] = UnauthenticatedError
    ) -> Iterator[None]:
        """Count a failed authentication, an error of `kind`. Raises LimitedError if one client has too many.

        Counted after the check: the failures of one client must not lock out others at its address.
        """
        try:
            yield
        except kind:
            message = "too many invalid credentials from this client; nothing was done"
            self._failures.keep(_client(request), message, "try again")
            raise

    def _serving(
        self, authority: LocalAuthority, caller: Caller, operation_type: OperationType | None = None
    ) -> Authority:
        # Several agents may have one name, so each identity has its own rate limit. Any other name belongs to one
        # caller, except that of unauthenticated clients: `keep_client_pace` limits each of them.
        if caller.name != UNAUTHENTICATED.name:
            self.keep_pace(caller.identity or caller.name)
        serving = authority.serving(caller)
        if operation_type is not None:
            try:
                serving.must_serve(operation_type)
            except RefusedError:
                self.metrics.count("refused")
                raise
        return Counting(self._settler.watch(serving, caller), self.metrics)

    async def without_credential(self, request: Request) -> Caller | None:
        """Return the caller that the socket alone identifies; None without a socket, or if the caller is refused."""
        peer = record_of(request.scope).peer
        if peer is None:
            return None
        try:
            return await self.within(lambda authority: authority.admitted(self._peers.caller(peer)))
        except RefusedError:
            return None

    def _authenticator(
        self, request: Request, proof: Callable[[LocalAuthority], Caller] | None = None
    ) -> Callable[[LocalAuthority], Caller]:
        """Return a function that authenticates the caller of a request in a thread."""
        record = record_of(request.scope)
        # A `proof` reads the header itself.
        with self.counting_failures(request):
            access_token = _access_token(request) if proof is None else None
        peer = record.peer
        if proof is None and access_token is None and peer is None:
            raise UnauthenticatedError(
                "authentication required: the request has no `Authorization: Bearer` header; nothing was done"
            )

        def find(authority: LocalAuthority) -> Caller:
            with self.counting_failures(request):
                try:
                    if proof is not None:
                        caller = proof(authority)
                    elif access_token is not None:
                        caller = authority.perform(Authenticate(bearer=access_token))
                    else:
                        assert peer is not None
                        caller = authority.admitted(self._peers.caller(peer))
                except ClockError as error:
                    # With a wrong clock the authority authenticates no caller, so no caller can accept the clock
                    # remotely.
                    error.hint = _CLOCK
                    raise
                except UnauthenticatedError as error:
                    error.presented = proof is None and access_token is not None
                    raise
            record.caller = caller.name
            return caller._replace(trace=record.trace, key=_idempotency_key(request))

        return find


_CLOCK = "correct the authority's clock; if it is right, run on the machine of the ledger: jitid sweep --accept-clock"


async def _in_time(future: asyncio.Future[T], seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        late = StorageError(
            f"the ledger did not answer within {seconds:g} s; the outcome is unknown",
            "try again; with the same Idempotency-Key nothing is issued twice",
        )
        late.unsure = True
        raise late from None


def _client(request: Request) -> str:
    """Return the uid of a client of the Unix socket, or the address of a client."""
    peer = record_of(request.scope).peer
    return str(peer.uid) if peer is not None else request.client.host if request.client else ""


def _access_token(request: Request) -> Secret | None:
    """Return the access token of a request (RFC 6750, section 2.1); None without an `Authorization` header.

    Raises:
        UnauthenticatedError: the header is malformed, or has another scheme. A caller with a credential is never
            identified by the user of its socket.

    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer":
        raise UnauthenticatedError(
            "authentication required: the `Authorization` header has no Bearer token; nothing was done"
        )
    if not 0 < len(token) <= _LONGEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        malformed = UnauthenticatedError("the access token is malformed; nothing was done")
        malformed.presented = token != ""
        raise malformed
    return Secret.single(token)


def _idempotency_key(request: Request) -> str | None:
    header: Any = request.headers.get("idempotency-key")
    if header is None:
        return None
    if not 0 < len(header) <= _LONGEST_KEY or not all("!" <= character <= "~" for character in header):
        raise RequestError(
            400,
            f"the Idempotency-Key must be 1 to {_LONGEST_KEY} characters of printable ASCII, without spaces",
        )
    return str(header)
