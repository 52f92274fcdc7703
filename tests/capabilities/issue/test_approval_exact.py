"""Exact approvals: an approval covers each field of a request, and no field can differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.issue import approval_request, plan
from jitid.errors import ApprovalNeededError
from jitid.model.approval import ApprovalState
from jitid.model.process import Process
from jitid.model.request import IssueRequest, MayAct, ProvedActor
from jitid.model.target import StatedTarget
from jitid.model.task import Task
from jitid.operation.reach import Reach
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import NO_DIRECTORY_FACTS, PolicyRequest
from tests.builders import DAY, NOW, request
from tests.capabilities.issue.office import ISSUER, Office

POLICY = """
@id("all") permit (principal, action, resource);
@id("kinds") permit (principal, action == Action::"issue", resource) when { context.kind like "*" };
@id("pay-needs-security") @approval("security")
forbid (principal, action == Action::"grant", resource) when { context.scope like "pay:*" };
@id("hosts") @approval("security")
forbid (principal, action == Action::"issue", resource) when { context.kind == "ssh-cert" };
"""
PROCESS = Process("host", "boot", 1, 2, 3, kept=False)

BASE: dict[str, Any] = {"agent": "payer", "scopes": ["pay:out"]}
"""A request that needs an approval."""

CHANGED: dict[str, dict[str, Any]] = {
    "task": {"task": "T2"},
    "delegator": {"delegator": "user:dave"},
    "agent": {"agent": "coder"},
    "kind": {"kind": "opaque"},
    "scopes": {"scopes": ["pay:out", "pay:in"]},
    "audiences": {"audiences": ("urn:other",)},
    "ttl": {"ttl": 60},
    "purpose": {"purpose": "another"},
    "sensitivity": {"sensitivity": "low"},
    "deadline": {"deadline": NOW + DAY},
    "deadline_after": {"deadline_after": 2 * DAY},
    "details": {"details": [{"type": "payment"}]},
    "proved_delegator": {"delegator": None, "proved_delegator": "user:alice"},
    "proved_subject": {"delegator": None, "proved_delegator": "user:zoe", "proved_subject": f"{ISSUER} zoe"},
    "allow_narrower": {"allow_narrower": True},
    "copies": {"copies": 2},
    "process": {"process": PROCESS},
    "template": {"kind": "ssh-cert", "template": "root", "scopes": []},
    "public_key": {"public_key": "ssh-ed25519 AAAA"},
    "may_audience": {"may_audience": ("urn:other",)},
    "may_kind": {"may_kind": ("jwt", "opaque", "x509-svid")},
    "identity": {"audiences": ("urn:other",), "identity": True},
    "may_act": {"audiences": ("urn:other",), "may_act": (MayAct("system:gateway"),)},
}
"""Changes that change the digest, by the field of `IssueRequest`. `parent` and the actor have separate tests."""

PLAIN: dict[str, dict[str, Any]] = {
    "template": {"kind": "ssh-cert", "template": "deploy", "scopes": []},
    "identity": {"audiences": ("urn:other",)},
    "may_act": {"audiences": ("urn:other",)},
    "proved_subject": {**CHANGED["proved_subject"], "proved_subject": f"{ISSUER} other"},
}
"""The base of the comparison for a field, if it is not the plain request."""

TARGETS = [
    StatedTarget(
        "hosts",
        {"kind": "ssh-cert", "template": {name: {"principals": [name]} for name in ("deploy", "root")}},
        "/etc/jitid",
        "there",
    )
]

FREE: Mapping[str, str] = {
    "above": "it only refuses, where the identity of a process above was revoked",
    "exchanged": "only with a parent, of which this side says it",
    "agent_suggested": "it only forbids the name of a registered agent, and is checked when the approval is used",
    "proved_login": "it names the login that proves the delegator, and is checked when the approval is used",
    "proved_at": "it says whether a proof is too old to count, and gives nothing",
}
"""Fields of `IssueRequest` that an approval does not cover, each with the reason."""

FREE_OF_POLICY: Mapping[str, str] = {
    "now": "an approval has a lifetime of its own, and the policy is asked again when it is used",
    "standing": "the directory is asked again when it is used",
    "zone": "a setting of the ledger's own configuration",
    "action": "of a use of a credential, not of an issue",
    "used": "of a use of a credential, not of an issue",
}
"""Fields of `PolicyRequest` that an approval does not cover, each with the reason."""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Return a ledger under a policy that requires approvals, with templates that a request can name."""
    with Office(tmp_path / "ledger", policy=POLICY, targets=TARGETS) as office:
        yield office


