"""Issuing: from a request to a decision, a narrowed grant, ledger rows and a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from jitid.capabilities.directory import name_rights, ownership
from jitid.capabilities.identity import validity
from jitid.capabilities.identity.store import CredentialChanges
from jitid.capabilities.identity.task_store import TaskChanges
from jitid.capabilities.issue import plan as planning
from jitid.capabilities.issue.decide import FurtherPlan
from jitid.capabilities.issue.issue_result import Issued, IssuedCredential
from jitid.capabilities.issue.mint import (
    GrantedRequest,
    Mint,
    algorithm_of,
    are_free,
    make,
    mint_of,
    must_be_made,
    names_of,
    new_ids,
    placed,
    signing_of,
    usable_mint,
)
from jitid.capabilities.issue.plan import IssuePlan
from jitid.capabilities.trust.signing import current_key_of
from jitid.errors import ApprovalNeededError, InvalidCredentialError, JitidError, PolicyDeniedError
from jitid.issuers.issuer import Minted
from jitid.keys.keyring import Keyring
from jitid.ledger import policies
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import Found, View
from jitid.model import event as audit
from jitid.model.credential import Kind, base_kind, exchanged_until, is_outside, kept_kinds
from jitid.model.ledger_rows import CredentialRow, IdentityRow, Names
from jitid.model.process import Process
from jitid.model.request import IssueRequest, questions
from jitid.model.task import Task
from jitid.operation.context import Terms
from jitid.values.ids import credential_id
from jitid.values.record import Record
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.issuers.targets import ChosenTarget


_UNNUMBERED = 0
"""The number of a task that is still to be opened; the ledger's begin with 1."""
_QUICK_COPIES = 10
"""The maximum number of copies of a quick request: signing one takes about 50 µs."""


def preview(
    snapshot: View, names: Names, request: IssueRequest, terms: Terms, as_of: int | None = None
) -> Issued:
    """Return the result that `issue` would have now, without a change; with `as_of`, the policy decides for that time.

    Raises:
        PolicyDeniedError: it would be refused.
        UsageError: no signature algorithm is accepted by all its audiences.

    """
    plan = planning.plan(snapshot, names, request, terms, as_of=as_of)
    _must_not_be_barred(snapshot, request, terms, plan.draft.delegator)
    algorithm_of(base_kind(request.kind), terms, plan.draft, names)
    until = exchanged_until(plan.draft.expires_at, plan.draft.exchange_life)
    if until is not None:
        note = (
            f"the vendor may accept an exchanged token until {format_time(until)}; it cannot be revoked here"
        )
        plan = plan._replace(notes=(*plan.notes, note))
    return _issued(plan, request, ())


def is_quick(requests: Sequence[IssueRequest], terms: Terms, keyring: Keyring) -> bool:
    """Return whether requests are decided and their tokens are signed in about a millisecond."""
    copies = sum([request.copies for request in requests])
    return (
        copies <= _QUICK_COPIES
        and terms.policy.is_quick(sum(map(questions, requests)))
        and not keyring.signs_at_targets
    )


class Ahead(Record):
    """A planned request with its secrets, which are made already."""

    settled: GrantedRequest
    minted: list[Minted]


class ForeseenIssues(Record):
    """Requests planned in a snapshot, with their secrets: under the lock, little more than recording is left."""

    now: int
    seq: int
    """The number of the last event at that time."""
    changed_at: int | None
    """`View.changed_at`."""
    each: list[Ahead | None]
    """None for a request that waits for the lock."""


class _SnapshotWithPlannedTasks:
    """A snapshot that also finds the tasks which earlier requests of the same list will open."""

    def __init__(self, snapshot: View) -> None:
        self._snapshot = snapshot
        self._tasks: dict[tuple[str, str | None], Task] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._snapshot, name)

    def once(
        self,
        kind: str,
        key: Any,  # noqa: ANN401 - the type of the keys depends on the kind
        query: Callable[[], Found],
        keep: Callable[[Found], bool] | None = None,
    ) -> Found:
        """Return the answer of a store, or a task that the list will open; such a task has no number yet."""
        planned: Any = self._tasks.get(key) if kind == "task" else None
        return self._snapshot.once(kind, key, query, keep) if planned is None else planned

    def open(self, plan: IssuePlan) -> None:
        """Add the task that a plan opens, if it opens one."""
        draft = plan.draft
        if plan.task is None:
            self._tasks[draft.task, draft.delegator] = Task(
                _UNNUMBERED,
                draft.task,
                draft.purpose,
                plan.task_sensitivity,
                plan.deadline,
                draft.issued_at,
                None,
                draft.delegator,
            )


