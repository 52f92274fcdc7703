"""The options of a request for credentials: stated on a command line, or as members of a line in a list of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.model.credential import RequestedKind
from jitid.model.request import DETAIL, MAY_ACT, IssueRequest, MayAct
from jitid.model.types import MAY_KIND, PURPOSE, REQUESTED_KIND, SENSITIVITY, TASK
from jitid.values.declaration import Declared, flag, opt, opts
from jitid.values.field_types import AGENT, AUDIENCE, DELEGATOR, DURATION, FILE, REACH, SCOPE, texts
from jitid.values.scope import Scope
from jitid.values.times import parse_moment

DEADLINE = texts(lambda value: parse_moment(value, "the deadline", "the task's opening"), "WHEN", {})
"""A pair with either a time, or a duration from the opening of the task."""


class RequestOptions(Declared):
    """The stated options of a request; the others have the value None, and are empty if there may be several."""

    task: str | None = opt(TASK, "--task", "-t", help="Task of the identity.", env="JITID_TASK", default=None)
    delegator: str | None = opt(
        DELEGATOR,
        "--delegator",
        "-d",
        help="Delegator: NAME, user:NAME or system:NAME.",
        env="JITID_DELEGATOR",
        default=None,
    )
    delegator_token_file: str | None = opt(
        FILE,
        "--delegator-token-file",
        help="ID token of the delegator; `-` for stdin.",
        env="JITID_DELEGATOR_TOKEN_FILE",
        default=None,
    )
    agent: str | None = opt(
        AGENT, "--agent", "-a", help="Agent (default: agent).", env="JITID_AGENT", default=None
    )
    kind: RequestedKind | None = opt(
        REQUESTED_KIND,
        "--kind",
        "-k",
        help="Kind (default: jwt).",
        env="JITID_KIND",
        default=None,
    )
    scope: tuple[Scope, ...] = opts(
        SCOPE, "--scope", "-s", help="Scope; repeatable.", env="JITID_SCOPE", default=()
    )
    audience: tuple[str, ...] = opts(
        AUDIENCE,
        "--audience",
        help="Service; repeatable.",
        env="JITID_AUDIENCE",
        default=(),
    )
    may_audience: tuple[str, ...] = opts(
        REACH,
        "--may-audience",
        help="Service to obtain tokens for; repeatable.",
        env="JITID_MAY_AUDIENCE",
        default=(),
    )
    may_act: tuple[MayAct, ...] = opts(
        MAY_ACT,
        "--may-act",
        help="Let CALLER exchange it for AUD,…; repeatable.",
        default=(),
    )
    may_kind: tuple[str, ...] = opts(
        MAY_KIND,
        "--may-kind",
        help="Kind it may obtain.",
        env="JITID_MAY_KIND",
        default=(),
    )
    ttl: int | None = opt(DURATION, "--ttl", help="Lifetime (default: 15m).", env="JITID_TTL", default=None)
    purpose: str | None = opt(
        PURPOSE, "--purpose", help="Purpose of the task.", env="JITID_PURPOSE", default=None
    )
    sensitivity: str | None = opt(
        SENSITIVITY,
        "--sensitivity",
        help="low, moderate (default), high or critical.",
        env="JITID_SENSITIVITY",
        default=None,
    )
    deadline: tuple[int | None, int | None] | None = opt(
        DEADLINE,
        "--deadline",
        help="End of a new task.",
        env="JITID_DEADLINE",
        default=None,
    )
    parent_file: str | None = opt(
        FILE,
        "--parent-file",
        help="Token of the parent identity; `-` for stdin.",
        env="JITID_PARENT_FILE",
        default=None,
    )
    detail: tuple[str, ...] = opts(
        DETAIL, "--detail", help="Authorization detail (RFC 9396); repeatable.", default=()
    )
    allow_narrower: bool = flag(
        "--allow-narrower", help="Issue without refused scopes; report them.", default=False
    )

    def request(self, template: IssueRequest) -> IssueRequest:
        """Return a request with the stated values in place of those of a template."""
        values = {name: getattr(self, name) for name in MEMBERS}
        return merged(template, {name: value for name, value in values.items() if value not in (None, ())})


MEMBERS = RequestOptions.fields.keys() - {"delegator_token_file", "parent_file", "allow_narrower"}
"""The options that a line in a list of requests may state."""

_FIELDS = {"scope": "scopes", "audience": "audiences", "detail": "details"}
"""The fields of a request whose option has another name."""


def merged(template: IssueRequest, stated: Mapping[str, Any]) -> IssueRequest:
    """Return a request with the stated values of options, by their names, in place of those of a template."""
    fields = {_FIELDS.get(name, name): value for name, value in stated.items()}
    if "kind" in fields:
        fields["kind"], fields["template"] = fields["kind"]
    if "deadline" in fields:
        fields["deadline"], fields["deadline_after"] = fields["deadline"]
    for name in ("audiences", "may_audience", "may_act"):
        if not fields.get(name):
            fields.pop(name, None)
    # A token is for the authority or for services: stated audiences of one kind exclude the template's of the other.
    if "audiences" in fields or "may_audience" in fields:
        for name in ("audiences", "may_audience"):
            fields[name] = tuple(dict.fromkeys(fields.get(name, ())))
    return template._replace(**fields)
