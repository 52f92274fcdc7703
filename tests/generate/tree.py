"""The command tree as plain records, the source of completions, man pages and tests."""

from __future__ import annotations

from typing import Any, NamedTuple

from jitid.cli.command_tree import command_tree
from jitid.cli.invocation import Invocation
from jitid.cli.verbs import COMMANDS, GROUPS


class Option(NamedTuple):
    """An option with its names and its help."""

    names: tuple[str, ...]
    metavar: str | None
    """The placeholder of its value; None for a flag."""
    help: str
    variable: str | None
    """The environment variable that sets it."""
    repeatable: bool
    root_only: bool = False
    """Whether it is valid only before the verb, like `--version`."""


class Argument(NamedTuple):
    """A positional argument."""

    metavar: str
    """The form in the usage line: `[ID]...`, `TASK`."""
    help: str
    many: bool
    required: bool


class Verb(NamedTuple):
    """One verb of one or two words, or the first word of several."""

    name: str
    """The name, such as `issue` or `audit log`; of a group `audit`; of the root empty."""
    sentence: str
    paragraphs: tuple[str, ...]
    """The help after the sentence."""
    options: tuple[Option, ...]
    """The verb's own options; the global options are those of the root."""
    arguments: tuple[Argument, ...]
    verbs: tuple[str, ...]
    """The second words of a group, or the first words of the root."""


def tree() -> list[Verb]:
    """Return the root, the groups and the verbs, in the order of the table."""
    root = command_tree(Invocation())
    common = {name for option in _options(root) for name in option.names}
    found = []
    behind: set[str] = set()
    for name in dict.fromkeys([*GROUPS, *COMMANDS]):
        command: Any = root
        for word in name.split():
            command = command.get_command(None, word)
        behind.update(name for option in _options(command) for name in option.names)
        found.append(_verb(name, command, frozenset(common)))
    top = _verb("", root, frozenset())
    options = tuple(option._replace(root_only=behind.isdisjoint(option.names)) for option in top.options)
    return [top._replace(options=options), *found]


def _verb(name: str, command: Any, common: frozenset[str]) -> Verb:
    sentence, *paragraphs = (command.help or "").strip().split("\n\n")
    return Verb(
        name,
        " ".join(sentence.split()),
        tuple(" ".join(paragraph.split()) for paragraph in paragraphs),
        tuple(option for option in _options(command) if not common & set(option.names)),
        tuple(
            Argument(
                param.make_metavar(None) if param.metavar is None else param.metavar,
                param.help or "",
                param.nargs == -1,
                bool(param.required),
            )
            for param in command.params
            if param.param_type_name == "argument"
        ),
        tuple(command.list_commands(None)) if hasattr(command, "list_commands") else (),
    )


def _options(command: Any) -> list[Option]:
    return [
        Option(
            tuple(param.opts),
            None if param.is_flag else param.metavar,
            param.help or "",
            param.envvar if isinstance(param.envvar, str) else None,
            bool(param.multiple),
        )
        for param in [*command.params, command.get_help_option(None)]
        if param.param_type_name == "option"
    ]
