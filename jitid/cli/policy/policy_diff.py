"""Differences between the decisions of two policies, as rows and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.cli import record_rows
from jitid.formats.figures import counted
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.capabilities.decisions.replay import DecisionChange, Replayed
    from jitid.policy.classes import DistinctNames
    from jitid.policy.decision import PolicyLooks, PolicyOutcome

FIELDS = (
    "change",
    "count",
    "recorded",
    "old",
    "new",
    "old_rules",
    "new_rules",
    "old_granted",
    "new_granted",
    "old_lifetime",
    "new_lifetime",
    "needs",
    "agent",
    "delegator",
    "proof",
    "task",
    "purpose",
    "sensitivity",
    "kind",
    "template",
    "depth",
    "scopes",
    "audiences",
    "ttl",
    "at",
    "reason",
    "event",
    "task_owner",
)
BRIEF = ("change", "count", "new_rules", "agent", "delegator", "scopes", "event")
"""Columns for a terminal of 80 columns, if names are short."""

SENTENCES = {
    "refused": "would be refused",
    "approval": "would need an approval",
    "permitted": "would be permitted",
    "lifetime": "would live for another time",
    "scopes": "would hold other scopes",
    "needs": "would need another approval",
}
"""Words for each value of `change`."""


def row(change: DecisionChange, looks: PolicyLooks) -> dict[str, Any]:
    """Return a change as a row with the fields of `FIELDS`.

    A fact that neither policy reads is left out, because it may differ between the merged requests.
    """
    document, old, new = change.document, change.old, change.new
    facts, classes = looks.facts, looks.classes
    task = (looks.task or "task" in facts) and _is_distinguished(classes.task, document["task"])
    owner = document.get("opener", document["delegator"])
    included = {
        "agent": (looks.agent or "agent" in facts) and _is_distinguished(classes.agent, document["agent"]),
        "delegator": not facts.isdisjoint(("delegator", "delegator_name", "delegator_kind"))
        and _is_distinguished(classes.delegator, document["delegator"]),
        "proof": "delegator_proof" in facts,
        "task": task,
        "purpose": task or (classes.purpose and (looks.task or "purpose" in facts)),
        "kind": "kind" in facts,
        "template": "template" in facts,
        "depth": not facts.isdisjoint(("depth", "delegated")),
        "scopes": looks.scope or any("*" in scope for scope in document.get("scopes", ())),
        "audiences": "audiences" in facts,
    }
    return {
        "change": _word(old, new),
        "count": change.credentials,
        "recorded": document["op"],
        "old": old.decision,
        "new": new.decision,
        "old_rules": list(old.rules),
        "new_rules": list(new.rules),
        "old_granted": list(old.granted),
        "new_granted": list(new.granted),
        "old_lifetime": _duration(old.lifetime),
        "new_lifetime": _duration(new.lifetime),
        "needs": list(new.needs),
        **{
            name: document.get(name, 0 if name == "depth" else None) if is_read else None
            for name, is_read in included.items()
        },
        "sensitivity": document.get("judged", document["sensitivity"]),
        "ttl": _duration(document.get("ttl", document.get("lifetime"))),
        "at": record_rows.time(document["at"]),
        "reason": new.reason,
        "event": change.event,
        "task_owner": owner if _is_distinguished(classes.task_owner, owner) else None,
    }


def _is_distinguished(names: DistinctNames | None, name: str) -> bool:
    """Return whether a policy distinguishes a name from all others, so that all merged requests have this name."""
    return names is None or name in names.values


def summary(replayed: Replayed) -> list[str]:
    """Return sentences about the number of decisions, and their changes."""
    decided = counted(replayed.credentials, "credential")
    if replayed.denials:
        decided += f" and {counted(replayed.denials, 'denial')}"
    verb = "was" if replayed.credentials == 1 and not replayed.denials else "were"
    lines = [f"{decided} {verb} decided, {counted(replayed.requests, 'distinct request')}"]
    totals: dict[tuple[str, bool], tuple[int, int]] = {}
    for change in replayed.changes:
        key = (_word(change.old, change.new), change.denied)
        count, requests = totals.get(key, (0, 0))
        totals[key] = count + change.credentials, requests + 1
    for (word, denied), (count, requests) in totals.items():
        subject = counted(count, "denied request" if denied else "credential")
        lines.append(f"{subject} {SENTENCES[word]} ({counted(requests, 'distinct request')})")
    if not replayed.changes:
        lines.append("nothing would change")
    return lines


def _word(old: PolicyOutcome, new: PolicyOutcome) -> str:
    if old.decision != new.decision:
        return {"permit": "permitted", "deny": "refused", "approval": "approval"}[new.decision]
    if old.needs != new.needs:
        return "needs"
    return "scopes" if set(old.granted) != set(new.granted) else "lifetime"


def _duration(seconds: int | None) -> str | None:
    return None if seconds is None else format_duration(seconds)
