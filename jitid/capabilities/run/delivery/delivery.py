"""What every way to deliver a secret does, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from jitid.values.secret import Secret


class Delivered(NamedTuple):
    """A secret of a run, by the name that the run has for it."""

    name: str
    kind: str
    secret: Secret
    facts: Mapping[str, Any]
    """What its maker tells besides: never a secret."""
    expires_at: int
    """Seconds since the epoch."""
    text: str
    """All of it as its user reads it from one file, as `jitid issue` prints it."""
    beside: Mapping[str, str] = {}
    """What its user needs besides, and is no secret: whom to trust."""


class Delivery(Protocol):
    """One way to deliver secrets, to all that are to be delivered so."""

    def put(self, one: Delivered) -> None:
        """Let its user find a secret from now on, instead of an earlier one of that name.

        Raises StorageError, RefusedError, UsageError; the earlier one is then found as before.
        """

    def environment(self) -> dict[str, str]:
        """Return the variables by which a command finds what was put, whatever is put later."""

    def hidden(self) -> frozenset[str]:
        """Return the variables that would lead the command past what was put."""

    def close(self) -> None:
        """Take all of it away; it raises nothing."""
