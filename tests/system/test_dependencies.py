"""Missing dependencies of an installation, and the commands that add them; none installs `jitid` from an index."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from jitid.system import dependencies
from jitid.system.dependencies import Unmet, adding, installing, requirements, unmet

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _names(stated: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", each)[0] for each in stated}


def test_the_requirements_are_those_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """They equal the metadata of an installation (PEP 508, PEP 621)."""
    extras = PROJECT["optional-dependencies"]
    stated = list(PROJECT["dependencies"])
    for extra, needed in extras.items():
        for each in needed:
            name, _, marker = each.partition("; ")
            stated.append(f"{name}; {f'({marker}) and ' if marker else ''}extra == '{extra}'")
    monkeypatch.setattr("importlib.metadata.requires", lambda _: stated)
    assert requirements() == PROJECT["dependencies"]
    for extra, needed in extras.items():
        assert requirements(extra) == [each.partition(";")[0] for each in needed]


def test_this_installation_tells_what_its_extras_are() -> None:
    for extra in ("server", "postgres", "aws"):
        assert _names(requirements(extra)) == _names(PROJECT["optional-dependencies"][extra])


def test_requirements_have_the_specifiers_that_are_understood() -> None:
    for each in PROJECT["dependencies"]:
        assert re.fullmatch(r"[a-z][a-z0-9-]*(>=[\d.]+)(,<[\d.]+)?", each), each


@pytest.mark.parametrize("extra", ["server", "postgres", "aws"])
def test_an_extra_is_added_to_the_interpreter_that_runs(extra: str) -> None:
    command = adding(extra)
    assert command.startswith(f"{sys.executable} -m pip install ")
    assert all(name in command for name in _names(PROJECT["optional-dependencies"][extra]))
    assert "jitid" not in command.removeprefix(sys.executable)


def test_the_command_is_one_that_pip_takes() -> None:
    command = adding("server").replace(" install ", " install --dry-run --no-index --no-deps ")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert "no such option" not in done.stderr
    assert "Invalid requirement" not in done.stderr


def test_an_environment_of_pipx_is_added_to_by_pipx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "jitid"
    home.mkdir()
    (home / "pipx_metadata.json").write_text("{}")
    monkeypatch.setattr(sys, "prefix", str(home))
    assert installing(["psycopg[binary]>=3.2"]) == "pipx inject jitid 'psycopg[binary]>=3.2'"


def test_an_environment_without_pip_is_added_to_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of `uv tool` has no pip."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert installing(["a>=1"]) == f"uv pip install --python {sys.executable} 'a>=1'"


def test_what_is_not_installed_names_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "_DISTRIBUTION", "there-is-no-such-distribution")
    assert requirements() == []
    assert unmet() == []
    assert adding("server") == "install the packages that pyproject.toml lists for the extra: server"


def test_this_installation_lacks_nothing() -> None:
    assert unmet() == []


@pytest.mark.parametrize(
    ("found", "specifiers", "meets"),
    [
        ("0.28.1", "<0.29,>=0.27.3", True),
        ("0.27.3", "<0.29,>=0.27.3", True),
        ("0.27.2", "<0.29,>=0.27.3", False),
        ("0.29", "<0.29,>=0.27.3", False),
        ("0.29.0", "<0.29,>=0.27.3", False),
        ("0.29.0rc1", "<0.29,>=0.27.3", False),
        ("1.0", "<0.29,>=0.27.3", False),
        ("14.0.0", ">=14", True),
        ("14", ">=14.0.0", True),
        ("9.9", ">=14", False),
        ("45.0.1.post1", ">=45", True),
        ("1", "", True),
    ],
)
def test_a_version_meets_a_requirement_as_pip_has_it(found: str, specifiers: str, meets: bool) -> None:
    assert dependencies._meets(found, specifiers) is meets


def test_a_version_that_does_not_fit_is_named_with_its_requirement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "requirements", lambda: ["rich>=9999", "not-there>=1", "typer>=0.1"])
    assert unmet() == [
        Unmet("rich>=9999", "rich", version("rich")),
        Unmet("not-there>=1", "not-there", None),
    ]


PROPOSAL = re.compile(r"(?:install|inject|--with|add|uvx)\s+(?:-\S+\s+)*[\"'`]?(?:\\\(aq)?jitid\b(?!-|/|:)")
"""A command that would get a package `jitid` from an index."""


def _texts() -> list[Path]:
    """Return all text files of the project, except third-party test vectors."""
    found = [ROOT / "README.md", ROOT / "pyproject.toml"]
    for folder in ("jitid", "man", "completions", "tests"):
        found += [
            path
            for path in sorted((ROOT / folder).rglob("*"))
            if path.is_file() and "vectors" not in path.parts and "__pycache__" not in path.parts
        ]
    return [path for path in found if path != Path(__file__)]


def test_no_text_proposes_to_install_jitid_from_an_index() -> None:
    """The name is not registered there. An attacker could register it, and run code on the users' machines."""
    found = {}
    for path in _texts():
        text = path.read_bytes().decode("utf-8", "ignore")
        extras = [] if path.name == "pyproject.toml" else re.findall(r"jitid\[(?:[a-z-]+,?)+\]", text)
        if extras or PROPOSAL.search(text):
            found[str(path.relative_to(ROOT))] = extras or PROPOSAL.findall(text)
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "pip install jitid",
        "pip install 'jitid[aws]'",
        "python3 -m pip install --quiet jitid",
        "pip install \\(aqjitid[postgres]\\(aq",
        "pipx install jitid",
        "uv tool install jitid",
        "uvx jitid",
        "uv add jitid",
    ],
)
def test_such_a_text_is_found(text: str) -> None:
    assert PROPOSAL.search(text)
