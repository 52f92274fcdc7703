"""Requests for approval as rows for a format and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory.roster.spreadsheet import joined
from jitid.capabilities.issue import approval_request
from jitid.capabilities.issue.approval_operations import ListApprovals
from jitid.cli import record_rows
from jitid.model.approval import Approval, ApprovalFilter, ApprovalState, Word
from jitid.values.text import label, quote
from jitid.values.times import brief_duration, format_duration

if TYPE_CHECKING:
    from jitid.capabilities.issue.approval_operations import ApprovalDetails, Decided
    from jitid.cli.invocation import Invocation
    from jitid.operation.base import Authority

FIELDS = (
    "approval",
    "state",
    "task",
    "agent",
    "delegator",
    "delegator_proof",
    "kind",
    "sensitivity",
    "scopes",
    "audiences",
    "purpose",
    "ttl",
    "copies",
    "depth",
    "parent",
    "groups",
    "missing",
    "asked_by",
    "asked_at",
    "expires_at",
    "usable_until",
)
BRIEF = ("approval", "task", "agent", "delegator", "missing", "left")
"""Columns for a terminal of 80 columns; `left` is the time left to grant or use a request."""
BRIEF_ALL = ("approval", "state", "task", "agent", "delegator", "left")
"""Columns for a list with ended requests: an ended request has no missing approval."""
DETAILS = (
    *FIELDS,
    "delegator_state",
    "task_state",
    "deadline",
    "details",
    "public_key",
    "allow_narrower",
    "process",
    "task_sensitivity",
    "chain",
    "acting",
    "words",
    "reason",
    "rules",
    "policy",
    "event",
    "ended_at",
    "ended_reason",
    "ended_event",
    "identity",
    "grant",
)
DECIDED = ("approval", "state", "groups", "missing", "approver", "usable_until", "event")
_PAGE = 1_000
_MOST_SCOPES = 10
"""Maximum number of scopes in a sentence."""


def pages(authority: Authority, chosen: ApprovalFilter, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of at most `limit` requests, newest first, and read them page by page."""
    remaining = limit
    while remaining:
        size = min(_PAGE, remaining)
        page = authority.perform(ListApprovals(chosen=chosen, limit=size))
        for approval in page.approvals:
            yield row(approval, page.now)
        if len(page.approvals) < size:
            return
        remaining -= size
        chosen = chosen._replace(before=page.approvals[-1].key)


def row(approval: Approval, now: int) -> dict[str, Any]:
    """Return a request as a row with the fields of `FIELDS`, and `left`."""
    request = approval_request.requested(approval)
    state = approval.state_at(now)
    usable_until = _usable_until(approval, now)
    live = state in (ApprovalState.OPEN, ApprovalState.GRANTED)
    return {
        "approval": approval.id,
        "state": state.value,
        "task": request["task"],
        "agent": request["agent"],
        "delegator": request["delegator"],
        "delegator_proof": request["proof"],
        "kind": request["kind"],
        "sensitivity": request["sensitivity"],
        "scopes": request.get("scopes", []),
        "audiences": request["audiences"],
        "purpose": request.get("purpose"),
        "ttl": format_duration(request["ttl"]),
        "copies": request["copies"],
        "depth": request["depth"],
        "parent": request.get("parent"),
        "groups": list(approval.groups),
        "missing": list(approval.missing_at(now)) if live else [],
        "asked_by": approval.asked_by,
        "asked_at": record_rows.time(approval.asked_at),
        "expires_at": record_rows.time(approval.expires_at),
        "usable_until": record_rows.time(usable_until),
        "left": brief_duration((approval.expires_at if usable_until is None else usable_until) - now)
        if live
        else None,
    }


