"""Texts for AWS: session policies, the source identity, session tags, and the denial of single sessions.

The denial is written into the inline policy of the role, safe against concurrent writers. Also the options of a target
and of its templates, and their validation.

AWS cannot change a policy on the condition that it is unchanged since it was read. So no policy is ever changed: each
batch is a separate policy, and its name contains a hash of its text. A new policy combines small ones before they are
deleted. Even if two writers work at the same time, or one stops at any point, every session stays denied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from jitid.errors import ConfigurationError, JitidError, StorageError, UsageError
from jitid.issuers.aws.api import Aws, AwsError, AwsMissingError, Keys
from jitid.issuers.target_issuer import TargetOption, agent_of, task_of
from jitid.model.target import Target, TargetRecord
from jitid.model.task import UNKNOWN_OWNER
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.scope import Scope, common, parse_scope
from jitid.values.text import quote
from jitid.values.times import format_time, parse_duration

VERSION = "2012-10-17"
"""The version of the policy language; there is no newer one."""
MAX_SESSION_POLICY = 2048
"""Maximum characters of an inline session policy (AssumeRole, `Policy`); AWS also limits its packed form."""
MAX_POLICY_ARNS = 10
MAX_SOURCE_IDENTITY = 64
MAX_TAG = 256
"""Maximum characters of a session tag's value: letters, digits, spaces and `_.:/=+-@` (STS, `Tag`)."""
LEAST_SECONDS = 900
"""The shortest session that AWS makes."""
LONGEST_SECONDS = 43_200

TAG_AGENT = "jitid:agent"
TAG_TASK = "jitid:task"
TAG_DELEGATOR = "jitid:delegator"
"""Used only if the source identity is too short for the delegator."""

_PLACE = re.compile(r"\{([1-9][0-9]?)\}")
_ACTION = re.compile(r"\*|[a-z0-9-]+:[A-Za-z0-9*]+")
_RESOURCE = re.compile(r"\*|arn:[a-z*-]+:[!-~]+")
_POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[!-~]+")
_HASHED = 26


class AwsRight(Record):
    """One row of a template's table `scopes`: the rights of holders of a scope."""

    scope: Scope
    """A pattern: `s3:*:read`."""
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    """`{2}` stands for the second segment of the scope that was granted."""
    policy_arns: tuple[str, ...]


class AwsGrant(Record):
    """The rights that a template gives for the scopes of a credential."""

    statements: list[dict[str, Any]]
    policy_arns: list[str]
    scopes: list[str]
    """The scopes of the credential that give rights by the template."""


def rights(table: Mapping[str, Any], where: str) -> list[AwsRight]:
    """Return the rows of a table `scopes`; `where` names the template in errors.

    Raises ConfigurationError for an invalid row.
    """
    aws_rights = []
    for scope_text, row in table.items():
        name = f"scope {quote(str(scope_text))} of {where}"
        try:
            scope = parse_scope(scope_text)
        except UsageError as error:
            raise ConfigurationError(f"{name} is not a scope: {error.message}", error.hint) from None
        if not isinstance(row, Mapping) or set(row) - {"actions", "resources", "policy_arns"}:
            raise ConfigurationError(
                f"{name} must be a table of `actions`, `resources` and `policy_arns`",
                'write { actions = ["s3:GetObject"], resources = ["arn:aws:s3:::BUCKET/*"] }',
            )
        actions, resources, arns = (
            _texts(row.get(key, ()), pattern, f"`{key}` of {name}")
            for key, pattern in (
                ("actions", _ACTION),
                ("resources", _RESOURCE),
                ("policy_arns", _POLICY_ARN),
            )
        )
        if bool(actions) != bool(resources) or not (actions or arns):
            raise ConfigurationError(
                f"{name} grants no rights: `actions` with `resources`, or `policy_arns`, are required"
            )
        segments = scope.count(":") + 1
        if any(int(position) > segments for resource in resources for position in _PLACE.findall(resource)):
            raise ConfigurationError(f"`resources` of {name} refer to a segment that the scope lacks")
        aws_rights.append(AwsRight(scope, actions, resources, arns))
    return aws_rights


def policy_arns(values: object, where: str) -> tuple[str, ...]:
    """Return the ARNs of managed policies that a template gives to each session. Raises ConfigurationError."""
    return _texts(values, _POLICY_ARN, f"`policy_arns` of {where}")