def foresee(
    snapshot: View, names: Names, requests: Sequence[IssueRequest], terms: Terms, keyring: Keyring
) -> ForeseenIssues:
    """Plan requests and make their secrets before the lock is taken, unless a request must wait for the lock.

    No secret works before its row is committed. A request that would be refused is left to be refused under the lock;
    the policy remembers its answers until then.
    """
    planned: dict[str, int] = {}
    drawn: set[tuple[int, int]] = set()
    planning_snapshot = _SnapshotWithPlannedTasks(snapshot)
    mints: dict[tuple[str, str], Mint | None] = {}
    granted_requests: list[GrantedRequest | None] = []
    ids = iter(new_ids(sum([request.copies for request in requests])))

    def mint_for(kind: Kind, algorithm: str) -> Mint:
        if (kind, algorithm) not in mints:
            signing = signing_of(kind, algorithm)
            key = (
                None if signing is None else current_key_of(snapshot, keyring, signing.algorithm, signing.use)
            )
            mints[kind, algorithm] = None if signing and key is None else mint_of(kind, keyring, key)
        mint = mints[kind, algorithm]
        if mint is None:
            # The key is made once a transaction has granted a request that needs it.
            raise _NotNowError
        return mint

    for request in requests:
        raw, unrecorded = list(islice(ids, request.copies)), planned.get(request.agent, 0)
        planned[request.agent] = unrecorded + request.copies
        granted = None
        # A target makes its credentials after the transaction.
        if not is_outside(request.kind):
            with suppress(JitidError, _NotNowError):
                granted = _settle(
                    cast("View", planning_snapshot), names, request, terms, mint_for, raw, unrecorded, drawn
                )
                planning_snapshot.open(granted.plan)
        # Only the transaction that uses an approval can know whether it is still usable.
        granted_requests.append(granted if granted is None or granted.plan.approval is None else None)
    minted = iter(make([granted for granted in granted_requests if granted is not None]))
    aheads = [None if granted is None else Ahead(granted, next(minted)) for granted in granted_requests]
    return ForeseenIssues(snapshot.now, snapshot.settled(), snapshot.changed_at, aheads)


class _NotNowError(Exception):
    """A request waits for the lock."""


def _on_opened(
    settled: GrantedRequest, opened: Mapping[tuple[str, str], Task], names: AbstractSet[str]
) -> GrantedRequest | None:
    """Return a foreseen request with the task that an earlier request of the same list has opened by now.

    None if that task differs from the foreseen one. `names` are the names of all tasks that the list has opened.
    """
    plan = settled.plan
    if plan.task is None or plan.task.key != _UNNUMBERED:
        return None if plan.draft.task in names else settled
    task = opened.get((plan.task.name, plan.task.opener))
    if task is None or task._replace(key=_UNNUMBERED, event=plan.task.event) != plan.task:
        return None
    return settled._replace(plan=plan._replace(task=task))


def _still_holds(
    transaction: Transaction,
    foreseen: ForeseenIssues,
    settled: GrantedRequest,
    terms: Terms,
    keyring: Keyring,
) -> bool:
    """Return whether a plan made in a snapshot equals the plan that would be made now."""
    request, plan = settled.request, settled.plan
    draft = plan.draft
    key = settled.mint.key
    if transaction.now != foreseen.now or not are_free(transaction, settled.names):
        return False
    if _nothing_happened(transaction, foreseen):
        return True
    if (
        plan.above is not None
        or terms.bearer is not None
        or request.proved_credential is not None
        or request.proved_actor is not None
    ):
        return _rests_on_the_same(transaction, foreseen, settled, terms)
    # The end of a login is an event of access, which `changed_at` does not cover.
    if (
        request.proved_login is None
        and _rests_on_nothing_new(transaction, foreseen, plan)
        and _has_own_task(plan)
    ):
        return True
    try:
        return (
            transaction.names.issuer == draft.issuer
            and planning.resolve_delegator(transaction, request, None, terms)
            == (draft.delegator, draft.delegator_proof, plan.entry)
            and ownership.on_task(transaction, request, None, draft.delegator, plan.entry, terms).task
            == plan.task
            and name_rights.right_to_name(
                transaction, plan.entry, draft.delegator, None, request, terms, foreseen.now
            )
            == (plan.right, [])
            and (key is None or current_key_of(transaction, keyring, key.algorithm, key.use) == key)
        )
    except JitidError:
        # The plan that replaces it states the reason.
        return False


