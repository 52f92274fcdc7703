"""The page for contributors is correct: its diffs apply and work, and it names every folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.readme import blocks
from tests.real import need

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")

Run = Callable[..., str]
"""Runs jitid in the changed copy, with these words and environment variables; returns its standard output."""


def _verb(run: Run) -> None:
    for task, person in (("T1", "alice"), ("T2", "alice"), ("T3", "bob")):
        run("issue", "--task", task, "--delegator", person)
    assert run("task", "count") == "user:alice\t2\nuser:bob\t1\n"
    assert run("task", "count", "--least", "2", "--field", "opener") == "user:alice\n"
    assert "Count open tasks by owner." in run("task", "count", "--help")


def _option(run: Run) -> None:
    run("issue", "--task", "T1", "--delegator", "alice", "--out", "parent.jwt")
    run("issue", "--parent-file", "parent.jwt", "--agent", "child")
    assert run("list", "--max-depth", "0", "--field", "agent") == "agent\n"
    assert run("list", "--max-depth", "1", "--field", "agent") == "child\nagent\n"


def _setting(run: Run) -> None:
    assert "tracker_url\thttps://t.example\n" in run("config", "show", JITID_TRACKER_URL="https://t.example")


def _format(run: Run) -> None:
    run("issue", "--task", "T1", "--delegator", "alice")
    (line,) = run("list", "--format", "ltsv").splitlines()
    assert dict(field.split(":", 1) for field in line.split("\t"))["task"] == "T1"


def _rule(run: Run) -> None:
    listed = run("sweep", "--list-rules", "--field", "rule").splitlines()
    assert listed.index("purposeless") == listed.index("over-scoped") + 1
    for task, purpose in (("T1", ()), ("T2", ("--purpose", "triage"))):
        run("issue", "--task", task, "--delegator", "alice", *purpose)
    found = run("sweep", "--rule", "purposeless", "--field", "summary")
    assert found.splitlines() == ["the task T1 has no purpose"]


def _kind(run: Run) -> None:
    token = run("issue", "--task", "T1", "--delegator", "alice", "--kind", "key")
    assert run("inspect", "--field", "kind", stdin=token) == "key\n"
    run("verify", stdin=token)


def _ledger(run: Run) -> None:
    path = Path(run("config", "get", "ledger").strip()).parent / "other"
    run("issue", "--task", "T1", "--delegator", "alice", JITID_LEDGER=f"file://{path}")
    assert (path / "ledger.db").exists()
    assert run("list", "--field", "task", JITID_LEDGER=str(path)) == "T1\n"


SHOWN: dict[str, Callable[[Run], None]] = {
    "A verb": _verb,
    "An option": _option,
    "A setting": _setting,
    "An output format": _format,
    "A sweep rule": _rule,
    "A kind of credential": _kind,
    "A ledger": _ledger,
}
"""The check that a diff works, by the heading of the diff."""


def _diffs() -> dict[str, str]:
    """Return the diff under each heading that has one."""
    chapters = re.split(r"^### (.+)$", TEXT, flags=re.MULTILINE)
    found = {
        heading: blocks("diff", text) for heading, text in zip(chapters[1::2], chapters[2::2], strict=True)
    }
    return {heading: diff for heading, (diff,) in found.items()}


def test_every_diff_is_tried() -> None:
    assert [*_diffs()] == [*SHOWN]


@pytest.mark.parametrize("heading", SHOWN)
def test_a_diff_applies_and_works(tmp_path: Path, heading: str) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "jitid", tree / "jitid", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [need("git"), "apply", "--whitespace=error", "-"],
        input=_diffs()[heading],
        cwd=tree,
        text=True,
        check=True,
        # A repository around the copy would make git look for the files there.
        env={"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path)},
    )

    def run(*words: str, stdin: str = "", **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "jitid", "--quiet", *words],
            input=stdin,
            cwd=tree,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **more},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    SHOWN[heading](run)


def test_the_layout_names_every_folder() -> None:
    table = TEXT.partition("| Folder |")[2].partition("\n\n")[0]
    named = [name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    there = {path.name for path in (ROOT / "jitid").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert sorted(named) == sorted(there | {"errors"})


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_what_a_page_names_is_there(page: str) -> None:
    """A page names paths in the repository, and verbs of commands."""
    from jitid.cli.verbs import all_verbs

    text = re.sub(
        r"^```diff\n.*?^```$", "", (ROOT / ".github" / page).read_text(), flags=re.MULTILINE | re.DOTALL
    )
    for path in re.findall(r"`((?:jitid|tests|\.ci)/[\w/.]*\w/?)`", text.replace("/X/", "/policy/")):
        assert (ROOT / path).exists(), path
    for verb in re.findall(r"`jitid ([a-z]+)", text):
        assert any(name.split()[0] == verb for name in all_verbs()), verb
