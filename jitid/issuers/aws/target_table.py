"""Options of a target of AWS and of its templates, and their validation."""

from __future__ import annotations

from collections.abc import Mapping

from jitid.errors import ConfigurationError, UsageError
from jitid.issuers.aws.session_policy import (
    LEAST_SECONDS,
    LONGEST_SECONDS,
    AwsRight,
    Role,
    policy_arns,
    rights,
    role_of,
)
from jitid.issuers.target_issuer import TargetOption
from jitid.model.target import Target
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import parse_duration

OPTIONS: Mapping[str, TargetOption] = {
    "region": TargetOption("text", "the region whose STS is asked, such as eu-central-1", required=True),
    "credentials_file": TargetOption(
        "place", "a private file in AWS's form with the keys that assume the roles"
    ),
    "profile": TargetOption("text", "the profile in that file; `default` unless set"),
    "instance_role": TargetOption(
        "flag", "assume the roles with the role of this machine of EC2, instead of keys"
    ),
    "web_identity": TargetOption(
        "flag", "assume the roles with a JWT that the ledger's key signs, instead of keys"
    ),
    "audience": TargetOption("text", "the audience of that JWT; `sts.amazonaws.com` unless set"),
    "iam_role_arn": TargetOption(
        "text", "the role that is taken to read and write role policies and to list keys"
    ),
    "endpoint_url": TargetOption("text", "one address for all calls, instead of AWS's own"),
    "ca_file": TargetOption("place", "certificates that vouch for that address, instead of the system's"),
}
TEMPLATE_OPTIONS: Mapping[str, TargetOption] = {
    "role_arn": TargetOption("text", "the role that is assumed", required=True),
    "duration": TargetOption("duration", "no longer than the role's MaxSessionDuration; 1h unless set"),
    "external_id": TargetOption("text", "what the role's trust policy asks for as sts:ExternalId"),
    "scopes": TargetOption("tables", "what those who hold a scope may do: actions, resources, policy_arns"),
    "policy_arns": TargetOption("texts", "managed policies of each session, whatever its scopes"),
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
            f"the target {target.name} has no template {quote(name or '')}",
            f"its templates: {template_names}; write one as [target.{target.name}.template.NAME]",
        )
    table = target.templates[name]
    where = f"the template {name} of the target {target.name}"
    arn = str(table["role_arn"])
    role = role_of(arn)
    if role is None:
        raise ConfigurationError(
            f"role_arn of {where} is no ARN of a role", "write arn:aws:iam::ACCOUNT:role/NAME"
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
        raise ConfigurationError(f"duration of {where}: {error.message}", error.hint) from None
    if not LEAST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ConfigurationError(f"duration of {where} is none that AWS has: 15m to 12h")
    return seconds
