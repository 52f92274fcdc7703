"""Programs of users as targets: none of them can reveal a secret, leave a process running, or block jitid for ever."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jitid.errors import ConfigurationError, JitidError, RefusedError, StorageError
from jitid.issuers.exec import MOST_ANSWER, ExecIssuer
from jitid.issuers.targets import Targets
from jitid.model.target import Life, Settlement, StatedTarget
from tests.issuers.execplace import ExecPlace
from tests.real import until

SECRET = "hunter2-hunter2-hunter2"


class Written(ExecPlace):
    """A program written by a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def asks(self, body: str, timeout: float = 20.0, **more: Any) -> ExecIssuer:
        """Return an issuer that runs a program with this body; `answer` writes its answer."""
        path = self.folder / "program"
        path.write_text(
            f"#!{sys.executable} -I\nimport json, os, subprocess, sys, time\nrequest = json.load(sys.stdin)\n"
            "def answer(**told): print(json.dumps({'version': 1, **told}), flush=True)\n" + body
        )
        path.chmod(0o700)
        table = {"kind": "exec", "program": str(path), **more}
        target = Targets([StatedTarget("shop", table, "/", "user test")], "urn:x").get("shop")
        return ExecIssuer(target, timeout=timeout, issuer="urn:x")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    # jitid refuses a program in a folder that others may change; a test may change the folder above it.
    folder = tmp_path / "above" / "programs"
    folder.mkdir(parents=True)
    return Written(folder)


def failure(issuer: ExecIssuer, written: Written) -> JitidError:
    """Return the error that a mint raises."""
    with pytest.raises(JitidError) as caught:
        issuer.mint(written.record(), print)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        f"sys.stderr.write('{SECRET}'); sys.exit(1)",
        f"print('{SECRET}')",
        f"print('{SECRET}'); sys.stderr.write('{SECRET}'); sys.exit(6)",
        f"answer(secret='{SECRET}')",
        f"answer(secret={{'Token {SECRET}': 'x'}})",
        f"answer(secret={{'token': '{SECRET}'}}, reference='{SECRET}')",
        f"answer(secret={{'token': '{SECRET}'}}, facts={{'a': 'the {SECRET}'}})",
        f"answer(secret={{'token': '{SECRET}'}}, facts={{'{SECRET}': 'a'}})",
        f"answer(secret={{'token': '{SECRET}', 'empty': ''}})",
        f'print(\'{{"version": 1, "{SECRET}": 1, "{SECRET}": 2}}\')',
        f"sys.stdout.write('{SECRET}'); os.kill(os.getpid(), 11)",
    ],
)
def test_nothing_that_a_program_says_is_repeated(
    written: Written, capfd: pytest.CaptureFixture[str], body: str
) -> None:
    error = failure(written.asks(body), written)
    assert SECRET not in f"{error.message}{error.hint}{error!r}{error.__cause__!r}"
    assert SECRET not in "".join(capfd.readouterr())


def test_what_it_writes_to_standard_error_is_counted(written: Written) -> None:
    body = f"sys.stderr.write('{SECRET}' * 10_000); sys.exit(5)"
    assert (
        f"it wrote {10_000 * len(SECRET)} bytes to standard error"
        in failure(written.asks(body), written).message
    )


@pytest.mark.deep
@pytest.mark.parametrize(
    ("body", "sort"),
    [
        ("sys.exit(6)", RefusedError),
        ("sys.exit(2)", ConfigurationError),
        ("sys.exit(5)", StorageError),
        ("sys.exit(1)", StorageError),
        ("", StorageError),
        ("print('{]')", StorageError),
        ("print('{}')", StorageError),
        ("print('[]')", StorageError),
        ("print(json.dumps({'version': 2, 'secret': {'token': 'x'}}))", StorageError),
        ("print(json.dumps({'version': True, 'secret': {'token': 'x'}}))", StorageError),
        ("answer()", StorageError),
        ("answer(secret={})", StorageError),
        ("answer(secret={'token': 1})", StorageError),
        ("answer(secret={'token': 'x' * 70_000})", StorageError),
        ("answer(secret={str(n): 'x' for n in range(99)})", StorageError),
        ("answer(secret={'token': 'x'}, facts=[1])", StorageError),
        ("answer(secret={'token': 'x'}, reference='a\\nb')", StorageError),
        (f"print('x' * {MOST_ANSWER + 10})", StorageError),
        ("while True: os.write(2, b'x' * 65536)", StorageError),
        ("time.sleep(600)", StorageError),
        ("sys.stdout.close(); os.close(1); time.sleep(600)", StorageError),
    ],
)
def test_an_answer_that_is_none_is_an_error(written: Written, body: str, sort: type[JitidError]) -> None:
    endless = "600" in body or "while" in body
    assert isinstance(failure(written.asks(body, timeout=1.0 if endless else 20.0), written), sort)


