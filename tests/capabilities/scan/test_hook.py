"""The pre-commit hook: staged files are scanned, and the hook is installed for git."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.scan.git_repository import Repository
from jitid.capabilities.scan.hits import Hit, Searcher
from jitid.capabilities.scan.hook import install, text_of
from jitid.capabilities.scan.staged import Staged
from jitid.cli.leak import scan
from jitid.cli.leak.commands import ScanCommand
from jitid.errors import OutputError, UsageError
from tests.capabilities.scan.gitrepo import Made, opaque
from tests.real import surroundings

PROGRAM = [sys.executable, "-P", "-m", "jitid"]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the user's own git configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Return a new repository."""
    return Made(tmp_path / "a repository")


def staged(path: Path | None) -> list[Hit]:
    """Return the hits that are new in the staged files."""
    with closing(Staged(Repository(None if path is None else str(path)))) as source:
        source.prepare(1)
        searcher = Searcher()
        for _ in source.search(searcher):
            pass
        return source.located(searcher.take().hits)


def places(path: Path | None) -> list[tuple[str, int | None, str | None]]:
    """Return the places of these hits."""
    return sorted((hit.place, hit.line, hit.revision) for hit in staged(path))


def test_what_is_staged_is_looked_at_and_not_what_the_folder_has(made: Made) -> None:
    """This holds in the first commit too, and for each of several files with the same content."""
    made.write("a/ä b", f"\n{opaque(1)}")
    made.write("copy", f"\n{opaque(1)}")
    made.write("untracked", opaque(2))
    made.git("add", "a", "copy")
    made.git("add", "--intent-to-add", "untracked")
    made.write("copy", "changed since")
    assert places(made.path) == [("a/ä b", 2, None), ("copy", 2, None)]


def test_what_is_there_already_is_no_news(made: Made, tmp_path: Path) -> None:
    """A commit that changes, moves or removes a file with a known string adds no new secret."""
    inner = Made(tmp_path / "inner")
    inner.commit({"x": opaque(9)})
    made.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.path), "sub")
    made.commit({"a": opaque(1), "b": opaque(2), "c": opaque(3)})
    made.write("a", f"more\n{opaque(1)}")
    made.git("mv", "b", "moved")
    made.write("c", "")
    made.git("add", "a", "c")
    assert not staged(made.path)
    made.write("a", f"{opaque(1)}\n{opaque(4)}")
    made.git("add", "a")
    assert places(made.path) == [("a", 2, None)]


