"""Plan an issue: find the delegator and the task, get the policy's decision, and narrow the grant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from jitid.capabilities.directory import governance, name_rights, ownership
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import recognise_token, validity
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.issue import narrow
from jitid.capabilities.issue.decide import Proposal, must_not_rest_on_too_many
from jitid.errors import InvalidCredentialError, PolicyDeniedError, RefusedError, UsageError
from jitid.issuers.issuer import Draft
from jitid.ledger.view import View
from jitid.model.credential import SIGNED_TOKENS, Credential, judged_kinds
from jitid.model.delegation import actors_of
from jitid.model.directory import DirectoryEntry
from jitid.model.ledger_rows import Ancestor, Names
from jitid.model.request import IssueRequest
from jitid.model.task import Task, most_sensitive
from jitid.operation import reach
from jitid.operation.context import Terms
from jitid.policy.decision import Decision
from jitid.values import strict_json
from jitid.values.ids import parse_id
from jitid.values.names import check_new_agent
from jitid.values.record import Record
from jitid.values.scope import Scope, uncovered
from jitid.values.text import check_text, label, quote
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.issuers.targets import ChosenTarget
    from jitid.model.approval import Approval


class ResolvedDelegator(Record):
    """The delegator by their own name, and the entry of delegator and agent in the directory."""

    delegator: str
    proof: str
    entry: DirectoryEntry


class IssuePlan(Record):
    """The plan of an issue, with all values to record."""

    draft: Draft
    entry: DirectoryEntry
    """The entry of delegator and agent in the directory."""
    task: Task | None
    """None if the task is opened by this issue."""
    task_sensitivity: str
    deadline: int
    parent: Credential | None
    decision: Decision
    policy_text: str
    facts: Mapping[str, Any]
    """The members of the audit event."""
    notes: tuple[str, ...]
    maximum: int
    """The latest time until which policy and task permit renewals."""
    approval: Approval | None
    """The approval that it needs and uses up; the transaction that planned with it must also carry out the plan."""
    chosen: ChosenTarget | None = None
    """The target, or its template, that it is made from; None if jitid makes it without a template."""
    right: name_rights.NameRight = name_rights.FREE
    """The right by which it has the agent's name."""
    proved_subject: str | None = None
    """The subject of the ID token that proved the root delegator, if the directory did not know it at that time."""
    above: validity.Verified | None = None
    """The parent with the credentials that it rests on."""

    @property
    def recurring(self) -> int | None:
        """The number of the agent's record, if the agent is registered."""
        return None if self.entry.agent is None else self.entry.agent.key


class _PreparedRequest(Record):
    """A request with its credential proposal and the related rows of the ledger."""

    acting: str | None
    """The actor that a separate token proves."""
    above: validity.Verified | None
    """The parent with the credentials that it rests on."""
    proposal: Proposal
    task: Task | None
    """None if the request opens the task."""
    judged: narrow.Judged
    objections: list[governance.Objection]
    """The objections to the use of the agent's name."""
    notes: list[str]

    @property
    def parent(self) -> Credential | None:
        return None if self.above is None else self.above.credential

    @property
    def lineage(self) -> Sequence[Ancestor]:
        return () if self.above is None else self.above.lineage


