"""Issuing: from a request to a decision, a narrowed grant, ledger rows and a secret."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, assert_never

from jitid import audit, planning
from jitid.credential import Kind
from jitid.errors import JitidError, UsageError
from jitid.identifier import credential_id, identity_id, new_uuid7s
from jitid.issuers.protocol import Draft, Ids, Issuer, Minted, Order
from jitid.keyring import Keyring
from jitid.ledger.protocol import CredentialRow, IdentityRow, Names, SigningKey, Snapshot, Transaction
from jitid.planning import Plan
from jitid.policy.decision import Decision
from jitid.request import IssueRequest, Terms
from jitid.secret import Secret

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


class Foreseen(NamedTuple):
    """What an issue came to in a snapshot, made ahead so that the lock is held for little more than recording it."""

    now: int
    settled: _Settled
    minted: list[Minted]


def foresee(
    snapshot: Snapshot, names: Names, request: IssueRequest, terms: Terms, keyring: Keyring
) -> Foreseen | None:
    """Plan one request and make its secrets before the lock is taken; None where that must wait for the lock.

    Nothing works of what is made before its row is committed. Raises what `issue` raises.
    """
    if request.parent is not None or request.copies > MOST_AT_ONCE:
        # A parent's state counts as it is inside the transaction.
        return None
    key = _current_key(snapshot, terms.algorithm_for(request.audiences or terms.audiences))
    if request.kind == Kind.JWT and key is None:
        return None
    settled = _settle(snapshot, names, request, terms, lambda kind, _: _mint(kind, keyring, key))
    (minted,) = _minted([settled])
    return Foreseen(snapshot.now, settled, minted)


def _still_holds(transaction: Transaction, foreseen: Foreseen) -> bool:
    """Tell whether a plan made in a snapshot is the one that would be made now."""
    plan = foreseen.settled.plan
    key = foreseen.settled.mint.key
    return (
        transaction.now == foreseen.now
        and transaction.find_task(plan.draft.task) == plan.task
        and (key is None or _current_key(transaction, key.algorithm) == key)
    )


def issue(
    transaction: Transaction,
    names: Names,
    requests: Sequence[IssueRequest],
    terms: Terms,
    keyring: Keyring,
    foreseen: Foreseen | None = None,
) -> list[Issued]:
    """Decide each request and record what it comes to; one audit event a request.

    The secrets work as soon as the transaction is committed, and must not be shown before. What was `foreseen` of a
    single request is taken if it still holds.

    Raises:
        PolicyDeniedError: a request is refused; the transaction must not be committed.
        InvalidCredentialError: a parent's token is not valid.
        UsageError: a request cannot be meant.

    """
    if foreseen is not None and _still_holds(transaction, foreseen):
        settled, minted = [_opened(transaction, foreseen.settled)], [foreseen.minted]
    else:
        settled = _settled(transaction, names, requests, terms, keyring)
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


def _settled(
    transaction: Transaction, names: Names, requests: Sequence[IssueRequest], terms: Terms, keyring: Keyring
) -> list[_Settled]:
    if sum(request.copies for request in requests) > MOST_AT_ONCE:
        raise UsageError(f"one transaction issues at most {MOST_AT_ONCE} credentials")
    mints: dict[tuple[str, str], _Mint] = {}

    def mint_for(kind: Kind, algorithm: str) -> _Mint:
        found = mints.get((kind, algorithm))
        if found is None:
            key = current_key(transaction, keyring, algorithm) if kind is Kind.JWT else None
            found = mints[kind, algorithm] = _mint(kind, keyring, key)
        return found

    settled = []
    for position, request in enumerate(requests):
        try:
            settled.append(_opened(transaction, _settle(transaction, names, request, terms, mint_for)))
        except JitidError as error:
            error.position = position
            raise
    return settled


def _opened(transaction: Transaction, one: _Settled) -> _Settled:
    """Open the task of a granted request if it is new: the next request may be on it."""
    if one.plan.task is not None:
        return one
    draft = one.plan.draft
    task = transaction.open_task(draft.task, draft.purpose, one.plan.task_sensitivity, one.plan.deadline)
    return one._replace(plan=one.plan._replace(task=task))


class _Mint(NamedTuple):
    """What makes the credentials of one kind, and the key that signs them."""

    issuer: Issuer
    key: SigningKey | None


class _Settled(NamedTuple):
    """A request that is granted; what remains is to make and to record its credentials."""

    request: IssueRequest
    plan: Plan
    mint: _Mint
    raw: list[tuple[bytes, bytes]]
    names: list[Ids]


def _settle(
    snapshot: Snapshot,
    names: Names,
    request: IssueRequest,
    terms: Terms,
    mint_for: Callable[[Kind, str], _Mint],
) -> _Settled:
    plan = planning.plan(snapshot, names, request, terms)
    mint = mint_for(Kind(request.kind), terms.algorithm_for(plan.draft.audiences))
    raw = _new_ids(request.copies)
    return _Settled(request, plan, mint, raw, [Ids(identity_id(uid), credential_id(jti)) for uid, jti in raw])


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


def _mint(kind: Kind, keyring: Keyring, key: SigningKey | None) -> _Mint:
    """Return what makes credentials of that kind; a newcomer adds its kind here."""
    match kind:
        case Kind.JWT:
            from jitid.issuers.jwt import JwtIssuer

            assert key is not None
            return _Mint(JwtIssuer(keyring.load(key.kid, key.algorithm, key.public)), key)
        case Kind.OPAQUE:
            from jitid.issuers.opaque import OpaqueIssuer

            return _Mint(OpaqueIssuer(), None)
        case _:
            assert_never(kind)


def _current_key(snapshot: Snapshot, algorithm: str) -> SigningKey | None:
    for key in reversed(snapshot.signing_keys()):
        if key.algorithm == algorithm and key.retired_at is None and key.revoked_at is None:
            return key
    return None


def current_key(transaction: Transaction, keyring: Keyring, algorithm: str) -> SigningKey:
    """Return the key that signs now, made on the spot if the ledger has none for that algorithm."""
    key = _current_key(transaction, algorithm)
    if key is None:
        signer = keyring.create(algorithm)
        key = transaction.add_key(signer.kid, signer.algorithm, signer.public)
        transaction.append("key-create", {"kid": signer.kid, "algorithm": algorithm})
    return key


def _new_ids(count: int) -> list[tuple[bytes, bytes]]:
    # The clock only orders the ids; all that is judged by time uses the transaction's own.
    now_ms = time.time_ns() // 1_000_000
    # In order, so that each goes to the end of its index.
    uids = new_uuid7s(now_ms, os.urandom(10), count)
    return list(zip(uids, new_uuid7s(now_ms, os.urandom(10), count), strict=True))


def _record(transaction: Transaction, settled: Sequence[_Settled], minted: Sequence[list[Minted]]) -> None:
    identity_key, credential_key = transaction.next_keys()
    seq = transaction.next_seq()
    identities: list[IdentityRow] = []
    credentials: list[CredentialRow] = []
    events: list[dict[str, Any]] = []
    for one, made in zip(settled, minted, strict=True):
        draft = one.plan.draft
        assert one.plan.task is not None
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
                    one.plan.task.key,
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
                    one.plan.task.key,
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
