"""Plain lines are parsed without Typer, with the same result."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from jitid.cli import command_tree, plain, plain_table
from jitid.cli.invocation import Invocation
from jitid.cli.verbs import COMMANDS, function_of
from jitid.errors import UsageError
from tests.generate import plain_table as generated

LINES = [
    ["issue", "--task", "T", "--delegator", "alice"],
    ["issue", "--task=T", "--delegator=alice", "--scope", "a:b", "--scope=c:*", "-q"],
    ["-v", "--format", "json", "issue", "--task", "T", "--delegator", "alice", "--ttl", "5m", "--verbose"],
    ["issue", "--parent-file", "-", "--allow-narrower", "--count", "7", "--dry-run"],
    ["issue", "--detail", '{"type":"a"}', "--detail", '{"type":"b"}', "--from-file", "x"],
    ["verify"],
    ["verify", "token.txt", "--audience", "https://a"],
    ["verify", "-"],
    ["inspect", "jti_x", "--field", "act"],
    ["list", "--live", "--sort", "task", "--limit", "3", "--depth", "0"],
    ["revoke", "a", "b", "--tree", "c", "d", "--max", "0", "--yes"],
    ["retire", "T", "--reason", "it is done", "--ledger", "/x"],
    ["task", "show", "T"],
    ["task", "list", "--state", "open"],
    ["audit", "log", "--after", "5", "--members"],
    ["keys", "revoke", "KID", "--yes"],
    ["config", "get", "ttl"],
]

ODD = [
    ["issue", "--help"],
    ["issue", "--tas", "T"],
    ["issue", "--task"],
    ["issue", "--task", "--delegator", "alice"],
    ["issue", "--task", ""],
    ["issue", "--task", " "],
    ["issue", "--count", "-1"],
    ["issue", "--count", "x"],
    ["issue", "--count", "1_0"],
    ["issue", "--dry-run=yes"],
    ["issue", "word"],
    ["issue", "--", "--task"],
    ["issue", "--purpose", "na\u00efve"],
    ["issue", "-t", "T"],
    ["-qv", "issue"],
    ["isue"],
    ["task"],
    ["task", "shw", "T"],
    ["retire"],
    ["retire", "A", "B"],
    ["--format"],
    [],
]


def _state(cli: Invocation) -> dict[str, Any]:
    return {name: value for name, value in vars(cli).items() if not name.startswith("_")}


def _by_typer(line: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments with which Typer calls a verb, and the global options."""
    caught: list[dict[str, Any]] = []
    bound = command_tree._bound

    def catching(function: Any, cli: Invocation) -> Any:
        call = bound(function, cli)

        def catch(**arguments: object) -> None:
            caught.append(arguments)

        for name in ("__signature__", "__annotations__", "__doc__", "__name__"):
            setattr(catch, name, getattr(call, name))
        return catch

    monkeypatch.setattr(command_tree, "_bound", catching)
    cli = Invocation()
    command_tree.invoke(line, cli)
    monkeypatch.setattr(command_tree, "_bound", bound)
    (arguments,) = caught
    return arguments, _state(cli)


