"""Step-up approval: what exactly has to be approved, by whom, and whether it was."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from jitid import strictjson
from jitid.credential import USUAL_KINDS, named_kind
from jitid.delegator import Delegator
from jitid.errors import (
    ApprovalNeededError,
    IntegrityError,
    NotFoundError,
)
from jitid.governance import Objection
from jitid.identifier import approval_id, new_uuid7, parse_approval_id
from jitid.ledger.approval import Approval, Word
from jitid.ledger.protocol import Snapshot, Transaction
from jitid.policy.decision import Decision, PolicyRequest
from jitid.request import IssueRequest, Terms, named
from jitid.task import Task
from jitid.text import quote


def exact(
    asked: PolicyRequest, request: IssueRequest, task: Task, parent: str | None, chain: Sequence[str]
) -> bytes:
    """Return the exact request as canonical JSON: an approval of it is one of nothing else.

    `parent` is the id of the identity that delegates; `chain` are the agents above, the nearest first. The task's
    deadline counts from its opening unless a time was stated, so that the same command is the same request a minute
    later, and also when somebody else has opened the task meanwhile, just so.
    """
    stated = request.deadline is not None
    told = {
        "agent": asked.agent,
        "audiences": list(asked.audiences),
        "chain": list(chain) or None,
        "copies": request.copies,
        "deadline": task.deadline if stated else None,
        "deadline_after": None if stated else task.deadline - task.opened_at,
        "delegator": asked.delegator,
        "depth": asked.depth,
        "details": list(request.details) or None,
        "kind": asked.kind,
        "may_kind": sorted(
            {named_kind(*pair) for pair in asked.may_kind}.union(
                kind for kind in request.may_kind if kind in USUAL_KINDS
            )
        )
        or None,
        "parent": parent,
        "proof": asked.delegator_proof,
        "purpose": asked.purpose,
        "scopes": list(asked.scopes) or None,
        "sensitivity": asked.sensitivity,
        # Whoever the directory does not know yet may turn out to be the approver.
        "subject": None if asked.standing.known else request.proved_subject,
        "task": asked.task,
        "template": asked.template or None,
        "ttl": asked.lifetime,
    }
    return strictjson.dumps({name: value for name, value in told.items() if value is not None}).encode()


def decide(
    snapshot: Snapshot,
    terms: Terms,
    asked: PolicyRequest,
    exactly: bytes,
    decision: Decision,
    facts: dict[str, Any],
    notes: list[str],
    *,
    narrow: bool,
) -> tuple[Approval, Decision]:
    """Return the approval of exactly this request, which `decision` says it needs, and what the policy says with it.

    Raises:
        ApprovalNeededError: there is none that can be used now.
        IntegrityError: a row says that somebody has granted it, and no audit event does.

    """
    groups = frozenset(decision.needs)
    known = _alike(snapshot, exactly, groups)
    missing = [_missing(snapshot, one, terms.caller) for one in known]
    found = next((one for one, lacks in zip(known, missing, strict=True) if not lacks), None)
    if found is None:
        raise ApprovalNeededError(
            f"denied: {decision.reason}",
            f"ask {somebody(missing[0])}: jitid approve grant {known[0].id}"
            if known
            else f"asked in earnest it makes a request, which {somebody(decision.needs)} can grant",
            {**facts, "rules": list(decision.rules), "reason": decision.reason},
            exact=exactly,
            groups=decision.needs,
            asking=terms.policy.asking(asked, groups),
        )
    facts |= {"approval": found.id, "approvers": {word.group: word.approver for word in found.words}}
    who = ", ".join(f"{quote(str(word.approver))} for {quote(word.group)}" for word in found.words)
    notes.append(f"approved by {who} ({found.id}), for this once: it is not renewed")
    return found, terms.policy.decide(asked, narrow=narrow, approved=groups)


def _alike(snapshot: Snapshot, exactly: bytes, groups: Iterable[str]) -> list[Approval]:
    """Return the requests of exactly this that need the approval of these groups, the newest first."""
    return [
        one for one in snapshot.approvals.alike(sha256(exactly).digest()) if set(one.groups) == set(groups)
    ]


def ask(transaction: Transaction, denial: ApprovalNeededError, terms: Terms) -> None:
    """Record a denial, and the requests for what it lacks; one that is open already is not recorded twice.

    The error then says under which ids, and what to do.
    """
    approvals = transaction.approvals
    approvals.close_expired()
    ids = []
    for one in (denial, *denial.others):
        found = _alike(transaction, one.exact, one.groups)
        if found:
            # None is missing if the last one has spoken since the denial.
            one.missing = _missing(transaction, found[0], terms.caller) or one.groups
        ids.append(found[0].id if found else _record(transaction, one, terms))
    ids = list(dict.fromkeys(ids))
    transaction.keep_policy(terms.policy.digest, terms.policy_text)
    transaction.append("denial", {**denial.facts, "approval": ids[0]})
    denial.requests = tuple(ids)
    more = f" (and {len(ids) - 1} more: jitid approve list)" if len(ids) > 1 else ""
    denial.message += f"; request {ids[0]}{more}"
    spoken = [group for group in denial.groups if group not in denial.missing]
    if spoken:
        granted, missing = (" and ".join(map(quote, groups)) for groups in (spoken, denial.missing))
        denial.message += f", granted for {granted} and not yet for {missing}"
    denial.hint = f"ask {somebody(denial.missing)}: jitid approve grant {ids[0]}; then ask for the same again"


def _missing(snapshot: Snapshot, approval: Approval, caller: str) -> tuple[str, ...]:
    """Return the groups of whom nobody has granted a request so that it counts now."""
    return tuple([word.group for word in approval.words if not _counts(snapshot, approval, word, caller)])


def _record(transaction: Transaction, denial: ApprovalNeededError, terms: Terms) -> str:
    uid = new_uuid7(time.time_ns() // 1_000_000, os.urandom(10))
    request = _read(denial.exact)
    until = transaction.now + terms.approval_patience
    transaction.approvals.ask(uid, denial.exact, request["delegator"], terms.caller, until, denial.groups)
    transaction.append(
        "approval-request",
        {
            **about(approval_id(uid), denial.exact),
            "groups": list(denial.groups),
            "asked_by": terms.caller,
            "until": until,
            "asking": list(denial.asking),
            "reason": denial.facts["reason"],
            "policy": terms.policy.digest,
        },
    )
    return approval_id(uid)


def find(snapshot: Snapshot, id_: str) -> Approval:
    """Return a request by its id.

    Raises:
        UsageError: it is no such id.
        NotFoundError: there is no such request.

    """
    found = snapshot.approvals.find(parse_approval_id(id_))
    if found is None:
        raise NotFoundError(f"the ledger knows no request {quote(id_)}", "see: jitid approve list")
    return found


def requested(approval: Approval) -> dict[str, Any]:
    """Return the exact request by its names, as `exact` has them. Raises IntegrityError for what is none."""
    return _read(approval.request)


def objections(approval: Approval, person: Delegator, *callers: str) -> list[Objection]:
    """Return why a delegator cannot grant a request at all: who asks for something does not approve of it.

    That is everybody up the chain of delegation, by whatever name, and whose login asked; or uses it, by `callers`.
    """
    request = requested(approval)
    itself = {person.name, *person.aliases}
    logins = [named(login) for login in (approval.asked_by, *callers)]
    agents = [f"agent:{agent}" for agent in (request["agent"], *request.get("chain", ()))]
    if not itself.isdisjoint((request["delegator"], request.get("subject"))):
        why = "is the one for whom it is asked"
    elif not itself.isdisjoint(agents):
        why = "is one of the agents that it is for"
    elif not itself.isdisjoint(logins):
        how = "as" if ":" in approval.asked_by else "by the login"
        why = f"asked for it, {how} {quote(approval.asked_by)}"
    else:
        return []
    return [
        Objection(
            "approver-requester", f"{quote(person.name)} {why}", "somebody else of the group has to decide"
        )
    ]


def _counts(snapshot: Snapshot, approval: Approval, word: Word, caller: str) -> bool:
    """Tell whether what was granted for a group counts now."""
    if not word.holds_at(snapshot.now):
        return False
    assert word.approver is not None
    _must_be_told(snapshot, approval, word)
    person = snapshot.find_delegator(word.approver)
    # They may have got a name since that is the requester's; and the login that uses it may not be the one that asked.
    return person is not None and not objections(approval, person, caller)


def _must_be_told(snapshot: Snapshot, approval: Approval, word: Word) -> None:
    """Refuse a grant of which the audit log knows nothing: a row is written fast."""
    event = None if word.event is None else snapshot.event(word.event)
    document = {} if event is None else event.document()
    if (
        document.get("op") != "approval-grant"
        or document["approval"] != approval.id
        or document["digest"] != approval.digest.hex()
        or word.group not in document["groups"]
        or (document["approver"], document["until"]) != (word.approver, word.expires_at)
    ):
        raise IntegrityError(
            f"the ledger says that request {approval.id} was granted, and its audit log does not",
            "run: jitid audit verify",
        )


def about(id_: str, request: bytes) -> dict[str, Any]:
    """Return what each event about a request says of it."""
    asked = _read(request)
    return {
        "approval": id_,
        "digest": sha256(request).hexdigest(),
        **{name: asked[name] for name in ("task", "agent", "delegator")},
    }


def _read(request: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = strictjson.loads(request, "request")
        if not found.keys() >= {"task", "agent", "delegator", "copies"}:
            raise strictjson.StrictJSONError("the request lacks what each has")
    except (strictjson.StrictJSONError, AttributeError) as error:
        raise IntegrityError(
            "a request for approval in the ledger is none", "run: jitid audit verify"
        ) from error
    return found


def somebody(groups: Sequence[str]) -> str:
    """Return the words for somebody of each of these groups."""
    return " and ".join(f"somebody of {quote(group)}" for group in groups)
