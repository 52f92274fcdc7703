"""What may stand in the fields of a request that comes from elsewhere: the forms that a command line holds them to.

A request in this process was put together by a verb, which has checked what it was given. One that comes over a
network was put together by anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid import strictjson
from jitid.caller import ROLES
from jitid.credential import Kind
from jitid.errors import UsageError
from jitid.identifier import parse_access_id, parse_id
from jitid.jws import ALGORITHMS
from jitid.lifetime import MAX_DURATION
from jitid.name import MAX_NAME, check_audience, check_delegator, check_name
from jitid.oidc import MAX_KEY
from jitid.scope import MAX_LENGTH, parse_scope
from jitid.task import MAX_PURPOSE, SENSITIVITIES
from jitid.text import check_text, refuse_token

if TYPE_CHECKING:
    from jitid.authority.operations import ReadLog
    from jitid.delegators import Amendment, Edit
    from jitid.request import IssueRequest
    from jitid.roster.stated import Stated as PersonStated

MOST_ROWS = 10_000
"""So many rows one answer has at most: what lists more asks again."""

MOST_ITEMS = 1_000
"""So many values a list in a request has at most, unless something else is said of it."""

_LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
_MOST = 1 << 53
"""Above it not all readers of JSON tell whole numbers apart (RFC 8259, section 6)."""

_LONG = 4_096
_FILE = 1 << 20


class Form(NamedTuple):
    """What a text or a number has to be."""

    check: Callable[[Any], Any]
    """Returns it as it is kept. Raises UsageError."""
    schema: Mapping[str, Any]
    """What JSON Schema can say of it."""


def text(most: int, what: str = "it") -> Form:
    """Return the form of a text that is only compared, or kept as it is."""

    def check(value: str) -> str:
        if len(value) > most:
            raise UsageError(f"{what} has {len(value)} characters, more than {most}")
        if "\0" in value:
            raise UsageError(f"{what} has a NUL, which no text has")
        return value

    return Form(check, {"maxLength": most})


def kept_text(most: int, what: str) -> Form:
    """Return the form of a text that is kept and shown: it may hold no token."""
    plain = text(most, what)
    return plain._replace(check=lambda value: check_text(plain.check(value), what))


def number(least: int, most: int = _MOST) -> Form:
    """Return the form of a number."""

    def check(value: int) -> int:
        if not least <= value <= most:
            raise UsageError(f"a number from {least} to {most} is wanted")
        return value

    return Form(check, {"minimum": least, "maximum": most})


def among(*allowed: str) -> Form:
    """Return the form of what is one of a few words."""

    def check(value: str) -> str:
        if value not in allowed:
            raise UsageError(f"one of these is wanted: {', '.join(allowed)}")
        return value

    return Form(check, {"enum": list(allowed)})


def name(what: str) -> Form:
    """Return the form of the name of something."""
    schema = {"minLength": 1, "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9._@:/+-]+$"}
    return Form(lambda value: check_name(value, what), schema)


def pattern(shape: str, what: str) -> Form:
    """Return the form of what has few shapes."""
    compiled = re.compile(shape)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise UsageError(f"{what} is wanted")
        return value

    return Form(check, {"pattern": f"^{shape}$"})


def _rule(value: str) -> str:
    from jitid.sweep.rules import NAMES

    if value not in NAMES:
        raise UsageError(f"there is no such rule; there are: {', '.join(NAMES)}")
    return value


def _detail(value: str) -> str:
    try:
        detail = strictjson.loads(value, "a detail")
        if isinstance(detail, dict) and isinstance(detail.get("type"), str) and detail["type"]:
            refuse_token(value, "a detail")
            return strictjson.dumps(detail)
    except strictjson.StrictJSONError as error:
        raise UsageError(str(error)) from None
    raise UsageError("a detail is a JSON object with a member `type` that is text", "see RFC 9396, section 2")


def _action(value: str) -> str:
    from jitid.authorization import check_action

    return check_action(value)


def _resource(value: str) -> str:
    from jitid.authorization import check_resource

    return check_resource(value)


def _context(value: str) -> str:
    from jitid.authorization import check_context

    try:
        return check_context(strictjson.loads(value, "the context"))
    except strictjson.StrictJSONError as error:
        raise UsageError(str(error)) from None


def _fingerprint(value: bytes) -> bytes:
    if len(value) != 32:
        raise UsageError("a fingerprint has 32 bytes")
    return value


def _id(value: str) -> str:
    parse_id(value)
    return value


def _access(value: str) -> str:
    parse_access_id(value)
    return value


def _person(value: str) -> str:
    from jitid.roster.stated import check_person

    return check_person(value)


def _alias(value: str) -> str:
    from jitid.roster.stated import check_alias

    return check_alias(value)


def _group(value: str) -> str:
    from jitid.roster.stated import check_group

    return check_group(value)


def _external(value: str) -> str:
    from jitid.roster.stated import check_external

    return check_external(value)


_NAMED = {"minLength": 1, "maxLength": 2 * MAX_NAME}
TASK, AGENT, KIND = name("task"), name("agent"), among(*(kind.value for kind in Kind))
DELEGATOR = Form(check_delegator, _NAMED)
PERSON, ALIAS, GROUP = Form(_person, _NAMED), Form(_alias, {"minLength": 1}), Form(_group, _NAMED)
EXTERNAL = Form(_external, {"minLength": 1, "maxLength": 255})
AUDIENCE = Form(check_audience, {"minLength": 1, "maxLength": 255, "pattern": r"^[!#-&(-;=?-\[\]-_a-~]+$"})
SCOPE = Form(parse_scope, {"minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[A-Za-z0-9._@/+*:-]+$"})
ID = Form(_id, {"pattern": "^(jid|jti)_[0-9a-v]{26}$"})
ACCESS = Form(_access, {"pattern": "^acc_[0-9a-v]{26}$"})
SENSITIVITY = among(*SENSITIVITIES)
REASON = kept_text(_LONG, "the reason")
FILTER = text(256, "what is asked for")
TIME, DURATION = number(0, _LAST), number(1, MAX_DURATION)
COUNT, POSITIVE = number(0), number(1)
ROWS = number(1, MOST_ROWS)
RULE = Form(_rule, {"maxLength": 64})

BY_NAME: Mapping[str, Form] = {
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
"""The forms of fields that are called the same wherever they stand."""

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
    "resource": text(_LONG, "the resource"),
    "rule": FILTER,
    "scope": FILTER,
    "sensitivity": FILTER,
    "signed_by": FILTER,
    "source": text(_LONG, "the source"),
    "state": FILTER,
    "sweep": FILTER,
    "task": FILTER,
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
"""What is compared need not be well formed: it then matches nothing."""

_LIMITS = (
    *(f"standing_{each}" for each in SENSITIVITIES),
    "duplicates",
    "identities",
    "agents_per_person",
    "pending",
    "key_age",
    "unused",
)

BY_FIELD: Mapping[str, Form] = {
    **{f"{record}.{field}": form for record in _FILTERS for field, form in _FILTERED.items()},
    **{f"Limits.{field}": COUNT for field in _LIMITS},
    "Limits.asserted": SENSITIVITY,
    "Issue.as_of": TIME,
    "IssueRequest.delegator": DELEGATOR,
    "IssueRequest.kind": KIND,
    "IssueRequest.ttl": DURATION,
    "IssueRequest.purpose": kept_text(MAX_PURPOSE, "the purpose"),
    "IssueRequest.deadline": TIME,
    "IssueRequest.deadline_after": DURATION,
    "IssueRequest.details": Form(_detail, {"minLength": 1}),
    "IssueRequest.copies": number(1, MOST_ITEMS),
    "Process.host": kept_text(255, "the host"),
    "Process.boot": pattern("[0-9a-f-]{0,64}", "the id of a boot"),
    "Process.namespace": COUNT,
    "Process.pid": COUNT,
    "Process.started": COUNT,
    "RenewRequest.ttl": DURATION,
    "LeakReport.source": kept_text(_LONG, "the source"),
    "LeakReport.reported_at": TIME,
    "ListCredentials.sort": text(32, "the order"),
    "Inspect.id": ID,
    "HandBack.id": ID,
    "Explain.id": ID,
    "ListTasks.state": among("open", "overdue", "ended"),
    "ShowTask.name": TASK,
    "VerifyLog.expected_head": text(16_384, "the head"),
    "RotateKey.algorithm": among(*sorted(ALGORITHMS)),
    "Sweep.heads": text(16_384, "a head or its place"),
    "Fix.sweep": pattern("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a UUID"),
    "ListAgents.owner": FILTER,
    "ShowAgent.issues": number(0, MOST_ROWS),
    "Rule.tasks": POSITIVE,
    "Rule.on_days": POSITIVE,
    "Due.after": DURATION,
    "registry.Stated.owner": PERSON,
    "registry.Stated.purpose": kept_text(MAX_PURPOSE, "the purpose"),
    "registry.Stated.max_ttl": DURATION,
    "registry.Stated.concurrency": POSITIVE,
    "FindApprovals.ids": FILTER,
    "ShowApproval.id": FILTER,
    "GrantApproval.id": FILTER,
    "GrantApproval.lifetime": DURATION,
    "DenyApproval.id": FILTER,
    "ChangeDelegator.name": ALIAS,
    "DisableDelegator.name": ALIAS,
    "EnableDelegator.name": ALIAS,
    "ShowDelegator.name": ALIAS,
    "stated.Stated.place": text(64, "the place"),
    "stated.Stated.name": PERSON,
    "stated.Stated.entitlements": SCOPE,
    "stated.Stated.groups": GROUP,
    "stated.Stated.manager": PERSON,
    "stated.Stated.aliases": ALIAS,
    "stated.Stated.external": EXTERNAL,
    "stated.Stated.manager_external": EXTERNAL,
    "Roster.notes": text(_LONG, "a note"),
    "Roster.partial": text(_LONG, "why it is not all"),
    "Source.form": among("csv", "scim", "jsonl"),
    "Source.content": pattern("[0-9a-f]{64}", "a SHA-256 in hexadecimal"),
    "Amendment.add": text(2 * 255 + 1),
    "Amendment.remove": text(2 * 255 + 1),
    "Edit.manager": PERSON,
    "StoredPolicy.digest": pattern("[0-9A-Fa-f]{1,64}", "the beginning of a digest"),
    "ReplayDecisions.old": text(_FILE, "a file"),
    "ReplayDecisions.new": text(_FILE, "a file"),
    "Asked.action": Form(_action, {"minLength": 1, "maxLength": MAX_LENGTH}),
    "Asked.resource": Form(_resource, {"minLength": 1, "maxLength": _LONG}),
    "Asked.context": Form(_context, {"minLength": 2, "maxLength": _LONG}),
    "Wanted.name": DELEGATOR,
    "Wanted.roles": among(*ROLES),
    "Wanted.ttl": DURATION,
    "Wanted.key": text(MAX_KEY, "the key"),
    "RotateAccess.id": ACCESS,
    "RotateAccess.ttl": DURATION,
    "RotateAccess.overlap": COUNT,
    "RevokeAccess.ids": ACCESS,
    "RevokeAccess.names": DELEGATOR,
    "ListAccess.after": ACCESS,
    "ListAccess.name": DELEGATOR,
    "Selection.fingerprints": Form(_fingerprint, {"minLength": 43, "maxLength": 43}),
}
"""The forms of the others, by their record or operation; with its module where two records are called alike."""

MOST: Mapping[str, int] = {
    "Issue.requests": MOST_ITEMS,
    "Selection.ids": 100_000,
    "Roster.people": 1_000_000,
    "Roster.notes": 1_000_000,
    "Authorize.asked": 10_000,
    "ReplayDecisions.old": 10_000,
    "ReplayDecisions.new": 10_000,
}
"""How many values lists have at most, where it is not `MOST_ITEMS`."""


LEAST: Mapping[str, int] = {"Issue.requests": 1, "Authorize.asked": 1}
"""How many values lists have at least, where it is not none."""


def _request(value: IssueRequest) -> IssueRequest:
    if value.deadline is not None and value.deadline_after is not None:
        raise UsageError("a deadline is a time or a duration, and both are given")
    return value._replace(audiences=tuple(dict.fromkeys(value.audiences)))


def _person_stated(value: PersonStated) -> PersonStated:
    from jitid.roster import stated

    if isinstance(value.entitlements, tuple):
        value = value._replace(entitlements=stated.entitlements(value.entitlements))
    if isinstance(value.groups, tuple):
        value = value._replace(groups=stated.groups(value.groups))
    if isinstance(value.aliases, tuple):
        value = value._replace(aliases=stated.aliases(value.aliases))
    return value


def _edit(value: Edit) -> Edit:
    from jitid.roster import stated

    if value.manager is not None and value.no_manager:
        raise UsageError("a manager and no manager contradict each other")
    # An amendment may be of anything: what it is of says what its words have to be.
    return value._replace(
        entitlements=_amended(value.entitlements, stated.entitlements),
        groups=_amended(value.groups, stated.groups),
        aliases=_amended(value.aliases, stated.aliases),
    )


def _amended(value: Amendment, check: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Amendment:
    return value._replace(add=check(value.add), remove=check(value.remove))


def _log(value: ReadLog) -> ReadLog:
    if value.limit is None:
        raise UsageError(f"how many events are wanted has to be said, at most {MOST_ROWS} at a time")
    return value


WHOLE: Mapping[str, Form] = {
    "operations.ReadLog": Form(_log, {}),
    "request.IssueRequest": Form(_request, {}),
    "stated.Stated": Form(_person_stated, {}),
    "delegators.Edit": Form(_edit, {}),
}
"""What is said of whole records, besides what is said of their fields."""

KEPT_BACK: Mapping[str, frozenset[str]] = {
    "request.IssueRequest": frozenset({"proved_delegator", "proved_subject"}),
}
"""Fields that this side alone fills: whom something proves is for nobody to say who asks."""

LOCAL = frozenset({"Examine", "BootstrapAccess", "Authenticate", "FindClientKeys", "UseAssertion"})
"""Operations for the machine that the ledger is on: they tell of its files, or of who asks from elsewhere."""


def owned(owner: type) -> str:
    """Return how a record is called in these tables."""
    return f"{owner.__module__.rpartition('.')[2]}.{owner.__name__}"


def form_of(owner: type, field: str) -> Form | None:
    """Return what may stand in a field of a request; None for a field that nobody has thought about."""
    for key in (f"{owned(owner)}.{field}", f"{owner.__name__}.{field}"):
        if key in BY_FIELD:
            return BY_FIELD[key]
    return BY_NAME.get(field)
