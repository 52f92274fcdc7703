"""The forms of the fields in a request from a remote client, the same as on a command line.

A command has already checked its arguments before a request in this process. A request from the network may contain
anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from jitid.authority.wire.fields import (
    ACCESS,
    ACTION,
    ADOPTED,
    AGENT,
    ALIAS,
    AUDIENCE,
    CONTEXT,
    COUNT,
    DELEGATOR,
    DETAIL,
    DURATION,
    EXTERNAL,
    FILE,
    FILTER,
    FINGERPRINT,
    GROUP,
    ID,
    KIND,
    LONG,
    MAY_KIND,
    MOST_ITEMS,
    MOST_ROWS,
    OWNED_TASK,
    PERSON,
    POSITIVE,
    PUBLIC_KEY,
    REACH,
    REASON,
    RESOURCE,
    ROWS,
    RULE,
    SCOPE,
    SENSITIVITY,
    TASK,
    TEMPLATE,
    TIME,
    FieldForm,
    among,
    kept_text,
    number,
    pattern,
    seen_text,
    text,
)
from jitid.capabilities.access.oidc import MAX_KEY
from jitid.crypto.jws import ALGORITHMS
from jitid.errors import UsageError
from jitid.issuers.aws_sts import ACCESS_KEY
from jitid.issuers.issuer import MAX_CHAIN
from jitid.keys.keyring import USES
from jitid.model import adopted
from jitid.model.caller import ROLES
from jitid.model.leak import LONGEST_FINDER, LONGEST_PLACE, LONGEST_REVISION, MOST_PLACES
from jitid.model.request import MOST_AUDIENCES, MOST_DETAILS, MOST_SCOPES
from jitid.model.task import MAX_PURPOSE, SENSITIVITIES

if TYPE_CHECKING:
    from jitid.capabilities.directory.delegators import Amendment, Edit
    from jitid.capabilities.directory.roster.roster_entry import StatedDelegator as PersonStated
    from jitid.capabilities.integrity.operations import ReadLog
    from jitid.capabilities.leak.operations import AddLeaks
    from jitid.model.request import IssueRequest

BY_NAME: Mapping[str, FieldForm] = {
    "after": FILTER,
    "agent": AGENT,
    "agents": AGENT,
    "at": TIME,
    "audiences": AUDIENCE,
    "days": number(1, 3_660),
    "delegators": DELEGATOR,
    "event": POSITIVE,
    "group": FILTER,
    "ids": ID,
    "jti": ID,
    "jtis": ID,
    "kids": FILTER,
    "kid": FILTER,
    "kinds": KIND,
    "limit": ROWS,
    "most": COUNT,
    "name": AGENT,
    "names": AGENT,
    "numbers": COUNT,
    "reason": REASON,
    "rules": RULE,
    "scopes": SCOPE,
    "sensitivity": SENSITIVITY,
    "since": TIME,
    "task": TASK,
    "tasks": TASK,
    "trees": ID,
    "until": TIME,
}
"""The forms of fields by name, for every record and operation."""

_FILTERS = ("Filter", "LogFilter", "LeakFilter", "UseFilter", "ApprovalFilter")
_FILTERED = {
    "action": FILTER,
    "agent": FILTER,
    "audience": FILTER,
    "by": FILTER,
    "delegator": FILTER,
    "delegator_proof": FILTER,
    "delegators": FILTER,
    "group": FILTER,
    "id": ID,
    "kind": FILTER,
    "operation": FILTER,
    "parent": ID,
    "purpose": text(MAX_PURPOSE, "the purpose"),
    "resource": text(LONG, "the resource"),
    "rule": FILTER,
    "scope": FILTER,
    "sensitivity": FILTER,
    "signed_by": FILTER,
    "source": text(LONG, "the source"),
    "state": FILTER,
    "sweep": FILTER,
    "task": OWNED_TASK,
    "under": ID,
    "trace": FILTER,
    "after": COUNT,
    "before": COUNT,
    "credentials": COUNT,
    "depth": COUNT,
    "expires_after": TIME,
    "expires_before": TIME,
    "issued_since": TIME,
    "issued_until": TIME,
}
"""Filters need not be well formed: an invalid value matches nothing."""

_LIMITS = (
    *(f"standing_{sensitivity}" for sensitivity in SENSITIVITIES),
    "duplicates",
    "identities",
    "agents_per_person",
    "pending",
    "key_age",
    "unused",
)

BY_FIELD: Mapping[str, FieldForm] = {
    **{f"{record}.{field}": form for record in _FILTERS for field, form in _FILTERED.items()},
    **{f"Thresholds.{field}": COUNT for field in _LIMITS},
    "Thresholds.asserted": SENSITIVITY,
    "Issue.as_of": TIME,
    "IssueRequest.delegator": DELEGATOR,
    "IssueRequest.kind": KIND,
    "IssueRequest.ttl": DURATION,
    "IssueRequest.purpose": kept_text(MAX_PURPOSE, "the purpose"),
    "IssueRequest.deadline": TIME,
    "IssueRequest.deadline_after": DURATION,
    "IssueRequest.details": DETAIL,
    "IssueRequest.template": TEMPLATE,
    "IssueRequest.public_key": PUBLIC_KEY,
    "IssueRequest.may_kind": MAY_KIND,
    "IssueRequest.copies": number(1, MOST_ITEMS),
    "Process.host": kept_text(255, "the host"),
    "Process.boot": pattern("[0-9a-f-]{0,64}", "the id of a boot"),
    "Process.namespace": COUNT,
    "Process.pid": COUNT,
    "Process.started": COUNT,
    "Process.renews_until": TIME,
    "RenewRequest.ttl": DURATION,
    "LeakReport.source": kept_text(LONG, "the source"),
    "LeakReport.reported_at": TIME,
    "Sighting.place": seen_text(LONGEST_PLACE),
    "Sighting.line": POSITIVE,
    "Sighting.revision": seen_text(LONGEST_REVISION),
    "Sighting.found_at": TIME,
    "Sighting.finder": seen_text(LONGEST_FINDER),
    "ListCredentials.sort": text(32, "the order"),
    "Inspect.id": ID,
    "HandBack.id": ID,
    "Explain.id": ID,
    "ListTasks.state": among("open", "overdue", "ended"),
    "ShowTask.name": TASK,
    "ListTasks.after": TASK,
    "GiveTask.to": DELEGATOR,
    "VerifyLog.expected_head": text(16_384, "the head"),
    "Prune.rows_after": DURATION,
    "Prune.leaks_after": DURATION,
    "CutLog.evidence_after": DURATION,
    "CutLog.folder": text(LONG, "the folder"),
    "Prune.seconds": number(1, 3_600),
    "MakeStatusList.number": number(0, 1 << 24),
    "MakeStatusList.algorithm": among(*sorted(ALGORITHMS)),
    "RotateKey.algorithm": among(*sorted(ALGORITHMS)),
    "RotateKey.use": among(*USES),
    "RotateKey.transit": pattern("none|[A-Za-z0-9._-]{1,64}/[A-Za-z0-9._-]{1,64}", "TARGET/KEY, or none"),
    "IssueRequest.may_audience": REACH,
    "MayAct.caller": DELEGATOR,
    "MayAct.audiences": REACH,
    "AttachRequest.kind": KIND,
    "AttachRequest.template": TEMPLATE,
    "AttachRequest.public_key": PUBLIC_KEY,
    "AttachRequest.ttl": DURATION,
    "ImportAuthority.chain": text(MAX_CHAIN, "the certificates"),
    "PublishRevocations.lifetime": DURATION,
    "Adopt.content": pattern("[0-9a-f]{64}", "a SHA-256 in hexadecimal"),
    "StandingSecret.line": COUNT,
    "StandingSecret.name": ADOPTED,
    "StandingSecret.owner": PERSON,
    "StandingSecret.place": kept_text(adopted.LONGEST_PLACE, "the place"),
    "StandingSecret.purpose": kept_text(MAX_PURPOSE, "the purpose"),
    "StandingSecret.expires_at": TIME,
    "StandingSecret.target": text(64, "the target"),
    "StandingSecret.reference": kept_text(adopted.LONGEST_REFERENCE, "the reference"),
    "StandingSecret.prefix": kept_text(adopted.LONGEST_PREFIX, "the prefix"),
    "StandingSecret.length": number(adopted.LEAST_SECRET, adopted.MOST_SECRET),
    "StandingSecret.fingerprint": FINGERPRINT,
    "StandingSecret.public": FINGERPRINT,
    "StandingSecret.access_key_id": pattern(ACCESS_KEY.pattern, "the id of an access key"),
    "ChangeAdopted.names": ADOPTED,
    "Amended.owner": PERSON,
    "Amended.place": kept_text(adopted.LONGEST_PLACE, "the place"),
    "Amended.purpose": kept_text(MAX_PURPOSE, "the purpose"),
    "Amended.expires_at": TIME,
    "Amended.target": text(64, "the target"),
    "Amended.reference": kept_text(adopted.LONGEST_REFERENCE, "the reference"),
    "EndAdopted.names": ADOPTED,
    "EndAdopted.proof": REASON,
    "ListAdopted.names": ADOPTED,
    "ListAdopted.owner": FILTER,
    "ListAdopted.after": COUNT,
    "ProbeAdopted.names": ADOPTED,
    "SuggestReplacements.names": ADOPTED,
    "Settle.event": COUNT,
    "Settle.target": text(64, "the target"),
    "Settle.limit": number(1, 3_600),
    "FlyCanaries.targets": text(64, "a target"),
    "FlyCanaries.limit": number(1, 3_600),
    "Canary.place": text(64, "the target"),
    "Canary.kind": text(80, "the kind"),
    "Canary.why": text(LONG, "what was seen"),
    "Canary.made_in": COUNT,
    "Canary.dead_in": COUNT,
    "Sweep.targets": text(64, "the target"),
    "Sweep.target_timeout": number(1, 3_600),
    "Fix.targets": text(64, "the target"),
    "Fix.target_timeout": number(1, 3_600),
    "Sweep.heads": text(16_384, "a head or its place"),
    "Fix.sweep": pattern("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a UUID"),
    "ListAgents.owner": FILTER,
    "ShowAgent.issues": number(0, MOST_ROWS),
    "RecurrenceRule.tasks": POSITIVE,
    "RecurrenceRule.on_days": POSITIVE,
    "Due.after": DURATION,
    "registry.StatedAgent.owner": PERSON,
    "registry.StatedAgent.purpose": kept_text(MAX_PURPOSE, "the purpose"),
    "registry.StatedAgent.max_ttl": DURATION,
    "registry.StatedAgent.concurrency": POSITIVE,
    "registry.StatedAgent.users": AGENT,
    "FindApprovals.ids": FILTER,
    "ShowApproval.id": FILTER,
    "GrantApproval.id": FILTER,
    "GrantApproval.lifetime": DURATION,
    "DenyApproval.id": FILTER,
    "ChangeDelegator.name": ALIAS,
    "DisableDelegator.name": ALIAS,
    "EnableDelegator.name": ALIAS,
    "ShowDelegator.name": ALIAS,
    "roster_entry.StatedDelegator.place": text(64, "the place"),
    "roster_entry.StatedDelegator.name": PERSON,
    "roster_entry.StatedDelegator.entitlements": SCOPE,
    "roster_entry.StatedDelegator.groups": GROUP,
    "roster_entry.StatedDelegator.manager": PERSON,
    "roster_entry.StatedDelegator.aliases": ALIAS,
    "roster_entry.StatedDelegator.external": EXTERNAL,
    "roster_entry.StatedDelegator.manager_external": EXTERNAL,
    "Roster.notes": text(LONG, "a note"),
    "Roster.partial": text(LONG, "why it is not all"),
    "RosterSource.form": among("csv", "scim", "jsonl"),
    "RosterSource.content": pattern("[0-9a-f]{64}", "a SHA-256 in hexadecimal"),
    "Amendment.add": text(2 * 255 + 1),
    "Amendment.remove": text(2 * 255 + 1),
    "Edit.manager": PERSON,
    "StoredPolicy.digest": pattern("[0-9A-Fa-f]{1,64}", "the beginning of a digest"),
    "ReplayDecisions.old": text(FILE, "a file"),
    "ReplayDecisions.new": text(FILE, "a file"),
    "UseRequest.action": ACTION,
    "UseRequest.resource": RESOURCE,
    "UseRequest.context": CONTEXT,
    "AccessRequest.name": DELEGATOR,
    "AccessRequest.roles": among(*ROLES),
    "AccessRequest.ttl": DURATION,
    "AccessRequest.key": text(MAX_KEY, "the key"),
    "RotateAccess.id": ACCESS,
    "RotateAccess.ttl": DURATION,
    "RotateAccess.overlap": COUNT,
    "RevokeAccess.ids": ACCESS,
    "RevokeAccess.names": DELEGATOR,
    "ListAccess.after": ACCESS,
    "ListAccess.name": DELEGATOR,
    "Selection.fingerprints": FINGERPRINT,
}
"""The forms of other fields, by their record or operation; with its module if two records have the same name."""

MOST: Mapping[str, int] = {
    "AddLeaks.sightings": MOST_PLACES,
    **{f"{record}.scopes": MOST_SCOPES for record in ("IssueRequest", "AttachRequest")},
    **{f"{record}.audiences": MOST_AUDIENCES for record in ("IssueRequest", "AttachRequest")},
    "IssueRequest.details": MOST_DETAILS,
    "Issue.requests": MOST_ITEMS,
    "Selection.ids": 100_000,
    "Roster.people": 1_000_000,
    "Adopt.secrets": adopted.MOST_SECRETS,
    "ProbeAdopted.names": 100,
    "SuggestReplacements.names": 100,
    "Roster.notes": 1_000_000,
    "Authorize.asked": 10_000,
    "ReplayDecisions.old": 10_000,
    "ReplayDecisions.new": 10_000,
}
"""Maximum number of values of a list, if it is not `MOST_ITEMS`."""


LEAST: Mapping[str, int] = {
    "Issue.requests": 1,
    "Authorize.asked": 1,
    "Adopt.secrets": 1,
    "ChangeAdopted.names": 1,
    "EndAdopted.names": 1,
    "ProbeAdopted.names": 1,
    "SuggestReplacements.names": 1,
}
"""Minimum number of values of a list, if it is not 0."""


def _request(value: IssueRequest) -> IssueRequest:
    if value.deadline is not None and value.deadline_after is not None:
        raise UsageError("a deadline is a time or a duration, and both are given")
    return value._replace(
        audiences=tuple(dict.fromkeys(value.audiences)), may_audience=tuple(dict.fromkeys(value.may_audience))
    )


def _person_stated(value: PersonStated) -> PersonStated:
    from jitid.capabilities.directory.roster import roster_entry

    if isinstance(value.entitlements, tuple):
        value = value._replace(entitlements=roster_entry.entitlements(value.entitlements))
    if isinstance(value.groups, tuple):
        value = value._replace(groups=roster_entry.groups(value.groups))
    if isinstance(value.aliases, tuple):
        value = value._replace(aliases=roster_entry.aliases(value.aliases))
    return value


def _edit(value: Edit) -> Edit:
    from jitid.capabilities.directory.roster import roster_entry

    if value.manager is not None and value.no_manager:
        raise UsageError("a manager and no manager contradict each other")
    # The edit itself does not say which field its values are for: each field has its own check.
    return value._replace(
        entitlements=_amended(value.entitlements, roster_entry.entitlements),
        groups=_amended(value.groups, roster_entry.groups),
        aliases=_amended(value.aliases, roster_entry.aliases),
    )


def _amended(value: Amendment, check: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Amendment:
    return value._replace(add=check(value.add), remove=check(value.remove))


def _log(value: ReadLog) -> ReadLog:
    if value.limit is None:
        raise UsageError(f"how many events are wanted has to be said, at most {MOST_ROWS} at a time")
    return value


def _leaks(value: AddLeaks) -> AddLeaks:
    for mark in value.sightings:
        if len(mark) != 32 or mark.strip("0123456789abcdef"):
            raise UsageError("a mark of 32 hexadecimal digits is wanted")
    return value


WHOLE: Mapping[str, FieldForm] = {
    "operations.AddLeaks": FieldForm(_leaks, {}),
    "operations.ReadLog": FieldForm(_log, {}),
    "request.IssueRequest": FieldForm(_request, {}),
    "roster_entry.StatedDelegator": FieldForm(_person_stated, {}),
    "delegators.Edit": FieldForm(_edit, {}),
}
"""The checks of whole records, in addition to those of their fields."""

KEPT_BACK: Mapping[str, frozenset[str]] = {
    "request.IssueRequest": frozenset(
        {"proved_delegator", "proved_subject", "proved_at", "proved_actor", "proved_credential", "exchanged"}
    ),
    "operations.ShowTree": frozenset({"delegator", "under"}),
    "operations.ListTasks": frozenset({"within"}),
    "approval_operations.ListApprovals": frozenset({"within"}),
}
"""Fields that only the authority sets: the result of a token check, and the caller's own objects."""

LOCAL = frozenset(
    {
        "Examine",
        "ExamineTargets",
        "CutLog",
        "BootstrapAccess",
        "Authenticate",
        "FindClientKeys",
        "UseAssertion",
    }
)
"""Operations for the ledger's machine only: they examine its files, or authenticate remote callers."""


def owned(owner: type) -> str:
    """Return the name of a record in these tables."""
    return f"{owner.__module__.rpartition('.')[2]}.{owner.__name__}"


def form_of(owner: type, field: str) -> FieldForm | None:
    """Return the form of a field of a request; None if none is declared."""
    for key in (f"{owned(owner)}.{field}", f"{owner.__name__}.{field}"):
        if key in BY_FIELD:
            return BY_FIELD[key]
    return BY_NAME.get(field)