def _nothing_happened(transaction: Transaction, foreseen: ForeseenIssues) -> bool:
    """Return whether the ledger is unchanged: every change has its event."""
    return not transaction.closed and transaction.next_seq() == foreseen.seq + 1


def _rests_on_nothing_new(transaction: Transaction, foreseen: ForeseenIssues, plan: IssuePlan) -> bool:
    """Return whether no event since the plan was made can have changed directory, shares, keys or names for it."""
    agent = plan.entry.agent
    return (
        foreseen.changed_at is not None
        and transaction.changed_at == foreseen.changed_at
        # Another issue can have opened this task.
        and plan.task is not None
        # Another issue can have used up the agent's limit of live identities.
        and (agent is None or agent.concurrency is None)
    )


def _has_own_task(plan: IssuePlan) -> bool:
    """Return whether no other task can have got the name: a delegator's own task precedes a joined task."""
    return plan.task is not None and plan.task.opener == plan.draft.delegator


def _rests_on_the_same(
    transaction: Transaction, foreseen: ForeseenIssues, settled: GrantedRequest, terms: Terms
) -> bool:
    """Return whether other issues, renewals and uses have changed nothing for a plan below a parent or for an actor.

    The parent, the lines that it rests on and the credential of an actor can have been renewed, or have expired.
    """
    request, plan = settled.request, settled.plan
    if not _rests_on_nothing_new(transaction, foreseen, plan):
        return False
    delegator, parent = plan.draft.delegator, plan.parent
    try:
        return (
            (plan.above is None or validity.is_still(transaction, plan.above))
            and planning.resolve_actor(transaction, request) == plan.facts["acting"]
            and (
                _has_own_task(plan)
                or ownership.on_task(transaction, request, parent, delegator, plan.entry, terms).task
                == plan.task
            )
            and name_rights.right_to_name(
                transaction, plan.entry, delegator, parent, request, terms, foreseen.now
            )
            == (plan.right, [])
            and not name_rights.objections_to_agents(transaction, request, terms, parent, foreseen.now)
        )
    except JitidError:
        # The plan that replaces it states the reason.
        return False


def issue(
    transaction: Transaction,
    names: Names,
    requests: Sequence[IssueRequest],
    terms: Terms,
    keyring: Keyring,
    foreseen: ForeseenIssues | None = None,
) -> list[Issued]:
    """Decide each request and record its credentials; one audit event a request.

    The secrets work as soon as the transaction is committed, and must not be shown before. A result in `foreseen` is
    used if it still holds.

    Raises:
        PolicyDeniedError: a request is refused; the transaction must not be committed.
        InvalidCredentialError: a parent's token is not valid.
        UsageError: a request is invalid.
        KeyNeededError: a key must be made first, and the request then repeated.

    """
    settled, ready = _settled(transaction, names, requests, terms, keyring, foreseen)
    remaining = iter(
        make([granted for granted, secrets in zip(settled, ready, strict=True) if secrets is None])
    )
    minted = [next(remaining) if secrets is None else secrets for secrets in ready]
    must_be_made([granted.mint for granted in settled])
    _record(transaction, settled, minted)
    return [
        _issued(
            granted.plan,
            granted.request,
            tuple(
                [
                    IssuedCredential(id_, jti, secret)
                    for (id_, jti, _), (secret, *_) in zip(granted.names, secrets, strict=True)
                ]
            ),
        )
        for granted, secrets in zip(settled, minted, strict=True)
    ]


