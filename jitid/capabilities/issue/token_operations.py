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
    """Issue by the proof that a token is (RFC 8693): to the acting party, for whom the token speaks for.

    A token of this ledger delegates, as a parent does; one of a configured issuer proves the delegator.
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
    """Tell what a token says, if it is valid now, whoever it is meant for (RFC 7662)."""

    roles = ("verifier", "responder", "auditor", "admin")
    effect = READS

    token: Secret


class RevokeToken(Operation["Ended | None"]):
    """End the identity of a token and all below it (RFC 7009).

    That is the right of the one who holds it or an identity above it, of the caller at whose request it was issued,
    of the delegator for whom it acts, and of responders. The answer to a token that is none of this ledger's is None.
    """

    # The operation checks the caller: holding a token that a caller presented gives no right to revoke it.
    roles = ("responder",)
    for_anybody = True

    token: Secret
    reason: str | None = value(REASON, default=None)
