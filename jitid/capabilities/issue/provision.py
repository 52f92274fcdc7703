"""Record, mint, confirm: credentials that a target makes.

The row is durable before the target is called, and the fingerprint before the secret is handed out. A failure in
between leaves a row that has ended and is not settled: jitid tries to revoke it at its target until that is confirmed.

And the addition of one credential to an identity that has others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from jitid.capabilities.directory.ownership import owner_for_policy
from jitid.capabilities.identity import validity
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.issue.decide import FurtherPlan
from jitid.capabilities.issue.issuance import record_at_target
from jitid.capabilities.issue.issue_result import Issued, IssuedCredential
from jitid.capabilities.issue.mint import algorithm_of, must_be_made, names_of, new_ids, placed, usable_mint
from jitid.capabilities.targets import settle
from jitid.capabilities.targets.store import OutsideChanges, OutsideStore
from jitid.errors import IntegrityError, InvalidCredentialError, JitidError
from jitid.issuers.issuer import Minted, Order
from jitid.issuers.target_issuer import cluster_facts
from jitid.issuers.targets import Targets
from jitid.keys.keyring import Keyring
from jitid.ledger import policies
from jitid.ledger.contract import Ledger, change
from jitid.ledger.signing_keys import StatusStore
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model import event
from jitid.model.credential import Credential, State, base_kind, is_outside, kept_kinds
from jitid.model.ledger_rows import CredentialRow, Names
from jitid.model.target import MadeCredential, Outside
from jitid.operation.context import Terms
from jitid.system import time_limit
from jitid.values.ids import credential_id, parse_id
from jitid.values.secret import Secret
from jitid.values.text import safe


def provision(ledger: Ledger, targets: Targets, issued: Sequence[Issued]) -> list[Issued]:
    """Make recorded credentials at their targets and confirm them; return them with their secrets.

    Either all are made or none: if a target fails, all recorded credentials end, and the targets are called at once to
    revoke any that exist there.

    Raises:
        StorageError: a target was out of reach, or gave no clear answer.
        RefusedError: a target refuses.
        ConfigurationError: the configuration of a target is invalid.

    """
    try:
        return [
            result._replace(
                credentials=tuple([_made(ledger, targets, credential) for credential in result.credentials])
            )
            if is_outside(result.kind)
            else result
            for result in issued
        ]
    except BaseException as error:
        # Also for other errors and an interruption: none of the recorded credentials will be handed out.
        _give_up(ledger, targets, issued, error)
        raise


def _made(ledger: Ledger, targets: Targets, credential: IssuedCredential) -> IssuedCredential:
    outside = _find(ledger, credential.jti)
    if outside.dead:
        # Earlier credentials of the batch may take long: this one may end and be settled before its target makes it.
        raise InvalidCredentialError(f"credential {credential.jti} ended before its target made it")
    issuer = targets.open(targets.get(outside.record.target))
    try:
        minted = issuer.mint(outside.record, lambda reference: remember(ledger, outside, reference))
        record = outside.record._replace(reference=minted.reference or outside.record.reference)
        try:
            confirmed = change(ledger, _confirmation(outside, minted))
        except BaseException:
            # A ledger that cannot be written now cannot record the end of the credential either.
            time_limit.take_back()
            with suppress(Exception):
                issuer.revoke([record])
            raise
        if not confirmed:
            # Another process may have settled it before the target made it, and then no work waits in the queue.
            time_limit.take_back()
            (outcome,) = issuer.revoke([record])
            raise InvalidCredentialError(
                f"credential {credential.jti} ended while its target made it; at the target: {safe(outcome.proof)}"
            )
    finally:
        with suppress(JitidError):
            issuer.close()
    return credential._replace(secret=minted.secret, facts=minted.facts)


def remember(ledger: Ledger, outside: Outside, reference: str) -> None:
    """Record durably the target's name for a credential: jitid can then revoke it even without any further answer."""

    def keep(transaction: Transaction) -> None:
        OutsideChanges(transaction).remember(outside.key, reference)
        transaction.append("remember", {"jti": outside.record.jti, "target": outside.record.target})

    change(ledger, keep)


