"""Planted defects: each has its place in the current code, and the planting reports correct results."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import pytest

from tests.plant.defect import PACKAGE, ROOT, Defect, defects, planted
from tests.plant.running import Outcome, attempt, confirmed

DEFECTS = defects()


@pytest.mark.deep
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_each_has_one_place_and_compiles(defect: Defect) -> None:
    change = planted(defect)
    before = change.path.read_text(encoding="utf-8")
    assert change.text != before
    compile(change.text, str(change.path), "exec")
    # A planted name that is not defined would end each test with a NameError, which proves nothing.
    assert not _names(change.text) - _names(before) - _defined(change.text) - set(dir(builtins))


def _names(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def _defined(source: str) -> set[str]:
    """Return the names that a file defines or imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.alias(name=name, asname=asname):
                found.add(asname or name.partition(".")[0])
    return found


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_each_names_tests_that_are_there(defect: Defect) -> None:
    for path in defect.tests:
        assert (ROOT / path.partition("::")[0]).exists()


TOY = """
LIMIT = 9


def add(one, other):
    while one > LIMIT:
        one -= 1
    return (one +
        other)


class Sum:
    def add(self):
        return add(1, 2)
"""
TESTS_OF_TOY = """
import subprocess, sys
from jitid.adding import Sum, add

def test_in_process():
    assert add(1, 2) == 3

def test_limit():
    assert add(10, 0) == 9

def test_in_another():
    code = "import sys; from jitid.adding import Sum; sys.exit(Sum().add())"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 3

def test_always_fails():
    assert not add(1, 2)
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a tree with one module and its tests: one of them starts a process, and one always fails."""
    # The tests of this tree need no plugins, and loading plugins takes longer than running them.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    root = tmp_path / "toy"
    for folder in (PACKAGE, "tests"):
        (root / folder).mkdir(parents=True)
        (root / folder / "__init__.py").touch()
    (root / "pyproject.toml").touch()
    (root / PACKAGE / "adding.py").write_text(TOY)
    (root / "tests" / "test_adding.py").write_text(TESTS_OF_TOY)
    return root


def toy_defect(place: str, old: str, new: str, only: str, *, hangs: bool = False) -> Defect:
    return Defect("toy", "a toy", place, old, new, tests=("tests/test_adding.py",), only=only, hangs=hangs)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("defect", "outcome", "told"),
    [
        (toy_defect("add", "(one + other)", "one - other", "process"), Outcome.FOUND, "::test_in_process"),
        (toy_defect("Sum.add", "add(1, 2)", "add(1, 1)", "another"), Outcome.FOUND, "::test_in_another"),
        (toy_defect("Sum.add", "add(1, 2)", "add(1, 1)", "process"), Outcome.SURVIVED, "1 passed"),
        (toy_defect("LIMIT", "9", "8", "limit"), Outcome.FOUND, "::test_limit"),
        (toy_defect("add", "one - other", "one", "process"), Outcome.BROKEN, "there 0 times"),
        (toy_defect("add", "one", "two", "process"), Outcome.BROKEN, "there 4 times"),
        (toy_defect("gone", "one", "two", "process"), Outcome.BROKEN, "there 0 times"),
        (toy_defect("add", "return (one +", "return (one one", "process"), Outcome.USELESS, "pytest ended"),
        (toy_defect("add", "(one + other)", "one - other", "no_such"), Outcome.USELESS, "pytest ended"),
        (toy_defect("add", "(one + other)", "one - other", "always_fails"), Outcome.UNCLEAN, "::test_always"),
    ],
    ids=lambda value: value.value.replace(" ", "-") if isinstance(value, Outcome) else "",
)
def test_what_became_of_a_defect_is_told(
    toy: Path, tmp_path: Path, defect: Defect, outcome: Outcome, told: str
) -> None:
    result = confirmed(attempt(defect, tmp_path / "tree", toy), toy, 60)
    assert result.outcome is outcome
    assert told in result.told


@pytest.mark.deep
@pytest.mark.parametrize("hangs", [False, True])
def test_running_out_of_time_is_a_find_only_where_that_is_said(
    toy: Path, tmp_path: Path, *, hangs: bool
) -> None:
    defect = toy_defect("add", "one -= 1", "one -= 0", "limit", hangs=hangs)
    result = attempt(defect, tmp_path / "tree", toy, timeout=1)
    assert result.outcome is (Outcome.FOUND if hangs else Outcome.USELESS)
    assert "ran out of 1 s" in result.told


def test_the_tree_itself_stays_as_it_is(toy: Path, tmp_path: Path) -> None:
    before = (toy / PACKAGE / "adding.py").read_text()
    attempt(toy_defect("add", "(one + other)", "one - other", "process"), tmp_path / "tree", toy)
    assert (toy / PACKAGE / "adding.py").read_text() == before
    assert (tmp_path / "tree" / PACKAGE / "adding.py").read_text() != before


def test_an_indented_place_keeps_its_indentation(toy: Path) -> None:
    defect = toy_defect("Sum.add", "return add(1, 2)", "if self:\n    return add(1, 1)\nreturn 3", "process")
    assert planted(defect, toy).text.endswith(
        "    def add(self):\n        if self:\n            return add(1, 1)\n        return 3\n"
    )
