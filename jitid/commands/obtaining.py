"""One credential for a program that asks for it: within a `run` from what the run holds, otherwise by the settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jitid.authority.operations import AbandonRenewal, Issue, Revoke
from jitid.authority.target_operations import Attach
from jitid.commands.requesting import hand_out, stated_request
from jitid.environment import open_authority, open_for_issue
from jitid.errors import NotFoundError
from jitid.request import AttachRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jitid.authority.operations import Operation
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

    Within `jitid run`, unless a task or somebody who delegates is named, it is a further credential of the identity
    that the run has; for an audience of its own it is one of an identity below that. Otherwise it is what `jitid issue`
    with the same words would make. `public_key` is the text of a key, not a file.

    Raises:
        UsageError: nobody is named who delegates, or no task; or a value cannot be meant.
        PolicyDeniedError: the policy or the parent's grant refuses it, or an approval is needed.

    """
    if "parent_file" in given.from_environment:
        parent_file = None
    within = False
    if parent_file is None and not _stated(given, task=task, delegator=delegator):
        parent_file = os.environ.get(RUN_TOKEN) or None
        if parent_file is not None:
            within = True
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
    if within and not request.audiences:
        assert request.parent is not None
        return _told(
            given,
            open_authority(given.config()).perform(
                Attach(
                    request=AttachRequest(
                        request.parent,
                        request.kind,
                        request.template,
                        request.public_key,
                        request.scopes,
                        ttl=request.ttl,
                    ),
                    accept_clock=given.accept_clock,
                )
            ),
        )
    operation = Issue(requests=(request,), delegator_token=proof, accept_clock=given.accept_clock)
    authority = open_for_issue(given.config(), operation, given.note)
    (issued,) = authority.perform(operation)
    return _told(given, issued)


def hand_over(given: Globals, issued: Issued, show: Callable[[], None]) -> None:
    """Show what was obtained; if that fails, it is ended. Raises as `requesting.hand_out` does."""
    hand_out(given, _Ending(given), [issued], show)


def abandon(given: Globals, jti: str) -> bool:
    """End a credential that was attached to an identity, and nothing else of that; tell whether it was one."""
    try:
        open_authority(given.config()).perform(AbandonRenewal(jti=jti))
    except NotFoundError:
        return False
    return True


class _Ending:
    """What ends a credential that could not be shown: alone where its identity has others, otherwise by its identity.

    The authority is opened only then.
    """

    def __init__(self, given: Globals) -> None:
        self._given = given

    def perform(self, operation: Operation[Any]) -> Any:  # noqa: ANN401 - as the operation has it
        assert isinstance(operation, Revoke)
        (jti,) = operation.selection.ids
        if not abandon(self._given, jti):
            return open_authority(self._given.config()).perform(operation)
        return None

    def close(self) -> None:
        pass


def _told(given: Globals, issued: Issued) -> Issued:
    for note in issued.notes:
        given.note(note)
    return issued


def _stated(given: Globals, **values: str | None) -> bool:
    """Tell whether one of the options stands on the line: what a variable says may be the run's own."""
    return any(value is not None and name not in given.from_environment for name, value in values.items())
