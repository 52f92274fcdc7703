"""Issuing: from a request to a decision, a narrowed grant, ledger rows and a secret."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, assert_never

from jitid import audit, planning
from jitid.credential import Kind
from jitid.errors import JitidError, UsageError
from jitid.identifier import credential_id, identity_id, new_uuid7
from jitid.issuers.protocol import Draft, Ids, Issuer, Minted
from jitid.keyring import Keyring, Signer
from jitid.ledger.protocol import CredentialRow, IdentityRow, Names, SigningKey, Snapshot, Transaction
from jitid.planning import IssueRequest, Plan, Terms
from jitid.policy.decision import Decision
from jitid.secret import Secret

__all__ = ["IssueRequest", "Issued", "Terms", "issue", "preview"]

MOST_AT_ONCE = 1_000
"""How many credentials one transaction makes at most, so that other writers get their turn."""


class IssuedCredential(NamedTuple):
    """One credential that was just made; the only place where its secret can be had."""

    id: str
    jti: str
    secret: Secret


class Issued(NamedTuple):
    """What one request came to. Times are seconds since the epoch."""

    credentials: tuple[IssuedCredential, ...]
    """None in a dry run."""
    task: str
    agent: str
    delegator: str
    delegator_proof: str
    parent: str | None
    depth: int
    kind: str
    sensitivity: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    issued_at: int
    expires_at: int
    decision: Decision
    notes: tuple[str, ...]
    """What was narrowed or raised, and by what, in sentences."""


def preview(snapshot: Snapshot, names: Names, request: IssueRequest, terms: Terms) -> Issued:
    """Return what `issue` would do now, changing nothing.

    Raises:
        PolicyDeniedError: it would be refused.

    """
    return _issued(planning.plan(snapshot, names, request, terms), request, ())


def issue(
    transaction: Transaction, names: Names, requests: Sequence[IssueRequest], terms: Terms, keyring: Keyring
) -> list[Issued]:
    """Decide each request and record what it comes to; one audit event a request.

    The secrets work as soon as the transaction is committed, and must not be shown before.

    Raises:
        PolicyDeniedError: a request is refused; the transaction must not be committed.
        InvalidCredentialError: a parent's token is not valid.
        UsageError: a request cannot be meant.

    """
    if sum(request.copies for request in requests) > MOST_AT_ONCE:
        raise UsageError(f"one transaction issues at most {MOST_AT_ONCE} credentials")
    issuers: dict[tuple[str, str], tuple[Issuer, SigningKey | None]] = {}
    results = []
    for position, request in enumerate(requests):
        try:
            results.append(_issue_one(transaction, names, request, terms, keyring, issuers))
        except JitidError as error:
            error.position = position
            raise
    return results


def _issue_one(
    transaction: Transaction,
    names: Names,
    request: IssueRequest,
    terms: Terms,
    keyring: Keyring,
    issuers: dict[tuple[str, str], tuple[Issuer, SigningKey | None]],
) -> Issued:
    plan = planning.plan(transaction, names, request, terms)
    algorithm = terms.algorithm_for(plan.draft.audiences)
    chosen = issuers.get((request.kind, algorithm))
    if chosen is None:
        chosen = issuers[request.kind, algorithm] = _issuer(
            transaction, keyring, Kind(request.kind), algorithm
        )
    issuer, key = chosen
    raw = _new_ids(request.copies)
    ids = [Ids(identity_id(uid), credential_id(jti)) for uid, jti in raw]
    minted = issuer.mint(plan.draft, ids)
    _record(transaction, request, plan, raw, minted, key)
    made = tuple(
        IssuedCredential(one.id, one.jti, secret) for one, (secret, *_) in zip(ids, minted, strict=True)
    )
    return _issued(plan, request, made)


def _issuer(
    transaction: Transaction, keyring: Keyring, kind: Kind, algorithm: str
) -> tuple[Issuer, SigningKey | None]:
    """Return what makes credentials of that kind; a newcomer adds its kind here."""
    match kind:
        case Kind.JWT:
            from jitid.issuers.jwt import JwtIssuer

            signer, key = current_signer(transaction, keyring, algorithm)
            return JwtIssuer(signer), key
        case Kind.OPAQUE:
            from jitid.issuers.opaque import OpaqueIssuer

            return OpaqueIssuer(), None
        case _:
            assert_never(kind)


def current_signer(transaction: Transaction, keyring: Keyring, algorithm: str) -> tuple[Signer, SigningKey]:
    """Return the key that signs now, made on the spot if the ledger has none for that algorithm.

    Raises:
        IntegrityError: its private half is missing, damaged or open to others.

    """
    for key in reversed(transaction.signing_keys()):
        if key.algorithm == algorithm and key.retired_at is None and key.revoked_at is None:
            return keyring.load(key.kid, key.algorithm, key.public), key
    signer = keyring.create(algorithm)
    key = transaction.add_key(signer.kid, signer.algorithm, signer.public)
    transaction.append("key-create", {"kid": signer.kid, "algorithm": algorithm})
    return signer, key


def _new_ids(count: int) -> list[tuple[bytes, bytes]]:
    # The clock only orders the ids; all that is judged by time uses the transaction's own.
    now_ms = time.time_ns() // 1_000_000
    random = os.urandom(20 * count)
    return [
        (new_uuid7(now_ms, random[at : at + 10]), new_uuid7(now_ms, random[at + 10 : at + 20]))
        for at in range(0, 20 * count, 20)
    ]


def _record(
    transaction: Transaction,
    request: IssueRequest,
    plan: Plan,
    raw: list[tuple[bytes, bytes]],
    minted: list[Minted],
    key: SigningKey | None,
) -> None:
    draft = plan.draft
    identity_key, credential_key = transaction.next_keys()
    task = plan.task or transaction.open_task(draft.task, draft.purpose, plan.task_sensitivity, plan.deadline)
    delegator, agent, audiences = map(
        transaction.term, (draft.delegator, draft.agent, " ".join(draft.audiences))
    )
    scopes = " ".join(draft.scopes)
    seq = transaction.next_seq()
    parent = plan.parent.identity_key if plan.parent else None
    proof, depth, sensitivity = draft.delegator_proof, draft.depth, draft.sensitivity
    signed_by = key.key if key else None
    count = len(raw)
    transaction.add(
        [
            IdentityRow(
                identity_key + at, raw[at][0], parent, depth, delegator, proof, agent, task.key, sensitivity
            )
            for at in range(count)
        ],
        [
            CredentialRow(
                credential_key + at,
                raw[at][1],
                identity_key + at,
                request.kind,
                scopes,
                audiences,
                draft.details,
                draft.issued_at,
                draft.expires_at,
                minted[at].fingerprint,
                minted[at].claims_hash,
                signed_by,
                seq,
                task.key,
                delegator,
            )
            for at in range(count)
        ],
    )
    transaction.keep_policy(plan.decision.policy, plan.policy_text)
    digest = audit.issued_digest([(raw[at][1], minted[at].fingerprint) for at in range(count)])
    transaction.append("issue", {**plan.facts, **_members(raw, digest)})


def _members(raw: list[tuple[bytes, bytes]], digest: str) -> Mapping[str, Any]:
    if len(raw) == 1:
        return {"jti": credential_id(raw[0][1]), "issued": digest}
    return {"count": len(raw), "issued": digest}


def _issued(plan: Plan, request: IssueRequest, made: tuple[IssuedCredential, ...]) -> Issued:
    draft: Draft = plan.draft
    return Issued(
        made,
        draft.task,
        draft.agent,
        draft.delegator,
        draft.delegator_proof,
        plan.parent.id if plan.parent else None,
        draft.depth,
        request.kind,
        draft.sensitivity,
        draft.scopes,
        draft.audiences,
        draft.issued_at,
        draft.expires_at,
        plan.decision,
        plan.notes,
    )
