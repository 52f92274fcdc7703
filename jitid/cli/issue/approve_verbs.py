"""`jitid approve`: list, show, grant and deny requests for approval.

A verb that lacks an approval reports how to get it, or waits for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority, open_for_issue
from jitid.authority.open_local import watch
from jitid.capabilities.directory.roster.spreadsheet import joined
from jitid.capabilities.issue import approval_request
from jitid.capabilities.issue.approval_operations import (
    DenyApproval,
    FindApprovals,
    GrantApproval,
    ListApprovals,
    ShowApproval,
)
from jitid.capabilities.issue.approval_request import a_member
from jitid.cli.invocation import Invocation
from jitid.errors import (
    ApprovalNeededError,
    BusyError,
    JitidError,
    OutputError,
    PolicyDeniedError,
    UsageError,
)
from jitid.formats.columns import Columns
from jitid.model.approval import Approval, ApprovalFilter, ApprovalState, Word
from jitid.system import output
from jitid.system import time_limit as bounds
from jitid.system.read_input import token
from jitid.values.text import label, quote, safe
from jitid.values.times import brief_duration, format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.approval_operations import ApprovalDetails, Decided
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.capabilities.issue.operations import Issue
    from jitid.operation.base import Authority


_FIRST, _LONGEST, _SLOWER = 0.2, 2.0, 1.5
"""Seconds between two checks of the ledger, at first and at most, and the factor of their growth."""


def approved(
    cli: Invocation,
    authority: Authority,
    denial: ApprovalNeededError,
    operation: Issue,
    patience: int | None,
) -> tuple[Authority, list[Issued]]:
    """Wait `patience` seconds for the approvals that `operation` lacks, and perform it with them.

    Returns the authority that performed it. It is opened again after the wait, so that the current policy decides.
    Without `patience`, raise the denial with a hint.

    Raises:
        ApprovalNeededError: no approver granted it in time, or another command has used the grant.
        PolicyDeniedError: the request was denied or withdrawn, or has expired.
        StorageError: the ledger is no longer there.

    """
    if not denial.requests:
        # A dry run creates no request.
        raise denial
    request_text = _extend_hint(cli, denial)
    if patience is None:
        raise denial
    cli.note(f"{denial.message.removeprefix('denied: ')}; waiting for {format_duration(patience)} at most")
    # This note comes before the wait, which is useless if no other person can approve.
    cli.note(with_authority(cli, request_text))
    # --wait limits this time, not --timeout.
    bounds.lift()
    try:
        _wait(cli, authority, denial, patience)
    finally:
        authority.close()
    cli.bind_time()
    reopened = open_for_issue(cli.config(), operation, cli.note)
    try:
        return reopened, reopened.perform(operation)
    except ApprovalNeededError as again:
        _extend_hint(cli, again)
        raise


def _extend_hint(cli: Invocation, denial: ApprovalNeededError) -> str:
    """Return the request for an approval, with a command for the same ledger. Extend the hint of the denial."""
    request_text = _request_text(cli, denial)
    denial.hint = f"{request_text}; then repeat the same command, or wait with --wait 10m"
    return request_text


def with_authority(cli: Invocation, hint: str | None) -> str:
    """Return a hint to get another person's approval, with the setup which that person needs first, if any."""
    from jitid.doctor import installation_check

    setup_hints = (
        (installation_check.NO_APPROVER, installation_check.SERVE_APPROVERS)
        if installation_check.approvers_are_missing(cli.config())
        else ()
    )
    return "; ".join(filter(None, (hint, *setup_hints)))


def _request_text(cli: Invocation, denial: ApprovalNeededError) -> str:
    grant = cli.command(f"jitid approve grant {denial.requests[0]}", for_another=True)
    return f"required from {a_member(denial.missing)}: {grant}"


def _wait(cli: Invocation, authority: Authority, denial: ApprovalNeededError, patience: int) -> None:
    check = watch(cli.config())
    deadline = time.monotonic() + patience
    pause = _FIRST
    progress = _Progress(cli)
    try:
        while True:
            try:
                check()
                page = authority.perform(FindApprovals(ids=denial.requests))
            except BusyError:
                # Another process holds the ledger for a while.
                pass
            else:
                states = [approval.state_at(page.now) for approval in page.approvals]
                _must_not_have_ended(authority, page.approvals, states)
                if ApprovalState.OPEN not in states:
                    return
                if states[0] is ApprovalState.OPEN:
                    denial.missing = page.approvals[0].missing_at(page.now)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                within, groups = format_duration(patience), " or ".join(map(quote, denial.missing))
                denial.message += f"; not granted by {groups} within {within}; the request stays open"
                denial.hint = f"{_request_text(cli, denial)}; then repeat the same command"
                raise denial
            progress.show(remaining, denial.missing)
            time.sleep(min(pause, remaining))
            pause = min(pause * _SLOWER, _LONGEST)
    finally:
        progress.done()


