"""Renew: issue a successor credential of the same identity by a new decision; its descendants stay valid."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.capabilities.directory import governance, name_rights, ownership
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import introspection
from jitid.capabilities.identity.introspection import Verified
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.issue import narrow
from jitid.capabilities.issue import plan as planning
from jitid.capabilities.issue.issuance import Issued, IssuedCredential
from jitid.capabilities.issue.mint import mint_of, names_of, new_ids, placed, signing_of
from jitid.capabilities.trust.signing import usable_key
from jitid.errors import InvalidCredentialError, NotFoundError, PolicyDeniedError, UsageError
from jitid.issuers.issuer import Draft, Order
from jitid.keys.keyring import Keyring
from jitid.ledger import expiry, policies
from jitid.ledger.status_places import StatusStore
from jitid.model import delegation
from jitid.model import event as audit
from jitid.model.credential import (
    PROOFS,
    USUAL_KINDS,
    Credential,
    State,
    judged_kinds,
    kept_kinds,
    named_kind,
    sort_of,
    told_kinds,
)
from jitid.model.delegation import Grant, actors_of
from jitid.model.ledger_rows import CredentialRow, Names
from jitid.model.request import AttachRequest, RenewRequest
from jitid.model.task import Task
from jitid.operation import reach
from jitid.operation.terms import Terms
from jitid.policy.decision import Decision
from jitid.policy.policy_request import PolicyRequest
from jitid.values.ids import parse_id
from jitid.values.scope import Scope, normalise
from jitid.values.text import quote
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.issuers.targets import ChosenTarget
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View


RENEWED_TWICE = "renewed-twice"
"""The rule that refuses a second renewal of the same credential."""


class Renewal(NamedTuple):
    """The outcome of planning a renewal or an attachment."""

    draft: Draft
    decision: Decision
    facts: Mapping[str, Any]
    notes: tuple[str, ...]
    maximum: int
    recurring: int | None
    """The number of the agent's record, if the agent is registered."""
    chosen: ChosenTarget | None = None
    """The target, or its template, that an attached credential is made from."""


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
        verified = introspection.verify(transaction, names, request.token.reveal(), None)
    except InvalidCredentialError:
        _must_not_be_late(transaction, names, request.token.reveal())
        raise
    predecessor = verified.credential
    task = TaskStore(transaction).task_numbered(predecessor.task_key)
    assert task is not None
    _must_have_no_successor(predecessor)
    renewal = plan(transaction, names, verified, task, request, terms)
    draft, kind = renewal.draft, sort_of(predecessor.kind)
    needed = signing_of(kind, terms.algorithm_for(draft.audiences))
    key = needed and usable_key(transaction, names, keyring, needed.algorithm, needed.use)
    ((_, jti),) = new_ids(1)
    mint = mint_of(kind, keyring, key)
    raw = [(parse_id(predecessor.id)[1], jti)]
    (ids,) = names_of(transaction, mint, predecessor.kind, draft.expires_at, raw, terms.publish_url, set())
    # A credential that a target makes is not a token that can be presented for renewal.
    assert mint.issuer is not None
    (minted,) = mint.issuer.mint([Order(draft, [ids])])
    superseded_at = CredentialChanges(transaction).supersede(predecessor.key, draft.issued_at + terms.overlap)
    assert superseded_at is not None, "a valid credential without a successor can be superseded"
    number, subject = transaction.next_keys()[1], predecessor.proved_subject
    transaction.add(
        [],
        [
            CredentialRow(
                number,
                jti,
                predecessor.identity_key,
                predecessor.kind,
                " ".join(draft.scopes),
                transaction.term(" ".join(draft.audiences)),
                draft.details,
                draft.issued_at,
                draft.expires_at,
                minted.fingerprint,
                minted.claims_hash,
                key and key.key,
                transaction.next_seq(),
                task.key,
                transaction.term(draft.delegator),
                renewal.recurring,
                predecessor.template,
                minted.public,
                predecessor.line,
                predecessor.attached_from,
                draft.recorded_reach(predecessor.kind),
                None if draft.may_kind is None else kept_kinds(draft.may_kind),
                draft.may_act,
                None if subject is None else transaction.term(subject),
            )
        ],
    )
    if ids.listed is not None:
        StatusStore(transaction).add(placed([ids], number))
    CredentialChanges(transaction).renews_until(predecessor.identity_key, renewal.maximum)
    policies.keep(transaction, renewal.decision.policy, terms.policy_text)
    transaction.append(
        "renew",
        {
            **renewal.facts,
            "jti": ids.jti,
            "certified": audit.certified_digest([minted.public]),
            "rows": audit.rows_digest(
                key.kid if key else None,
                *(draft.details, draft.recorded_reach(predecessor.kind)),
                [raw[0][0]],
                [minted.claims_hash],
                [ids.listed and (ids.listed.list, ids.listed.place)],
                [jti],
                [minted.fingerprint],
            ),
            "of": predecessor.jti,
            "replaced": {predecessor.jti: superseded_at},
        },
    )
    return Issued(
        (IssuedCredential(ids.id, ids.jti, minted.secret),),
        draft.task,
        draft.agent,
        draft.delegator,
        draft.delegator_proof,
        predecessor.delegator_state,
        predecessor.parent,
        draft.depth,
        predecessor.kind,
        draft.sensitivity,
        draft.scopes,
        draft.audiences,
        draft.issued_at,
        draft.expires_at,
        renewal.decision,
        renewal.notes,
        renewal.maximum,
        None,
        draft.may_audience,
        draft.may_act,
    )


