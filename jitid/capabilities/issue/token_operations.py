"""Operations of the standard protocols on tokens: their parameters and the types of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.issue.operations import LIST_LIVE, is_whole
from jitid.operation.base import KEYED, READS, Operation
from jitid.values.declaration import value
from jitid.values.field_types import REASON
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.model.access import TokenType
    from jitid.model.credential import Credential
    from jitid.model.ledger_rows import Ancestor
    from jitid.model.request import IssueRequest
    from jitid.values.secret import Secret


class Exchange(Operation["Issued"]):
    """Exchange a token for a credential of the actor (RFC 8693).

    A token of this ledger is the parent of the credential; a token of a configured issuer proves its delegator.
    """

    # The subject token names the delegator; without an actor token the caller is the actor.
    roles = ("issuer",)
    for_anybody = True
    effect = KEYED

    request: IssueRequest
    """The request, without a delegator. Its agent acts, unless there is an `actor`."""
    subject: Secret
    subject_sort: TokenType = "jwt"
    actor: Secret | None = None
    """A credential of the agent that acts, or a token of a configured issuer that names it."""
    actor_sort: TokenType = "jwt"
    assertion: bool = False
    """Whether the subject's token is an ID-JAG: the assertion of an identity provider for the caller."""

    def fits(self, answer: Issued) -> bool:
        """Return whether there is one whole credential."""
        return len(answer.credentials) == 1 and is_whole(answer)

    def aftermath(self) -> str | None:
        """Return the command that lists live credentials."""
        return LIST_LIVE


class Introspected(Record):
    """A credential that is valid now, with the identities above it, the nearest first."""

    credential: Credential
    lineage: list[Ancestor]
    issuer: str
    trust_domain: str


class Introspect(Operation["Introspected"]):
    """Return the claims of a valid token, for any audience (RFC 7662)."""

    roles = ("verifier", "responder", "auditor", "admin")
    effect = READS

    token: Secret


class RevokeToken(Operation["Ended | None"]):
    """Revoke the identity of a token and its descendants (RFC 7009).

    Permitted for the holder of the token or of an identity above it. Also permitted for the caller that requested the
    issue, the delegator, and responders. A token that this ledger did not issue is answered with None.
    """

    # The operation checks the caller: holding a token that a caller presented gives no right to revoke it.
    roles = ("responder",)
    for_anybody = True

    token: Secret
    reason: str | None = value(REASON, default=None)
