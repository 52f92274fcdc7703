"""Access of a target to AWS: its own keys, JWTs for single agents, and a role that administers other roles.

The keys may be those of the EC2 role of this machine, from the instance metadata service.

And access keys of IAM users, which never expire: their state, and their deactivation.
"""

from __future__ import annotations

import configparser
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from jitid.errors import ConfigurationError, JitidError, RefusedError, StorageError
from jitid.issuers.aws.api import Aws, AwsError, AwsMissingError, Keys
from jitid.issuers.aws.session_policy import LEAST_SECONDS, Role, ledger_mark, role_of
from jitid.keys.keyring import Signer
from jitid.model.target import EndOutcome, Life, Probe, Settlement, Target
from jitid.system.authority_address import Address
from jitid.system.files import check_private, read_regular
from jitid.system.http import Channel, Words
from jitid.values import strict_json
from jitid.values.secret import Secret
from jitid.values.text import quote, safe

AUDIENCE = "sts.amazonaws.com"
PARTS = ("access_key_id", "secret_access_key", "session_token")

_LARGEST_FILE = 1 << 20
_TOKEN_SECONDS = 300
"""Seconds that the JWT for AWS is valid."""
_NBF_MARGIN = 60


class AwsAccess:
    """The credentials with which one target calls AWS."""

    def __init__(
        self,
        target: Target,
        aws: Aws,
        issuer: str,
        signer: Callable[[], Signer] | None,
        timeout: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set the target's table; `signer` returns the ledger's key. Raises ConfigurationError."""
        self._timeout = timeout
        self._target = target
        self._aws = aws
        self._issuer = issuer
        self._signer = signer
        self._clock = clock
        options = target.options
        self._file: str | None = options.get("credentials_file")
        self._profile = str(options.get("profile", "default"))
        self._machine = bool(options.get("instance_role", False))
        self._iam_role: str | None = options.get("iam_role_arn")
        self.by_token = bool(options.get("web_identity", False))
        """Whether roles are assumed with JWTs."""
        if self._file is not None and self._machine:
            raise ConfigurationError(
                f"target {target.name} sets both `credentials_file` and `instance_role`",
                "remove one of them from the configuration",
            )
        if not (self._has_keys or self.by_token):
            raise ConfigurationError(
                f"target {target.name} has no credentials for AWS",
                "set `credentials_file`, `instance_role` or `web_identity`; the environment and ~/.aws are not used",
            )
        if self.by_token and not issuer.startswith("https://"):
            raise ConfigurationError(
                f"target {target.name} has `web_identity`, which requires an https issuer",
                "set issuer = https://HOST/PATH, and serve the files of `jitid publish` there",
            )
        if self._iam_role is not None and role_of(self._iam_role) is None:
            raise ConfigurationError(
                f"`iam_role_arn` of target {target.name} is not the ARN of a role",
                "write arn:aws:iam::ACCOUNT:role/NAME",
            )
        self._base: Keys | None = None
        self._assumed: Keys | None = None
        self._accounts: dict[Keys, str] = {}

    @property
    def administers(self) -> bool:
        """Whether the target has credentials for calls of IAM."""
        return self._iam_role is not None or self._has_keys

    @property
    def _has_keys(self) -> bool:
        """Whether the target has keys, either its own or the machine's."""
        return self._file is not None or self._machine

    def is_own(self, access_key_id: str) -> bool:
        """Return whether a key belongs to the target itself, as far as its keys were read."""
        return self._base is not None and access_key_id == self._base.access_key_id

    def close(self) -> None:
        """Forget the keys."""
        self._base = self._assumed = None
        self._accounts.clear()

    def token(self, subject: str, name: str, claims: Mapping[str, Any]) -> str:
        """Return a JWT for AWS alone, about an agent; `sub` is the agent, since federations ignore `act`."""
        if self._signer is None:
            raise ConfigurationError(
                "web identity requires the ledger's signing key, which is not on this machine"
            )
        signer = self._signer()
        now = int(self._clock())
        header = {"alg": signer.algorithm, "kid": signer.kid, "typ": "JWT"}
        payload = {
            "iss": self._issuer,
            "sub": subject,
            "aud": str(self._target.options.get("audience", AUDIENCE)),
            "exp": now + _TOKEN_SECONDS,
            "iat": now,
            # With a small margin, so that AWS accepts it even if this clock is ahead.
            "nbf": now - _NBF_MARGIN,
            "jti": name,
            **claims,
        }
        signed = ".".join(strict_json.b64url(strict_json.dumps(part).encode()) for part in (header, payload))
        return f"{signed}.{strict_json.b64url(signer.sign(signed.encode()))}"

    def keys_of(self, answer: Mapping[str, Any]) -> tuple[Secret, int]:
        """Return the credentials in an answer of STS, and the time of their expiry. Raises StorageError."""
        try:
            credentials = answer["Credentials"]
            parts = (credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
            return Secret(dict(zip(PARTS, parts, strict=True))), int(credentials["Expiration"].timestamp())
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._aws.garbled("no credentials") from None

    def own(self) -> Keys:
        """Return the target's own keys."""
        if self._base is None and self._file is not None:
            self._base = read_keys(self._file, self._profile)
        elif self._base is None:
            self._base = machine_keys(self._timeout)
        return self._base

    def administrator(self) -> Keys:
        """Return the keys that may read and write role policies."""
        if self._iam_role is None:
            if not self._has_keys:
                raise RefusedError(
                    f"target {self._target.name} has no credentials for IAM: `web_identity` is for agents only",
                    "set `iam_role_arn`, `credentials_file` or `instance_role` for the target",
                )
            return self.own()
        if self._assumed is None:
            name = f"jitid-{ledger_mark(self._issuer)}"
            members = {
                "RoleArn": self._iam_role,
                "RoleSessionName": name,
                "DurationSeconds": LEAST_SECONDS,
            }
            if not self._has_keys:
                token = self.token(self._issuer, name, {})
                answer = self._aws.call(
                    "sts", "assume_role_with_web_identity", WebIdentityToken=token, **members
                )
            else:
                answer = self._aws.call("sts", "assume_role", self.own(), **members)
            secret, _ = self.keys_of(answer)
            self._assumed = Keys(*(secret.reveal(part) for part in PARTS))
        return self._assumed

    def check_account(self, role: Role) -> None:
        """Raise RefusedError for a role of another account: a foreign role in this account may have its name."""
        keys = self.administrator()
        if keys not in self._accounts:
            answer = self._aws.call("sts", "get_caller_identity", keys)
            self._accounts[keys] = str(answer.get("Account"))
        account = self._accounts[keys]
        if account != role.account:
            raise RefusedError(
                f"role {role.name} is in account {role.account}, but the target's keys belong to account "
                f"{safe(account)[:20]}",
                f"set `iam_role_arn` of the target to a role of account {role.account}",
            )


def read_keys(path: str, profile: str) -> Keys:
    """Return the keys of a profile in a private file in AWS's format (`[default]`, `aws_access_key_id = …`).

    Raises:
        IntegrityError: other users may read it, or it is a link.
        ConfigurationError: it is missing, or has no such profile with both keys.

    """
    label = f"the credentials file {quote(path, 200)}"
    try:
        check_private(path, "the credentials file")
        data = read_regular(path, _LARGEST_FILE)
        # Without interpolation: a secret key may hold a `%`.
        parser = configparser.RawConfigParser()
        parser.read_string(data.decode())
        section: Mapping[str, str] = parser[profile]
        access, secret = section["aws_access_key_id"].strip(), section["aws_secret_access_key"].strip()
        token = section.get("aws_session_token", "").strip() or None
    except FileNotFoundError:
        raise ConfigurationError(f"{label} is missing", "set `credentials_file` to its path") from None
    except OSError as error:
        raise ConfigurationError(f"{label} cannot be read: {error.strerror}") from None
    except KeyError:
        raise ConfigurationError(
            f"{label} has no profile {quote(profile)} with aws_access_key_id and aws_secret_access_key"
        ) from None
    except (configparser.Error, ValueError):
        # The error would repeat the line, and the line may be a secret.
        raise ConfigurationError(f"{label} is not in the format of an AWS credentials file") from None
    if not access or not secret:
        raise ConfigurationError(f"{label} has an empty key in profile {quote(profile)}")
    return Keys(access, secret, token)


METADATA = Address("http", "169.254.169.254", 80, "")
"""A link-local address: requests to it never leave the machine's own host."""

_ROLES = "/latest/meta-data/iam/security-credentials/"
_ROLE = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_MOST = 1 << 16
_SESSION_SECONDS = "60"
"""Seconds that the service's session token is valid."""
_PATIENCE = 2.0
"""Maximum seconds for the service: it is on the machine's own host, and outside EC2 there is no answer."""
_CHECK_EC2 = "check that this machine is an EC2 instance"
_WORDS = Words(
    "the instance metadata service",
    _CHECK_EC2,
    "nothing",
    f"{_CHECK_EC2}; containers need a hop limit of 2",
    _CHECK_EC2,
    _CHECK_EC2,
)


def machine_keys(timeout: float) -> Keys:
    """Return the current keys of the machine's role.

    Raises:
        StorageError: there is no answer, or it is not from such a service.
        ConfigurationError: the machine has no role.

    """
    deadline = time.monotonic() + min(timeout, _PATIENCE)
    channel = Channel(METADATA, None, _WORDS)

    def request(method: str, path: str, header: str, value: str) -> str | None:
        answer = channel.request(
            method, path, None, {header: value}, seconds=max(deadline - time.monotonic(), 0.001)
        )
        body = answer.read(_MOST)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise StorageError(f"the instance metadata service answered with status {answer.status}")
        return body.decode("utf-8", "replace")

    try:
        token = (
            request("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", _SESSION_SECONDS)
            or ""
        )
        if not token.isascii() or not token.isprintable():
            raise StorageError("the instance metadata service gave an invalid answer")
        auth_header = "X-aws-ec2-metadata-token"
        role = (request("GET", _ROLES, auth_header, token) or "").strip()
        if not role:
            raise ConfigurationError(
                "this machine has no IAM role", "attach a role to it, or set `credentials_file`"
            )
        document = request("GET", f"{_ROLES}{role}", auth_header, token) if _ROLE.fullmatch(role) else None
        credentials = strict_json.loads(document or "", "the credentials of the machine's role")
        keys = [credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")]
        if not all(isinstance(key, str) and key for key in keys):
            raise TypeError
        return Keys(*keys)
    except (KeyError, TypeError, strict_json.StrictJSONError):
        raise StorageError(
            "the instance metadata service returned no keys for the machine's role",
            "the role's trust policy must permit EC2 to assume it",
        ) from None
    finally:
        channel.close()


_ACTIVE = "Active"


class StandingKeys:
    """Access to IAM's access keys within one call's time limit, with the keys that administer the account."""

    def __init__(self, aws: Aws, access: AwsAccess) -> None:
        self._aws = aws
        self._access = access

    def probe(self, key: str) -> Probe:
        """Check whether a key is active."""
        try:
            user = self._user_of(key)
            status = None if user is None else self._status(user, key)
        except JitidError as error:
            return Probe(Life.UNKNOWN, error.message)
        if user is None or status is None:
            return Probe(Life.DEAD, f"there is no access key {key}")
        label = f"access key {key} of IAM user {safe(user)}"
        return Probe(Life.LIVE if status == _ACTIVE else Life.DEAD, f"{label} is {status.lower()}")

    def end(self, key: str) -> EndOutcome:
        """Make a key inactive, and check that it is; an administrator can activate it again."""
        try:
            return self._ended(key)
        except AwsError as error:
            return EndOutcome(Settlement.STUCK, error.message)
        except StorageError as error:
            return EndOutcome(Settlement.UNAVAILABLE, error.message)
        except JitidError as error:
            return EndOutcome(
                Settlement.STUCK if self._access.administers else Settlement.UNSUPPORTED, error.message
            )

    def _ended(self, key: str) -> EndOutcome:
        user = self._user_of(key)
        if user is None or (status := self._status(user, key)) is None:
            return EndOutcome(Settlement.DONE, f"there is no access key {key}")
        label = f"access key {key} of IAM user {safe(user)}"
        if self._access.is_own(key):
            return EndOutcome(Settlement.STUCK, f"{label} is the target's own key; it was not changed")
        if status == _ACTIVE:
            self._aws.call(
                "iam",
                "update_access_key",
                self._access.administrator(),
                UserName=user,
                AccessKeyId=key,
                Status="Inactive",
            )
            status = self._status(user, key)
        if status == _ACTIVE:
            return EndOutcome(Settlement.UNAVAILABLE, f"{label} is still active")
        return EndOutcome(Settlement.DONE, f"{label} is inactive")

    def _user_of(self, key: str) -> str | None:
        """Return the user that a key belongs to; None if there is no such key."""
        try:
            answer = self._aws.call(
                "iam", "get_access_key_last_used", self._access.administrator(), AccessKeyId=key
            )
        except AwsMissingError:
            return None
        user = answer.get("UserName")
        if not isinstance(user, str) or not user:
            raise self._aws.garbled("an access key without a user")
        return user

    def _status(self, user: str, key: str) -> str | None:
        """Return `Active` or `Inactive`; None if the user has no such key."""
        try:
            access_keys = list(
                self._aws.pages(
                    "list_access_keys", self._access.administrator(), "AccessKeyMetadata", UserName=user
                )
            )
        except AwsMissingError:
            return None
        for access_key in access_keys:
            if access_key.get("AccessKeyId") == key:
                return str(access_key.get("Status"))
        return None
