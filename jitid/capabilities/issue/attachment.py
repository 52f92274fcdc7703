"""Attach a further credential to an identity, of another kind or for another use, by a credential that it has."""

from __future__ import annotations

from jitid.capabilities.identity import introspection
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.issue.issuance import Issued, IssuedCredential, record_at_target
from jitid.capabilities.issue.mint import mint_of, names_of, new_ids, placed, signing_of
from jitid.capabilities.issue.renewal import plan
from jitid.capabilities.trust.signing import usable_key
from jitid.issuers import kube_cluster
from jitid.issuers.issuer import Minted, Order
from jitid.keys.keyring import Keyring
from jitid.ledger import policies
from jitid.ledger.status_places import StatusStore
from jitid.ledger.transaction import Transaction
from jitid.model import event
from jitid.model.credential import kept_kinds, sort_of
from jitid.model.ledger_rows import CredentialRow, Names
from jitid.model.request import AttachRequest
from jitid.operation.terms import Terms
from jitid.values.ids import credential_id, parse_id
from jitid.values.secret import Secret


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
    verified = introspection.verify(transaction, names, request.token.reveal(), None)
    held = verified.credential
    task = TaskStore(transaction).task_numbered(held.task_key)
    assert task is not None
    planned = plan(transaction, names, verified, task, request, terms)
    draft, kind = planned.draft, sort_of(request.kind)
    needed = signing_of(kind, terms.algorithm_for(draft.audiences))
    key = needed and usable_key(transaction, names, keyring, needed.algorithm, needed.use)
    mint = mint_of(kind, keyring, key)
    ((_, jti),) = new_ids(1)
    raw = [(parse_id(held.id)[1], jti)]
    (ids,) = names_of(transaction, mint, request.kind, draft.expires_at, raw, terms.publish_url, set())
    minted = Minted(Secret.unmade(), None, None)
    if mint.issuer is not None:
        (minted,) = mint.issuer.mint([Order(draft, [ids])])
    number, subject = transaction.next_keys()[1], held.proved_subject
    transaction.add(
        [],
        [
            CredentialRow(
                number,
                jti,
                held.identity_key,
                request.kind,
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
                planned.recurring,
                None if planned.chosen is None else planned.chosen.told,
                minted.public,
                may_audience=draft.recorded_reach(request.kind),
                may_act=draft.may_act,
                source=held.key,
                may_kind=None if draft.may_kind is None else kept_kinds(draft.may_kind),
                proved_subject=None if subject is None else transaction.term(subject),
            )
        ],
    )
    if ids.listed is not None:
        StatusStore(transaction).add(placed([ids], number))
    if mint.issuer is None:
        assert planned.chosen is not None
        record_at_target(transaction, number, credential_id(jti), planned.chosen)
    policies.keep(transaction, planned.decision.policy, terms.policy_text)
    transaction.append(
        "attach",
        {
            **planned.facts,
            "jti": ids.jti,
            "made_from": held.jti,
            "certified": event.certified_digest([minted.public]),
            "rows": event.rows_digest(
                key.kid if key else None,
                *(draft.details, draft.recorded_reach(request.kind)),
                [raw[0][0]],
                [minted.claims_hash],
                [ids.listed and (ids.listed.list, ids.listed.place)],
                [jti],
                [minted.fingerprint],
            ),
        },
    )
    return Issued(
        (IssuedCredential(ids.id, ids.jti, minted.secret, kube_cluster.facts_of(draft.options)),),
        draft.task,
        draft.agent,
        draft.delegator,
        draft.delegator_proof,
        held.delegator_state,
        held.parent,
        draft.depth,
        request.kind,
        draft.sensitivity,
        draft.scopes,
        draft.audiences,
        draft.issued_at,
        draft.expires_at,
        planned.decision,
        planned.notes,
        planned.maximum,
        None if planned.chosen is None else planned.chosen.told,
        draft.may_audience,
        draft.may_act,
    )
