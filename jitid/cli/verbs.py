"""The index of verbs: the module that declares the verbs which begin with a word."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from jitid.cli.command import Command

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

_MODULES: Mapping[str, str] = {
    "issue": "issue",
    "run": "issue",
    "mcp": "setup",
    "serve": "setup",
    "renew": "issue",
    "verify": "identity",
    "authorize": "identity",
    "inspect": "identity",
    "trace": "leak",
    "scan": "leak",
    "leak": "leak",
    "adopt": "leak",
    "approve": "issue",
    "access": "directory",
    "list": "identity",
    "tree": "identity",
    "revoke": "identity",
    "retire": "identity",
    "sweep": "sweep",
    "report": "sweep",
    "explain": "identity",
    "policy": "policy",
    "task": "identity",
    "delegator": "directory",
    "agent": "directory",
    "audit": "ledger",
    "keys": "ledger",
    "publish": "ledger",
    "prune": "ledger",
    "ledger": "ledger",
    "helper": "helper",
    "doctor": "ledger",
    "schedule": "sweep",
    "config": "setup",
    "completion": "setup",
}
"""First word of a verb -> the folder of `cli/` whose `commands` declare it; in the order of the help."""

FIRST_WORDS = _MODULES.keys()


def commands_of(first_word: str) -> dict[str, type[Command]]:
    """Return the verbs that begin with a word, in the order of their declarations; this imports their module."""
    if first_word not in _MODULES:
        return {}
    module = import_module(f"jitid.cli.{_MODULES[first_word]}.commands")
    return {
        member.verb: member
        for member in vars(module).values()
        if isinstance(member, type)
        and issubclass(member, Command)
        and member.verb.partition(" ")[0] == first_word
    }


def all_commands() -> dict[str, type[Command]]:
    """Return all verbs, in the order of the help."""
    return {verb: command for word in FIRST_WORDS for verb, command in commands_of(word).items()}
