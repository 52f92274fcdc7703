"""The session of an agent with its server: requests with the agent's own credential, within limits."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any

from jitid.authority.hand_out import hand_out
from jitid.authority.open import as_holder, open_authority
from jitid.authority.settle_at_targets import confirm_quietly
from jitid.capabilities.identity.operations import HandBack
from jitid.capabilities.inventory.operations import Inspect, Revoke
from jitid.capabilities.issue.operations import Issue
from jitid.errors import (
    ExitStatus,
    InvalidCredentialError,
    JitidError,
    PolicyDeniedError,
    ShownError,
    UsageError,
)
from jitid.mcp import tool_answers
from jitid.mcp.handed_out import AgentLimits, CallPace, Handed, HandedOut, LimitError
from jitid.model.ledger_rows import Selection
from jitid.model.process import RENEWS_NOTHING
from jitid.model.request import IssueRequest
from jitid.operation.base import Operation, Result
from jitid.system.processes import this_process
from jitid.values.record import Record
from jitid.values.text import number_of
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.inventory.operations import Inspection
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.config.effective import Config
    from jitid.mcp.tool_answers import IdentityQuestion, IdentityRequest, Nothing, OneIdentity
    from jitid.operation.base import Authority
    from jitid.values.secret import Secret

_PATIENCE = 2.0
"""Seconds that a call waits for the ledger; the agent can retry, and a signal waits at most that long."""

_MOST_NAMED = 10
"""Maximum number of identities that a warning lists if they could not be revoked."""

_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Host(Record):
    """The parts that the serving command supplies to the session."""

    config: Callable[[], Config]
    accept_clock: bool
    token: Callable[[], Secret]
    """Reads the agent's own token each time, since `run` renews it in place."""
    warn: Callable[[str], None]
    command: Callable[[str], str]
    """Returns a command with the options that select the same configuration."""
    debug: bool
    """Whether an internal error is raised instead of answered."""


