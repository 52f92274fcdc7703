"""The credential that a command holds while it runs: renewed in time, and revoked when the command ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.authority.renewal_schedule import NEVER, RenewalSchedule
from jitid.capabilities.inventory.operations import Revoke
from jitid.capabilities.issue.operations import Renew
from jitid.capabilities.run.child import Clock
from jitid.capabilities.run.token_place import TokenPlace
from jitid.cli.invocation import Invocation
from jitid.cli.issue.issue import hand_over
from jitid.errors import InvalidCredentialError, JitidError
from jitid.model.ledger_rows import Selection
from jitid.model.request import RenewRequest
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.values.secret import Secret

_PATIENCE = 2.0
"""Seconds that a renewal waits for the ledger. It is short, because signals wait too, and a retry has time left."""


class Hold:
    """A credential that a command holds."""

    def __init__(
        self,
        cli: Invocation,
        issued: Issued,
        token_place: TokenPlace,
        *,
        ttl: int,
        allow_narrower: bool,
        until: int | None,
        renewed: bool,
        left: int = 0,
    ) -> None:
        """Hold a credential. Each renewal requests `ttl` seconds; `until` is an outer limit for all of them.

        `left` are the seconds that it always has left, if its lifetime permits that.
        """
        self._cli = cli
        self.issued = issued
        """The result of its issue, or of its last renewal."""
        self._place = token_place
        self._ttl = ttl
        self._allow_narrower = allow_narrower
        self.clock = Clock(max(time.time(), issued.issued_at))
        limit = issued.maximum if renewed else issued.expires_at
        self.until = limit if until is None else min(limit, until)
        """Time when the command must end, in seconds since the epoch."""
        self.id = issued.credentials[0].id
        self._reported = ""
        self._noted = issued.notes
        self._schedule = RenewalSchedule(issued, self.until, renewed=renewed, left=left)

    @property
    def token(self) -> str:
        """The current token."""
        return self.issued.credentials[0].secret.reveal()

    @property
    def secret(self) -> Secret:
        """The current token, as a secret."""
        return self.issued.credentials[0].secret

    def environment(self) -> dict[str, str]:
        """Return the environment variables about the credential for the command."""
        return {
            "JITID_TOKEN_FILE": self._place.path,
            "JITID_PARENT_FILE": self._place.path,
            "JITID_ID": self.id,
            "JITID_TASK": self.issued.task,
            "JITID_EXPIRES_AT": format_time(self.until),
        }

    def renew_when_due(self, now: float) -> float:
        """Renew the credential if it is due, and return the time of the next action.

        A failure is reported on standard error and never ends the command: its token works until it expires.
        """
        schedule = self._schedule
        if now < schedule.due:
            return schedule.due
        if now >= schedule.expires_at:
            schedule.due = NEVER
            self._cli.warn(
                f"the credential of {self.id} expired at {format_time(self.issued.expires_at)}; the command continues "
                f"without one, until {format_time(self.until)} at the latest; for another one, run it again: jitid run"
            )
        elif not schedule.is_too_late(now):
            try:
                self._renew()
            except Exception as error:  # noqa: BLE001 - no error of a renewal may end the command
                reason = error.message if isinstance(error, JitidError) else f"{type(error).__name__} (a bug)"
                self._report_failure(reason, lasts=not isinstance(error, InvalidCredentialError))
                schedule.failed(error, now)
            else:
                self._reported = ""
                # The ledger's time stays at its time mark while the machine's clock is behind.
                self.clock.set(max(time.time(), self.issued.issued_at))
                schedule.renewed(self.issued, self.clock())
        return schedule.due

    def end(self, status: int) -> None:
        """End the identity with all its descendants. On failure, print a warning with the command that revokes it."""
        try:
            authority = open_authority(self._cli.config())
            ended = authority.perform(
                Revoke(
                    selection=Selection(ids=(self.id,)),
                    reason=f"its command ended with status {status}",
                    closing=True,
                    most=None,
                    accept_clock=self._cli.accept_clock,
                )
            )
            if ended.unsettled:
                from jitid.authority.settle_at_targets import confirm_quietly

                confirm_quietly(authority, ended, self._cli.warn)
        except Exception as error:  # noqa: BLE001 - this process exits with the status of the command
            reason = error.message if isinstance(error, JitidError) else type(error).__name__
            self._cli.warn(
                f"the credential of the ended command could not be revoked: {reason}; it is valid until "
                f"{format_time(self.issued.expires_at)}: {self._cli.command(f'jitid revoke {self.id}')}"
            )

    def _renew(self) -> None:
        authority = open_authority(self._cli.config(), patience=_PATIENCE)
        try:
            (predecessor,) = self.issued.credentials
            issued = authority.perform(
                Renew(
                    request=RenewRequest(predecessor.secret, self._ttl, self._allow_narrower),
                    accept_clock=self._cli.accept_clock,
                )
            )
            token = issued.credentials[0].secret.reveal()
            hand_over(self._cli, authority, issued, lambda: self._place.put(token))
            self.issued = issued
            for note in issued.notes:
                if note not in self._noted:
                    self._cli.note(note)
            self._noted = issued.notes
        finally:
            authority.close()

    def _report_failure(self, reason: str, *, lasts: bool = True) -> None:
        if reason != self._reported:
            self._reported = reason
            # If another process renewed or ended the credential, this token is invalid or will be soon.
            keeps = (
                f"the command keeps its token until {format_time(self.issued.expires_at)}"
                if lasts
                else "another holder of the token may have renewed or revoked it"
            )
            self._cli.warn(f"the credential of {self.id} could not be renewed: {reason}; {keeps}")
