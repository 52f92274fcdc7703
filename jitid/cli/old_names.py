"""Former names of verbs: a line that begins with one is read as the line with the present name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from jitid.cli.invocation import GlobalOptions

RENAMED: Mapping[str, str] = {
    "tree": "list --tree",
    "explain": "inspect --why",
    "task list": "list --by task",
    "task show": "inspect --task",
    "agent classify": "agent advise",
    "agent suggest": "agent advise --policy",
    "leak timeline": "leak show --timeline",
    "prune": "ledger prune",
    "adopt ended": "adopt end",
    "keys jwks": "keys export jwks",
    "keys ssh": "keys export ssh",
    "keys krl": "keys export krl",
    "keys crl": "keys export crl",
    "keys bundle": "keys export bundle",
    "keys request": "keys ca request",
    "keys import": "keys ca import",
}
"""Former words of a verb -> the present words, with the options that select the same."""

_FIRST_WORDS = frozenset(words.partition(" ")[0] for words in RENAMED)
_VALUED = frozenset(
    flag for field in GlobalOptions.fields.values() if field.type is not None for flag in field.flags
)


def present(argv: Sequence[str]) -> Sequence[str]:
    """Return a command line with the present name of its verb. Any other line is returned unchanged."""
    before = _options(argv)
    words = list(argv[before:])
    if not words or words[0] not in _FIRST_WORDS:
        return argv
    between = _options(words[1:])
    for former, new in RENAMED.items():
        first, _, second = former.partition(" ")
        if words[0] != first or (second and words[1 + between : 2 + between] != [second]):
            continue
        # Global options may be anywhere; before the present words they do not become the value of an option in these.
        rest = words[1 + between + bool(second) :]
        after = _options(rest)
        return [*argv[:before], *words[1 : 1 + between], *rest[:after], *new.split(), *rest[after:]]
    return argv


def has_no_verb(argv: Sequence[str]) -> bool:
    """Return whether a line has only global options, each with its value."""
    # Without the last value, the option would take the verb for it.
    return _options(argv) == len(argv) and _options([*argv, ""]) == len(argv)


def _options(words: Sequence[str]) -> int:
    """Return the number of words at the beginning that are global options and their values."""
    count = 0
    while count < len(words) and (
        words[count].partition("=")[0] in _FLAGS or _BUNDLED.fullmatch(words[count])
    ):
        count += 2 if words[count] in _VALUED else 1
    return min(count, len(words))


_SHORT = "".join(
    flag[1]
    for field in GlobalOptions.fields.values()
    if field.type is None
    for flag in field.flags
    if len(flag) == 2
)
_BUNDLED = re.compile(f"-[{_SHORT}]+")
"""Short options without values, joined: `-qv`."""
_FLAGS = frozenset(flag for field in GlobalOptions.fields.values() for flag in field.flags)
