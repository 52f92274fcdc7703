"""The actor of an issue by a token that proves the delegator, and whether `may_act` of that token allows the actor.

And tokens of other issuers: each counts for the client that it names, else for its first presenter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.access.store import AccessStore, Presentation, PresentedChanges, PresentedStore
from jitid.capabilities.directory.name_rights import objections_to
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import PresenterError, RefusedError
from jitid.values import strict_json
from jitid.values.ids import parse_access_id, parse_id
from jitid.values.record import Record
from jitid.values.text import label, quote

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.access import Caller, Proof, ProofType
    from jitid.model.credential import Credential
    from jitid.model.request import ProvedActor
    from jitid.operation.context import Context
    from jitid.values.secret import Secret


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
            f"{caller.name} may not name {label(agent)} as the actor: it acts as "
            f"{label(own_agent(caller))}; nothing was issued",
            "omit the agent, or present its own token as the actor's; any other agent requires the role issuer",
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
                f"the subject's token permits another actor: its `may_act` has {label(name)}, which "
                f"is not proved for {quote(actor.agent)}",
                "get a token from its issuer whose `may_act` names this actor",
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


_LONGEST = 100
_ONCE = "once "
"""The beginning of the presenter of an ID-JAG; no name of a caller has a space."""


class PresentedProof(Record):
    """A token of another issuer that a caller may use."""

    proof: Proof
    use: Presentation | None
    """The use that the transaction must record; None if the token may be used again by the party that it names."""


def present(
    context: Context,
    token: Secret,
    stated_type: ProofType = "id_token",
    actors: Callable[[View], Iterable[Actor]] | None = None,
) -> PresentedProof:
    """Return the proof of a token of a configured issuer, if the token counts for the caller who presents it.

    Args:
        context: the authority.
        token: the token.
        stated_type: the expected type of the token.
        actors: returns the actors that the token's `may_act` must permit; by default the caller.

    Raises:
        InvalidCredentialError: the token is not valid.
        PresenterError: it names another client or actor, or a key that the caller does not prove to hold.

    """
    proof, caller = prove_by(context, token, stated_type), context.caller
    is_bound = bool(proof.clients) or proof.cnf is not None or proof.may_act is not None
    presenter = context.terms().caller if caller is None else caller.name
    if is_bound or (caller is not None and caller.agent is not None):
        with context.ledger.read() as snapshot:
            _must_be_named(snapshot, caller, proof)
            if proof.may_act is not None:
                for actor in _actors(context, snapshot) if actors is None else actors(snapshot):
                    must_be_allowed(proof, actor)
            if caller is not None and caller.agent is not None:
                # Several agents may share a name.
                presenter = f"{presenter} {_identity(snapshot, caller)}"
    if proof.bounds is not None:
        # It counts once, also for the same client: no second use has the same presenter.
        presenter = f"{_ONCE}{presenter} {os.urandom(16).hex()}"
    elif is_bound:
        return PresentedProof(proof, None)
    return PresentedProof(proof, Presentation(proof.mark, presenter, proof.expires_at))


def must_be_first(transaction: Transaction, uses: Iterable[Presentation]) -> None:
    """Record with the next event that tokens are used. Raises PresenterError if another caller presented one before."""
    for use in uses:
        if not PresentedChanges(transaction).present(use):
            raise _not_first(use)


def must_stay_first(snapshot: View, uses: Iterable[Presentation]) -> None:
    """Check the first presenter without a change. Raises PresenterError if another caller presented a token before."""
    for use in uses:
        if PresentedStore(snapshot).presenter(use.token) not in (None, use.presenter):
            raise _not_first(use)


def _not_first(use: Presentation) -> PresenterError:
    if use.presenter.startswith(_ONCE):
        return PresenterError(
            "the ID-JAG was used before, and counts once",
            "get a new ID-JAG from the identity provider for each request",
        )
    return PresenterError(
        "another caller has presented this token before; only its first presenter may use it",
        "get a new token from its issuer for each caller; check earlier issues: "
        "jitid audit log --operation issue",
    )


def _actors(context: Context, snapshot: View) -> list[Actor]:
    caller = context.caller
    if caller is None or is_owner(caller):
        return []
    return [client_actor(snapshot, caller, own_agent(caller), context.ledger.names.issuer)]


def _must_be_named(snapshot: View, caller: Caller | None, proof: Proof) -> None:
    """Refuse a token that was issued to another client, or to the holder of another key. Raises PresenterError."""
    if proof.cnf is not None and not _holds(snapshot, caller, proof.cnf):
        raise PresenterError(
            "the token is bound to a key (`cnf`); the caller has not proved possession of this key",
            "authenticate by `private_key_jwt` with the key of the token's `cnf.jkt` or `cnf.jwk`",
        )
    if caller is None or (is_owner(caller) and proof.bounds is None):
        return
    names = names_of(snapshot, caller)
    for client in proof.clients:
        if proof.caller(client) not in names:
            raise PresenterError(
                f"the token was issued to the client {quote(client, _LONGEST)}; {caller.name} is not that client",
                "to map clients of the issuer to callers: `clients` in [oidc.ISSUER] of the configuration",
            )


def _holds(snapshot: View, caller: Caller | None, cnf: Mapping[str, Any]) -> bool:
    """Return whether a caller has authenticated with the key that a token is bound to (RFC 7800)."""
    if caller is None or caller.credential is None or not caller.credential.startswith("acc_"):
        return False
    from jitid.capabilities.access import oidc

    access = AccessStore(snapshot).find(parse_access_id(caller.credential))
    if access is None or access.public is None:
        return False
    thumbprint = oidc.thumbprint(strict_json.loads(access.public, "key"))
    match cnf:
        case {"jkt": str(bound), **rest} if not rest:
            return thumbprint is not None and bound == thumbprint
        case {"jwk": dict(jwk), **rest} if not rest:
            return thumbprint is not None and oidc.thumbprint(jwk) == thumbprint
        case _:
            return False


def _identity(snapshot: View, caller: Caller) -> str:
    """Return the identity of the calling agent; its renewed credentials have the same."""
    credential = None
    if caller.credential is not None:
        credential = CredentialStore(snapshot).find_credential("jti", parse_id(caller.credential)[1])
    return str(caller.credential) if credential is None else credential.id


def prove_by(context: Context, token: Secret, stated_type: ProofType = "id_token") -> Proof:
    """Return the proof of a token of a configured issuer; no lock is held while the issuer is queried.

    The calling function must check in its transaction whether the token is newer than the last disabling of that
    person.

    Raises:
        InvalidCredentialError: the token is not valid, or was issued before the ledger was restored or its clock set
            back.

    """
    from jitid.capabilities.access import oidc
    from jitid.capabilities.directory import governance

    with context.ledger.read() as snapshot:
        now = snapshot.now
    proof = oidc.verify_token(
        token.reveal(),
        context.oidc(),
        now,
        timeout=context.timeout,
        stated_type=stated_type,
        authority=context.ledger.names.issuer,
    )
    restored_at = context.ledger.names.restored_at
    if restored_at is not None:
        # After a restore, the ledger lacks later disablings of delegators and later presentations of tokens.
        governance.must_follow(
            proof.proved_at, restored_at, "the ledger was restored or its clock was set back"
        )
    return proof
