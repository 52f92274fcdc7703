"""Build a request from the text values of a command line or an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.errors import UsageError
from jitid.model.credential import Kind, named_kind, parse_kind
from jitid.model.request import IssueRequest, MayAct
from jitid.model.task import MAX_PURPOSE, SENSITIVITIES, check_task
from jitid.values.audience import check_reach
from jitid.values.names import check_audience, check_delegator, check_name
from jitid.values.scope import parse_scope
from jitid.values.text import quote
from jitid.values.times import parse_duration, parse_moment

if TYPE_CHECKING:
    from jitid.values.secret import Secret


def request_from(values: dict[str, Any], parent: Secret | None) -> IssueRequest:
    """Return a request from values that were stated as text.

    Raises:
        UsageError: a value is invalid.

    """
    deadline = deadline_after = None
    if values["deadline"] is not None:
        deadline, deadline_after = parse_moment(values["deadline"], "the deadline", "the task's opening")
    sensitivity = values["sensitivity"]
    if sensitivity is not None and sensitivity not in SENSITIVITIES:
        raise UsageError(
            f"{quote(sensitivity)} is no sensitivity", f"choose one of: {', '.join(SENSITIVITIES)}"
        )
    kind, template = parse_kind(values["kind"] or Kind.JWT.value)
    purpose = values["purpose"]
    if purpose is not None and len(purpose) > MAX_PURPOSE:
        raise UsageError(f"the purpose is longer than {MAX_PURPOSE:,} characters")
    return IssueRequest(
        task=None if values["task"] is None else check_task(values["task"]),
        delegator=None if values["delegator"] is None else check_delegator(values["delegator"]),
        agent=check_name(values["agent"], "agent"),
        kind=kind,
        scopes=tuple(parse_scope(text) for text in values["scope"] or ()),
        audiences=tuple(dict.fromkeys(check_audience(text) for text in values["audience"] or ())),
        may_audience=tuple(dict.fromkeys(check_reach(text) for text in values.get("may_audience") or ())),
        may_act=tuple(parse_may_act(text) for text in values.get("may_act") or ()),
        ttl=parse_duration(values["ttl"]) if isinstance(values["ttl"], str) else values["ttl"],
        purpose=purpose,
        sensitivity=sensitivity,
        deadline=deadline,
        deadline_after=deadline_after,
        details=tuple(_detail(text) for text in values["detail"] or ()),
        parent=parent,
        template=template,
        may_kind=tuple(named_kind(*parse_kind(text)) for text in values.get("may_kind") or ()),
    )


def _detail(text: str) -> str:
    from jitid.values import strict_json

    try:
        detail = strict_json.loads(text, "the detail")
    except strict_json.StrictJSONError as error:
        raise UsageError(
            str(error), 'a detail is a JSON object with a type, such as {"type":"payment"}'
        ) from error
    if not isinstance(detail, dict) or not isinstance(detail.get("type"), str) or not detail["type"]:
        raise UsageError(
            "a detail is a JSON object with a member `type` that is text", "see RFC 9396, section 2"
        )
    return strict_json.dumps(detail)


def parse_may_act(text: str) -> MayAct:
    """Return a caller that may exchange a token; `text` is `WHO[=AUDIENCE,...]`. Raises UsageError."""
    caller, equals, audiences = text.partition("=")
    checked = tuple(check_reach(audience) for audience in audiences.split(",")) if equals else ()
    return MayAct(check_delegator(caller), checked)
