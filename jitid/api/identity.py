"""An identity of a program, for the length of a block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Self

from jitid.api.authority_access import AuthorityAccess, AuthorityChoice
from jitid.api.held_identity import HeldIdentity
from jitid.api.issue_identity import IssueRight, issue_identity
from jitid.api.stated import detail_texts, kinds_of, seconds_of, several
from jitid.errors import JitidError, PolicyDeniedError, UsageError
from jitid.model.request import IssueRequest
from jitid.system.program_request import origin
from jitid.values.field_types import AGENT, AUDIENCE, REACH, SCOPE
from jitid.values.secret import Secret
from jitid.values.text import quote

if TYPE_CHECKING:
    from types import TracebackType

    import httpx
    import httpx2
    from azure.core.credentials import TokenCredential
    from botocore.session import Session
    from google.auth.identity_pool import SubjectTokenSupplier

    from jitid.api.adapters import AssertionProvider


class Identity:
    """An identity of this process. `jitid.identity` and `Identity.delegate` make it; a `with` block issues it.

    All methods may be called from several threads. In an asyncio program, `async with` and `asyncio.to_thread` keep
    the event loop free. A forked process has none of its secrets: there only `delegate` and `parent_file` work, and
    leaving the block does nothing.

    It shows no secret, and cannot be pickled or copied.
    """

    def __init__(
        self,
        request: IssueRequest,
        choice: AuthorityChoice,
        *,
        parent_file: str | None = None,
        proof: Secret | None = None,
        parent: HeldIdentity | None = None,
        keep_task: bool = False,
    ) -> None:
        self._request = request
        self._choice = choice
        self._parent_file = parent_file
        self._proof = proof
        self._parent = parent
        self._keep_task = keep_task
        self._held: HeldIdentity | None = None
        self._notes: list[str] = []

    def __enter__(self) -> Self:
        """Issue the identity.

        Raises:
            UsageError: a task or a delegator is missing, or an argument is invalid.
            ConfigurationError: a setting is invalid.
            PolicyDeniedError: the policy refuses it. ApprovalNeededError: it needs an approval first.
            InvalidCredentialError: the parent's token is not valid.
            RefusedError: the authority refuses this caller.
            StorageError: the ledger or the authority cannot be reached; a retry may succeed.
            IntegrityError: the ledger or a key is damaged or open to others.

        """
        if self._held is not None:
            raise UsageError("the block of an identity cannot begin twice", "call jitid.identity again")
        access = AuthorityAccess(self._choice) if self._parent is None else self._parent.access
        try:
            self._held = issue_identity(
                access,
                self._request,
                IssueRight(self._parent, self._parent_file, self._proof),
                self._notes.append,
                keep_task=self._keep_task,
            )
            self._held.start()
        except BaseException:
            try:
                if self._held is not None:
                    self._held.end()
            finally:
                if self._parent is None:
                    access.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the identity. An error of the block is never hidden: a failure is then added to it as a note.

        Raises:
            PartialError: the block had no error, and the identity could not be revoked; it is valid until it expires.

        """
        held = self._held
        if held is None:
            return
        try:
            held.end()
        # A bug too must not replace the error of the block.
        except Exception as failure:
            if error is None:
                raise
            text = failure.message if isinstance(failure, JitidError) else f"{type(failure).__name__} (a bug)"
            hint = f" (run: {failure.hint})" if isinstance(failure, JitidError) and failure.hint else ""
            error.add_note(f"jitid: {text}{hint}")
        finally:
            if self._parent is None and not held.is_foreign:
                held.access.close()

    async def __aenter__(self) -> Self:
        """Issue the identity in another thread, as `__enter__` does."""
        changing, outcomes = threading.Lock(), set[str]()

        def settle(outcome: str) -> None:
            with changing:
                outcomes.add(outcome)
                is_unused = len(outcomes) == 2
            if is_unused:
                # The block never begins.
                self.__exit__(None, None, None)

        def enter() -> None:
            self.__enter__()
            settle("issued")

        try:
            await asyncio.to_thread(enter)
        except asyncio.CancelledError:
            # The thread may still issue the identity, or has just done so.
            settle("cancelled")
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the identity in another thread, as `__exit__` does, even if the task is cancelled meanwhile."""
        ending = asyncio.ensure_future(asyncio.to_thread(self.__exit__, kind, error, traceback))
        await asyncio.shield(ending)

    @property
    def id(self) -> str:
        """Id of the identity in the ledger, `jid_…`; the same after each renewal."""
        return self._entered().id

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._entered().facts.task

    @property
    def agent(self) -> str:
        """Name of the acting agent."""
        return self._entered().facts.agent

    @property
    def delegator(self) -> str:
        """The root delegator, such as `user:alice`."""
        return self._entered().facts.delegator

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of the current credential; a renewal may narrow them."""
        return self._entered().facts.scopes

    @property
    def expires_at(self) -> datetime:
        """When the current credential expires (UTC). A renewal sets it to a later time."""
        return datetime.fromtimestamp(self._entered().expires_at, UTC)

    @property
    def renews_until(self) -> datetime:
        """Until when policy and task permit renewals (UTC). The identity ends then, also within the block."""
        return datetime.fromtimestamp(self._entered().until, UTC)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about each value that was narrowed or raised, with the reason, and about a first use."""
        return (*self._notes, *self._entered().facts.notes)

    @property
    def parent_file(self) -> str:
        """Path of a private file with the current identity token, for other processes of this user.

        Give it to `jitid.identity(parent_file=…)` or `jitid issue --parent-file`, which delegate from this identity.
        Each renewal replaces the token. The file disappears with the identity. Raises InvalidCredentialError and
        StorageError.
        """
        return self._entered().path()

    def token(self, *, audience: str | None = None, fresh: bool = False) -> str:
        """Return a service token for one audience; each use may return a later one.

        Threads share one token for an audience. It is replaced at the first use after two thirds of its lifetime.

        Args:
            audience: the service, such as `https://api.example.com`. Default: the only `audience` of the identity.
            fresh: return a token that was never returned before, for a service that accepts each `jti` once.

        Raises:
            UsageError: no audience is known, or this process was forked.
            PolicyDeniedError: the policy or the identity's grant does not permit tokens for the audience.
            InvalidCredentialError: the identity has ended. ExpiredError: it could not be renewed in time.
            StorageError: the ledger or the authority cannot be reached, and no earlier token works.

        """
        held, service = self._entered(), self._audience(audience)
        try:
            return held.service_token(service, fresh=fresh).reveal()
        except PolicyDeniedError as error:
            if "rule `attenuation`" in error.message:
                # The hint for the command line speaks of a parent: here that is this identity.
                error.hint = (
                    f"issue this identity for it: audience={service!r}; in `jitid run`, "
                    "the run too: --may-audience"
                )
            raise

    def headers(self, url: str) -> dict[str, str]:
        """Return the header `Authorization` for a request to a URL, with a token for the URL's origin alone.

        Raises:
            UsageError: it is not an address with http or https, or the token would cross the network unencrypted.
            PolicyDeniedError and the other errors of `token`.

        """
        if any(not "!" <= character <= "~" for character in url):
            # Parsers remove line feeds and tabs, or do not: two parsers might see two hosts.
            raise UsageError(f"{quote(url, 200)} is not an address: it has a character that addresses lack")
        return {"Authorization": f"Bearer {self.token(audience=origin(url))}"}

    def delegate(
        self,
        *,
        agent: str | None = None,
        scopes: str | Iterable[str] = (),
        audience: str | Iterable[str] = (),
        may_audience: str | Iterable[str] = (),
        ttl: int | str | timedelta | None = None,
        may_kind: str | Iterable[str] = (),
        details: Iterable[Mapping[str, Any]] = (),
        allow_narrower: bool = False,
    ) -> Identity:
        """Return a child of this identity, to be used as a context manager in this process or in a forked one.

        The arguments have the meanings of `jitid.identity`. The child holds no more than this identity, and ends with
        it. Leaving the child's block revokes the child alone.
        """
        held = self._entered()
        request = IssueRequest(
            None,
            None,
            "" if agent is None else AGENT.check(agent),
            scopes=several(scopes, SCOPE),
            audiences=several(audience, AUDIENCE),
            may_audience=several(may_audience, REACH),
            ttl=None if ttl is None else seconds_of(ttl, "ttl"),
            details=detail_texts(details),
            allow_narrower=allow_narrower,
            identity=True,
            may_kind=kinds_of(may_kind),
        )
        return Identity(request, self._choice, parent=held)

    def httpx_auth(self, *origins: str) -> httpx.Auth:
        """Return an `httpx.Auth` that adds a token for the origin of each request (needs the package httpx).

        With `origins`, requests to other origins are sent without a token; without them, such a request raises
        PolicyDeniedError before it is sent. A redirection to another origin never gets the token. After status 401 the
        request is sent once more with a new token, unless its body is a stream or the token was only just obtained.
        """
        from jitid.api import adapters

        auth: httpx.Auth = adapters.httpx_auth(self.headers, self._headers_after, origins, "httpx")
        return auth

    def httpx2_auth(self, *origins: str) -> httpx2.Auth:
        """Return the same for the package httpx2, which the MCP SDK uses."""
        from jitid.api import adapters

        auth: httpx2.Auth = adapters.httpx_auth(self.headers, self._headers_after, origins, "httpx2")
        return auth

    def botocore_session(
        self,
        *,
        template: str | None = None,
        role_arn: str | None = None,
        audience: str = "sts.amazonaws.com",
        endpoint_url: str | None = None,
    ) -> Session:
        """Return a botocore session whose credentials are obtained when needed, and again before they expire.

        Args:
            template: template of a target of the kind `aws-sts`; the identity needs `may_kind="aws-sts:TEMPLATE"`.
            role_arn: instead, a role that AWS gives in exchange for a token for `audience` (web identity).
            audience: audience of that token, as the identity provider in AWS states it.
            endpoint_url: address of AWS STS for `role_arn`, if not that of the region. Neither the environment nor a
                file of AWS chooses it.

        Raises UsageError unless exactly one of `template` and `role_arn` is stated.
        """
        from jitid.api import adapters

        return adapters.botocore_session(
            self._entered(), self._new_token, template, role_arn, audience, endpoint_url
        )

    def azure_credential(
        self,
        *,
        tenant_id: str,
        client_id: str,
        audience: str = "api://AzureADTokenExchange",
        **options: object,
    ) -> TokenCredential:
        """Return a `TokenCredential` for an application in Microsoft Entra with a federated credential.

        `options` are those of `azure.identity.ClientAssertionCredential` (needs the package azure-identity). For a
        cloud other than the public one, state its `authority`: $AZURE_AUTHORITY_HOST does not choose who is shown the
        token.
        """
        from jitid.api import adapters

        return adapters.azure_credential(self._new_token, tenant_id, client_id, audience, options)

    def google_supplier(self, *, audience: str | None = None) -> SubjectTokenSupplier:
        """Return a `SubjectTokenSupplier` for `google.auth.identity_pool.Credentials` (needs google-auth).

        `audience` is the audience of the token; by default the audience of these credentials, the name of the provider.
        """
        from jitid.api import adapters

        return adapters.google_supplier(self._new_token, audience)

    def mcp_assertion(self, *, audience: str | None = None) -> AssertionProvider:
        """Return an assertion provider for the OAuth clients of the MCP SDK.

        It is an async function from an audience to a token. `audience` replaces the audience that the client states,
        which comes from the server's metadata; the identity's grant bounds both. State the SDK's `issuer`, too.
        """
        from jitid.api import adapters

        return adapters.assertion_provider(self._new_token, audience)

    def __repr__(self) -> str:
        held = self._held
        return "<jitid.Identity, not issued>" if held is None else f"<jitid.Identity {held.id} token=****>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "an identity cannot be pickled or copied: give its `parent_file` to the other process"
        )

    def _headers_after(self, url: str, refused: Mapping[str, str]) -> dict[str, str] | None:
        """Return headers that replace refused ones; None if the refused token was only just obtained."""
        token = refused["Authorization"].removeprefix("Bearer ")
        is_due = self._entered().tokens.refused(self._audience(origin(url)), token)
        return self.headers(url) if is_due else None

    def _new_token(self, audience: str) -> str:
        return self.token(audience=audience, fresh=True)

    def _audience(self, stated: str | None) -> str:
        if stated is not None:
            return AUDIENCE.check(stated)
        audiences = self._request.audiences or self._entered().access.config.many("audience")
        if len(audiences) != 1:
            named = f"; this identity is for {', '.join(audiences)}" if audiences else ""
            raise UsageError(
                "an audience is required", f'name the service: token(audience="https://…"){named}'
            )
        return audiences[0]

    def _entered(self) -> HeldIdentity:
        if self._held is None:
            raise UsageError(
                "the identity is not issued yet", "begin its block: with jitid.identity(…) as me"
            )
        return self._held
