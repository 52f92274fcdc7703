"""The terms on which something is issued, as the configuration has them."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from jitid.errors import UsageError
from jitid.model.credential import is_outside
from jitid.model.request import named
from jitid.values.text import quote

if TYPE_CHECKING:
    from datetime import tzinfo

    from jitid.issuers.targets import ChosenTarget, Targets
    from jitid.model.caller import Caller
    from jitid.policy.cedar import Policy


class Terms(NamedTuple):
    """What the configuration says about issuing; the requester cannot choose it. Times are seconds."""

    policy: "Policy"
    policy_text: str
    caller: str
    """The login of whoever runs this; of somebody who is served the name with its kind, such as `user:alice`."""
    audiences: tuple[str, ...] = ()
    ttl: int = 900
    sensitivity: str = "moderate"
    purpose: str | None = None
    """The purpose of a task whose first issue states none."""
    task_deadline: int = 86_400
    scope_floors: Mapping[str, str] = {}
    """The least sensitivity of whatever overlaps a scope."""
    audience_floors: Mapping[str, str] = {}
    overlap: int = 30
    """How long a credential still works when a successor has been made."""
    known_delegators_only: bool = False
    """Whether nobody may delegate whom the directory does not have."""
    zone: "tzinfo | None" = None
    """Where the policy's `hour`, `minute` and `weekday` are told; None for UTC."""
    zone_name: str | None = None
    algorithms: Mapping[str, str] = {}
    """By audience: the signature algorithm that it demands."""
    approval_lifetime: int = 900
    """How long an approval may be used at most."""
    approval_patience: int = 86_400
    """How long a request for approval stays open."""
    caller_proof: str | None = "os-user"
    """How the caller is proved to be the delegator of that name; None for who cannot be one."""
    any_delegator: bool = True
    """Whether the caller may name whomever they like as the delegator; otherwise it is themselves."""
    publish_url: str | None = None
    """Where what `publish` writes is served: signed tokens name their place in a status list there."""
    targets: "Callable[[], Targets] | None" = None
    """Supplies the targets outside that the configuration has."""
    publish_lifetime: int = 900
    """For how long a status list is good."""
    places: tuple[str, ...] = ()
    """The addresses at which the authority is served, which are never a service's."""
    identity: str | None = None
    """The id of the identity of the agent that is served; None for a person and for a service."""
    bearer: str | None = None
    """The `jti` that this agent came with."""
    detail_types: tuple[str, ...] = ()
    """The types of `authorization_details` that may be requested; empty: any."""

    @property
    def own_name(self) -> str | None:
        """The delegator that the caller is proved to be; None for who cannot be one."""
        return None if self.caller_proof is None else named(self.caller)

    @property
    def requester(self) -> str:
        """Who requests: the id of an agent's identity, or the name of a person or a service with its kind."""
        return self.identity or named(self.caller)

    def serving(self, caller: "Caller") -> Self:
        """Return the terms on which somebody is served."""
        return self._replace(
            caller=caller.delegator or caller.name,
            caller_proof=caller.proof if caller.delegator else None,
            identity=caller.identity,
            bearer=None if caller.agent is None else caller.credential,
            any_delegator=caller.roles is None or "issuer" in caller.roles,
        )

    def chosen(self, kind: str, template: str | None) -> "ChosenTarget | None":
        """Return what makes a credential of a kind, from a template; None for what is made here without one.

        Raises:
            UsageError: there is no such target or template, or more than one could be meant.
            ConfigurationError: the target's table cannot be meant.

        """
        if template is None and not is_outside(kind):
            return None
        if self.targets is None:
            raise UsageError(f"no target makes credentials of the kind {quote(kind)} here")
        return self.targets().choose(kind, template)

    def algorithm_for(self, audiences: Sequence[str]) -> str:
        """Return the algorithm for a token to these audiences: Ed25519, unless one of them demands another."""
        return next((self.algorithms[name] for name in audiences if name in self.algorithms), "EdDSA")
