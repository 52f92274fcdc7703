"""What the verbs that issue do where an approval is lacking: they say how to get it, or wait for it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jitid.authority.open import open_for_issue, watch
from jitid.capabilities.issue.approval_operations import FindApprovals, ShowApproval
from jitid.capabilities.issue.approval_request import a_member
from jitid.errors import ApprovalNeededError, BusyError, PolicyDeniedError
from jitid.model.approval import Approval, ApprovalState
from jitid.system import time_limit as bounds
from jitid.values.text import label, quote, safe
from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.issuance import Issued
    from jitid.capabilities.issue.operations import Issue
    from jitid.cli.invocation import Globals
    from jitid.operation.authority import Authority

_FIRST, _LONGEST, _SLOWER = 0.2, 2.0, 1.5
"""Seconds from one look at the ledger to the next, at first and at most, and how they grow."""


def approved(
    given: Globals,
    authority: Authority,
    denial: ApprovalNeededError,
    operation: Issue,
    patience: int | None,
) -> tuple[Authority, list[Issued]]:
    """Wait for the approvals that `operation` lacks, for `patience` seconds, and perform it with them.

    Returns the authority that has performed it, which is opened anew: the policy counts as it is by then. Without
    patience the denial says what to do.

    Raises:
        ApprovalNeededError: nobody has granted it in time, or somebody else has used the grant.
        PolicyDeniedError: it was denied, or has expired.
        StorageError: the ledger is no longer there.

    """
    if not denial.requests:
        # A dry run has asked nobody.
        raise denial
    ask = _how_to_ask(given, denial)
    if patience is None:
        raise denial
    given.note(f"{denial.message.removeprefix('denied: ')}; waiting for {format_duration(patience)} at most")
    # Before the wait, which would be in vain.
    given.note(with_authority(given, ask))
    # People have the time that --wait gives them.
    bounds.lift()
    try:
        _wait(given, authority, denial, patience)
    finally:
        authority.close()
    given.bind_time()
    anew = open_for_issue(given.config(), operation, given.note)
    try:
        return anew, anew.perform(operation)
    except ApprovalNeededError as again:
        _how_to_ask(given, again)
        raise


def _how_to_ask(given: Globals, denial: ApprovalNeededError) -> str:
    """Return the words for it, with a command that acts on the ledger that this one acts on; the hint says more."""
    ask = _ask(given, denial)
    denial.hint = f"{ask}; then repeat the same command, or wait with --wait 10m"
    return ask


def with_authority(given: Globals, hint: str | None) -> str:
    """Return a hint that asks for another person's word, with what that person needs first, if anything."""
    from jitid.doctor import approvers

    more = (approvers.WHY, approvers.HOW) if approvers.are_missing(given.config()) else ()
    return "; ".join(filter(None, (hint, *more)))


def _ask(given: Globals, denial: ApprovalNeededError) -> str:
    grant = given.command(f"jitid approve grant {denial.requests[0]}", for_another=True)
    return f"ask {a_member(denial.missing)}: {grant}"


def _wait(given: Globals, authority: Authority, denial: ApprovalNeededError, patience: int) -> None:
    check = watch(given.config())
    end = time.monotonic() + patience
    pause = _FIRST
    shown = _Progress(given)
    try:
        while True:
            try:
                check()
                page = authority.perform(FindApprovals(ids=denial.requests))
            except BusyError:
                # Somebody has the ledger for himself for a while.
                pass
            else:
                states = [one.state_at(page.now) for one in page.approvals]
                _must_not_have_ended(authority, page.approvals, states)
                if ApprovalState.OPEN not in states:
                    return
                if states[0] is ApprovalState.OPEN:
                    denial.missing = page.approvals[0].missing_at(page.now)
            left = end - time.monotonic()
            if left <= 0:
                within, who = format_duration(patience), " and nobody of ".join(map(quote, denial.missing))
                denial.message += f"; within {within} nobody of {who} has granted it, and it stays open"
                denial.hint = f"{_ask(given, denial)}; then repeat the same command"
                raise denial
            shown.tell(left, denial.missing)
            time.sleep(min(pause, left))
            pause = min(pause * _SLOWER, _LONGEST)
    finally:
        shown.done()


def _must_not_have_ended(
    authority: Authority, approvals: Sequence[Approval], states: Sequence[ApprovalState]
) -> None:
    """Refuse to go on where somebody has said no, or nobody anything. Raises PolicyDeniedError."""
    for one, state in zip(approvals, states, strict=True):
        if state is ApprovalState.EXPIRED:
            raise PolicyDeniedError(
                f"denied: request {one.id} expired at {format_time(one.expires_at)}, and nobody had granted it",
                "the same command makes a new request",
            )
        if state is ApprovalState.WITHDRAWN:
            raise PolicyDeniedError(
                f"denied: request {one.id} was withdrawn: {label(one.delegator)} was disabled",
                "name another delegator",
            )
        if state is ApprovalState.DENIED:
            event = authority.perform(ShowApproval(id=one.id)).ended_event or {}
            why = f": {quote(event['reason'], 200)}" if event.get("reason") else ""
            who = f"{quote(str(event.get('approver')))} for {', '.join(map(quote, event.get('groups', ())))}"
            raise PolicyDeniedError(
                f"denied: request {one.id} was denied by {who}{why}", "the same command makes a new request"
            )


class _Progress:
    """Shows on standard error, if that is a terminal, how long something is still waited for."""

    def __init__(self, given: Globals) -> None:
        self._wanted = os.isatty(2) and not given.quiet
        self._shown = 0

    def tell(self, left: float, missing: Sequence[str]) -> None:
        """Say how many seconds are left, and which groups have not granted it yet."""
        if self._wanted:
            text = f"jitid: waiting for {safe(a_member(missing))}, {format_duration(max(int(left), 1))} left"
            # What stood there may have been longer.
            os.write(2, f"\r{text.ljust(self._shown)}".encode())
            self._shown = len(text)

    def done(self) -> None:
        """End the line."""
        if self._shown:
            os.write(2, b"\n")
