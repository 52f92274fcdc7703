"""Files that have more than a token, and words that are neither a file nor an id: the error names the mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real import Shell

WAYS: dict[str, tuple[Callable[[str], str], str]] = {
    "mark": (lambda token: f"\ufeff{token}", "begins with a byte order mark"),
    "quotes": (lambda token: f'"{token}"\n', "the file has quotes around "),
    "Bearer": (lambda token: f"Bearer {token}\n", "the file has a `Bearer ` prefix before "),
    "folded": (lambda token: "\n".join(re.findall(".{1,20}", token)), "the file has line breaks within "),
}
READING = (
    ("verify",),
    ("inspect",),
    ("renew", "--token-file"),
    ("revoke", "--token-file"),
    ("issue", "--parent-file"),
)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell with a signed token and an opaque token of a task."""
    made = Shell(tmp_path_factory.mktemp("home"))
    made.good("-q", "issue", "--task", "T1", "--delegator", "alice", "--agent", "planner", "--out", "jwt")
    made.good("issue", "--task", "T1", "--delegator", "alice", "--kind", "opaque", "--out", "opaque")
    return made


@pytest.mark.parametrize("way", WAYS)
def test_text_beside_a_token_is_named(way: str, shell: Shell) -> None:
    """The refusal repeats no part of the token, and names the verb that finds tokens in other text."""
    spoil, expected = WAYS[way]
    token = (shell.home / "jwt").read_text().strip()
    (shell.home / "spoilt").write_text(spoil(token), encoding="utf-8")
    for words in READING:
        done = shell.run(*words, "spoilt")
        assert done.returncode == 8, (words, done.stderr)
        assert expected in done.stderr.replace("the parent's token", "the token"), words
        assert "to look for tokens in other text: jitid trace spoilt" in done.stderr, words
        assert token[-12:] not in done.stderr
    assert shell.run("verify", "jwt").returncode == 0


def test_standard_input_is_named(shell: Shell) -> None:
    done = shell.run("verify", stdin=f"Bearer {(shell.home / 'jwt').read_text()}")
    assert done.returncode == 8
    assert "error: standard input has a `Bearer ` prefix before the token" in done.stderr
    assert "to look for tokens in other text: jitid trace\n" in done.stderr


def test_a_text_without_a_token_gets_the_error_of_the_parser(shell: Shell) -> None:
    done = shell.run("verify", stdin="Bearer of bad news")
    assert (done.returncode, "not a JWT" in done.stderr) == (8, True)


@pytest.mark.parametrize("verb", [("trace",), ("leak", "add")])
def test_a_mistyped_path_is_not_taken_for_a_token(verb: tuple[str, ...], shell: Shell) -> None:
    for path in ("buidl.log", "./logs/2026-11-24/agent.log", "/var/log/nothing-here.gz"):
        done = shell.run(*verb, path)
        assert done.returncode == 2
        assert "there is no such file" in done.stderr
        assert "history" not in done.stderr


@pytest.mark.parametrize("verb", [("trace",), ("leak", "add")])
def test_a_name_in_place_of_a_file_names_the_verbs_for_it(verb: tuple[str, ...], shell: Shell) -> None:
    for word, article, kind in (("T1", "a", "task"), ("planner", "an", "agent"), ("alice", "a", "delegator")):
        done = shell.run(*verb, word)
        assert done.returncode == 2
        assert f"there is no such file, and `{word}` is {article} {kind}" in done.stderr.replace("user:", "")
        assert f"jitid list --{kind} " in done.stderr
        assert f"jitid revoke --{kind} " in done.stderr
        assert "history" not in done.stderr


def test_a_name_of_several_objects_is_no_file_either(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "both", "--delegator", "alice", "--agent", "both")
    done = shell.run("trace", "both")
    assert (done.returncode, "there is no such file" in done.stderr) == (2, True)


@pytest.mark.parametrize("verb", [("trace",), ("leak", "add")])
def test_a_token_in_place_of_a_file_gets_the_warning(verb: tuple[str, ...], shell: Shell) -> None:
    for kind in ("jwt", "opaque"):
        token = (shell.home / kind).read_text().strip()
        for word in (f"./{token}", token[: len(token) - 3] if kind == "jwt" else f"x{token[6:]}"):
            done = shell.run(*verb, word)
            assert done.returncode == 2
            assert "history" in done.stderr or "a token was passed" in done.stderr, word[:10]
            assert token[-16:-4] not in done.stderr


def test_a_name_is_not_looked_up_without_a_ledger(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    done = shell.run("trace", "T1")
    assert (done.returncode, "there is no such file" in done.stderr) == (2, True)
    assert not shell.ledger.exists()
