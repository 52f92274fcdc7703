"""Each command that a text names exists, and has the options that the text gives to it: a reader will type it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jitid.cli.invocation import GlobalOptions
from jitid.cli.line import by_flag
from jitid.cli.verbs import FIRST_WORDS, all_verbs
from jitid.operation.base import Verb
from tests.user_texts import ROOT

FILES = [
    path.relative_to(ROOT).as_posix()
    for pattern in (
        "README.md",
        "man/*.[157]",
        "man/*.md",
        "jitid/**/*.py",
        "jitid/**/*.toml",
        "jitid/**/*.txt",
    )
    for path in sorted(ROOT.glob(pattern))
]

_COMMAND = re.compile(r"(?<![\w/.=-])jitid (?=([a-z-][^\n`]*))")
_AS_VALUE = re.compile(r"(?:^| )--?[\w-]+ $")
"""The words before a name that is the value of another program's option, such as `-U`."""
_END = re.compile(r"[;|&()<>]|[,.:]$")
"""The end of a command: in a sentence, or in a line of a shell."""
_OPTION = re.compile(r"--[a-z][a-z-]*|-[a-zA-Z]\b")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_WORD = re.compile(r"(?:'[^'\n]*'|\"[^\"\n]*\"|\S)+")
_OF_ALL = by_flag(GlobalOptions.fields)
_HELP = frozenset({"--help", "-h", "--version"})


def _texts(path: Path) -> Iterator[str]:
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        tree = ast.parse(source)
        parts = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(tree):
            match node:
                case ast.JoinedStr(values=values):
                    yield "".join(
                        str(each.value) if isinstance(each, ast.Constant) else "X" for each in values
                    )
                case ast.Constant(value=str() as text) if id(node) not in parts:
                    yield text
        return
    if path.suffix in (".1", ".5", ".7"):
        source = re.sub(r"\n\.Fl ", " -", source.replace("\\-", "-")).replace("\\(aq", "'")
    yield re.sub(r"\\\n *", "", source)


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a text, without options of all verbs that come first."""
    for found in _COMMAND.finditer(text):
        if _AS_VALUE.search(text[max(0, found.start() - 40) : found.start()]):
            continue
        words: list[str] = []
        for word in _WORD.findall(found[1]):
            end = _END.search(_QUOTED.sub(lambda quoted: "x" * len(quoted[0]), word))
            if word != "--" and (end is None or end.start()):
                words.append(word[: end.start()] if end else word)
            if word == "--" or end:
                break
        while words and (field := _OF_ALL.get(words[0])) is not None:
            del words[: 1 if field.type is None else 2]
        if words:
            yield words


@cache
def _verbs() -> dict[str, type[Verb]]:
    return all_verbs()


def _mistakes(text: str) -> Iterator[str]:
    """Yield the commands of a text with a verb or an option that does not exist."""
    verbs = _verbs()
    for words in _commands(text):
        options = [found[0] for word in words if (found := _OPTION.match(word))]
        verb = next((words[:count] for count in (3, 2, 1) if " ".join(words[:count]) in verbs), None)
        # A sentence about jitid, such as `jitid refuses --yes`, is not a command.
        is_sentence = words[0].endswith("s") and words[0] not in FIRST_WORDS
        if verb is None:
            if not is_sentence and not _HELP.issuperset(options):
                yield f"no verb: jitid {' '.join(words)}"
            continue
        known = _OF_ALL | by_flag(verbs[" ".join(verb)].fields)
        for option in options:
            if option not in known and option not in _HELP:
                yield f"no option {option}: jitid {' '.join(words)}"


def test_what_does_not_exist_is_found() -> None:
    text = """for the revocation: jitid audit log --op revoke; or `jitid -q revok --all`, and jitid refuses --yes
        $ jitid --ledger x issue --task T1 --reason 'a; b' --outt t.jwt -- run --this | jitid list --live --lmit 1
        (jitid list --live), jitid --help, initdb -U jitid -A trust, jitid revoke --token-file -"""
    assert list(_mistakes(text)) == [
        "no option --op: jitid audit log --op revoke",
        "no verb: jitid revok --all",
        "no option --reason: jitid issue --task T1 --reason 'a; b' --outt t.jwt",
        "no option --outt: jitid issue --task T1 --reason 'a; b' --outt t.jwt",
        "no option --lmit: jitid list --live --lmit 1",
    ]


def test_each_command_in_a_text_is_one_that_exists() -> None:
    mistakes = [
        f"{name}: {mistake}" for name in FILES for text in _texts(ROOT / name) for mistake in _mistakes(text)
    ]
    assert "\n".join(mistakes) == ""
