"""Operations that issue, renew and attach credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.model.credential import PARTS, SHOWN
from jitid.operation.base import KEYED, Operation
from jitid.values.declaration import records, value
from jitid.values.field_types import ID, TIME

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.model.access import TokenType
    from jitid.model.request import AttachRequest, IssueRequest, RenewRequest
    from jitid.values.secret import Secret


LIST_LIVE = "jitid list --live"


def is_whole(issued: Issued) -> bool:
    """Return whether credentials have all parts of their kind. The client may have the key, so it may be missing."""
    needed = {"token"} if issued.kind in SHOWN else {*PARTS.get(issued.kind, ())} - {"key"}
    return all(needed <= {*credential.secret.names} for credential in issued.credentials)


class Issue(Operation["list[Issued]"]):
    """Issue credentials for all requests; if one is refused, for none."""

    # Planning allows another delegator only with the role issuer. The token of a parent or a predecessor is the right
    # to delegate or renew.
    roles = ("issuer",)
    for_anybody = True
    effect = KEYED
    # An authority without it bars no process.
    dispensable = (("requests", "above"),)

    requests: tuple[IssueRequest, ...] = records(least=1)
    delegator_token: Secret | None = None
    """A token of a configured issuer that proves the delegator."""
    delegator_token_sort: TokenType = "id_token"  # noqa: S105 - the type of a token, not a secret
    """An ID token (OpenID Connect Core, section 2), an access token (RFC 9068), or a `jwt`: either of them."""
    dry_run: bool = False
    as_of: int | None = value(TIME, default=None)
    """With a dry run: the time, since the epoch, for which the policy decides; None for now."""
    accept_clock: bool = False

    def facts_if_denied(self) -> dict[str, object]:
        """Return the first task and agent."""
        if not self.requests:
            return super().facts_if_denied()
        return {"task": self.requests[0].task, "agent": self.requests[0].agent}

    def fits(self, answer: list[Issued]) -> bool:
        """Return whether each request has its credentials, whole and of its kind."""
        return len(answer) == len(self.requests) and all(
            len(issued.credentials) == (0 if self.dry_run else request.copies)
            and issued.kind == request.kind
            and is_whole(issued)
            for request, issued in zip(self.requests, answer, strict=True)
        )

    def aftermath(self) -> str | None:
        """Return the command that lists live credentials, of the task if it is only one."""
        if self.dry_run:
            return None
        tasks = {request.task for request in self.requests}
        task = next(iter(tasks)) if len(tasks) == 1 else None
        return LIST_LIVE + ("" if task is None else f" --task {task}")


class Renew(Operation["Issued"]):
    """Issue a successor of a credential, for the same identity."""

    roles = ("issuer",)
    for_anybody = True
    effect = KEYED

    request: RenewRequest
    accept_clock: bool = False

    def facts_if_denied(self) -> dict[str, object]:
        """Return that it is a renewal."""
        return {"renewal": True}

    def fits(self, answer: Issued) -> bool:
        """Return whether there is one whole credential."""
        return len(answer.credentials) == 1 and is_whole(answer)

    def aftermath(self) -> str | None:
        """Return the command that lists live credentials."""
        return LIST_LIVE


class AbandonRenewal(Operation["None"]):
    """Revoke a successor that could not be delivered; its predecessor works as before."""

    for_anybody = True

    token: Secret
    """The successor's own token: only its maker has it. The token of its predecessor may have been stolen."""


class AbandonAttachment(Operation["None"]):
    """Revoke an attached credential that could not be delivered; its identity keeps all others."""

    for_own = True

    jti: str = value(ID)


class Attach(Operation["Issued"]):
    """Issue a further credential for the identity of a presented token."""

    # The token in the request is the authorization.
    roles = ("issuer",)
    for_anybody = True
    slow = True

    request: AttachRequest
    accept_clock: bool = False

    def fits(self, answer: Issued) -> bool:
        """Return whether there is one whole credential."""
        return len(answer.credentials) == 1 and is_whole(answer)

    def aftermath(self) -> str | None:
        """Return the command that lists live credentials."""
        return LIST_LIVE
