"""`jitid explain`: the reasons for a recorded decision, and the decision that the current policy would make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.decisions.operations import Explain
from jitid.cli import hints, record_rows
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.system import output
from jitid.values.text import safe
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.capabilities.decisions.explanation import Explanation, RuleText
    from jitid.cli.identity import commands
    from jitid.policy.decision import PolicyOutcome
    from jitid.policy.policy_request import PolicyRequest


def explain(cli: Invocation, args: commands.ExplainCommand) -> None:
    """Perform `jitid explain`."""
    if args.event is not None:
        if args.subject is not None:
            raise UsageError("an event and a credential are named", "leave one of them out")
        operation = Explain(event=args.event)
    elif args.subject is not None and args.subject.startswith(("jid_", "jti_")):
        operation = Explain(id=args.subject)
    else:
        operation = Explain(token=hints.subject(args.subject))
    with hints.advised():
        explanation = open_authority(cli.config()).perform(operation)
    if explanation.lost is not None:
        cli.warn(explanation.lost)
    row = args.view.row(explanation, _computed(explanation))
    if not cli.by_eye():
        cli.show(Display(args.view.schema, args.view.fields, [row], one=True))
        return
    columns = tuple(name for name in row if name != "texts" and row[name] not in (None, "", [], {}))
    cli.show(Display(args.view.schema, columns, [row], one=True))
    output.write("".join(_text(rule) for rule in explanation.rules))


def _computed(explanation: Explanation) -> dict[str, Any]:
    document, credential = explanation.document, explanation.credential
    return {
        "reason": explanation.then.reason or None,
        "operation": document["op"],
        "at": record_rows.time(document["at"]),
        "by": document["by"],
        "id": document.get("id") if credential is None else credential.id,
        "jti": document.get("jti") if credential is None else credential.jti,
        "count": document.get("count"),
        "rules": list(explanation.then.rules),
        "granted": list(explanation.then.granted),
        "refused": document.get("refused", []),
        "lifetime": _duration(explanation.then.lifetime),
        "needs": list(explanation.then.needs),
        "asked": None
        if explanation.request is None
        else _request_row(explanation.request, document.get("zone", "UTC")),
        "approvers": document.get("approvers"),
        "policy": document.get("policy"),
        "stored": None if "policy" not in document else explanation.lost is None,
        "texts": [rule._asdict() for rule in explanation.rules],
        "now": _now(explanation),
        "differs": {
            difference.what: {"then": difference.then, "now": difference.now}
            for difference in explanation.differences
        },
    }


def _request_row(request: PolicyRequest, zone: str) -> dict[str, Any]:
    directory_facts = request.standing
    return {
        "agent": request.agent,
        "delegator": request.delegator,
        "proof": request.delegator_proof,
        "task": request.task,
        "task_owner": request.task_owner,
        "purpose": request.purpose,
        "sensitivity": request.sensitivity,
        "kind": request.kind,
        "depth": request.depth,
        "scopes": list(request.scopes),
        "audiences": list(request.audiences),
        "ttl": _duration(request.lifetime),
        "zone": zone,
        "known": directory_facts.known,
        "groups": list(directory_facts.groups),
        "manager": directory_facts.manager,
        "registered": directory_facts.registered,
        "owner": directory_facts.owner,
    }


def _now(explanation: Explanation) -> dict[str, Any] | None:
    if explanation.now is None:
        return None if explanation.trouble is None else {"decision": "unknown", "reason": explanation.trouble}
    return {**_outcome(explanation.now), "hint": explanation.nearest, "policy": explanation.policy_now}


def _outcome(outcome: PolicyOutcome) -> dict[str, Any]:
    return {
        "decision": outcome.decision,
        "reason": outcome.reason,
        "rules": list(outcome.rules),
        "granted": list(outcome.granted),
        "lifetime": _duration(outcome.lifetime),
        "needs": list(outcome.needs),
    }


def _text(rule: RuleText) -> str:
    lines = (
        f"{rule.rule} ({rule.file}, line {rule.line}), {_NOW[rule.now]}",
        f"sha256 {rule.sha256}",
        *(f"  {line}" for line in rule.text.replace("\t", "  ").splitlines()),
    )
    return "\n" + "".join(f"{safe(line)}\n" for line in lines)


_NOW = {
    "same": "which today's policy has too",
    "changed": "which today's policy has with another text",
    "gone": "which today's policy does not have",
    "unknown": "and today's policy cannot be read",
}
"""Text for each value of `RuleText.now`."""


def _duration(seconds: int | None) -> str | None:
    return None if seconds is None else format_duration(seconds)
