"""The boundary: exit statuses, signals, closed descriptors, and the modules that each command loads."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

import jitid
from jitid.cli import main, verbs
from jitid.cli.invocation import Invocation
from jitid.errors import NotFoundError
from jitid.model.types import TASK
from jitid.operation.base import Verb
from jitid.values.declaration import opt, opts
from jitid.values.field_types import SCOPE
from jitid.values.scope import Scope

PYTHON = [
    sys.executable,
    "-c",
    f"import sys; sys.path.insert(0, {str(Path(jitid.__file__).parent.parent)!r})\n",
]


def process(code: str) -> list[str]:
    """Return the command that runs `code` with jitid's modules."""
    return [*PYTHON[:2], PYTHON[2] + code]


def jitid_process(*arguments: str) -> list[str]:
    """Return the command that runs the command line."""
    return process(f"sys.argv = ['jitid', *{list(arguments)!r}]\nfrom jitid.__main__ import main\nmain()")


@pytest.fixture(autouse=True)
def private_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Isolate the signals, home and variables of the test run from the command lines."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for name in [name for name in os.environ if name.startswith(("JITID_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Probe(Verb):
    """Probe the command line."""

    verb = "probe"
    function = "probe_verb:probe"

    task: str | None = opt(TASK, "--task", help="A task.", env="JITID_TASK")
    scope: tuple[Scope, ...] = opts(SCOPE, "--scope", help="A scope.", env="JITID_SCOPE")


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module of the function of a verb `probe`; the test defines it."""
    module, declarations = ModuleType("jitid.cli.probe_verb"), ModuleType("jitid.cli.probe.commands")
    declarations.Probe = Probe  # type: ignore[attr-defined]
    for each in (module, declarations):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    monkeypatch.setitem(cast("dict[str, object]", verbs._MODULES), "probe", ("cli.probe.commands",))
    monkeypatch.setattr(verbs, "FIRST_WORDS", (*verbs.FIRST_WORDS, "probe"))
    return module


def test_global_options_count_on_both_sides_of_the_verb(verb: ModuleType) -> None:
    """The last of several options counts."""
    seen: list[Invocation] = []
    verb.probe = lambda cli, _line: seen.append(cli)  # type: ignore[attr-defined]
    line = "--format csv -q --ledger /a -v probe --format json --timeout 5s -v --no-input --accept-clock"
    assert main.run(line.split()) == 0
    assert (seen[0].format, seen[0].quiet, seen[0].ledger, seen[0].timeout) == ("json", True, "/a", "5s")
    assert (seen[0].no_input, seen[0].accept_clock, seen[0].debug) == (True, True, False)


def test_a_verb_learns_what_came_from_the_environment(
    verb: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verb may ignore a variable that would contradict a flag."""
    seen: list[object] = []

    def probe(cli: Invocation, line: Probe) -> None:
        seen.extend([cli.from_environment, line.task, line.scope])

    verb.probe = probe  # type: ignore[attr-defined]
    monkeypatch.setenv("JITID_SCOPE", "a:b c:d")
    assert main.run(["probe", "--task", "T"]) == 0
    assert seen == [frozenset({"scope"}), "T", ("a:b", "c:d")]


