"""An example of each operation for the matrix: with a token, about a credential, on a task, or without any."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from jitid.capabilities.access import operations as access
from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.adopt import operations as adoptions
from jitid.capabilities.adopt import shape_operations
from jitid.capabilities.adopt.adoption import Amended
from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.decisions import operations as decisions_operations
from jitid.capabilities.decisions import operations as policies
from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.directory.delegators import Edit
from jitid.capabilities.directory.recurrence import RecurrenceRule
from jitid.capabilities.directory.registry import Due, StatedAgent
from jitid.capabilities.directory.roster import spreadsheet
from jitid.capabilities.directory.roster.roster_entry import StatedDelegator as Person
from jitid.capabilities.directory.roster_diff import RosterSource
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.inventory.status_operations import ShowStatus
from jitid.capabilities.issue import approval_operations as approvals
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue import token_operations as tokens
from jitid.capabilities.issue.may_act import own_agent
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.report import operations as report_operations
from jitid.capabilities.session.operations import RecordSession
from jitid.capabilities.sweep import operations as sweep_operations
from jitid.capabilities.sweep.finding import Thresholds
from jitid.capabilities.sweep.rules import NAMES as RULES
from jitid.capabilities.targets import operations as targets
from jitid.capabilities.trust import operations as trust_operations
from jitid.capabilities.use import operations as uses
from jitid.capabilities.use.authorization import UseRequest, check_action
from jitid.model.access import Caller
from jitid.model.client_session import ClientSession
from jitid.model.leak import LeakFilter
from jitid.model.ledger_rows import Selection
from jitid.model.request import AttachRequest, RenewRequest
from jitid.model.use import UseFilter
from jitid.operation import base as ops
from jitid.policy.default import default_files
from jitid.search.pasted import search_pasted
from jitid.values.secret import Secret
from tests.authority.scene import API, BACKEND, Held, Scene, standing
from tests.builders import DAY, NAMES, NOW, request

Operation = ops.Operation[Any]
ALL = (API, BACKEND, NAMES.issuer)
SUMMARY = sha256(b"").hexdigest()


def _child(**fields: Any) -> Any:
    return request(**{"agent": "fetcher", "task": None, "delegator": None, **fields})


def _exchange(caller: Caller, subject: Secret, actor: Secret | None = None, **fields: Any) -> Operation:
    """Exchange as a client that acts under its own name."""

    def sort(token: Secret | None) -> Any:
        return "access_token" if token is not None and token.reveal().startswith("jitid_") else "jwt"

    return tokens.Exchange(
        request=_child(audiences=(BACKEND,), agent=own_agent(caller), **fields),
        subject=subject,
        subject_sort=sort(subject),
        actor=actor,
        actor_sort=sort(actor),
    )


def _authorize(token: Secret) -> Operation:
    return uses.Authorize(asked=(UseRequest(token, check_action("a:b"), "x"),), audiences=ALL)


def by_token(scene: Scene, held: Held, caller: Caller) -> dict[str, Operation]:
    """Return operations with a token, by the field that holds it."""
    return {
        "Issue.requests.parent": issue_operations.Issue(
            requests=(_child(parent=scene.tokens["identity"].token), _child(parent=held.token))
        ),
        "Renew.request.token": issue_operations.Renew(request=RenewRequest(held.token)),
        "AbandonRenewal.token": issue_operations.AbandonRenewal(token=held.token),
        "Attach.request.token": issue_operations.Attach(
            request=AttachRequest(held.token, "opaque", audiences=(API,))
        ),
        "HandBack.token": identity_operations.HandBack(
            token=held.token, id=held.id or scene.tokens["head"].id
        ),
        "RecordSession.token": RecordSession(token=held.token, session=ClientSession("codex", "s1")),
        "Exchange.subject": _exchange(caller, held.token),
        "Exchange.actor": _exchange(caller, scene.tokens["identity"].token, held.token),
        "Exchange.request.parent": _exchange(caller, scene.tokens["identity"].token, parent=held.token),
        "Verify.token": identity_operations.Verify(token=held.token, audiences=ALL),
        "Inspect.token": inventory_operations.Inspect(token=held.token),
        "Explain.token": policies.Explain(token=held.token),
        "Introspect.token": tokens.Introspect(token=held.token),
        "Authorize.asked.token": _authorize(held.token),
        "Revoke.tokens": inventory_operations.Revoke(selection=Selection(), tokens=(held.token,), most=None),
        "RevokeToken.token": tokens.RevokeToken(token=held.token),
        "Issue.delegator_token": issue_operations.Issue(
            requests=(_child(task="T9"),), delegator_token=held.token, delegator_token_sort="jwt"
        ),
        "GrantApproval.approver_token": approvals.GrantApproval(
            id=scene.approvals["owner"], approver_token=held.token
        ),
        "DenyApproval.approver_token": approvals.DenyApproval(
            id=scene.approvals["owner"], approver_token=held.token
        ),
        "LogIn.token": access.LogIn(token=held.token),
        "Authenticate.bearer": access.Authenticate(bearer=held.token),
    }


OWN_ID = {
    "owner": "identity",
    "namesake": "identity",
    "child": "child",
    "other agent": "other",
    "stranger": "eve's",
}
"""By caller, its own token; the other callers here use the planner's."""


