"""Clients for node of other projects: installed once a session, and run as scripts."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.real import missing, need

PACKAGES = ("oauth4webapi@^3.8", "jose@^6.2")


def install(folder: Path, *packages: str) -> None:
    """Install packages into a folder; skip the test where that is impossible."""
    npm = need("npm")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", *packages],
        cwd=folder,
        env={**os.environ, "npm_config_cache": str(folder / "cache"), "npm_config_update_notifier": "false"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        missing(f"npm cannot install {', '.join(packages)}: {done.stderr.strip()[-300:]}")


class Node:
    """A folder with the packages, and the interpreter."""

    def __init__(self, folder: Path, *more: str) -> None:
        """Install the packages and `more` of them into `folder`; skip the test where that is impossible."""
        self._folder = folder
        self._node = need("node")
        install(folder, *PACKAGES, *more)

    @property
    def packages(self) -> Path:
        """The folder of the installed packages."""
        return self._folder / "node_modules"

    def run(self, script: str, /, **values: Any) -> Any:
        """Run a module that ends with `answer(value)`, and return that value; `given` holds the values in it.

        Raises:
            AssertionError: the script threw; the message is node's standard error.

        """
        path = self._folder / f"{os.urandom(6).hex()}.mjs"
        path.write_text(_PROLOGUE + script)
        try:
            done = subprocess.run(
                [self._node, str(path)],
                input=json.dumps(values),
                cwd=self._folder,
                capture_output=True,
                text=True,
                timeout=60,
            )
        finally:
            path.unlink()
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


# Secrets come from standard input: neither on a command line nor in a file.
_PROLOGUE = """
import { readFileSync, writeFileSync } from "node:fs";
import * as oauth from "oauth4webapi";
import * as jose from "jose";
const given = JSON.parse(readFileSync(0, "utf8"));
const answer = value => writeFileSync(1, JSON.stringify(value ?? null));
"""
