"""The acts of operations in plain words, for the refusals of callers without a role."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitid.operation.base import Operation

ACTS: Mapping[str, str] = {
    "AbandonAttachment": "revoke an attached credential",
    "AbandonRenewal": "undo a renewal",
    "AddDelegator": "add a delegator",
    "AddLeaks": "report leaks",
    "Adopt": "adopt secrets",
    "AdoptedShapes": "search for adopted secrets",
    "Attach": "issue a further credential of an identity",
    "Authorize": "authorize an action",
    "ChangeAdopted": "change the records of adopted secrets",
    "ChangeAgent": "change the record of an agent",
    "ChangeDelegator": "change the record of a delegator",
    "ClassifyAgents": "classify agents",
    "CloseLeaks": "close leaks",
    "CutLog": "delete old audit events",
    "DenyApproval": "deny a request for approval",
    "DisableDelegator": "disable a delegator",
    "EnableDelegator": "enable a delegator",
    "EndAdopted": "record the end of adopted secrets",
    "Examine": "examine the ledger",
    "Exchange": "exchange a token",
    "Explain": "explain a decision",
    "ExportLog": "export the audit log",
    "FindApprovals": "read requests for approval",
    "Fix": "fix findings",
    "FlyCanaries": "test revocation with canaries",
    "FollowLog": "read the audit log",
    "ForeseeFix": "preview a fix of findings",
    "GiveTask": "give a task to another owner",
    "GrantAccess": "grant access",
    "GrantApproval": "grant a request for approval",
    "HandBack": "hand back an identity",
    "ImportAuthority": "import the certificate of an authority",
    "ImportDelegators": "import delegators",
    "Inspect": "inspect a credential",
    "Introspect": "introspect a token",
    "Issue": "issue credentials",
    "ListAdopted": "list adopted secrets",
    "ListApprovals": "list requests for approval",
    "MakePublication": "publish the documents for offline verifiers",
    "MakeReport": "report identity sprawl",
    "MakeStatusList": "make a status list",
    "ProbeAdopted": "probe adopted secrets",
    "ProveLeaks": "prove the refusal of leaked credentials",
    "Prune": "prune the ledger",
    "PublishSshAuthorities": "publish SSH keys",
    "PublishSshRevocations": "publish SSH revocations",
    "ReadLog": "read the audit log",
    "RecountLeaks": "read the timeline of leaks",
    "RegisterAgent": "register an agent",
    "Renew": "renew a credential",
    "ReplayDecisions": "replay decisions",
    "RequestAuthority": "request the certificate of an authority",
    "ResumeAgent": "resume an agent",
    "Retire": "retire a task",
    "ReviewAgent": "record the review of an agent",
    "Revoke": "revoke",
    "RevokeAccess": "revoke access",
    "RevokeKey": "revoke a key",
    "RevokeToken": "revoke a token",
    "RotateAccess": "rotate access",
    "RotateKey": "rotate a key",
    "SetAlgorithm": "set the algorithm of service tokens",
    "Settle": "have targets revoke credentials",
    "ShareTask": "share a task",
    "ShowAgent": "show an agent",
    "ShowApproval": "show a request for approval",
    "ShowDelegator": "show a delegator",
    "ShowTask": "show a task",
    "ShowTree": "show a delegation tree",
    "SignHead": "sign the head of the audit log",
    "StoredPolicy": "read a stored policy",
    "SuggestPolicy": "suggest a policy for an agent",
    "SuggestReplacements": "suggest replacements of adopted secrets",
    "SuspendAgent": "suspend an agent",
    "Trace": "trace strings",
    "UnregisterAgent": "unregister an agent",
    "Verify": "verify a token",
    "VerifyLog": "verify the audit log",
}
"""Acts by the names of operations. For other operations the name itself is plain: `ListAgents`, list agents."""


def act_of(kind: type[Operation[Any]]) -> str:
    """Return the act of an operation as a verb with its object."""
    return ACTS.get(kind.__name__) or re.sub(r"(?<!^)([A-Z])", r" \1", kind.__name__).lower()