def _must_not_be_barred(snapshot: View, request: IssueRequest, terms: Terms, delegator: str) -> None:
    """Raise InvalidCredentialError if an identity of the process was revoked, or of one above it: none replaces it.

    A client states its process itself, even that of another person. So a revocation counts against identities of the
    same delegator. It also counts against all identities for the caller that requested the revoked one, if this caller
    may name any delegator: otherwise it could evade the revocation by another name. Beside the ledger the same holds
    for the children of identities that the user requested.
    """
    if request.process is None:
        return
    from jitid.capabilities.identity.barred_store import BarredStore

    requester = terms.by if terms.any_delegator else None
    barred = BarredStore(snapshot).among(
        request.process, request.above, delegator, requester, of_root=not terms.is_served
    )
    if barred is not None:
        raise InvalidCredentialError(
            f"an identity of the process {barred} was revoked, and no other one replaces it",
            "start the program again; for the revocation: jitid audit log --operation revoke",
        )


def _settled(
    transaction: Transaction,
    names: Names,
    requests: Sequence[IssueRequest],
    terms: Terms,
    keyring: Keyring,
    foreseen: ForeseenIssues | None,
) -> tuple[list[GrantedRequest], list[list[Minted] | None]]:
    """Return each granted request, and its secrets if these were made before and the plan still holds."""
    mints: dict[tuple[str, str], Mint] = {}

    def mint_for(kind: Kind, algorithm: str) -> Mint:
        mint = mints.get((kind, algorithm))
        if mint is None:
            mint = mints[kind, algorithm] = usable_mint(transaction, names, keyring, kind, algorithm)
        return mint

    settled: list[GrantedRequest] = []
    ready: list[list[Minted] | None] = []
    planned: dict[str, int] = {}
    aheads: Sequence[Ahead | None] = [None] * len(requests) if foreseen is None else foreseen.each
    drawn = {
        (listed.list, listed.place)
        for ahead in aheads
        if ahead is not None
        for _, _, listed in ahead.settled.names
        if listed is not None
    }
    opened: dict[tuple[str, str], Task] = {}
    opened_names: set[str] = set()
    unapproved: list[ApprovalNeededError] = []
    # Each request has its own event, in this order.
    seqs = transaction.next_seqs(len(requests))
    # Ids that ascend over all requests are appended at the end of an index.
    ids = iter(
        new_ids(
            sum([request.copies for request, ahead in zip(requests, aheads, strict=True) if ahead is None])
        )
    )
    for position, (request, ahead) in enumerate(zip(requests, aheads, strict=True)):
        try:
            unrecorded = planned.get(request.agent, 0)
            holding = None if ahead is None else _on_opened(ahead.settled, opened, opened_names)
            if (
                foreseen is not None
                and ahead is not None
                and holding is not None
                and _still_holds(transaction, foreseen, holding, terms, keyring)
            ):
                granted = holding
                ready.append(ahead.minted)
            else:
                raw = list(islice(ids, request.copies)) if ahead is None else ahead.settled.raw
                granted = _settle(transaction, names, request, terms, mint_for, raw, unrecorded, drawn)
                ready.append(None)
            _must_not_be_barred(transaction, request, terms, granted.plan.draft.delegator)
            _must_be_used_once(granted, settled)
            settled.append(_opened(transaction, granted, seqs[position]))
            if granted.plan.task is None and (task := settled[-1].plan.task) is not None:
                opened[task.name, task.opener] = task
                opened_names.add(task.name)
            planned[request.agent] = unrecorded + request.copies
        except ApprovalNeededError as error:
            # The other requests that lack an approval are reported with it, so that all approvals are requested
            # together.
            error.position = position
            unapproved.append(error)
        except JitidError as error:
            error.position = position
            raise
    if unapproved:
        unapproved[0].others = unapproved[1:]
        raise unapproved[0]
    return settled, ready


def _must_be_used_once(granted: GrantedRequest, settled: Sequence[GrantedRequest]) -> None:
    """Refuse to use an approval for two requests of one transaction. Raises PolicyDeniedError."""
    approval = granted.plan.approval
    if approval is None or approval not in [other.plan.approval for other in settled]:
        return
    reason = f"rule `approval-once`: approval {approval.id} is for one use, and an earlier line uses it"
    raise PolicyDeniedError(
        f"denied: {reason}",
        "to request several copies under one approval: --count N",
        {**granted.plan.facts, "approval": approval.id, "rules": ["approval-once"], "reason": reason},
    )


