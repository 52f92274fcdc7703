"""Performs the operations that issue, renew and attach credentials, and that take back undelivered credentials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from jitid.capabilities.issue import operations as ops
from jitid.errors import ApprovalNeededError, InvalidCredentialError, JitidError, PolicyDeniedError
from jitid.ledger import contract
from jitid.ledger.contract import change
from jitid.model.credential import is_outside
from jitid.model.request import check_size, check_sizes

if TYPE_CHECKING:
    from jitid.capabilities.access.store import Presentation
    from jitid.capabilities.issue.issuance import ForeseenIssues
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.capabilities.issue.may_act import Actor
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.access import ProofType
    from jitid.model.request import IssueRequest
    from jitid.operation.context import Context, Terms


Result = TypeVar("Result")


def issue(context: Context, operation: ops.Issue) -> list[Issued]:
    """Issue the requested credentials: `issue_for` without a proved actor."""
    return issue_for(context, operation, None)


def issue_for(
    context: Context, operation: ops.Issue, actor: Actor | None, *, assertion: bool = False
) -> list[Issued]:
    """Issue the requested credentials; `actor` is the actor if a token has proved it already.

    With `assertion`, the token that proves the delegator is an ID-JAG.

    Raises `PolicyDeniedError`, `ApprovalNeededError` and `InvalidCredentialError` after recording why, and the other
    errors of `issuance.issue`.
    """
    # Sizes are checked before the lock is taken, and before any query.
    check_sizes(operation.requests)
    if operation.dry_run:
        return _preview(context, operation, actor)
    # Slow work that needs no lock is done before the lock is taken.
    terms, accept_clock = context.terms(), operation.accept_clock
    try:
        requests, uses = _proved(context, operation, actor, assertion=assertion)
        issued = _issue(context, operation, requests, uses, terms)
    except ApprovalNeededError as denial:
        from jitid.capabilities.issue import approval_request

        with context.ledger.write(accept_clock=accept_clock) as transaction:
            _record(transaction, uses)
            error = approval_request.request_approval(transaction, denial, terms)
        raise error from None
    except (PolicyDeniedError, InvalidCredentialError) as denial:
        _deny(context, operation, denial)
        raise
    return _provided(context, issued) if any(is_outside(request.kind) for request in requests) else issued


def _preview(context: Context, operation: ops.Issue, actor: Actor | None) -> list[Issued]:
    requests, uses = _proved(context, operation, actor)
    with context.ledger.read() as snapshot:
        if uses:
            from jitid.capabilities.issue.may_act import must_stay_first

            must_stay_first(snapshot, uses)
        return [
            _previewed(context, snapshot, request, position, operation.as_of)
            for position, request in enumerate(requests)
        ]


def _previewed(
    context: Context, snapshot: View, request: IssueRequest, position: int, as_of: int | None
) -> Issued:
    from jitid.capabilities.issue import issuance

    contract.refuse_if_sealed(snapshot)
    try:
        return issuance.preview(snapshot, snapshot.names, request, context.terms(), as_of)
    except JitidError as error:
        error.position = position
        if isinstance(error, PolicyDeniedError):
            error.advise()
        raise


def _issue(
    context: Context,
    operation: ops.Issue,
    requests: Sequence[IssueRequest],
    uses: Sequence[Presentation],
    terms: Terms,
) -> list[Issued]:
    """Issue in one transaction; a plan that was made before it is used if it still holds."""
    from jitid.capabilities.issue import issuance

    def make(transaction: Transaction) -> list[Issued]:
        if repeats and foreseen is not None and transaction.now != foreseen.now:
            raise _OutdatedError
        _record(transaction, uses)
        return issuance.issue(transaction, transaction.names, requests, terms, context.keyring, foreseen)

    # A shared transaction may write a single event only.
    shared = len(requests) == 1 and not is_outside(requests[0].kind)
    # A plan holds within its second only, and planning a list may take longer.
    repeats = 2 if len(requests) > 1 else 0
    while True:
        foreseen = _foreseen(context, operation, requests, terms)
        try:
            return _made(context, make, accept_clock=operation.accept_clock, shared=shared)
        except _OutdatedError:
            repeats -= 1


class _OutdatedError(Exception):
    """The plan of a list is from an earlier second: plan again before the lock is taken again."""


def _made(
    context: Context, make: Callable[[Transaction], list[Issued]], *, accept_clock: bool, shared: bool
) -> list[Issued]:
    if not context.repeats:
        return _with_keys(
            context,
            lambda: change(context.ledger, make, accept_clock=accept_clock, shared=shared),
            accept_clock=accept_clock,
        )
    from jitid.ledger.idempotency import ISSUED

    return _with_keys(
        context,
        lambda: context.once(make, ISSUED, _ids, accept_clock=accept_clock, shared=shared),
        accept_clock=accept_clock,
    )


def _with_keys(context: Context, work: Callable[[], Result], *, accept_clock: bool) -> Result:
    from jitid.capabilities.trust.signing import with_keys

    return with_keys(context.ledger, context.keyring, work, accept_clock=accept_clock)


def _foreseen(
    context: Context, operation: ops.Issue, requests: Sequence[IssueRequest], terms: Terms
) -> ForeseenIssues | None:
    """Return requests planned in a snapshot; requests that would be refused are left for the transaction to refuse.

    None if planning before the transaction is not possible or saves no time.
    """
    from jitid.capabilities.issue import issuance

    ledger, keyring = context.ledger, context.keyring
    # With `accept_clock`, the snapshot's time is not the transaction's.
    if operation.accept_clock:
        return None
    if not ledger.foresees(quick=lambda: issuance.is_quick(requests, terms, keyring)):
        return None
    try:
        with ledger.read() as snapshot:
            return issuance.foresee(snapshot, snapshot.names, requests, terms, keyring)
    except JitidError:
        return None


def _proved(
    context: Context, operation: ops.Issue, actor: Actor | None, *, assertion: bool = False
) -> tuple[Sequence[IssueRequest], Sequence[Presentation]]:
    """Return the requests with the delegator that a token or the caller's login proves, and the uses of tokens.

    No lock is held while an issuer is queried.
    """
    uses = () if actor is None or actor.presented is None else (actor.presented,)
    if operation.delegator_token is None:
        terms = context.terms()
        if terms.login is None and not _may_have_login(context, terms.holder):
            return operation.requests, uses
        # Imported here: most callers have no login.
        from jitid.capabilities.access.login_proof import proved_by_login

        return proved_by_login(context, operation.requests), uses
    from jitid.capabilities.issue.may_act import client_actor, present

    def actors(snapshot: View) -> list[Actor]:
        issuer = context.ledger.names.issuer
        agents = dict.fromkeys(request.agent for request in operation.requests)
        return [actor or client_actor(snapshot, context.caller, agent, issuer) for agent in agents]

    token_type: ProofType = "id_jag" if assertion else operation.delegator_token_sort
    proof, use = present(context, operation.delegator_token, token_type, actors)
    subject = f"{proof.issuer} {proof.subject}"
    requests: Sequence[IssueRequest] = operation.requests
    if proof.bounds is not None:
        from jitid.capabilities.issue.grant_bounds import within

        requests = [within(request, proof.bounds) for request in requests]
    return [
        request._replace(proved_delegator=proof.delegator, proved_subject=subject, proved_at=proof.proved_at)
        for request in requests
    ], uses if use is None else (*uses, use)


def _may_have_login(context: Context, holder: str | None) -> bool:
    if holder is None:
        return False
    from jitid.capabilities.directory.store import DirectoryStore

    with context.ledger.read() as snapshot:
        return DirectoryStore(snapshot).has_login(holder)


def _record(transaction: Transaction, uses: Sequence[Presentation]) -> None:
    """Record with the next event that tokens of other issuers are used."""
    if uses:
        from jitid.capabilities.issue.may_act import must_be_first

        must_be_first(transaction, uses)


def _ids(issued: Sequence[Issued]) -> tuple[bytes, bytes]:
    """Return the first and the last `jti` of issued credentials, 16 bytes each."""
    from jitid.values.ids import parse_id

    first_jti, last_jti = issued[0].credentials[0].jti, issued[-1].credentials[-1].jti
    return parse_id(first_jti)[1], parse_id(last_jti)[1]


def renew(context: Context, operation: ops.Renew) -> Issued:
    """Make a successor of a credential; a refusal is recorded."""
    from jitid.capabilities.issue import renewal

    terms, accept_clock = context.terms(), operation.accept_clock

    def make(transaction: Transaction) -> Issued:
        return renewal.renew(transaction, transaction.names, operation.request, terms, context.keyring)

    try:
        if not context.repeats:
            return _with_keys(
                context,
                lambda: change(context.ledger, make, accept_clock=accept_clock),
                accept_clock=accept_clock,
            )
        from jitid.ledger.idempotency import RENEWED

        return _with_keys(
            context,
            lambda: context.once(make, RENEWED, lambda issued: _ids([issued]), accept_clock=accept_clock),
            accept_clock=accept_clock,
        )
    except (PolicyDeniedError, InvalidCredentialError) as denial:
        _deny(context, operation, denial)
        raise


def attach(context: Context, operation: ops.Attach) -> Issued:
    """Make a further credential of an identity; a refusal is recorded."""
    from jitid.capabilities.issue import renewal

    check_size(operation.request)
    terms = context.terms()

    def make(transaction: Transaction) -> Issued:
        return renewal.attach(transaction, transaction.names, operation.request, terms, context.keyring)

    try:
        issued = _with_keys(
            context,
            lambda: change(context.ledger, make, accept_clock=operation.accept_clock),
            accept_clock=operation.accept_clock,
        )
    except (PolicyDeniedError, InvalidCredentialError) as denial:
        _deny(context, operation, denial)
        raise
    if not is_outside(issued.kind):
        return issued
    (provided,) = _provided(context, [issued])
    return provided


def _provided(context: Context, issued: Sequence[Issued]) -> list[Issued]:
    """Return recorded credentials with the secrets that their targets have made. Raises the errors of `provision`."""
    from jitid.capabilities.issue import provision
    from jitid.capabilities.targets.perform import targets_of

    return provision.provision(context.ledger, targets_of(context), issued)


def abandon_renewal(context: Context, operation: ops.AbandonRenewal) -> None:
    """End a successor that could not be handed out."""
    from jitid.capabilities.issue import renewal

    with context.ledger.write() as transaction:
        renewal.abandon_held(transaction, context.ledger.names, operation.token.reveal())


def abandon_attachment(context: Context, operation: ops.AbandonAttachment) -> None:
    """End an attached credential that could not be handed out."""
    from jitid.capabilities.issue import renewal

    with context.ledger.write() as transaction:
        renewal.abandon(transaction, operation.jti, renewal.ATTACHMENT)


def _deny(context: Context, operation: ops.Issue | ops.Renew | ops.Attach, denial: JitidError) -> None:
    from jitid.capabilities.identity.record_denial import record_denial

    facts = {"attachment": True} if isinstance(operation, ops.Attach) else operation.facts_if_denied()
    record_denial(context.ledger, context.terms, denial, facts, accept_clock=operation.accept_clock)
