"""What a planted defect is, the files that list them, and where in the code each one goes."""

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
    """The place of a defect is not in the code, or is there more than once."""


class Defect(NamedTuple):
    """A small wrong change, and the tests that are expected to find it."""

    name: str
    what: str
    """What goes wrong, in a sentence."""
    place: str
    """The function, method or constant that is changed: `covers`, `SqlTransaction.restore`, `DUTIES`; in any module."""
    old: str
    """What is replaced there, which stands there once; any white space is as good as any other."""
    new: str
    seen: str | None = None
    """A public case of it elsewhere, such as a CVE."""
    tests: tuple[str, ...] = ()
    """Paths; nothing for the default selection."""
    only: str | None = None
    """Which of them: pytest's `-k`."""
    hangs: bool = False
    """Whether it is found by running out of time."""


class Change(NamedTuple):
    """A defect as it goes into one file."""

    path: Path
    text: str
    """The whole file, changed."""


def defects(folder: Path = FOLDER) -> list[Defect]:
    """Return the defects of all files of a folder, in their order. Raises ValueError for what is none."""
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
    """Return the file that a defect changes, with the change. Raises AnchorError where its place is not found once."""
    pattern = re.compile(r"\s+".join(map(re.escape, defect.old.split())))
    found = [
        (path, text, start + match.start(), start + match.end())
        for path, text in _sources(root)
        # Most files are spared the parsing.
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
    """Yield where in a text each definition of that name begins and ends."""
    starts = [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
    for node in _named(ast.parse(text).body, place.split(".")):
        decorators = node.decorator_list if isinstance(node, _DEFINITION) else []
        first = min([node.lineno, *(one.lineno for one in decorators)])
        assert node.end_lineno is not None
        yield starts[first - 1], starts[node.end_lineno]


_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _named(body: Sequence[ast.stmt], names: Sequence[str]) -> Iterator[ast.stmt]:
    """Yield the statements that define `names`, each within the one before."""
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