def _by_table(line: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    cli = Invocation()
    read = plain.read(line, os.environ, cli)
    assert read is not None, "the line is not plain"
    signature = inspect.signature(function_of(read.verb))
    bound = signature.bind(cli, **read.arguments)
    bound.apply_defaults()
    del bound.arguments["cli"]
    return dict(bound.arguments), _state(cli)


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_plain_line_is_read_as_typer_reads_it(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _by_table(line) == _by_typer(line, monkeypatch)


def test_variables_are_read_as_typer_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "JITID_TASK": "T",
        "JITID_DELEGATOR": "bob",
        "JITID_SCOPE": "a:b c:d",
        "JITID_TTL": "5m",
    }.items():
        monkeypatch.setenv(name, value)
    line = ["issue", "--delegator", "alice"]
    assert _by_table(line) == _by_typer(line, monkeypatch)


WORDS = st.sampled_from(
    [
        "issue",
        "--task",
        "--scope",
        "--delegator",
        "--count",
        "3",
        "-q",
        "--format",
        "json",
        "T",
        "a:b",
        "--dry-run",
        "-",
        "-v",
    ]
)


@for_all(words=st.lists(WORDS, max_size=7))
def test_whatever_is_read_as_plain_typer_reads_alike(words: list[str]) -> None:
    line = ["issue", *words]
    if plain.read(line, {}, Invocation()) is None:
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert _by_table(line) == _by_typer(line, monkeypatch)


@pytest.mark.parametrize("line", ODD, ids=" ".join)
def test_what_is_not_plain_is_left_to_typer(line: list[str]) -> None:
    assert plain.read(line, {}, Invocation()) is None


def test_a_blank_variable_is_left_to_typer_which_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITID_PARENT_FILE", "")
    line = ["issue", "--task", "T", "--delegator", "alice"]
    assert plain.read(line, os.environ, Invocation()) is None
    with pytest.raises(UsageError):
        command_tree.invoke(line, Invocation())


def test_the_table_is_that_of_the_command_tree() -> None:
    assert Path(plain_table.__file__).read_text(encoding="utf-8") == generated.text()


def test_every_verb_is_in_the_table() -> None:
    assert list(plain_table.VERBS) == list(COMMANDS)


UNWANTED = (
    "typer rich jwt ssl asyncio psycopg boto3 botocore tomli_w tomlkit jinja2 importlib.metadata platformdirs"
    " pathlib dataclasses urllib.request tomllib"
)


CERTIFYING = "cryptography.x509 cryptography.hazmat.primitives.serialization"
"""Modules that take as long to load as the rest of an issue; only the first certificate needs them."""


LISTING = (
    "jitid.capabilities.trust.draw_place",
    "jitid.crypto.status_list",
    "jitid.ledger.status_list_store",
)
"""Modules for tokens that have an index in a status list."""


def _issue(kind: str, *unwanted: str) -> subprocess.CompletedProcess[str]:
    """Issue by a plain line; standard error lists the unwanted modules that were loaded."""
    # The name of a module that was moved would never be loaded.
    assert all(find_spec(name) for name in unwanted if name.startswith("jitid."))
    program = (
        "import os, sys\n"
        "from jitid.cli import main\n"
        "status = main.run(sys.argv[1:])\n"
        f"print(*[name for name in {unwanted!r} if name in sys.modules], file=sys.stderr)\n"
        "raise SystemExit(status)\n"
    )
    line = ("--quiet", "--ledger", "ledger", "issue", "--task", "T", "--delegator", "a", "--kind", kind)
    return subprocess.run([sys.executable, "-c", program, *line], capture_output=True, text=True, check=False)


def test_a_plain_issue_loads_nothing_that_it_does_not_need() -> None:
    unwanted = (*UNWANTED.split(), *CERTIFYING.split(), *LISTING, "jitid.crypto.x509", "jitid.crypto.der")
    result = _issue("jwt", *unwanted)
    assert (result.returncode, result.stderr.strip()) == (0, "")


def test_a_place_in_a_status_list_loads_no_more_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITID_PUBLISH_URL", "https://tokens.example")
    assert _issue("jwt").returncode == 0
    result = _issue(
        "jwt",
        *UNWANTED.split(),
        *CERTIFYING.split(),
        "jitid.capabilities.trust.publication",
        "jitid.capabilities.trust.rotation",
    )
    assert (result.returncode, result.stderr.strip()) == (0, "")
    assert _issue("jwt", *LISTING).stderr.split() == [*LISTING]


@pytest.mark.parametrize("kind", ["jwt-svid", "x509-svid", "ssh-cert"])
def test_a_certificate_loads_no_more_than_it_needs(kind: str) -> None:
    assert _issue(kind).returncode == 0
    result = _issue(kind, *UNWANTED.split(), *CERTIFYING.split(), "jitid.crypto.x509")
    assert (result.returncode, result.stderr.strip()) == (0, "")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
