"""Permissions of callers at an authority: rules for classes of operations, and their exceptions, on one page.

They follow from the promises 13 to 18, 23 and 24, from the two uses of tokens (identity and service), and from
jitid-authority(7), not from the code. `test_matrix.py` performs each operation for each caller with each token.
"""

DONE, USAGE, UNKNOWN, DENIED, REFUSED, INVALID = 0, 2, 3, 4, 6, 8  # The answers: exit statuses.

# Callers. user:alice owns the tasks INC-1 to INC-3. `agent` is her planner with its renewed token, `agent before` the
# same with the previous token, `namesake` her other planner. `child` is a sub-agent of `agent`, `other agent` is
# user:bob's. The stranger, user:eve, has no credential of the authority. `service` and `gateway` have the audience API
# and were shown tokens. `may_act` of one token names `gateway`; `gateway elsewhere` has the same name with another
# audience. `approver` is in the group that must approve, `bystander` in another.
ROLES = {name: name for name in ("issuer", "verifier", "responder", "sweeper", "auditor", "admin")}
ROLES["api verifier"] = "verifier"  # For the audience API alone; the other one is for all audiences.
LIMITED = {"api verifier", "service", "gateway"}  # A token for another audience is INVALID (14).
PERSONS = {"owner", "stranger", "service", "gateway", "gateway elsewhere", "approver", "bystander", *ROLES}
PLANNER = {"agent", "agent before"}
AGENTS = {"agent", "agent before", "namesake", "child", "other agent"}
# The caller `bootstrap` may only grant the first role admin; all else is REFUSED.

# 1. Each operation is the duty of one role. The auditor may also perform each operation that only reads.
READS = {
    "verifier": "Verify Introspect MakePublication MakeStatusList",
    "responder": "Inspect ListCredentials ShowTree ListTasks ShowTask Trace ListLeaks ShowLeaks RecountLeaks ListUses "
    "ShowStatus",
    "sweeper": "Sweep ForeseeFix MakeReport AdoptedShapes",
    "auditor": "ReadLog FollowLog SignHead VerifyLog ExportLog",
    "admin": "ListKeys ListAlgorithms Examine ExamineTargets StoredPolicy ReplayDecisions Explain "
    "ClassifyAgents SuggestPolicy ShowAgent ListAgents ShowDelegator ListDelegators ListAdopted "
    "ProbeAdopted SuggestReplacements ListAccess ListApprovals FindApprovals ShowApproval",
}
CHANGES = {
    "verifier": "Authorize",
    "responder": "Revoke RevokeToken Retire ShareTask GiveTask AddLeaks CloseLeaks",
    "sweeper": "Fix ProveLeaks Settle FlyCanaries",
    "admin": "GrantAccess RotateAccess RevokeAccess AddDelegator ChangeDelegator DisableDelegator EnableDelegator "
    "ImportDelegators RegisterAgent ChangeAgent ReviewAgent ResumeAgent SuspendAgent UnregisterAgent Adopt "
    "ChangeAdopted EndAdopted RotateKey RevokeKey SetAlgorithm "
    "RequestAuthority ImportAuthority Prune CutLog",
}
EXCEPTIONS = {
    # A responder sees the owner and the end of a credential; access is a credential too.
    "responder": "Verify Introspect AdoptedShapes ListAdopted ProbeAdopted SuggestReplacements EndAdopted ShowAgent "
    "ListAgents ShowDelegator ListDelegators ListAccess RevokeAccess ProveLeaks Settle",
    "sweeper": "ShowStatus",
    # An admin checks that keys are published and tokens accepted, and settles credentials that it ended by disabling.
    "admin": "Introspect MakePublication MakeStatusList AdoptedShapes Settle FlyCanaries ShowStatus",
}
NOT_AUDITOR = "MakePublication MakeStatusList ForeseeFix"  # These prepare the duty of another role.
WITHOUT_ROLE = {
    "everybody": "PublishKeys PublishSshAuthorities PublishSshRevocations PublishBundle PublishRevocations",
    "by a token, or for oneself": "Issue Renew AbandonRenewal Attach HandBack Exchange "
    "RecordSession",  # Sections 2 and 6.
    "by the word of a person": "GrantApproval DenyApproval",  # Section 5.
    "by an ID token that counts once": "LogIn",
    "by the request whose answer was lost": "AbandonAttachment",  # Section 3.
    "nobody: the server asks itself": "Authenticate FindClientKeys FindLogin UseAssertion BootstrapAccess",
}
CLOCK = "admin"  # `accept_clock` needs this role beside the one for the operation.


def has_role(operation: str, caller: str) -> bool:
    """Return whether a caller may perform an operation on every object."""
    role = ROLES.get(caller, "")
    duties = {*f"{READS.get(role, '')} {CHANGES.get(role, '')} {EXCEPTIONS.get(role, '')}".split()}
    if role == "auditor":
        duties = {*" ".join(READS.values()).split()} - {*NOT_AUDITOR.split()}
    return operation in duties or operation in WITHOUT_ROLE["everybody"].split()


