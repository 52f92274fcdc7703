"""Renewing: a successor credential of the same identity, decided anew, while what descends from it lives on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid import audit, governance, introspection, narrowing, planning, reach
from jitid.credential import PROOFS, Credential, State, sort_of
from jitid.delegation import Grant
from jitid.errors import IntegrityError, NotFoundError, PolicyDeniedError, UsageError
from jitid.identifier import credential_id, parse_id
from jitid.issuance import Issued, IssuedCredential
from jitid.issuers.protocol import Draft, Order
from jitid.keyring import Keyring
from jitid.ledger.protocol import Transaction
from jitid.ledger.records import Ancestor, CredentialRow, Names
from jitid.lifetime import format_time
from jitid.minting import mint_of, names_of, new_ids, placed, signing, usable_key
from jitid.name import spiffe_id
from jitid.policy.decision import Decision, PolicyRequest
from jitid.request import AttachRequest, RenewRequest, Terms
from jitid.scope import Scope, normalise
from jitid.task import Task, most_sensitive
from jitid.text import quote

if TYPE_CHECKING:
    from jitid.targets import Chosen


class Renewal(NamedTuple):
    """What a renewal comes to."""

    draft: Draft
    decision: Decision
    facts: Mapping[str, Any]
    notes: tuple[str, ...]
    maximum: int
    recurring: int | None
    """The record of the agent, if it is registered."""
    chosen: Chosen | None = None
    """What a further credential is made from, if that is a target or a template of one."""


def renew(
    transaction: Transaction, names: Names, request: RenewRequest, terms: Terms, keyring: Keyring
) -> Issued:
    """Make a successor of the credential whose token is presented; what it stands for lives on for a short overlap.

    Policy, task, parent and floors are asked as they are now. Nothing outlives the hard maximum, which is counted
    from the first issue of the identity.

    Raises:
        InvalidCredentialError: the token is not valid now, or its lineage is dead.
        PolicyDeniedError: it would not be issued now, or has nothing left to live.

    """
    predecessor, lineage = introspection.verify(transaction, names, request.token.reveal(), None)
    task = transaction.find_task(predecessor.task)
    assert task is not None
    renewal = plan(transaction, names, predecessor, lineage, task, request, terms)
    draft, kind = renewal.draft, sort_of(predecessor.kind)
    needed = signing(kind, terms.algorithm_for(draft.audiences))
    key = needed and usable_key(transaction, names, keyring, needed.algorithm, needed.use)
    ((_, jti),) = new_ids(1)
    mint = mint_of(kind, keyring, key)
    raw = [(parse_id(predecessor.id)[1], jti)]
    (ids,) = names_of(transaction, mint, predecessor.kind, draft.expires_at, raw, terms.publish_url, set())
    # What a target makes is no token that could be presented for its renewal.
    assert mint.issuer is not None
    (minted,) = mint.issuer.mint([Order(draft, [ids])])
    replaced = transaction.supersede(
        predecessor.identity_key, predecessor.kind, draft.issued_at + terms.overlap
    )
    before = {credential_id(raw): earlier for raw, _, earlier in replaced if earlier is not None}
    number = transaction.next_keys()[1]
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
                may_audience=draft.recorded_reach(predecessor.kind),
                may_act=draft.may_act,
            )
        ],
    )
    if ids.listed is not None:
        transaction.statuses.add(placed([ids], number))
    transaction.renews_until(predecessor.identity_key, renewal.maximum)
    transaction.keep_policy(renewal.decision.policy, terms.policy_text)
    transaction.append(
        "renew",
        {
            **renewal.facts,
            "jti": ids.jti,
            "issued": audit.issued_digest([(jti, minted.fingerprint)]),
            "certified": audit.certified_digest([minted.public]),
            "replaced": {credential_id(raw): at for raw, at, _ in replaced},
            "before": before or None,
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
    )


def abandon(transaction: Transaction, jti: str) -> None:
    """End a successor that could not be handed out; what it was to supersede stands as it did before.

    If another one supersedes it by now, that one stands for all of them. What was attached to an identity has replaced
    nothing, and ends alone.

    Raises:
        NotFoundError: the ledger knows no such renewal, nor such an attachment.

    """
    found = transaction.find_credential("jti", parse_id(jti)[1])
    event = None if found is None else transaction.event(found.event)
    told = {} if event is None else event.document()
    if found is None or told.get("op") not in ("renew", "attach"):
        raise NotFoundError(f"the ledger knows no renewal {quote(jti)}", "see: jitid audit log")
    if found.state_at(transaction.now) is not State.ACTIVE:
        return
    earlier = told.get("before", {})
    restored = {
        text: earlier.get(text)
        for text, at in (told.get("replaced", {}).items() if found.superseded_at is None else ())
        if transaction.restore(parse_id(text)[1], at, earlier.get(text))
    }
    digest = transaction.end_one(found.key, State.REVOKED)
    transaction.append(
        "abandon",
        {
            "task": found.task,
            "agent": found.agent,
            "jti": jti,
            "count": 1,
            "ended": digest,
            "restored": restored,
        },
    )


def plan(
    transaction: Transaction,
    names: Names,
    predecessor: Credential,
    lineage: list[Ancestor],
    task: Task,
    request: RenewRequest | AttachRequest,
    terms: Terms,
) -> Renewal:
    """Return what a successor of a credential comes to, or a further one of its identity.

    Raises as `renew` does.
    """
    now = transaction.now
    attached = request if isinstance(request, AttachRequest) else None
    ttl, kind, template, chosen = (
        predecessor.expires_at - predecessor.issued_at,
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
    within = reach.renewed(predecessor, names)
    if attached is not None:
        scopes = narrowing.carried(kind, attached.scopes) or (() if kind in PROOFS else scopes)
        within = reach.attached(attached, predecessor, names, terms)
    audiences = within.audiences
    details = narrowing.detail_texts(predecessor.details)
    judged = most_sensitive(
        predecessor.sensitivity, narrowing.sensitivity(task, None, scopes, audiences, terms, notes)
    )
    entry = transaction.entry(predecessor.delegator, predecessor.agent)
    standing = governance.standing_of(entry)
    facts: dict[str, Any] = {
        "task": predecessor.task,
        "agent": predecessor.agent,
        "delegator": predecessor.delegator,
        "proof": predecessor.delegator_proof,
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
    }
    usual = terms.audiences or names.issuers
    governance.must_not_object(
        governance.objections(
            entry, predecessor.delegator, judged, known_only=terms.known_delegators_only, now=now
        )
        # It takes the place of one that lives.
        + governance.beyond_limits(entry.agent, kind, within.obtainable, usual, 0, 0)
        + governance.beyond_scopes(entry.delegator, entry.agent, details)
        + governance.chain_objections(transaction, [one.agent for one in lineage], now),
        facts,
    )
    until_parents_end = None
    if attached is not None:
        holds = narrowing.held_by(predecessor)._replace(depth=predecessor.depth - 1)
        scopes = narrowing.attenuated(
            predecessor.id,
            holds,
            scopes,
            within.obtainable,
            details,
            facts,
            notes,
            allow_narrower=request.allow_narrower,
        )
    if lineage:
        holds = _held_by(lineage[0])
        until_parents_end = holds.expires_at - now
        scopes = narrowing.attenuated(
            lineage[0].id,
            holds,
            scopes,
            within.obtainable,
            details,
            facts,
            notes,
            allow_narrower=request.allow_narrower,
        )
    scopes = governance.permitted_scopes(
        entry.delegator, entry.agent, scopes, facts, notes, allow_narrower=request.allow_narrower
    )
    decision = terms.policy.decide(
        PolicyRequest(
            predecessor.agent,
            predecessor.delegator,
            predecessor.delegator_proof,
            predecessor.task,
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
        ),
        narrow=request.allow_narrower,
        fixed=frozenset({"purpose", "sensitivity"}),
    )
    if decision.needs:
        _refuse_unapproved(decision, facts)
    planning.must_permit(decision, facts, notes)
    first = transaction.first_issued_at(predecessor.identity_key)
    lifetime, limit = narrowing.lifetime(
        ttl,
        decision,
        task.deadline - now,
        until_parents_end,
        max(now - first, 0),  # the clock may have been set back since
        notes,
        stated=request.ttl is not None,
        agents=governance.longest(entry.agent),
    )
    # Whoever asks for a short one gets it; otherwise a successor that lives no longer is of no use.
    used_up = attached is None and limit is not None and now + lifetime <= predecessor.expires_at
    if lifetime <= 0 or used_up:
        _refuse_used_up(predecessor, decision, limit, first, facts)
    actors = tuple(spiffe_id(names.trust_domain, one.agent, one.task, one.id) for one in lineage)
    draft = Draft(
        names.issuer,
        names.trust_domain,
        predecessor.delegator,
        predecessor.delegator_proof,
        actors,
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
        within.may_audience,
        within.may_act,
    )
    recurring = None if entry.agent is None else entry.agent.key
    facts |= planning.granted(facts, decision, ttl, lifetime)
    maximum = task.deadline if decision.max_ttl is None else min(task.deadline, first + decision.max_ttl)
    return Renewal(draft, decision, facts, tuple(notes), maximum, recurring, chosen)


def _held_by(parent: Ancestor) -> Grant:
    """Return what the live credentials of the parent let it delegate, all together."""
    if parent.expires_at is None:
        raise IntegrityError("a valid credential descends from a dead one", "run: jitid audit verify")
    return Grant(
        [Scope(scope) for scope in parent.scopes],
        parent.audiences,
        [text for details in parent.details for text in narrowing.detail_texts(details)],
        parent.expires_at,
        parent.depth,
    )


def _refuse_unapproved(decision: Decision, facts: Mapping[str, Any]) -> None:
    reason = f"{decision.reason}; an approval is for one credential, and none is asked for to renew"
    raise PolicyDeniedError(
        f"denied: {reason}",
        "what goes on for longer is asked for anew: jitid issue",
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
