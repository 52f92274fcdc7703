"""Operations on access to an authority: their parameters and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.formats.columns import Columns
from jitid.model.access import BOOTSTRAP
from jitid.operation.base import IDEMPOTENT, KEYED, READS, Operation
from jitid.values.declaration import arg, flag, local, opt, value, values
from jitid.values.field_types import (
    ACCESS_ID,
    COUNT,
    DELEGATOR,
    DURATION,
    FILE,
    LIMIT,
    REASON,
    typed_as,
)
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.access.grant import AccessEnded, AccessRequest, Granted
    from jitid.model.access import Access, Caller
    from jitid.values.secret import Secret


GRANTED = Columns(
    "jitid.access-grant/1",
    "token id name roles=access.shown_roles by issued_at expires_at predecessor event audiences=access.shown_audiences",
    single=True,
)
"""An access credential that was just made."""


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
    """Replace an access token, and print the new one.

    For a caller that rotates its own, the new token expires when the old one would, and the old one is valid for
    another minute, or for --overlap. A token is rotated once: a second rotation is refused, and recorded.
    """

    summary = "Replace an access credential of the caller."
    roles = ("admin",)
    for_own = True
    effect = KEYED
    verb = "access rotate"
    function = "directory.access_verbs:rotate"
    view = GRANTED

    id: str = arg(ACCESS_ID, "ACCESS", help="The id of an access credential.")
    ttl: int | None = opt(
        DURATION,
        "--ttl",
        help="For how long (default: a token 12h and at most 30d, a key 30d and at most 365d).",
        default=None,
    )
    """The new lifetime in seconds; None for the lifetime of the old token. A caller's own token is never extended."""
    overlap: int | None = opt(
        typed_as(COUNT, DURATION.metavar, parse=DURATION.parse),
        "--overlap",
        help="How long the old token stays valid (default: not at all).",
        default=None,
    )
    """Seconds that the old token stays valid; None for 0, or for 60 if callers rotate their own token."""
    out: str | None = local(opt(FILE, "--out", help="Write the access token to FILE, mode 0600."))
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
    """List access to an authority, the newest first.

    --all also lists expired, rotated and revoked access.
    """

    roles = ("responder", "auditor", "admin")
    effect = READS
    verb = "access list"
    function = "directory.access_verbs:list_"
    view = Columns(
        "jitid.access-list/1",
        "id name roles=shown_roles state by issued_at expires_at ends_at ended_at predecessor event ended_event "
        "audiences=shown_audiences",
        brief="id name roles state left audiences",
        more="left",
    )

    live: bool = flag("--all", help="Also expired, rotated and revoked access.", default=True)
    name: str | None = opt(DELEGATOR, "--name", help="Only what this person or service has.", default=None)
    after: str | None = value(ACCESS_ID, default=None)
    limit: int = opt(LIMIT, "--limit", help="At most N rows.", absent=1_000)


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