class AgentSession:
    """The session of an agent that authenticates with the credential in a file, from start to end of the server."""

    def __init__(self, host: Host, limits: AgentLimits) -> None:
        self._host = host
        self.status: int | None = None
        """The exit status if some handed-out identities could not be revoked at the end."""
        self._limits = limits
        self._pace = CallPace(limits.rate, time.monotonic)
        self.handed = HandedOut()

    def whoami(self, _arguments: Nothing) -> dict[str, Any]:
        """Return the agent's identity and its handed-out identities. Raises JitidError."""
        inspection = self._own()
        self._drop_expired()
        return {
            **tool_answers.own(inspection),
            "most": self._limits.most,
            "handed_out": [tool_answers.handed(identity) for identity in self.handed.all()],
            **self._confinement(),
        }

    def _confinement(self) -> dict[str, Any]:
        """Return the powers of this user's processes beyond the agent's credential, if they can be determined."""
        from jitid.authority.confinement import examine
        from jitid.model.ledger_condition import UnexaminedError

        try:
            return {"confinement": examine(self._host.config()).confinement.value}
        except UnexaminedError:
            return {}

    def what_may_i_do(self, arguments: IdentityQuestion) -> dict[str, Any]:
        """Return whether a request would be permitted, without a change. Raises JitidError for an invalid request."""
        # Policies depend on the name of the agent, so its own name is the default.
        request = self._request(arguments, arguments.agent or self._own().credential.agent)
        try:
            preview = Issue(requests=(request,), dry_run=True, accept_clock=self._host.accept_clock)
            (foreseen,) = self._perform(preview, request.parent)
        except PolicyDeniedError as denial:
            return tool_answers.denial(denial)
        return tool_answers.foreseen(foreseen)

    def request_identity(self, arguments: IdentityRequest) -> dict[str, Any]:
        """Delegate from the agent's own credential, and return the path of the token file. Raises JitidError."""
        request = self._request(arguments, arguments.agent)
        if not request.audiences:
            raise UsageError(
                "the request names no service for the token",
                "name it in `audiences`, among the `may_audience` of whoami",
            )
        self._must_have_room()
        self._must_have_a_turn()
        own_process = this_process(kept=self._limits.keep, renews_until=RENEWS_NOTHING)
        request = request._replace(process=own_process)
        issued = self._issue(request)
        (identity,) = self.handed.unshown()
        return {
            **tool_answers.granted(issued),
            **tool_answers.handed(identity),
            "jti": identity.jti,
            "parent": issued.parent,
            "issued_at": format_time(issued.issued_at),
        }

    def hand_back(self, arguments: OneIdentity) -> dict[str, Any]:
        """Revoke the agent's own identity or one below it. Raises JitidError."""
        token = self._own_token()
        self._must_have_a_turn()
        operation = HandBack(
            token=token, id=arguments.id, reason="handed back", accept_clock=self._host.accept_clock
        )
        result = self._perform(operation, token)
        self.handed.drop(result.id)
        if result.ended.unsettled:
            # The agent may have revoked itself, and then sends no further request.
            with self._opened() as authority:
                confirm_quietly(authority, result.ended, self._host.warn)
        if result.ended.unproved is not None:
            self._host.warn(
                f"no proof that the ledger refuses leaked credentials of {result.id}: {result.ended.unproved}"
            )
        return tool_answers.handed_back(result)

    def end(self) -> None:
        """Revoke the handed-out identities, unless they are kept, and remove their files. Failures are reported.

        An identity whose answer was not written is revoked in any case. From here on signals are blocked: a client
        that has closed its end soon sends them.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        to_revoke = self.handed.unshown() if self._limits.keep else self.handed.all()
        if to_revoke:
            self._revoke(to_revoke)
        for identity in to_revoke:
            self.handed.drop(identity.id)
        self.handed.close()

    def _issue(self, request: IssueRequest) -> Issued:
        operation = Issue(requests=(request,), accept_clock=self._host.accept_clock)
        with self._opened() as authority:
            # A signal must not end the process before a new identity is recorded here.
            old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
            try:
                (issued,) = self._perform_as_agent(authority, operation, request.parent)
                hand_out(
                    authority,
                    [issued],
                    lambda: self.handed.add(issued),
                    warn=self._host.warn,
                    command=self._host.command,
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
        return issued

    def _revoke(self, to_revoke: list[Handed]) -> None:
        ids = tuple(identity.id for identity in to_revoke)
        try:
            authority = open_authority(self._host.config())
            ended = authority.perform(
                Revoke(
                    selection=Selection(ids=ids),
                    reason="its MCP server ended",
                    closing=True,
                    most=None,
                    accept_clock=self._host.accept_clock,
                )
            )
            confirm_quietly(authority, ended, self._host.warn)
        except Exception as error:  # noqa: BLE001 - no other code reports the credentials that stay live
            reason, status = type(error).__name__, ExitStatus.BUG
            if isinstance(error, JitidError):
                reason, status = error.message, error.exit_status
            last_expiry = format_time(max(identity.expires_at for identity in to_revoke))
            command = (
                f"jitid revoke {' '.join(ids)}"
                if len(ids) <= _MOST_NAMED
                else "jitid list --process gone --field id | jitid revoke --ids-file -"
            )
            self._host.warn(
                f"{number_of(len(ids), 'identity', 'identities')} could not be revoked: {reason}; valid until "
                f"{last_expiry} at the latest; to revoke: {self._host.command(command)}"
            )
            self.status = status

    def _request(self, arguments: IdentityQuestion, agent: str) -> IssueRequest:
        """Return the request for an identity of an agent, with the session's own credential as its parent."""
        return IssueRequest(
            task=arguments.task,
            delegator=None,
            agent=agent,
            scopes=arguments.scopes,
            # A remote authority does not know the client's settings: without an audience it makes an identity token.
            audiences=tuple(dict.fromkeys(arguments.audiences or self._host.config().many("audience"))),
            ttl=arguments.ttl,
            purpose=arguments.purpose,
            parent=self._own_token(),
            may_kind=arguments.may_kind,
        )

    def _own(self) -> Inspection:
        token = self._own_token()
        inspection = self._perform(Inspect(token=token), token)
        if inspection.reason is not None:
            raise _not_valid(inspection.reason)
        return inspection

    def _own_token(self) -> Secret:
        return self._host.token()

    @contextmanager
    def _opened(self) -> Iterator[Authority]:
        """Open the authority for one call, like a command: with the current policy and the current ledger."""
        authority = open_authority(self._host.config(), patience=_PATIENCE)
        try:
            yield authority
        finally:
            authority.close()

    def _perform(self, operation: Operation[Result], token: Secret | None) -> Result:
        with self._opened() as authority:
            return self._perform_as_agent(authority, operation, token)

    def _perform_as_agent(
        self, authority: Authority, operation: Operation[Result], token: Secret | None
    ) -> Result:
        """Perform an operation with the agent's own token.

        This also holds for a local ledger, to which the server has access, but the agent has not.
        """
        assert token is not None
        holder = as_holder(self._host.config(), authority, token)
        try:
            return holder.perform(operation)
        except InvalidCredentialError as error:
            if _is_valid(holder, token):
                # The authority refuses the process of the server.
                raise
            raise _not_valid(error.message) from error
        except ShownError as error:
            error.message = f"your own credential is a service token: {error.message}"
            raise

    def _must_have_a_turn(self) -> None:
        seconds = ceil(self._pace.take() * 10) / 10
        if seconds:
            raise LimitError(
                f"too many calls that write to the ledger; the limit is {self._limits.rate} a second",
                f"try again in {seconds} s",
                seconds,
            )

    def _must_have_room(self) -> None:
        self._drop_expired()
        if len(self.handed) < self._limits.most:
            return
        earliest = min(identity.expires_at for identity in self.handed.all())
        raise LimitError(
            f"the limit of {self._limits.most} live identities is reached",
            f"hand back an identity (hand_back), or try again after {format_time(earliest)}, when the next one expires",
            max(ceil(earliest - time.time()), 1),
        )

    def _drop_expired(self) -> None:
        # Not performed as the agent: by now its token file may contain the token of another agent.
        def expiry_of(id_: str) -> int | None:
            with self._opened() as authority:
                inspection = authority.perform(Inspect(id=id_))
            return inspection.credential.expires_at if inspection.active else None

        self.handed.drop_expired(time.time(), expiry_of)


def _is_valid(holder: Authority, token: Secret) -> bool:
    try:
        return holder.perform(Inspect(token=token)).active
    except InvalidCredentialError:
        return False


def _not_valid(reason: str) -> InvalidCredentialError:
    reason = reason.removeprefix("the parent's credential is not valid: ")
    return InvalidCredentialError(
        f"your own credential is not valid: {reason}",
        "the program that started you must renew it, or give you another credential",
    )