def plan(
    snapshot: View,
    names: Names,
    request: IssueRequest,
    terms: Terms,
    unrecorded: int = 0,
    as_of: int | None = None,
) -> IssuePlan:
    """Return the plan for a request at the time of the snapshot.

    `unrecorded` is the number of identities that the same transaction gives to the same agent and that are not recorded
    yet. `as_of` is the time, since the epoch, that the policy uses instead; such a plan must not be recorded.

    Raises:
        PolicyDeniedError: the policy, the parent's grant or the end of the task refuses it.
        InvalidCredentialError: the parent's token is not valid.
        UsageError: the request is invalid.

    """
    now = snapshot.now
    prepared = _propose(snapshot, names, request, terms)
    proposal, above, parent, notes = prepared.proposal, prepared.above, prepared.parent, prepared.notes
    entry = proposal.entry
    facts = _facts(request, prepared, terms)
    subject = None if parent is None else parent.proved_subject
    if above is None and not governance.directory_facts(entry).known:
        # Once the directory has this subject, it attributes this delegation to the right delegator.
        facts["subject"] = subject = request.proved_subject
    if prepared.task is not None:
        must_be_open(prepared.task, now, facts)
    governance.must_not_object(
        proposal.objections(names, terms, now, others=entry.live + unrecorded, copies=request.copies)
        + prepared.objections,
        facts,
    )
    if above is not None and parent is not None:
        must_not_rest_on_too_many(above, facts)
        proposal = proposal.attenuated(
            parent.id, narrow.held_by(parent, exchanged=request.exchanged), facts, notes
        )
        narrow.must_not_exceed(prepared.judged, proposal.task, parent.id, facts)
    proposal = proposal.within_limits(facts, notes)
    decision, approval, explained = _decide(snapshot, request, terms, prepared, proposal, facts, as_of)
    proposal, decision = proposal.permitted(decision, facts, notes, explained)
    chain_expiry = validity.latest_expiry(above) if above else None
    lifetime, _ = proposal.lifetime(decision, now, chain_expiry, notes)
    draft = proposal.draft(
        names,
        decision,
        now,
        lifetime,
        proof=proposal.proof,
        actors=() if parent is None else actors_of(names.trust_domain, [parent, *prepared.lineage]),
        details=f"[{','.join(request.details)}]" if request.details else None,
        public_key=request.public_key,
        registered=entry.agent is not None,
    )
    facts |= proposal.decided(facts, decision, lifetime)
    with_template = terms.subjects.keys() & set(request.audiences) if draft.is_identity else ()
    if request.kind in SIGNED_TOKENS and (not draft.is_identity or with_template):
        # Imported here: an identity token has no vendor.
        from jitid.capabilities.issue import token_subject

        def proves_name() -> bool:
            return name_rights.proves_name(
                snapshot, entry.agent, proposal.right, proposal.delegator, proposal.proof, parent
            )

        # A service token that the identity could never obtain is refused now, before its task is opened.
        for audience in sorted(with_template):
            of_service = draft._replace(audiences=(audience,))
            token_subject.stated(of_service, request.kind, proposal.proof, terms, facts, proves_name)
        if not draft.is_identity:
            draft = token_subject.stated(draft, request.kind, proposal.proof, terms, facts, proves_name)
            facts |= {"sub": draft.subject, "exchange_life": draft.exchange_life}
    task = proposal.task
    if prepared.task is None:
        facts["opened"] = {"sensitivity": task.sensitivity, "deadline": task.deadline}
    return IssuePlan(
        draft,
        entry,
        prepared.task,
        task.sensitivity,
        task.deadline,
        parent,
        decision,
        terms.policy_text,
        facts,
        tuple(notes),
        # An approval is used once, and each renewal would need another.
        proposal.latest(decision, now) if approval is None else draft.expires_at,
        approval,
        proposal.chosen,
        proposal.right,
        subject,
        above,
    )


def _facts(request: IssueRequest, prepared: _PreparedRequest, terms: Terms) -> dict[str, Any]:
    """Return the members of the audit event before the decision."""
    proposal, parent = prepared.proposal, prepared.parent
    return {
        **proposal.facts(terms),
        "proof": proposal.proof,
        "sensitivity": proposal.sensitivity,
        "parent": parent.id if parent else None,
        "made_from": parent.jti if parent else None,
        "process": None if request.process is None else request.process._asdict(),
        "acting": prepared.acting,
    }