def _must_not_have_ended(
    authority: Authority, approvals: Sequence[Approval], states: Sequence[ApprovalState]
) -> None:
    """Raise PolicyDeniedError if a request has expired, or was withdrawn or denied."""
    for approval, state in zip(approvals, states, strict=True):
        if state is ApprovalState.EXPIRED:
            raise PolicyDeniedError(
                f"denied: request {approval.id} expired at {format_time(approval.expires_at)} without an approval",
                "for a new request, repeat the same command",
            )
        if state is ApprovalState.WITHDRAWN:
            raise PolicyDeniedError(
                f"denied: request {approval.id} was withdrawn: {label(approval.delegator)} was disabled",
                "use another delegator",
            )
        if state is ApprovalState.DENIED:
            event = authority.perform(ShowApproval(id=approval.id)).ended_event or {}
            reason = f": {quote(event['reason'], 200)}" if event.get("reason") else ""
            approver = (
                f"{quote(str(event.get('approver')))} for {', '.join(map(quote, event.get('groups', ())))}"
            )
            raise PolicyDeniedError(
                f"denied: request {approval.id} was denied by {approver}{reason}",
                "for a new request, repeat the same command",
            )


class _Progress:
    """Display of the remaining time on standard error, if that is a terminal."""

    def __init__(self, cli: Invocation) -> None:
        self._enabled = os.isatty(2) and not cli.quiet
        self._shown = 0

    def show(self, remaining: float, missing: Sequence[str]) -> None:
        """Show the remaining seconds, and the groups that have not granted it yet."""
        if self._enabled:
            text = f"jitid: waiting for {safe(a_member(missing))}, {format_duration(max(int(remaining), 1))} left"
            # The padding covers the earlier text, which may be longer.
            os.write(2, f"\r{text.ljust(self._shown)}".encode())
            self._shown = len(text)

    def done(self) -> None:
        """End the line."""
        if self._shown:
            os.write(2, b"\n")


_PAGE = 1_000
_MOST_SCOPES = 10
"""Maximum number of scopes in a sentence."""
_UNSTATED: Mapping[str, Any] = {
    **dict.fromkeys(("purpose", "parent", "public_key", "process", "task_sensitivity", "acting")),
    "scopes": [],
    "details": [],
}
"""The values of a request that does not state them."""
_WORD = Columns("", " ".join(("group", "said", "approver", "proof", "decided_at", "expires_at", "counts")))


def list_(cli: Invocation, operation: ListApprovals) -> None:
    """Perform `jitid approve list`."""
    if operation.open_ and operation.all_:
        raise UsageError(
            "--open and --all exclude each other", "omit both to list the requests that can still be used"
        )
    chosen = ApprovalFilter(waiting=operation.open_, live=not operation.all_, group=operation.group)
    authority = open_authority(cli.config())
    count = 0

    def counted() -> Iterator[tuple[Approval, int]]:
        nonlocal count
        for row in _pages(authority, operation.replace(chosen=chosen)):
            count += 1
            yield row

    view = operation.with_ended if operation.all_ else operation.view
    cli.show_records(view, counted(), lambda row: _facts(cli, *row))
    cli.note_more(count, operation.limit)


def show(cli: Invocation, operation: ShowApproval) -> None:
    """Perform `jitid approve show`."""
    details = open_authority(cli.config()).perform(operation)
    if not cli.by_eye():
        cli.show_records(operation.view, [details], lambda details: _details(cli, details))
        return
    # The approver reads this before granting: decisions in words, and the rules below the table.
    row = operation.view.row(details, _details(cli, details))
    rules = row.pop("rules")
    row["words"] = _decisions_text(row["words"])
    cli.show_row(operation.view, row, empty=(None, "", []))
    for rule in rules:
        output.write(_rule(rule))


def _rule(rule: Mapping[str, str]) -> str:
    lines = [f"  {safe(line)}\n" for line in rule["text"].expandtabs(4).splitlines() if line.strip()]
    return f"\nrule {safe(rule['name'])} of {safe(rule['file'])}:\n{''.join(lines)}"


def grant(cli: Invocation, operation: GrantApproval) -> None:
    """Perform `jitid approve grant`."""
    _decide(cli, operation)


def deny(cli: Invocation, operation: DenyApproval) -> None:
    """Perform `jitid approve deny`."""
    _decide(cli, operation)