def _must_not_be_late(snapshot: View, names: Names, text: str) -> None:
    """Refuse a second renewal explicitly after the overlap too, while the line is live: a thief may wait that long."""
    try:
        found = introspection.recognise(snapshot, names, text)
    except InvalidCredentialError:
        return
    if found.state_at(snapshot.now) is not State.SUPERSEDED:
        return
    head = next(iter(CredentialStore(snapshot).grounds(found.key)), None)
    if head is not None and head.how == "renewed" and head.expires_at is not None:
        _must_have_no_successor(found)


def _must_have_no_successor(predecessor: Credential) -> None:
    """Refuse a second renewal: two successors would be two copies of one right (RFC 9700, section 4.14.2)."""
    if predecessor.superseded_at is None:
        return
    reason = (
        f"rule `{RENEWED_TWICE}`: {predecessor.jti} was renewed already, and has one successor; "
        "if you did not renew it, it was stolen"
    )
    raise PolicyDeniedError(
        f"denied: {reason}",
        f"use the successor; or end them all: jitid revoke {predecessor.id}",
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
    abandon(transaction, introspection.recognise(transaction, names, token).jti, {"renew": "renewal"})


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
    found = CredentialStore(transaction).find_credential("jti", parse_id(jti)[1])
    event = None if found is None else transaction.event(found.event)
    told = {} if event is None else event.document()
    if found is None or told.get("op") not in made_by:
        what = " or ".join(made_by.values())
        raise NotFoundError(
            f"the ledger knows no {what} {quote(jti)}; nothing was changed", "see: jitid audit log"
        )
    if found.state_at(transaction.now) is not State.ACTIVE:
        return
    digest = CredentialChanges(transaction).end_one(found.key, State.REVOKED)
    # Only old renewals, from before a line had a single head, record earlier ends of replaced credentials.
    earlier = told.get("before", {})
    restored = {
        text: earlier.get(text)
        for text, at in (told.get("replaced", {}).items() if found.superseded_at is None else ())
        if CredentialChanges(transaction).restore(parse_id(text)[1], at, earlier.get(text))
    }
    transaction.append(
        "abandon",
        {
            "task": found.task,
            "opener": found.task_opener,
            "agent": found.agent,
            "jti": jti,
            "count": 1,
            "ended": digest,
            "restored": restored,
        },
    )
    if found.superseded_at is None and not restored:
        expiry.lapse(transaction, [found.line], {})


def plan(
    transaction: Transaction,
    names: Names,
    verified: Verified,
    task: Task,
    request: RenewRequest | AttachRequest,
    terms: Terms,
) -> Renewal:
    """Return the outcome for a successor of a credential, or for a further credential of its identity.

    Raises the errors of `renew`.
    """
    now = transaction.now
    predecessor, lineage = verified.credential, verified.lineage
    attached = request if isinstance(request, AttachRequest) else None
    given = predecessor.expires_at - predecessor.issued_at
    ttl, kind, template, chosen = (
        given,
        predecessor.kind,
        predecessor.template,
        None,
    )
    if attached is not None:
        ttl, kind, chosen = terms.ttl, attached.kind, terms.chosen(attached.kind, attached.template)
        template = None if chosen is None else chosen.told
    ttl = ttl if request.ttl is None else request.ttl
    if ttl <= 0:
        raise UsageError("a lifetime is at least one second", "such as --ttl 15m")
    notes: list[str] = []
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
    audiences = within.audiences
    details = delegation.detail_texts(predecessor.details)
    chain = narrow.sensitivity_of(predecessor, lineage)
    found = narrow.sensitivity(task.sensitivity, chain, scopes, audiences, terms, may_audience=within.later)
    judged, proof = found.level, introspection.root_proof(predecessor, lineage)
    if judged == found.own:
        narrow.note_raised(found, task.sensitivity, "", notes)
    subject = predecessor.proved_subject
    entry = DirectoryStore(transaction).entry(
        governance.known_as(DirectoryStore(transaction), predecessor.delegator, subject), predecessor.agent
    )
    standing = governance.standing_of(entry)
    # A request for an attachment does not state which kinds it passes on.
    narrower = attached is not None or request.allow_narrower
    records = governance.records_of(DirectoryStore(transaction), [one.agent for one in lineage])
    own_records = records if entry.agent is None else [entry.agent, *records]
    kinds = narrow.inherited(own_records, kinds, notes, allow_narrower=narrower)
    facts: dict[str, Any] = {
        "task": predecessor.task,
        "opener": None if task.opener == predecessor.delegator else task.opener,
        "agent": predecessor.agent,
        "delegator": predecessor.delegator,
        "proof": predecessor.delegator_proof,
        "root_proof": None if proof == predecessor.delegator_proof else proof,
        "kind": kind,
        "template": template,
        "target": None if chosen is None else planning.target_of(chosen, kind),
        "sensitivity": predecessor.sensitivity,
        "judged": None if judged == predecessor.sensitivity else judged,
        "purpose": task.purpose,
        "depth": predecessor.depth or None,
        "parent": predecessor.parent,
        "id": predecessor.id,
        "scopes": list(scopes) or None,
        **within.told(kind),
        "ttl": ttl,
        "policy": terms.policy.digest,
        "standing": governance.told(standing),
        "zone": terms.zone_name,
        "may_kind": None if attached is not None else told_kinds(kinds),
    }
    # Only the root has it: all credentials below end with the root.
    facts["subject"] = None if lineage else subject
    right, unlet = name_rights.going_on(transaction, entry.agent, predecessor, terms, now)
    facts["named_by"] = right.by
    usual = terms.audiences or names.accepted(now)
    governance.must_not_object(
        governance.objections(
            entry, predecessor.delegator, judged, known_only=terms.known_delegators_only, now=now
        )
        + governance.proved_as_another(DirectoryStore(transaction), predecessor.delegator, subject)
        # The number of live identities does not grow.
        + governance.beyond_limits(entry.agent, (kind, *(kinds or ())), within.limited(kind), usual, 0, 0)
        + governance.beyond_scopes(entry.delegator, entry.agent, details)
        + governance.beyond_types(terms.detail_types, details)
        + governance.out_of_service(records, now)
        + governance.beyond_each(records, (kind, *(kinds or ())), within.limited(kind), usual, details)
        + unlet,
        facts,
    )
    if attached is not None:
        planning.must_not_rest_on_too_many(verified, facts)
    for holder, holds in _held_by(verified, attached=attached is not None):
        scopes = narrow.attenuated(
            holder,
            holds,
            scopes,
            within.obtainable,
            details,
            facts,
            notes,
            allow_narrower=request.allow_narrower,
            kinds=() if predecessor.may_kind is None else (named_kind(kind, template), *(kinds or ())),
        )
    scopes = governance.permitted_scopes(
        entry.delegator, entry.agent, scopes, facts, notes, allow_narrower=request.allow_narrower
    )
    for one in records:
        scopes = governance.permitted_scopes(
            None, one, scopes, facts, notes, allow_narrower=request.allow_narrower
        )
    asked = PolicyRequest(
        predecessor.agent,
        predecessor.delegator,
        proof,
        predecessor.task,
        ownership.told_owner(
            transaction, task, predecessor.delegator, introspection.root_of(predecessor, lineage)
        ),
        task.purpose,
        judged,
        kind,
        predecessor.depth,
        scopes,
        audiences,
        ttl,
        now,
        standing,
        terms.zone,
        template=template or "",
        # Inherited kinds were judged when they were granted, and are judged again when they are used.
        may_kind=() if attached is not None else judged_kinds(kinds),
    )
    decide = partial(
        terms.policy.decide,
        asked,
        narrow=request.allow_narrower,
        fixed=frozenset({"purpose", "sensitivity"}),
    )
    decision = decide(explain=False)
    if decision.needs and attached is not None:
        decide = partial(decide, approved=_approved(transaction, predecessor))
        decision = decide(explain=False)
    if decision.needs:
        _refuse_unapproved(decision, facts, attached=attached is not None)
    planning.must_permit(decision, facts, notes, decide)
    if request.allow_narrower:
        decision = decision._replace(granted=normalise(map(Scope, decision.granted)))
    kinds = kinds and narrow.permitted_kinds(kinds, decision)
    first = CredentialStore(transaction).first_issued_at(predecessor.identity_key)
    lifetime, limit = narrow.lifetime(
        ttl,
        decision,
        task.deadline - now,
        _until(verified, attached=attached is not None, now=now),
        max(now - first, 0),  # the clock may have been set back since
        notes,
        stated=request.ttl is not None,
        others=planning.name_limits(entry.agent, right, now),
        renews=None if attached is not None else given,
    )
    # A shorter lifetime that was requested is issued; otherwise a successor that expires no later is useless. A
    # successor that is made in the second of the issue, with the same lifetime, expires with its predecessor.
    earliest = predecessor.expires_at + (0 if lifetime >= given else 1)
    used_up = attached is None and limit is not None and now + lifetime < earliest
    if lifetime <= 0 or used_up:
        _refuse_used_up(predecessor, decision, limit, first, facts)
    if attached is None and now + lifetime < predecessor.expires_at:
        notes.append("it expires before its predecessor would have, and so do credentials made from that")
    draft = Draft(
        names.issuer,
        names.trust_domain,
        predecessor.delegator,
        predecessor.delegator_proof,
        actors_of(names.trust_domain, lineage),
        predecessor.agent,
        predecessor.task,
        task.purpose,
        judged,
        predecessor.depth,
        decision.granted,
        audiences,
        predecessor.details,
        now,
        now + lifetime,
        None if chosen is None else chosen.template,
        {} if chosen is None else chosen.options,
        None if attached is None else attached.public_key,
        predecessor.under_agent,
        within.may_audience,
        within.may_act,
        kinds,
    )
    recurring = None if entry.agent is None else entry.agent.key
    facts |= planning.granted(facts, decision, ttl, lifetime)
    facts["may_kind"] = told_kinds(kinds)
    maximum = task.deadline if decision.max_ttl is None else min(task.deadline, first + decision.max_ttl)
    return Renewal(draft, decision, facts, tuple(notes), maximum, recurring, chosen)


def _held_by(verified: Verified, *, attached: bool) -> list[tuple[str, Grant]]:
    """Return the grants that limit the new credential, with their ids.

    The presented credential limits an attachment; the credential that it was attached or delegated from limits both.
    """
    predecessor = verified.credential
    found = []
    if attached:
        own = narrow.held_by(predecessor)
        found.append((predecessor.id, own._replace(depth=predecessor.depth - 1)))
    nearest = next((ground for ground in verified.grounds if ground.how != "renewed"), None)
    if nearest is not None:
        assert nearest.expires_at is not None, "a valid credential rests on live ones"
        found.append(
            (
                nearest.id,
                Grant(
                    [Scope(scope) for scope in nearest.scopes],
                    nearest.may_audience,
                    [text for details in nearest.details for text in delegation.detail_texts(details)],
                    nearest.expires_at,
                    predecessor.depth - 1,
                    nearest.may_kind,
                ),
            )
        )
    return found


def _until(verified: Verified, *, attached: bool, now: int) -> int | None:
    """Return the seconds until the credentials expire that the new credential rests on; None without a limit."""
    if attached:
        return introspection.until(verified) - now
    below = [
        one.expires_at for one in verified.grounds if one.how != "renewed" and one.expires_at is not None
    ]
    return min(below) - now if below else None


def _approved(snapshot: View, held: Credential) -> frozenset[str]:
    """Return the groups that approved a credential, and so all attachments to it while it is valid.

    The approved request states the kinds and audiences of these. A renewed credential was not approved, nor was an
    attached credential.
    """
    first = CredentialStore(snapshot).first_of(parse_id(held.id)[1])
    if first is None or first.event != held.event:
        return frozenset()
    return CredentialStore(snapshot).approvers_of(held.identity_key)


def _refuse_unapproved(decision: Decision, facts: Mapping[str, Any], *, attached: bool) -> None:
    what = "attach to one that needed none" if attached else "renew"
    reason = f"{decision.reason}; an approval is for one credential, and none is asked for to {what}"
    raise PolicyDeniedError(
        f"denied: {reason}",
        "ask for it anew: jitid issue"
        if attached
        else "what goes on for longer is asked for anew: jitid issue",
        {**facts, "rules": list(decision.rules), "reason": reason},
    )


def _refuse_used_up(
    predecessor: Credential, decision: Decision, limit: str | None, first: int, facts: Mapping[str, Any]
) -> None:
    reason = (
        f"{limit} leaves nothing to renew: the identity was first issued at {format_time(first)}, and its credential "
        f"ends at {format_time(predecessor.expires_at)}"
    )
    raise PolicyDeniedError(
        f"denied: {reason}",
        "what goes on for longer is a new identity: jitid issue",
        {**facts, "rules": [decision.ttl_rule] if decision.ttl_rule else ["lifetime"], "reason": reason},
    )
