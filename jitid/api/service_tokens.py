"""The service tokens of an identity: one for each audience, shared by all threads, and replaced in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from jitid.errors import IntegrityError, JitidError
from jitid.values.record import Record
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued

_RETRY = 5.0
"""Seconds from a failed replacement to the next try, while the earlier token works."""
_PAUSE = 1.0
"""Minimum number of seconds between two tokens for one audience."""


class _HeldToken(Record):
    token: Secret
    expires_at: float
    made: float
    """When it was obtained, in seconds since the epoch."""
    due: float
    """The time from which the next use replaces it, in seconds since the epoch."""


class _Slot:
    """The token for one audience."""

    def __init__(self) -> None:
        self.held: _HeldToken | None = None
        # A signal handler may request the token that the interrupted code is about to get.
        self.lock = threading.RLock()


class ServiceTokens:
    """The service tokens that one identity has obtained."""

    def __init__(self, attach: Callable[[str], Issued], clock: Callable[[], float], until: float) -> None:
        """`attach` obtains a token for an audience. No token is useful after `until`."""
        self._attach = attach
        self._clock = clock
        self._until = until
        self._slots: dict[str, _Slot] = {}

    def get(self, audience: str) -> Secret:
        """Return the token for an audience. It has a third of its lifetime left, if the authority answers.

        Raises the errors of `attach`, unless they are temporary and an earlier token still works.
        """
        # In CPython this is atomic, so that all threads get the same slot.
        slot = self._slots.setdefault(audience, _Slot())
        held = slot.held
        if held is None or self._clock() >= held.due:
            with slot.lock:
                held = self._replaced(slot, audience)
        return held.token

    def fresh(self, audience: str) -> Secret:
        """Return a new token that is not shared. Raises the errors of `attach`."""
        return _checked(self._attach(audience))

    def refused(self, audience: str, token: str) -> bool:
        """Drop the shared token for an audience if it is this one, which a service refused.

        Return whether `get` returns another one. A service that refuses each token must not cause a new one for each
        request: a token that was just obtained stays.
        """
        slot = self._slots.get(audience)
        if slot is None:
            return True
        with slot.lock:
            held = slot.held
            if held is None or held.token.reveal() != token:
                # Another thread has replaced it.
                return True
            if self._clock() < held.made + _RETRY:
                return False
            slot.held = None
            return True

    def clear(self) -> None:
        """Drop all tokens."""
        self._slots = {}

    def _replaced(self, slot: _Slot, audience: str) -> _HeldToken:
        held, now = slot.held, self._clock()
        if held is not None and now < held.due:
            # Another thread has replaced it.
            return held
        try:
            issued = self._attach(audience)
        except JitidError as error:
            if held is None or not error.retryable or now >= held.expires_at:
                raise
            slot.held = held._replace(due=min(now + _RETRY, held.expires_at))
            return held
        token = _checked(issued)
        due = issued.issued_at + (issued.expires_at - issued.issued_at) * 2 / 3
        if issued.expires_at >= self._until:
            # No later token would live longer.
            due = issued.expires_at
        slot.held = _HeldToken(token, issued.expires_at, now, max(due, now + _PAUSE))
        return slot.held


def _checked(issued: Issued) -> Secret:
    token = issued.credentials[0].secret
    if any(not "!" <= character <= "~" for character in token.reveal()):
        # In a header, a line break would begin another header.
        raise IntegrityError("the authority's token has a character that no token has")
    return token
