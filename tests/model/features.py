"""What the machine leaves out: features that are not built yet, and known differences from the promises."""

from __future__ import annotations

ABSENT: dict[str, str] = {
    "may-audience": "`issue --may-audience`, and children and attachments with service audiences (section 6)",
    "identity-typ": "identity tokens have a `typ` of their own, and an attachment needs an audience (section 6)",
    "may-kind": "`issue --may-kind` (promise 18)",
    "may-act": "the exchange of a shown token by `may_act` and `access grant --audience` (promise 14)",
    "caller-audiences": "introspection and `authorize` answer for the caller's audiences alone (promise 14)",
    "exchange": "the exchange of an identity token for a service token of an agent (section 6; needs `may-audience`)",
    "task-names": "names of tasks are unique for each opener (promise 17)",
    "task-share": "`task share` and `task give`; `give` renames the owner alone (promise 17)",
    "own-revoke": "`revoke` of one's own needs no role (promise 17)",
    "opener-retires": "a task's opening identity retires it, also after a renewal (promise 17)",
    "agent-binding": "who may issue under the name of a registered agent (promise 16)",
}
"""Features that this jitid does not have: the machine makes no step that needs one. Delete an entry when it lands."""

KNOWN: dict[str, int] = {
    "shown-token": 4,
    "registration-ends": 6,
}
"""Differences from the promises that are known, each with the item that mends it. Delete an entry when it is mended."""


def has(feature: str) -> bool:
    """Return whether this jitid has a feature."""
    return feature not in ABSENT


def known(difference: str) -> bool:
    """Return whether a difference from the promises is known and not mended yet."""
    return difference in KNOWN
