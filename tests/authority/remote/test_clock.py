"""An authority whose clock is far behind its ledger: no remote caller may accept it, and the hint helps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.real import Shell
from tests.serving import Served

AHEAD = """
import sys, time
real = time.time
time.time = lambda: real() + 5 * 86_400
from jitid.cli import main
sys.exit(main.run(sys.argv[1:]))
"""
"""A program that runs a command five days in the future."""


def test_the_hint_names_the_machine_where_the_clock_can_be_accepted(
    client: Shell, served: Served, tmp_path: Path
) -> None:
    client.good("issue", "--task", "T1", "--delegator", "alice", "--ttl", "1h")
    beside = Shell(tmp_path / "authority")
    later = [sys.executable, "-c", AHEAD, "sweep", "--accept-clock"]
    subprocess.run(later, env=beside.environment, cwd=beside.home, capture_output=True, check=False)
    for line in ("sweep --accept-clock", "issue --task T2 --delegator alice --accept-clock", "list"):
        done = client.run(*line.split())
        assert done.returncode in (7, 11), done.stderr
        assert "on the machine of the ledger: jitid sweep --accept-clock" in done.stderr, line
    done = beside.run("sweep", "--accept-clock")
    assert done.returncode in (0, 10), done.stderr
    client.good("issue", "--task", "T2", "--delegator", "alice")
