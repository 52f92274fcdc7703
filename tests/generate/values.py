"""The completion of each value of an option or an argument; a test fails if a new value is in no table."""

from __future__ import annotations

from typing import NamedTuple

from jitid.cli.issue.commands import IssueCommand
from jitid.cli.sweep.commands import FINDINGS
from jitid.cli.verbs import all_verbs
from jitid.config.settings import COLOURS, FORMATS, SETTINGS
from jitid.model.task import SENSITIVITIES
from jitid.values.declaration import Source
from tests.generate.tree import Argument, Option, Verb


class Value(NamedTuple):
    """A source of candidates for a value: fixed words, or names that a shell looks up; neither for free text."""

    words: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


FOLDERS = Value(sources=("folders",))


def _words(*words: str) -> Value:
    return Value(words=words)


FORMATS_OF: dict[str, tuple[str, ...]] = {
    **{name: (*FORMATS, *verb.formats) for name, verb in all_verbs().items() if verb.formats},
    **{name: verb.only_formats for name, verb in all_verbs().items() if verb.only_formats},
}
"""The values of `--format` by the verb, where they differ from the usual ones."""

FIELDS: dict[str, tuple[str, ...]] = {
    **{name: () if verb.view is None else verb.view.named for name, verb in all_verbs().items()},
    # Their fields depend on the line.
    "issue": IssueCommand.issued.fields,
    "sweep": FINDINGS.fields,
}
"""The values of `--field`: the fields of a verb's view."""


def option_value(verb: Verb, option: Option) -> Value | None:
    """Return the completion of an option's value, before the verb (for the root) or after it; None for a flag."""
    if option.metavar is None:
        return None
    if "--field" in option.names:
        return Value(words=_fields(verb))
    if "--format" in option.names:
        return Value(words=FORMATS_OF.get(verb.name, FORMATS))
    return Value(option.words, option.sources)


def argument_value(argument: Argument) -> Value:
    """Return the completion of an argument."""
    return Value(argument.words, argument.sources)


def own_options(root: Verb, verb: Verb) -> tuple[Option, ...]:
    """Return the options that are not the same for all verbs.

    For a verb: its own options, and the root's options whose value differs after this verb. For the root: the options
    that are valid only before the verb.
    """
    if verb is root:
        return tuple(option for option in root.options if option.root_only)
    return (*verb.options, *other_options(root, verb))


def other_options(root: Verb, verb: Verb) -> tuple[Option, ...]:
    """Return the root's options that accept a different value after a verb."""
    return tuple(
        option for option in root.options if option_value(verb, option) != option_value(root, option)
    )


def setting_values() -> dict[str, Value]:
    """Return the completion of each setting's value that is not free text."""
    by_kind = {
        "sensitivity": _words(*SENSITIVITIES),
        "format": _words(*FORMATS),
        "colour": _words(*COLOURS),
        "place": FOLDERS,
    }
    return {name: by_kind[setting.kind] for name, setting in SETTINGS.items() if setting.kind in by_kind}


def described(text: str) -> str:
    """Return a help sentence as a shell shows it beside a candidate: short, and on one line."""
    return " ".join(text.partition(" [env var:")[0].split()).rstrip(".")


def _fields(verb: Verb) -> tuple[str, ...]:
    return FIELDS.get(verb.name, ())


def bare(metavar: str) -> str:
    """Return the name of an argument without the marks for optional and repeated arguments."""
    return metavar.replace("...", "").strip("[]{}")