def _texts(values: object, pattern: re.Pattern[str], label: str) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple)) or not all(
        isinstance(text, str) and pattern.fullmatch(_PLACE.sub("x", text)) for text in values
    ):
        raise ConfigurationError(f"{label} must be a list of texts in AWS's syntax")
    return tuple(values)


def grant(scopes: Iterable[str], table: Sequence[AwsRight], always: Sequence[str] = ()) -> AwsGrant:
    """Return the rights that a template gives for the granted scopes, and never more than they cover.

    If only a part of a row's pattern was granted, each of its resources must name the narrower segments. Otherwise
    the row would give rights that were not granted, so it gives none. Managed policies name no segments.
    """
    statements: list[dict[str, Any]] = []
    arns = list(always)
    scopes_with_rights: list[str] = []
    for scope in scopes:
        for right in table:
            common_scope = common(Scope(scope), right.scope)
            if common_scope is None:
                continue
            segments, pattern = common_scope.split(":"), right.scope.split(":")
            narrower = {
                position for position, segment in enumerate(segments, 1) if segment != pattern[position - 1]
            }
            named_segments = [
                {int(position) for position in _PLACE.findall(resource)} for resource in right.resources
            ]
            if narrower and (
                right.policy_arns or not all(narrower <= positions for positions in named_segments)
            ):
                continue
            scopes_with_rights.append(scope)
            arns += [arn for arn in right.policy_arns if arn not in arns]
            filled = [_PLACE.sub(lambda match: segments[int(match[1]) - 1], text) for text in right.resources]  # noqa: B023
            statement = {"Effect": "Allow", "Action": _one(right.actions), "Resource": _one(filled)}
            if right.actions and statement not in statements:
                statements.append(statement)
    return AwsGrant(statements, arns, list(dict.fromkeys(scopes_with_rights)))