def about(scene: Scene, held: Held, caller: str) -> dict[str, Operation]:
    """Return operations about an agent's credential, by the field that holds its id."""
    return {
        "Inspect.id": inventory_operations.Inspect(id=held.jti),
        "Explain.id": policies.Explain(id=held.jti),
        "ShowTree.ids": inventory_operations.ShowTree(ids=(held.id,), limit=99),
        "ShowTree.under": inventory_operations.ShowTree(
            ids=(scene.tokens[OWN_ID.get(caller, "head")].id,),
            under=held.id,
            delegator=held.delegator,
            limit=99,
        ),
        "ListCredentials.chosen.id": _list(id=held.id),
        "ListCredentials.chosen.parent": _list(parent=held.id),
        "ListCredentials.chosen.under": _list(under=held.id),
        "ShowStatus.under": ShowStatus(under=held.id),
        "Revoke.selection.ids": _revoke(ids=(held.jti,)),
        "Revoke.selection.trees": _revoke(trees=(held.jti,)),
        "AbandonAttachment.jti": issue_operations.AbandonAttachment(jti=held.jti),
        "Settle.ids": targets.Settle(ids=(held.id,)),
        "HandBack.id": identity_operations.HandBack(token=scene.tokens["head"].token, id=held.id),
    }


def _revoke(**chosen: Any) -> Operation:
    return inventory_operations.Revoke(selection=Selection(**chosen), most=None)


def listed(chosen: Filter) -> Operation:
    """Return a list of credentials."""
    return inventory_operations.ListCredentials(
        chosen=chosen, sort="issued_at", descending=False, after=None, limit=99
    )


def _list(**chosen: Any) -> Operation:
    return listed(Filter(**chosen))


def on_task(task: str) -> dict[str, Operation]:
    """Return each operation that names a task."""
    return {
        "Retire": inventory_operations.Retire(task=task),
        "ShareTask": inventory_operations.ShareTask(task=task, names=("user:dan",)),
        "GiveTask": inventory_operations.GiveTask(task=task, to="user:bob"),
        "ShowTask": inventory_operations.ShowTask(name=task),
        "ShowTree": inventory_operations.ShowTree(task=task, limit=99),
        "ListTasks": inventory_operations.ListTasks(state=None, after=task, limit=99),
        "ListCredentials": _list(task=task),
        "ListLeaks": leak_operations.ListLeaks(chosen=LeakFilter(task=task), limit=9),
        "ListUses": uses.ListUses(chosen=UseFilter(task=task), limit=9),
        "Revoke": _revoke(tasks=(task,)),
        "SuggestPolicy": decisions_operations.SuggestPolicy(task=task, days=1),
    }


