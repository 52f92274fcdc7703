"""The declared verbs as plain records, the source of completions, man pages and tests."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import NamedTuple

from jitid.cli import help_text
from jitid.cli.invocation import GlobalOptions
from jitid.cli.verbs import FIRST_WORDS, GROUPS, all_verbs, next_words
from jitid.values.declaration import Field, Source


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
    words: tuple[str, ...] = ()
    """The fixed candidates for its value."""
    sources: tuple[Source, ...] = ()


class Argument(NamedTuple):
    """A positional argument."""

    metavar: str
    """The form in the usage line: `[ID]...`, `TASK`."""
    help: str
    many: bool
    required: bool
    words: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


class Verb(NamedTuple):
    """One verb, or the first words of several."""

    name: str
    """The name, such as `issue` or `audit log`; of a group `audit`; of the root empty."""
    sentence: str
    paragraphs: tuple[str, ...]
    """The help after the sentence."""
    options: tuple[Option, ...]
    """The verb's own options; the global options are those of the root."""
    arguments: tuple[Argument, ...]
    verbs: tuple[str, ...]
    """The words that may follow those of a group, or the first words of the root."""


def tree() -> list[Verb]:
    """Return the root, the groups and the verbs, in the order of the help."""
    version, help_ = (
        Option(
            tuple(reversed(names.split(", "))), None, sentence, None, repeatable=False, root_only=root_only
        )
        for (names, sentence), root_only in ((help_text.VERSION, True), (help_text.HELP, False))
    )
    # The names of help and version are shown with the short one first.
    root_options = (*_options(GlobalOptions.fields.values()), version, help_)
    found = [Verb("", help_text.ROOT_SENTENCE, (), root_options, (), tuple(FIRST_WORDS))]
    for group, sentence in GROUPS.items():
        found.append(Verb(group, sentence, (), (), (), next_words(group)))
    for verb, command in all_verbs().items():
        sentence, *paragraphs = (inspect.getdoc(command) or "").split("\n\n")
        fields = command.fields.values()
        found.append(
            Verb(
                verb,
                " ".join(sentence.split()),
                tuple(" ".join(paragraph.split()) for paragraph in paragraphs),
                _options(fields),
                tuple(_argument(field) for field in fields if field.is_argument),
                (),
            )
        )
    return found


def _options(fields: Iterable[Field]) -> tuple[Option, ...]:
    return tuple(
        Option(
            field.flags,
            field.metavar,
            field.help,
            field.env,
            field.many,
            words=() if field.type is None else field.type.words,
            sources=() if field.type is None else field.type.sources,
        )
        for field in fields
        if field.is_option
    )


def _argument(field: Field) -> Argument:
    assert field.type is not None
    assert field.metavar is not None
    return Argument(field.metavar, field.help, field.many, field.stated, field.type.words, field.type.sources)
