"""The next step of a verb that lacks an approval: report how to get it, or wait for it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jitid.authority.open import open_for_issue
from jitid.authority.open_local import watch
from jitid.capabilities.issue.approval_operations import FindApprovals, ShowApproval
from jitid.capabilities.issue.approval_request import a_member
from jitid.errors import ApprovalNeededError, BusyError, PolicyDeniedError
from jitid.model.approval import Approval, ApprovalState
from jitid.system import time_limit as bounds
from jitid.values.text import label, quote, safe
from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.capabilities.issue.operations import Issue
    from jitid.cli.invocation import Invocation
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
    from jitid.doctor import approvers

    setup_hints = (approvers.WHY, approvers.HOW) if approvers.are_missing(cli.config()) else ()
    return "; ".join(filter(None, (hint, *setup_hints)))


def _request_text(cli: Invocation, denial: ApprovalNeededError) -> str:
    grant = cli.command(f"jitid approve grant {denial.requests[0]}", for_another=True)
    return f"ask {a_member(denial.missing)}: {grant}"


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
                within, groups = format_duration(patience), " and nobody of ".join(map(quote, denial.missing))
                denial.message += f"; within {within} nobody of {groups} has granted it, and it stays open"
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
                f"denied: request {approval.id} expired at {format_time(approval.expires_at)}, and nobody had granted "
                "it",
                "the same command makes a new request",
            )
        if state is ApprovalState.WITHDRAWN:
            raise PolicyDeniedError(
                f"denied: request {approval.id} was withdrawn: {label(approval.delegator)} was disabled",
                "name another delegator",
            )
        if state is ApprovalState.DENIED:
            event = authority.perform(ShowApproval(id=approval.id)).ended_event or {}
            reason = f": {quote(event['reason'], 200)}" if event.get("reason") else ""
            approver = (
                f"{quote(str(event.get('approver')))} for {', '.join(map(quote, event.get('groups', ())))}"
            )
            raise PolicyDeniedError(
                f"denied: request {approval.id} was denied by {approver}{reason}",
                "the same command makes a new request",
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