def _opened(transaction: Transaction, granted: GrantedRequest, event: int) -> GrantedRequest:
    """Open the task of a granted request if it is new, by the request's event: the next request may use the task."""
    if granted.plan.task is not None:
        return granted
    draft = granted.plan.draft
    task = TaskChanges(transaction).open_task(
        draft.task,
        draft.purpose,
        granted.plan.task_sensitivity,
        granted.plan.deadline,
        draft.delegator,
        event,
    )
    return granted._replace(plan=granted.plan._replace(task=task))


def _settle(
    snapshot: View,
    names: Names,
    request: IssueRequest,
    terms: Terms,
    mint_for: Callable[[Kind, str], Mint],
    raw: list[tuple[bytes, bytes]],
    unrecorded: int,
    drawn: set[tuple[int, int]],
) -> GrantedRequest:
    plan = planning.plan(snapshot, names, request, terms, unrecorded)
    mint = mint_for(base_kind(request.kind), algorithm_of(base_kind(request.kind), terms, plan.draft, names))
    ids = names_of(snapshot, mint, request.kind, plan.draft.expires_at, raw, terms.publish_url, drawn)
    return GrantedRequest(request, plan, mint, raw, ids)


class _NewRows:
    """The rows and events of the granted requests of one transaction."""

    def __init__(self, transaction: Transaction, requests: int) -> None:
        self._transaction = transaction
        self._identity_key, self._credential_key = transaction.next_keys()
        self._numbers = transaction.next_seqs(requests)
        self.identities: list[IdentityRow] = []
        self.credentials: list[CredentialRow] = []
        self.bound: list[tuple[int, Process]] = []
        self.used: list[tuple[int, int, int]] = []
        """Approvals with the first identity and the event that use them."""
        self.places: list[tuple[int, int, int]] = []
        self.at_targets: list[tuple[int, bytes, GrantedRequest]] = []
        self.events: list[dict[str, Any]] = []

    def add(self, granted: GrantedRequest, minted: Sequence[Minted]) -> None:
        """Add the rows and the event of a request."""
        plan, event = granted.plan, self._numbers[len(self.events)]
        assert plan.task is not None
        if plan.approval is not None:
            self.used.append((plan.approval.key, self._identity_key + len(self.identities), event))
        self.places += placed(granted.names, self._credential_key + len(self.credentials))
        may_audience = plan.draft.recorded_reach(granted.request.kind)
        self._add_rows(granted, minted, event, plan.task.key, may_audience)
        rows = audit.rows_digest(
            granted.mint.key.kid if granted.mint.key else None,
            *(plan.draft.details, may_audience),
            [uid for uid, _ in granted.raw],
            [credential.claims_hash for credential in minted],
            [ids.listed and (ids.listed.list, ids.listed.place) for ids in granted.names],
            [jti for _, jti in granted.raw],
            [credential.fingerprint for credential in minted],
        )
        certified = audit.certified_digest(credential.public for credential in minted)
        self.events.append({**plan.facts, **_members(granted.raw), "certified": certified, "rows": rows})

    def _add_rows(
        self,
        granted: GrantedRequest,
        minted: Sequence[Minted],
        event: int,
        task: int,
        may_audience: str | None,
    ) -> None:
        plan, draft, term = granted.plan, granted.plan.draft, self._transaction.term
        delegator, agent, audiences = map(term, (draft.delegator, draft.agent, " ".join(draft.audiences)))
        scopes = " ".join(draft.scopes)
        may_kind = None if draft.may_kind is None else kept_kinds(draft.may_kind)
        subject = None if plan.proved_subject is None else term(plan.proved_subject)
        template = None if draft.subject is None else term(draft.subject)
        signed_by = granted.mint.key.key if granted.mint.key else None
        process = granted.request.process
        if process is not None:
            process = process._replace(renews_until=min(process.renews_until, plan.maximum))
        for (uid, jti), (_, print_, claims_hash, public) in zip(granted.raw, minted, strict=True):
            identity = self._identity_key + len(self.identities)
            if process is not None:
                self.bound.append((identity, process))
            self.identities.append(
                IdentityRow(
                    identity,
                    uid,
                    plan.parent.identity_key if plan.parent else None,
                    draft.depth,
                    delegator,
                    draft.delegator_proof,
                    agent,
                    task,
                    draft.sensitivity,
                    plan.parent.key if plan.parent else None,
                )
            )
            self.credentials.append(
                CredentialRow(
                    self._credential_key + len(self.credentials),
                    jti,
                    identity,
                    granted.request.kind,
                    scopes,
                    audiences,
                    draft.details,
                    draft.issued_at,
                    draft.expires_at,
                    print_,
                    claims_hash,
                    signed_by,
                    event,
                    task,
                    delegator,
                    plan.recurring,
                    None if plan.chosen is None else plan.chosen.qualified_template,
                    public,
                    None,
                    None,
                    may_audience,
                    may_kind,
                    draft.may_act,
                    subject,
                    template,
                    draft.exchange_life,
                )
            )
            if granted.mint.issuer is None:
                self.at_targets.append((self.credentials[-1].key, jti, granted))