def _propose(snapshot: View, names: Names, request: IssueRequest, terms: Terms) -> _PreparedRequest:
    """Return the requested credential, with the defaults of its parent, its task and the configuration.

    Raises the errors of `plan` that need neither limits nor policy.
    """
    now = snapshot.now
    acting = resolve_actor(snapshot, request)
    above = _parent(snapshot, names, request)
    parent = above.credential if above else None
    delegator, proof, entry = resolve_delegator(snapshot, request, above, terms)
    name, task, joined, offered = ownership.on_task(snapshot, request, parent, delegator, entry, terms)
    chain = None if above is None else narrow.sensitivity_of(above.credential, above.lineage)
    opened = _task(task, name, request, parent, chain, terms, now, delegator, joined=joined)
    narrow.check_audiences(names, request.audiences)
    within = reach.stated(request, names, terms, parent)
    notes = [
        f"a new task was opened; to join the shared task of that name: --task {task_name}"
        for task_name in offered
    ]
    if joined:
        notes.append(
            f"on the shared task {label(opened.full_name)}, with the sensitivity {opened.sensitivity}"
        )
    scopes = narrow.carried(request.kind, request.scopes, narrower=request.allow_narrower)
    judged = narrow.sensitivity(
        opened.sensitivity,
        chain,
        _delegable(request, parent, scopes),
        within.audiences,
        terms,
        may_audience=within.later,
    )
    narrow.note_raised(judged, opened.sensitivity, "the chain above it", notes)
    ttl = terms.ttl if request.ttl is None else request.ttl
    _check_values(request, ttl)
    chosen = terms.chosen(request.kind, request.template)
    records = [] if above is None else governance.records_of(DirectoryStore(snapshot), _chain(above))
    own_records = records if entry.agent is None else [entry.agent, *records]
    kinds = narrow.obtainable(request, terms, parent, own_records, notes)
    right, objections = name_rights.right_to_name(snapshot, entry, delegator, parent, request, terms, now)
    return _PreparedRequest(
        acting,
        above,
        Proposal(
            delegator,
            proof,
            request.agent,
            opened,
            parent.depth + 1 if parent else 0,
            request.kind,
            chosen,
            None if chosen is None else chosen.qualified_template,
            scopes,
            within,
            request.details,
            kinds,
            judged.level,
            ttl,
            request.ttl is not None,
            entry,
            records,
            right,
            request.allow_narrower,
        ),
        task,
        judged,
        objections + name_rights.objections_to_agents(snapshot, request, terms, parent, now),
        notes,
    )


def _decide(
    snapshot: View,
    request: IssueRequest,
    terms: Terms,
    prepared: _PreparedRequest,
    proposal: Proposal,
    facts: dict[str, Any],
    as_of: int | None,
) -> tuple[Decision, Approval | None, Callable[[], Decision]]:
    """Return the policy's decision, the approval that it used, and a function that returns the decision with advice.

    Raises:
        ApprovalNeededError: the policy requires an approval that is not there.

    """
    task, above, parent = proposal.task, prepared.above, prepared.parent
    root = None if above is None else validity.root_of(above.credential, above.lineage)
    owner = ownership.owner_for_policy(snapshot, task, proposal.delegator, root)
    question = proposal.policy_request(
        terms, owner, snapshot.now if as_of is None else as_of, judged_kinds(proposal.kinds)
    )
    decide = partial(terms.policy.decide, question, narrow=request.allow_narrower)
    decision = decide(explain=False)
    approval = None
    if decision.needs:
        from jitid.capabilities.issue import approval_request as approvals

        exact_request = approvals.exact(
            question,
            request,
            task,
            parent.id if parent else None,
            _chain(above),
            proposal.within,
            prepared.acting,
        )
        approval, decision = approvals.decide(
            snapshot,
            terms,
            question,
            exact_request,
            decision,
            facts,
            prepared.notes,
            narrow=request.allow_narrower,
        )
    fixed_fields = {"purpose"} if prepared.task is not None else set()
    if prepared.task is not None or proposal.sensitivity != task.sensitivity:
        fixed_fields.add("sensitivity")
    approved = frozenset() if approval is None else frozenset(approval.groups)
    return decision, approval, partial(decide, fixed=frozenset(fixed_fields), approved=approved)


def _delegable(
    request: IssueRequest, parent: Credential | None, scopes: tuple[Scope, ...]
) -> tuple[Scope, ...]:
    """Return the scopes that count for the sensitivity, without scopes that are left out for lack in the parent."""
    if parent is None or not request.allow_narrower:
        return scopes
    wider = frozenset(uncovered([Scope(scope) for scope in parent.scopes], scopes))
    return tuple([scope for scope in scopes if scope not in wider])


def _check_values(request: IssueRequest, ttl: int) -> None:
    if ttl <= 0:
        raise UsageError("a lifetime must be at least one second", "such as --ttl 15m")
    check_new_agent(request.agent)
    if request.purpose is not None:
        check_text(request.purpose, "the purpose")
    if request.details:
        try:
            # Each delegation from these details parses them again, as one list.
            strict_json.loads(f"[{','.join(request.details)}]", "the list of details")
        except strict_json.StrictJSONError as error:
            raise UsageError(str(error)) from error


