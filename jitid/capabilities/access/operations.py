"""Operations on access to an authority: their parameters and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.formats.columns import Columns
from jitid.model.access import BOOTSTRAP, ROLE
from jitid.operation.base import IDEMPOTENT, KEYED, READS, Operation, reason_opt, rows_opt
from jitid.values.declaration import arg, args, flag, local, opt, opts, value, values
from jitid.values.field_types import ACCESS_ID, AUDIENCE, COUNT, DELEGATOR, DURATION, FILE, typed_as
from jitid.values.ids import parse_access_id
from jitid.values.names import check_delegator
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


def _ttl_opt() -> int | None:
    return opt(
        DURATION,
        "--ttl",
        help="For how long (default: a token 12h and at most 30d, a key 30d and at most 365d).",
        default=None,
    )


def _out_opt() -> str | None:
    return opt(FILE, "--out", help="Write the access token to FILE, mode 0600.")


class _AccessOperation(Operation["Granted"]):
    """An operation that makes an access credential, and hands out its token."""

    def fits(self, answer: Granted) -> bool:
        """Return whether the access token, if there is one, is a single text."""
        return answer.secret is None or answer.secret.names == ("token",)

    def aftermath(self) -> str | None:
        """Return the command that lists access."""
        return "jitid access list"


class GrantAccess(_AccessOperation):
    """Grant a person or a service access to an authority, and print the access token.

    The caller authenticates with the access token (jitid --remote, or the HTTP header Authorization). It is printed
    once, alone on a line, and cannot be shown again.

    A caller without a role may issue for itself, delegate from, renew and hand back its own credentials, and decide
    on approvals for its groups. Each role is granted separately; no role includes another.

    A verifier sees tokens for its own audiences (--audience), or for any (--all-audiences). A service with an
    audience of its own may exchange a token for that audience if `may_act` in the token names the service.

    With --key a client authenticates with its private key (RFC 7523), and the verb prints the id. FILE has the
    public key: a JWK, PEM, or a line of OpenSSH.
    """

    # The bootstrap credential has no role: it grants the first administrator access, which uses it up.
    summary = "Grant a person or a service access to this authority."
    roles = ("admin", BOOTSTRAP)
    effect = KEYED
    verb = "access grant"
    function = "directory.access_verbs:grant"
    view = GRANTED

    name: str = local(arg(DELEGATOR, "NAME", help="A person or a service: user:NAME, system:NAME."))
    role: tuple[str, ...] = local(
        opts(
            ROLE,
            "--role",
            help="What they may do: issuer, verifier, responder, sweeper, auditor, admin; repeatable.",
        )
    )
    audience: tuple[str, ...] = local(
        opts(
            AUDIENCE, "--audience", help="An audience of its own; repeatable. It sees tokens for these alone."
        )
    )
    all_audiences: bool = local(flag("--all-audiences", help="Let it see tokens for any audience."))
    ttl: int | None = local(_ttl_opt())
    key: str | None = local(
        opt(
            FILE,
            "--key",
            help="Register the public key in FILE (JWK, PEM, OpenSSH); no access token is made.",
        )
    )
    wanted: AccessRequest
    out: str | None = local(_out_opt())
    accept_clock: bool = False


class BootstrapAccess(Operation["Granted"]):
    """Write the bootstrap credential, which grants access to the first administrator.

    It is written to a new FILE. For one hour it can grant the role admin, once, and nothing else. If an
    administrator exists already, no bootstrap credential is made.
    """

    local = True
    verb = "access bootstrap"
    function = "directory.access_verbs:bootstrap"

    file: str = arg(FILE, "FILE", help="The file to make; it must not be there yet.")
    accept_clock: bool = False


class RotateAccess(_AccessOperation):
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
    ttl: int | None = _ttl_opt()
    """The new lifetime in seconds; None for the lifetime of the old token. A caller's own token is never extended."""
    overlap: int | None = opt(
        typed_as(COUNT, DURATION.metavar, parse=DURATION.parse),
        "--overlap",
        help="How long the old token stays valid (default: not at all).",
        default=None,
    )
    """Seconds that the old token stays valid; None for 0, or for 60 if callers rotate their own token."""
    out: str | None = local(_out_opt())
    accept_clock: bool = False


def _holder(text: str, _label: str) -> str:
    if text.startswith("acc_"):
        parse_access_id(text)
        return text
    return check_delegator(text)


class RevokeAccess(Operation["AccessEnded"]):
    """Revoke access: one by its id, or all access of a person or a service.

    For a caller with a role, an id also revokes the predecessors and successors that its holder made by rotation: a
    thief may have made them. Those that a role rotated stay; a caller without a role revokes only the id itself.

    Credentials that were issued to the caller stay valid: jitid-revoke(1) revokes them.
    """

    roles = ("responder", "admin")
    for_own = True
    effect = IDEMPOTENT
    verb = "access revoke"
    function = "directory.access_verbs:revoke"
    view = Columns("jitid.access-revoke/1", "ended=ids event", single=True)

    whose: tuple[str, ...] = local(
        args(
            typed_as(ACCESS_ID, parse=_holder),
            "WHOSE...",
            help="Ids of access credentials, or names.",
            required=True,
        )
    )
    ids: tuple[str, ...] = values(ACCESS_ID, default=())
    names: tuple[str, ...] = values(DELEGATOR, default=())
    """Names whose access credentials are all revoked."""
    reason: str | None = reason_opt()
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
    limit: int = rows_opt()


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