def session_policy(granted: AwsGrant, expires_at: int) -> str:
    """Return the inline session policy (IAM User Guide, "Session policies"): the granted rights, until the expiry.

    AWS makes no session shorter than 15 minutes. From `expires_at` on, seconds since the epoch, the policy allows
    nothing. It then also denies rights from managed session policies or from a resource's own policy.

    Raises UsageError if the policy is longer than AWS accepts.
    """
    expiry = {"aws:CurrentTime": format_time(expires_at)}
    allowed = granted.statements
    if not allowed and not granted.policy_arns:
        # AWS permits this action to every session. Without a policy the session would have all rights of its role.
        allowed = [{"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}]
    text = document(
        [
            *({**statement, "Condition": {"DateLessThan": expiry}} for statement in allowed),
            _everything("Deny", {"DateGreaterThanEquals": expiry}, sid="Expired"),
        ]
    )
    if len(text) > MAX_SESSION_POLICY:
        raise UsageError(
            f"the session policy would have {len(text)} characters; AWS accepts {MAX_SESSION_POLICY}",
            "request fewer scopes, or move rights of the template to `policy_arns`",
        )
    if len(granted.policy_arns) > MAX_POLICY_ARNS:
        raise UsageError(
            f"the session would have {len(granted.policy_arns)} managed policies; AWS accepts {MAX_POLICY_ARNS}",
            "request fewer scopes",
        )
    return text


def document(statements: Sequence[Mapping[str, Any]]) -> str:
    """Return a policy as text, without a space: AWS counts characters."""
    return strict_json.dumps({"Version": VERSION, "Statement": list(statements)})


def _everything(effect: str, condition: Mapping[str, Any], sid: str | None = None) -> dict[str, Any]:
    sid_member = {} if sid is None else {"Sid": sid}
    return {**sid_member, "Effect": effect, "Action": "*", "Resource": "*", "Condition": condition}


def _one(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def source_identity(delegator: str) -> str:
    """Return a delegator in the characters of a SourceIdentity: letters, digits and `_+=,.@-`, 64 at most.

    `user:alice` becomes `user=alice`, and `/` becomes `,`. Names contain neither `=` nor `,`, so this can be
    reversed. A text that is too long becomes `user,`, a hash, `,` and the first part of the name; no other text has
    a comma there.
    """
    text = delegator.translate(_TO_AWS)
    if len(text) <= MAX_SOURCE_IDENTITY:
        return text
    kind, _, name = text.partition("=")
    digest = sha256(delegator.encode()).hexdigest()[:_HASHED]
    return f"{kind},{digest},{name}"[:MAX_SOURCE_IDENTITY]


def delegator_of(identity: str) -> str | None:
    """Return the delegator from a SourceIdentity; None if it was shortened."""
    kind, separator, _ = identity.partition("=")
    return identity.translate(_FROM_AWS) if separator and "," not in kind else None


_TO_AWS = str.maketrans(":/", "=,")
_FROM_AWS = str.maketrans("=,", ":/")


def session_tags(record: TargetRecord) -> dict[str, str]:
    """Return the session tags. jitid's names use only AWS's tag characters, and at most half of their maximum length.

    The task is `OWNER/NAME`, with `=` instead of each `/` of the owner. A policy for it matches no other owner's
    task of that name.
    """
    tags = {TAG_AGENT: agent_of(record), TAG_TASK: _task_tag(record)}
    if delegator_of(source_identity(record.delegator)) is None:
        tags[TAG_DELEGATOR] = record.delegator
    return tags


def _task_tag(record: TargetRecord) -> str:
    # Names contain no `=`, and no owner begins with one, so no two tasks have the same tag.
    if record.task_opener in ("", UNKNOWN_OWNER):
        return f"=/{record.task}"
    text = task_of(record, "=")
    if len(text) <= MAX_TAG:
        return text
    return f"={sha256(record.task_opener.encode()).hexdigest()[:_HASHED]}/{record.task}"


class Denial(Record):
    """An inline policy of a role that denies everything to single sessions.

    Its name contains all facts but the sessions, and its text never changes. Concurrent writers write separate
    policies, and no writer overwrites another's policy.
    """

    sessions: int
    """Number of sessions."""
    until: int
    """Seconds since the epoch. All sessions have expired by then, and the policy can be deleted."""
    made: int
    """When it was written; seconds since the epoch."""
    digest: str
    ledger: str

    @property
    def name(self) -> str:
        """Return the policy's name."""
        return f"jitid-denied-{self.ledger}-{self.made}-{self.until}-{self.sessions}-{self.digest}"


def denial(issuer: str, jtis: Iterable[str], until: int, now: int) -> tuple[Denial, str]:
    """Return the policy that denies everything to the sessions of these names, and its text.

    `aws:userid` of a session is the id of its role, a colon, and the session's name (IAM User Guide, "AWS global
    condition context keys"). The policy belongs to the role, so the role's id need not be written.
    """
    names = sorted(set(jtis))
    text = document([_everything("Deny", {"StringLike": {"aws:userid": [f"*:{name}" for name in names]}})])
    digest = sha256(f"{until} {text}".encode()).hexdigest()[:16]
    return Denial(len(names), until, now, digest, ledger_mark(issuer)), text


def parse_denial(name: str, issuer: str) -> Denial | None:
    """Return the denial that a policy's name describes; None if it is not a denial of this ledger."""
    match = _DENIAL.fullmatch(name)
    if match is None or match[1] != ledger_mark(issuer):
        return None
    return Denial(int(match[4]), int(match[3]), int(match[2]), match[5], match[1])


def denied_in(policy: object) -> list[str]:
    """Return the names of the sessions in a denial's text; empty if the text is not (or no longer) a denial."""
    try:
        (statement,) = policy["Statement"]  # type: ignore[index]
        denies_all = (statement["Effect"], statement["Action"], statement["Resource"]) == ("Deny", "*", "*")
        patterns = statement["Condition"]["StringLike"]["aws:userid"]
        if (
            not denies_all
            or len(statement["Condition"]) != 1
            or len(statement["Condition"]["StringLike"]) != 1
        ):
            return []
        patterns = [patterns] if isinstance(patterns, str) else patterns
        return [str(pattern).removeprefix("*:") for pattern in patterns]
    except (KeyError, TypeError, ValueError):
        return []


_DENIAL = re.compile(r"jitid-denied-([0-9a-f]{8})-([0-9]{1,12})-([0-9]{1,12})-([0-9]{1,4})-([0-9a-f]{16})")


def ledger_mark(issuer: str) -> str:
    """Return the mark that distinguishes the policies of one ledger from those of another."""
    return sha256(issuer.encode()).hexdigest()[:8]


_CHUNK = 100
"""Maximum number of sessions in one policy: all inline policies of a role have 10,240 characters together."""
_SMALL = 25
_MANY = 4
"""Number of policies with fewer than `_SMALL` sessions from which on they are combined."""
_EVERYWHERE = 120
"""Seconds after which a new policy is certainly in effect everywhere at AWS."""
_PAUSE = 0.1
_ROLE = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):role/([\x21-\x7e]*/)?([\w+=,.@-]{1,64})", re.ASCII)
_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([\w+=,.@-]{1,64})/(.+)", re.ASCII)


class Role(Record):
    """A role, as far as the ARNs of its sessions identify it."""

    partition: str
    account: str
    name: str

    def session(self, name: str) -> str:
        """Return the ARN of one of its sessions."""
        return f"arn:{self.partition}:sts::{self.account}:assumed-role/{self.name}/{name}"


def role_of(arn: str) -> Role | None:
    """Return the role of an ARN; None for any other text."""
    match = _ROLE.fullmatch(arn)
    return None if match is None else Role(match[1], match[2], match[4])


def role_of_session(arn: str) -> Role | None:
    """Return the role of a session's ARN; None for any other text."""
    match = _SESSION.fullmatch(arn)
    return None if match is None else Role(*match.group(1, 2, 3))


class Denials:
    """The denials that one ledger has at the roles of one account."""

    def __init__(self, aws: Aws, keys: Callable[[], Keys], issuer: str) -> None:
        self._aws = aws
        self._keys = keys
        self._issuer = issuer

    def of(self, role: Role) -> list[Denial]:
        """Return all denials of a role. Raises as `Aws.call`."""
        names = self._aws.pages("list_role_policies", self._keys(), "PolicyNames", RoleName=role.name)
        policies = (parse_denial(str(name), self._issuer) for name in names)
        return [policy for policy in policies if policy is not None]

    def deny(
        self, role: Role, sessions: Iterable[str], until: int, now: int, policies: dict[str, str]
    ) -> None:
        """Deny everything to sessions of a role until `until`; record in `policies` the denying policy of each session.

        Raises as `Aws.call`. Sessions that are denied by then stay denied and are in `policies`; others may be tried
        again.
        """
        active = []
        for policy in self.of(role):
            if policy.until > now:
                active.append(policy)
            else:
                self._remove(role, policy)
        requested = sorted(set(sessions))
        chunks = [requested[start : start + _CHUNK] for start in range(0, len(requested), _CHUNK)]
        while chunks:
            chunk = chunks.pop(0)
            try:
                new_policy = self._write(role, chunk, until, now)
            except AwsError as error:
                if error.aws != "LimitExceeded" or len(chunk) == 1:
                    raise
                # There may be room for a part of the sessions.
                middle = len(chunk) // 2
                chunks[:0] = [chunk[:middle], chunk[middle:]]
                continue
            active.append(new_policy)
            policies.update(dict.fromkeys(chunk, new_policy.name))
        if sum(policy.sessions < _SMALL for policy in active) >= _MANY:
            # All sessions are denied already, so a failure to combine policies is harmless.
            with suppress(AwsError, StorageError):
                self._gather(role, active, now)

    def holding(self, role: Role, session: str) -> Denial | None:
        """Return a denial of a session, if there is one. Raises as `Aws.call`."""
        return next((policy for policy, denied in self.all(role) if denied == session), None)

    def all(self, role: Role) -> Iterator[tuple[Denial, str]]:
        """Yield each denied session with its denial. Raises as `Aws.call`."""
        for policy in self.of(role):
            for session in self._read(role, policy):
                yield policy, session

    def _write(self, role: Role, sessions: Collection[str], until: int, now: int) -> Denial:
        new_policy, text = denial(self._issuer, sessions, until, now)
        self._aws.call(
            "iam",
            "put_role_policy",
            self._keys(),
            RoleName=role.name,
            PolicyName=new_policy.name,
            PolicyDocument=text,
        )
        pause = _PAUSE
        # Readers see a new policy only after a moment.
        while set(self._read(role, new_policy)) != set(sessions):
            if not self._aws.sleep(pause):
                raise self._aws.garbled("the stored policy differs from the policy that was written")
            pause *= 2
        return new_policy

    def _gather(self, role: Role, active: list[Denial], now: int) -> None:
        """Delete policies whose sessions a larger policy denies too, and write one policy for several small ones.

        A new policy must be in effect everywhere before the policies that it replaces are deleted: AWS promises
        readers no order.
        """
        read_sessions = {policy: set(self._read(role, policy)) for policy in active}
        # A policy that could not be read as a whole is left alone: its sessions may be in no other.
        complete = {
            policy: sessions for policy, sessions in read_sessions.items() if len(sessions) == policy.sessions
        }
        small = []
        for policy, sessions in complete.items():
            covering = [
                other
                for other, other_sessions in complete.items()
                if other > policy and other.until >= policy.until and other_sessions >= sessions
            ]
            if any(other.made <= now - _EVERYWHERE for other in covering):
                self._remove(role, policy)
            elif not covering and policy.sessions < _SMALL:
                small.append(policy)
        combined = sorted(set[str]().union(*(complete[policy] for policy in small)))
        if len(small) >= _MANY and len(combined) <= _CHUNK:
            self._write(role, combined, max(policy.until for policy in small), now)

    def _read(self, role: Role, policy: Denial) -> list[str]:
        try:
            answer = self._aws.call(
                "iam", "get_role_policy", self._keys(), RoleName=role.name, PolicyName=policy.name
            )
        except AwsMissingError:
            # Another writer has combined it with others in the meantime; the new policy was there before.
            return []
        document = answer.get("PolicyDocument")
        if isinstance(document, str):
            try:
                document = strict_json.loads(unquote(document))
            except strict_json.StrictJSONError:
                raise self._aws.garbled("a policy that is not JSON") from None
        return denied_in(document)

    def _remove(self, role: Role, policy: Denial) -> None:
        # A policy that stays is harmless: its sessions are expired, or another policy denies them too.
        with suppress(JitidError):
            self._aws.call(
                "iam", "delete_role_policy", self._keys(), RoleName=role.name, PolicyName=policy.name
            )


OPTIONS: Mapping[str, TargetOption] = {
    "region": TargetOption("text", "the AWS region of STS, such as eu-central-1", required=True),
    "credentials_file": TargetOption(
        "place", "a private AWS credentials file with the keys that assume the roles"
    ),
    "profile": TargetOption("text", "the profile in that file (default: `default`)"),
    "instance_role": TargetOption(
        "flag", "assume the roles with the role of this EC2 instance, instead of keys"
    ),
    "web_identity": TargetOption(
        "flag", "assume the roles with a JWT signed by the ledger's key, instead of keys"
    ),
    "audience": TargetOption("text", "the audience of that JWT (default: `sts.amazonaws.com`)"),
    "iam_role_arn": TargetOption("text", "the role to assume for role policies and lists of keys"),
    "endpoint_url": TargetOption("text", "one address for all calls, instead of AWS's own"),
    "ca_file": TargetOption("place", "CA certificates (PEM) for that address, instead of the system's"),
}
TEMPLATE_OPTIONS: Mapping[str, TargetOption] = {
    "role_arn": TargetOption("text", "the role to assume", required=True),
    "duration": TargetOption(
        "duration", "maximum session lifetime, up to the role's MaxSessionDuration (default: 1h)"
    ),
    "external_id": TargetOption("text", "the value of `sts:ExternalId` in the role's trust policy"),
    "scopes": TargetOption("tables", "the rights of each scope: `actions`, `resources`, `policy_arns`"),
    "policy_arns": TargetOption("texts", "managed policies of every session, independent of its scopes"),
}


class Template(Record):
    """The validated template of a session."""

    arn: str
    role: Role
    seconds: int
    """The longest session, in seconds."""
    external_id: str | None
    rights: list[AwsRight]
    policy_arns: tuple[str, ...]


def template_of(target: Target, name: str | None) -> Template:
    """Return a template of a target. Raises ConfigurationError for a missing or invalid template."""
    if name is None or name not in target.templates:
        template_names = ", ".join(sorted(target.templates)) or "none yet"
        raise ConfigurationError(
            f"target {target.name} has no template {quote(name or '')}",
            f"its templates: {template_names}; define one as [target.{target.name}.template.NAME]",
        )
    table = target.templates[name]
    where = f"template {name} of target {target.name}"
    arn = str(table["role_arn"])
    role = role_of(arn)
    if role is None:
        raise ConfigurationError(
            f"`role_arn` of {where} is not the ARN of a role", "write arn:aws:iam::ACCOUNT:role/NAME"
        )
    return Template(
        arn,
        role,
        _longest(table.get("duration", "1h"), where),
        table.get("external_id"),
        rights(table.get("scopes", {}), where),
        policy_arns(table.get("policy_arns", ()), where),
    )


def _longest(value: object, where: str) -> int:
    try:
        seconds = value if isinstance(value, int) else parse_duration(str(value))
    except UsageError as error:
        raise ConfigurationError(f"`duration` of {where}: {error.message}", error.hint) from None
    if not LEAST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ConfigurationError(f"`duration` of {where} must be from 15m to 12h")
    return seconds