def details(approval_details: ApprovalDetails) -> dict[str, Any]:
    """Return all about a request as a row with the fields of `DETAILS`."""
    approval, now = approval_details.approval, approval_details.now
    request = approval_request.requested(approval)
    delegator = approval_details.delegator
    deadline = record_rows.time(request.get("deadline"))
    if "deadline_after" in request:
        deadline = format_duration(request["deadline_after"])
    ended_event = approval_details.ended_event or {}
    state = approval.state_at(now)
    fields = row(approval, now)
    del fields["left"]
    return {
        **fields,
        "delegator_state": "unverified"
        if delegator is None
        else "disabled"
        if delegator.disabled_at
        else "known",
        "task_state": "new" if approval_details.task is None else approval_details.task.state_at(now),
        "deadline": deadline,
        "details": request.get("details", []),
        "public_key": request.get("public_key"),
        "allow_narrower": request.get("narrower"),
        "process": request.get("process"),
        "task_sensitivity": request.get("task_sensitivity"),
        "chain": [request["delegator"], *reversed(request.get("chain", [])), request["agent"]],
        "acting": request.get("acting"),
        "words": [_word(word) for word in approval.words],
        "reason": approval_details.event.get("reason"),
        "rules": [{"name": name, "file": file, "text": text} for name, file, text in approval_details.rules],
        "policy": approval_details.event.get("policy"),
        "event": approval.event,
        "ended_at": record_rows.time(approval.ended_at),
        "ended_reason": ended_event.get("reason") if state is ApprovalState.DENIED else None,
        "ended_event": approval.ended_event,
        "identity": approval.identity,
        "grant": f"jitid approve grant {approval.id}" if state is ApprovalState.OPEN else None,
    }


def decided(decision: Decided) -> dict[str, Any]:
    """Return the result of an approver's decision as a row with the fields of `DECIDED`."""
    approval = decision.approval
    words = [word for word in approval.words if word.event == decision.event and decision.event is not None]
    return {
        "approval": approval.id,
        "state": approval.state_at(decision.now).value,
        "groups": list(approval.groups),
        "missing": list(approval.missing_at(decision.now)),
        "approver": words[0].approver if words else None,
        "usable_until": record_rows.time(_usable_until(approval, decision.now)),
        "event": decision.event,
    }


def cells(cli: Invocation, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its groups joined in one cell, because their names may contain blanks; JSON keeps lists."""
    if cli.field is None and cli.format_name() in ("json", "jsonl"):
        return dict(row)
    return {name: joined(value) if name in ("groups", "missing") else value for name, value in row.items()}


def sentence(decision: Decided) -> str:
    """Return the result of an approver's decision in words."""
    approval, fields = decision.approval, row(decision.approval, decision.now)
    description = _description(fields)
    if approval.state_at(decision.now) is ApprovalState.DENIED:
        already = "" if decision.event is not None else "already "
        return f"{already}denied: {description}{_event(decision)}"
    missing = approval.missing_at(decision.now)
    if missing:
        return (
            f"granted in part, and {approval_request.a_member(missing)} has to grant it too: "
            f"{description}{_event(decision)}"
        )
    usage = f"to be issued once, until {fields['usable_until']}"
    return f"{'granted' if decision.event is not None else 'granted already'}, {usage}: {description}{_event(decision)}"


def _description(fields: Mapping[str, Any]) -> str:
    scopes = " ".join(fields["scopes"][:_MOST_SCOPES]) or "no scopes"
    if len(fields["scopes"]) > _MOST_SCOPES:
        scopes += f" and {len(fields['scopes']) - _MOST_SCOPES} more"
    copies = f"{fields['copies']} times " if fields["copies"] > 1 else ""
    return (
        f"{copies}agent {label(fields['agent'])} for {label(fields['delegator'])} on task {label(fields['task'])}, "
        f"{scopes}, for {fields['ttl']}"
    )


def _event(decision: Decided) -> str:
    return "" if decision.event is None else f" (audit event {decision.event})"


def _usable_until(approval: Approval, now: int) -> int | None:
    """Return the end of the time in which a granted request can be used; None for any other request."""
    if approval.state_at(now) is not ApprovalState.GRANTED:
        return None
    return min(
        [approval.expires_at, *(word.expires_at for word in approval.words if word.expires_at is not None)]
    )


def decisions_text(words: Sequence[Mapping[str, Any]]) -> str:
    """Return the decision of each group in words."""
    return "; ".join([f"{quote(word['group'])} {_decision_text(word)}" for word in words])


def _decision_text(word: Mapping[str, Any]) -> str:
    if word["said"] is None:
        return "has said nothing"
    until = "" if word["expires_at"] is None else f" until {word['expires_at']}"
    counts = "" if word["counts"] or not until else ", which counts no longer: they were disabled, or left it"
    return f"{word['said']}{until}, by {word['approver']} ({word['proof']}) at {word['decided_at']}{counts}"


def _word(word: Word) -> dict[str, Any]:
    return {
        "group": word.group,
        "said": None if word.granted is None else "granted" if word.granted else "denied",
        "approver": word.approver,
        "proof": word.proof,
        "decided_at": record_rows.time(word.decided_at),
        "expires_at": record_rows.time(word.expires_at),
        "counts": bool(word.granted and word.stands),
    }