def resolve_actor(snapshot: View, request: IssueRequest) -> str | None:
    """Return the actor that a separate token proves: the id of an identity, or the delegator of a foreign token.

    None without such a token.

    Raises:
        InvalidCredentialError: the token was valid when it was presented, and has ended while the request waited.

    """
    try:
        if request.proved_credential is None:
            return name_rights.owner_of_actor(snapshot, request)
        credential = CredentialStore(snapshot).find_credential("jti", parse_id(request.proved_credential)[1])
        if credential is None:
            raise InvalidCredentialError(validity.UNKNOWN)
        return validity.judge(snapshot, credential, None).credential.id
    except InvalidCredentialError as error:
        raise InvalidCredentialError(f"the actor's token is not valid: {error.message}", error.hint) from None


def _parent(snapshot: View, names: Names, request: IssueRequest) -> validity.Verified | None:
    if request.parent is None:
        return None
    try:
        return recognise_token.verify(snapshot, names, request.parent.reveal(), None)
    except InvalidCredentialError as error:
        raise InvalidCredentialError(
            f"the parent's credential is not valid: {error.message}", error.hint
        ) from error


def resolve_delegator(
    snapshot: View, request: IssueRequest, above: validity.Verified | None, terms: Terms
) -> ResolvedDelegator:
    """Return the delegator as the directory has it now, found by any name that was stated or proved.

    Raises:
        InvalidCredentialError: the ID token is older than the last disabling of the delegator, or the login has ended.
        UsageError: no delegator is named, or the parent or the ID token proves another one.
        RefusedError: the named delegator is not the caller, and this caller may name no other.
        PolicyDeniedError: the directory binds the delegator to subjects of ID tokens, and the token has another one.

    """
    if request.proved_login is not None:
        from jitid.capabilities.access.live_login import must_still_count

        must_still_count(snapshot, request.proved_login, str(request.proved_delegator))
    delegator, proof = _delegator(snapshot, request, above, terms)
    subject = request.proved_subject
    if above is not None:
        subject = above.credential.proved_subject
    known_as = governance.known_as(DirectoryStore(snapshot), delegator, subject)
    entry = DirectoryStore(snapshot).entry(known_as, request.agent)
    if above is not None:
        facts = {"task": request.task, "agent": request.agent, "delegator": delegator, "proof": proof}
        governance.must_not_object(
            governance.proved_as_another(DirectoryStore(snapshot), delegator, subject), facts
        )
        # A chain keeps the name and the proof that its root has.
        return ResolvedDelegator(delegator, proof, entry)
    if proof == "oidc":
        governance.must_be_newer(request.proved_at, entry.delegator)
    if entry.delegator is not None and proof == "oidc" and known_as == delegator:
        # The directory entry has no aliases, and this check needs them.
        foreign = governance.foreign_subject(
            DirectoryStore(snapshot).find_delegator(delegator), request.proved_subject, "delegator-subject"
        )
        facts = {"task": request.task, "agent": request.agent, "delegator": delegator, "proof": proof}
        governance.must_not_object([] if foreign is None else [foreign], facts)
    resolved = _resolved(snapshot, entry, request, delegator, proof, terms)
    if resolved.proof == "asserted" and not terms.any_delegator:
        suffix = f": you are {label(terms.own_name)}" if terms.own_name else ""
        raise RefusedError(
            f"permission denied: you may not name {label(resolved.delegator)} as the delegator{suffix}",
            "omit --delegator, or prove the delegator by an ID token; other delegators require the role issuer",
        )
    return resolved


def _delegator(
    snapshot: View, request: IssueRequest, above: validity.Verified | None, terms: Terms
) -> tuple[str, str]:
    """Return the delegator and how that was proved. With a parent, only the parent's root delegator may be stated."""
    if above is not None:
        root = above.credential.delegator
        named = request.delegator
        is_root = named in (None, root) or named in DirectoryStore(snapshot).names_of(root)
        if request.proved_delegator is not None or not is_root:
            raise UsageError(
                f"the delegator is {label(root)}, that of the parent: a nested credential keeps it",
                "omit the delegator; in `jitid run`, its credential is the parent",
            )
        return root, validity.root_proof(above.credential, above.lineage)
    if request.proved_delegator is not None:
        return request.proved_delegator, "oidc"
    own_name = terms.own_name
    delegator = request.delegator
    if delegator is None and ":" in terms.caller and own_name is not None:
        # The authority has already authenticated this caller.
        delegator = own_name
    if delegator is None:
        raise UsageError("a delegator is required", "name the delegator, such as --delegator alice")
    if delegator.startswith("agent:"):
        raise UsageError(
            "an agent can delegate only with its own credential", "pass its token with --parent-file"
        )
    return delegator, terms.caller_proof if delegator == own_name and terms.caller_proof else "asserted"


