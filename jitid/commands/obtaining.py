"""One credential for a program that asks for it: within a `run` from what the run holds, otherwise by the settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jitid.authority.operations import Issue
from jitid.commands.requesting import hand_out, stated_request
from jitid.environment import open_authority, open_for_issue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jitid.authority.operations import Operation, Result
    from jitid.commands.globals import Globals
    from jitid.issuance import Issued

RUN_TOKEN = "JITID_TOKEN_FILE"  # noqa: S105 - a variable, which names a file
"""The variable by which a command within `run` finds its token."""


def obtain(
    given: Globals,
    kind: str,
    *,
    audience: Sequence[str] = (),
    scope: Sequence[str] = (),
    ttl: str | None = None,
    public_key: str | None = None,
    task: str | None = None,
    delegator: str | None = None,
    agent: str | None = None,
    parent_file: str | None = None,
) -> Issued:
    """Issue one credential of a kind, written as KIND[:TEMPLATE], and return it; its secret is not shown yet.

    Within `jitid run`, unless a task or somebody who delegates is named, it descends from what the run holds. Otherwise
    it is what `jitid issue` with the same words would make. `public_key` is the text of a key, not a file.

    Raises:
        UsageError: nobody is named who delegates, or no task; or a value cannot be meant.
        PolicyDeniedError: the policy or the parent's grant refuses it, or an approval is needed.

    """
    if "parent_file" in given.from_environment:
        parent_file = None
    if parent_file is None and not _stated(given, task=task, delegator=delegator):
        parent_file = os.environ.get(RUN_TOKEN) or None
        if parent_file is not None:
            # The task is the parent's, and so is whoever delegates.
            task = delegator = None
    stated: dict[str, Any] = {
        "task": task,
        "delegator": delegator,
        "delegator_token_file": None if parent_file else os.environ.get("JITID_DELEGATOR_TOKEN_FILE"),
        "agent": agent,
        "kind": kind,
        "scope": list(scope),
        "audience": list(audience),
        "ttl": ttl,
        "purpose": None,
        "sensitivity": None,
        "deadline": None,
        "parent_file": parent_file,
        "detail": None,
        "allow_narrower": False,
    }
    request, proof = stated_request(given, stated)
    request = request._replace(public_key=public_key)
    operation = Issue(requests=(request,), delegator_token=proof, accept_clock=given.accept_clock)
    authority = open_for_issue(given.config(), operation, given.note)
    (issued,) = authority.perform(operation)
    for note in issued.notes:
        given.note(note)
    return issued


def hand_over(given: Globals, issued: Issued, show: Callable[[], None]) -> None:
    """Show what was obtained; if that fails, it is ended. Raises as `requesting.hand_out` does."""
    hand_out(given, _Later(given), [issued], show)


class _Later:
    """The authority, opened when something is asked of it."""

    def __init__(self, given: Globals) -> None:
        self._given = given

    def perform(self, operation: Operation[Result]) -> Result:
        return open_authority(self._given.config()).perform(operation)

    def close(self) -> None:
        pass


def _stated(given: Globals, **values: str | None) -> bool:
    """Tell whether one of the options stands on the line: what a variable says may be the run's own."""
    return any(value is not None and name not in given.from_environment for name, value in values.items())
