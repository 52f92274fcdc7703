"""An identity that this process holds: a thread renews it, and the process that issued it ends it."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from jitid.api import forks
from jitid.api.authority_access import AuthorityAccess
from jitid.api.forks import Reactions
from jitid.api.service_tokens import ServiceTokens
from jitid.authority.renewal_schedule import NEVER, RenewalSchedule
from jitid.capabilities.inventory.operations import Retire, Revoke
from jitid.capabilities.issue.operations import Attach, Renew
from jitid.capabilities.run.child import Clock
from jitid.capabilities.run.token_place import IDENTITY, TokenPlace, open_place
from jitid.errors import (
    ExpiredError,
    InvalidCredentialError,
    JitidError,
    NotFoundError,
    PartialError,
    RefusedError,
    UsageError,
)
from jitid.model.credential import RequestedKind
from jitid.model.ledger_rows import Selection
from jitid.model.request import AttachRequest, RenewRequest
from jitid.model.task import written_task
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.operation.base import Authority
    from jitid.values.secret import Secret

_PATIENCE = 2.0
"""Seconds that a renewal waits for the ledger: tokens and the end of the identity wait too, and a retry has time."""
_LONGEST_SLEEP = 30.0
"""Seconds between two looks at the clock, which may be set, and runs on while the machine sleeps."""


class HeldIdentity:
    """An identity with its current token, its service tokens and its renewal."""

    def __init__(
        self,
        access: AuthorityAccess,
        issued: Issued,
        *,
        ttl: int | None,
        allow_narrower: bool,
        until: int | None,
    ) -> None:
        """Hold an identity that was just issued. Each renewal requests `ttl` seconds; `until` limits all of them."""
        self.access = access
        (credential,) = issued.credentials
        self.id = credential.id
        self.facts = issued._replace(credentials=())
        """The grant, without its secret."""
        self.until = issued.maximum if until is None else min(issued.maximum, until)
        """The latest time until which it can be renewed, in seconds since the epoch."""
        self._secret: Secret | None = credential.secret
        self._ttl = ttl
        self._allow_narrower = allow_narrower
        self._clock = Clock(max(time.time(), issued.issued_at))
        self._schedule = RenewalSchedule(issued, self.until)
        self._failure = ""
        """Why the last renewal failed; empty if it succeeded."""
        self._ended = False
        self._creator = os.getpid()
        self._place: TokenPlace | None = None
        self._path: str | None = None
        self.tokens = ServiceTokens(self._attach_token, lambda: self._clock(), self.until)
        # Reentrant: a signal handler may use the identity that the interrupted code uses.
        self._state = threading.Condition()
        """Guards the fields, for a moment; never held during an operation."""
        self._operating = threading.RLock()
        """Held during an operation: a token that is being renewed is not used for another operation."""

    def start(self) -> None:
        """Renew it from now on, until `end`."""
        forks.enter(self.id, Reactions(self._before_fork, self._after_fork, self._forget, self.end))
        if self._schedule.due != NEVER:
            # A daemon: a program that forgets to leave the block must still be able to end.
            threading.Thread(target=self._renew_in_time, name=f"jitid {self.id}", daemon=True).start()

    @property
    def expires_at(self) -> float:
        """When the current token expires, in seconds since the epoch."""
        return self._schedule.expires_at

    def secret(self) -> Secret:
        """Return the current identity token.

        Raises:
            UsageError: this process was forked from its holder.
            InvalidCredentialError: the identity has ended.
            ExpiredError: it could not be renewed in time; the message says why.

        """
        with self._state:
            if self.is_foreign:
                raise UsageError(
                    "this process was forked, and does not hold the identity of its parent",
                    "delegate for this process: with me.delegate() as mine",
                )
            if self._ended or self._secret is None:
                raise InvalidCredentialError(f"the identity {self.id} has ended: its block was left")
            if self._clock() >= self._schedule.expires_at:
                reason = f": {self._failure}" if self._failure else ""
                raise ExpiredError(
                    f"the identity {self.id} expired at {format_time(int(self._schedule.expires_at))}{reason}",
                    "to continue, issue another identity",
                )
            return self._secret

    @property
    def is_foreign(self) -> bool:
        """Whether another process issued it, from which this process was forked."""
        return os.getpid() != self._creator

    def path(self) -> str:
        """Return the path of the current identity token, for other processes of this user.

        Raises the errors of `secret`, and StorageError if there is no place for a private file.
        """
        if self.is_foreign and self._path is not None:
            return self._path
        with self._state:
            token = self.secret().reveal()
            if self._place is None:
                token_place = open_place(None, IDENTITY)
                try:
                    token_place.put(token)
                except BaseException:
                    token_place.close()
                    raise
                self._place, self._path = token_place, token_place.path
            return self._place.path

    def service_token(self, audience: str, *, fresh: bool) -> Secret:
        """Return a service token for one audience, perhaps a shared one. Raises the errors of `secret` and `Attach`."""
        self.secret()
        return self.tokens.fresh(audience) if fresh else self.tokens.get(audience)

    def attach(self, kind: RequestedKind, audiences: tuple[str, ...] = ()) -> Issued:
        """Return a further credential of the identity. Raises the errors of `secret` and of `Attach`."""
        with self._operating:
            request = AttachRequest(
                self.secret(),
                kind.kind,
                kind.template,
                audiences=audiences,
                ttl=self._ttl,
                allow_narrower=self._allow_narrower,
            )
            with self.access.opened() as authority:
                return authority.perform(Attach(request=request))

    def end(self) -> None:
        """End the identity, or its task if it opened that; do nothing in a forked process, and the second time.

        Raises:
            PartialError: it could not be ended, and is valid until its expiry.

        """
        if self.is_foreign:
            return
        with self._state:
            if self._secret is None:
                return
            self._ended = True
            self._state.notify_all()
        with self._operating:
            try:
                self._end()
            except JitidError as error:
                raise PartialError(
                    f"the identity {self.id} could not be revoked: {error.message}; it is valid until "
                    f"{format_time(int(self._schedule.expires_at))}",
                    f"jitid revoke {self.id}",
                ) from error
            finally:
                self._drop()

    def _before_fork(self) -> None:
        """Prepare a fork: put the token where the forked process can read it, and let no thread change this object."""
        self._state.acquire()
        if self._secret is not None:
            # Without a place, the forked process cannot delegate, and says so.
            with suppress(JitidError, OSError):
                self.path()

    def _after_fork(self) -> None:
        """Continue in the process that has forked."""
        self._state.release()

    def _forget(self) -> None:
        """Drop the secrets in a forked process. The token stays where the creating process keeps it."""
        self._state = threading.Condition()
        self._operating = threading.RLock()
        self._secret = None
        self.tokens.clear()
        token_place, self._place = self._place, None
        if token_place is not None:
            token_place.leave()
        self.access.forget()

    def _attach_token(self, audience: str) -> Issued:
        return self.attach(RequestedKind(self.facts.kind, None), (audience,))

    def _renew_in_time(self) -> None:
        while self._wait_until_due():
            with self._operating:
                self._renew()

    def _wait_until_due(self) -> bool:
        """Wait for the next renewal; return False if none is left."""
        with self._state:
            while not self._ended and self._schedule.due != NEVER:
                now = self._clock()
                if now >= self._schedule.expires_at:
                    self._schedule.due = NEVER
                elif now >= self._schedule.due and not self._schedule.is_too_late(now):
                    return True
                else:
                    self._state.wait(min(max(self._schedule.due - now, 0.01), _LONGEST_SLEEP))
            return False

    def _renew(self) -> None:
        secret = self._secret
        if secret is None or self._ended:
            return
        request = RenewRequest(secret, self._ttl, self._allow_narrower)
        try:
            with self.access.opened(patience=_PATIENCE) as authority:
                issued = authority.perform(Renew(request=request))
        except Exception as error:  # noqa: BLE001 - the next use reports it, once the token has expired
            with self._state:
                self._failure = (
                    error.message if isinstance(error, JitidError) else f"{type(error).__name__} (a bug)"
                )
                self._schedule.failed(error, self._clock())
            return
        with self._state:
            self._failure = ""
            self.facts = issued._replace(credentials=(), opened=self.facts.opened)
            self._secret = issued.credentials[0].secret
            # The ledger's time stays at its time mark while the machine's clock is behind.
            # A new clock, since other threads read the current one.
            self._clock = Clock(max(time.time(), issued.issued_at))
            self._schedule.renewed(issued, self._clock())
            if self._place is not None:
                # Until the overlap ends, the earlier token works there; the next renewal tries again.
                with suppress(JitidError, OSError):
                    self._place.put(self._secret.reveal())

    def _end(self) -> None:
        unconfirmed: list[str] = []
        with self.access.opened() as authority:
            ended = self._ended_at(authority)
            if ended.unsettled:
                from jitid.authority.settle_at_targets import confirm_quietly

                confirm_quietly(authority, ended, unconfirmed.append)
        if unconfirmed:
            raise PartialError("; ".join(unconfirmed))

    def _ended_at(self, authority: Authority) -> Ended:
        if self.facts.opened:
            task = written_task(self.facts.delegator, self.facts.task)
            # The task may have another owner by now.
            with suppress(RefusedError, NotFoundError):
                return authority.perform(Retire(task=task, reason="the program that opened it has ended"))
        selection = Selection(ids=(self.id,))
        return authority.perform(
            Revoke(selection=selection, reason="the block of its program has ended", closing=True, most=None)
        )

    def _drop(self) -> None:
        forks.leave(self.id)
        with self._state:
            self._secret = None
            self.tokens.clear()
            token_place, self._place = self._place, None
        if token_place is not None:
            token_place.close()
