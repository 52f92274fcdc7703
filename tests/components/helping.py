"""Shared code of the tests of `helper`: jitid in PATH under each of its names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.real import Shell

ASKING = ("--task", "T1", "--delegator", "alice")


def shell_with_programs(folder: Path) -> Shell:
    """Return a shell with a ledger, and with jitid and its name for docker in PATH."""
    made = Shell(folder)
    made.good("issue", "--task", "FIRST", "--delegator", "alice")
    install_programs(made, folder)
    return made


def install_programs(made: Shell, folder: Path) -> None:
    """Put jitid and its name for docker into a folder in PATH."""
    for name, function in (("jitid", "main"), ("docker-credential-jitid", "docker")):
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\nfrom jitid.__main__ import {function}\n{function}()\n")
        program.chmod(0o755)
    made.environment["PATH"] = f"{folder / 'bin'}:{made.environment['PATH']}"


def asked(shell: Shell, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program that requests a credential."""
    return subprocess.run(
        words,
        env={**shell.environment, **variables},
        cwd=shell.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def is_for(shell: Shell, token: str, audience: str) -> bool:
    """Return whether a token is valid now for that audience."""
    return shell.run("verify", "-", "--audience", audience, stdin=token).returncode == 0
