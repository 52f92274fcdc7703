"""Add one credential to an identity that has others: its secret, its row, and the facts of its audit event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.issue.decide import FurtherPlan
from jitid.capabilities.issue.issuance import record_at_target
from jitid.capabilities.issue.issue_result import IssuedCredential
from jitid.capabilities.issue.mint import mint_of, names_of, new_ids, placed, signing_of
from jitid.capabilities.trust.signing import usable_key
from jitid.issuers import kube_cluster
from jitid.issuers.issuer import Minted, Order
from jitid.keys.keyring import Keyring
from jitid.ledger import policies
from jitid.ledger.signing_keys import StatusStore
from jitid.model import event
from jitid.model.credential import Credential, base_kind, kept_kinds
from jitid.model.ledger_rows import CredentialRow, Names
from jitid.operation.terms import Terms
from jitid.values.ids import credential_id, parse_id
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction


def add_credential(
    transaction: Transaction,
    names: Names,
    terms: Terms,
    keyring: Keyring,
    existing: Credential,
    plan: FurtherPlan,
    *,
    line: int | None = None,
    source: int | None = None,
) -> tuple[IssuedCredential, dict[str, Any]]:
    """Record a credential for the identity of another, `existing`, and make its secret unless a target makes it.

    `line` is the first credential of its line and `source` the credential that it is attached to, by their numbers.
    Returns the credential, and the members of its audit event besides those of the plan.
    """
    draft, kind = plan.draft, base_kind(plan.kind)
    signing = signing_of(kind, terms.algorithm_for(draft.audiences))
    key = signing and usable_key(transaction, names, keyring, signing.algorithm, signing.use)
    mint = mint_of(kind, keyring, key)
    ((_, jti),) = new_ids(1)
    uid = parse_id(existing.id)[1]
    (ids,) = names_of(transaction, mint, plan.kind, draft.expires_at, [(uid, jti)], terms.publish_url, set())
    minted = Minted(Secret.placeholder(), None, None)
    if mint.issuer is not None:
        (minted,) = mint.issuer.mint([Order(draft, [ids])])
    credential_key, subject, may_audience = (
        transaction.next_keys()[1],
        existing.proved_subject,
        draft.recorded_reach(plan.kind),
    )
    row = CredentialRow(
        credential_key,
        jti,
        existing.identity_key,
        plan.kind,
        " ".join(draft.scopes),
        transaction.term(" ".join(draft.audiences)),
        draft.details,
        draft.issued_at,
        draft.expires_at,
        minted.fingerprint,
        minted.claims_hash,
        key and key.key,
        transaction.next_seq(),
        existing.task_key,
        transaction.term(draft.delegator),
        plan.recurring,
        plan.template,
        minted.public,
        line,
        source,
        may_audience,
        None if draft.may_kind is None else kept_kinds(draft.may_kind),
        draft.may_act,
        None if subject is None else transaction.term(subject),
    )
    transaction.add([], [row])
    if ids.listed is not None:
        StatusStore(transaction).add(placed([ids], credential_key))
    if mint.issuer is None:
        assert plan.chosen is not None, "a credential of a target is never renewed"
        record_at_target(transaction, credential_key, credential_id(jti), plan.chosen)
    policies.keep(transaction, plan.decision.policy, terms.policy_text)
    facts = {
        "jti": ids.jti,
        "certified": event.certified_digest([minted.public]),
        "rows": event.rows_digest(
            key.kid if key else None,
            *(draft.details, may_audience),
            [uid],
            [minted.claims_hash],
            [ids.listed and (ids.listed.list, ids.listed.place)],
            [jti],
            [minted.fingerprint],
        ),
    }
    return IssuedCredential(ids.id, ids.jti, minted.secret, kube_cluster.facts_of(draft.options)), facts
