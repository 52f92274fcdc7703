"""Renew: issue a successor credential of the same identity by a new decision; its descendants stay valid.

And attach: a further credential of another kind or for another use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory import governance, name_rights, ownership
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import recognise_token, validity
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.identity.validity import Verified
from jitid.capabilities.issue import narrow
from jitid.capabilities.issue.decide import FurtherPlan, Proposal, must_not_rest_on_too_many
from jitid.capabilities.issue.issuance import result_of
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.provision import add_credential
from jitid.errors import InvalidCredentialError, NotFoundError, PolicyDeniedError, UsageError
from jitid.keys.keyring import Keyring
from jitid.ledger import expiry
from jitid.ledger.transaction import Transaction
from jitid.model import delegation
from jitid.model.credential import PROOFS, SIGNED_TOKENS, USUAL_KINDS, Credential, State, judged_kinds
from jitid.model.delegation import Grant, actors_of
from jitid.model.ledger_rows import Names
from jitid.model.request import AttachRequest, RenewRequest
from jitid.operation import reach
from jitid.operation.context import Terms
from jitid.policy.decision import Decision
from jitid.values.ids import parse_id
from jitid.values.scope import Scope, normalise
from jitid.values.text import quote
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.ledger.view import View


RENEWED_TWICE = "renewed-twice"
"""The rule that refuses a second renewal of the same credential."""


def renew(
    transaction: Transaction, names: Names, request: RenewRequest, terms: Terms, keyring: Keyring
) -> Issued:
    """Make the only successor of the presented credential, which itself stays valid for a short overlap.

    No other credential of the identity changes. The current policy, task, parent and sensitivity floors apply. No
    credential outlasts the hard maximum, which counts from the first issue of the identity. A successor gets at most
    the lifetime of its predecessor, unless the policy has `@renew_ttl`.

    Raises:
        InvalidCredentialError: the token is not valid now, or its lineage has ended.
        PolicyDeniedError: it would not be issued now, or no lifetime remains.

    """
    try:
        verified = recognise_token.verify(transaction, names, request.token.reveal(), None)
    except InvalidCredentialError:
        _must_not_be_late(transaction, names, request.token.reveal())
        raise
    predecessor = verified.credential
    _must_have_no_successor(predecessor)
    renewal = plan(transaction, names, verified, request, terms)
    draft = renewal.draft
    superseded_at = CredentialChanges(transaction).supersede(predecessor.key, draft.issued_at + terms.overlap)
    assert superseded_at is not None, "a valid credential without a successor can be superseded"
    successor, facts = add_credential(
        transaction,
        names,
        terms,
        keyring,
        predecessor,
        renewal,
        line=predecessor.line,
        source=predecessor.attached_from,
    )
    CredentialChanges(transaction).renews_until(predecessor.identity_key, renewal.maximum)
    replaced = {"of": predecessor.jti, "replaced": {predecessor.jti: superseded_at}}
    transaction.append("renew", {**renewal.facts, **facts, **replaced})
    return result_of(
        renewal,
        (successor,),
        kind=renewal.kind,
        delegator_state=predecessor.delegator_state,
        parent=predecessor.parent,
    )


def _must_not_be_late(snapshot: View, names: Names, token: str) -> None:
    """Refuse a second renewal explicitly after the overlap too, while the line is live: a thief may wait that long."""
    try:
        credential = recognise_token.recognise(snapshot, names, token)
    except InvalidCredentialError:
        return
    if credential.state_at(snapshot.now) is not State.SUPERSEDED:
        return
    head = next(iter(CredentialStore(snapshot).grounds(credential.key)), None)
    if head is not None and head.how == "renewed" and head.expires_at is not None:
        _must_have_no_successor(credential)


def _must_have_no_successor(predecessor: Credential) -> None:
    """Refuse a second renewal: two successors would be two copies of one right (RFC 9700, section 4.14.2)."""
    if predecessor.superseded_at is None:
        return
    reason = (
        f"rule `{RENEWED_TWICE}`: {predecessor.jti} already has a successor; "
        "if you did not renew it, it was stolen"
    )
    raise PolicyDeniedError(
        f"denied: {reason}",
        f"use the successor; or revoke the identity: jitid revoke {predecessor.id}",
        {
            "task": predecessor.task,
            "agent": predecessor.agent,
            "delegator": predecessor.delegator,
            "id": predecessor.id,
            "of": predecessor.jti,
            "rules": [RENEWED_TWICE],
            "reason": reason,
        },
    )


def abandon_held(transaction: Transaction, names: Names, token: str) -> None:
    """End the successor that `token` is. Only its own token gives this right: its predecessor becomes current.

    Raises:
        InvalidCredentialError: this ledger did not issue the token.
        NotFoundError: the token was issued, and is not a successor.

    """
    abandon(transaction, recognise_token.recognise(transaction, names, token).jti, {"renew": "renewal"})


ATTACHMENT = {"attach": "attachment"}


def abandon(
    transaction: Transaction,
    jti: str,
    made_by: Mapping[str, str] = {"renew": "renewal", **ATTACHMENT},
) -> None:
    """End a successor that could not be handed out; its predecessor is restored.

    If the successor has a successor itself by now, that one replaces both. An attached credential has replaced no
    other, and ends alone.

    `made_by` are the permitted operations, each with the word for its product.

    Raises:
        NotFoundError: none of these operations made it.

    """
    credential = CredentialStore(transaction).find_credential("jti", parse_id(jti)[1])
    event = None if credential is None else transaction.event(credential.event)
    document = {} if event is None else event.document()
    if credential is None or document.get("op") not in made_by:
        products = " or ".join(made_by.values())
        raise NotFoundError(
            f"the ledger has no {products} {quote(jti)}; nothing was changed", "see: jitid audit log"
        )
    if credential.state_at(transaction.now) is not State.ACTIVE:
        return
    digest = CredentialChanges(transaction).end_one(credential.key, State.REVOKED)
    # Only old renewals, from before a line had a single head, record earlier ends of replaced credentials.
    earlier = document.get("before", {})
    restored = {
        replaced_jti: earlier.get(replaced_jti)
        for replaced_jti, superseded_at in (
            document.get("replaced", {}).items() if credential.superseded_at is None else ()
        )
        if CredentialChanges(transaction).restore(
            parse_id(replaced_jti)[1], superseded_at, earlier.get(replaced_jti)
        )
    }
    transaction.append(
        "abandon",
        {
            "task": credential.task,
            "opener": credential.task_opener,
            "agent": credential.agent,
            "jti": jti,
            "count": 1,
            "ended": digest,
            "restored": restored,
        },
    )
    if credential.superseded_at is None and not restored:
        expiry.lapse(transaction, [credential.line], {})


def plan(
    transaction: Transaction,
    names: Names,
    verified: Verified,
    request: RenewRequest | AttachRequest,
    terms: Terms,
) -> FurtherPlan:
    """Return the outcome for a successor of a credential, or for a further credential of its identity.

    Raises the errors of `renew`.
    """
    now = transaction.now
    predecessor, lineage = verified.credential, verified.lineage
    attached = isinstance(request, AttachRequest)
    predecessor_lifetime = predecessor.expires_at - predecessor.issued_at
    notes: list[str] = []
    proposal, objections = _propose(transaction, names, verified, request, terms, notes)
    entry = proposal.entry
    facts = _facts(verified, proposal, terms, attached=attached)
    as_another = governance.proved_as_another(
        DirectoryStore(transaction), predecessor.delegator, predecessor.proved_subject
    )
    # The number of live identities does not grow.
    directory_objections = proposal.objections(names, terms, now, others=0, copies=0, to_delegator=as_another)
    governance.must_not_object(directory_objections + objections, facts)
    if attached:
        must_not_rest_on_too_many(verified, facts)
    for holder, grant in _held_by(verified, attached=attached):
        proposal = proposal.attenuated(holder, grant, facts, notes, any_kind=predecessor.may_kind is None)
    proposal = proposal.within_limits(facts, notes)
    decision, explained = _decide(transaction, terms, verified, proposal, facts, attached=attached)
    proposal, decision = proposal.permitted(decision, facts, notes, explained)
    first_issued_at = CredentialStore(transaction).first_issued_at(predecessor.identity_key)
    lifetime, limit = proposal.lifetime(
        decision,
        now,
        _until(verified, attached=attached),
        notes,
        age=max(now - first_issued_at, 0),  # the clock may have been set back since
        predecessor_lifetime=None if attached else predecessor_lifetime,
    )
    # A shorter lifetime that was requested is issued; otherwise a successor that expires no later is useless. A
    # successor that is made in the second of the issue, with the same lifetime, expires with its predecessor.
    earliest = predecessor.expires_at + (0 if lifetime >= predecessor_lifetime else 1)
    used_up = not attached and limit is not None and now + lifetime < earliest
    if lifetime <= 0 or used_up:
        _refuse_used_up(predecessor, decision, limit, first_issued_at, facts)
    if not attached and now + lifetime < predecessor.expires_at:
        notes.append("it expires before its predecessor, and so do credentials made from the predecessor")
    draft = proposal.draft(
        names,
        decision,
        now,
        lifetime,
        proof=predecessor.delegator_proof,
        actors=actors_of(names.trust_domain, lineage),
        details=predecessor.details,
        public_key=request.public_key if isinstance(request, AttachRequest) else None,
        registered=predecessor.under_agent,
    )
    facts |= proposal.decided(facts, decision, lifetime)
    recurring = None if entry.agent is None else entry.agent.key
    if proposal.kind in SIGNED_TOKENS and not draft.is_identity:
        # Imported here: an identity token has no vendor.
        from jitid.capabilities.issue import token_subject

        def proves_name() -> bool:
            return name_rights.keeps_proved_name(transaction, predecessor)

        draft = token_subject.stated(draft, proposal.kind, proposal.proof, terms, facts, proves_name)
        facts |= {"sub": draft.subject, "exchange_life": draft.exchange_life}
    return FurtherPlan(
        draft,
        proposal.kind,
        proposal.template,
        decision,
        facts,
        tuple(notes),
        proposal.latest(decision, first_issued_at),
        recurring,
        proposal.chosen,
    )


def _facts(verified: Verified, proposal: Proposal, terms: Terms, *, attached: bool) -> dict[str, Any]:
    """Return the members of the audit event before the decision."""
    predecessor, proof, judged = verified.credential, proposal.proof, proposal.sensitivity
    facts = {
        **proposal.facts(terms),
        "proof": predecessor.delegator_proof,
        "root_proof": None if proof == predecessor.delegator_proof else proof,
        "sensitivity": predecessor.sensitivity,
        "judged": None if judged == predecessor.sensitivity else judged,
        "parent": predecessor.parent,
        "id": predecessor.id,
        # Only the root has it: all credentials below end with the root.
        "subject": None if verified.lineage else predecessor.proved_subject,
    }
    # An attachment passes on the kinds of its identity; its own event does not repeat them before the decision.
    return {**facts, "may_kind": None} if attached else facts


def _propose(
    transaction: Transaction,
    names: Names,
    verified: Verified,
    request: RenewRequest | AttachRequest,
    terms: Terms,
    notes: list[str],
) -> tuple[Proposal, list[governance.Objection]]:
    """Return the requested credential, and the objections to the use of its agent's name.

    Raises:
        UsageError: the request is invalid.

    """
    predecessor, lineage = verified.credential, verified.lineage
    task = TaskStore(transaction).task_numbered(predecessor.task_key)
    assert task is not None
    directory = DirectoryStore(transaction)
    attached = request if isinstance(request, AttachRequest) else None
    kind, template, chosen = predecessor.kind, predecessor.template, None
    ttl = predecessor.expires_at - predecessor.issued_at
    if attached is not None:
        ttl, kind, chosen = terms.ttl, attached.kind, terms.chosen(attached.kind, attached.template)
        template = None if chosen is None else chosen.qualified_template
    ttl = ttl if request.ttl is None else request.ttl
    if ttl <= 0:
        raise UsageError("a lifetime must be at least one second", "such as --ttl 15m")
    scopes = normalise(tuple(Scope(scope) for scope in predecessor.scopes))
    # An old row permits any kind until its line ends; an attached credential has a new row.
    kinds = predecessor.may_kind
    if attached is None:
        within = reach.renewed(predecessor, names)
    else:
        narrow.check_audiences(names, attached.audiences)
        scopes = narrow.carried(kind, attached.scopes, narrower=attached.allow_narrower) or (
            () if kind in PROOFS else scopes
        )
        within = reach.attached(attached, predecessor, names, terms)
        kinds = USUAL_KINDS if kinds is None else kinds
    scopes = narrow.few_enough(scopes, predecessor.jti, notes, allow_narrower=request.allow_narrower)
    chain = narrow.sensitivity_of(predecessor, lineage)
    judged = narrow.sensitivity(
        task.sensitivity, chain, scopes, within.audiences, terms, may_audience=within.later
    )
    if judged.level == judged.own:
        narrow.note_raised(judged, task.sensitivity, "", notes)
    known_as = governance.known_as(directory, predecessor.delegator, predecessor.proved_subject)
    entry = directory.entry(known_as, predecessor.agent)
    # A request for an attachment does not state which kinds it passes on.
    narrower = attached is not None or request.allow_narrower
    records = governance.records_of(directory, [ancestor.agent for ancestor in lineage])
    own_records = records if entry.agent is None else [entry.agent, *records]
    kinds = narrow.inherited(own_records, kinds, notes, allow_narrower=narrower)
    right, objections = name_rights.right_to_keep_name(
        transaction, entry.agent, predecessor, terms, transaction.now
    )
    proposal = Proposal(
        predecessor.delegator,
        validity.root_proof(predecessor, lineage),
        predecessor.agent,
        task,
        predecessor.depth,
        kind,
        chosen,
        template,
        scopes,
        within,
        delegation.detail_texts(predecessor.details),
        kinds,
        judged.level,
        ttl,
        request.ttl is not None,
        entry,
        records,
        right,
        request.allow_narrower,
    )
    return proposal, objections


def _decide(
    transaction: Transaction,
    terms: Terms,
    verified: Verified,
    proposal: Proposal,
    facts: Mapping[str, Any],
    *,
    attached: bool,
) -> tuple[Decision, Callable[[], Decision]]:
    """Return the policy's decision, and a function that returns it with advice.

    Raises:
        PolicyDeniedError: the policy requires an approval.

    """
    predecessor = verified.credential
    owner = ownership.owner_for_policy(
        transaction,
        proposal.task,
        predecessor.delegator,
        validity.root_of(predecessor, verified.lineage),
    )
    # Inherited kinds were judged when they were granted, and are judged again when they are used.
    may_kind = () if attached else judged_kinds(proposal.kinds)
    decide = partial(
        terms.policy.decide,
        proposal.policy_request(terms, owner, transaction.now, may_kind),
        narrow=proposal.allow_narrower,
        fixed=frozenset({"purpose", "sensitivity"}),
    )
    decision = decide(explain=False)
    if decision.needs and attached:
        decide = partial(decide, approved=_approved(transaction, predecessor))
        decision = decide(explain=False)
    if decision.needs:
        _refuse_unapproved(decision, facts, attached=attached)
    return decision, decide


def _held_by(verified: Verified, *, attached: bool) -> list[tuple[str, Grant]]:
    """Return the grants that limit the new credential, with their ids.

    The presented credential limits an attachment; the credential that it was attached or delegated from limits both.
    """
    predecessor = verified.credential
    grants = []
    if attached:
        grant = narrow.held_by(predecessor)
        grants.append((predecessor.id, grant._replace(depth=predecessor.depth - 1)))
    nearest = next((ground for ground in verified.grounds if ground.how != "renewed"), None)
    if nearest is not None:
        assert nearest.expires_at is not None, "a valid credential rests on live ones"
        grants.append(
            (
                nearest.id,
                Grant(
                    [Scope(scope) for scope in nearest.scopes],
                    nearest.may_audience,
                    [detail for details in nearest.details for detail in delegation.detail_texts(details)],
                    nearest.expires_at,
                    predecessor.depth - 1,
                    nearest.may_kind,
                ),
            )
        )
    return grants


def _until(verified: Verified, *, attached: bool) -> int | None:
    """Return when the credentials expire that the new one rests on; None without a limit."""
    if attached:
        return validity.latest_expiry(verified)
    expiries = [
        ground.expires_at
        for ground in verified.grounds
        if ground.how != "renewed" and ground.expires_at is not None
    ]
    return min(expiries, default=None)


def _approved(snapshot: View, credential: Credential) -> frozenset[str]:
    """Return the groups that approved a credential, and so all attachments to it while it is valid.

    The approved request states the kinds and audiences of these. A renewed credential was not approved, nor was an
    attached credential.
    """
    first_credential = CredentialStore(snapshot).first_of(parse_id(credential.id)[1])
    if first_credential is None or first_credential.event != credential.event:
        return frozenset()
    return CredentialStore(snapshot).approvers_of(credential.identity_key)


def _refuse_unapproved(decision: Decision, facts: Mapping[str, Any], *, attached: bool) -> None:
    action = "attach one to an identity without approval" if attached else "renew it"
    reason = f"{decision.reason}; an approval is for one credential, and cannot be requested to {action}"
    raise PolicyDeniedError(
        f"denied: {reason}",
        "request a new credential: jitid issue"
        if attached
        else "to continue, request a new credential: jitid issue",
        {**facts, "rules": list(decision.rules), "reason": reason},
    )


def _refuse_used_up(
    predecessor: Credential,
    decision: Decision,
    limit: str | None,
    first: int,
    facts: Mapping[str, Any],
) -> None:
    reason = (
        f"{limit} does not permit a later expiry: the identity was first issued at {format_time(first)}; "
        f"its credential expires at {format_time(predecessor.expires_at)}"
    )
    raise PolicyDeniedError(
        f"denied: {reason}",
        "to continue, issue a new identity; if it has a parent, renew the parent first",
        {**facts, "rules": [decision.ttl_rule] if decision.ttl_rule else ["lifetime"], "reason": reason},
    )


def attach(
    transaction: Transaction, names: Names, request: AttachRequest, terms: Terms, keyring: Keyring
) -> Issued:
    """Record a further credential of the identity whose token is presented, and make it unless a target does.

    The current policy, task, parent and sensitivity floors apply. The new credential replaces no other one. It holds
    no more than the presented credential, expires no later, and ends with it and its successors.

    Raises:
        InvalidCredentialError: the token is not valid now, or its lineage has ended.
        PolicyDeniedError: it would not be issued now, or would hold more.
        UsageError: there is no such target or template.

    """
    verified = recognise_token.verify(transaction, names, request.token.reveal(), None)
    presented = verified.credential
    planned = plan(transaction, names, verified, request, terms)
    attached, facts = add_credential(
        transaction, names, terms, keyring, presented, planned, source=presented.key
    )
    transaction.append("attach", {**planned.facts, **facts, "made_from": presented.jti})
    return result_of(
        planned,
        (attached,),
        kind=planned.kind,
        delegator_state=presented.delegator_state,
        parent=presented.parent,
    )
