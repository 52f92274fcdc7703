"""`jitid scan` from the command line: hostile names in every format, a terminal, a remote authority."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from jitid.capabilities.scan.hits import Hit, Item, Searcher
from jitid.capabilities.sweep import scan_findings
from jitid.capabilities.sweep.scan_findings import Counted, offline
from jitid.values.secret import fingerprint
from tests.capabilities.scan.test_hits import opaque
from tests.real import Shell, command, until

HOSTILE = b"\xff\x1b[31m\x1b]0;x\x07\t<b>=cmd|' -C x'!A0 ..:%2f{}](.txt"
"""A name with active text for a terminal, HTML, a spreadsheet, an address and Markdown, which is not UTF-8."""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return the command line with a ledger, and a token in a file with a hostile name."""
    shell = Shell(tmp_path_factory.mktemp("scan"))
    shell.good("issue", "--task", "T", "--delegator", "alice", "--kind", "opaque", "--out", "token")
    tree = shell.home / "tree"
    tree.mkdir()
    (tree / os.fsdecode(HOSTILE)).write_bytes((shell.home / "token").read_bytes())
    return shell


def told(shell: Shell, format_: str) -> str:
    """Return the report about the tree in a format, and assert that it has no secret and no terminal escape."""
    done = shell.run("scan", "tree", "--format", format_)
    assert done.returncode == 10, done.stderr
    assert (shell.home / "token").read_text().strip() not in done.stdout
    assert "\x1b" not in done.stdout
    return done.stdout


@pytest.mark.parametrize("format_", ["table", "tsv", "csv"])
def test_a_name_acts_on_no_terminal_and_stays_one_cell(shell: Shell, format_: str) -> None:
    text = told(shell, format_)
    assert "\\x1b[31m" in text
    if format_ == "csv":
        head, *rows = csv.reader(io.StringIO(text))
        found = dict(zip(head, rows[0], strict=True))
        assert found["rule"] == "secret-live"
    if format_ == "tsv":
        assert text.splitlines()[0].split("\t")[2] == "secret-live"


def test_json_gives_the_name_back_byte_by_byte(shell: Shell) -> None:
    (found,) = json.loads(told(shell, "json"))["findings"]
    assert os.fsencode(found["evidence"]["path"]) == b"tree/" + HOSTILE


