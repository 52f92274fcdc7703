"""Plant a defect into a copy of the tree, and run tests there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from tests.plant.defect import PACKAGE, ROOT, AnchorError, Defect, planted

COPIED = (PACKAGE, "tests", "pyproject.toml", "README.md", "LICENSE", "man", "completions", ".readme")
FAST = (
    "tests/redaction",
    "tests/values",
    "tests/model",
    "tests/crypto",
    "tests/search",
    "tests/policy",
    "tests/capabilities",
    "tests/operation",
    "tests/authority",
    "tests/ledger",
    "tests/issuers",
    "tests/formats",
    "tests/backup",
    "tests/system/test_files.py",
)
"""The tests for a defect that lists none."""
WITHOUT_SERVERS = (
    "not postgres and not serializable and not pooled and not database and not openbao and not moto"
)
QUICK = "tests.plant.quick"
"""The plugin for the tests of a copy, if the copy has it."""
UNASKED = ("--ignore=tests/plant", "--ignore=tests/bench")
"""Excluded tests. The test of all defects' places would fail for every planted defect, because its place is gone."""
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?::.+?)(?: - .*)?$", re.MULTILINE)


_running: set[subprocess.Popen[str]] = set()


def stop() -> None:
    """Kill the tests that run in copies, with all their child processes."""
    for process in list(_running):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class Outcome(StrEnum):
    """The outcome of a planted defect."""

    FOUND = "FOUND"
    SURVIVED = "SURVIVED"
    BROKEN = "BROKEN ANCHOR"
    """Its place was not found exactly once, so nothing was planted."""
    USELESS = "NO RESULT"
    """The tests did not run, or timed out, so there is no result."""
    UNCLEAN = "FAILS WITHOUT IT"
    """The failed test also fails without the defect."""


class Result(NamedTuple):
    """The outcome of a defect, and the test that found it."""

    defect: Defect
    outcome: Outcome
    told: str
    """The failed test, or why there is no result."""


def copy_tree(into: Path, root: Path = ROOT) -> Path:
    """Copy the files that the tests need, with compiled ones, into a folder; return the folder."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, into / name, symlinks=True)
        elif (root / name).exists():
            shutil.copy2(root / name, into / name)
    return into


def attempt(
    defect: Defect,
    into: Path,
    root: Path = ROOT,
    *,
    tests: Sequence[str] = (),
    timeout: float = 900,
) -> Result:
    """Plant a defect into a copy in the new folder `into`, and run its tests or the given `tests`."""
    into.mkdir()
    try:
        change = planted(defect, copy_tree(into, root))
    except AnchorError as error:
        return Result(defect, Outcome.BROKEN, str(error))
    change.path.write_text(change.text, encoding="utf-8")
    # The compiled file of the old text may have the same size and, to the second, the same time.
    for compiled in (change.path.parent / "__pycache__").glob(f"{change.path.stem}.*.pyc"):
        compiled.unlink()
    only = None if tests else defect.only
    if not (tests or defect.tests or only):
        only = WITHOUT_SERVERS
    paths = tests or defect.tests or [path for path in FAST if (into / path).exists()]
    status, output = run_tests(into, [*paths, *(["-k", only] if only else [])], timeout)
    match status:
        case 0:
            return Result(defect, Outcome.SURVIVED, _last(output))
        case 1 if failed := _FAILED.search(output):
            return Result(defect, Outcome.FOUND, failed[1])
        case None if defect.hangs:
            return Result(defect, Outcome.FOUND, f"ran out of {timeout:g} s, as it is to")
        case None:
            return Result(defect, Outcome.USELESS, f"ran out of {timeout:g} s")
        case _:
            return Result(defect, Outcome.USELESS, f"pytest ended with {status}: {_last(output)}")


def run_tests(tree: Path, arguments: Sequence[str], timeout: float) -> tuple[int | None, str]:
    """Run tests of a copy until the first failure; return pytest's status (None: out of time) and its output.

    The copy is first on the path of pytest and of its child processes, before the installed tree.
    """
    # A copy of another tree may not know the options for this tree's tests.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    environment["PYTHONPATH"] = str(tree)
    quick = ["-p", QUICK, "--deep"] if (tree / f"{QUICK.replace('.', '/')}.py").exists() else []
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-rfE",
        "--no-header",
        "--tb=no",
        "-p",
        "no:cacheprovider",
    ]
    with subprocess.Popen(
        [*words, *quick, *UNASKED, *arguments],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        _running.add(process)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # After an interrupt, the tests stop the servers that they have started in separate sessions.
            os.killpg(process.pid, signal.SIGINT)
            try:
                output, _ = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
            return None, output
        finally:
            _running.discard(process)
    return process.returncode, output


def confirmed(result: Result, clean: Path, timeout: float) -> Result:
    """Run the test that found a defect in a copy without the defect; return the corrected result."""
    if result.outcome is not Outcome.FOUND or "::" not in result.told:
        return result
    status, output = run_tests(clean, [result.told], timeout)
    if status == 0:
        return result
    return result._replace(outcome=Outcome.UNCLEAN, told=f"{result.told}: {_last(output)}")


def _last(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1].strip("= ") if lines else "no output"