def test_whatever_it_has_started_ends_with_it(written: Written, tmp_path: Path) -> None:
    """This includes a child that keeps the pipes open and ignores signals that can be ignored."""
    child = tmp_path / "child"
    body = f"""
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf])
open({str(child)!r}, "w").write(str(child.pid))
answer(secret={{"token": "x"}})
"""
    made = written.asks(body).mint(written.record(), print)
    assert made.secret.reveal() == "x"
    pid = int(child.read_text())
    until(lambda: not _runs(pid), "what it has started goes on")


@pytest.mark.deep
def test_what_never_ends_is_ended_with_its_group(written: Written, tmp_path: Path) -> None:
    child = tmp_path / "child"
    body = f"""
child = subprocess.Popen(["sleep", "600"])
open({str(child)!r}, "w").write(f"{{child.pid}} {{os.getpid()}}")
time.sleep(600)
"""
    assert isinstance(failure(written.asks(body, timeout=2.0), written), StorageError)
    for pid in map(int, child.read_text().split()):
        until(lambda pid=pid: not _runs(pid), "it goes on")  # type: ignore[misc]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_that_reads_nothing_can_answer(written: Written, tmp_path: Path) -> None:
    path = tmp_path / "deaf"
    path.write_text('#!/bin/sh\nexec <&-\necho \'{"version": 1, "outcomes": {}}\'\n')
    path.chmod(0o700)
    target = Targets([StatedTarget("shop", {"kind": "exec", "program": str(path)}, "/", "")], "urn:x").get(
        "shop"
    )
    records = [written.record() for _ in range(700)]
    outcomes = ExecIssuer(target, timeout=20.0, issuer="urn:x").revoke(records)
    assert [each.settlement for each in outcomes] == [Settlement.UNAVAILABLE] * 700


def test_it_learns_nothing_of_our_environment_or_arguments(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITID_CREDENTIAL", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    body = "answer(secret={'token': 'x'}, facts={'seen': ' '.join(sorted(os.environ)), 'argv': ' '.join(sys.argv[1:])})"
    facts = (
        written.asks(body, environment={"SHOP": "there"}, arguments=["--quiet"])
        .mint(written.record(), print)
        .facts
    )
    assert set(facts["seen"].split()) - {"LC_CTYPE"} <= {"PATH", "HOME", "LANG", "SHOP"}
    assert "SHOP" in facts["seen"]
    assert facts["argv"] == "--quiet"


def test_a_secret_to_probe_comes_by_standard_input_alone(written: Written) -> None:
    from jitid.values.secret import Secret

    body = """
shown = open("/proc/self/cmdline").read() + open("/proc/self/environ").read()
secret = request["secret"]["token"]
answer(life="dead" if secret in shown else "live", seen="looked")
"""
    assert written.asks(body).probe(written.record(), Secret.single(SECRET)).life is Life.LIVE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.chmod(0o722), "other users can change"),
        (lambda path: path.parent.chmod(0o777), "other users can change"),
        (lambda path: path.parent.parent.chmod(0o777), "other users can change"),
        (lambda path: os.chown(path.parent.parent, 12345, -1), "other users can change"),
        (lambda path: path.chmod(0o600), "not an executable file"),
        (lambda path: path.unlink(), "cannot be used"),
        (lambda path: os.chown(path, 12345, 0), "other users can change"),
    ],
)
def test_a_program_that_others_can_change_is_not_started(
    written: Written, change: Callable[[Path], None], words: str
) -> None:
    issuer = written.asks("answer(secret={'token': 'x'})")
    change(written.folder / "program")
    error = failure(issuer, written)
    assert isinstance(error, ConfigurationError)
    assert words in error.message


def test_a_folder_of_everybodys_with_the_sticky_bit_will_do(written: Written) -> None:
    issuer = written.asks("answer(secret={'token': 'x'})")
    written.folder.chmod(stat.S_ISVTX | 0o777)
    assert issuer.mint(written.record(), print).secret.reveal() == "x"


def test_each_operation_that_it_lacks_is_told(written: Written) -> None:
    issuer = written.asks("sys.exit(2)")
    record = written.record()
    (outcome,) = issuer.revoke([record])
    assert (outcome.settlement, outcome.honoured_until) == (Settlement.UNSUPPORTED, record.expires_at)
    assert issuer.probe(record).life is Life.UNKNOWN
    with pytest.raises(StorageError):
        list(issuer.inventory())
    refusing = written.asks("sys.exit(6)")
    assert refusing.revoke([record])[0].settlement is Settlement.STUCK


def test_hostile_text_in_an_answer_is_shown_harmless(written: Written) -> None:
    text = json.dumps("\u001b[31mred\u202e\u0007")
    issuer = written.asks(f"answer(life='dead', seen={text})")
    assert issuer.probe(written.record()).seen.isprintable()


@pytest.mark.parametrize(
    "existing",
    ["[1]", "[{}]", "[{'name': 'a'}]", "[{'name': '', 'live': True}]", "{}", "[{'name': 'a', 'live': 1}]"],
)
def test_an_inventory_of_what_is_none_is_an_error(written: Written, existing: str) -> None:
    with pytest.raises(StorageError):
        list(written.asks(f"answer(existing={existing})").inventory())
