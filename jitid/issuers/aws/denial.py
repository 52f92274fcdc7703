"""Denials of single sessions in the inline policies of their role, safe against concurrent writers.

AWS cannot change a policy on the condition that it is unchanged since it was read. So no policy is ever changed: each
batch is a separate policy, and its name contains a hash of its text. A new policy combines small ones before they are
deleted. Even if two writers work at the same time, or one stops at any point, every session stays denied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

from jitid.errors import JitidError, StorageError
from jitid.issuers.aws.api import Aws, AwsError, Keys
from jitid.issuers.aws.session_policy import Denial, denial, denied_in, parse_denial
from jitid.values import strict_json

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


class Role(NamedTuple):
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
                raise self._aws.garbled("the policy that it took is not the one that it has")
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
        except AwsError as error:
            # Another writer has combined it with others in the meantime; the new policy was there before.
            if error.aws == "NoSuchEntity":
                return []
            raise
        document = answer.get("PolicyDocument")
        if isinstance(document, str):
            try:
                document = strict_json.loads(unquote(document))
            except strict_json.StrictJSONError:
                raise self._aws.garbled("a policy that is no JSON") from None
        return denied_in(document)

    def _remove(self, role: Role, policy: Denial) -> None:
        # A policy that stays is harmless: its sessions are expired, or another policy denies them too.
        with suppress(JitidError):
            self._aws.call(
                "iam", "delete_role_policy", self._keys(), RoleName=role.name, PolicyName=policy.name
            )
