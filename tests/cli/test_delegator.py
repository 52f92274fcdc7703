"""`jitid delegator` as a process: lists in unusual files, first use, proof by another name, and lost output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from getpass import getuser
from pathlib import Path

import pytest

from tests.real import Shell, command

SCIM_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with no ledger yet."""
    return Shell(tmp_path)


def names(shell: Shell) -> list[str]:
    """Return the names in the directory."""
    return shell.good("delegator", "list", "--limit", "1000000", "--field", "name").split()


def write(shell: Shell, name: str, content: str | bytes) -> str:
    """Write a file in the home, and return its name."""
    data = content.encode() if isinstance(content, str) else content
    (shell.home / name).write_bytes(data)
    return name


def test_a_preview_makes_no_ledger_and_the_import_does(shell: Shell) -> None:
    write(shell, "p.csv", "name\nalice\n")
    assert "would add 1" in shell.good("delegator", "import", "p.csv", "--dry-run")
    assert not shell.ledger.exists()
    done = shell.run("delegator", "import", "p.csv")
    assert done.returncode == 0
    assert "first use" in done.stderr
    assert names(shell) == ["user:alice"]


def test_a_list_that_cannot_be_meant_makes_no_ledger(shell: Shell) -> None:
    write(shell, "p.csv", "name\na b\n")
    assert shell.run("delegator", "import", "p.csv").returncode == 2
    assert shell.run("delegator", "add", "a b").returncode == 2
    assert not shell.ledger.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", b"\xef\xbb\xbfname,groups\r\nalice,\xc3\x89quipe\r\n"),
        ("mac.csv", b"\xef\xbb\xbfname;groups\nalice;\xc3\x89quipe"),
        ("lines.jsonl", b'{"name": "alice", "groups": ["\xc3\x89quipe"]}\n\n'),
        ("users.json", b'[{"userName": "alice", "groups": [{"display": "\\u00c9quipe"}]}]'),
    ],
)
def test_a_list_may_be_as_programs_write_it(shell: Shell, name: str, content: bytes) -> None:
    shell.good("delegator", "import", write(shell, name, content), "-q")
    (one,) = json.loads(shell.good("delegator", "list", "--format", "json"))["items"]
    assert (one["name"], one["groups"]) == ("user:alice", ["Équipe"])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("l.csv", "name,groups\nalice,É\n".encode("latin-1"), "line 2: it is not UTF-8"),
        ("u.csv", "name\nalice\n".encode("utf-16"), "line 1: it is not UTF-8"),
        ("b.jsonl", b'\xef\xbb\xbf{"name": "alice"}\n', "line 1: it starts with a byte order mark"),
        ("b.json", b'\xef\xbb\xbf[{"userName": "alice"}]', "the file starts with a byte order mark"),
        ("x.json", b'[{"userName": "\xff"}]', "the list is not UTF-8"),
        ("long.jsonl", b'{"name": "' + b"a" * (1 << 20) + b'"}', "line 1 is longer than 1048576 bytes"),
        ("deep.json", b"[" * 100_000, "the file is nested too deep"),
        ("nul.csv", b"name\nali\0ce\n", r"line 2: the delegator name `ali\x00ce`"),
        (
            "esc.csv",
            b"name,groups\nalice,\x1b[31mred\n",
            r"line 2: `\x1b[31mred` is not a valid name of a group",
        ),
        ("eof.csv", b'name,groups\nalice,"sre\nbob,x\n', "line 2: the quotes do not fit"),
        ("none.json", b"", "the list names nobody"),
        ("none.csv", b"", "the file is empty"),
        ("none.jsonl", b"\n\n", "the list names nobody"),
    ],
)
def test_a_list_that_is_none_is_refused_and_nothing_shown_acts(
    shell: Shell, name: str, content: bytes, told: str
) -> None:
    done = shell.run("delegator", "import", write(shell, name, content))
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "nothing was changed" in done.stderr
    assert done.stderr.replace("\n", "").isprintable()


