"""`jitid setup --project`: it writes into the project alone, and follows no link out of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_setup_redirects import DOCS, Project
from tests.real import need


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a shell in a project."""
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (("claude-code", "--project", *DOCS), ".claude/settings.local.json"),
        (("claude-code", "--project", *DOCS), ".claude"),
        (("claude-code", "--project", *DOCS), ".mcp.json"),
        (("codex", "--project", *DOCS), ".codex/hooks.json"),
        (("opencode", "--project", *DOCS), "opencode.json"),
        (("gemini", "--project"), ".gemini"),
        (("copilot", "--project"), ".mcp.json"),
        (("cursor", "--project"), ".cursor/mcp.json"),
        (("vscode", "--project"), ".vscode/mcp.json"),
        (("mcp",), ".mcp.json"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_out_of_the_project_is_refused(
    project: Project, words: tuple[str, ...], file: str, exists: bool
) -> None:
    is_folder = file in (".claude", ".gemini")
    target = project.home / "elsewhere/target"
    target.parent.mkdir()
    if exists and is_folder:
        target.mkdir()
    elif exists:
        target.write_text("{}")
    link = project.folder / file
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)
    for line in (words, (*words[:2], "--undo")):
        done = project.run("setup", *line)
        assert done.returncode == 2
        assert f"leads to `{target}" in done.stderr
        assert "nothing was changed" in done.stderr
    assert target.exists() is exists
    assert not exists or is_folder or target.read_text() == "{}"
    assert not exists or not is_folder or [*target.iterdir()] == []


def test_a_link_within_the_project_is_followed(project: Project) -> None:
    (project.folder / "settings").mkdir()
    (project.folder / ".mcp.json").symlink_to("settings/mcp.json")
    project.good("setup", "mcp")
    assert json.loads((project.folder / "settings/mcp.json").read_text())["mcpServers"]


def test_the_configuration_of_a_repository_is_the_one_that_git_reads(project: Project) -> None:
    git = need("git")
    words = ("setup", "git", "--project", "--host", "git.example")
    done = project.run(*words)
    assert (done.returncode, "git finds no repository" in done.stderr) == (2, True)
    assert not (project.folder / ".git").exists()

    def at(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            [git, "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=project.shell.environment,
        )
        return done.stdout

    top = project.folder
    at(top, "init", "-q")
    at(top, "commit", "-q", "--allow-empty", "-m", "first")
    before = (top / ".git/config").read_bytes()
    at(top, "worktree", "add", "-q", str(project.home / "tree"))
    (top / "sub").mkdir()
    for folder in (top / "sub", project.home / "tree"):
        project.folder = folder
        project.good(*words)
        assert not (folder / ".git/config").exists()
        for each in (top, folder):
            assert "helper git" in at(each, "config", "--get-all", "credential.https://git.example.helper")
        project.good("setup", "git", "--project", "--undo")
        assert (top / ".git/config").read_bytes() == before


def test_a_configuration_of_git_that_is_a_link_is_refused(project: Project) -> None:
    subprocess.run([need("git"), "init", "-q", project.folder], check=True)
    path = project.folder / ".git/config"
    target = path.rename(project.home / "config")
    before = target.read_bytes()
    path.symlink_to(target)
    done = project.run("setup", "git", "--project", "--host", "git.example")
    assert (done.returncode, "outside of" in done.stderr) == (2, True)
    assert target.read_bytes() == before


def test_a_file_that_projects_commit_is_noted(project: Project) -> None:
    done = project.run("setup", "claude-code", "--project", *DOCS)
    noted = [line for line in done.stderr.splitlines() if "do not commit it" in line]
    assert len(noted) == 1
    assert str(project.folder / ".mcp.json") in noted[0]
    assert "do not commit it" not in project.run("setup", "claude-code", *DOCS).stderr
    assert "do not commit it" in project.run("setup", "mcp", "--name", "b").stderr


def test_a_link_in_the_place_of_a_recorded_file_is_not_followed(project: Project) -> None:
    """It would be the user's own file a second time."""
    for more in ((), ("--project",)):
        project.good("setup", "claude-code", *more)
    path = project.folder / ".claude/settings.local.json"
    path.unlink()
    path.symlink_to(project.home / ".claude/settings.json")
    done = project.run("setup", "claude-code", "--check")
    assert (done.returncode, "were changed or removed" in done.stdout) == (10, True)
    project.good("setup", "claude-code", "--undo")
    assert not (project.home / ".claude/settings.json").exists()
    assert [*(project.home / ".local/state/jitid/setup").glob("*.json*")] == []
