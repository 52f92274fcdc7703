"""Operations on access to an authority: their parameters and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.model.access import BOOTSTRAP
from jitid.operation.base import IDEMPOTENT, KEYED, READS, Operation
from jitid.values.declaration import value, values
from jitid.values.field_types import ACCESS_ID, COUNT, DELEGATOR, DURATION, REASON, ROWS
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.access.grant import AccessEnded, AccessRequest, Granted
    from jitid.model.access import Access, Caller
    from jitid.values.secret import Secret


class GrantAccess(Operation["Granted"]):
    """Let somebody ask this authority, in roles or in none."""

    # The bootstrap credential has no role: it grants the first administrator access, which uses it up.
    roles = ("admin", BOOTSTRAP)
    effect = KEYED

    wanted: AccessRequest
    accept_clock: bool = False

    def fits(self, answer: Granted) -> bool:
        """Return whether the access token, if there is one, is a single text."""
        return answer.secret is None or answer.secret.names == ("token",)

    def aftermath(self) -> str | None:
        """Return the command that lists access."""
        return "jitid access list"


class BootstrapAccess(Operation["Granted"]):
    """Make the credential that lets the first administrator in: for one hour, and for one grant."""

    local = True

    accept_clock: bool = False


class RotateAccess(Operation["Granted"]):
    """Put another bearer in the place of one."""

    roles = ("admin",)
    for_own = True
    effect = KEYED

    id: str = value(ACCESS_ID)
    ttl: int | None = value(DURATION, default=None)
    """The new lifetime in seconds; None for the lifetime of the old token. A caller's own token is never extended."""
    overlap: int | None = value(COUNT, default=None)
    """Seconds that the old token stays valid; None for 0, or for 60 if callers rotate their own token."""
    accept_clock: bool = False

    def fits(self, answer: Granted) -> bool:
        """Return whether the access token, if there is one, is a single text."""
        return answer.secret is None or answer.secret.names == ("token",)

    def aftermath(self) -> str | None:
        """Return the command that lists access."""
        return "jitid access list"


class RevokeAccess(Operation["AccessEnded"]):
    """End what lets somebody ask."""

    roles = ("responder", "admin")
    for_own = True
    effect = IDEMPOTENT

    ids: tuple[str, ...] = values(ACCESS_ID, default=())
    names: tuple[str, ...] = values(DELEGATOR, default=())
    """Names whose access credentials are all revoked."""
    reason: str | None = value(REASON, default=None)
    accept_clock: bool = False


class AccessPage(Record):
    """Access credentials, and the time that their states are told for."""

    found: list[Access]
    now: int


class ListAccess(Operation["AccessPage"]):
    """List access credentials, the newest first."""

    roles = ("responder", "auditor", "admin")
    effect = READS

    live: bool = True
    name: str | None = value(DELEGATOR, default=None)
    after: str | None = value(ACCESS_ID, default=None)
    limit: int = value(ROWS)


class Authenticate(Operation["Caller"]):
    """Find out who comes with a bearer."""

    # The serving process itself performs these on the authority; callers that it serves may not.

    local = True

    bearer: Secret
    client: str | None = None
    """The `client_id` of that secret (RFC 6749, section 2.3.1): then it must be an access token of that caller."""


class ClientKey(Record):
    """A key by which a client proves itself (RFC 7523)."""

    id: str
    """The id of the access credential that registers the key."""
    jwk: str
    """The public key as JSON (RFC 7517), with its `alg`."""


class FindClientKeys(Operation["list[ClientKey]"]):
    """Return the keys of a client that count now; none where there is no such client."""

    local = True

    client: str
    """The client's name, such as `system:ci`, or the id of its access credential."""


class UseAssertion(Operation["Caller"]):
    """Find out who has proved themselves by what they signed; it counts once."""

    local = True

    id: str
    """The id of the access credential whose key verified the assertion."""
    jti: str
    """The id in the assertion."""
    expires_at: int
    issued_at: int | None = None
    """The time of the signature, as stated in the assertion; None if it is not stated."""