def test_a_list_that_is_cut_off_while_it_comes_changes_nothing(shell: Shell) -> None:
    shell.good("delegator", "add", "alice", "-q")
    reader, writer = os.pipe()
    process = subprocess.Popen(
        command("delegator", "import", "-", "--as", "csv", "--full"),
        stdin=reader,
        env=shell.environment,
        cwd=shell.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(reader)
    # More than a pipe buffers, so jitid has begun to read.
    os.write(writer, b"name\n" + b"".join(b"d%d\n" % number for number in range(20_000)))
    process.kill()
    process.communicate()
    os.close(writer)
    assert names(shell) == ["user:alice"]
    assert shell.run("audit", "verify").returncode == 0


@pytest.mark.parametrize("verb", ["disable", "import"])
def test_what_nobody_can_be_told_of_is_done_all_the_same(shell: Shell, verb: str) -> None:
    write(shell, "p.csv", "name,active\nalice,false\n")
    shell.good("delegator", "add", "alice", "-q")
    shell.good("issue", "--task", "T", "--delegator", "alice", "--out", "t")
    subject = "alice" if verb == "disable" else "p.csv"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("delegator", verb, subject),
            env=shell.environment,
            cwd=shell.home,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 74, done.stderr
    assert shell.run("verify", "t").returncode == 8
    assert shell.good("delegator", "list", "--disabled", "--field", "name") == "user:alice\n"


@pytest.mark.deep
def test_ten_thousand_come_and_go_as_they_were_printed(shell: Shell, tmp_path: Path) -> None:
    lines = [f"d{number},a:*;b,g{number % 7};all hands,d{number % 11},x{number}" for number in range(10_000)]
    write(shell, "p.csv", "\n".join(["name,entitlements,groups,manager,aliases", *lines]))
    assert "added 10000" in shell.good("delegator", "import", "p.csv", "-q")
    for form in ("csv", "jsonl"):
        printed = shell.good("delegator", "list", "--limit", "20000", "--format", form)
        write(shell, f"printed.{form}", printed)
        assert "nothing to change" in shell.good("delegator", "import", f"printed.{form}", "--full")
        other = Shell(tmp_path, tmp_path / form)
        other.good("delegator", "import", f"printed.{form}", "-q")
        again = other.good("delegator", "list", "--limit", "20000", "--format", "json")
        whole = shell.good("delegator", "list", "--limit", "20000", "--format", "json")
        left, right = (
            [{**one, "added_at": None} for one in json.loads(text)["items"]] for text in (again, whole)
        )
        assert left == right
    (shell.home / "one.csv").write_text("name\nd1\n")
    refused = shell.run("delegator", "import", "one.csv", "--full")
    assert refused.returncode == 2
    assert "9999 delegators" in refused.stderr
    shell.good("delegator", "import", "one.csv", "--full", "--yes")
    assert shell.good("delegator", "list", "--enabled", "--field", "name") == "user:d1\n"


def _user(number: int) -> str:
    return json.dumps(
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", SCIM_ENTERPRISE],
            "id": f"id-{number}",
            "userName": f"d{number}",
            "active": number % 1_000 != 7,
            "emails": [{"value": f"d{number}@example.com", "primary": True}],
            "groups": [{"value": str(number % 50), "display": f"group {number % 50}"}],
            SCIM_ENTERPRISE: {"manager": {"value": f"id-{number // 10}"}},
        }
    )


_MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, used = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss)
"""
"""A script that prints the exit status of a command, and its peak of resident memory in KiB."""


@pytest.mark.deep
def test_a_hundred_thousand_come_in_bounded_memory_and_one_bad_line_stops_all(shell: Shell) -> None:
    """Memory grows with the file and the compared records, not with the number of parsed texts."""
    head = '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 100000, "Resources": ['
    users = [_user(number) for number in range(100_000)]
    write(shell, "bad.json", head + ",\n".join([*users[:-1], _user(7).replace("d7", "no name")]) + "]}")
    write(shell, "good.json", head + ",\n".join(users) + "]}")
    refused = shell.run("delegator", "import", "bad.json", "--full")
    assert refused.returncode == 2
    assert ".Resources[99999]" in refused.stderr
    assert not shell.ledger.exists()
    # The peak of a process counts from its fork: a direct child would inherit the peak of all these tests.
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command("delegator", "import", "good.json", "--full", "-q")],
        stdout=subprocess.PIPE,
        text=True,
        env=shell.environment,
        cwd=shell.home,
        check=True,
    )
    status, peak = map(int, measured.stdout.splitlines()[-1].split())
    assert status == 0
    assert peak < 400 * 1024
    assert (
        len(shell.good("delegator", "list", "--disabled", "--limit", "200", "--field", "name").split()) == 100
    )
    assert "nothing to change" in shell.good("delegator", "import", "good.json", "--full")
    assert shell.run("audit", "verify").returncode == 0


def test_a_page_tells_how_to_go_on(shell: Shell) -> None:
    write(shell, "p.csv", "\n".join(["name", *(f"d{number:04}" for number in range(1_500))]))
    shell.good("delegator", "import", "p.csv", "-q")
    first = shell.run("delegator", "list", "--field", "name")
    assert len(first.stdout.split()) == 1_000
    assert "--after user:d0999" in first.stderr
    assert len(shell.good("delegator", "list", "--after", "d0999", "--field", "name").split()) == 500


@pytest.mark.deep
def test_your_own_login_proves_you_by_any_of_your_names(shell: Shell) -> None:
    me = getuser()
    shell.good("delegator", "add", "alice.jones", "--alias", me, "--alias", "alice@example.com", "-q")
    for stated in ("alice.jones", me, "alice@example.com"):
        shell.good("issue", "--task", stated, "--delegator", stated, "--out", "t")
        assert shell.good("inspect", "t", "--field", "delegator_proof") == "os-user\n"
        assert shell.good("inspect", "t", "--field", "sub") == "user:alice.jones\n"
    shell.good("issue", "--task", "T", "--delegator", "somebody", "--out", "t")
    assert shell.good("inspect", "t", "--field", "delegator_proof") == "asserted\n"


def test_all_names_of_one_person_are_listed_and_ended_together(shell: Shell) -> None:
    shell.good("issue", "--task", "T", "--delegator", "alice@example.com", "--out", "early", "-q")
    shell.good("delegator", "add", "alice", "--alias", "alice@example.com", "-q")
    shell.good("issue", "--task", "T", "--delegator", "alice", "--out", "late")
    for name in ("alice", "alice@example.com"):
        assert len(shell.good("list", "--live", "--delegator", name).splitlines()) == 2
        assert "would end 2" in shell.good("revoke", "--delegator", name, "--dry-run")
        ops = shell.good("audit", "log", "--delegator", name, "--field", "op").split()
        assert ops == ["issue", "delegator-add", "issue"]
    shell.good("revoke", "--delegator", "alice@example.com")
    assert shell.run("verify", "early").returncode == shell.run("verify", "late").returncode == 8


def test_hostile_groups_stay_what_they_are_and_harm_nobody(shell: Shell) -> None:
    hostile = ["=1+1", "'quoted'", '"', "\\", "a;b", "[bold]x[/bold]", "<script>", "$(id)", "é"]
    line = json.dumps({"name": "alice", "groups": hostile})
    shell.good("delegator", "import", write(shell, "p.jsonl", line), "-q")
    (one,) = json.loads(shell.good("delegator", "list", "--format", "json"))["items"]
    assert one["groups"] == sorted(hostile)
    printed = shell.good("delegator", "list", "--format", "csv")
    assert "nothing to change" in shell.good("delegator", "import", write(shell, "p.csv", printed))
    for form in ("table", "tsv"):
        assert "[bold]x[/bold]" in shell.good("delegator", "show", "alice", "--format", form)
    assert shell.good("delegator", "list", "--group", "a;b", "--field", "name") == "user:alice\n"


@pytest.mark.parametrize("verb", ["add", "import"])
def test_a_hostile_subject_is_one_word_of_the_command_that_is_told(shell: Shell, verb: str) -> None:
    subject = "https://id.example '; touch pwned; echo ' $(touch pwned) `touch pwned`"
    shell.good("delegator", "add", "alice", "--subject", subject, "-q")
    line = {"name": "bob", "aliases": [subject]}
    write(shell, "p.jsonl", json.dumps(line))
    given = ("bob", "--subject", subject) if verb == "add" else ("p.jsonl",)
    refused = shell.run("delegator", verb, *given)
    assert refused.returncode == 2
    told = refused.stderr.strip().rpartition("theirs no longer: ")[2]
    script = "jitid() { " + subprocess.list2cmdline(command()) + ' "$@"; }\n' + told
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=shell.environment, cwd=shell.home
    )
    assert done.returncode == 0, done.stderr
    assert not (shell.home / "pwned").exists()
    shell.good("delegator", verb, *given)
