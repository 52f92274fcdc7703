"""Identities for the clients of other libraries. Each library is loaded when its adapter is first requested."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jitid.api import forks
from jitid.errors import ConfigurationError, UsageError
from jitid.model.credential import Kind, RequestedKind
from jitid.system.program_request import origin
from jitid.values.times import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from azure.core.credentials import TokenCredential
    from botocore.session import Session
    from google.auth.identity_pool import SubjectTokenSupplier

    from jitid.api.held_identity import HeldIdentity

AssertionProvider = Callable[[str], Awaitable[str]]
"""An async function that returns a token for an audience."""
NewToken = Callable[[str], str]
"""Returns a token for an audience that was never returned before: a service may exchange each token once."""


@contextmanager
def _library(package: str) -> Iterator[None]:
    """Raise ConfigurationError with the command that installs a package, if the block cannot load it.

    No other thread forks meanwhile.
    """
    try:
        with forks.operation():
            yield
    except ImportError as error:
        from jitid.system.dependencies import installing

        raise ConfigurationError(f"the package {package} is not installed", installing([package])) from error


def httpx_auth(
    headers: Callable[[str], Mapping[str, str]],
    refused: Callable[[str, Mapping[str, str]], Mapping[str, str] | None],
    origins: Iterable[str],
    package: str,
) -> Any:  # noqa: ANN401 - the type of one of two packages
    """Return the authentication of httpx, or of httpx2, that `Identity.httpx_auth` describes.

    `headers` returns the headers for an address; `refused` the headers that replace refused ones.
    """
    with _library(package):
        from anyio import to_thread

        library = import_module(package)
        base: Any = library.Auth

    only = frozenset(map(origin, origins))

    def server(request: httpx.Request) -> str | None:
        """Return the address of the server, without path and login; None if it gets no token."""
        address = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
        if not only:
            return address
        try:
            return address if origin(address) in only else None
        except UsageError:
            # No token may be sent there.
            return None

    def is_refused(request: httpx.Request, response: httpx.Response) -> bool:
        """Return whether a service refused the token of a request that can be sent again."""
        # After a redirection, the first request was accepted, and must not be repeated.
        if response.status_code != HTTPStatus.UNAUTHORIZED or response.request is not request:
            return False
        try:
            return request.content is not None
        except library.RequestNotRead:
            # A stream can be read once.
            return False

    class IdentityAuth(base):  # type: ignore[misc] # one of two packages
        """Adds a token for the origin of a request. The client removes it before it follows a redirection elsewhere."""

        def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            if (address := server(request)) is None:
                yield request
                return
            sent = headers(address)
            request.headers.update(sent)
            response = yield request
            if is_refused(request, response) and (others := refused(address, sent)) is not None:
                request.headers.update(others)
                yield request

        async def async_auth_flow(
            self, request: httpx.Request
        ) -> AsyncGenerator[httpx.Request, httpx.Response]:
            if (address := server(request)) is None:
                yield request
                return
            sent = await to_thread.run_sync(headers, address)
            request.headers.update(sent)
            response = yield request
            if is_refused(request, response):
                others = await to_thread.run_sync(refused, address, sent)
                if others is not None:
                    request.headers.update(others)
                    yield request

    return IdentityAuth()


def botocore_session(
    held: HeldIdentity,
    new_token: NewToken,
    template: str | None,
    role_arn: str | None,
    audience: str,
    endpoint_url: str | None,
) -> Session:
    """Return the session of botocore that `Identity.botocore_session` describes."""
    if (template is None) is (role_arn is None):
        raise UsageError("state either a template or a role", 'such as botocore_session(template="deploy")')
    if endpoint_url is not None and role_arn is None:
        raise UsageError("the argument `endpoint_url` requires `role_arn`: the target states its own")
    with _library("botocore"):
        from botocore import credentials
        from botocore.config import Config
        from botocore.loaders import Loader
        from botocore.session import Session as BotocoreSession

    session = BotocoreSession()

    def of_target() -> Mapping[str, str]:
        issued = held.attach(RequestedKind(Kind.AWS_STS, template))
        (credential,) = issued.credentials
        from jitid.issuers.issuer import usable_until

        return {
            "access_key": credential.secret.reveal("access_key_id"),
            "secret_key": credential.secret.reveal("secret_access_key"),
            "token": credential.secret.reveal("session_token"),
            "expiry_time": format_time(usable_until(issued.expires_at, credential.facts)),
        }

    def exchanging(service: str, *, config: Config) -> Any:  # noqa: ANN401 - botocore has no types
        """Return the client that is shown a token: no variable and no file chooses its receiver."""
        sts_session = BotocoreSession()
        own_data = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
        sts_session.register_component("data_loader", own_data)
        return sts_session.create_client(
            service,
            region_name=session.get_config_variable("region"),
            endpoint_url=endpoint_url,
            config=config.merge(Config(ignore_configured_endpoint_urls=True)),
        )

    fetch: Callable[[], Mapping[str, str]] = of_target
    if role_arn is not None:
        fetch = credentials.AssumeRoleWithWebIdentityCredentialFetcher(
            client_creator=exchanging,
            web_identity_token_loader=lambda: new_token(audience),
            role_arn=role_arn,
            # AWS logs this name with each call.
            extra_args={"RoleSessionName": held.id},
        ).fetch_credentials

    class IdentityCredentials(credentials.CredentialProvider):  # type: ignore[misc] # botocore has no types
        METHOD = "jitid"
        CANONICAL_NAME = None

        def load(self) -> Any:  # noqa: ANN401 - botocore has no types
            return credentials.DeferredRefreshableCredentials(fetch, self.METHOD)

    # The only provider: static keys in the environment or in files must not replace it.
    session.register_component("credential_provider", credentials.CredentialResolver([IdentityCredentials()]))
    return session


def azure_credential(
    new_token: NewToken, tenant_id: str, client_id: str, audience: str, options: Mapping[str, Any]
) -> TokenCredential:
    """Return the credential of Azure that `Identity.azure_credential` describes."""
    with _library("azure-identity"):
        from azure.identity import AzureAuthorityHosts, ClientAssertionCredential

    # Otherwise a variable of the environment would choose the receiver of the token.
    authority = options.get("authority") or AzureAuthorityHosts.AZURE_PUBLIC_CLOUD
    chosen = {**options, "authority": authority}
    return ClientAssertionCredential(tenant_id, client_id, lambda: new_token(audience), **chosen)


def google_supplier(new_token: NewToken, audience: str | None) -> SubjectTokenSupplier:
    """Return the supplier of Google's library that `Identity.google_supplier` describes."""
    with _library("google-auth"):
        from google.auth.identity_pool import SubjectTokenSupplier

    class IdentitySupplier(SubjectTokenSupplier):  # type: ignore[misc, unused-ignore] # a type if it is installed
        """Supplies a token that Google exchanges once."""

        def get_subject_token(self, context: Any, request: Any) -> str:  # noqa: ANN401, ARG002 - as google-auth calls it
            """Return a token for the provider of the identity pool."""
            return new_token(audience or context.audience)

    return IdentitySupplier()


def assertion_provider(new_token: NewToken, audience: str | None) -> AssertionProvider:
    """Return the assertion provider that `Identity.mcp_assertion` describes."""
    with _library("anyio"):
        from anyio import to_thread

    async def provide(stated: str) -> str:
        return await to_thread.run_sync(new_token, audience or stated)

    return provide