def _record(
    transaction: Transaction, settled: Sequence[GrantedRequest], minted: Sequence[list[Minted]]
) -> None:
    new_rows = _NewRows(transaction, len(settled))
    for granted, secrets in zip(settled, minted, strict=True):
        new_rows.add(granted, secrets)
    transaction.add(new_rows.identities, new_rows.credentials)
    if new_rows.places:
        from jitid.ledger.signing_keys import StatusStore

        StatusStore(transaction).add(new_rows.places)
    for key, jti, granted in new_rows.at_targets:
        assert granted.plan.chosen is not None
        record_at_target(transaction, key, credential_id(jti), granted.plan.chosen)
    for identity, process in new_rows.bound:
        CredentialChanges(transaction).bind(identity, process)
    if new_rows.used:
        from jitid.capabilities.issue.approval_store import ApprovalChanges

        approvals = ApprovalChanges(transaction)
        for approval, identity, event in new_rows.used:
            approvals.use(approval, identity, event)
    for digest, policy_text in dict.fromkeys(
        (granted.plan.decision.policy, granted.plan.policy_text) for granted in settled
    ):
        policies.keep(transaction, digest, policy_text)
    transaction.append_each("issue", new_rows.events)


def record_at_target(transaction: Transaction, key: int, jti: str, chosen: ChosenTarget) -> None:
    """Record that a target is about to make a credential whose row exists already."""
    from jitid.capabilities.targets.store import OutsideChanges
    from jitid.model.target import name_at

    assert chosen.target is not None
    OutsideChanges(transaction).add(key, chosen.target.name, name_at(chosen.target, jti))


def _members(raw: list[tuple[bytes, bytes]]) -> Mapping[str, Any]:
    return {"jti": credential_id(raw[0][1])} if len(raw) == 1 else {"count": len(raw)}


def result_of(
    plan: IssuePlan | FurtherPlan,
    credentials: tuple[IssuedCredential, ...],
    *,
    kind: str,
    delegator_state: str,
    parent: str | None,
) -> Issued:
    """Return the result of an issue, a renewal or an attachment."""
    draft = plan.draft
    return Issued(
        credentials,
        draft.task,
        draft.agent,
        draft.delegator,
        draft.delegator_proof,
        delegator_state,
        parent,
        draft.depth,
        kind,
        draft.sensitivity,
        draft.scopes,
        draft.audiences,
        draft.issued_at,
        draft.expires_at,
        plan.decision,
        plan.notes,
        plan.maximum,
        None if plan.chosen is None else plan.chosen.qualified_template,
        draft.may_audience,
        draft.may_act,
        "opened" in plan.facts,
    )


def _issued(plan: IssuePlan, request: IssueRequest, credentials: tuple[IssuedCredential, ...]) -> Issued:
    return result_of(
        plan,
        credentials,
        kind=request.kind,
        delegator_state="unverified" if plan.entry.delegator is None else "known",
        parent=plan.parent.id if plan.parent else None,
    )