def _chain(above: validity.Verified | None) -> list[str]:
    """Return the agents through which an identity is delegated."""
    return [] if above is None else [above.credential.agent, *(ancestor.agent for ancestor in above.lineage)]


def _resolved(
    snapshot: View, entry: DirectoryEntry, request: IssueRequest, delegator: str, proof: str, terms: Terms
) -> ResolvedDelegator:
    """Return a delegator by their own name, whichever name was stated, and how they were proved."""
    requested_name = request.delegator
    name = delegator if entry.delegator is None else entry.delegator.name
    if (
        proof == "oidc"
        and requested_name is not None
        and requested_name not in (delegator, name)
        and DirectoryStore(snapshot).own_name(requested_name) != name
    ):
        raise UsageError(
            f"the ID token proves {label(name)}, not {label(requested_name)}", "omit --delegator"
        )
    if entry.delegator is None:
        return ResolvedDelegator(delegator, proof, entry)
    if (
        proof == "asserted"
        and terms.own_name is not None
        and DirectoryStore(snapshot).own_name(terms.own_name) == name
    ):
        proof = terms.caller_proof or proof
    return ResolvedDelegator(name, proof, entry)


def _task(
    task: Task | None,
    name: str,
    request: IssueRequest,
    parent: Credential | None,
    chain: str | None,
    terms: Terms,
    now: int,
    delegator: str,
    *,
    joined: bool,
) -> Task:
    """Return the existing task, or the task that this issue would open."""
    if task is None:
        purpose, sensitivity = request.purpose or terms.purpose, request.sensitivity or terms.sensitivity
        if parent is not None:
            purpose = request.purpose or parent.purpose
            # Otherwise its agent would choose the sensitivity for all that its delegator issues on the task.
            sensitivity = most_sensitive(
                request.sensitivity or parent.sensitivity, chain or parent.sensitivity
            )
        duration = terms.task_deadline if request.deadline_after is None else request.deadline_after
        deadline = now + duration if request.deadline is None else request.deadline
        if deadline <= now:
            raise UsageError(
                f"the deadline {format_time(deadline)} has passed", "use a future time, or a duration"
            )
        return Task(0, name, purpose, sensitivity, deadline, now, None, delegator)
    requested_deadline = request.deadline
    if request.deadline_after is not None:
        requested_deadline = task.opened_at + request.deadline_after
    if request.purpose not in (None, task.purpose):
        # Only delegators who have joined already may read the purpose, so the error must not contain it.
        fixed = "another one" if joined else task.purpose
        _refuse_change(task, "purpose", fixed, str(request.purpose))
    if not joined and request.sensitivity not in (None, task.sensitivity):
        _refuse_change(task, "sensitivity", task.sensitivity, str(request.sensitivity))
    if requested_deadline is not None and requested_deadline != task.deadline:
        _refuse_change(task, "deadline", format_time(task.deadline), format_time(requested_deadline))
    if joined:
        return task._replace(sensitivity=ownership.judged_sensitivity(task, request, parent, terms))
    return task


def _refuse_change(task: Task, attribute: str, fixed: str | None, requested: str) -> NoReturn:
    is_now = f"without a {attribute}" if fixed is None else f"with {attribute} {quote(fixed)}"
    raise UsageError(
        f"task {label(task.name)} was opened {is_now}; it cannot be changed to {quote(requested)}",
        f"the first issue on a task sets its {attribute}: omit --{attribute}, or use another task",
    )


def must_be_open(task: Task, now: int, facts: Mapping[str, Any]) -> None:
    """Refuse to issue for a task that is not open.

    Raises:
        PolicyDeniedError: the task has ended, or reached its deadline.

    """
    if task.is_open_at(now):
        return
    rule = "task-ended" if task.ended_at is not None else "task-deadline"
    when = task.deadline if task.ended_at is None else task.ended_at
    outcome = "ended" if task.ended_at is not None else "reached its deadline"
    reason = f"rule `{rule}`: task {label(task.name)} {outcome} at {format_time(when)}"
    raise PolicyDeniedError(
        f"denied: {reason}",
        "the name of an ended task cannot be used again: use a new name",
        {**facts, "rules": [rule], "reason": reason},
    )