def _decide(cli: Invocation, operation: GrantApproval | DenyApproval) -> None:
    path = operation.delegator_token_file
    if path is not None:
        operation = operation.replace(approver_token=token(path, "the approver's ID token"))
    authority = open_authority(cli.config())
    try:
        decision = authority.perform(operation)
    except JitidError as error:
        error.hint = error.hint and cli.command(error.hint)
        if isinstance(error, PolicyDeniedError):
            # The message says whether another person could approve.
            error.hint = with_authority(cli, error.hint)
        raise
    try:
        cli.show_record(operation.view, decision, _sentence(decision) + "\n", _decided(cli, decision))
    except OutputError as error:
        command = cli.command(f"jitid approve show {operation.id}")
        error.add(f"the decision is recorded: {command}")
        raise


def _pages(authority: Authority, operation: ListApprovals) -> Iterator[tuple[Approval, int]]:
    """Yield the requests, newest first, each with the time of its state; read them page by page."""
    remaining, chosen = operation.limit, operation.chosen
    while remaining:
        size = min(_PAGE, remaining)
        page = authority.perform(operation.replace(chosen=chosen, limit=size))
        for approval in page.approvals:
            yield approval, page.now
        if len(page.approvals) < size:
            return
        remaining -= size
        chosen = chosen._replace(before=page.approvals[-1].key)


def _facts(cli: Invocation, approval: Approval, now: int) -> dict[str, Any]:
    """Return the computed values of a request."""
    request = approval_request.requested(approval)
    state = approval.state_at(now)
    usable_until = approval.usable_until_at(now)
    live = state in (ApprovalState.OPEN, ApprovalState.GRANTED)
    return {
        **_UNSTATED,
        **request,
        "approval": approval.id,
        "state": state,
        "delegator_proof": request["proof"],
        "ttl": format_duration(request["ttl"]),
        "groups": _cell(cli, approval.groups),
        "missing": _cell(cli, approval.missing_at(now) if live else ()),
        "usable_until": usable_until,
        "left": brief_duration((approval.expires_at if usable_until is None else usable_until) - now)
        if live
        else None,
    }


def _details(cli: Invocation, approval_details: ApprovalDetails) -> dict[str, Any]:
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
        **_facts(cli, approval, now),
        "delegator_state": "unverified"
        if delegator is None
        else "disabled"
        if delegator.disabled_at
        else "known",
        "task_state": "new" if approval_details.task is None else approval_details.task.state_at(now),
        "deadline": deadline,
        "allow_narrower": request.get("narrower"),
        "chain": [request["delegator"], *reversed(request.get("chain", [])), request["agent"]],
        "words": [_WORD.row(word, _decision(word)) for word in approval.words],
        "reason": approval_details.event.get("reason"),
        "rules": [{"name": name, "file": file, "text": text} for name, file, text in approval_details.rules],
        "policy": approval_details.event.get("policy"),
        "event": approval.event,
        "ended_reason": ended_event.get("reason") if state is ApprovalState.DENIED else None,
        "ended_event": approval.ended_event,
        "grant": cli.command(f"jitid approve grant {approval.id}") if state is ApprovalState.OPEN else None,
    }


def _decided(cli: Invocation, decision: Decided) -> dict[str, Any]:
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
    if not cli.field and cli.format_name() in ("json", "jsonl"):
        return list(groups)
    return joined(groups)


def _sentence(decision: Decided) -> str:
    """Return the result of an approver's decision in words."""
    approval = decision.approval
    description = _description(approval)
    if approval.state_at(decision.now) is ApprovalState.DENIED:
        already = "" if decision.event is not None else "already "
        return f"{already}denied: {description}{_event(decision)}"
    missing = approval.missing_at(decision.now)
    if missing:
        return (
            f"partly granted, still required from {approval_request.a_member(missing)}: "
            f"{description}{_event(decision)}"
        )
    usable_until = approval.usable_until_at(decision.now) or approval.expires_at
    usage = f"for one issue, until {format_time(usable_until)}"
    return f"{'granted' if decision.event is not None else 'already granted'}, {usage}: {description}{_event(decision)}"


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


def _decisions_text(words: Sequence[Mapping[str, Any]]) -> str:
    """Return the decision of each group in words."""
    return "; ".join([f"{quote(word['group'])} {_decision_text(word)}" for word in words])


def _decision_text(word: Mapping[str, Any]) -> str:
    if word["said"] is None:
        return "has not decided"
    until = "" if word["expires_at"] is None else f" until {word['expires_at']}"
    counts = (
        ""
        if word["counts"] or not until
        else " (no longer counted: the approver was disabled or left the group)"
    )
    return f"{word['said']}{until}, by {word['approver']} ({word['proof']}) at {word['decided_at']}{counts}"


def _decision(word: Word) -> dict[str, Any]:
    return {
        "said": None if word.granted is None else "granted" if word.granted else "denied",
        "counts": bool(word.granted and word.stands),
    }
