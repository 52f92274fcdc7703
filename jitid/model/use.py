"""What a ledger remembers of the use of credentials, and what it answers about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol


class NewUse(NamedTuple):
    """An action that was decided on, as it is recorded."""

    credential: int | None
    """The ledger's number for it; None for a token that is none of this ledger's."""
    identity: int | None
    jti: str | None
    action: str
    resource: str
    scope: str | None
    """The scope of the credential that covers the action; None if none does, or nobody looked."""
    allowed: bool
    rules: tuple[str, ...]
    reason: str | None
    """Why it was denied."""


class Use(NamedTuple):
    """An action with who acted, for whom and for what. Times are seconds since the epoch."""

    key: int
    at: int
    allowed: bool
    action: str
    resource: str
    scope: str | None
    rules: tuple[str, ...]
    reason: str | None
    event: int
    """The audit event that accounts for it."""
    jti: str | None
    """This and what follows is None for a token that was none of this ledger's."""
    id: str | None
    """The identity."""
    identity_key: int | None
    agent: str | None
    delegator: str | None
    """The root delegator, such as `user:alice`."""
    task: str | None
    purpose: str | None


class UseFilter(NamedTuple):
    """Which actions are meant; every given condition must hold."""

    since: int | None = None
    """Recorded at that time or later."""
    until: int | None = None
    """Recorded before."""
    action: str | None = None
    resource: str | None = None
    task: str | None = None
    agent: str | None = None
    delegators: tuple[str, ...] = ()
    """Names of one root delegator; or `agent:NAME`, for what that agent delegated."""
    event: int | None = None
    rule: str | None = None


class Used(NamedTuple):
    """What was allowed by one scope of an identity, all together. Times are seconds since the epoch."""

    scope: str
    first_at: int
    last_at: int
    uses: int


class UseRow(NamedTuple):
    """An action as the check of the audit log compares it."""

    key: int
    at: int
    event: int
    members: tuple[str | None, str, str, str | None, int, str | None, str | None]
    """What the digest of its event is made of."""


class UseSnapshot(Protocol):
    """The part of a consistent view that is about the use of credentials."""

    def uses(self, chosen: UseFilter, limit: int) -> list[Use]:
        """Return actions in the order of their time."""

    def used_by(self, identities: Iterable[int]) -> Mapping[int, Sequence[Used]]:
        """Return for each of these identities that was used what it was used for, by scope."""

    def approvers_of(self, identity: int) -> frozenset[str]:
        """Return the groups that approved of the issue of an identity."""

    def use_members(self, seq: int) -> list[str]:
        """Return the ids of the credentials whose use an event accounts for, one for each action of ours."""

    def use_rows(self, without: str = "", before: tuple[int, int] = (0, 0)) -> Iterator[UseRow]:
        """Yield every action, in order, but those of identities that stand in the table `without`.

        Also left out are those of no credential of ours before a time, and up to an event.
        """

    def is_rolled_up(self) -> bool:
        """Tell whether what was used is, all together, as the actions say."""


class UseTransaction(Protocol):
    """The part of a durable change that is about the use of credentials."""

    def add_uses(self, uses: Sequence[NewUse]) -> str:
        """Record actions as of now, pointing to the next event, and roll them up; return their digest."""