def test_an_index_that_git_names_counts(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git commit FILE` uses a separate index for the hook."""
    made.commit({"a": ""})
    monkeypatch.chdir(made.path)
    monkeypatch.setenv("GIT_INDEX_FILE", str(made.path / ".git" / "next-index"))
    subprocess.run(["git", "read-tree", "HEAD"], check=True)
    made.write("b", opaque(1))
    subprocess.run(["git", "add", "b"], check=True)
    assert places(None) == [("b", 1, None)]
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert not staged(None)


def test_git_commits_no_secret_when_it_has_the_hook(made: Made, tmp_path: Path) -> None:
    """This works in a worktree and without a ledger, and the user gets instructions."""
    made.commit({"a": ""})
    made.git("worktree", "add", "-q", str(tmp_path / "a tree"), "-b", "topic")
    tree = tmp_path / "a tree"
    done = install(Repository(str(tree)), PROGRAM)
    assert (done.path, done.state) == (str(made.path / ".git" / "hooks" / "pre-commit"), "installed")

    def commit(*options: str) -> subprocess.CompletedProcess[str]:
        subprocess.run(["git", "add", "--all"], cwd=tree, check=True)
        return subprocess.run(
            [
                "git",
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@example.com",
                "commit",
                "-q",
                "-m",
                "m",
                *options,
            ],
            cwd=tree,
            # The hook falls back to a jitid on the path: this path has none.
            env={**surroundings(tmp_path), "PATH": os.defpath},
            capture_output=True,
            text=True,
            check=False,
        )

    (tree / "clean").write_text("nothing\n")
    done_so = commit()
    assert (done_so.returncode, done_so.stdout, done_so.stderr) == (0, "", "")
    (tree / "with a space").write_text(f"\nexport TOKEN={opaque(1)}\n")
    refused = commit()
    assert refused.returncode == 1
    assert "  with a space:2\n" in refused.stderr
    assert "jitid: commit rejected: it contains a secret" in refused.stderr
    assert opaque(1) not in refused.stderr
    assert made.git("log", "--format=%s", "topic") == "m\nwork"
    assert not (tmp_path / ".local").exists()
    # If the scan fails, the commit is refused too.
    Path(done.path).write_text(text_of(["/nowhere/jitid"]))
    (tree / "with a space").write_text("")
    refused = commit()
    assert refused.returncode == 1
    assert (
        "commit rejected: the scan failed (status 127), so the commit may contain a secret" in refused.stderr
    )
    assert commit("--no-verify").returncode == 0


def test_the_hook_is_brought_up_to_date_and_nobody_elses_is_touched(made: Made) -> None:
    """The hook does not replace a file of another program, a link or a broken link."""
    repository = Repository(str(made.path))
    path = Path(install(repository, PROGRAM).path)
    assert install(repository, PROGRAM).state == "present"
    assert path.stat().st_mode & 0o111 == 0o111
    assert install(repository, ["/opt/jitid it's", "x"]).state == "updated"
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
    assert sorted(one.name for one in path.parent.iterdir() if not one.name.endswith(".sample")) == [
        "pre-commit"
    ]
    for other in ("#!/bin/sh\nexit 0\n", "", "\0\xff" * 100):
        path.write_text(other)
        with pytest.raises(UsageError, match=r"another hook already.*nothing was changed") as refused:
            install(repository, PROGRAM)
        assert refused.value.hint == "add to it: jitid scan --staged --fail-on medium || exit 1"
        assert path.read_text() == other
    for target in ("../config", "nowhere"):
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(UsageError, match="another hook already"):
            install(repository, PROGRAM)
        assert path.is_symlink()


def test_the_hook_goes_where_git_looks(made: Made, tmp_path: Path) -> None:
    """A hooks folder that the repository configures must be inside it. The user's own folder is shared by all."""
    repository = Repository(str(made.path))
    made.git("config", "core.hooksPath", "tools/hooks")
    inner = install(repository, PROGRAM)
    assert (inner.path, inner.hooks.own) == (str(made.path / "tools" / "hooks" / "pre-commit"), True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (made.path / "leads out").symlink_to(outside)
    for path in (str(outside), "../outside", "leads out", "~/outside"):
        made.git("config", "core.hooksPath", path)
        with pytest.raises(UsageError, match=r"outside of the repository: .*; nothing was changed"):
            install(repository, PROGRAM)
    assert not list(outside.iterdir())
    made.git("config", "core.worktree", str(tmp_path))
    made.git("config", "core.hooksPath", "outside")
    with pytest.raises(UsageError, match=r"outside of the repository: .*; nothing was changed"):
        install(repository, PROGRAM)
    made.git("config", "--unset", "core.worktree")
    made.git("config", "--unset", "core.hooksPath")
    hooks = made.path / ".git" / "hooks"
    hooks.rename(tmp_path / "moved")
    hooks.symlink_to(outside)
    with pytest.raises(UsageError, match=r"outside of the repository: .*; nothing was changed"):
        install(repository, PROGRAM)
    (tmp_path / ".gitconfig").write_text("[core]\nhooksPath = ~/outside\n")
    shared = install(repository, PROGRAM)
    assert (shared.path, shared.hooks.own) == (str(outside / "pre-commit"), False)


def test_where_no_hook_can_be_is_told(made: Made, tmp_path: Path) -> None:
    """No commit is made in a bare repository. There may be a file instead of the hooks folder."""
    bare = Made(tmp_path / "bare", "--bare")
    with pytest.raises(UsageError, match="is bare, and no commits are made in it"):
        install(Repository(str(bare.path)), PROGRAM)
    with pytest.raises(UsageError, match="is bare, and has no staged files"):
        staged(bare.path)
    hooks = made.path / ".git" / "hooks"
    for sample in hooks.glob("*"):
        sample.unlink()
    hooks.rmdir()
    hooks.write_text("")
    with pytest.raises(OutputError, match="cannot be written: file exists"):
        install(Repository(str(made.path)), PROGRAM)


@pytest.mark.parametrize(
    "options",
    [
        {"git": True, "staged": True},
        {"staged": True, "no_ignore": True},
        {"git": True, "one_file_system": True},
        {"commits": ["main.."]},
        {"staged": True, "unreachable": True},
        {"git": True, "commits": ["main.."], "unreachable": True},
    ],
    ids=lambda options: " ".join(options),
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object]) -> None:
    values: dict[str, Any] = {
        name: options.get(name, field.absent) for name, field in ScanCommand.fields.items()
    }
    with pytest.raises(UsageError):
        scan.check(ScanCommand(**values))
