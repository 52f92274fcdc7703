"""Operations on who may ask an authority: what each takes, and the type of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jitid.operation.base import Operation

if TYPE_CHECKING:
    from jitid.capabilities.access.grant import AccessEnded, AccessRequest, Granted
    from jitid.model.access import Access
    from jitid.model.caller import Caller
    from jitid.values.secret import Secret


class GrantAccess(Operation["Granted"]):
    """Let somebody ask this authority, in roles or in none."""

    wanted: AccessRequest
    accept_clock: bool = False


class BootstrapAccess(Operation["Granted"]):
    """Make the credential that lets the first administrator in: for one hour, and for one grant."""

    accept_clock: bool = False


class RotateAccess(Operation["Granted"]):
    """Put another bearer in the place of one."""

    id: str
    ttl: int | None = None
    """Seconds; None for as long as the first was to count. Of one's own it is never longer than that one."""
    overlap: int | None = None
    """For so many seconds the old one counts on; None for none, of one's own for a minute."""
    accept_clock: bool = False


class RevokeAccess(Operation["AccessEnded"]):
    """End what lets somebody ask."""

    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """All that these have."""
    reason: str | None = None
    accept_clock: bool = False


class AccessPage(NamedTuple):
    """Access credentials, and the time that their states are told for."""

    found: list[Access]
    now: int


class ListAccess(Operation["AccessPage"]):
    """List access credentials, the newest first."""

    live: bool = True
    name: str | None = None
    after: str | None = None
    limit: int


class Authenticate(Operation["Caller"]):
    """Find out who comes with a bearer."""

    bearer: Secret
    client: str | None = None
    """The `client_id` whose secret it is (RFC 6749, section 2.3.1): then only an access token of that caller counts."""


class ClientKey(NamedTuple):
    """A key by which a client proves itself (RFC 7523)."""

    id: str
    """Of the access credential that registers it."""
    jwk: str
    """The public key as JSON (RFC 7517), with its `alg`."""


class FindClientKeys(Operation["list[ClientKey]"]):
    """Return the keys of a client that count now; none where there is no such client."""

    client: str
    """Its name, such as `system:ci`, or the id of its access credential."""


class UseAssertion(Operation["Caller"]):
    """Find out who has proved themselves by what they signed; it counts once."""

    id: str
    """Of the access credential whose key has verified it."""
    jti: str
    """The assertion's id, as it says itself."""
    expires_at: int
    issued_at: int | None = None
    """When it was signed, as it says itself; None if it does not say."""


AnyOperation = (
    GrantAccess
    | BootstrapAccess
    | RotateAccess
    | RevokeAccess
    | ListAccess
    | Authenticate
    | FindClientKeys
    | UseAssertion
)
