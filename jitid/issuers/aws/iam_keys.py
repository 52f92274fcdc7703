"""Access keys of IAM users, which never expire: their state, and their deactivation."""

from __future__ import annotations

from jitid.errors import JitidError, StorageError
from jitid.issuers.aws.admin_access import AwsAccess
from jitid.issuers.aws.api import Aws, AwsError
from jitid.model.target import EndOutcome, Life, Probe, Settlement
from jitid.values.text import safe

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
        label = f"access key {key} of the IAM user {safe(user)}"
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
        label = f"access key {key} of the IAM user {safe(user)}"
        if self._access.is_own(key):
            return EndOutcome(Settlement.STUCK, f"{label} is that of the target itself: it was left alone")
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
        except AwsError as error:
            if error.aws == "NoSuchEntity":
                return None
            raise
        user = answer.get("UserName")
        if not isinstance(user, str) or not user:
            raise self._aws.garbled("an access key of nobody")
        return user

    def _status(self, user: str, key: str) -> str | None:
        """Return `Active` or `Inactive`; None if the user has no such key."""
        try:
            access_keys = list(
                self._aws.pages(
                    "list_access_keys", self._access.administrator(), "AccessKeyMetadata", UserName=user
                )
            )
        except AwsError as error:
            if error.aws == "NoSuchEntity":
                return None
            raise
        for access_key in access_keys:
            if access_key.get("AccessKeyId") == key:
                return str(access_key.get("Status"))
        return None
