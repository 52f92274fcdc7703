"""Performs the operations of the standard protocols on tokens: exchange, introspection, revocation."""

from __future__ import annotations

import os
from base64 import b32encode
from hashlib import sha256
from typing import TYPE_CHECKING

from jitid.capabilities.directory import governance
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import recognise_token, revocation
from jitid.capabilities.identity.record_denial import record_denial
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.issue import token_operations as ops
from jitid.capabilities.issue.may_act import (
    Actor,
    client_actor,
    is_owner,
    names_of_identity,
    own_agent,
    present,
)
from jitid.capabilities.issue.operations import Issue
from jitid.capabilities.issue.perform import issue_for
from jitid.capabilities.targets.store import OutsideChanges
from jitid.crypto import jws
from jitid.errors import InvalidCredentialError, RefusedError, UsageError
from jitid.model.delegation import actors_of
from jitid.model.ledger_rows import Selection
from jitid.model.request import ProvedActor
from jitid.redaction.token_format import OPAQUE_PREFIX
from jitid.values.names import MAX_NAME
from jitid.values.text import label, operand

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.ledger.view import View
    from jitid.model.access import Caller, TokenType
    from jitid.model.credential import Credential
    from jitid.operation.context import Context
    from jitid.values.secret import Secret

_RANDOM = 10


def new_task(agent: str, caller: Caller | None) -> str:
    """Return a name for a task if the request names none: a client without tasks gets a new task for each token.

    A repeated request with the same idempotency key gets the same name.
    """
    if caller is None or caller.key is None:
        raw = os.urandom(_RANDOM)
    else:
        raw = sha256(f"{caller.name}\0{caller.key}".encode()).digest()[:_RANDOM]
    suffix = b32encode(raw).decode("ascii").lower()
    return f"{agent[: MAX_NAME - len(suffix) - 1]}-{suffix}"


def exchange(context: Context, operation: ops.Exchange) -> Issued:
    """Issue to the acting party, for the party whose token is presented."""
    request = operation.request
    if request.parent is not None or request.delegator is not None or request.proved_delegator is not None:
        raise UsageError("a delegator cannot be set: the subject's token proves it", "omit the delegator")
    try:
        actor = _actor(context, operation)
        issued_here = _is_issued_here(
            context, operation.subject, operation.subject_sort, "the subject's token"
        )
        if issued_here and operation.assertion:
            # The draft forbids it: the rights of such a token could be broadened.
            raise InvalidCredentialError("the ID-JAG is from this authority, not from an identity provider")
    except InvalidCredentialError as error:
        facts = {"task": request.task, "agent": request.agent}
        record_denial(context.ledger, context.terms, error, facts, accept_clock=False)
        raise
    request = request._replace(
        agent=actor.agent, proved_actor=actor.proved, proved_credential=actor.credential
    )
    if issued_here:
        if context.caller is not None and context.caller.roles is not None and _is_shown(context, operation):
            # `token_rights` has checked that the caller may exchange it: the child is the caller's, whichever agent is
            # named.
            agent = own_agent(context.caller)
            request = request._replace(agent=agent, proved_actor=None, proved_credential=None, exchanged=True)
            with context.ledger.read() as snapshot:
                actor = client_actor(snapshot, context.caller, agent, snapshot.names.issuer)
        return _issue(context, Issue(requests=(request._replace(parent=operation.subject),)), actor)
    task = request.task or actor.task or new_task(actor.agent, context.caller)
    return _issue(
        context,
        Issue(
            requests=(request._replace(task=task),),
            delegator_token=operation.subject,
            delegator_token_sort=operation.subject_sort,
        ),
        actor,
        assertion=operation.assertion,
    )


def _issue(context: Context, operation: Issue, actor: Actor, *, assertion: bool = False) -> Issued:
    (issued,) = issue_for(context, operation, actor, assertion=assertion)
    return issued


def _actor(context: Context, operation: ops.Exchange) -> Actor:
    token, names = operation.actor, context.ledger.names
    if token is None:
        with context.ledger.read() as snapshot:
            return client_actor(snapshot, context.caller, operation.request.agent, names.issuer, exactly=True)
    description = "the actor's token"
    try:
        if _is_issued_here(context, token, operation.actor_sort, description):
            with context.ledger.read() as snapshot:
                names = snapshot.names
                credential = recognise_token.verify(snapshot, names, token.reveal(), None).credential
                bound = names_of_identity(snapshot, credential)
            spiffe_ids = actors_of(names.trust_domain, [credential])
            return Actor(
                credential.agent,
                bound | {*spiffe_ids},
                names.issuer,
                task=credential.task,
                credential=credential.jti,
            )
        proof, use = present(context, token, operation.actor_sort)
        proved = ProvedActor(proof.delegator, f"{proof.issuer} {proof.subject}", proof.proved_at)
        with context.ledger.read() as snapshot:
            owner = governance.proved_as(DirectoryStore(snapshot), *proved)
            agent = proof.delegator.partition(":")[2]
            # A caller who can read the ledger's key may name any agent.
            if not is_owner(context.caller):
                _must_be_bound(snapshot, agent, proof.delegator, owner)
    except InvalidCredentialError as error:
        raise type(error)(f"{description} is not valid: {error.message}", error.hint) from None
    foreign = (proof.issuer, proof.subject)
    binding = None if is_owner(context.caller) else proved
    return Actor(agent, frozenset(), names.issuer, foreign, presented=use, proved=binding)


