"""Sessions of AWS roles (`aws-sts`): limited to the granted rights and to jitid's expiry, and denied one by one.

AWS has no call that ends a session, but it has policies: a session may do anything that its role and its session
policy both allow, unless one of them denies it. So jitid makes a session with a session policy that allows the granted
rights until jitid's expiry. To end a session, jitid adds a denial to the role's policies. It names only this session
(`aws:userid`) and does not affect others. AWS answers GetCallerIdentity even to a denied session, and it lists no
sessions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from jitid.errors import ConfigurationError, JitidError, RefusedError, StorageError, UsageError
from jitid.issuers.aws.admin_access import PARTS, AwsAccess, StandingKeys
from jitid.issuers.aws.api import SKEWED, Aws, AwsError, AwsMissingError, Keys
from jitid.issuers.aws.session_policy import (
    LEAST_SECONDS,
    Denials,
    Role,
    Template,
    grant,
    role_of_session,
    session_policy,
    session_tags,
    source_identity,
    template_of,
)
from jitid.issuers.target_issuer import OutsideIssuer
from jitid.keys.keyring import Signer
from jitid.model.credential import Kind
from jitid.model.target import (
    EndOutcome,
    Existing,
    Life,
    MadeCredential,
    Probe,
    Settlement,
    Target,
    TargetRecord,
    jti_of,
)
from jitid.values import strict_json
from jitid.values.names import spiffe_id
from jitid.values.secret import Secret
from jitid.values.text import safe
from jitid.values.times import format_duration, format_time

_AT_ONCE = 8
"""Maximum number of simultaneous calls about users."""
_MAX_CLOCK_SKEW = 900
"""Maximum difference of AWS's clock in seconds; beyond it AWS accepts no request."""
_LONGEST_SUBJECT = 255
"""Maximum characters of a JWT's `sub` (AssumeRoleWithWebIdentity, `SubjectFromWebIdentityToken`)."""
_TAGS = "https://aws.amazon.com/tags"
_SOURCE = "https://aws.amazon.com/source_identity"
_ENDED_CODES = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}
)


