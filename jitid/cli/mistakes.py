"""Suggestions for words that jitid does not know: words of other programs, and typing errors.

No suggestion ends or deletes something: a typing error must not lead to a revocation.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from shlex import quote as shell_word

from jitid.cli.verbs import next_words
from jitid.values.declaration import Field
from jitid.values.text import safe, token_warning

_DESTRUCTIVE = frozenset(
    {"revoke", "retire", "disable", "suspend", "unregister", "prune", "close", "end", "yes"}
)
"""Words of verbs, and options, that end something."""

_CLOSE = 0.75
"""The least similarity of a suggestion, from 0 to 1: `difflib` counts the letters that two words have in common."""

_LEAST_PREFIX = 3
"""The least number of letters for which a longer name is suggested."""

_LONGEST = 100

MEANT_VERBS: Mapping[str, str] = {
    "create": "issue",
    "new": "issue",
    "mint": "issue",
    "token": "issue",
    "delegate": "issue",
    "exec": "run",
    "start": "run",
    "ls": "list",
    "ps": "status",
    "info": "status",
    "show": "inspect",
    "get": "inspect",
    "describe": "inspect",
    "decode": "inspect",
    "introspect": "inspect",
    "validate": "verify",
    "check": "verify",
    "id": "whoami",
    "who": "whoami",
    "auth": "whoami",
    "find": "trace",
    "lookup": "trace",
    "search": "trace",
    "refresh": "renew",
    "log": "audit log",
    "logs": "audit log",
    "history": "audit log",
    "rotate": "keys rotate",
    "jwks": "keys export jwks",
    "backup": "ledger backup",
    "restore": "ledger restore",
    "settings": "config show",
    "set": "config set",
    "unset": "config unset",
    "server": "serve",
    "daemon": "serve",
    "user": "delegator list",
    "users": "delegator list",
    "agents": "agent list",
    "tasks": "list --by task",
    "grant": "access grant",
    "metrics": "report",
    "stats": "report",
    "orphans": "sweep",
    "cleanup": "sweep",
    "examples": "example",
    "policies": "policy show",
    "cron": "schedule cron",
    "systemd": "schedule systemd",
    "agent create": "agent register",
    "agent add": "agent register",
    "agent new": "agent register",
    "agent info": "agent show",
    "agent get": "agent show",
    "agent ls": "agent list",
    "delegator create": "delegator add",
    "delegator new": "delegator add",
    "delegator register": "delegator add",
    "delegator info": "delegator show",
    "delegator get": "delegator show",
    "delegator ls": "delegator list",
    "config list": "config show",
    "config ls": "config show",
    "config delete": "config unset",
    "config remove": "config unset",
    "policy validate": "policy check",
    "policy lint": "policy check",
    "policy list": "policy show",
    "policy ls": "policy show",
    "policy create": "policy init",
    "task create": "issue --task NAME",
    "task new": "issue --task NAME",
    "keys create": "keys rotate",
    "keys generate": "keys rotate",
    "keys new": "keys rotate",
    "keys ls": "keys list",
    "keys show": "keys list",
    "audit show": "audit log",
    "audit list": "audit log",
    "audit ls": "audit log",
    "audit tail": "audit log --tail 20",
    "audit check": "audit verify",
    "access create": "access grant",
    "access add": "access grant",
    "access new": "access grant",
    "access ls": "access list",
    "approve ls": "approve list",
    "leak ls": "leak list",
    "leak create": "leak add",
    "leak new": "leak add",
    "ledger create": "issue",
    "ledger init": "issue",
    "ledger verify": "ledger check",
    "init": "issue",
}
"""Words that other programs use -> the words of the verb here, and options where it needs them."""

MEANT_OPTIONS: Mapping[str, Sequence[str]] = {
    "--expires": ("--ttl", "--expires-before"),
    "--expires-in": ("--ttl",),
    "--expiry": ("--ttl",),
    "--expiring": ("--expires-before",),
    "--duration": ("--ttl",),
    "--lifetime": ("--ttl",),
    "--valid-for": ("--ttl",),
    "--user": ("--delegator",),
    "--person": ("--delegator",),
    "--on-behalf-of": ("--delegator",),
    "--name": ("--agent", "--task"),
    "--role": ("--scope",),
    "--roles": ("--scope",),
    "--permission": ("--scope",),
    "--permissions": ("--scope",),
    "--rights": ("--scope",),
    "--aud": ("--audience",),
    "--output": ("--out", "--format"),
    "-o": ("--format",),
    "-e": ("--env",),
    "--before": ("--until", "--rows-after"),
    "--older-than": ("--rows-after",),
    "--after": ("--since",),
    "--file": ("--token-file", "--parent-file"),
    "--token": ("--token-file", "--parent-file"),
    "--parent": ("--parent-file",),
    "--html": ("--format",),
    "--yaml": ("--format",),
    "--csv": ("--format",),
    "--count": ("--limit",),
    "--lines": ("--tail",),
}
"""Options that other programs use -> the options here; a verb that has several means the first."""

_OF_RUN = frozenset({"--env", "--file", "--on-exit", "--grace", "--secret"})
"""Options that only `jitid run` has."""

_FILES = frozenset({"--file", "--token", "--token-file", "--jwt", "--input", "-f", "-i"})
"""Options for the file of a token in other programs, where jitid has an argument."""

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
"""Characters that look like a hyphen; editors and web pages put them in its place."""

_OTHER_DASH = "an option begins with hyphens (U+002D), and this word has another dash: type it again"


def dash_hint(word: str) -> str | None:
    """Return the hint about a word that begins with another dash than a hyphen; None for any other word."""
    return _OTHER_DASH if word[:1] and word[0] in _DASHES else None


def verb_hint(group: str, word: str, path: str) -> str:
    """Return the hint about a word that is neither a verb nor a group; `path` is the line up to it."""
    if warning := token_warning(word):
        return warning
    if hint := dash_hint(word):
        return hint
    if len(words := word.split()) > 1 and words[0] in next_words(group):
        return "write the words without quotes around them all"
    if group == "approve" and word.startswith("apr_") and safe(word) == word:
        return f"did you mean `approve show {word}` or `approve grant {word}`? see: {path} --help"
    return f"{_guess(verbs_like(group, word))}see: {path} --help"


def verbs_like(group: str, word: str) -> list[str]:
    """Return the verbs that a word may stand for after the words of a group: harmless ones only."""
    words = f"{group} {word}".strip().lower()
    meant = MEANT_VERBS.get(words)
    if meant is not None:
        return [meant]
    close = _closest(word[:_LONGEST].lower(), next_words(group))
    return [f"{group} {name}".strip() for name in close]


def _closest(word: str, names: Iterable[str]) -> list[str]:
    """Return the names that are spelt like a word; none if a closer word ends something."""
    close = get_close_matches(word, {*names, *_DESTRUCTIVE}, n=2, cutoff=_CLOSE)
    return [] if close and close[0] in _DESTRUCTIVE else [name for name in close if name not in _DESTRUCTIVE]


def option_hint(word: str, names: Collection[str], operands: Collection[str], path: str) -> str:
    """Return the hint about an option that a verb does not have.

    `names` are its options, `operands` the names of its arguments, `path` is the line up to its options.
    """
    close = options_like(word, names)
    if not close and word in _FILES and not {"file", "subject", "word", "path"}.isdisjoint(operands):
        return f"the file needs no option: {path} FILE"
    if word.lstrip("-") in operands:
        return f"it needs no option: {path} {word.lstrip('-').upper()}"
    if not close and word in _OF_RUN:
        return f"`{word}` is an option of `jitid run`; see: jitid run --help"
    return f"{_guess(close)}see: {path} --help"


def options_like(word: str, names: Collection[str]) -> list[str]:
    """Return the options that an unknown one may stand for."""
    for meant in MEANT_OPTIONS.get(word, ()):
        if meant in names:
            return [meant]
    # Without the hyphens, which all of them have in common.
    bare = {name[2:]: name for name in names if name.startswith("--")}
    letters = word.lstrip("-")[:_LONGEST].lower()
    if len(letters) >= _LEAST_PREFIX:
        longer = [name for stem, name in bare.items() if stem.startswith(letters)]
        if 0 < len(longer) <= 2:
            return [name for name in longer if name[2:] not in _DESTRUCTIVE]
    return [bare[stem] for stem in _closest(letters, bare)]


def swallowed(words: Sequence[str], fields: Mapping[str, Field], *, runs: bool) -> tuple[str, str] | None:
    """Return the first option whose value is an option, and that option; None if each has a value.

    A shell removes an empty variable without quotes: `--reason $EMPTY --dry-run` would revoke. `fields` and
    `runs` have the meaning of `single_hyphen`.
    """
    before: Field | None = None
    name = ""
    for word in words:
        stem = word.partition("=")[0]
        if before is not None:
            if word == "--" or stem in fields:
                return name, stem
            before = None
        elif word == "--" or (runs and word[:1] != "-"):
            return None
        else:
            name, before = word, _that_needs_a_value(word, fields)
    return None


def _that_needs_a_value(word: str, fields: Mapping[str, Field]) -> Field | None:
    """Return the option of a word whose value is the next word; None if there is no such option.

    Short options may be joined: in `-nt`, `-n` has no value, and the value of `-t` is the next word.
    """
    names = [word]
    if word not in fields and word[:1] == "-" and word[1:2] != "-":
        names = [f"-{letter}" for letter in word[1:]]
    for number, name in enumerate(names, start=1):
        field = fields.get(name)
        if field is None:
            return None
        if field.type is not None:
            # The value may be joined to it, as in `-tNAME`.
            return field if number == len(names) else None
    return None


def single_hyphen(words: Sequence[str], fields: Mapping[str, Field], *, runs: bool) -> str | None:
    """Return the first word that is a long option with one hyphen: a parser takes `-task` for `-t ask`.

    `fields` are the options by each of their names. `runs`: a command begins with the first word that is not an option.
    """
    before = ""
    for word in words:
        if word == "--" or (runs and word[:1] != "-"):
            return None
        field = fields.get(before)
        is_value = field is not None and field.type is not None
        name = word.partition("=")[0]
        if not is_value and word[:1] == "-" and len(name) > 2 and f"-{name}" in fields and safe(word) == word:
            return name
        before = word
    return None


def operand_hint(words: Sequence[str], flags: Collection[str], verb: str) -> str | None:
    """Return the hint about words that a verb does not expect; None without a better one than its help."""
    for word in words:
        if warning := token_warning(word):
            return warning
    first = words[0]
    if hint := dash_hint(first) or dash_hint(first[1:]):
        return hint
    if first == "help":
        return None
    name, equals, value = first.partition("=")
    shown = safe(first) == first and len(first) <= _LONGEST
    if equals and shown and f"--{name}" in flags:
        return f"an option begins with two hyphens: --{name} {shell_word(value)}"
    if "--token-file" in flags and shown and os.path.isfile(first):
        return f"for the token in that file: jitid {verb} --token-file {shell_word(first)}"
    if verb == "renew":
        return "only a token can be renewed: jitid renew --token-file FILE"
    if {"--task", "--delegator"} <= set(flags):
        return f"the task and the delegator are options: jitid {verb} --task NAME --delegator NAME"
    return None


def _guess(names: Iterable[str]) -> str:
    guesses = " or ".join(f"`{name}`" for name in names)
    return f"did you mean {guesses}? " if guesses else ""
