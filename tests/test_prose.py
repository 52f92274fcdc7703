"""Docstrings and comments are in plain English: the idiom that `prose.toml` lists does not come back."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import jitid
from tests import user_texts
from tests.generate.man import HAND_WRITTEN

ROOT = Path(jitid.__file__).parents[1]


class Pattern(NamedTuple):
    """A habit of the old texts."""

    name: str
    old: re.Pattern[str]
    allowed: tuple[re.Pattern[str], ...]
    """Contexts in which the same words are plain English."""
    better: str

    def found_in(self, text: str) -> Iterator[str]:
        """Yield the words of a text that have the habit."""
        for found in self.old.finditer(text):
            if not any(
                context.start() < found.end() and found.start() < context.end()
                for each in self.allowed
                for context in each.finditer(text)
            ):
                yield found[0].strip()


@cache
def patterns() -> tuple[Pattern, ...]:
    """Return the patterns of `prose.toml` for all prose."""
    return _patterns("pattern")


@cache
def user_patterns() -> tuple[Pattern, ...]:
    """Return the patterns of `prose.toml` for texts that users read."""
    return patterns() + _patterns("user_pattern")


def _patterns(table: str) -> tuple[Pattern, ...]:
    with Path(__file__).with_name("prose.toml").open("rb") as file:
        tables = tomllib.load(file)[table]
    return tuple(
        Pattern(
            each["name"],
            re.compile(each["old"], re.IGNORECASE),
            tuple(re.compile(context, re.IGNORECASE) for context in each.get("allowed", ())),
            each["better"],
        )
        for each in tables
    )


_DIRECTIVE = re.compile(r"#\s*(noqa|ruff:|type:|fmt:|pragma|mypy:|!)")
_REASON = re.compile(r"#\s*(?:noqa(?:: [A-Z0-9, ]+)?|type: ignore\[[a-z, -]+\])\s*[-#]\s*(.+)")
"""A directive with its reason."""
_CODE = re.compile(r"``.*?``|`[^`]*`")
_QUOTED = re.compile(r'"[^"]*"')


def _docstrings(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        # The docstring of a verb is its help, and that of an operation is a text of the OpenAPI document.
        is_help = isinstance(node, ast.ClassDef) and path.endswith(("commands.py", "operations.py"))
        for position, statement in enumerate(node.body):
            match statement:
                case ast.Expr(value=ast.Constant(value=str() as text)) if position or not is_help:
                    yield statement.lineno, text


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield each comment; the lines of one are joined."""
    begun, column, last, text = 0, -1, -1, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if _DIRECTIVE.match(token.string):
            if reason := _REASON.match(token.string):
                yield token.start[0], reason[1]
            continue
        words = re.sub(r"\s+# (noqa|type:).*", "", token.string).lstrip("#").strip()
        alone = token.line.strip().startswith("#")
        if alone and (token.start[0], token.start[1]) == (last + 1, column):
            text, last = f"{text} {words}", last + 1
            continue
        if text:
            yield begun, text
        begun, last, column, text = token.start[0], token.start[0], token.start[1] if alone else -1, words
    if text:
        yield begun, text


def in_plain_words(text: str) -> str:
    """Return a text on one line, with a placeholder for each piece of code and each quotation."""
    return _QUOTED.sub('"x"', _CODE.sub("`x`", " ".join(text.split())))


def old_idiom(path: str, source: str) -> list[str]:
    """Return a line for each docstring and comment of a file that has a habit of the old texts."""
    lines = []
    for number, text in sorted([*_docstrings(path, ast.parse(source)), *_comments(source)]):
        plain = in_plain_words(text)
        for pattern in patterns():
            lines += [
                f"{path}:{number}: {words!r}: better: {pattern.better}" for words in pattern.found_in(plain)
            ]
    return lines


class DefinedName(NamedTuple):
    """A name that a file defines."""

    line: int
    name: str
    is_value: bool
    """Whether it names an argument or a variable."""