class AwsStsIssuer(OutsideIssuer):
    """Sessions of the roles of one target."""

    unseen: ClassVar[str | None] = "AWS cannot list sessions: only denied sessions are found"

    def __init__(
        self,
        target: Target,
        *,
        timeout: float,
        issuer: str,
        trust_domain: str | None = None,
        signer: Callable[[], Signer] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set the table of a target.

        `issuer` is the ledger's `iss`, `trust_domain` is that of its agents. `signer` returns its key for ES256,
        which web identity needs. Raises ConfigurationError if the table is invalid.
        """
        self._target = target
        self._timeout = timeout
        self._issuer = issuer
        self._trust_domain = trust_domain
        self._clock = clock
        options = target.options
        self._aws = Aws(
            target.name, str(options["region"]), options.get("endpoint_url"), options.get("ca_file")
        )
        self._access = AwsAccess(target, self._aws, issuer, signer, timeout, clock)
        self._denials = Denials(self._aws, self._access.administrator, issuer)

    def mint(self, record: TargetRecord, remember: Callable[[str], None]) -> MadeCredential:  # noqa: ARG002 - derived from the name
        """Assume the template's role with the rights for the credential's scopes; the jti is the session's name."""
        template = self._template(record)
        granted = grant(record.scopes, template.rights, template.policy_arns)
        policy = session_policy(granted, record.expires_at)
        lifetime = record.expires_at - int(self._clock())
        if lifetime > template.seconds:
            # The ledger would show the session as live after AWS has ended it.
            raise UsageError(
                f"the requested lifetime is {format_duration(lifetime)}; template {record.template} permits "
                f"{format_duration(template.seconds)} at most",
                f"use --ttl {format_duration(template.seconds)}, or raise `duration` of the template, up to the role's "
                "MaxSessionDuration",
            )
        members: dict[str, Any] = {
            "RoleArn": template.arn,
            "RoleSessionName": record.jti,
            "DurationSeconds": max(LEAST_SECONDS, lifetime),
            "Policy": policy,
        }
        if granted.policy_arns:
            members["PolicyArns"] = [{"arn": arn} for arn in granted.policy_arns]
        self._aws.begin(self._timeout)
        answer = self._assume(record, members, template.external_id)
        secret, session_end = self._access.keys_of(answer)
        session = template.role.session(record.jti)
        if (answer.get("AssumedRoleUser") or {}).get("Arn") != session:
            # A denial would use a name that the session does not have. Only this process has the keys.
            raise self._aws.garbled("the session does not have the requested name")
        facts: dict[str, Any] = {
            "role_arn": template.arn,
            "source_identity": source_identity(record.delegator),
            "session_policy": strict_json.loads(policy),
            "policy_arns": list(granted.policy_arns),
            "scopes_without_rights": [scope for scope in record.scopes if scope not in granted.scopes],
            # AWS refuses the keys from then on; the session policy denies everything from jitid's expiry on.
            "session_ends_at": session_end,
            # The holder of the keys must send requests there.
            "region": self._target.options["region"],
        }
        if "endpoint_url" in self._target.options:
            facts["endpoint_url"] = self._target.options["endpoint_url"]
        if self._aws.skew is not None and abs(self._aws.skew) >= SKEWED:
            facts["clock_of_aws"] = f"{self._aws.skew:+d}s"
        return MadeCredential(secret, session, facts)

    def revoke(self, records: Sequence[TargetRecord]) -> list[EndOutcome]:
        """Deny sessions by policies of their roles, the sessions of each role together; deactivate adopted keys."""
        now = int(self._clock())
        self._aws.begin(self._timeout)
        outcomes: list[EndOutcome | None] = [
            self._standing_keys().end(record.name)
            if record.kind == Kind.ADOPTED
            else self._settled(record, now)
            for record in records
        ]
        waiting: dict[Role, list[int]] = {}
        for position, record in enumerate(records):
            role = role_of_session(record.reference or "")
            if outcomes[position] is None and role is None:
                outcomes[position] = EndOutcome(
                    Settlement.STUCK, "the ledger's reference is not the ARN of a session", record.expires_at
                )
            elif outcomes[position] is None and role is not None:
                waiting.setdefault(role, []).append(position)
        for role, positions in waiting.items():
            for position, outcome in zip(
                positions, self._deny(role, [records[position] for position in positions], now), strict=True
            ):
                outcomes[position] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def probe(self, record: TargetRecord, secret: Secret | None = None) -> Probe:
        """Check the denials of its role; with the secret, also try a call that the denial covers.

        GetCallerIdentity proves nothing: AWS answers it to a denied session too. The call is a request for the
        account's aliases. If the session may not see them, AWS's message shows whether there was a denial or only no
        permission.
        """
        self._aws.begin(self._timeout)
        if record.kind == Kind.ADOPTED:
            return self._standing_keys().probe(record.name)
        if secret is not None:
            answer = self._try(Keys(*(secret.reveal(part) for part in PARTS)))
            if answer is not None:
                return answer
        settled = self._settled(record, int(self._clock()))
        if settled is not None:
            return Probe(Life.DEAD, settled.proof)
        role = role_of_session(record.reference or "")
        if role is None:
            return Probe(Life.UNKNOWN, "the ledger's reference is not the ARN of a session")
        try:
            self._access.check_account(role)
            denial = self._denials.holding(role, record.jti)
        except AwsMissingError:
            return Probe(Life.DEAD, f"role {role.name} no longer exists")
        except (RefusedError, ConfigurationError) as error:
            return Probe(Life.UNKNOWN, error.message)
        if denial is not None:
            return Probe(Life.DEAD, f"policy {denial.name} of role {role.name} denies all its requests")
        if secret is not None:
            return Probe(Life.UNKNOWN, "AWS refuses its request, but no jitid policy denies all its requests")
        return Probe(Life.LIVE, f"no policy of role {role.name} denies it")

    def inventory(self) -> Iterator[Existing]:
        """Yield the denied sessions, and all access keys of IAM users, which never expire."""
        deadline = self._aws.begin(self._timeout)
        roles = {template_of(self._target, name).role for name in self._target.templates}
        for role in sorted(roles):
            self._access.check_account(role)
            for denial, session in self._denials.all(role):
                yield Existing(
                    session,
                    jti_of(self._target, session),
                    live=False,
                    detail=f"denied by {denial.name} of role {role.name} until {format_time(denial.until)}",
                )
        keys = self._access.administrator()
        from concurrent.futures import ThreadPoolExecutor

        def keys_of(user: Mapping[str, Any]) -> list[Existing]:
            self._aws.share(deadline)
            name = user.get("UserName")
            if not isinstance(name, str):
                raise self._aws.garbled("a user without a name")
            try:
                access_keys = self._aws.pages("list_access_keys", keys, "AccessKeyMetadata", UserName=name)
                return [self._existing_key(key, keys) for key in access_keys]
            except AwsMissingError:
                # The user was deleted after the listing.
                return []

        # Each user and each key is a call, and an account may have a thousand.
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for access_keys in pool.map(keys_of, self._aws.pages("list_users", keys, "Users")):
                yield from access_keys

    def close(self) -> None:
        """Close the connections and forget the keys."""
        self._aws.close()
        self._access.close()

    def _standing_keys(self) -> StandingKeys:
        return StandingKeys(self._aws, self._access)

    def _template(self, record: TargetRecord) -> Template:
        if record.template or record.scopes or not self._target.templates:
            return template_of(self._target, record.template)
        # A request without scopes gets a session without rights, of any role; canaries are made like this.
        template = template_of(self._target, min(self._target.templates))
        return template._replace(rights=[], policy_arns=())

    def _assume(
        self, record: TargetRecord, members: Mapping[str, Any], external_id: str | None
    ) -> dict[str, Any]:
        try:
            if self._access.by_token:
                assert self._trust_domain is not None
                subject = spiffe_id(
                    self._trust_domain, record.agent, record.task, record.id, registered=record.under_agent
                )
                if len(subject) > _LONGEST_SUBJECT:
                    raise UsageError(
                        f"the agent's SPIFFE id has {len(subject)} characters; AWS accepts {_LONGEST_SUBJECT}",
                        "use a shorter name for the agent or the task",
                    )
                tags = session_tags(record)
                token = self._access.token(
                    subject,
                    record.jti,
                    {
                        _TAGS: {
                            "principal_tags": {name: [value] for name, value in tags.items()},
                            "transitive_tag_keys": list(tags),
                        },
                        _SOURCE: source_identity(record.delegator),
                    },
                )
                return self._aws.call(
                    "sts", "assume_role_with_web_identity", WebIdentityToken=token, **members
                )
            tags = session_tags(record)
            optional_members: dict[str, Any] = {} if external_id is None else {"ExternalId": external_id}
            return self._aws.call(
                "sts",
                "assume_role",
                self._access.own(),
                SourceIdentity=source_identity(record.delegator),
                Tags=[{"Key": name, "Value": value} for name, value in tags.items()],
                TransitiveTagKeys=list(tags),
                **members,
                **optional_members,
            )
        except AwsError as error:
            raise self._with_hint(error) from None

    def _with_hint(self, error: AwsError) -> JitidError:
        """Return the error of an attempt to assume a role, with a hint on what to do."""
        aws_message = error.aws_message.lower()
        if error.aws == "PackedPolicyTooLarge" or "too large" in aws_message:
            return UsageError(
                error.message, "request fewer scopes, or move rights of the template to `policy_arns`"
            )
        if "maxsessionduration" in aws_message or "durationseconds" in aws_message:
            return ConfigurationError(
                error.message, "lower `duration` of the template, or raise MaxSessionDuration of the role"
            )
        if error.aws in ("MalformedPolicyDocument", "ValidationError"):
            return ConfigurationError(error.message, "check `scopes` and `policy_arns` of the template")
        if error.aws in ("InvalidIdentityToken", "IDPRejectedClaim"):
            error.hint = (
                f"create an OIDC provider for {self._issuer} in the account, and serve the files of `jitid publish` "
                "there; see jitid-aws(7)"
            )
        if error.aws == "AccessDenied":
            actions = "sts:AssumeRoleWithWebIdentity" if self._access.by_token else "sts:AssumeRole"
            error.hint = (
                f"the role's trust policy must permit {actions}, sts:TagSession and sts:SetSourceIdentity; "
                "see jitid-aws(7)"
            )
        return error

    def _settled(self, record: TargetRecord, now: int) -> EndOutcome | None:
        """Return the outcome for a session that needs no denial; None if it needs one."""
        if record.reference is None:
            # The reference is recorded together with the fingerprints, before the caller gets the keys.
            return EndOutcome(
                Settlement.DONE, "AWS's answer never reached the ledger; its keys were not handed out"
            )
        if now >= record.expires_at:
            return EndOutcome(
                Settlement.DONE,
                f"its session policy denies all requests since {format_time(record.expires_at)}",
            )
        return None

    def _deny(self, role: Role, records: Sequence[TargetRecord], now: int) -> list[EndOutcome]:
        # These sessions last until their expiry, or for AWS's minimum if that is longer.
        denied_until = (
            max(max(record.expires_at, record.issued_at + LEAST_SECONDS) for record in records)
            + _MAX_CLOCK_SKEW
        )
        settlement, proof = Settlement.STUCK, ""
        policies: dict[str, str] = {}
        try:
            self._access.check_account(role)
            self._denials.deny(role, [record.jti for record in records], denied_until, now, policies)
        except AwsError as error:
            settlement, proof = _refused(role, error)
        except StorageError as error:
            settlement, proof = Settlement.UNAVAILABLE, error.message
        except JitidError as error:
            if not self._access.administers:
                settlement = Settlement.UNSUPPORTED
            proof = error.message
        is_done = settlement is Settlement.DONE
        return [
            EndOutcome(
                Settlement.DONE,
                f"policy {policies[record.jti]} of role {role.name} denies all its requests; "
                "AWS applies it within seconds",
            )
            if record.jti in policies
            else EndOutcome(settlement, proof, None if is_done else record.expires_at)
            for record in records
        ]

    def _try(self, keys: Keys) -> Probe | None:
        """Make a call as the holder; return None if the reason for AWS's refusal may be a foreign policy."""
        try:
            self._aws.call("iam", "list_account_aliases", keys, MaxItems=1)
        except AwsError as error:
            if error.aws in _ENDED_CODES:
                return Probe(Life.DEAD, f"AWS answered {error.aws}")
            if error.aws not in ("AccessDenied", "AccessDeniedException"):
                return Probe(Life.UNKNOWN, error.message)
            # Only jitid sets the session policy; another explicit denial may come from a foreign policy.
            if "explicit deny in a session policy" in error.aws_message:
                return Probe(Life.DEAD, "its session policy denies all requests")
            if "because no " in error.aws_message:
                return Probe(Life.LIVE, "AWS accepts the session; it only lacks permission for this call")
            return None
        finally:
            self._aws.forget(keys)
        return Probe(Life.LIVE, "AWS answered its request ListAccountAliases")

    def _existing_key(self, key: Mapping[str, Any], keys: Keys) -> Existing:
        try:
            name, user, created = str(key["AccessKeyId"]), str(key["UserName"]), key.get("CreateDate")
            answer = self._aws.call("iam", "get_access_key_last_used", keys, AccessKeyId=name)
            last_use = answer.get("AccessKeyLastUsed") or {}
            used = last_use.get("LastUsedDate")
            service = str(last_use.get("ServiceName") or "N/A")
            detail = f"access key of IAM user {safe(user)}"
            if used is not None and service != "N/A":
                detail += f", last used for {safe(service)} in {safe(str(last_use.get('Region')))}"
            if self._access.is_own(name):
                detail += "; the target's own key"
            return Existing(
                name,
                None,
                key.get("Status") == "Active",
                None if created is None else int(created.timestamp()),
                None if used is None else int(used.timestamp()),
                detail,
            )
        except (KeyError, AttributeError, TypeError, ValueError):
            raise self._aws.garbled("an access key without a name") from None


def _refused(role: Role, error: AwsError) -> tuple[Settlement, str]:
    """Return the outcome of a refusal to deny sessions of a role."""
    if error.aws == "NoSuchEntity":
        return Settlement.DONE, f"role {role.name} no longer exists"
    if error.aws == "LimitExceeded":
        return Settlement.STUCK, (
            f"role {role.name} has no room for another denial (10,240 characters of inline policies); "
            "only all sessions of the role together can be ended: see jitid-aws(7)"
        )
    if error.aws == "UnmodifiableEntity":
        return Settlement.UNSUPPORTED, error.message
    # This includes missing rights of the target's keys: once they have the rights, a retry succeeds.
    return Settlement.STUCK, error.message
