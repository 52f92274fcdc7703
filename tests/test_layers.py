"""Tests of the code's layout: which folder may import which, where SQL may be, and which folders talk to people."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

import jitid
from tests.real import need

ROOT = Path(jitid.__file__).parent

# From the top to the bottom. A file imports lower folders, and files of the same folder without a circle.
# Folders of one line are on the same level and do not import each other.
ORDER: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    # The two ways in: the command line, and the Python interface, which `jitid/__init__.py` exports.
    ("cli", "api"),
    ("doctor",),
    ("backup", "server", "mcp"),
    ("authority",),
    ("capabilities/report",),
    ("capabilities/sweep",),
    ("capabilities/integrity",),
    ("capabilities/adopt",),
    ("capabilities/decisions",),
    ("capabilities/leak",),
    ("capabilities/inventory",),
    ("capabilities/use",),
    ("capabilities/issue",),
    ("capabilities/trust",),
    ("capabilities/access",),
    ("capabilities/audit",),
    ("capabilities/directory",),
    ("capabilities/session",),
    ("capabilities/identity",),
    ("capabilities/targets",),
    ("capabilities/scan", "capabilities/run", "capabilities/setup"),
    ("operation",),
    ("issuers",),
    ("ledger",),
    ("formats", "config", "keys"),
    ("system", "search", "policy"),
    ("model", "crypto"),
    ("values",),
    ("errors",),
    ("redaction",),
    ("__init__", "capabilities/__init__"),
)
HEIGHT = {name: len(ORDER) - number for number, names in enumerate(ORDER) for name in names}

EXPORTED = ("api", "errors")
"""The package names their public names for type checkers, and loads none of them: `tests/api` asserts that."""

PURE = ("errors", "redaction", "values", "model", "crypto", "policy", "search")
"""Folders that import no part of the outside world: no clock, no file, no network, no database."""
WORLD = frozenset(
    ("datetime", "io", "os", "pathlib", "random", "secrets", "socket", "sqlite3", "ssl", "subprocess", "time")
)
READS_FILES = {"policy/default"}
"""The default policy is a text file in the package."""
CALENDAR = {"values/times": "time"} | dict.fromkeys(
    ("crypto/der", "crypto/x509", "policy/policy_request"), "datetime"
)
"""Modules that calculate with times from their arguments; they read no clock either."""
CLOCKS = frozenset({"now", "today", "utcnow", "time", "time_ns", "monotonic", "perf_counter"})

SQL_PLACES = re.compile(r"ledger/.*|.*/(\w+_)?store|capabilities/sweep/rules/.*|issuers/postgres/.*")
"""A PostgreSQL target needs SQL, too."""
STATEMENT = re.compile(
    r"^\s*(?:SELECT\s+[\w(*:'?\"]|INSERT\s+(?:OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+(?:RECURSIVE\s+)?\w+.*\bAS\b"
    r"|(?:CREATE|DROP)\s+(?:TEMP\w*\s+)?(?:TABLE|INDEX|VIEW)\s)"
)

TALKERS = re.compile(r"(cli|server|mcp)/.*|system/output|__main__")


@cache
def modules() -> dict[str, Path]:
    """Return all modules by their path without `.py`; a package has the name of its folder."""
    return {
        str(path.relative_to(ROOT).with_suffix("")): path
        for path in sorted(ROOT.rglob("*.py"))
        if "__pycache__" not in path.parts
    }


@cache
def tree(name: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[tuple[str, bool]]:
    """Yield the modules of jitid that a module imports, and whether only for the type checker."""
    typing_only = _for_types(name)
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "jitid":
                    yield _module(alias.name), id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: a relative import"
            if str(node.module).split(".")[0] == "jitid":
                for alias in node.names:
                    inner = _module(f"{node.module}.{alias.name}")
                    # `from jitid.crypto import jws` loads a module, `from jitid.crypto.jws import parse` a name in a
                    # module.
                    yield inner if inner in modules() else _module(str(node.module)), id(node) in typing_only


def _for_types(name: str) -> set[int]:
    """Return the nodes that only the type checker reads."""
    return {
        id(inner)
        for node in ast.walk(tree(name))
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }


def _module(dotted: str) -> str:
    path = "/".join(dotted.split(".")[1:])
    packaged = f"{path}/__init__" if path else "__init__"
    return path if path in modules() else packaged


def folder(name: str) -> str:
    """Return the folder of ORDER that a module belongs to."""
    parts = name.split("/")
    found = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next(each for each in found if each in HEIGHT)


def edges(names: Iterable[str]) -> set[tuple[str, str]]:
    """Return the pairs of importing and imported module, type-only imports included."""
    return {(name, target) for name in names for target, _ in imports(name) if target != name}


def test_imports_point_down() -> None:
    """A reader may read and change a folder without the folders above it."""
    upward = {
        f"{name} -> {target}"
        for name, target in edges(modules())
        if folder(name) != folder(target)
        and HEIGHT[folder(target)] >= HEIGHT[folder(name)]
        and not (name == "__init__" and folder(target) in EXPORTED)
    }
    assert not upward


def test_no_files_import_each_other_in_a_circle() -> None:
    """Files that import each other cannot be understood alone; type-only imports count, too."""
    graph = {
        name: {target for _, target in edges([name]) if folder(target) == folder(name)} for name in modules()
    }
    # Remove modules that import no remaining module, then modules that no remaining module imports: circles remain.
    while leaves := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in leaves}
    while roots := graph.keys() - set().union(*graph.values()):
        graph = {name: targets for name, targets in graph.items() if name not in roots}
    assert not graph


def test_pure_folders_cannot_reach_the_world() -> None:
    """Clock, randomness, files and network are arguments in pure folders."""
    worldly = set()
    for name in modules():
        if folder(name) not in PURE or name in READS_FILES:
            continue
        typing_only = _for_types(name)
        for node in ast.walk(tree(name)):
            loaded = set()
            if isinstance(node, ast.Import):
                loaded = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                loaded = {str(node.module).split(".")[0]}
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in CLOCKS
            ):
                worldly.add(f"{name} calls {node.func.attr}")
            if id(node) not in typing_only:
                worldly |= {f"{name} imports {each}" for each in (loaded & WORLD) - {CALENDAR.get(name)}}
    assert not worldly


def test_sql_stands_in_the_ledger_and_in_stores() -> None:
    """An engineer who changes the schema must know where to look."""
    found = {
        name
        for name in modules()
        if not SQL_PLACES.fullmatch(name)
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.match(node.value)
    }
    assert not found


def test_few_folders_talk_to_people() -> None:
    """The domain returns values; the command line, the server and MCP make sentences of them."""
    found = {
        name
        for name in modules()
        if not TALKERS.fullmatch(name)
        for node in ast.walk(tree(name))
        if (isinstance(node, ast.Name) and node.id == "print")
        or (
            isinstance(node, ast.Attribute)
            and node.attr in ("stdout", "stderr", "stdin")
            and isinstance(node.value, ast.Name)
            and node.value.id == "sys"
        )
        or (isinstance(node, ast.ImportFrom) and node.module == "jitid.system.output")
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "jitid.system"
            and any(alias.name == "output" for alias in node.names)
        )
    }
    assert not found


def _members(node: ast.ClassDef) -> set[str]:
    """Return the names of the methods and fields that a class itself declares."""
    stated = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    for each in ast.walk(node):
        targets = each.targets if isinstance(each, ast.Assign) else [getattr(each, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and each in node.body:
                stated.add(target.id)
            elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                # Attributes that `__init__` sets.
                stated |= {target.attr} if target.value.id == "self" else set()
    return stated


def test_a_protocol_has_several_implementations() -> None:
    """A protocol with one implementation only repeats that class."""
    classes = {
        f"{name}:{node.name}": node
        for name in modules()
        for node in ast.walk(tree(name))
        if isinstance(node, ast.ClassDef)
    }
    protocols = {
        name
        for name, node in classes.items()
        if any(
            isinstance(base, ast.Name) and base.id == "Protocol"
            for each in node.bases
            for base in (each, each.value if isinstance(each, ast.Subscript) else each)
        )
    }
    by_name = {name.partition(":")[2]: name for name in classes}

    def everything(name: str) -> set[str]:
        """Return the members of a class, including those of its bases."""
        beside = f"{name.partition(':')[0]}:"
        bases = [each.id for each in classes[name].bases if isinstance(each, ast.Name)]
        known = [
            beside + base if beside + base in classes else by_name[base] for base in bases if base in by_name
        ]
        return _members(classes[name]).union(*map(everything, known))

    members = {name: everything(name) for name in classes}
    lonely = {
        protocol
        for protocol in protocols
        if sum(members[name] >= members[protocol] for name in classes.keys() - protocols) < 2
    }
    assert not lonely


def test_only_the_command_line_knows_typer() -> None:
    """Verbs are functions that any code may call, and the Click inside Typer is not jitid's to use."""
    users = {
        name
        for name, path in modules().items()
        if re.search(r"^\s*(?:import|from) (?:typer|click)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert users == {"cli/typer_parser"}
    assert not [name for name, path in modules().items() if "_click" in path.read_text(encoding="utf-8")]


ROOMS = frozenset({"__init__", "operations", "store", "perform", "commands"})
"""File names that each capability, and each folder of verbs, may use."""


def test_no_file_name_stands_for_two_things() -> None:
    """A search for a file name finds one file, except that the two ledgers have files of the same names."""
    places: dict[str, list[str]] = {}
    for name in modules():
        room = name.rpartition("/")[2]
        if room not in ROOMS and not name.startswith(("ledger/sqlite/", "ledger/postgres/")):
            places.setdefault(room, []).append(name)
    assert not {room: names for room, names in places.items() if len(names) > 1}


def test_the_first_listing_shows_the_architecture() -> None:
    assert len([each for each in ROOT.iterdir() if each.name not in ("__pycache__", "py.typed")]) <= 24


def test_files_named_in_docstrings_and_comments_are_there() -> None:
    """A reader must be able to follow such a reference."""
    named = {
        f"{name}: {file}"
        for name, path in modules().items()
        for file in re.findall(r"`([a-z_/]+\.py)`", path.read_text(encoding="utf-8"))
        if not any(f"/{each}.py".endswith(f"/{file}") for each in modules())
    }
    assert not named


def test_no_class_name_stands_for_two_things() -> None:
    """A search for a class name finds one class, except that the two ledgers have classes of the same names."""
    places: dict[str, set[str]] = {}
    for name in modules():
        ledger = name.startswith(("ledger/sqlite/", "ledger/postgres/"))
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, set()).add("ledger" if ledger else name)
    assert not {name: files for name, files in places.items() if len(files) > 1}


TOP = {
    ".ci",
    ".github",
    ".gitignore",
    ".readme",
    "LICENSE",
    "README.md",
    "completions",
    "jitid",
    "man",
    "pyproject.toml",
    "tests",
}


def test_the_repository_has_nothing_else_at_the_top() -> None:
    # The checkout may have any owner, because only the names of its files are read.
    git = [need("git"), "-c", "safe.directory=*", "-C", str(ROOT.parent)]
    listed = subprocess.run([*git, "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("a source archive does not say which files belong to the repository")
    assert {path.partition("/")[0] for path in listed.stdout.split("\0") if path} == TOP
