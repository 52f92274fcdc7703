"""Operations on access to an authority: their parameters and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.formats.columns import Columns
from jitid.model.access import BOOTSTRAP, ROLE
from jitid.operation.base import IDEMPOTENT, KEYED, READS, Operation, reason_opt, rows_opt
from jitid.values.declaration import arg, args, flag, local, opt, opts, value, values
from jitid.values.field_types import ACCESS_ID, AUDIENCE, COUNT, DELEGATOR, DURATION, FILE, TEXT, typed_as
from jitid.values.ids import parse_access_id
from jitid.values.names import check_delegator
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.access.grant import AccessEnded, AccessRequest, Granted
    from jitid.model.access import Access, Caller, LoginProof
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
        help="Lifetime (default: token 12h, key 30d).",
        default=None,
    )


def _out_opt() -> str | None:
    return opt(FILE, "--out", "-o", help="Write the access token to FILE, mode 0600.")


class _AccessOperation(Operation["Granted"]):
    """An operation that creates an access credential, and returns its token."""

    def fits(self, answer: Granted) -> bool:
        """Return whether the access token, if there is one, is a single text."""
        return answer.secret is None or answer.secret.names == ("token",)

    def aftermath(self) -> str | None:
        """Return the command that lists access."""
        return "jitid access list"


class GrantAccess(_AccessOperation):
    """Grant a person or a service access to an authority.

    The access token is printed once, alone on a line. It cannot be shown again. Callers send it with jitid --remote,
    or in the HTTP header Authorization.

    No role includes another one. A caller without a role may use its own credentials: issue, delegate, renew and
    revoke them. It may also decide on approvals for its groups.

    With --key a client authenticates with its private key (RFC 7523). FILE has the public key: a JWK, PEM or a line of
    OpenSSH. The verb then prints the id of the access credential.
    """

    # The bootstrap credential has no role: it grants the first administrator access, which uses it up.
    summary = "Grant a person or a service access to an authority."
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
            help="issuer, verifier, responder, sweeper, auditor or admin; repeatable.",
        )
    )
    audience: tuple[str, ...] = local(
        opts(AUDIENCE, "--audience", help="Audience of the tokens it sees; repeatable.")
    )
    all_audiences: bool = local(flag("--all-audiences", help="Show it tokens for any audience."))
    ttl: int | None = local(_ttl_opt())
    key: str | None = local(
        opt(
            FILE,
            "--key",
            help="Register the public key in FILE, without a token.",
        )
    )
    wanted: AccessRequest
    out: str | None = local(_out_opt())
    accept_clock: bool = False


class BootstrapAccess(Operation["Granted"]):
    """Write a credential for the first administrator's access.

    The bootstrap credential is written to a new FILE. It expires after one hour. It can grant the role admin once,
    and has no other right. If an administrator exists already, this is an error.
    """

    local = True
    verb = "access bootstrap"
    function = "directory.access_verbs:bootstrap"

    file: str = arg(FILE, "FILE", help="A new file for the credential.")
    accept_clock: bool = False


class LogIn(_AccessOperation):
    """Log a person in with an ID token of a configured issuer.

    The ID token must be for the issuer's `client_id`, and counts once. At an authority the answer has an access token
    for the person, without a role. Beside a ledger the login proves the person for the system user who requests it.
    """

    summary = "Log a person in with an ID token."
    for_anybody = True
    authenticates = True

    token: Secret
    """The ID token (OpenID Connect Core, section 2)."""
    authority: str | None = value(TEXT, default=None)
    """The address by which the client has the authority; beside a ledger, its issuer."""
    seed: str | None = value(TEXT, default=None)
    """The random text that the `nonce` of the ID token was made from, with `authority`; None for the device flow."""


class FindLogin(Operation["LoginProof | None"]):
    """Return the login that a system user has beside the ledger; None without a login."""

    local = True
    effect = READS

    holder: str = value(TEXT)
    """The system user, as `LOGIN+HASH@HOST`."""
    counts: bool = True
    """Whether the login must count now, and the directory and the configuration must not exclude it."""
    ended: bool = False
    """If it need not count, whether it may have ended."""


class RotateAccess(_AccessOperation):
    """Replace an access token, and print the new one.

    A token can be rotated once. A second rotation is refused and recorded. If callers rotate their own token, the new
    token expires when the old one would. The old one stays valid for a minute, or for --overlap.
    """

    summary = "Replace an access token."
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
        help="Overlap with the old token (default: none).",
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
    """Revoke access by its id, or all access of a caller.

    For a caller with a role, an id also revokes the predecessors and successors that its holder created by rotation:
    a thief may have created them. The ones from an administrator stay valid. A caller without a role revokes the
    id alone.

    Credentials that were issued to the holder stay valid. To revoke them, use jitid-revoke(1).
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
            help="Ids of access credentials, or callers' names.",
            required=True,
        )
    )
    ids: tuple[str, ...] = values(ACCESS_ID, default=())
    names: tuple[str, ...] = values(DELEGATOR, default=())
    """Names whose access credentials are all revoked."""
    reason: str | None = reason_opt()
    accept_clock: bool = False


class AccessPage(Record):
    """Access credentials, and the time of their states."""

    found: list[Access]
    now: int


class ListAccess(Operation["AccessPage"]):
    """List access to an authority, newest first.

    --all also lists expired, rotated and revoked access.
    """

    roles = ("responder", "auditor", "admin")
    effect = READS
    verb = "access list"
    function = "directory.access_verbs:list_"
    view = Columns(
        "jitid.access-list/1",
        "id name roles=shown_roles state by issued_at expires_at ends_at ended_at predecessor event ended_event "
        "audiences=shown_audiences subject proved_at holder",
        brief="id name roles state left audiences",
        more="left",
    )

    live: bool = flag("--all", help="Include expired, rotated and revoked access.", default=True)
    name: str | None = opt(DELEGATOR, "--name", help="Only access of this person or service.", default=None)
    after: str | None = value(ACCESS_ID, default=None)
    limit: int = rows_opt()


class Authenticate(Operation["Caller"]):
    """Authenticate the caller that presents an access token."""

    # The serving process itself performs these on the authority; callers that it serves may not.

    local = True

    bearer: Secret
    client: str | None = None
    """The `client_id` of that secret (RFC 6749, section 2.3.1): then it must be an access token of that caller."""


class ClientKey(Record):
    """A key with which a client authenticates (RFC 7523)."""

    id: str
    """The id of the access credential that registers the key."""
    jwk: str
    """The public key as JSON (RFC 7517), with its `alg`."""


class FindClientKeys(Operation["list[ClientKey]"]):
    """Return the valid keys of a client; an empty list for an unknown client."""

    local = True

    client: str
    """The client's name, such as `system:ci`, or the id of its access credential."""


class UseAssertion(Operation["Caller"]):
    """Authenticate the client that signed an assertion, which is accepted once."""

    local = True

    id: str
    """The id of the access credential whose key verified the assertion."""
    jti: str
    """The id in the assertion."""
    expires_at: int
    issued_at: int | None = None
    """The time of the signature, as stated in the assertion; None if it is not stated."""
