"""Logins of people: an ID token is exchanged once for access, or for a proof beside the ledger."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from jitid.capabilities.access import oidc
from jitid.capabilities.access.grant import Granted, must_be_enabled, new_access
from jitid.capabilities.access.grant_record import recorded_facts
from jitid.capabilities.access.live_login import HINT, live_login
from jitid.capabilities.access.store import AccessChanges, AccessStore, Presentation, PresentedChanges
from jitid.capabilities.directory import governance
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.record_denial import record_denial
from jitid.capabilities.session.agent_above import OWN_IDENTITY, agent_above
from jitid.errors import InvalidCredentialError, PolicyDeniedError, RefusedError, UsageError
from jitid.ledger import contract
from jitid.model.access import AccessState
from jitid.system.authority_address import parse_address
from jitid.values.text import label, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jitid.capabilities.access.operations import LogIn
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.access import LoginProof, OidcIssuer, Proof
    from jitid.model.request import IssueRequest
    from jitid.operation.context import Context, Terms

_LONGEST = 200


def log_in(context: Context, operation: LogIn) -> Granted:
    """Log in the person that an ID token proves: with an access token for a caller of an authority, else without.

    No lock is held while the issuer is queried.

    Raises:
        InvalidCredentialError: the ID token is not valid for a login here, was used before, or is older than the last
            disabling of the person.
        PolicyDeniedError: the person is disabled, or the directory binds the name to other subjects, or must know the
            person and does not; it is recorded.
        RefusedError: the caller is an agent; or beside the ledger, another person is logged in.
        UsageError: beside the ledger, the system user has no secret for logins; at an authority, this is not one of
            its addresses.

    """
    if context.caller is not None and context.caller.agent is not None:
        raise RefusedError("an agent does not log in; nothing was changed", "people log in: jitid login")
    terms = context.terms()
    if context.caller is None and terms.holder is None:
        raise UsageError("a login beside a ledger needs a holder", "jitid login")
    with context.ledger.read() as snapshot:
        contract.refuse_if_sealed(snapshot)
        now, names = snapshot.now, snapshot.names
    holder = terms.holder if context.caller is None else None
    nonce = None
    if operation.seed is not None:
        accepted = names.accepted(now)
        own_names = _addresses((*terms.places, *accepted)) if holder is None else accepted
        nonce = oidc.login_nonce(_one_of(own_names, operation.authority), operation.seed)
    try:
        issuers = context.oidc() if holder is None else _stated_by_person(context.oidc())
        proof = oidc.verify_login(
            operation.token.reveal(), issuers, now, nonce=nonce, timeout=context.timeout
        )
        return _recorded(context, proof, holder, terms)
    except InvalidCredentialError as denial:
        # At an authority, the caller is unknown, and must not fill the audit log.
        if holder is not None:
            record_denial(context.ledger, context.terms, denial, {"operation": "LogIn"}, accept_clock=False)
        raise


def _addresses(own_names: Iterable[str]) -> list[str]:
    """Return the addresses among the names of an authority, as a client has them."""
    found = []
    for name in own_names:
        with suppress(UsageError):
            found.append(str(parse_address(name)))
    return list(dict.fromkeys(found))


def _one_of(own_names: Sequence[str], stated: str | None) -> str:
    """Return the authority that the client of a login states, if it is this one. Raises UsageError."""
    if stated not in own_names or stated is None:
        raise UsageError(
            f"a login at {quote(stated or '', _LONGEST)} does not count here; nothing was changed",
            f"the addresses of this authority: {', '.join(quote(name, _LONGEST) for name in own_names) or 'none'}; its "
            "operator sets them: jitid serve --public-url URL",
        )
    return stated


def _recorded(context: Context, proof: Proof, holder: str | None, terms: Terms) -> Granted:
    try:
        with context.ledger.write() as transaction:
            return _granted(transaction, proof, holder, terms)
    except PolicyDeniedError as denial:
        with context.ledger.write() as transaction:
            # A repetition of the denied token is refused without another event.
            if PresentedChanges(transaction).present(_first_use(proof)):
                transaction.append("denial", denial.facts)
        raise


def login_of(snapshot: View, holder: str, issuers: Sequence[OidcIssuer]) -> LoginProof | None:
    """Return the login that a system user has beside the ledger, as `LOGIN+HASH@HOST`; None if none counts now.

    Of the configured issuers, only those count that no environment variable has chosen.
    """
    chosen = _stated_by_person(issuers)
    for presented in AccessStore(snapshot).logins_of(holder):
        login = live_login(snapshot, presented, chosen)
        if login is not None:
            return login
    return None


def proved_by_login(context: Context, requests: Sequence[IssueRequest]) -> Sequence[IssueRequest]:
    """Return requests with the proof of the caller's login, where they are for the person who logged in.

    This is decided once, before the lock; the transaction checks that the login still counts.
    """
    terms = context.terms()
    roots = [request for request in requests if request.parent is None]
    if not roots or terms.caller_proof is None or (terms.login is None and terms.holder is None):
        return requests
    with context.ledger.read() as snapshot:
        directory, login = DirectoryStore(snapshot), terms.login
        if login is None and terms.holder is not None:
            login = login_of(snapshot, terms.holder, context.oidc())
        if login is None:
            return requests
        # The hook or the helper that opens a session binds it to the process of its client.
        clients = {request.process for request in roots} if terms.login is None else set()
        where = next(filter(None, map(agent_above, clients)), None)
        if where is not None:
            if any(request.delegator is None for request in roots):
                raise RefusedError(
                    f"{where}, the login of {label(login.delegator)} does not count", OWN_IDENTITY
                )
            return requests
        own_name = directory.own_name(login.delegator)
        return [
            request._replace(
                proved_delegator=login.delegator,
                proved_subject=login.subject,
                proved_at=login.proved_at,
                proved_login=login.id,
            )
            if request.parent is None
            and (request.delegator is None or directory.own_name(request.delegator) == own_name)
            else request
            for request in requests
        ]


def _stated_by_person(issuers: Sequence[OidcIssuer]) -> list[OidcIssuer]:
    return [issuer for issuer in issuers if not issuer.from_environment]


def _granted(transaction: Transaction, proof: Proof, holder: str | None, terms: Terms) -> Granted:
    if not PresentedChanges(transaction).present(_first_use(proof)):
        raise InvalidCredentialError(
            "the ID token was used before; a login needs a new one; nothing was changed",
            HINT,
        )
    restored_at = transaction.names.restored_at
    if restored_at is not None:
        governance.must_follow(
            proof.proved_at, restored_at, "the ledger was restored or its clock was set back"
        )
    subject = f"{proof.issuer} {proof.subject}"
    name = _own_name(transaction, proof, subject, known_only=terms.known_delegators_only)
    if holder is not None:
        _must_be_same_person(transaction, holder, name)
    changes = AccessChanges(transaction)
    access, secret = new_access(
        transaction,
        name,
        transaction.now + terms.login_lifetime,
        # The processes of a system user beside the ledger can read its key, and need no secret.
        with_token=holder is None,
        subject=subject,
        proved_at=proof.proved_at,
        holder=holder,
    )
    # A later login replaces the one of the same system user.
    earlier = (
        []
        if holder is None
        else [each.access.id for each in changes.logins_of(holder) if each.access.id != access.id]
    )
    changes.end(earlier, AccessState.ROTATED)
    event = transaction.append("access-login", {**recorded_facts(access), "replaced_logins": earlier or None})
    return Granted(access._replace(event=event.seq), secret)


def _must_be_same_person(transaction: Transaction, holder: str, name: str) -> None:
    """Refuse to replace another person's login: later requests would be for the wrong one. Raises RefusedError."""
    for presented in AccessStore(transaction).logins_of(holder):
        login = live_login(transaction, presented, None)
        if login is not None and login.delegator != name:
            raise RefusedError(
                f"{label(login.delegator)} is logged in here, not {label(name)}; nothing was changed",
                "to end that login: jitid login --out",
            )


def _first_use(proof: Proof) -> Presentation:
    """Return the mark of the token's use: no other use has this presenter, so the token counts once."""
    return Presentation(proof.mark, f"login {os.urandom(8).hex()}", proof.expires_at)


def _own_name(transaction: Transaction, proof: Proof, subject: str, *, known_only: bool) -> str:
    """Return the name that the directory has for a person. Raises the errors of `log_in`."""
    directory = DirectoryStore(transaction)
    person = directory.find_delegator(governance.known_as(directory, proof.delegator, subject))
    if person is None:
        if known_only:
            governance.must_not_object([governance.unknown(proof.delegator)], {"delegator": proof.delegator})
        return proof.delegator
    must_be_enabled(transaction, person.name)
    try:
        governance.must_be_newer(proof.proved_at, person)
    except InvalidCredentialError as error:
        # The provider's own session may be older, and would prove the same again.
        error.hint = "log in with a new authentication: jitid login --fresh"
        raise
    foreign = governance.foreign_subject(person, subject, "delegator-subject")
    governance.must_not_object([] if foreign is None else [foreign], {"delegator": person.name})
    return person.name
