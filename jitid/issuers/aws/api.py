"""Calls of AWS: botocore signs and parses, jitid's own channel transports, and the environment has no influence."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from functools import lru_cache
from threading import Lock, local
from typing import Any
from urllib.parse import urlsplit

from jitid.errors import ConfigurationError, JitidError, RefusedError, StorageError, UsageError
from jitid.system import time_limit
from jitid.system.authority_address import parse_address
from jitid.system.http import Channel, Words
from jitid.values.record import Record
from jitid.values.text import foreign, quote, safe

MAX_ANSWER = 8 << 20
"""Maximum bytes of one answer of AWS: a page of a list has at most a thousand members."""
SKEWED = 60
"""Difference in seconds between AWS's clock and this machine's from which on it is reported."""

_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "ConcurrentModification",
        "EC2ThrottledException",
        "IDPCommunicationError",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_UNKNOWN_CALLER = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "OptInRequired",
        "UnrecognizedClientException",
    }
)
_CLOCK = frozenset(
    {
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)

_MAKING = Lock()
"""Several threads may use a client, but only one at a time may create clients."""


class Keys(Record):
    """The keys that sign a request; only the public part is printed."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"Keys({self.access_key_id!r})"


class AwsError(RefusedError):
    """An error that AWS returned; its message is about the call and the caller."""

    def __init__(self, code: str, message: str, hint: str | None = None, aws_message: str = "") -> None:
        super().__init__(message, hint)
        self.aws = code
        """AWS's error code, such as `AccessDenied`."""
        self.aws_message = aws_message
        """AWS's own message."""


class AwsMissingError(AwsError):
    """An error about an object that does not exist at AWS."""


class _Now(local):
    """The deadline and the channels of one thread."""

    def __init__(self) -> None:
        self.end = 0.0
        self.channels: dict[str, Channel] = {}


