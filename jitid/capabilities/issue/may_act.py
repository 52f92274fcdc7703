"""The actor of an issue by a token that proves the delegator, and whether `may_act` of that token allows the actor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.directory.name_rights import objections_to
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import PresenterError, RefusedError
from jitid.values.ids import parse_id
from jitid.values.record import Record
from jitid.values.text import label, quote

if TYPE_CHECKING:
    from jitid.capabilities.access.store import Presentation
    from jitid.ledger.view import View
    from jitid.model.access import Caller, Proof
    from jitid.model.credential import Credential
    from jitid.model.request import ProvedActor


_OTHERS = ("user:", "system:", "agent:")


class Actor(Record):
    """The acting party with its proved names; `may_act` (RFC 8693, section 4.4) is compared with them."""

    agent: str
    names: frozenset[str]
    """Its names at this authority: those of a caller, of a registered agent, and the SPIFFE id of an identity."""
    issuer: str
    """The issuer of these names: this ledger."""
    foreign: tuple[str, str] | None = None
    """The `iss` and `sub` of the token of another issuer that proves the actor."""
    task: str | None = None
    """The task of the actor's own credential."""
    presented: Presentation | None = None
    """The use of that token; it is recorded in the transaction that issues."""
    proved: ProvedActor | None = None
    """The owner of the agent, as that token proves it."""
    credential: str | None = None
    """The `jti` of its token, if this ledger issued it."""


def own_agent(caller: Caller) -> str:
    """Return a caller's name as an agent: without its kind, so that `system:ci` acts as `ci`."""
    return caller.agent or caller.name.partition(":")[2] or caller.name


def is_owner(caller: Caller | None) -> bool:
    """Return whether a caller has the ledger itself, with every right."""
    return caller is None or caller.roles is None


def names_of_agent(snapshot: DirectoryStore, agent: str) -> frozenset[str]:
    """Return the names of an agent that its record binds to it; none if the agent is not registered."""
    record = snapshot.find_agent(agent)
    if record is None or record.unregistered_at is not None:
        return frozenset()
    names = frozenset({f"agent:{agent}"})
    # An agent may be called like a person or a service, and must not count as one.
    return names if agent.startswith(_OTHERS) else names | {agent}


def names_of_identity(snapshot: View, credential: Credential) -> frozenset[str]:
    """Return the names of a credential's agent; none if the agent is not registered or may not use its name now."""
    if credential.recurring is None or objections_to(snapshot, credential, snapshot.now):
        return frozenset()
    return names_of_agent(DirectoryStore(snapshot), credential.agent)


def names_of(snapshot: View, caller: Caller) -> frozenset[str]:
    """Return the proved names of a caller; an unregistered agent has none."""
    if caller.agent is None:
        return frozenset({caller.name, caller.delegator or caller.name})
    raw = None if caller.credential is None else parse_id(caller.credential)[1]
    credential = None if raw is None else CredentialStore(snapshot).find_credential("jti", raw)
    return frozenset() if credential is None else names_of_identity(snapshot, credential)


def client_actor(
    snapshot: View, caller: Caller | None, agent: str, issuer: str, *, exactly: bool = False
) -> Actor:
    """Return the actor where no token proves one: the caller, under the name of an agent.

    A caller that has the ledger itself may name any agent, and a caller with the role issuer any registered agent. For
    other callers only proved names count, and with `exactly` they act under no other name.

    Raises:
        RefusedError: the caller names another agent.

    """
    names: frozenset[str] = frozenset()
    if caller is not None:
        names = names_of(snapshot, caller)
    if caller is None or caller.roles is None:
        names |= {agent, f"agent:{agent}"}
    elif "issuer" in caller.roles:
        names |= names_of_agent(DirectoryStore(snapshot), agent)
    elif exactly and agent != own_agent(caller):
        raise RefusedError(
            f"{caller.name} may not name {label(agent)} as the agent that acts: it acts as "
            f"{label(own_agent(caller))}; nothing was issued",
            "leave the agent out, or give its own token as the actor's; or ask for the role issuer",
        )
    return Actor(agent, names, issuer)


def must_be_allowed(proof: Proof, actor: Actor) -> None:
    """Refuse an actor that the subject's token does not permit to act (RFC 8693, section 4.4).

    The actor must match every member of `may_act`, by its proved names only.

    Raises:
        PresenterError: `may_act` names another actor.

    """
    may_act = proof.may_act or {}
    for name, value in may_act.items():
        if not (name == "iss" or (name in ("sub", "client_id") and _is_named(proof, actor, name, value))):
            raise PresenterError(
                f"the subject's token lets another one act: its `may_act` has {label(name)}, which "
                f"{quote(actor.agent)} is not proved to have",
                "ask its issuer for one that lets this actor act",
            )
    if may_act.keys().isdisjoint(("sub", "client_id")):
        raise PresenterError("the subject's token has no `may_act`: no caller may exchange it")


def _is_named(proof: Proof, actor: Actor, name: str, value: object) -> bool:
    """Return whether a member of `may_act` names the actor; a name belongs to the issuer in `may_act`."""
    if type(value) is not str:
        return False
    stated_issuer = (proof.may_act or {}).get("iss")
    if name == "sub" and actor.foreign == (proof.issuer if stated_issuer is None else stated_issuer, value):
        return True
    if stated_issuer == proof.issuer:
        # That issuer's names for callers are bound to callers by the configured `clients` alone.
        return value in proof.callers and proof.caller(value) in actor.names
    return (
        stated_issuer in (None, actor.issuer)
        and (proof.caller(value) if stated_issuer is None else value) in actor.names
    )