def _must_be_bound(snapshot: View, agent: str, name: str, owner: str | None) -> None:
    """Refuse a name that another issuer proves as an agent's name, unless the agent's record binds it.

    Raises:
        RefusedError: no record binds it.

    """
    record = DirectoryStore(snapshot).find_agent(agent)
    if record is None or record.unregistered_at is not None or record.owner != owner:
        raise RefusedError(
            f"the actor's token proves {label(name)}, which is not the owner of a registered agent "
            f"{label(agent)}; nothing was issued",
            f"register the agent with that owner: jitid agent register {operand(agent)} --owner {name}",
        )


def _is_shown(context: Context, operation: ops.Exchange) -> bool:
    """Return whether the subject's token is meant for services: its holder has shown it to the caller."""
    with context.ledger.read() as snapshot:
        names = snapshot.names
        credential = recognise_token.recognise(snapshot, names, operation.subject.reveal())
        return not credential.names_authority(names.accepted(snapshot.now))


def _is_issued_here(context: Context, token: Secret, stated_type: TokenType, description: str) -> bool:
    """Return whether a token names this ledger as its issuer; its claims are not verified yet.

    Raises:
        InvalidCredentialError: the text is not a token, or cannot be of the type `stated_type`.

    """
    text = token.reveal()
    if text.startswith(OPAQUE_PREFIX):
        if stated_type == "access_token":
            return True
        raise InvalidCredentialError(f"{description} is opaque, but another token type was stated")
    header, payload, _ = jws.split(text)
    issued_here = jws.decode_object(payload, "payload")[1].get("iss") in context.ledger.names.issuers
    if issued_here and stated_type == "id_token":
        raise InvalidCredentialError(f"{description} is an access token, but the type ID token was stated")
    typ = jws.decode_object(header, "header")[1].get("typ")
    if issued_here and stated_type == "access_token" and typ not in (*jws.ACCESS_TOKENS, jws.IDENTITY):
        raise InvalidCredentialError(f"{description} is not an access token, but this type was stated")
    return issued_here


def introspect(context: Context, operation: ops.Introspect) -> ops.Introspected:
    """Return the credential of a valid token."""
    text = operation.token.reveal()
    with context.ledger.read() as snapshot:
        names = snapshot.names
        audiences = None if context.caller is None else context.caller.audiences
        verified = recognise_token.verify(snapshot, names, text, audiences)
    issuer = names.issuer
    if len(names.issuers) > 1 and verified.credential.claims_hash is not None:
        # A token from before the ledger moved names the former issuer.
        issuer = str(jws.decode_object(jws.split(text)[1], "payload")[1]["iss"])
    return ops.Introspected(verified.credential, verified.lineage, issuer, names.trust_domain)


def revoke_token(context: Context, operation: ops.RevokeToken) -> Ended | None:
    """Revoke the identity of a token; return None for a token that is not valid here."""
    revocation.check_reason(operation.reason)
    ledger = context.ledger
    try:
        with ledger.read() as snapshot:
            credential = recognise_token.recognise(snapshot, ledger.names, operation.token.reveal())
            must_be_own(snapshot, context.caller, credential)
    except InvalidCredentialError:
        # RFC 7009, section 2.2: an invalid token needs no revocation.
        return None
    with ledger.write() as transaction:
        ended = revocation.revoke(transaction, Selection(ids=(credential.jti,)), operation.reason, None)
        if ended.event is not None:
            ended = ended._replace(unsettled=OutsideChanges(transaction).open_count(event=ended.event))

    return ended._replace(unproved=context.prove_leaks_refused())


def is_own(snapshot: View, caller: Caller, credential: Credential) -> bool:
    """Return whether a caller holds a credential, had it issued, or is its delegator."""
    if caller.agent is not None:
        # Several agents may share a name: only the credential of the caller identifies it.
        return caller.credential is not None and _holds(snapshot, caller.credential, credential)
    event = snapshot.event(credential.event)
    if event is not None and event.document().get("by") == caller.name:
        return True
    return caller.delegator is not None and caller.delegator == credential.delegator


def must_be_own(snapshot: View, caller: Caller | None, credential: Credential) -> None:
    """Refuse a caller who may not revoke a credential.

    Raises:
        RefusedError: the caller neither holds it nor had it issued, and is neither its delegator nor a responder.

    """
    if (
        caller is None
        or caller.roles is None
        or "responder" in caller.roles
        or is_own(snapshot, caller, credential)
    ):
        return
    raise RefusedError(
        f"permission denied: {caller.name} may not revoke {credential.id}: it is not the holder, the requester or the "
        "delegator; nothing was changed",
        "revoking credentials of others requires the role responder: jitid access grant --role responder",
    )


def _holds(snapshot: View, caller_jti: str, credential: Credential) -> bool:
    """Return whether the identity of the caller's credential is that of another credential, or above it."""
    caller_ids = {
        caller_credential.id for caller_credential in CredentialStore(snapshot).find_given([caller_jti], [])
    }
    if credential.id in caller_ids:
        return True
    return any(
        ancestor.id in caller_ids for ancestor in CredentialStore(snapshot).lineage(credential.identity_key)
    )
