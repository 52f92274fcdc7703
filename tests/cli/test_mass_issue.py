"""Mass issue has a guard like mass revocation: a limit, `--yes`, and bounds on the size of one request."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.real import Shell, command

LINE = ("issue", "--task", "T1", "--delegator", "alice", "--kind", "opaque")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a limit of five credentials a command."""
    made = Shell(tmp_path)
    made.good("config", "set", "max_issue", "5")
    return made


def issued(shell: Shell) -> int:
    """Return the number of credentials in the ledger."""
    return len(shell.good("list", "--format", "jsonl").splitlines())


def requests(count: int) -> str:
    return "".join(f'{{"agent": "a{number}"}}\n' for number in range(count))


@pytest.mark.parametrize("more", [(), ("--from-file", "-"), ("--from-file", "list")])
def test_more_than_the_limit_needs_yes(shell: Shell, more: tuple[str, ...]) -> None:
    """Above the limit, nothing is issued and no ledger is made; up to the limit, no confirmation is needed."""
    (shell.home / "list").write_text(requests(6))
    many = more or ("--count", "6")
    refused = shell.run(*LINE, *many, stdin=requests(6))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "more than 5" in refused.stderr
    assert "nothing was issued" in refused.stderr
    assert not shell.ledger.exists()
    (shell.home / "list").write_text(requests(5))
    few = more or ("--count", "5")
    assert len(shell.good(*LINE, *few, stdin=requests(5)).splitlines()) == 5
    assert len(shell.good(*LINE, "--count", "6", "--yes").splitlines()) == 6
    assert len(shell.good(*LINE, "--from-file", "-", "--yes", stdin=requests(7)).splitlines()) == 7
    assert issued(shell) == 5 + 6 + 7


def test_a_list_of_unknown_length_that_cannot_be_held_stops_at_the_limit(
    shell: Shell, tmp_path: Path
) -> None:
    """The error reports how many credentials were issued; exactly these were written."""
    shell.good("config", "set", "max_issue", "4500")
    # 70 lines of a mebibyte exceed the buffer for lines.
    long = '{"agent": "b"' + " " * ((1 << 20) - 40) + "}\n"
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            command(*LINE, "--from-file", "-"),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env=shell.environment,
            cwd=shell.home,
        )
    assert process.stdin is not None
    for _ in range(70):
        process.stdin.write(long)
    process.stdin.write(requests(4431))
    _, told = process.communicate(timeout=120)
    assert process.returncode == 9
    assert "more than 4500" in told
    assert "the first 4000 credentials were issued" in told
    assert len((tmp_path / "out").read_text().splitlines()) == 4000


@pytest.mark.deep
@pytest.mark.parametrize(
    "number", ["1000000000", "99999999999999999999", "100000000000000000000", "9" * 400, "9" * 5000]
)
def test_no_number_on_a_line_is_beyond_what_a_ledger_holds(tmp_path: Path, number: str) -> None:
    """This holds with and without Typer; no ledger is made."""
    shell = Shell(tmp_path)
    for line in (
        (*LINE, "--count", number, "--yes"),
        ("list", "--limit", number),
        ("revoke", "--task", "T1", "--max", number),
        ("report", "--days", number),
    ):
        refused = shell.run(*line)
        assert refused.returncode == 2, (line, refused.stderr)
        assert refused.stdout == ""
    assert not shell.ledger.exists()


def test_yes_means_something_beside_a_number_alone(tmp_path: Path) -> None:
    """A single credential needs no confirmation."""
    refused = Shell(tmp_path).run(*LINE, "--yes")
    assert refused.returncode == 2
    assert "--yes requires --count or --from-file" in refused.stderr


@pytest.mark.parametrize(
    ("option", "value", "what"),
    [
        ("--scope", "a:b{}", "scopes"),
        ("--audience", "https://{}.example", "audiences"),
        ("--detail", '{{"type":"t","n":{}}}', "details"),
    ],
)
def test_a_credential_holds_a_bounded_number_of_things(
    tmp_path: Path, option: str, value: str, what: str
) -> None:
    """128 values of each option are issued; one more is a usage error before a ledger is made."""
    shell = Shell(tmp_path)
    words = [word for number in range(129) for word in (option, value.format(number))]
    for more in ((), ("--dry-run",), ("--count", "2")):
        refused = shell.run(*LINE, *words, *more)
        assert refused.returncode == 2, refused.stderr
        assert f"at most 128 {what}; the request has 129" in refused.stderr
    assert not shell.ledger.exists()
    shell.good(*LINE, *words[2:])


def test_details_are_bounded_by_their_length(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    words = [
        word
        for n in range(7)
        for word in ("--detail", json.dumps({"type": "t", "n": n, "text": "x" * 9_900}))
    ]
    assert "may have 65536 characters in total" in shell.run(*LINE, *words).stderr
    shell.good(*LINE, *words[2:])
