"""`jitid.identity`: request an identity for a block of a program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from jitid.api.authority_access import AuthorityChoice
from jitid.api.identity import Identity
from jitid.api.stated import detail_texts, kinds_of, seconds_of, several
from jitid.errors import UsageError
from jitid.model.request import IssueRequest
from jitid.model.types import PURPOSE, SENSITIVITY, TASK
from jitid.values.field_types import AGENT, AUDIENCE, REACH, SCOPE
from jitid.values.field_types import DELEGATOR as DELEGATOR_NAME
from jitid.values.secret import Secret
from jitid.values.times import parse_moment


def identity(
    *,
    task: str | None = None,
    delegator: str | None = None,
    scopes: str | Iterable[str] = (),
    agent: str | None = None,
    audience: str | Iterable[str] = (),
    may_audience: str | Iterable[str] = (),
    purpose: str | None = None,
    sensitivity: str | None = None,
    ttl: int | str | timedelta | None = None,
    deadline: datetime | timedelta | str | None = None,
    may_kind: str | Iterable[str] = (),
    details: Iterable[Mapping[str, Any]] = (),
    allow_narrower: bool = False,
    delegator_token: str | None = None,
    parent_file: str | None = None,
    keep_task: bool = False,
    config: str | None = None,
    profile: str | None = None,
    ledger: str | None = None,
    remote: str | None = None,
    credential_file: str | None = None,
    timeout: int | str | timedelta | None = None,
) -> Identity:
    """Return an identity for one task, to be used as a context manager.

    The identity is issued when the block begins, renewed by a thread while it runs, and revoked when it is left. If
    this call opened the task, the end of the block retires the task.

    Args:
        task: name of the task, such as `INC-4821`. Default: the setting `task` (`$JITID_TASK`); with a parent, its
            task.
        delegator: the person or system that requests it: `alice`, `user:alice`, `system:ci`. Default:
            `$JITID_DELEGATOR`; at an authority, the caller.
        scopes: the rights, such as `repo:read:acme`.
        agent: name of the agent that acts. Default: the setting `agent`.
        audience: the services for which `token` obtains tokens. A single one is the default of `token`.
        may_audience: more services, as origins with wildcards: `https://*.example.com`.
        purpose: purpose of a new task.
        sensitivity: `low`, `moderate`, `high` or `critical`. Default: the setting `sensitivity`.
        ttl: lifetime of each credential: seconds, a duration such as `"15m"`, or a timedelta. Default: the setting
            `ttl`, 15 minutes.
        deadline: end of a new task: a time with an offset, or a duration from now.
        may_kind: other kinds of credential that it may obtain, such as `aws-sts:deploy`.
        details: authorization details (RFC 9396, section 2).
        allow_narrower: issue without refused scopes; `notes` reports them.
        delegator_token: an ID token that proves the delegator. Default: the file in `$JITID_DELEGATOR_TOKEN_FILE`.
        parent_file: file with the token of the parent identity. Default: `$JITID_PARENT_FILE`, which `jitid run` sets.
        keep_task: leave the task open at the end of the block.
        config: configuration file instead of the user's.
        profile: profile of the configuration.
        ledger: folder or address of the ledger.
        remote: address of a remote authority.
        credential_file: file with the credential for the remote authority.
        timeout: limit of each wait for the ledger or the authority.

    Raises:
        UsageError: an argument is invalid. Other errors come from the start of the block: see `Identity.__enter__`.

    """
    choice = AuthorityChoice(
        config=config,
        profile=profile,
        ledger=ledger,
        remote=remote,
        credential_file=credential_file,
        timeout=None if timeout is None else str(seconds_of(timeout, "timeout")),
    )
    deadline_at, deadline_after = _deadline(deadline)
    request = IssueRequest(
        None if task is None else TASK.check(task),
        None if delegator is None else DELEGATOR_NAME.check(delegator),
        "" if agent is None else AGENT.check(agent),
        scopes=several(scopes, SCOPE),
        audiences=several(audience, AUDIENCE),
        may_audience=several(may_audience, REACH),
        ttl=None if ttl is None else seconds_of(ttl, "ttl"),
        purpose=None if purpose is None else PURPOSE.check(purpose),
        sensitivity=None if sensitivity is None else SENSITIVITY.check(sensitivity),
        deadline=deadline_at,
        deadline_after=deadline_after,
        details=detail_texts(details),
        allow_narrower=allow_narrower,
        identity=True,
        may_kind=kinds_of(may_kind),
    )
    return Identity(
        request,
        choice,
        parent_file=parent_file,
        proof=None if delegator_token is None else Secret.single(delegator_token),
        keep_task=keep_task,
    )


def _deadline(value: datetime | timedelta | str | None) -> tuple[int | None, int | None]:
    """Return the time, or the duration, of a deadline. Raises UsageError."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise UsageError("the deadline has no offset", "such as datetime.now(UTC) + timedelta(hours=1)")
        return int(value.timestamp()), None
    if value is None or isinstance(value, timedelta):
        return None, None if value is None else seconds_of(value, "deadline")
    return parse_moment(value, "the deadline", "the task's opening")
