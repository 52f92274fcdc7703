"""Issuing: from a request to a decision, a narrowed grant, ledger rows and a secret."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, assert_never

from jitid import audit, planning
from jitid.credential import Kind
from jitid.errors import JitidError, UsageError
from jitid.identifier import credential_id, identity_id, new_uuid7
from jitid.issuers.protocol import Draft, Ids, Issuer, Minted, Order
from jitid.keyring import Keyring, Signer
from jitid.ledger.protocol import CredentialRow, IdentityRow, Names, SigningKey, Snapshot, Transaction
from jitid.planning import Plan
from jitid.policy.decision import Decision
from jitid.request import IssueRequest, Terms
from jitid.secret import Secret
from jitid.task import Task

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
    issuers: dict[tuple[str, str], _Mint] = {}
    settled = []
    for position, request in enumerate(requests):
        try:
            settled.append(_settle(transaction, names, request, terms, keyring, issuers))
        except JitidError as error:
            error.position = position
            raise
    minted = _minted(settled)
    _record(transaction, settled, minted)
    return [
        _issued(
            one.plan,
            one.request,
            tuple(
                IssuedCredential(ids.id, ids.jti, secret)
                for ids, (secret, *_) in zip(one.names, made, strict=True)
            ),
        )
        for one, made in zip(settled, minted, strict=True)
    ]


class _Mint(NamedTuple):
    """What makes the credentials of one kind, and the key that signs them."""

    issuer: Issuer
    key: SigningKey | None


class _Settled(NamedTuple):
    """A request that is granted, its task open; what remains is to make and to record its credentials."""

    request: IssueRequest
    plan: Plan
    task: Task
    mint: _Mint
    raw: list[tuple[bytes, bytes]]
    names: list[Ids]


def _settle(
    transaction: Transaction,
    names: Names,
    request: IssueRequest,
    terms: Terms,
    keyring: Keyring,
    issuers: dict[tuple[str, str], _Mint],
) -> _Settled:
    plan = planning.plan(transaction, names, request, terms)
    draft = plan.draft
    task = plan.task or transaction.open_task(draft.task, draft.purpose, plan.task_sensitivity, plan.deadline)
    algorithm = terms.algorithm_for(draft.audiences)
    mint = issuers.get((request.kind, algorithm))
    if mint is None:
        mint = _mint(transaction, keyring, Kind(request.kind), algorithm)
        issuers[request.kind, algorithm] = mint
    raw = _new_ids(request.copies)
    ids = [Ids(identity_id(uid), credential_id(jti)) for uid, jti in raw]
    return _Settled(request, plan, task, mint, raw, ids)


def _minted(settled: Sequence[_Settled]) -> list[list[Minted]]:
    """Make the credentials of each request; those of one kind together, so that many are signed at once."""
    minted: list[list[Minted]] = [[] for _ in settled]
    for mint in dict.fromkeys(one.mint for one in settled):
        positions = [position for position, one in enumerate(settled) if one.mint is mint]
        try:
            made = iter(
                mint.issuer.mint([Order(settled[at].plan.draft, settled[at].names) for at in positions])
            )
        except JitidError as error:
            if error.position is not None:
                error.position = positions[error.position]
            raise
        for at in positions:
            minted[at] = list(islice(made, len(settled[at].names)))
    return minted


def _mint(transaction: Transaction, keyring: Keyring, kind: Kind, algorithm: str) -> _Mint:
    """Return what makes credentials of that kind; a newcomer adds its kind here."""
    match kind:
        case Kind.JWT:
            from jitid.issuers.jwt import JwtIssuer

            signer, key = current_signer(transaction, keyring, algorithm)
            return _Mint(JwtIssuer(signer), key)
        case Kind.OPAQUE:
            from jitid.issuers.opaque import OpaqueIssuer

            return _Mint(OpaqueIssuer(), None)
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
    ids = [new_uuid7(now_ms, random[at : at + 10]) for at in range(0, 20 * count, 10)]
    if count == 1:
        return [(ids[0], ids[1])]
    # In order, so that each goes to the end of its index.
    return list(zip(sorted(ids[:count]), sorted(ids[count:]), strict=True))


def _record(transaction: Transaction, settled: Sequence[_Settled], minted: Sequence[list[Minted]]) -> None:
    identity_key, credential_key = transaction.next_keys()
    seq = transaction.next_seq()
    identities: list[IdentityRow] = []
    credentials: list[CredentialRow] = []
    events: list[dict[str, Any]] = []
    for one, made in zip(settled, minted, strict=True):
        draft = one.plan.draft
        delegator, agent, audiences = map(
            transaction.term, (draft.delegator, draft.agent, " ".join(draft.audiences))
        )
        scopes = " ".join(draft.scopes)
        parent = one.plan.parent.identity_key if one.plan.parent else None
        signed_by = one.mint.key.key if one.mint.key else None
        for (uid, jti), (_, print_, claims_hash) in zip(one.raw, made, strict=True):
            identity = identity_key + len(identities)
            identities.append(
                IdentityRow(
                    identity,
                    uid,
                    parent,
                    draft.depth,
                    delegator,
                    draft.delegator_proof,
                    agent,
                    one.task.key,
                    draft.sensitivity,
                )
            )
            credentials.append(
                CredentialRow(
                    credential_key + len(credentials),
                    jti,
                    identity,
                    one.request.kind,
                    scopes,
                    audiences,
                    draft.details,
                    draft.issued_at,
                    draft.expires_at,
                    print_,
                    claims_hash,
                    signed_by,
                    seq + len(events),
                    one.task.key,
                    delegator,
                )
            )
        digest = audit.issued_digest(
            [(jti, print_) for (_, jti), (_, print_, _) in zip(one.raw, made, strict=True)]
        )
        events.append({**one.plan.facts, **_members(one.raw, digest)})
    transaction.add(identities, credentials)
    for digest, text in dict.fromkeys((one.plan.decision.policy, one.plan.policy_text) for one in settled):
        transaction.keep_policy(digest, text)
    for facts in events:
        transaction.append("issue", facts)


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