def test_sarif_has_the_name_as_an_address(shell: Shell) -> None:
    (result,) = json.loads(told(shell, "sarif"))["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    uri = place["artifactLocation"]["uri"]
    assert unquote_to_bytes(uri) == b"tree/" + HOSTILE
    assert uri.isascii()
    assert uri.isprintable()
    assert not set(" <>{}[]|\\^`") & set(uri)
    assert place["region"] == {"startLine": 1}


def test_metrics_count_and_name_nothing(shell: Shell) -> None:
    text = told(shell, "prometheus")
    assert 'jitid_scan_findings{rule="secret-live",severity="critical"} 1\n' in text
    assert 'jitid_scan_findings{rule="secret-unknown",severity="medium"} 0\n' in text
    assert "jitid_scan_complete 1\n" in text
    assert "tree" not in text
    line = ("scan", "tree", "--format", "prometheus", "--out", "scan.prom")
    assert shell.run(*line).returncode == 10
    assert (shell.home / "scan.prom").stat().st_mode & 0o777 == 0o644


def test_html_shows_the_name_and_obeys_it_not(shell: Shell) -> None:
    text = told(shell, "html")
    assert "<b>=cmd" not in text
    assert "&lt;b&gt;=cmd" in text


def test_a_file_that_is_called_like_a_token_shows_none(shell: Shell) -> None:
    """A leaked token may also be in the name of a file."""
    token = (shell.home / "token").read_text().strip()
    folder = shell.home / "named"
    folder.mkdir()
    (folder / token).write_text(token)
    done = shell.run("scan", "named", "--format", "json")
    assert token not in done.stdout + done.stderr
    (found,) = json.loads(done.stdout)["findings"]
    assert found["evidence"]["path"] == "named/****"


def test_many_places_of_one_token_are_told_in_order(shell: Shell) -> None:
    token = (shell.home / "token").read_text()
    folder = shell.home / "many"
    for number in range(30):
        (folder / str(number % 3)).mkdir(parents=True, exist_ok=True)
        (folder / str(number % 3) / f"{number:02}").write_text(token)
    done = shell.run("scan", "many", "--field", "path")
    places = done.stdout.splitlines()
    assert len(places) == 30
    assert places == sorted(places)


def test_of_very_many_places_the_first_are_told_and_the_others_counted(shell: Shell) -> None:
    token = (shell.home / "token").read_text()
    (shell.home / "often").write_text(token * 350)
    (shell.home / "again").write_text(token * 200)
    document = json.loads(shell.run("scan", "often", "again", "--format", "json").stdout)
    told = len(document["findings"])
    assert 100 <= told <= 200
    assert f"; {550 - told} more places of strings" in document["coverage"][0]["examined"]


def test_an_output_that_nobody_takes_does_not_undo_what_was_ended(shell: Shell) -> None:
    shell.good("issue", "--task", "U", "--delegator", "alice", "--kind", "opaque", "--out", "other")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("scan", "other", "--revoke"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=shell.environment,
            cwd=shell.home,
            check=False,
        )
    assert done.returncode == 74
    assert "revoked 1 live credential" in done.stderr
    assert shell.run("verify", "other").returncode == 8


def test_what_was_recorded_before_a_process_was_killed_is_told(shell: Shell) -> None:
    token = shell.good("issue", "--task", "K", "--delegator", "alice", "--kind", "opaque").encode()
    recorded = len(shell.good("leak", "list", "--format", "jsonl").splitlines())
    nothing = bytes(1 << 20)

    def fed() -> bool:
        # The scan queries the ledger between two pieces.
        assert process.stdin is not None
        process.stdin.write(nothing)
        process.stdin.flush()
        return len(shell.good("leak", "list", "--format", "jsonl").splitlines()) > recorded

    with subprocess.Popen(
        command("scan", "-", "--report"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=shell.environment,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(token)
        until(fed, "nothing was recorded")
        helpers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if not helpers:
            pytest.skip("there is one processor, and so one process")
        os.kill(int(helpers[0]), signal.SIGKILL)
        _, complaint = process.communicate()
    assert process.returncode == 9, complaint
    assert b"was killed; recorded before that: 1 leak" in complaint


def test_more_than_is_permitted_ends_nothing_and_is_told(shell: Shell) -> None:
    line = ("issue", "--task", "V", "--delegator", "alice", "--count", "3", "--kind", "opaque")
    (shell.home / "three").write_text(shell.good(*line))
    done = shell.run("scan", "three", "--revoke", "--max", "2", "--field", "life")
    assert (done.returncode, done.stdout.split()) == (2, ["active"] * 3)
    assert "this would revoke more than 2" in done.stderr


def test_what_is_not_proved_is_left_alone(shell: Shell) -> None:
    """Without its signature, a token proves nothing: any person could have written it."""
    shell.good("issue", "--task", "W", "--delegator", "alice", "--out", "signed")
    (shell.home / "cut").write_text((shell.home / "signed").read_text()[:200])
    done = shell.run("scan", "cut", "--revoke", "--format", "json")
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["severity"], found["evidence"]["proof"]) == ("medium", None)
    assert done.returncode == 0
    assert shell.run("verify", "signed").returncode == 0


def test_the_ledger_s_own_folder_is_passed_over(shell: Shell) -> None:
    done = shell.run("scan", str(shell.ledger), "--format", "json")
    document = json.loads(done.stdout)
    assert document["findings"] == []
    assert "the ledger's own folder (1)" in document["coverage"][0]["examined"]


def test_a_stolen_signing_key_is_named(shell: Shell, tmp_path: Path) -> None:
    (key,) = [path for path in (shell.ledger / "keys").iterdir() if path.is_file()][:1]
    (tmp_path / "stolen.txt").write_bytes(key.read_bytes())
    done = shell.run("scan", str(tmp_path), "--format", "json")
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["rule"], found["severity"]) == ("signing-key", "critical")
    assert found["remedy"].startswith("jitid keys revoke ")


def test_many_findings_wait_in_a_file_and_come_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_findings, "_MOST_HELD", 3)
    hits = [
        Hit(bytes([number]), sort, os.fsdecode(b"\xff%d" % number), number, None, 0, None)
        for number, sort in enumerate(("cut", "opaque", "signed", "opaque", "opaque", "cut"), start=1)
    ]
    store = scan_findings.FindingStore()
    store.extend(offline(hits))
    found = list(store)
    assert sorted(found, key=lambda each: each.subject) == list(offline(hits))
    assert [each.severity for each in found[3:]] == ["medium", "medium", "low"]
    assert len({each.fingerprint for each in found}) == 6


def test_places_of_a_string_are_counted_together_however_many_batches_they_come_in() -> None:
    counted, searcher = Counted(), Searcher()
    for times in (60, 70, 500):
        searcher.begin(Item(f"{times}.txt"))
        searcher.feed((opaque(1).encode() + b"\n") * times + opaque(times).encode())
        searcher.end()
        batch = searcher.take()
        counted.note(batch.hits, batch.finds)
    hits, finds = counted.together()
    assert list(finds.opaque.items()) == [(fingerprint(opaque(1)), 630)]
    assert [(hit.place, hit.line) for hit in hits] == [
        *(("60.txt", line) for line in range(1, 61)),
        *(("70.txt", line) for line in range(1, 41)),
    ]
