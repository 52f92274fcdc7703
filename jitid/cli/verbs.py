"""The index of verbs: the modules that declare the verbs which begin with a word."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from jitid.operation.base import Verb

GROUPS: Mapping[str, str] = {
    "task": "Look at tasks.",
    "leak": "Report what leaked, see whether it still works, and be done with it.",
    "adopt": "Record standing secrets that exist already, look at them, and see what can take their place.",
    "delegator": "Keep the directory of those who may delegate.",
    "approve": "See who asks for an approval, and grant or deny it.",
    "access": "Let people and services ask an authority, and end that.",
    "agent": "Register agents that recur, review and suspend them, and see which do.",
    "policy": "Check, try, show, begin and compare policies.",
    "audit": "Read, sign, verify and export the audit log.",
    "keys": "See, rotate, revoke and publish the signing keys, and those of the X.509 authority.",
    "ledger": "Back up, restore, check and move the ledger.",
    "helper": "Give programs credentials in the way that each asks for them.",
    "schedule": "Let systemd or cron run `jitid sweep`.",
    "config": "Read and change the settings.",
    "completion": "Complete verbs, options, ids and names in bash, zsh and fish.",
}
"""The first words of verbs with two words, each with a sentence about them."""

_MODULES: Mapping[str, tuple[str, ...]] = {
    "issue": ("cli.issue.commands",),
    "run": ("cli.issue.commands",),
    "mcp": ("cli.setup.commands",),
    "serve": ("cli.setup.commands",),
    "renew": ("cli.issue.commands",),
    "verify": ("capabilities.identity.operations",),
    "authorize": ("capabilities.use.operations",),
    "inspect": ("capabilities.inventory.operations",),
    "trace": ("cli.leak.commands",),
    "scan": ("cli.leak.commands",),
    "leak": ("cli.leak.commands", "capabilities.leak.operations"),
    "adopt": ("cli.leak.commands", "capabilities.adopt.operations"),
    "approve": ("capabilities.issue.approval_operations",),
    "access": ("capabilities.access.operations",),
    "list": ("cli.identity.commands",),
    "tree": ("capabilities.inventory.operations",),
    "revoke": ("capabilities.inventory.operations",),
    "retire": ("capabilities.inventory.operations",),
    "sweep": ("cli.sweep.commands",),
    "report": ("cli.sweep.commands",),
    "explain": ("capabilities.decisions.operations",),
    "policy": ("cli.policy.commands",),
    "task": ("capabilities.inventory.operations",),
    "delegator": ("capabilities.directory.operations",),
    "agent": ("capabilities.directory.operations", "capabilities.decisions.operations"),
    "audit": ("cli.ledger.commands", "capabilities.integrity.operations"),
    "keys": ("capabilities.trust.operations", "cli.ledger.commands"),
    "publish": ("cli.ledger.commands",),
    "prune": ("capabilities.integrity.operations",),
    "ledger": ("cli.ledger.commands",),
    "helper": ("cli.helper.commands",),
    "doctor": ("cli.ledger.commands",),
    "schedule": ("cli.sweep.commands",),
    "config": ("cli.setup.commands",),
    "completion": ("cli.setup.commands",),
}
"""First word of a verb -> the modules that declare the verbs which begin with it; in the order of the help."""

FIRST_WORDS = _MODULES.keys()


def verbs_of(first_word: str) -> dict[str, type[Verb]]:
    """Return the verbs that begin with a word, in alphabetical order; this imports their modules."""
    modules = [import_module(f"jitid.{name}") for name in _MODULES.get(first_word, ())]
    verbs = {
        member.verb: member
        for module in modules
        for member in vars(module).values()
        if isinstance(member, type)
        and issubclass(member, Verb)
        and member.verb.partition(" ")[0] == first_word
    }
    return dict(sorted(verbs.items()))


def all_verbs() -> dict[str, type[Verb]]:
    """Return all verbs, in the order of the help."""
    return {verb: each for word in FIRST_WORDS for verb, each in verbs_of(word).items()}
