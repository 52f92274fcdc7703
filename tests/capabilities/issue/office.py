"""A ledger under a policy that requires approvals, with approvers that ID tokens prove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.issue.approval_operations import (
    Decided,
    DenyApproval,
    FindApprovals,
    GrantApproval,
    ListApprovals,
)
from jitid.errors import ApprovalNeededError, PolicyDeniedError
from jitid.model.access import OidcIssuer
from jitid.model.approval import Approval, ApprovalFilter, ApprovalState
from jitid.values.secret import Secret
from tests.builders import NOW, World
from tests.crypto import signed

ISSUER = "https://id.example"
POLICY = """
@id("all") permit (principal, action, resource);
@id("pay-needs-security") @approval("security")
forbid (principal, action == Action::"grant", resource) when { context.scope like "pay:*" };
@id("prod-needs-finance") @approval("finance")
forbid (principal, action == Action::"grant", resource) when { context.scope like "prod:*" };
"""
PAY: dict[str, Any] = {"agent": "payer", "scopes": ["pay:out"]}
"""A request that `security` must approve."""
BOTH: dict[str, Any] = {"agent": "payer", "scopes": ["pay:out", "prod:db"]}


class Office(World):
    """A ledger where alice requests, and bob and carol approve. The processes run under the login `tester`."""

    def __init__(self, path: Path, *, policy: str = POLICY, **terms: Any) -> None:
        keys = path.parent / "jwks.json"
        keys.write_text(json.dumps({"keys": [signed.jwk(signed.ED25519, kid="k1")]}))
        issuer = OidcIssuer(ISSUER, str(keys), "jitid")
        super().__init__(path, policy=[("p.cedar", policy)], oidc=[issuer], **terms)
        # A delegator with known subjects is proved only by an ID token with one of them.
        subjects = [f"{ISSUER} {subject}" for subject in ("alice", "al", "alice-1")]
        self.know("user:alice", groups=("security",), aliases=("user:al", *subjects))
        self.know("user:bob", groups=("security",))
        self.know("user:carol", groups=("finance", "security"))
        self.know("user:dave", groups=("finance",))

    def ask(self, **fields: Any) -> str:
        """Check that a request needs an approval; return the id of the recorded request."""
        with pytest.raises(ApprovalNeededError) as caught:
            self.issue(**fields)
        first = caught.value.requests[0]
        assert first in caught.value.message
        assert first in str(caught.value.hint)
        return first

    def grant(self, id_: str, who: str = "bob", **more: Any) -> Decided:
        """Grant a request; an ID token proves the approver."""
        return self.authority.perform(GrantApproval(id=id_, approver_token=self.token(who), **more))

    def token(self, who: str) -> Secret:
        """Return an ID token for a user, issued now."""
        return id_token(who, iat=self.clock.now)

    def deny(self, id_: str, who: str = "bob", **more: Any) -> Decided:
        """Deny a request; an ID token proves the approver."""
        return self.authority.perform(DenyApproval(id=id_, approver_token=self.token(who), **more))

    def refused(self, id_: str, who: str | None, **more: Any) -> tuple[str, ...]:
        """Check that a user may not grant a request: the attempt is audited and changes nothing. Return the rules."""
        before = self.found(id_)
        token = None if who is None else id_token(who)
        with pytest.raises(PolicyDeniedError):
            self.authority.perform(GrantApproval(id=id_, approver_token=token, **more))
        event = self.events()[-1]
        assert (event["op"], event["approval"]) == ("denial", id_)
        assert self.found(id_) == before
        return tuple(event["rules"])

    def found(self, id_: str) -> Approval:
        """Return the current record of a request."""
        return self.authority.perform(FindApprovals(ids=(id_,))).approvals[0]

    def state(self, id_: str) -> ApprovalState:
        """Return the current state of a request."""
        page = self.authority.perform(FindApprovals(ids=(id_,)))
        return page.approvals[0].state_at(page.now)

    def listed(self, **chosen: Any) -> list[str]:
        """Return the ids of the listed requests."""
        page = self.authority.perform(
            ListApprovals(chosen=ApprovalFilter(**{"live": True, **chosen}), limit=100)
        )
        return [one.id for one in page.approvals]


def id_token(subject: str, **changes: Any) -> Secret:
    """Return an ID token that is valid for a long time."""
    claims = {"iss": ISSUER, "aud": "jitid", "sub": subject, "iat": 0, "exp": NOW + 10**9, **changes}
    return Secret.single(signed.token({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}, claims, signed.ED25519))