def names_of(source: str) -> Iterator[DefinedName]:
    """Yield the names that a file defines: functions, classes, arguments and variables, but not fields of classes."""
    tree = ast.parse(source)
    fields = {
        id(statement.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield DefinedName(node.lineno, name, is_value=False)
            case ast.arg(arg=name):
                yield DefinedName(node.lineno, name, is_value=True)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                if id(node) not in fields:
                    yield DefinedName(node.lineno, name, is_value=isinstance(node, ast.Name))


def old_names(path: str, source: str) -> list[str]:
    """Return a line for each name in a file that has a part of the old idiom, or says nothing about its value."""
    with Path(__file__).with_name("prose.toml").open("rb") as file:
        words = tomllib.load(file)["names"]
    old, allowed = frozenset(words["old"]), frozenset(words["allowed"])
    vague, options = frozenset(words["vague"]), frozenset(words["vague_options"])
    lines = []
    for line, name, is_value in names_of(source):
        parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")
        is_vague = is_value and name in vague and f"{path}: {name}" not in options
        if is_vague or (name not in allowed and not old.isdisjoint(parts)):
            lines.append(f"{path}:{line}: {name}")
    return lines


def _folders() -> list[str]:
    return sorted(
        {
            str(path.parent.relative_to(ROOT))
            for top in ("jitid", "tests")
            for path in (ROOT / top).rglob("*.py")
        }
    )


def _documents() -> list[Path]:
    """Return the README, the chapters, and the manual pages that are written by hand."""
    pages = [path for path in (ROOT / "man").iterdir() if path.suffix == ".md" or path.name in HAND_WRITTEN]
    return sorted(path.relative_to(ROOT) for path in (ROOT / "README.md", *pages))


@pytest.mark.parametrize("folder", _folders())
def test_docstrings_and_comments_are_plain(folder: str) -> None:
    found = []
    for path in sorted((ROOT / folder).glob("*.py")):
        found += old_idiom(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", [name for name in _folders() if name.startswith("jitid")])
def test_names_are_terms_of_the_field(folder: str) -> None:
    found = []
    for path in sorted((ROOT / folder).glob("*.py")):
        found += old_names(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", [name for name in _folders() if name.startswith("jitid")])
def test_texts_for_users_are_plain_and_short(folder: str) -> None:
    files = [path for path in user_texts.files_in([folder]) if str(path.parent.relative_to(ROOT)) == folder]
    found = [line for path in files for line in user_texts.problems(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", _documents(), ids=str)
def test_documents_are_plain_and_short(path: Path) -> None:
    found = user_texts.problems(ROOT / path)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def tell_all(what, *, ours=1): gone = whose = 1", {"tell_all", "what", "ours", "gone"}),
        ("class ToldNames: pass", {"ToldNames"}),
        ("class A:\n    told: str = ''\n    def f(self): self._asked = 1", {"_asked"}),
        ("def one(place): given = [one for one in place]", {"place", "given", "one"}),
        ("class A:\n    one: str = ''\n    place_name = 1", set()),
        ("def recover(sort, wholesale, hereafter): f(told=1); x.said()", set()),
    ],
)
def test_old_names_are_found_where_they_are_defined(source: str, names: set[str]) -> None:
    assert {line.rpartition(" ")[2] for line in old_names("jitid/x.py", source)} == names


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('"""Tell what is over."""', {"Tell", "what", "is over"}),
        ("x = 1  # nobody wants it", {"nobody", "wants"}),
        ("# so many of\n# those who ask", {"so many", "those who", "ask"}),
        ('class A:\n    x = 1\n    """Is no token."""', {"Is no"}),
        ('def f():\n    """Return `what is told`, "nobody"."""', set()),
        ('"""Text."""\nx = "what is told"\n', set()),
        ("# There is no token.", set()),
        ("x = 1  # noqa: S105 - what sort of one", {"what", "sort of"}),
        ("x = 1  # type: ignore[attr-defined] # nobody knows", {"nobody"}),
        ("x = 1  # noqa: S105", set()),
    ],
)
def test_the_old_idiom_is_found_in_docstrings_and_comments_alone(source: str, words: set[str]) -> None:
    found = {line.split("'")[1] for line in old_idiom("jitid/x.py", source)}
    assert {each for each in words if not any(each in one for one in found)} == set()
    assert bool(found) == bool(words)