@pytest.mark.parametrize("value", ["", " ", "\t\n"])
def test_a_blank_variable_of_the_verb_is_a_usage_error(
    value: str, verb: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An empty `$TASK` in a script must not become "no task"."""

    def probe(cli: Invocation, line: Probe) -> None:
        raise AssertionError

    verb.probe = probe  # type: ignore[attr-defined]
    monkeypatch.setenv("JITID_TASK", value)
    assert main.run(["probe"]) == 2
    assert "JITID_TASK is blank" in capfd.readouterr().err


def test_a_blank_item_of_a_list_is_a_usage_error(verb: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    """One blank among several good values is an error, too."""

    def probe(cli: Invocation, line: Probe) -> None:
        raise AssertionError

    verb.probe = probe  # type: ignore[attr-defined]
    assert main.run(["probe", "--scope", "a:b", "--scope", ""]) == 2
    assert "`--scope` is blank" in capfd.readouterr().err


def test_an_error_is_a_sentence_a_hint_and_a_status(
    verb: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    """In JSON, the error has the same parts and a code."""

    def probe(cli: Invocation, line: Probe) -> None:
        raise NotFoundError("there is no `x\x1b`", "look elsewhere")

    verb.probe = probe  # type: ignore[attr-defined]
    assert main.run(["probe"]) == 3
    assert capfd.readouterr() == ("", "jitid: error: there is no `x\\x1b`\njitid: hint: look elsewhere\n")
    assert main.run(["probe", "--format", "jsonl"]) == 3
    told = json.loads(capfd.readouterr().err)
    assert told == {
        "error": {
            "code": "not_found",
            "message": "there is no `x\x1b`",
            "hint": "look elsewhere",
            "retryable": False,
        }
    }


def test_a_bug_is_told_without_what_it_was_about(verb: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    """The message of an unexpected exception may quote a secret, even in a traceback."""
    secret = "jitid_" + "s3cret" * 6

    def probe(cli: Invocation, line: Probe) -> None:
        raise ValueError(secret)

    verb.probe = probe  # type: ignore[attr-defined]
    assert main.run(["probe"]) == 1
    told = capfd.readouterr().err
    assert "internal error: ValueError in test_cli.py" in told
    assert "Traceback" not in told
    assert main.run(["probe", "--debug"]) == 1
    debug = capfd.readouterr().err
    assert "Traceback" in debug
    assert "ValueError: ****" in debug
    assert "s3cret" not in told + debug


def test_a_full_disk_is_no_bug(verb: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    """A full disk is retryable, wherever the error occurs."""

    def probe(cli: Invocation, line: Probe) -> None:
        Path("/dev/full").write_text("x")

    verb.probe = probe  # type: ignore[attr-defined]
    assert main.run(["probe", "--format", "json"]) == 5
    assert json.loads(capfd.readouterr().err)["error"]["retryable"] is True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cleans_up_and_shows_in_the_status(number: signal.Signals, verb: ModuleType) -> None:
    """A second signal, which `timeout` sends to the whole group, does not interrupt the clean-up."""
    cleaned = []

    def probe(cli: Invocation, line: Probe) -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
            cleaned.append(number)

    verb.probe = probe  # type: ignore[attr-defined]
    assert main.run(["probe"]) == 128 + number
    assert cleaned == [number]


def test_a_process_ends_by_a_signal_with_its_number(tmp_path: Path) -> None:
    """The signal arrives while the process waits for the reader of its output."""
    (tmp_path / ".jitid.toml").write_text("ledger = '/elsewhere'\n")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    with subprocess.Popen(jitid_process("config", "show"), stdout=writer, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        # The warning about the project's file is printed when the signal handlers are already installed.
        assert b"warning" in child.stderr.readline()
        child.send_signal(signal.SIGTERM)
        assert child.wait() == 128 + signal.SIGTERM
        assert child.stderr.read() == b""
    os.close(reader)
    os.close(writer)


def test_a_file_never_becomes_a_closed_standard_output(tmp_path: Path) -> None:
    """A file that is opened later must not get the descriptor number of standard output."""
    code = (
        "import os\nfrom jitid.system import output\noutput.claim_descriptors()\n"
        f"kept = os.open({str(tmp_path / 'ledger')!r}, os.O_RDWR | os.O_CREAT)\n"
        "try:\n    output.write('token')\nexcept Exception as error:\n    os._exit(error.exit_status)\n"
    )
    done = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *process(code)], check=False)
    assert done.returncode == 74
    assert (tmp_path / "ledger").read_bytes() == b""


def test_a_terminal_gets_a_table() -> None:
    """A pipe gets rows with tabs and without a header."""
    master, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(jitid_process("config", "show"), stdout=terminal, env=environment, check=False)
    os.close(terminal)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert done.returncode == 0
    assert shown.startswith("\x1b[1mkey")
    assert "\t" not in shown


def loaded_by(*arguments: str) -> set[str]:
    """Return the modules that a command line loads."""
    code = f"sys.argv = ['jitid', *{list(arguments)!r}]\nimport os\n"
    code += (
        "os._exit = lambda status: print('MODULES', *sys.modules)\nfrom jitid.__main__ import main\nmain()"
    )
    done = subprocess.run(process(code), capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES ")[2].split())


def test_warnings_of_libraries_are_for_developers() -> None:
    """They would show users a path of the installation and a line of its code."""
    code = "import warnings\nfrom jitid.cli import main\nmain.run = lambda _: warnings.warn('by a library') or 0\n"
    line = process(code + "from jitid.__main__ import main\nmain()")
    for environment, expected in ((None, 0), ({**os.environ, "PYTHONWARNINGS": "default"}, 1)):
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
        assert done.stderr.count("UserWarning: by a library") == expected, done.stderr


def test_the_version_needs_next_to_nothing() -> None:
    """Scripts run `jitid --version` often."""
    assert not loaded_by("--version") & {"typer", "enum", "re", "json", "signal", "functools"}


def test_help_loads_no_verb() -> None:
    """The table of verbs has the sentences."""
    loaded = loaded_by("--help")
    ours = {each for each in loaded if each.startswith("jitid.cli.") and not each.endswith(".commands")}
    line = {"main", "help_text", "verbs", "invocation", "line"}
    folders = {each.rpartition(".")[0] for each in loaded if each.endswith(".commands")}
    assert ours == {f"jitid.cli.{name}" for name in line} | folders
    assert not loaded & {"typer", "rich", "tomllib", "platformdirs"}


def test_only_a_page_loads_the_templates(tmp_path: Path) -> None:
    """The templates would double the time of a short command."""
    ledger = ("--ledger", str(tmp_path / "ledger"))
    lines = (
        ("issue", "--task", "T", "--delegator", "a", "--scope", "a:b"),
        ("list", "--format", "table"),
        ("sweep", "--format", "table"),
        ("sweep", "--format", "sarif"),
        ("report", "--format", "table"),
        ("report", "--format", "json"),
        ("report", "--format", "html"),
        ("sweep", "--format", "html"),
    )
    users = [line for line in lines if "jinja2" in loaded_by(*ledger, *line)]
    assert users == [("report", "--format", "html"), ("sweep", "--format", "html")]


def test_a_verb_loads_no_more_than_it_uses() -> None:
    """It loads no TOML without a file, no Rich without a table, no JSON without a mapping."""
    assert not loaded_by("config", "show") & {
        "rich",
        "tomllib",
        "tomli_w",
        "tomlkit",
        "platformdirs",
        "asyncio",
        "ssl",
        "jwt",
    }
