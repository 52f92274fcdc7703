"""`scan` of files in a git repository notes that it did not search the history, with the command that does."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.capabilities.scan.gitrepo import Made
from tests.real import Shell, need

NOTE = "was not searched: "


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger."""
    made = Shell(tmp_path)
    made.good("issue", "--task", "FIRST", "--delegator", "alice")
    return made


def removed(shell: Shell, path: Path, task: str) -> Made:
    """Make a repository with a token in its history that its files no longer contain."""
    made = Made(path)
    made.commit({"key": shell.good("issue", "--kind", "opaque", "--task", task, "--delegator", "alice")})
    made.commit({"key": "gone"})
    return made


def noted(stderr: str) -> list[str]:
    """Return the commands of the note; there is at most one note."""
    notes = [line for line in stderr.splitlines() if NOTE in line]
    assert len(notes) <= 1
    return [part for line in notes for part in line.partition(NOTE)[2].split("; ")]


@pytest.mark.deep
@pytest.mark.parametrize("more", [(), ("--no-ignore",), ("--format", "json")], ids=" ".join)
def test_a_repository_is_named_with_the_command_that_searches_its_history(
    shell: Shell, more: tuple[str, ...]
) -> None:
    removed(shell, shell.home / "my repo", "T1")
    done = shell.run("scan", "my repo", *more)
    assert done.returncode == 0, done.stderr
    (named,) = noted(done.stderr)
    assert named == "jitid scan --git 'my repo'"
    found = shell.run(*shlex.split(named)[1:])
    assert found.returncode == 10
    assert "secret-live" in found.stdout
    assert shell.run("scan", "my repo", "--quiet", *more).stderr == ""


@pytest.mark.deep
def test_a_worktree_a_submodule_and_a_bare_repository_are_repositories(shell: Shell) -> None:
    """In a worktree and in a submodule `.git` is a file."""
    made = removed(shell, shell.home / "repo", "T1")
    made.git("worktree", "add", "-q", "../beside")
    outer = Made(shell.home / "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../repo", "inner")
    outer.git("clone", "-q", "--bare", "../repo", "../bare.git")
    for place, named in (
        ("beside", ["beside"]),
        ("outer", ["outer", "outer/inner"]),
        ("bare.git", ["bare.git"]),
        ("outer/inner", ["outer/inner"]),
    ):
        done = shell.run("scan", place)
        assert noted(done.stderr) == [f"jitid scan --git {each}" for each in named], place
        for each in named:
            if each != "outer":
                assert shell.run("scan", "--git", each).returncode == 10


def test_a_folder_within_a_repository_names_the_repository_once(shell: Shell) -> None:
    made = removed(shell, shell.home / "repo", "T1")
    made.commit({"web/static/a": "a", "api/b": "b"})
    absolute = str(shell.home / "repo")
    for words, named in (
        (["repo/web"], "repo"),
        (["repo/web/static"], "repo"),
        (["repo/web", "repo/api"], "repo"),
        (["repo", "repo/web"], "repo"),
        ([f"{absolute}/web"], absolute),
    ):
        assert noted(shell.run("scan", *words).stderr) == [f"jitid scan --git {named}"], words
    (shell.home / "beside").symlink_to("repo/web")
    (named,) = noted(shell.run("scan", "beside/").stderr)
    assert shell.run(*shlex.split(named)[1:]).returncode == 10


@pytest.mark.deep
@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_a_document_says_that_the_history_was_not_searched(shell: Shell, form: str) -> None:
    removed(shell, shell.home / "repo", "T1")
    done = shell.run("scan", "repo", "--format", form, "-v")
    assert "the history of a git repository was not searched" in done.stdout
    assert NOTE.strip(": ") not in shell.run("scan", "--git", "repo", "--format", form).stdout


def test_of_many_repositories_a_few_are_named_and_the_others_counted(shell: Shell) -> None:
    for number in range(7):
        Made(shell.home / f"all/repo{number}").commit({"a": "b"})
    (shell.home / "all/plain").mkdir()
    done = shell.run("scan", "all")
    *scans, more = noted(done.stderr)
    assert len(scans) == 3
    assert all(scan.startswith("jitid scan --git all/repo") for scan in scans)
    assert more == "and 4 more"
    assert "the history of 7 git repositories" in done.stderr


def test_what_is_no_repository_or_was_searched_has_no_note(shell: Shell) -> None:
    need("git")
    removed(shell, shell.home / "repo", "T1")
    (shell.home / "plain").mkdir()
    for words in (("scan", "plain"), ("scan", "repo/key"), ("scan", "--git", "repo")):
        assert noted(shell.run(*words).stderr) == []