def _exact(office: Office, **fields: Any) -> bytes:
    """Return the exact request that needs approval."""
    with office.ledger.read() as snapshot, pytest.raises(ApprovalNeededError) as caught:
        plan.plan(snapshot, office.ledger.names, request(**{**BASE, **fields}), office.terms)
    return caught.value.exact


@pytest.mark.parametrize("field", CHANGED)
def test_each_field_of_a_request_is_a_part_of_what_is_approved(field: str, office: Office) -> None:
    fields = CHANGED[field]
    plain = PLAIN.get(field, {})
    assert _exact(office, **plain) != _exact(office, **fields)
    assert _exact(office, **fields) == _exact(office, **fields)


@pytest.mark.parametrize("field", CHANGED)
def test_an_approval_is_used_for_no_request_that_differs_in_a_field(field: str, office: Office) -> None:
    """This matters most for another template of the same kind: it may be the superuser's."""
    changed = {**BASE, **CHANGED[field]}
    granted = office.ask(**{**BASE, **PLAIN.get(field, {})})
    office.grant(granted)
    assert office.ask(**changed) != granted
    assert office.state(granted) == ApprovalState.GRANTED
    assert [event["op"] for event in office.events() if event["op"] == "issue"] == []
    office.check()


def test_whose_child_it_is_is_a_part_of_what_is_approved(office: Office) -> None:
    office.terms = office.terms._replace(
        policy=Policy([("p.cedar", POLICY.replace('context.scope like "pay:*"', "context.depth > 0"))])
    )
    office.reopen()
    first, second = (office.issue(agent="lead", scopes=["pay:*"]) for _ in range(2))
    assert _exact(office, parent=first.token) != _exact(office, parent=second.token)


def test_who_acts_is_a_part_of_what_is_approved(office: Office) -> None:
    """A separate token proves the actor: an identity, or a person that another issuer proves."""
    first, second = (office.issue(agent="payer", task=f"A{number}") for number in range(2))
    asked: list[dict[str, Any]] = [
        {},
        {"proved_credential": first.jti},
        {"proved_credential": second.jti},
        *({"proved_actor": ProvedActor(f"user:{one}", f"{ISSUER} {one}", None)} for one in ("bob", "zoe")),
    ]
    assert len({_exact(office, **one) for one in asked}) == len(asked)


def test_no_field_of_a_request_is_forgotten() -> None:
    """A new field must either change the approved request, or be listed here with a reason."""
    own = {"parent", "proved_credential", "proved_actor"}
    assert CHANGED.keys() | FREE.keys() | own == set(IssueRequest._fields)
    assert not CHANGED.keys() & FREE.keys()


def test_no_field_of_what_the_policy_is_asked_is_forgotten() -> None:
    asked = PolicyRequest(
        "payer",
        "user:alice",
        "asserted",
        "T1",
        "user:alice",
        None,
        "moderate",
        "jwt",
        0,
        ("pay:out",),
        ("urn:a",),
        900,
        NOW,
    )
    task = Task(0, "T1", None, "moderate", NOW + DAY, NOW, None)
    changed: dict[str, Any] = {
        "agent": "coder",
        "delegator": "user:bob",
        "delegator_proof": "oidc",
        "task": "T2",
        "task_owner": "user:carol",
        "purpose": "another",
        "sensitivity": "high",
        "kind": "opaque",
        "depth": 1,
        "scopes": ("pay:in",),
        "audiences": ("urn:b",),
        "lifetime": 60,
        "template": "ssh/root",
        "may_kind": (("ssh-cert", "ssh/root"),),
    }
    assert changed.keys() | FREE_OF_POLICY.keys() == set(PolicyRequest._fields)

    def exact(one: PolicyRequest, task: Task = task) -> bytes:
        return approval_request.exact(one, request(**BASE), task, None, (), Reach(one.audiences))

    digests = {exact(asked._replace(**{name: value})) for name, value in changed.items()}
    assert len({exact(asked), *digests}) == len(changed) + 1
    assert exact(asked._replace(standing=NO_DIRECTORY_FACTS._replace(groups=("a",)))) == exact(asked)
    high = asked._replace(sensitivity="high")
    assert exact(high) != exact(high, task._replace(sensitivity="high"))
