"""Plain lines are parsed without Typer, with the same result."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, cast

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from jitid.cli import typer_parser
from jitid.cli.invocation import GlobalOptions, Invocation
from jitid.cli.line import Line, bound, by_flag
from jitid.cli.line import read as read_plain
from jitid.cli.verbs import all_verbs
from jitid.errors import UsageError
from jitid.values.declaration import Field

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
    ["list", "--by", "task", "--state", "open"],
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
    ["--task", "T", "issue"],
    ["issue", "--dry-run=yes"],
    ["issue", "word"],
    ["issue", "--", "--task"],
    ["issue", "--purpose", "na\u00efve"],
    ["issue", "-t=T"],
    ["-qv", "issue"],
    ["isue"],
    ["task"],
    ["task", "shw", "T"],
    ["retire"],
    ["retire", "A", "B"],
    ["--format"],
    [],
]


def _values(line: Line, environ: Mapping[str, str]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the verb of a line, the values of its fields, and the global options; or the error of a value."""
    cli = Invocation()
    try:
        command = bound(line, environ, cli)
    except UsageError as error:
        return line.verb.verb, {"error": (error.message, error.hint)}, {}
    state = {name: value for name, value in vars(cli).items() if not name.startswith("_")}
    return line.verb.verb, {name: getattr(command, name) for name in command.fields}, state


def _plainly(line: Sequence[str], environ: Mapping[str, str]) -> object:
    read = read_plain(line)
    assert read is not None, "the line is not plain"
    return _values(read, environ)


def _by_typer(line: Sequence[str], environ: Mapping[str, str]) -> object:
    read = typer_parser.read(line, Invocation())
    assert read is not None, "it requests help"
    return _values(read, environ)


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_plain_line_is_read_as_typer_reads_it(line: list[str]) -> None:
    assert _plainly(line, {}) == _by_typer(line, {})


def test_variables_count_alike() -> None:
    environ = {"JITID_TASK": "T", "JITID_DELEGATOR": "bob", "JITID_SCOPE": "a:b c:d", "JITID_TTL": "5m"}
    line = ["issue", "--delegator", "alice"]
    assert _plainly(line, environ) == _by_typer(line, environ)
    command = bound(cast("Line", read_plain(line)), environ, cli := Invocation())
    assert (command.task, command.delegator, command.scope) == ("T", "user:alice", ("a:b", "c:d"))  # type: ignore[attr-defined]
    assert cli.from_environment == {"task", "scope", "ttl"}


TEXTS = st.sampled_from(
    ["T", "a:b", "15m", "3", "-", "json", "x=y", "2026-11-24T12:00:00Z", "jti_x", "1e3", "-1", "--"]
)


@st.composite
def lines(draw: st.DrawFn, verb: str) -> list[str]:
    """Return a line of a verb: its options and arguments, global options around it, and now and then a mistake."""
    command = all_verbs()[verb]
    own, everywhere = by_flag(command.fields), by_flag(GlobalOptions.fields)

    def option(options: Mapping[str, Field]) -> list[str]:
        name = draw(st.sampled_from(sorted(options)))
        if options[name].type is None:
            return [name]
        return [f"{name}={draw(TEXTS)}"] if draw(st.booleans()) else [name, draw(TEXTS)]

    before = [word for _ in range(draw(st.integers(0, 1))) for word in option(everywhere)]
    parts = [[draw(TEXTS)] for field in command.fields.values() if not field.flags and draw(st.booleans())]
    parts += [option(own) for _ in range(draw(st.integers(0, 4))) if own]
    parts += [option(everywhere) for _ in range(draw(st.integers(0, 1)))]
    after = ["--", *draw(st.lists(TEXTS, max_size=3))] if draw(st.integers(0, 4)) == 0 else []
    return [*before, *verb.split(), *(word for part in draw(st.permutations(parts)) for word in part), *after]


@pytest.mark.parametrize("verb", all_verbs())
@for_all(data=st.data())
def test_whatever_is_read_as_plain_typer_reads_alike(verb: str, data: st.DataObject) -> None:
    line = data.draw(lines(verb))
    if read_plain(line) is not None:
        assert _plainly(line, {}) == _by_typer(line, {})


@pytest.mark.parametrize("verb", all_verbs())
def test_the_usual_lines_of_every_verb_are_plain(verb: str) -> None:
    """Each option is tried alone, with a value."""
    command = all_verbs()[verb]
    needed = ["x" for field in command.fields.values() if field.stated and field.is_argument]
    rest = ["--", needed.pop()] if command.runs_command else []
    for name, field in by_flag(command.fields).items():
        line = [*verb.split(), *needed, name, *(["x"] if field.type else []), *rest]
        assert read_plain(line) is not None, line


@pytest.mark.parametrize("line", ODD, ids=" ".join)
def test_what_is_not_plain_is_left_to_typer(line: list[str]) -> None:
    assert read_plain(line) is None


@pytest.mark.parametrize("value", ["x", "1_0", "1e3", "", "9" * 20, "1000000000"])
def test_a_number_that_is_none_is_refused_alike(value: str) -> None:
    line = ["issue", f"--count={value}"]
    with pytest.raises(UsageError):
        bound(read_plain(line) or cast("Line", typer_parser.read(line, Invocation())), {}, Invocation())


def test_a_blank_variable_is_refused() -> None:
    line = read_plain(["issue", "--task", "T", "--delegator", "alice"])
    assert line is not None
    with pytest.raises(UsageError, match="JITID_PARENT_FILE is blank"):
        bound(line, {"JITID_PARENT_FILE": ""}, Invocation())


UNWANTED = (
    "typer rich jwt ssl asyncio psycopg boto3 botocore tomli_w tomlkit jinja2 importlib.metadata platformdirs"
    " pathlib dataclasses urllib.request tomllib"
)


CERTIFYING = "cryptography.x509 cryptography.hazmat.primitives.serialization"
"""Modules that take as long to load as the rest of an issue; only the first certificate needs them."""


LISTING = (
    "jitid.capabilities.trust.status_lists",
    "jitid.crypto.status_list",
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