class Aws:
    """The clients of one target; several threads may call at once."""

    def __init__(self, name: str, region: str, endpoint: str | None, authorities: str | None) -> None:
        """Set the target's name and region, an address instead of AWS's own, and certificates that verify it."""
        self._name = name
        self._region = region
        self._endpoint = endpoint
        self._authorities = authorities
        self._clients: dict[tuple[str, Keys | None], Any] = {}
        self._now = _Now()
        self._opened: list[Channel] = []
        self.skew: int | None = None
        """Seconds by which AWS's clock was ahead of this machine's; None if unknown."""

    def begin(self, seconds: float) -> float:
        """Limit the next calls of this thread to a number of seconds; return the deadline (monotonic clock)."""
        self._now.end = time.monotonic() + time_limit.left(seconds)
        return self._now.end

    def share(self, deadline: float) -> None:
        """Set the deadline of this thread to the deadline of another thread that it works for."""
        self._now.end = deadline

    def call(
        self, service: str, operation: str, keys: Keys | None = None, /, **members: object
    ) -> dict[str, Any]:
        """Make a call and return its answer; retry it before the deadline while AWS throttles or fails.

        Raises:
            StorageError: AWS is unreachable, too slow, throttles, or the answer is not from AWS.
            AwsError: it refuses.
            ConfigurationError: the members are invalid, or botocore is not installed.

        """
        botocore = _botocore()
        try:
            with _MAKING:
                method = getattr(self._client(service, keys), operation)
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"{self._label} cannot be used: {foreign(error)}") from None
        pause = 0.1
        while True:
            try:
                answer: dict[str, Any] = method(**members)
            except botocore.exceptions.ClientError as error:
                trouble = self._refusal(error, operation)
            except botocore.exceptions.ParamValidationError as error:
                raise ConfigurationError(
                    f"{self._label}: invalid parameters for {operation}: {foreign(error, 300)}"
                ) from None
            except (
                botocore.exceptions.BotoCoreError,
                botocore.parsers.ResponseParserError,
                # botocore's XML parsers assume that the answer is from AWS.
                AttributeError,
                LookupError,
                TypeError,
                ValueError,
            ):
                # The message repeats neither the answer nor the request.
                raise self._garbage() from None
            else:
                return answer
            if not isinstance(trouble, StorageError):
                raise trouble from None
            pause *= 2 * random.uniform(0.75, 1.25)  # noqa: S311 - to spread callers, not to hide anything
            if not self.sleep(pause):
                raise trouble from None

    def pages(self, operation: str, keys: Keys | None, member: str, /, **members: object) -> Iterator[Any]:
        """Yield the members of a list of IAM, page after page (`Marker`)."""
        marker: dict[str, str] = {}
        while True:
            answer = self.call("iam", operation, keys, **members, **marker)
            yield from answer.get(member) or ()
            if not answer.get("IsTruncated"):
                return
            if not answer.get("Marker") or answer["Marker"] == marker.get("Marker"):
                raise self._garbage()
            marker = {"Marker": answer["Marker"]}

    def sleep(self, seconds: float) -> bool:
        """Wait, if the deadline permits it; return whether it did."""
        if time.monotonic() + seconds >= self._now.end:
            return False
        time.sleep(seconds)
        return True

    def forget(self, keys: Keys) -> None:
        """Delete the clients that sign with these keys."""
        with _MAKING:
            for client_key in [client_key for client_key in self._clients if client_key[1] == keys]:
                del self._clients[client_key]

    def close(self) -> None:
        """Close the connections."""
        while self._opened:
            self._opened.pop().close()
        self._clients.clear()

    def garbled(self, detail: str) -> StorageError:
        """Return the error for an answer that lacks a required part."""
        return StorageError(f"{self._label} gave an unexpected answer: {detail}", "check its `endpoint_url`")

    @property
    def _label(self) -> str:
        return f"AWS (target {self._name})"

    def _garbage(self) -> StorageError:
        return StorageError(f"{self._label} gave an answer that is not from AWS", "check its `endpoint_url`")

    def _client(self, service: str, keys: Keys | None) -> Any:  # noqa: ANN401 - botocore has no types
        client = self._clients.get((service, keys))
        if client is None:
            botocore = _botocore()
            config = botocore.config.Config(
                # A request without keys is not signed: a JWT is its own proof.
                signature_version=botocore.UNSIGNED if keys is None else None,
                # botocore's own retries know no deadline.
                retries={"total_max_attempts": 1},
                ignore_configured_endpoint_urls=True,
                proxies={},
                user_agent_appid="jitid",
            )
            client = hermetic_session().create_client(
                service,
                region_name=self._region,
                endpoint_url=self._endpoint,
                aws_access_key_id=None if keys is None else keys.access_key_id,
                aws_secret_access_key=None if keys is None else keys.secret_access_key,
                aws_session_token=None if keys is None else keys.session_token,
                config=config,
            )
            client.meta.events.register("before-send", self._carry)
            self._clients[service, keys] = client
        return client

    def _carry(self, request: Any, **_: object) -> Any:  # noqa: ANN401 - botocore has no types
        """Send a request that botocore has signed, instead of botocore."""
        from botocore.awsrequest import AWSResponse

        parts = urlsplit(request.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        channel = self._now.channels.get(origin)
        if channel is None:
            try:
                address = parse_address(origin)
            except UsageError as error:
                raise ConfigurationError(error.message, error.hint) from None
            channel = self._now.channels[origin] = Channel(address, self._authorities, _words(self._name))
            self._opened.append(channel)
        headers = {
            name: value.decode("latin-1") if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        body = request.body.encode() if isinstance(request.body, str) else request.body
        seconds = self._now.end - time.monotonic()
        if seconds <= 0:
            raise StorageError(
                f"{self._label} did not answer in time", f"raise `timeout` of target {self._name}"
            )
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        answer = channel.request(request.method, path, body, headers, seconds=seconds)
        content = answer.read(MAX_ANSWER)
        answer_headers = {name: answer.header(name) for name in ("Content-Type", "Date", "x-amzn-RequestId")}
        self._measure_skew(answer_headers["Date"])
        response = AWSResponse(
            request.url,
            answer.status,
            {name: value for name, value in answer_headers.items() if value is not None},
            None,
        )
        response._content = content  # noqa: SLF001 - it is read already; botocore's own stubber does the same
        return response

    def _measure_skew(self, date: str | None) -> None:
        try:
            aws_time = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        self.skew = round(aws_time - time.time())

    def _refusal(self, error: Any, operation: str) -> JitidError:  # noqa: ANN401 - botocore has no types
        reported = error.response.get("Error") or {}
        code = str(reported.get("Code") or "")[:100]
        aws_message = str(reported.get("Message") or "")[:1000]
        status = (error.response.get("ResponseMetadata") or {}).get("HTTPStatusCode", 0)
        details = f"{safe(code)}: {quote(aws_message, 300)}" if aws_message else safe(code)
        if code in _THROTTLED or status in (429, 500, 502, 503, 504):
            return StorageError(
                f"{self._label} does not accept {operation} now: {details}", "try again later"
            )
        if not code or code.isdigit():
            raise self._garbage()
        message = f"{self._label} refuses {operation}: {details}"
        if code in _CLOCK:
            return AwsError(code, message, self._clocks(), aws_message)
        if code in _UNKNOWN_CALLER:
            return AwsError(
                code, message, "the target's credentials are wrong, expired or revoked", aws_message
            )
        error_type = AwsMissingError if code == "NoSuchEntity" else AwsError
        return error_type(code, message, None, aws_message)

    def _clocks(self) -> str:
        hint = "check the target's secret key"
        if self.skew is None or abs(self.skew) < SKEWED:
            return hint
        return (
            f"set this machine's clock: AWS's clock is {abs(self.skew)} seconds "
            f"{'ahead' if self.skew > 0 else 'behind'}, and AWS refuses requests minutes off its own time"
        )


def _words(target: str) -> Words:
    return Words(
        f"target {target}",
        f"set `endpoint_url` of target {target} to the final address",
        f"`ca_file` of target {target}",
        f"try again, or raise `timeout` of target {target}",
        f"check `endpoint_url` of target {target}, and that this machine can reach it",
        f"check `endpoint_url` of target {target}",
    )


def _botocore() -> Any:  # noqa: ANN401 - botocore has no types
    try:
        import botocore
        import botocore.config
        import botocore.exceptions
        import botocore.parsers
        import botocore.session
    except ImportError as error:
        from jitid.system.dependencies import adding

        raise ConfigurationError(
            f"AWS credentials require botocore, which cannot be loaded: {error}", adding("aws")
        ) from error
    return botocore


@lru_cache(maxsize=1)
def hermetic_session() -> Any:  # noqa: ANN401 - botocore has no types
    """Return a botocore session that uses no environment variables and no files of the user.

    `AWS_PROFILE` or a forgotten `~/.aws/config` would make it call another account, or another address.
    """
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES as VARIABLES
    from botocore.configprovider import ConstantProvider
    from botocore.loaders import Loader

    session = _botocore().session.Session()
    # Without ~/.aws/models: its files would take precedence over botocore's own.
    search_paths = [Loader.BUILTIN_DATA_PATH]
    session.register_component(
        "data_loader", Loader(extra_search_paths=search_paths, include_default_search_paths=False)
    )
    store = session.get_component("config_store")
    for name, (_, _, value, _) in VARIABLES.items():
        # A path that is not a file means that there is no configuration.
        constant = "/dev/null" if name in ("config_file", "credentials_file") else value
        store.set_config_provider(name, ConstantProvider(constant))
    return session