# 2. A token that names the authority is a right of its holder; a token for services is not (14). A JWT-SVID or a
# certificate proves an identity and grants no right (18). An `access` secret is not a token of an agent.
KINDS = {
    "identity": ("identity", "opaque identity", "superseded", "head", "child", "launched", "eve's", "other"),
    "service": ("service", "opaque service", "exchangeable", "exchanged"),
    "svid": ("jwt-svid",),
    "certificate": ("x509-svid", "ssh-cert"),
    "ended": ("ended",),
    "alien": ("access", "foreign"),
}
USES = {  # By the fields that hold tokens.
    "right": "Issue.requests.parent Renew.request.token AbandonRenewal.token Attach.request.token HandBack.token "
    "RecordSession.token "
    "Exchange.subject Exchange.actor",
    "looked": "Inspect.token Explain.token",  # Looked at, valid or not.
    "valid": "Verify.token",
    "worth": "Introspect.token Authorize.asked.token",  # Carries a right now.
    "ending": "Revoke.tokens RevokeToken.token",
    "proof": "Issue.delegator_token GrantApproval.approver_token DenyApproval.approver_token "
    "LogIn.token",  # Of another issuer.
    "never": "Exchange.request.parent",  # The subject is the parent.
}
BEARER = "Authenticate.bearer"  # The server performs it first: a token of the kind `identity` identifies its agent.
WORTH = """
            right   looked  valid   worth   ending  proof   never
identity    DONE    DONE    DONE    DONE    DONE    INVALID USAGE
service     REFUSED DONE    DONE    DONE    DONE    INVALID REFUSED
svid        INVALID DONE    DONE    INVALID DONE    INVALID USAGE
certificate INVALID DONE    DONE    INVALID INVALID INVALID USAGE
ended       INVALID DONE    INVALID INVALID DONE    INVALID USAGE
alien       INVALID INVALID INVALID INVALID INVALID INVALID USAGE
"""  # Without the role, looked, valid, worth and ending are REFUSED except for own tokens (3).
FOR_API = {"service", "opaque service", "exchangeable", "jwt-svid"}
TOKEN_EXCEPTIONS = {  # By use, caller (* for each) and token.
    ("Renew.request.token", "*", "superseded"): DENIED,  # One successor each (13).
    ("Exchange.subject", "gateway", "exchangeable"): DONE,  # The one exception to 14.
}
# Only a successor can be abandoned; the token of its predecessor is not a right to do so (13).
for alone in (*KINDS["identity"], *KINDS["svid"], *KINDS["ended"]):
    TOKEN_EXCEPTIONS["AbandonRenewal.token", "*", alone] = DONE if alone == "head" else UNKNOWN
TOKEN_EXCEPTIONS |= {  # People log in, agents do not (18).
    ("LogIn.token", agent, token): REFUSED
    for agent in AGENTS
    for tokens in KINDS.values()
    for token in tokens
}
for alien in (*KINDS["alien"], *KINDS["certificate"]):
    TOKEN_EXCEPTIONS["RevokeToken.token", "*", alien] = DONE  # RFC 7009, section 2.2: not an error.

# 3. A caller needs no role for its own credentials (17). A delegator owns all that descend from it, an agent its
# identity and all that descend from that. A caller may also read and end credentials that it requested. LISTED shows
# own rows, and COUNTED counts them.
OWN = "Verify Inspect ShowTree Revoke RevokeToken"
LISTED = "ListCredentials"
COUNTED = "ShowStatus"
PLANNERS = {"superseded", "head", *FOR_API, *KINDS["certificate"]}  # Credentials of one identity.
HELD = {"child": {"child"}, "other": {"other agent"}, "identity": {"namesake"}}
HELD |= dict.fromkeys(PLANNERS, PLANNER)
DESCENDS = {token: {"owner"} for token in (*PLANNERS, "identity", "opaque identity", "ended")}
DESCENDS |= {"eve's": {"stranger"}, **{token: {"owner", *PLANNER} for token in ("child", "exchanged")}}
REQUESTED = DESCENDS | {
    "child": PLANNER,
    "exchanged": {"gateway", "gateway elsewhere"},
    "launched": {"issuer"},
}
REQUESTERS = (
    # Requesters may perform both; an owner also Settle, and a holder AbandonAttachment, of the ATTACHED.
    "Settle AbandonAttachment"
)
ATTACHED = PLANNERS - {"superseded", "head"}  # Else UNKNOWN.
BELOW_HEAD = {*PLANNERS, "child", "exchanged"}  # HandBack with the token `head` can end these; else DENIED.

# 4. A task belongs to the root delegator of the request that opened it (17). The agent opened INC-1/2. INC-3 is shared
# with user:bob, and he has joined it. INC-4 is user:bob's. A name that is not VISIBLE is UNKNOWN.
FAMILY = {"owner", "child", "namesake", *PLANNER}
VISIBLE = {"INC-1": FAMILY, "INC-1/2": FAMILY, "INC-3": {"other agent", *FAMILY}, "INC-4": {"other agent"}}
ON_TASK: dict[str, set[str]] = {  # The permitted callers among those in VISIBLE; else REFUSED.
    "ShowTask ShowTree ListCredentials": {"other agent", *FAMILY},  # Each sees its own part.
    "Retire ShareTask GiveTask Revoke ListTasks": {"owner"},
    "ListLeaks ListUses SuggestPolicy": set(),  # These are by role alone.
}
TASK_EXCEPTIONS = {("Retire", caller, "INC-1/2"): DONE for caller in PLANNER}  # The agent opened it.
TASK_EXCEPTIONS |= {
    ("GiveTask", "owner", task): DENIED for task in ("INC-1", "INC-1/2")
}  # Not joined by user:bob.

# 5. The requester and the groups that must approve see a request for approval. Only these groups decide: a person of
# another group is DENIED by rule, an agent is not a person (REFUSED).
CONCERNED = {"owner": {"owner", "approver"}, "agent": {"approver", *PLANNER}}  # By the requester.

# 6. A person or a service may issue without a parent only for itself; the issuer for each delegator and on each task.
# An agent is never a root (USAGE). The name of a registered agent is for its owner (16).
ROOT = {
    "for oneself": (DONE, PERSONS),
    "for another delegator": (REFUSED, {"issuer"}),
    "on the owner's task": (UNKNOWN, {"issuer", "owner"}),
    "by a registered agent": (DENIED, {"issuer"}),
}
