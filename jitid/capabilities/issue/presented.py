"""Tokens of other issuers: each counts for the client that it names, else for its first presenter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.access.store import AccessStore, Presentation, PresentedChanges, PresentedStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.issue.may_act import client_actor, is_owner, must_be_allowed, names_of, own_agent
from jitid.errors import PresenterError
from jitid.values import strict_json
from jitid.values.ids import parse_access_id, parse_id
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.issue.may_act import Actor
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.access import Caller, Proof, TokenType
    from jitid.operation.context import Context
    from jitid.values.secret import Secret

_LONGEST = 100


class PresentedProof(Record):
    """A token of another issuer that a caller may use."""

    proof: Proof
    use: Presentation | None
    """The use that the transaction must record; None if the token names its client, its key or its actor."""


def present(
    context: Context,
    token: Secret,
    stated_type: TokenType = "id_token",
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
    return PresentedProof(proof, None if is_bound else Presentation(proof.mark, presenter, proof.expires_at))


def must_be_first(transaction: Transaction, uses: Iterable[Presentation]) -> None:
    """Record with the next event that tokens are used. Raises PresenterError if another caller presented one before."""
    for use in uses:
        if not PresentedChanges(transaction).present(use):
            raise _not_first()


def must_stay_first(snapshot: View, uses: Iterable[Presentation]) -> None:
    """Check the first presenter without a change. Raises PresenterError if another caller presented a token before."""
    for use in uses:
        if PresentedStore(snapshot).presenter(use.token) not in (None, use.presenter):
            raise _not_first()


def _not_first() -> PresenterError:
    return PresenterError(
        "another caller has presented this token before; it counts for its first presenter only",
        "get a new token from its issuer for each caller; revoke what should not have been issued: "
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
            "the token is bound to a key (`cnf`), and the caller does not prove that it holds this key",
            "a caller proves it by `private_key_jwt` with the key of the token's `cnf.jkt` or `cnf.jwk`",
        )
    if caller is None or is_owner(caller):
        return
    names = names_of(snapshot, caller)
    for client in proof.clients:
        if proof.caller(client) not in names:
            raise PresenterError(
                f"the token was issued to the client {quote(client, _LONGEST)}, and {caller.name} is not that client",
                "the configuration says which caller a client of the issuer is: [oidc.ISSUER] clients",
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


def prove_by(context: Context, token: Secret, stated_type: TokenType = "id_token") -> Proof:
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
        token.reveal(), context.oidc(), now, timeout=context.timeout, stated_type=stated_type
    )
    restored_at = context.ledger.names.restored_at
    if restored_at is not None:
        # After a restore, the ledger lacks later disablings of delegators and later presentations of tokens.
        governance.must_follow(
            proof.proved_at, restored_at, "the ledger was restored or its clock was set back"
        )
    return proof
