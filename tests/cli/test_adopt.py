"""Adoption from the command line: accepted lists, refused lists, and that no output repeats a secret."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from jitid.capabilities.adopt import read_secret
from jitid.cli.leak.commands import AdoptAddCommand
from jitid.errors import UsageError
from tests.real import Shell

SECRET = "ghp_5rN8wq2KxVb7TmY4cJ9LdZ6sHf3"
OTHER = "correct-Horse-battery-5taple-9"
HEADER = "name,owner,place,purpose,secret"


def read(tmp_path: Path, text: str | bytes, form: str | None = "csv", **usual: str) -> list[tuple[int, str]]:
    """Read a list, and return the line and name of each secret."""
    path = tmp_path / "list"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    secrets, content = read_secret.read(str(path), form, AdoptAddCommand.fields, usual)
    assert content == hashlib.sha256(path.read_bytes()).hexdigest()
    return [(one.line, one.name) for one in secrets]


def test_what_a_line_leaves_out_the_command_line_says(tmp_path: Path) -> None:
    text = f'\ufeffName, place ,secret\n"a","x, y",{SECRET}\n\nb,"two\nlines",{OTHER}\n'
    assert read(tmp_path, text, owner="ops", purpose="many") == [(2, "a"), (5, "b")]


def test_json_lines_say_the_same(tmp_path: Path) -> None:
    lines = [
        {"name": "a", "owner": "bob", "place": "x", "purpose": "y", "fingerprint": "0" * 64, "agent": None}
    ]
    assert read(tmp_path, json.dumps(lines[0]) + "\n\n", "jsonl") == [(1, "a")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"a,bob,x,y,{SECRET},z", "it has 6 cells"),
        (f",bob,x,y,{SECRET}", "line 2: `name` is missing"),
        (f"a b,bob,x,y,{SECRET}", "has an invalid character"),
        (f"a,agent:bob,x,y,{SECRET}", "is an agent"),
        (f"a,bob,{'x' * 501},y,{SECRET}", "the place has 501 characters"),
        ("a,bob,x,y,", "no column identifies the secret"),
        ("a,bob,x,y,hunter2", "too weak"),
        (f'a,bob,x,y,"{SECRET}', "not CSV"),
        (f"a,bob,x,y,{SECRET}\0", "NUL"),
        (f"a,bob,x {OTHER},y,{OTHER}", "the place contains the secret"),
        (f"{SECRET},bob,x,y,{SECRET}", "the name contains the secret"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_the_secret(
    tmp_path: Path, line: str, why: str
) -> None:
    with pytest.raises(UsageError, match="line 2") as caught:
        read(tmp_path, f"{HEADER}\n{line}\n")
    assert why in caught.value.message
    assert "nothing was changed" in caught.value.message
    told = caught.value.message + str(caught.value.hint)
    assert SECRET not in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (f'{{"name": "a", "secret": "{SECRET}"', "jsonl"),
        (f'{{"name": "a", "name": "{SECRET}"}}', "jsonl"),
        (f'["{SECRET}"]', "jsonl"),
        (f'{{"name": ["{SECRET}"]}}', "jsonl"),
        (f"name,name\n{SECRET},{SECRET}\n", "csv"),
        (f"{HEADER},colour\n", "csv"),
        ("", None),
        (b"name\n\xff\xfe\n", "csv"),
        ("[" * 100_000, "jsonl"),
        ("x" * (1 << 20) + "\n", "jsonl"),
    ],
)
def test_what_is_no_list_is_refused_and_not_repeated(
    tmp_path: Path, text: str | bytes, form: str | None
) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text, form)
    assert SECRET not in caught.value.message + str(caught.value.hint)


def test_a_list_is_not_read_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_secret, "MOST_SECRETS", 10)
    line = "".join(f"n{n},bob,x,y,{n:064x}\n" for n in range(11))
    with pytest.raises(UsageError, match="more than"):
        read(tmp_path, HEADER.replace("secret", "fingerprint") + "\n" + line)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a command line with a new ledger."""
    return Shell(tmp_path)


STATED = ("--owner", "bob", "--place", "vault kv/prod", "--purpose", "releases")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("ci", "--owner", "bob", "--place", "x"), "--purpose"),
        ((*STATED,), "a name"),
        (("ci", *STATED, "--file", "f", "--fingerprint", "0" * 64), "cannot be combined"),
        (("ci", *STATED, "--fingerprint", "0" * 63), "not a fingerprint"),
        (("ci", *STATED, "--reference", "x"), "--target"),
        (("ci", *STATED, "--target", "x"), "no target `x`"),
        (("ci", *STATED, "--access-key-id", "x"), "AKIA"),
        (("ci", *STATED, "--expires", "2020-01-01T00:00:00Z"), "has passed"),
        (("--from-file", "list", "--as", "scim"), "invalid form of a list"),
        (("ci", "--from-file", "list.csv"), "--from-file cannot be combined with a name"),
        (("ci", *STATED, "--as", "csv"), "--from-file"),
    ],
)
def test_a_line_that_cannot_be_meant_changes_nothing(
    shell: Shell, arguments: tuple[str, ...], why: str
) -> None:
    done = shell.run("adopt", "add", *arguments, stdin=SECRET)
    assert done.returncode == 2, done.stderr
    assert why in done.stderr
    assert SECRET not in done.stderr
    assert not shell.ledger.exists() or "adopted" not in shell.good("list")


def test_a_dry_run_makes_no_ledger(shell: Shell) -> None:
    said = shell.good("adopt", "add", "ci", *STATED, "--dry-run", stdin=SECRET)
    assert "would adopt ci; nothing was changed" in said
    assert not shell.ledger.exists()


def test_what_it_is_given_it_never_shows(shell: Shell) -> None:
    """Places and purposes are free text, and their control characters must not reach a terminal."""
    hostile = "\x1b]0;x\x07\u202e=cmd()<b>"
    shell.good("adopt", "add", "ci", "--owner", "bob", "--place", hostile, "--purpose", hostile, stdin=SECRET)
    for verb in (
        ("adopt", "list", "--format", "table"),
        ("adopt", "show", "ci", "--format", "csv"),
        ("adopt", "suggest", "ci"),
        ("sweep", "--rule", "standing"),
    ):
        done = shell.run(*verb)
        assert "\x1b" not in done.stdout + done.stderr
        assert "\u202e" not in done.stdout
    ended = shell.run("revoke", "--task", "adopted/ci")
    assert ended.returncode == 9
    assert "\x1b" not in ended.stderr
