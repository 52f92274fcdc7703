"""The scripts in the real bash, zsh and fish: all three offer the same candidates for the same line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.config.settings import SETTINGS
from tests.cli.completion.shells import SHELLS, Completing, commands
from tests.generate.producers import ROOT
from tests.generate.tree import tree
from tests.real import Shell


@pytest.fixture(scope="module", params=SHELLS)
def shell(
    request: pytest.FixtureRequest, filled: Shell, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Completing]:
    """Start each shell in the folder with files, with `jitid` in its PATH."""
    bin_ = commands(tmp_path_factory.mktemp(request.param.replace(" ", "-")) / "bin")
    environment = {**filled.environment, "PATH": f"{bin_}:/usr/bin:/bin", "LANG": "C.UTF-8"}
    script, _, start = SHELLS[request.param]
    with start(ROOT / "completions" / script, filled.home, environment) as started:
        yield started


VERBS = list(tree()[0].verbs)
TASKS = ["ZED", "INC:3/a@b+c", "INC:1/a@b+c", "INC:2/a@b+c"]


@pytest.mark.deep
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jitid ", VERBS),
        ("jitid re", ["renew", "report", "revoke", "retire"]),
        ("jitid task ", ["give", "share"]),
        ("jitid --debug --format json audit ex", ["export"]),
        ("jitid nonsense ", []),
        ("jitid list --stat", ["--state"]),
        ("jitid --form", ["--format"]),
        ("jitid list --form", ["--format"]),
        ("jitid --vers", ["--version"]),
        ("jitid list --vers", []),
        ("jitid list --state re", ["revoked", "retired"]),
        ("jitid list --state=re", ["revoked", "retired"]),
        ('jitid list --state="re', ["revoked", "retired"]),
        ("jitid list --by task --state o", ["open", "overdue"]),
        ("jitid --format j", ["json", "jsonl"]),
        ("jitid --format=j", ["json", "jsonl"]),
        ("jitid list --format j", ["json", "jsonl"]),
        ("jitid --format m", []),
        ("jitid list --tree --format m", ["mermaid"]),
        ("jitid list --field exp", ["expires_at"]),
        ("jitid --field exp", []),
        ("jitid list --sort=-is", ["-issued_at"]),
        ("jitid delegator show us", ["user:alice@example.com"]),
        ("jitid delegator import x --as s", ["scim"]),
        ("jitid config get ", list(SETTINGS)),
        ("jitid config set color ", ["auto", "always", "never"]),
        ("jitid config set purpose ", []),
        ("jitid issue --purpose ", []),
        ("jitid keys rotate --algorithm E", ["ES256", "EdDSA"]),
    ],
)
def test_verbs_options_and_choices(shell: Completing, line: str, expected: list[str]) -> None:
    assert sorted(shell.candidates(line)) == sorted(expected)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jitid list --task ", TASKS),
        ("jitid list --task=", TASKS),
        ("jitid retire ", TASKS),
        ("jitid retire -- INC", TASKS[1:]),
        ("jitid list --task INC:1", TASKS[2:3]),
        ("jitid list --task=INC:1/a", TASKS[2:3]),
        ("jitid list --task INC:1/a@", TASKS[2:3]),
        ('jitid list --task "INC:1/', TASKS[2:3]),
        ("jitid retire INC:", TASKS[1:]),
        ("jitid issue --agent ", ["bot-3", "bot-1", "bot-2"]),
        ("jitid agent suspend ", ["bot-3"]),
        ("jitid agent register bot-1 --owner al", ["alice@example.com"]),
        ("jitid issue --delegator us", ["user:bob", "user:alice@example.com"]),
        ("jitid issue --delegator user:", ["user:bob", "user:alice@example.com"]),
        ("jitid issue --delegator=user:al", ["user:alice@example.com"]),
        ("jitid issue --delegator ali", ["alice@example.com"]),
        ("jitid revoke --delegator agent:bot-3", ["agent:bot-3"]),
        ("jitid --ledger other list --task ", ["ELSEWHERE"]),
        ("jitid --ledger ~/other list --task ", ["ELSEWHERE"]),
        ('jitid list --ledger="other" --task ', ["ELSEWHERE"]),
        ("jitid --ledger nowhere list --task ", []),
    ],
)
def test_names_out_of_the_ledger_the_newest_first(shell: Completing, line: str, expected: list[str]) -> None:
    """A name may contain the characters at which bash splits words."""
    assert shell.candidates(line) == expected


def test_nothing_on_the_line_is_run(shell: Completing, filled: Shell) -> None:
    """Zsh itself expands the word at which TAB is pressed, so that word is quoted here."""
    for line in (
        "jitid --ledger $(touch marked) list --task ",
        "jitid --ledger `touch marked` list --task ",
        "jitid --ledger (touch marked) list --task ",
        'jitid --ledger "${IFS:$(touch marked)}" list --task ',
        "jitid list --delegator a[$(touch marked)] --task ",
        "jitid list --task '$(touch marked)",
        "jitid list --task 'x;touch marked;",
    ):
        shell.candidates(line)
    assert not (filled.home / "marked").exists()


@pytest.mark.deep
@pytest.mark.parametrize(
    "line", ["jitid revoke ", "jitid revoke jid_", "jitid list --parent=", "jitid inspect -q jid_0"]
)
def test_ids_the_newest_first(shell: Completing, filled: Shell, line: str) -> None:
    assert shell.candidates(line) == filled.good("list", "--field", "id").split()


def test_an_id_is_offered_once(shell: Completing, filled: Shell) -> None:
    newest, *others = filled.good("list", "--field", "id").split()
    assert shell.candidates(f"jitid revoke {newest} jid_") == others


def test_the_ids_of_requests(shell: Completing, filled: Shell) -> None:
    newest, other = filled.good("approve", "list", "--field", "approval").split()
    assert shell.candidates("jitid approve grant ") == [newest, other]


def test_the_ids_of_keys(shell: Completing, filled: Shell) -> None:
    (kid,) = filled.good("keys", "list", "--field", "kid").split()
    assert shell.completed(f"jitid list --signed-by {kid[:5]}").rstrip() == f"jitid list --signed-by {kid}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jitid revoke --yes --ye", []),
        ("jitid -q list --qui", []),
        ("jitid --format json list --form", []),
        ("jitid list --task=ZED --tas", []),
        ("jitid revoke --task ZED --tas", ["--task"]),
        ("jitid list -- --tas", []),
        ("jitid list --reason --tas", ["--task"]),
    ],
)
def test_what_was_given_is_offered_again_only_if_it_may_be_repeated(
    shell: Completing, line: str, expected: list[str]
) -> None:
    assert shell.candidates(line) == expected


@pytest.mark.deep
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jitid list --task INC:1", "jitid list --task INC:1/a@b+c"),
        ("jitid list --task=INC:1", "jitid list --task=INC:1/a@b+c"),
        ("jitid issue --delegator user:al", "jitid issue --delegator user:alice@example.com"),
        ("jitid issue --delegator=user:al", "jitid issue --delegator=user:alice@example.com"),
        ("jitid list --task INC:1/a@", "jitid list --task INC:1/a@b+c"),
        ("jitid list --task=INC:1/a@b", "jitid list --task=INC:1/a@b+c"),
        ("jitid issue --delegator alice@ex", "jitid issue --delegator alice@example.com"),
        ("jitid verify tok", "jitid verify tokenfile"),
        ("jitid issue --out tok", "jitid issue --out tokenfile"),
        ("jitid issue --out=tok", "jitid issue --out=tokenfile"),
        ("jitid inspect tok", "jitid inspect tokenfile"),
        ("jitid --ledger fold", "jitid --ledger folder/"),
        ("jitid list --ledger=fold", "jitid list --ledger=folder/"),
        ("jitid config set policy fold", "jitid config set policy folder/"),
        ("jitid list > tok", "jitid list > tokenfile"),
        ("JITID_TASK=x jitid task shar", "JITID_TASK=x jitid task share"),
    ],
)
def test_the_line_is_what_was_meant(shell: Completing, line: str, expected: str) -> None:
    assert shell.completed(line).rstrip() == expected


def test_a_token_file_stands_beside_the_ids(shell: Completing, filled: Shell) -> None:
    offered = shell.candidates("jitid inspect ")
    ids = filled.good("list", "--field", "id").split()
    assert offered[: len(ids)] == ids
    assert "tokenfile" in offered


@pytest.fixture(scope="module", params=SHELLS)
def watched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Completing, Path]]:
    """Start each shell so that every interpreter, and `jitid` itself, leaves a mark when it runs."""
    home = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    (home / "bin").mkdir()
    for name in ("jitid", "python", "python3", f"python3.{sys.version_info[1]}"):
        (home / "bin" / name).write_text(f"#!/bin/sh\necho {name} >>'{home}/mark'\n")
        (home / "bin" / name).chmod(0o755)
    environment = {"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
    script, _, start = SHELLS[request.param]
    with start(ROOT / "completions" / script, home, environment) as started:
        yield started, home / "mark"


def test_only_names_out_of_the_ledger_start_python(watched: tuple[Completing, Path]) -> None:
    shell, mark = watched
    for line in (
        "jitid ",
        "jitid re",
        "jitid task ",
        "jitid leak list --",
        "jitid agent list --state ",
        "jitid --format=",
        "jitid config set color ",
        "jitid leak list --task INC --li",
        "jitid verify ",
        "jitid --ledger ",
    ):
        shell.candidates(line)
    assert not mark.exists()
    shell.candidates("jitid list --task ")
    assert set(mark.read_text().split()) == {"jitid"}
