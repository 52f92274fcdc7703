"""A user with a ledger, and programs that use the Python interface."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.real import Shell

API = "https://api.example"


class User(Shell):
    """A user whose environment is also that of the test."""

    def rows(self, *options: str) -> list[dict[str, Any]]:
        """Return the credentials of the ledger that match options of `jitid list`."""
        listed: list[dict[str, Any]] = json.loads(self.good("list", *options, "--format", "json"))["items"]
        return listed

    def program(
        self, text: str, *arguments: str, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in Python to its end."""
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(text), *arguments],
            capture_output=True,
            text=True,
            env={**self.environment, **(more or {})},
            cwd=self.home,
            timeout=60,
        )

    def printed(self, text: str, *arguments: str, more: Mapping[str, str] | None = None) -> str:
        """Run a program that succeeds, and return its output."""
        done = self.program(text, *arguments, more=more)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    """Return a user with an empty ledger, in the environment of the test too."""
    made = User(tmp_path)
    for name in os.environ:
        if name.startswith("JITID_") and name != "JITID_REQUIRE_ALL":
            monkeypatch.delenv(name)
    for name in ("HOME", "JITID_LEDGER"):
        monkeypatch.setenv(name, made.environment[name])
    made.good("issue", "--task", "FIRST", "--delegator", "system:setup")
    return made
