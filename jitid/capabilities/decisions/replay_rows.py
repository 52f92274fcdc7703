"""The result of a replay under two policies, as rows and in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.formats.cell import counted
from jitid.values.times import optional_duration

if TYPE_CHECKING:
    from jitid.capabilities.decisions.replay import DecisionChange, Replayed
    from jitid.policy.classes import DistinctNames
    from jitid.policy.decision import PolicyLooks, PolicyOutcome

_SENTENCES = {
    "refused": "would be refused",
    "approval": "would need an approval",
    "permitted": "would be permitted",
    "lifetime": "would have another lifetime",
    "scopes": "would have other scopes",
    "needs": "would need another approval",
}
"""Words for each value of `change`."""


def row_of(change: DecisionChange, looks: PolicyLooks) -> dict[str, Any]:
    """Return the fields of a change.

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
        "old_lifetime": optional_duration(old.lifetime),
        "new_lifetime": optional_duration(new.lifetime),
        "needs": list(new.needs),
        **{
            name: document.get(name, 0 if name == "depth" else None) if is_read else None
            for name, is_read in included.items()
        },
        "sensitivity": document.get("judged", document["sensitivity"]),
        "ttl": optional_duration(document.get("ttl", document.get("lifetime"))),
        "at": document["at"],
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
    lines = [f"{decided} {verb} replayed, {counted(replayed.requests, 'distinct request')}"]
    totals: dict[tuple[str, bool], tuple[int, int]] = {}
    for change in replayed.changes:
        key = (_word(change.old, change.new), change.denied)
        count, requests = totals.get(key, (0, 0))
        totals[key] = count + change.credentials, requests + 1
    for (word, denied), (count, requests) in totals.items():
        subject = counted(count, "denied request" if denied else "credential")
        lines.append(f"{subject} {_SENTENCES[word]} ({counted(requests, 'distinct request')})")
    if not replayed.changes:
        lines.append("nothing would change")
    return lines


def _word(old: PolicyOutcome, new: PolicyOutcome) -> str:
    if old.decision != new.decision:
        return {"permit": "permitted", "deny": "refused", "approval": "approval"}[new.decision]
    if old.needs != new.needs:
        return "needs"
    return "scopes" if set(old.granted) != set(new.granted) else "lifetime"
