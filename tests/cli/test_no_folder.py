"""A working directory that was deleted: a verb that needs it reports that, and other verbs work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.real import Shell, command


@pytest.mark.parametrize(
    "line",
    [
        "config set ttl 5m",
        "config set policy rules",
        "config set oidc.https://id.example.jwks keys.json",
        "--ledger here issue --task T1 --delegator alice",
        "serve --print-unit --socket s",
    ],
)
def test_a_verb_that_needs_it_ends_with_a_sentence(line: str, tmp_path: Path) -> None:
    shell, gone = Shell(tmp_path), tmp_path / "gone"
    gone.mkdir()
    script = f'cd {gone} && rmdir {gone} && exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *command(*line.split())],
        capture_output=True,
        text=True,
        env=shell.environment,
        timeout=60,
    )
    assert done.returncode in (0, 2, 5), done.stderr
    assert "internal error" not in done.stderr
    assert done.returncode == 0 or "the working directory does not exist any more" in done.stderr
