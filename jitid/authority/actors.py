"""Who acts when something is issued by a token that proves for whom, and whether that token lets them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.errors import InvalidCredentialError, RefusedError
from jitid.text import quote

if TYPE_CHECKING:
    from jitid.caller import Caller


class Actor(NamedTuple):
    """Who acts, and by what it is known: what `may_act` (RFC 8693, section 4.4) is held against."""

    agent: str
    subjects: frozenset[str]
    """What `sub` may be."""
    clients: frozenset[str]
    """What `client_id` may be."""
    issuer: str | None
    """What `iss` may be."""
    task: str | None = None
    """What it works on already."""
    recorded: bool = False
    """Whether its token was issued under the record of a registered agent."""


def own_agent(caller: Caller) -> str:
    """Return the name of the agent that a caller is: without its kind, `system:ci` acts as `ci`."""
    return caller.agent or caller.name.partition(":")[2] or caller.name


def client_actor(caller: Caller | None, agent: str, issuer: str, *, exactly: bool = False) -> Actor:
    """Return the actor where no other one is proved: the caller, who acts under the name of an agent.

    Whoever may name any delegator, and whoever has the ledger itself, is believed about the agent too; of others
    only what they are proved to be counts, and with `exactly` they act under no other name.

    Raises:
        RefusedError: the caller names another agent.

    """
    names: set[str] = set()
    if caller is not None:
        names = {caller.name} if caller.agent is None else {caller.agent, f"agent:{caller.agent}"}
    if caller is None or caller.roles is None or "issuer" in caller.roles:
        names |= {agent, f"agent:{agent}"}
    elif exactly and agent != own_agent(caller):
        raise RefusedError(
            f"{caller.name} may not name {quote(agent)} as the agent that acts: it acts as "
            f"{quote(own_agent(caller))}; nothing was issued",
            "leave the agent out, or give its own token as the actor's; or ask for the role issuer",
        )
    return Actor(agent, frozenset(names), frozenset(names), issuer)


def must_be_let(may_act: Mapping[str, Any] | None, actor: Actor) -> None:
    """Refuse an actor whom the subject's token does not let act (RFC 8693, section 4.4).

    Every member counts: what nothing proves of the actor, it is not.

    Raises:
        InvalidCredentialError: it lets another one act.

    """
    if may_act is None:
        return
    known: dict[str, Collection[str]] = {
        "sub": actor.subjects,
        "client_id": actor.clients,
        "iss": () if actor.issuer is None else (actor.issuer,),
    }
    for name, value in may_act.items():
        if type(value) is not str or value not in known.get(name, ()):
            raise InvalidCredentialError(
                f"the subject's token lets another one act: its `may_act` has {quote(name)}, which "
                f"{quote(actor.agent)} is not proved to have",
                "ask its issuer for one that lets this actor act",
            )
    if may_act.keys().isdisjoint(("sub", "client_id")):
        raise InvalidCredentialError("the subject's token names nobody in its `may_act`")
