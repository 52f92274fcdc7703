"""The page about Python: its programs run, and it names each argument, attribute and error."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest

import jitid
from tests.api.conftest import User
from tests.man.source import displays, plain, read, section
from tests.real import command, module

PAGE = read("jitid-python.7")
PROGRAMS = [text for text in displays(PAGE) if "import jitid" in text]


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Return a user with the program `jitid` on the path."""
    user = User(tmp_path)
    program = tmp_path / "bin" / "jitid"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    program.chmod(0o755)
    user.environment["PATH"] = f"{program.parent}:{user.environment['PATH']}"
    return user


def _named(title: str) -> set[str]:
    lines = re.findall(r"^\.(?:It |)Va (.+)$", section(PAGE, title), re.MULTILINE)
    return {word for line in lines for word in re.findall(r"\w+", plain(line))}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_as_it_stands(program: str, user: User) -> None:
    if "import httpx" in program:
        module("httpx")
    user.printed(program)
    rows = user.rows()
    assert rows
    assert not [row for row in rows if row["state"] == "active"]


def test_each_argument_and_attribute_is_named() -> None:
    arguments = set(inspect.signature(jitid.identity).parameters)
    attributes = {name for name in vars(jitid.Identity) if not name.startswith("_")}
    named = _named("IDENTITIES")
    assert arguments | attributes <= named
    arguments = set(inspect.signature(jitid.verify).parameters)
    attributes = set(jitid.VerifiedToken.__dataclass_fields__)
    assert arguments | attributes <= _named("VERIFICATION")


def test_each_error_is_named() -> None:
    errors = {name for name in jitid.__all__ if name.endswith("Error")}
    assert errors <= set(re.findall(r"\w+Error", section(PAGE, "EXCEPTIONS")))
