"""Planted defects: their definition, the files that list them, and their places in the code."""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PACKAGE = "jitid"
_MEMBERS = frozenset({"name", "what", "seen", "place", "old", "new", "tests", "only", "hangs"})
_NEEDED = frozenset({"name", "what", "place", "old", "new"})


class AnchorError(Exception):
    """The place of a defect is missing in the code, or is ambiguous."""


class Defect(NamedTuple):
    """A small wrong change, and the tests that should find it."""

    name: str
    what: str
    """A sentence about the effect of the defect."""
    place: str
    """The changed function, method or constant, in any module: `covers`, `SqlTransaction.restore`, `DUTIES`."""
    old: str
    """The replaced text, which occurs there exactly once. White space in it matches any white space."""
    new: str
    seen: str | None = None
    """A public case of the same defect elsewhere, such as a CVE."""
    tests: tuple[str, ...] = ()
    """Paths of tests; empty for the default selection."""
    only: str | None = None
    """A filter for these tests: pytest's `-k`."""
    hangs: bool = False
    """Whether a timeout counts as finding the defect."""


class Change(NamedTuple):
    """The effect of a defect on one file."""

    path: Path
    text: str
    """The content of the whole changed file."""


def defects(folder: Path = FOLDER) -> list[Defect]:
    """Return the defects of all files of a folder, in their order. Raise ValueError for an invalid entry."""
    found: list[Defect] = []
    for path in sorted(folder.glob("*.toml")):
        with path.open("rb") as file:
            tables = tomllib.load(file)
        if tables.keys() != {"defect"}:
            raise ValueError(f"{path.name}: only [[defect]] is known")
        for table in tables["defect"]:
            if unknown := table.keys() - _MEMBERS or _NEEDED - table.keys():
                raise ValueError(f"{path.name}: {table.get('name')}: unknown or missing: {sorted(unknown)}")
            found.append(Defect(**{**table, "tests": tuple(table.get("tests", ()))}))
    names = [one.name for one in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two defects have one name: {sorted(twice)}")
    return found


def planted(defect: Defect, root: Path = ROOT) -> Change:
    """Return the file that a defect changes, with the change. Raise AnchorError unless its place is found once."""
    words = r"\s+".join(map(re.escape, defect.old.split()))
    # Whole words: `left` is not a part of `bytes_left`.
    before, after = (
        r"\b" if re.match(r"\w", end) else "" for end in (defect.old.strip()[0], defect.old.strip()[-1])
    )
    pattern = re.compile(f"{before}{words}{after}")
    found = [
        (path, text, start + match.start(), start + match.end())
        for path, text in _sources(root)
        # Skip the parsing of files without the name.
        if defect.place.rpartition(".")[2] in text
        for start, end in _spans(text, defect.place)
        for match in pattern.finditer(text[start:end])
    ]
    if len(found) != 1:
        where = ", ".join(f"{path.relative_to(root)}" for path, *_ in found)
        raise AnchorError(f"{defect.place} with that text is there {len(found)} times {where}".strip())
    ((path, text, start, end),) = found
    line = text[text.rfind("\n", 0, start) + 1 : start]
    indentation = line[: len(line) - len(line.lstrip())]
    first, _, rest = textwrap.dedent(defect.new.strip("\n")).partition("\n")
    new = first + ("\n" + textwrap.indent(rest, indentation) if rest else "")
    return Change(path, text[:start] + new + text[end:])


@lru_cache(maxsize=1)
def _sources(root: Path) -> tuple[tuple[Path, str], ...]:
    return tuple((path, path.read_text(encoding="utf-8")) for path in sorted((root / PACKAGE).rglob("*.py")))


def _spans(text: str, place: str) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each definition with that name."""
    starts = [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
    for node in _named(ast.parse(text).body, place.split(".")):
        decorators = node.decorator_list if isinstance(node, _DEFINITION) else []
        first = min([node.lineno, *(one.lineno for one in decorators)])
        assert node.end_lineno is not None
        yield starts[first - 1], starts[node.end_lineno]


_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _named(body: Sequence[ast.stmt], names: Sequence[str]) -> Iterator[ast.stmt]:
    """Yield the statements that define `names`, each inside the definition before."""
    name, *inner = names
    for node in body:
        if isinstance(node, _DEFINITION) and node.name == name:
            if inner:
                yield from _named(node.body, inner)
            else:
                yield node
        elif not inner and name in _targets(node):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _named(node.body, names)


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [one.id for one in node.targets if isinstance(one, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []
