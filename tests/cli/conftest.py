"""Fixtures for all tests of the command line."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.model.agent_program import AGENT_PROGRAMS


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Isolate the signals, home and variables of the test run from the command lines that it runs itself."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    kept = {number: signal.getsignal(number) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    of_agents = {each.variable for each in AGENT_PROGRAMS}
    for name in [name for name in os.environ if name.startswith(("JITID_", "XDG_")) or name in of_agents]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for number, what in kept.items():
        signal.signal(number, what)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
