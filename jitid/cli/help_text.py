"""The help of the program, of a group and of a verb, from their declarations."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterable, Iterator, Mapping
from textwrap import TextWrapper

from jitid.cli.verbs import GROUPS, SECTIONS, next_words, verbs_of
from jitid.operation.base import Verb
from jitid.values.declaration import Field

_NAME_COLUMN = 30
"""Maximum width of the column of names; a longer name has a separate line."""
HELP = ("-h, --help", "Show this help.")
VERSION = ("-V, --version", "Show the version.")
_EPILOG = "Options of every verb: jitid help options."
ROOT_SENTENCE = "Just-in-time identity for AI agents."
TOPICS: Mapping[str, str] = {
    "author": "Scripts and launchers of agents: issue, run, delegate, verify.",
    "operator": "Sweeps, backups, keys and the daily round.",
    "responder": "A leaked string: identify it, revoke it, prove it.",
    "governor": "Policies, approvals, agents, delegators, audit.",
    "fleet": "PostgreSQL, an authority, several machines.",
    "scopes": "How scopes are written, covered and narrowed.",
    "kinds": "The kinds of credentials, and their verifiers.",
    "targets": "Databases, clouds and vaults that make credentials.",
    "options": "The options of every verb.",
    "exit-codes": "The exit statuses.",
    "environment": "The environment variables.",
}
"""The topics of `jitid help`, each with a sentence."""

EXAMPLES: Mapping[str, str] = {
    "verifier.py": "A service that verifies tokens with PyJWT and the published keys.",
    "asgi_guard.py": "A guard for Starlette and FastAPI.",
    "flask_guard.py": "A guard for Flask.",
    "prometheus-rules.yml": "Alert rules for the figures of sweep and report.",
    "slack.sh": "Post the findings of a sweep to Slack.",
    "webhook.sh": "Post each finding of a sweep to a webhook.",
    "systemd.sh": "Install systemd units of an authority and its sweep.",
    "github-action.yml": "A GitHub Action that runs a command with an identity.",
    "github-workflow.yml": "A GitHub workflow that uses the action.",
    "gitlab-ci.yml": "A GitLab template that runs a job with an identity.",
    "Containerfile": "An authority in a container.",
}
"""The files of `jitid example`, each with a sentence."""


def of(words: str) -> str:
    """Return the help of a verb or a group; without words, of the program."""
    command = verbs_of(words.partition(" ")[0]).get(words)
    if command is not None:
        return _text(
            words, ["[OPTIONS]", *_arguments(command)], inspect.getdoc(command) or "", _EPILOG, command
        )
    if words:
        return _text(words, ["[OPTIONS]", "VERB", "..."], GROUPS[words], _EPILOG, None)
    return _root()


def _root() -> str:
    """Return the help of the program: the verbs by section, and where the rest is."""
    lines = ["Usage: jitid [OPTIONS] VERB ...", "", f"  {ROOT_SENTENCE}", ""]
    width = max(len(word) for words in SECTIONS.values() for word in words) + 2
    for section, words in SECTIONS.items():
        lines.append(f"{section}:")
        for word in words:
            text = GROUPS.get(word) or sentence(verbs_of(word)[word].__doc__)
            lines += [f"  {line}" for line in _row(word, width, text)]
    return "\n".join([*lines, "", *_FOOTER.splitlines()]) + "\n"


_FOOTER = """Options: --ledger, --remote, --json, --field, -q, -v; all: jitid help options
Also:    helper, mcp, federate, schedule, example, completion, version
Help:    jitid help VERB, or jitid help TOPIC:
         author operator responder governor fleet
         scopes kinds targets options exit-codes environment"""


def _row(name: str, width: int, text: str) -> list[str]:
    first, *others = _wrapped(text, 78 - width).splitlines()
    return [f"{name:{width}}{first}", *(" " * width + line for line in others)]


def rows(entries: Iterable[tuple[str, str]]) -> str:
    """Return names and sentences in two columns."""
    return "\n".join(_rows(((name, " ".join(text.split())) for name, text in entries), 78))


def option_rows(fields: Iterable[Field]) -> str:
    """Return the options among fields in two columns."""
    entries = [(_names(field), field.help + _variable(field)) for field in fields if field.is_option]
    return "\n".join(_rows([*entries, VERSION, HELP], 78))


def sentence(doc: str | None) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join(inspect.cleandoc(doc or "").partition("\n\n")[0].split())


def _text(words: str, usage: list[str], doc: str, epilog: str, command: type[Verb] | None) -> str:
    width = max(min(shutil.get_terminal_size().columns, 80) - 2, 50)
    start = f"Usage: {' '.join(('jitid', *words.split()))} "
    parts = [_wrapped(" ".join(usage), width, start, " " * len(start))]
    parts += [_paragraphs(doc, width)]
    if command is None:
        parts.append("Verbs:\n" + "\n".join(_rows(_verbs(words), width)))
    fields = command.fields.values() if command is not None else ()
    options = [(_names(field), field.help + _variable(field)) for field in fields if field.is_option]
    arguments = [
        (field.metavar or "", field.help + ("  [required]" if field.stated else ""))
        for field in fields
        if field.is_argument
    ]
    if arguments:
        parts.append("Arguments:\n" + "\n".join(_rows(arguments, width)))
    options.append(HELP)
    parts.append("Options:\n" + "\n".join(_rows(options, width)))
    parts.append(_paragraphs(epilog, width))
    return "\n\n".join(parts) + "\n"


def _arguments(command: type[Verb]) -> list[str]:
    return [field.metavar or "" for field in command.fields.values() if field.is_argument]


def _verbs(group: str) -> list[tuple[str, str]]:
    verbs = verbs_of(group.partition(" ")[0])
    return [
        (word, GROUPS.get(verb) or sentence(verbs[verb].__doc__))
        for word, verb in ((word, f"{group} {word}") for word in next_words(group))
    ]


def _names(field: Field) -> str:
    names = ", ".join(sorted(field.flags, key=lambda name: name.startswith("--")))
    return names if field.type is None else f"{names} {field.metavar}"


def _variable(field: Field) -> str:
    return f"  [env var: {field.env}]" if field.env else ""


def _rows(rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    """Yield the lines of a list of names and sentences in two columns."""
    rows = list(rows)
    column = min(max(len(name) for name, _ in rows), _NAME_COLUMN) + 2
    for name, text in rows:
        lines = _wrapped(text, max(width - column - 2, 10)).splitlines()
        if len(name) > column - 2:
            yield f"  {name}"
        else:
            yield f"  {name:{column}}{lines.pop(0)}"
        yield from (" " * (column + 2) + line for line in lines)


def _paragraphs(text: str, width: int) -> str:
    return "\n\n".join(
        _wrapped(" ".join(paragraph.split()), width, "  ", "  ") for paragraph in text.split("\n\n")
    )


def _wrapped(text: str, width: int, first: str = "", other: str = "") -> str:
    return TextWrapper(width, initial_indent=first, subsequent_indent=other).fill(text)
