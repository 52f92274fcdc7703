"""When a held credential is renewed, and when a failed renewal is tried again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.errors import InvalidCredentialError, JitidError
from jitid.model.process import renewal_due

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued

NEVER = float("inf")

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
"""Seconds from a failed renewal to the next try."""

_LAST_CHANCE = 0.5
"""Seconds before its expiry in which a credential is no longer renewed: the ledger counts whole seconds."""

SOONEST = 0.25
"""The part of a lifetime before which it is not renewed."""


class RenewalSchedule:
    """The times of the renewals of one credential and its successors, in seconds since the epoch."""

    def __init__(self, issued: Issued, until: float, *, renewed: bool = True, left: int = 0) -> None:
        """`until` is the latest useful expiry. Without `renewed`, no renewal is due.

        `left` are the seconds that the credential always has left, if its lifetime permits that.
        """
        self._until = until
        self._left = left
        self._wait = _FIRST_WAIT
        self.expires_at: float = issued.expires_at
        """When the current credential expires."""
        self.due = self._next(issued) if renewed else NEVER
        """Time of the next action: a renewal, or the expiry; `NEVER` if no action is left."""

    def renewed(self, issued: Issued, now: float) -> None:
        """Plan the next renewal after a successor was issued."""
        self.expires_at = issued.expires_at
        self._wait = _FIRST_WAIT
        self.due = max(self._next(issued), now + _FIRST_WAIT)

    def failed(self, error: Exception, now: float) -> None:
        """Plan the next try after a renewal failed; none if the error is final."""
        remaining = self.expires_at - now
        if isinstance(error, InvalidCredentialError):
            # The credential, its task or an ancestor has ended.
            self.due = self.expires_at
        elif isinstance(error, JitidError):
            wait = self._wait if error.retryable else max(remaining / 3, _FIRST_WAIT)
            self._wait = min(self._wait * 2, _LONGEST_WAIT)
            self.due = self.expires_at if wait > remaining - _LAST_CHANCE else now + wait
        else:
            self.due = min(now + remaining / 3 + _FIRST_WAIT, self.expires_at)

    def is_too_late(self, now: float) -> bool:
        """Return whether the credential expires too soon to be renewed; the expiry is then the next action."""
        if self.expires_at - now >= _LAST_CHANCE:
            return False
        self.due = self.expires_at
        return True

    def _next(self, issued: Issued) -> float:
        """Return when to renew: with a third of the lifetime left. A descendant renews later, after its parent."""
        issued_at, expires_at = issued.issued_at, issued.expires_at
        if expires_at >= self._until:
            return NEVER
        due = renewal_due(issued_at, expires_at, issued.depth) - (expires_at - issued_at) * jitter()
        return due_with(self._left, due, issued_at, expires_at)


def jitter() -> float:
    """Return a random part of a lifetime, up to 0.02: holders that started together do not renew together."""
    return 0.02 * os.urandom(1)[0] / 255


def due_with(left: int, due: float, issued_at: int, expires_at: int) -> float:
    """Return when to renew a credential so that it always has `left` seconds left: at `due`, or earlier.

    A credential whose lifetime is too short for that is renewed after a quarter of it.
    """
    if left == 0:
        return due
    return min(due, max(expires_at - left, issued_at + (expires_at - issued_at) * SOONEST))
