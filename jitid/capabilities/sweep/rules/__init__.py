"""The rules of a sweep, one per module: a rule's name is that of its module, with `-` for `_`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jitid.capabilities.sweep.rule import Rule

NAMES: Sequence[str] = (
    "orphaned-task",
    "orphaned-parent",
    "orphaned-process",
    "orphaned-delegator",
    "pending",
    "leaked-live",
    "renewed-twice",
    "revoked-live",
    "revocation-stuck",
    "orphaned-untracked",
    "offline-valid",
    "exchanged-valid",
    "expired-unretired",
    "standing",
    "duplicate",
    "sprawl",
    "unproved-delegator",
    "ownerless",
    "review-overdue",
    "standing-access",
    "over-privileged",
    "policy-drift",
    "never-used",
    "over-scoped",
    "orphaned-ledger-only",
    "key-overdue",
    "canary",
    "audit-gap",
    "clock",
)
"""The names of all rules, in the order of rules with the same severity."""


def rule_of(name: str) -> Rule:
    """Return the rule of that name, which must be one of `NAMES`."""
    rule: Rule = import_module(f"jitid.capabilities.sweep.rules.{name.replace('-', '_')}").RULE
    return rule
