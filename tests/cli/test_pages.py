"""The HTML pages of `report`, `sweep` and `scan` name the machine that made them, and the ledger."""

from __future__ import annotations

import os
import re
from html import unescape
from pathlib import Path

import pytest

from jitid.authority.open import shown_place
from jitid.config.effective import load
from tests.real import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def origin(page: str) -> dict[str, str]:
    """Return the facts at the top of a page."""
    found = re.findall(r"<div><dt>([^<]*)</dt> <dd class=\"mono\">([^<]*)</dd></div>", page)
    return {name: unescape(value) for name, value in found}


def test_pages_name_the_host_and_the_ledger(shell: Shell) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--out", "token")
    report = origin(shell.good("report", "--format", "html"))
    assert report.keys() == {"Host", "Ledger", "Ledger id"}
    sweep = origin(shell.good("sweep", "--format", "html"))
    assert sweep.keys() == {"Host", "Ledger", "Sweep"}
    for found in (report, sweep):
        assert found["Host"] == os.uname().nodename
        assert Path(found["Ledger"]) == shell.ledger


def test_a_scan_without_a_ledger_names_only_the_host(shell: Shell) -> None:
    (shell.home / "tree").mkdir()
    # A ledger that the environment names must exist.
    del shell.environment["JITID_LEDGER"]
    found = origin(shell.good("scan", "tree", "--format", "html"))
    assert found.keys() == {"Host", "Scan"}


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ({"remote": "https://jitid.example.com"}, "https://jitid.example.com"),
        (
            {"ledger": "postgresql://ops:hunter2@db/jitid?password=hunter2"},
            "postgresql://ops:****@db/jitid?password=****",
        ),
    ],
)
def test_a_page_shows_no_password_of_a_ledger(flags: dict[str, str | None], shown: str) -> None:
    assert shown_place(load(flags=flags, environ={"HOME": "/nonexistent"})) == shown
