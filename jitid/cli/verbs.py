"""The index of verbs: the modules that declare the verbs which begin with a word."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from jitid.operation.base import Verb

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Daily": ("run", "issue", "renew", "verify", "list", "inspect", "status", "whoami"),
    "Watch": ("sweep", "report", "doctor"),
    "Respond": ("trace", "scan", "leak", "revoke", "retire"),
    "Connect": ("setup", "login"),
    "Govern": ("policy", "agent", "delegator", "task", "approve", "authorize", "adopt"),
    "Operate": ("serve", "access", "keys", "publish", "ledger", "audit", "config"),
}
"""The sections of the help, and the first words of their verbs."""

PLUMBING = ("helper", "mcp", "federate", "schedule", "example", "completion", "help", "version")
"""First words that the help names in one line: other programs call them, or an installation does once."""

GROUPS: Mapping[str, str] = {
    "leak": "Record leaked secrets, and track them until they no longer work.",
    "schedule": "Run `jitid sweep` from systemd or cron.",
    "policy": "Check, test, show and compare policies.",
    "agent": "Register recurring agents; review and suspend them.",
    "delegator": "Manage the directory of delegators.",
    "task": "Share a task, or give it to another owner.",
    "approve": "List, grant and deny requests for approval.",
    "adopt": "Record standing credentials, and plan their replacement.",
    "access": "Manage access to an authority.",
    "keys": "List, rotate, revoke and export signing keys.",
    "keys export": "Print public keys, certificates and revocation lists.",
    "keys ca": "Certify jitid's X.509 authority under a root.",
    "ledger": "Back up, restore, check, prune and move the ledger.",
    "audit": "Read, sign, verify and export the audit log.",
    "config": "Read and change settings.",
    "helper": "Supply credentials to git, docker, ssh, aws, kubectl, psql, agents.",
    "helper session": "Record the sessions of coding agents, and end their identities.",
    "completion": "Install or print completion for bash, zsh and fish.",
}
"""The first words of verbs with several words, each with a sentence about them."""

_MODULES: Mapping[str, tuple[str, ...]] = {
    "issue": ("cli.issue.commands",),
    "run": ("cli.issue.commands",),
    "setup": ("cli.setup.commands",),
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
    "status": ("cli.identity.commands",),
    "whoami": ("cli.identity.commands",),
    "login": ("cli.identity.commands",),
    "revoke": ("capabilities.inventory.operations",),
    "retire": ("capabilities.inventory.operations",),
    "sweep": ("cli.sweep.commands",),
    "report": ("cli.sweep.commands",),
    "policy": ("cli.policy.commands",),
    "task": ("capabilities.inventory.operations",),
    "delegator": ("capabilities.directory.operations",),
    "agent": ("capabilities.directory.operations", "capabilities.decisions.operations"),
    "audit": ("cli.ledger.commands", "capabilities.integrity.operations"),
    "keys": ("capabilities.trust.operations", "cli.ledger.commands"),
    "publish": ("cli.ledger.commands",),
    "ledger": ("cli.ledger.commands", "capabilities.integrity.operations"),
    "helper": ("cli.helper.commands",),
    "doctor": ("cli.ledger.commands",),
    "schedule": ("cli.sweep.commands",),
    "config": ("cli.setup.commands",),
    "completion": ("cli.setup.commands",),
    "federate": ("cli.setup.commands",),
    "example": ("cli.setup.commands",),
    "help": ("cli.setup.commands",),
    "version": ("cli.setup.commands",),
}
"""First word of a verb -> the modules that declare the verbs which begin with it."""

FIRST_WORDS = tuple(word for words in (*SECTIONS.values(), PLUMBING) for word in words)
"""The first words of all verbs, in the order of the help."""


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


def next_words(group: str) -> tuple[str, ...]:
    """Return the words that may follow a group's words; without a group, the first words of all verbs."""
    if not group:
        return FIRST_WORDS
    beginning = f"{group} "
    verbs = verbs_of(group.partition(" ")[0])
    return tuple(
        dict.fromkeys(
            verb.removeprefix(beginning).partition(" ")[0] for verb in verbs if verb.startswith(beginning)
        )
    )


def all_verbs() -> dict[str, type[Verb]]:
    """Return all verbs, in the order of the help."""
    return {verb: each for word in FIRST_WORDS for verb, each in verbs_of(word).items()}
