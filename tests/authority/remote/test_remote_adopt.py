"""Adopted secrets at a remote authority: the client sends only the data that the ledger keeps, never the secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real import Shell
from tests.serving import Served

SECRET = "ghp_5rN8wq2KxVb7TmY4cJ9LdZ6sHf3"
WORD = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"
STATED = ("--owner", "bob", "--place", "vault kv/prod", "--purpose", "releases")


@pytest.mark.deep
def test_a_secret_from_its_adoption_to_its_end(client: Shell, served: Served, tmp_path: Path) -> None:
    told = json.loads(client.good("adopt", "add", "ci", *STATED, "--format", "json", stdin=f"{SECRET}\n"))
    assert (told["new"], told["already"]) == (1, 0)
    many = "name,place,purpose,secret\n" + f"db,a wiki,why,{WORD}\nci,vault kv/prod,releases,{SECRET}\n"
    again = client.good("adopt", "add", "--from-file", "-", "--as", "csv", "--owner", "bob", stdin=many)
    assert "adopted 1 secret" in again
    assert "1 were adopted already" in again
    assert client.good("trace", "--field", "task", stdin=f"x={SECRET}").split() == ["adopted/ci"]
    tree = client.home / "tree"
    tree.mkdir()
    (tree / "a.env").write_text(f"TOKEN={SECRET}\nURL=postgres://app:{WORD}@db/prod\n")
    found = client.run("scan", "tree", "--format", "tsv")
    assert found.returncode == 10, found.stderr
    assert [line.split("\t")[2] for line in found.stdout.splitlines() if line.startswith("open")] == [
        "standing-secret"
    ] * 2
    assert client.good("adopt", "list", "--field", "state").split() == ["standing"] * 2
    assert client.good("adopt", "suggest", "--all", "--field", "kind").split() == ["exec:github:ci"]
    assert client.run("revoke", "--task", "adopted/ci").returncode == 9
    assert client.good("adopt", "show", "ci", "--field", "state").split() == ["unconfirmed"]
    client.good("adopt", "ended", "ci", "--proof", "deleted there")
    assert client.good("adopt", "show", "ci", "--field", "state").split() == ["ended"]
    assert client.good("adopt", "probe", "db", "--field", "life").split() == ["unknown"]
    client.good("audit", "verify")
    for path in (tmp_path / "authority").rglob("*"):
        if path.is_file():
            assert SECRET[4:].encode() not in path.read_bytes(), path


def test_a_file_with_one_wrong_line_changes_nothing(client: Shell, served: Served) -> None:
    client.good("adopt", "add", "ci", *STATED, stdin=SECRET)
    lines = [
        {"name": "db", "place": "a", "purpose": "b", "secret": WORD},
        {"name": "ci", "place": "elsewhere", "purpose": "releases", "secret": SECRET},
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    done = client.run("adopt", "add", "--from-file", "-", "--as", "jsonl", "--owner", "bob", stdin=text)
    assert done.returncode == 2
    assert "line 2: `ci` is adopted already, with another place; nothing was changed" in done.stderr
    assert client.good("adopt", "list", "--field", "name").split() == ["ci"]
