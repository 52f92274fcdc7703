"""The values that `jitid approve` computes from requests for approval, and its sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory.roster.spreadsheet import joined
from jitid.capabilities.issue import approval_request
from jitid.capabilities.issue.approval_operations import ListApprovals
from jitid.formats.columns import Columns
from jitid.model.approval import Approval, ApprovalFilter, ApprovalState, Word
from jitid.values.text import label, quote
from jitid.values.times import brief_duration, format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.approval_operations import ApprovalDetails, Decided
    from jitid.cli.invocation import Invocation
    from jitid.operation.base import Authority

_PAGE = 1_000
_MOST_SCOPES = 10
"""Maximum number of scopes in a sentence."""
_WORD = Columns("", "group said approver proof decided_at expires_at counts")


def pages(authority: Authority, chosen: ApprovalFilter, limit: int) -> Iterator[tuple[Approval, int]]:
    """Yield at most `limit` requests, newest first, each with the time of its state; read them page by page."""
    remaining = limit
    while remaining:
        size = min(_PAGE, remaining)
        page = authority.perform(ListApprovals(chosen=chosen, limit=size))
        for approval in page.approvals:
            yield approval, page.now
        if len(page.approvals) < size:
            return
        remaining -= size
        chosen = chosen._replace(before=page.approvals[-1].key)


def facts(cli: Invocation, approval: Approval, now: int) -> dict[str, Any]:
    """Return the computed values of a request."""
    request = approval_request.requested(approval)
    state = approval.state_at(now)
    usable_until = approval.usable_until_at(now)
    live = state in (ApprovalState.OPEN, ApprovalState.GRANTED)
    return {
        "approval": approval.id,
        "state": state,
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
        "groups": _cell(cli, approval.groups),
        "missing": _cell(cli, approval.missing_at(now) if live else ()),
        "usable_until": usable_until,
        "left": brief_duration((approval.expires_at if usable_until is None else usable_until) - now)
        if live
        else None,
    }


def details(cli: Invocation, approval_details: ApprovalDetails) -> dict[str, Any]:
    """Return the computed values of a request with its details."""
    approval, now = approval_details.approval, approval_details.now
    request = approval_request.requested(approval)
    delegator = approval_details.delegator
    deadline = request.get("deadline")
    if "deadline_after" in request:
        deadline = format_duration(request["deadline_after"])
    ended_event = approval_details.ended_event or {}
    state = approval.state_at(now)
    return {
        **facts(cli, approval, now),
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
        "words": [_WORD.row(word, _decision(word)) for word in approval.words],
        "reason": approval_details.event.get("reason"),
        "rules": [{"name": name, "file": file, "text": text} for name, file, text in approval_details.rules],
        "policy": approval_details.event.get("policy"),
        "event": approval.event,
        "ended_reason": ended_event.get("reason") if state is ApprovalState.DENIED else None,
        "ended_event": approval.ended_event,
        "grant": cli.command(f"jitid approve grant {approval.id}") if state is ApprovalState.OPEN else None,
    }


def decided(cli: Invocation, decision: Decided) -> dict[str, Any]:
    """Return the computed values of an approver's decision."""
    approval = decision.approval
    words = [word for word in approval.words if word.event == decision.event and decision.event is not None]
    return {
        "approval": approval.id,
        "state": approval.state_at(decision.now),
        "groups": _cell(cli, approval.groups),
        "missing": _cell(cli, approval.missing_at(decision.now)),
        "approver": words[0].approver if words else None,
        "usable_until": approval.usable_until_at(decision.now),
    }


def _cell(cli: Invocation, groups: Sequence[str]) -> str | list[str]:
    """Return groups joined in one cell, because their names may contain blanks; in JSON as a list."""
    if cli.field is None and cli.format_name() in ("json", "jsonl"):
        return list(groups)
    return joined(groups)


def sentence(decision: Decided) -> str:
    """Return the result of an approver's decision in words."""
    approval = decision.approval
    description = _description(approval)
    if approval.state_at(decision.now) is ApprovalState.DENIED:
        already = "" if decision.event is not None else "already "
        return f"{already}denied: {description}{_event(decision)}"
    missing = approval.missing_at(decision.now)
    if missing:
        return (
            f"granted in part, and {approval_request.a_member(missing)} has to grant it too: "
            f"{description}{_event(decision)}"
        )
    usable_until = approval.usable_until_at(decision.now) or approval.expires_at
    usage = f"to be issued once, until {format_time(usable_until)}"
    return f"{'granted' if decision.event is not None else 'granted already'}, {usage}: {description}{_event(decision)}"


def _description(approval: Approval) -> str:
    request = approval_request.requested(approval)
    requested_scopes = request.get("scopes", [])
    scopes = " ".join(requested_scopes[:_MOST_SCOPES]) or "no scopes"
    if len(requested_scopes) > _MOST_SCOPES:
        scopes += f" and {len(requested_scopes) - _MOST_SCOPES} more"
    copies = f"{request['copies']} times " if request["copies"] > 1 else ""
    return (
        f"{copies}agent {label(request['agent'])} for {label(request['delegator'])} on task {label(request['task'])}, "
        f"{scopes}, for {format_duration(request['ttl'])}"
    )


def _event(decision: Decided) -> str:
    return "" if decision.event is None else f" (audit event {decision.event})"


def decisions_text(words: Sequence[Mapping[str, Any]]) -> str:
    """Return the decision of each group in words."""
    return "; ".join([f"{quote(word['group'])} {_decision_text(word)}" for word in words])


def _decision_text(word: Mapping[str, Any]) -> str:
    if word["said"] is None:
        return "has said nothing"
    until = "" if word["expires_at"] is None else f" until {word['expires_at']}"
    counts = "" if word["counts"] or not until else ", which counts no longer: they were disabled, or left it"
    return f"{word['said']}{until}, by {word['approver']} ({word['proof']}) at {word['decided_at']}{counts}"


def _decision(word: Word) -> dict[str, Any]:
    return {
        "said": None if word.granted is None else "granted" if word.granted else "denied",
        "counts": bool(word.granted and word.stands),
    }