def _find(ledger: Ledger, jti: str) -> Outside:
    with ledger.read() as snapshot:
        outsides = [
            outside._replace(record=outside.record._replace(task_opener=_owner(snapshot, jti)))
            for outside in OutsideStore(snapshot).find([jti])
        ]
    if not outsides:
        raise IntegrityError(f"the ledger has no target for credential {jti}", "run: jitid audit verify")
    return outsides[0]


def _owner(snapshot: View, jti: str) -> str:
    """Return the task's owner, as policies see it: a target may grant rights by owner."""
    credential = validity.find(snapshot, jti)
    task = TaskStore(snapshot).task_numbered(credential.task_key)
    root = validity.root_of(credential, CredentialStore(snapshot).lineage(credential.identity_key))
    return (
        credential.task_opener
        if task is None
        else owner_for_policy(snapshot, task, credential.delegator, root)
    )


def _confirmation(outside: Outside, minted: MadeCredential) -> Callable[[Transaction], bool]:
    record = outside.record

    def confirm(transaction: Transaction) -> bool:
        digest = OutsideChanges(transaction).confirm(
            outside.key, minted.secret.fingerprints(), minted.reference, minted.facts
        )
        if digest is None:
            return False
        transaction.append(
            "confirm",
            {
                "jti": record.jti,
                "kind": record.kind,
                "target": record.target,
                "task": record.task,
                "agent": record.agent,
                "delegator": record.delegator,
                "confirmed": digest,
            },
        )
        return True

    return confirm


def _give_up(ledger: Ledger, targets: Targets, issued: Sequence[Issued], error: BaseException) -> None:
    """End all recorded credentials and revoke any that exist at targets; add to the error which ones are left."""
    jtis = [issued_credential.jti for result in issued for issued_credential in result.credentials]
    reason = error.message if isinstance(error, JitidError) else type(error).__name__

    def end(transaction: Transaction) -> None:
        at_targets = {outside.key: outside for outside in OutsideChanges(transaction).find(jtis)}
        for jti in jtis:
            credential = CredentialStore(transaction).find_credential("jti", parse_id(jti)[1])
            if credential is None or credential.ended_at is not None:
                continue
            outside = at_targets.get(credential.key)
            # The identity may hold other credentials, which stay.
            digest = CredentialChanges(transaction).end_one(credential.key, State.REVOKED)
            transaction.append(
                "mint-failure",
                {
                    "jti": jti,
                    "kind": credential.kind,
                    "target": None if outside is None else outside.record.target,
                    "task": credential.task,
                    "agent": credential.agent,
                    "delegator": credential.delegator,
                    "reason": safe(reason[:500]),
                    "count": 1,
                    "ended": digest,
                },
            )

    time_limit.take_back()
    try:
        change(ledger, end)
        unsettled = settle.settle(ledger, targets, ids=jtis, waiting=True, abandoned=True).open
    except JitidError as failure:
        note = f"the recorded credentials could not be revoked: {failure.message}"
    else:
        note = f"{unsettled} may still exist at the target: the next `jitid sweep` revokes them"
        note = note if unsettled else "no credential is left at the target"
    if isinstance(error, JitidError):
        error.message = f"{error.message}; nothing was delivered; {note}"


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

    Raises KeyNeededError if its signing key must be made first.
    """
    draft, kind = plan.draft, base_kind(plan.kind)
    mint = usable_mint(transaction, names, keyring, kind, algorithm_of(kind, terms, draft, names))
    key = mint.key
    ((_, jti),) = new_ids(1)
    uid = parse_id(existing.id)[1]
    (ids,) = names_of(transaction, mint, plan.kind, draft.expires_at, [(uid, jti)], terms.publish_url, set())
    minted = Minted(Secret.placeholder(), None, None)
    if mint.issuer is not None:
        (minted,) = mint.issuer.mint([Order(draft, [ids])])
    must_be_made([mint])
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
        None if draft.subject is None else transaction.term(draft.subject),
        draft.exchange_life,
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
    return IssuedCredential(ids.id, ids.jti, minted.secret, cluster_facts(draft.options)), facts
