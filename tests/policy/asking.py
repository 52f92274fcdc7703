"""Requests and policies for the tests of the policy."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import NO_DIRECTORY_FACTS, DirectoryFacts, PolicyRequest

NOON = 1_795_521_600  # 2026-11-24T12:00:00Z, a Tuesday

DEFAULT = Policy(default_files())

KNOWN = DirectoryFacts(known=True)
"""A delegator that the directory has, and an ephemeral agent."""

PERMIT_ISSUE = '@id("issue") permit(principal, action == Action::"issue", resource);\n'
PERMIT_ALL = '@id("all") permit(principal, action, resource);\n'


def request(**fields: Any) -> PolicyRequest:
    """Return a request of a known delegator that the default policy permits, with the given fields."""
    plain = PolicyRequest(
        agent="planner",
        delegator="user:alice@example.com",
        delegator_proof="os-user",
        task="INC-4821",
        task_owner="user:alice@example.com",
        purpose="restore the index",
        sensitivity="moderate",
        kind="jwt",
        depth=0,
        scopes=(),
        audiences=("urn:jitid:test",),
        lifetime=900,
        now=NOON,
        standing=KNOWN,
    )
    return plain._replace(**fields)


def policy(*texts: str) -> Policy:
    """Return a policy of files `1.cedar`, `2.cedar` and so on."""
    return Policy([(f"{number}.cedar", text) for number, text in enumerate(texts, start=1)])


requests = st.builds(
    request,
    delegator=st.sampled_from(["user:alice", "system:ci", "agent:planner"]),
    delegator_proof=st.sampled_from(["asserted", "os-user", "credential", "oidc"]),
    purpose=st.sampled_from([None, "", " ", "restore the index"]),
    sensitivity=st.sampled_from(["low", "moderate", "high", "critical", "unheard-of"]),
    kind=st.sampled_from(["jwt", "opaque"]),
    task_owner=st.sampled_from(["user:alice", "system:ci"]),
    depth=st.integers(0, 8),
    scopes=st.lists(st.sampled_from(["repo:read", "repo:write", "repo:*", "prod:db:x*", "ci"])).map(tuple),
    audiences=st.lists(st.sampled_from(["urn:a", "urn:b", "urn:c"]), unique=True).map(tuple),
    lifetime=st.integers(1, 100_000),
    now=st.integers(0, 4_000_000_000),
    standing=st.sampled_from([NO_DIRECTORY_FACTS, KNOWN]),
)
