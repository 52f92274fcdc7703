"""The error boundary works from the first import on: an error is a sentence and a status, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jitid
from jitid.cli.verbs import all_verbs

CODE = "import sys; sys.argv[0] = 'jitid'; {prelude}; from jitid.__main__ import main; main()"
LINE = ("issue", "--task", "T", "--delegator", "alice")


def run(tmp_path: Path, *line: str, prelude: str = "pass", **files: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a separate process, with modules that come before all others in the search path."""
    for name, text in files.items():
        path = tmp_path / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    places = os.pathsep.join((str(tmp_path), str(Path(jitid.__file__).parent.parent)))
    return subprocess.run(
        [sys.executable, "-c", CODE.format(prelude=prelude), *line],
        env={"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"], "PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


BROKEN = {
    "raises": ("raise RuntimeError('jitid_secret')\n", 1, "internal error: RuntimeError"),
    "exits": ("import sys; sys.exit(3)\n", 1, "internal error: SystemExit"),
    "is cut": ("def f(:\n", 2, "a package cannot be loaded: SyntaxError in "),
    "lacks a module": ("import not_there_at_all\n", 2, "the module not_there_at_all cannot be loaded"),
    "lacks a name": ("from os import not_there_at_all\n", 2, "the module os cannot be loaded"),
    "needs memory": ("raise MemoryError\n", 5, "the system refuses: out of memory"),
    "needs depth": ("def f():\n    f()\nf()\n", 1, "internal error: RecursionError"),
    "is interrupted": ("raise KeyboardInterrupt\n", 130, ""),
}


@pytest.mark.deep
@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("typer", ("--help", "--bogus")),
        ("typer", ("list", "--no-such-option")),
        ("cryptography", LINE),
        ("cedarpy", LINE),
    ],
)
def test_a_dependency_that_is_broken_is_a_sentence(
    module: str, how: str, line: tuple[str, ...], tmp_path: Path
) -> None:
    text, status, words = BROKEN[how]
    done = run(tmp_path, *line, **{module: text})
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "jitid_secret" not in done.stderr


@pytest.mark.deep
@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize(
    "module", ["jitid.cli.main", "jitid.system.output", "jitid.errors", "jitid.redaction.token_format"]
)
def test_a_module_of_ours_that_does_not_load_is_a_sentence(module: str, how: str, tmp_path: Path) -> None:
    """This holds even for the module that prints errors."""
    text, status, _ = BROKEN[how]
    finder = (
        "import importlib.abc as a, importlib.util as u, importlib.machinery as m\n"
        "class F(a.MetaPathFinder, a.Loader):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        return u.spec_from_loader(name, self) if name == {module!r} else None\n"
        "    def create_module(self, spec): return None\n"
        f"    def exec_module(self, module): exec(compile({text!r}, '/x/y.py', 'exec'), {{}})\n"
        "import sys; sys.meta_path.insert(0, F())\n"
    )
    done = run(tmp_path, *LINE, prelude="import before", before=finder)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("jitid: error: ") is (status != 130)


def test_with_debug_it_shows_where_it_comes_from_without_secrets(tmp_path: Path) -> None:
    token = "jitid_" + "s3cretS" * 6
    done = run(tmp_path, "--help", "--debug", typer=f"raise RuntimeError('{token}')\n")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize("line", [("--format", "json"), ("--format=jsonl",)], ids=" ".join)
def test_it_is_one_line_of_json_where_that_is_asked_for(line: tuple[str, ...], tmp_path: Path) -> None:
    done = run(tmp_path, "list", "--no-such-option", *line, typer="raise MemoryError\n")
    assert done.returncode == 5
    assert json.loads(done.stderr)["error"]["retryable"] is True
    done = run(tmp_path, "list", *line, prelude="sys.modules['jitid.cli.main'] = None")
    assert set(json.loads(done.stderr)["error"]) == {"code", "message", "hint", "retryable"}


def test_what_runs_commands_keeps_their_statuses(tmp_path: Path) -> None:
    done = run(tmp_path, "run", "--task", "T", "--", "true", prelude="sys.modules['jitid.cli.main'] = None")
    assert done.returncode == 125


@pytest.mark.parametrize("line", [("list", "--bogus"), ("lst",), ("--help", "--bogus")], ids=" ".join)
def test_a_version_that_does_not_fit_is_named_with_the_command_that_repairs_it(
    line: tuple[str, ...], tmp_path: Path
) -> None:
    """A newer Typer may fail at any place and in any way."""
    folder = tmp_path / "typer-0.29.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: typer\nVersion: 0.29.2\n")
    done = run(tmp_path, *line, typer="raise TypeError('changed')\n")
    assert done.returncode == 2
    assert "jitid requires typer<0.29,>=0.27.3 (0.29.2 is installed)" in done.stderr
    assert f"hint: {sys.executable} -m pip install 'typer<0.29,>=0.27.3'\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_verb_is_behind_the_boundary(tmp_path: Path) -> None:
    """If the module of a verb does not load, the error is reported like any other."""
    for verb in ("list", "audit log"):
        module = all_verbs()[verb].__module__
        done = run(tmp_path, *verb.split(), prelude=f"sys.modules[{module!r}] = None")
        assert done.returncode == 1
        assert "internal error: ModuleNotFoundError" in done.stderr
        assert "Traceback" not in done.stderr
