"""The parts of a local authority, for the modules that perform its operations, and its terms of issuing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from jitid.errors import UsageError
from jitid.keys.keyring import Keyring
from jitid.ledger.contract import Ledger
from jitid.model.credential import is_outside
from jitid.model.request import named
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from datetime import tzinfo

    from jitid.issuers.issuer import Draft
    from jitid.issuers.targets import ChosenTarget, Targets
    from jitid.ledger.transaction import Transaction
    from jitid.model.access import Caller, LoginProof, OidcIssuer
    from jitid.model.ledger_rows import Names
    from jitid.policy.evaluate import Policy


Made = TypeVar("Made")


class Once(Protocol):
    """A function that makes something in a transaction, and replaces the result of an earlier identical request."""

    def __call__(
        self,
        make: Callable[[Transaction], Made],
        kind: str,
        ids: Callable[[Made], tuple[bytes, bytes]],
        *,
        accept_clock: bool,
        shared: bool = False,
        remake: Callable[[Transaction], Made] | None = None,
    ) -> Made:
        """Return the result. `authority/repeat.py` documents the arguments and errors."""


class Context(Record):
    """The parts of a local authority; costly parts are suppliers."""

    ledger: Ledger
    keyring: Keyring
    terms: Callable[[], Terms]
    """The configuration of issuing, read once."""
    audiences: Sequence[str]
    """The default audiences that a token must have; empty: the ledger's issuer."""
    oidc: Callable[[], Sequence[OidcIssuer]]
    timeout: float
    """Seconds for requests to issuers of ID tokens."""
    caller: Caller | None
    """The served caller; None for direct access to the ledger."""
    targets: Callable[[], Targets] | None
    """The external targets of the configuration; None if it has none."""
    prove_leaks_refused: Callable[[], str | None]
    """Records proof that ended leaked credentials are refused; returns the error text if that fails."""
    once: Once
    """Makes something in a transaction, once for each idempotent request: see `authority/repeat.py`."""
    has_role: Callable[[type], bool]
    """Returns whether the caller has a role for an operation; without one it may request only its own objects."""

    @property
    def repeats(self) -> bool:
        """Whether the request is idempotent: it has an idempotency key."""
        return self.caller is not None and self.caller.key is not None

    def visible_audiences(
        self, stated_audiences: Collection[str], names: Names, now: int
    ) -> Collection[str] | None:
        """Return the audiences whose tokens the caller sees; None means tokens for any audience.

        With direct access to the ledger these are the stated audiences, or else the default ones.
        """
        if self.caller is not None:
            return self.caller.visible_audiences(stated_audiences)
        return stated_audiences or self.audiences or names.accepted(now)


class Terms(Record):
    """The configuration of issuing, which the requester cannot choose. Times are seconds."""

    policy: Policy
    policy_text: str
    caller: str
    """The login of this process's user; for a served caller, its name with its kind, such as `user:alice`."""
    audiences: tuple[str, ...] = ()
    ttl: int = 900
    sensitivity: str = "moderate"
    purpose: str | None = None
    """The default purpose of a new task."""
    task_deadline: int = 86_400
    scope_floors: Mapping[str, str] = {}
    """The minimum sensitivity for scopes that overlap a pattern."""
    audience_floors: Mapping[str, str] = {}
    overlap: int = 30
    """Seconds for which a renewed credential still works."""
    known_delegators_only: bool = False
    """Whether a delegator must be in the directory."""
    zone: tzinfo | None = None
    """The time zone of the policy's `hour`, `minute` and `weekday`; None for UTC."""
    zone_name: str | None = None
    algorithms: Mapping[str, str] = {}
    """Audience -> the signature algorithm that it requires."""
    approval_lifetime: int = 900
    """Maximum seconds for which an approval may be used."""
    approval_patience: int = 86_400
    """Seconds for which an approval request stays open."""
    caller_proof: str | None = "os-user"
    """The method that proves the caller to be the delegator of its name; None if the caller cannot be a delegator."""
    any_delegator: bool = True
    """Whether the caller may name any delegator; otherwise the delegator is the caller."""
    publish_url: str | None = None
    """The address of the files of `publish`: signed tokens refer to a status list there."""
    targets: Callable[[], Targets] | None = None
    """Supplies the external targets of the configuration."""
    publish_lifetime: int = 900
    """Seconds for which a status list is valid."""
    places: tuple[str, ...] = ()
    """The addresses at which the authority is served; none of them can be a service."""
    identity: str | None = None
    """The id of the served agent's identity; None for a person and for a service."""
    bearer: str | None = None
    """The `jti` of the credential that authenticated this agent."""
    detail_types: tuple[str, ...] = ()
    """The types of `authorization_details` that may be requested; empty: any."""
    subjects: Mapping[str, tuple[str | None, int]] = {}
    """Audience -> the template of `sub` for its tokens, and the greatest length of `sub`.

    A template of None is in a file that does not count.
    """
    exchanges: Mapping[str, int] = {}
    """Audience -> the longest lifetime of exchanged tokens, in seconds."""
    login_lifetime: int = 28_800
    """The lifetime of a login in seconds."""
    login: LoginProof | None = None
    """The login that authenticated the served caller."""
    is_served: bool = False
    """Whether an authority serves the caller; otherwise the caller reads the ledger's key itself."""
    holder: str | None = None
    """The holder of a login beside the ledger, as `LOGIN+HASH@HOST`; None if served, or before the first login."""
    served_as: str | None = None
    """The name of the served caller in the audit log."""

    @property
    def own_name(self) -> str | None:
        """The delegator that the caller is proved to be; None if the caller cannot be a delegator."""
        return None if self.caller_proof is None else named(self.caller)

    @property
    def by(self) -> str:
        """The caller's name in the audit log (`by`)."""
        return self.served_as or self.caller

    @property
    def requester(self) -> str:
        """The requester: the id of an agent's identity, or the name of a person or a service with its kind."""
        return self.identity or named(self.caller)

    def serving(self, caller: Caller) -> Self:
        """Return the terms for a served caller."""
        return self._replace(
            caller=caller.delegator or caller.name,
            served_as=caller.name,
            caller_proof=caller.proof if caller.delegator else None,
            identity=caller.identity,
            bearer=None if caller.agent is None else caller.credential,
            any_delegator=caller.roles is None or "issuer" in caller.roles,
            login=caller.login,
            is_served=True,
            holder=None,
        )

    def chosen(self, kind: str, template: str | None) -> ChosenTarget | None:
        """Return the target and template for a credential of a kind; None if jitid makes it without a template.

        Raises:
            UsageError: there is no such target or template, or the choice is ambiguous.
            ConfigurationError: the target's table is invalid.

        """
        if template is None and not is_outside(kind):
            return None
        if self.targets is None:
            raise UsageError(f"no configured target makes credentials of the kind {quote(kind)}")
        return self.targets().choose(kind, template)

    def algorithm_for(self, draft: Draft, names: Names) -> str:
        """Return the signature algorithm for a token: that of the ledger, unless an audience requires another.

        Raises UsageError if the audiences have no algorithm in common.
        """
        if draft.is_identity or names.service_algorithm is None:
            # A ledger of an earlier version: the first audience that requires another algorithm decides.
            required = (self.algorithms[name] for name in draft.audiences if name in self.algorithms)
            return next(required, "EdDSA")
        # Imported here: an identity token needs no table.
        from jitid.model.signature_algorithm import choose

        return choose(names.service_algorithm, draft.audiences, self.algorithms)