def on_approval(id_: str) -> dict[str, Operation]:
    """Return operations on a request for approval."""
    return {
        "ShowApproval": approvals.ShowApproval(id=id_),
        "FindApprovals": approvals.FindApprovals(ids=(id_,)),
        "GrantApproval": approvals.GrantApproval(id=id_),
        "DenyApproval": approvals.DenyApproval(id=id_),
    }


def roots() -> dict[str, Operation]:
    """Return issues without a parent."""
    return {
        "for oneself": _root(),
        "for another delegator": _root(delegator="user:dan"),
        "on the owner's task": _root(task="user:alice/INC-1"),
        "by a registered agent": _root(agent="bot"),
    }


def _root(**fields: Any) -> Operation:
    return issue_operations.Issue(
        requests=(request(**{"agent": "fetcher", "task": "NEW", "delegator": None, **fields}),)
    )


FILES = tuple(default_files())
DUE = Due(at=NOW + DAY)
ROSTER = ("name,groups\n", "user:new,ops\n")


def plain(scene: Scene) -> dict[str, Operation]:
    """Return operations on no particular object, or on an object of another caller."""
    return {
        "AddDelegator": directory_operations.AddDelegator(stated=Person("", "user:new", imported=False)),
        "AddLeaks": leak_operations.AddLeaks(
            finds=search_pasted(scene.tokens["identity"].token.reveal().encode()),
            report=LeakReport("git", None),
        ),
        "Adopt": adoptions.Adopt(secrets=(standing("other", "correct-Horse-battery-5taple-9"),)),
        "AdoptedShapes": shape_operations.AdoptedShapes(),
        "BootstrapAccess": access.BootstrapAccess(file="root.token"),
        "ChangeAdopted": adoptions.ChangeAdopted(names=("legacy",), amended=Amended(purpose="builds")),
        "ChangeAgent": directory_operations.ChangeAgent(name="bot", stated=StatedAgent(purpose="more")),
        "ChangeDelegator": directory_operations.ChangeDelegator(
            name="user:dan", edit=Edit(sensitivity="low")
        ),
        "ClassifyAgents": directory_operations.ClassifyAgents(
            names=("planner",), rule=RecurrenceRule(1, 1, 90), limit=10
        ),
        "CloseLeaks": leak_operations.CloseLeaks(numbers=(1,), reason="done"),
        "CutLog": integrity_operations.CutLog(evidence_after=50 * DAY, folder=str(scene.folder / "segments")),
        "DisableDelegator": directory_operations.DisableDelegator(name="user:dan", most=None),
        "EnableDelegator": directory_operations.EnableDelegator(name="user:gone"),
        "EndAdopted": adoptions.EndAdopted(names=("legacy",), proof="deleted there"),
        "Examine": integrity_operations.Examine(stated={}),
        "ExamineTargets": targets.ExamineTargets(),
        "ExportLog": integrity_operations.ExportLog(),
        "FindClientKeys": access.FindClientKeys(client="user:alice"),
        "FindLogin": access.FindLogin(holder="alice@host"),
        "Fix": sweep_operations.Fix(
            rules=("orphaned-task",),
            limits=Thresholds(),
            sweep="00000000-0000-4000-8000-000000000000",
            most=None,
        ),
        "FlyCanaries": sweep_operations.FlyCanaries(),
        "FollowLog": integrity_operations.FollowLog(chosen=LogFilter(), limit=9),
        "ForeseeFix": sweep_operations.ForeseeFix(rules=("orphaned-task",), limits=Thresholds()),
        "GrantAccess": access.GrantAccess(wanted=AccessRequest("user:new", ("admin",))),
        "ImportAuthority": trust_operations.ImportAuthority(chain=scene.facts["chain"]),
        "ImportDelegators": directory_operations.ImportDelegators(
            roster=spreadsheet.read(list(ROSTER)), source=RosterSource("csv", SUMMARY), most=None
        ),
        "ListAccess": access.ListAccess(limit=99),
        "ListAdopted": adoptions.ListAdopted(limit=9),
        "ListAgents": directory_operations.ListAgents(limit=9),
        "ListDelegators": directory_operations.ListDelegators(limit=99),
        "ListKeys": trust_operations.ListKeys(),
        "ListAlgorithms": trust_operations.ListAlgorithms(),
        "ListLeaks": leak_operations.ListLeaks(chosen=LeakFilter(), limit=9),
        "ListUses": uses.ListUses(chosen=UseFilter(), limit=9),
        "MakePublication": trust_operations.MakePublication(),
        "MakeReport": report_operations.MakeReport(days=1, limits=Thresholds()),
        "MakeStatusList": trust_operations.MakeStatusList(number=NOW // DAY, algorithm="EdDSA"),
        "ProbeAdopted": adoptions.ProbeAdopted(names=("legacy",)),
        "ProveLeaks": leak_operations.ProveLeaks(),
        "Prune": integrity_operations.Prune(rows_after=30 * DAY),
        "PublishBundle": trust_operations.PublishBundle(),
        "PublishKeys": trust_operations.PublishKeys(),
        "PublishRevocations": trust_operations.PublishRevocations(),
        "PublishSshAuthorities": trust_operations.PublishSshAuthorities(),
        "PublishSshRevocations": trust_operations.PublishSshRevocations(),
        "ReadLog": integrity_operations.ReadLog(chosen=LogFilter(), limit=9),
        "RecountLeaks": leak_operations.RecountLeaks(numbers=(1,)),
        "RegisterAgent": directory_operations.RegisterAgent(
            name="nightly", stated=StatedAgent(owner="user:bob", purpose="triage", scopes=()), due=DUE
        ),
        "ReplayDecisions": policies.ReplayDecisions(old=FILES, new=FILES),
        "RequestAuthority": trust_operations.RequestAuthority(),
        "ResumeAgent": directory_operations.ResumeAgent(name="idle"),
        "ReviewAgent": directory_operations.ReviewAgent(name="bot", due=DUE),
        "RevokeAccess": access.RevokeAccess(ids=(scene.access["somebody"],)),
        "RevokeKey": trust_operations.RevokeKey(kid=scene.facts["kid"], most=None),
        "RotateAccess": access.RotateAccess(id=scene.access["somebody"]),
        "SetAlgorithm": trust_operations.SetAlgorithm(algorithm="ES256"),
        "RotateKey": trust_operations.RotateKey(algorithm="EdDSA"),
        "Settle": targets.Settle(event=scene.facts["ended by"]),
        "ShowAgent": directory_operations.ShowAgent(name="bot", issues=9),
        "ShowDelegator": directory_operations.ShowDelegator(name="user:dan"),
        "ShowLeaks": leak_operations.ShowLeaks(numbers=(1,)),
        "SignHead": integrity_operations.SignHead(),
        "StoredPolicy": policies.StoredPolicy(digest=scene.facts["policy"]),
        "SuggestPolicy": decisions_operations.SuggestPolicy(agent="planner", days=1),
        "SuggestReplacements": adoptions.SuggestReplacements(names=("legacy",)),
        "SuspendAgent": directory_operations.SuspendAgent(name="bot", most=None),
        "Sweep": sweep_operations.Sweep(rules=tuple(RULES), limits=Thresholds()),
        "Trace": leak_operations.Trace(finds=search_pasted(scene.tokens["identity"].token.reveal().encode())),
        "UnregisterAgent": directory_operations.UnregisterAgent(name="bot", most=None),
        "UseAssertion": access.UseAssertion(id=scene.access["somebody"], jti="1", expires_at=NOW + 60),
        "VerifyLog": integrity_operations.VerifyLog(),
    }
