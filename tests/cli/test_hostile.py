"""Hostile text in every option and argument of every verb: a documented answer, and no effect on the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from jitid.cli import main
from jitid.cli.invocation import GlobalOptions
from jitid.cli.line import by_flag
from jitid.cli.verbs import all_verbs
from jitid.values.text import safe
from tests.values.hostile import INTRUDERS, NAUGHTY

# An argument of a process can contain neither NUL nor half a surrogate pair.
SHORT = [
    "\x1b[31mred\x1b]0;owned\x07",
    "a\u202eb\u2066c\u200b",
    "\x9b31m\x85\x7f",
    "line\nfeed\ttab\r",
    "[/nope]",
    "[bold]x[/]",
    "=1+1",
    "<script>alert(1)",
    "\ufeff\U000e0041\u3164",
    "\udcff",
    "`$(id)`'\";",
    "x" * 70_000,
    "9" * 5_000,
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJTRUNSRVQifQ.U0VDUkVUU0VDUkVU",
]
NEEDED = {
    "issue": ("--task", "T", "--delegator", "alice"),
    "run": ("--task", "T", "--delegator", "alice"),
    "tree": ("--task", "T"),
    "revoke": ("--task", "T", "--dry-run"),
    "retire": ("--dry-run",),
    "keys revoke": ("--dry-run",),
    # On an address beyond loopback `serve` refuses to listen without TLS: it ends for any other options.
    "serve": ("--bind", "0.0.0.0:0"),
    "authorize": ("--token-file", "tok", "--action", "a:b", "--resource", "r"),
}
LAST = {"run": ("--", "true")}
STATUSES = {0, 2, 3, 4, 5, 7, 8, 74, 125, 126, 127}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command line on one ledger, and asserts that no answer is dangerous."""
    monkeypatch.setenv("JITID_LEDGER", str(home / "ledger"))

    def run(*line: str) -> tuple[int, str, str]:
        status = main.run([*line])
        out, err = capfd.readouterr()
        for shown in (out, err):
            assert all(each in "\n\t" or safe(each) == each for each in shown.replace("\r\n", "\n")), line
        assert status in STATUSES, (line, status, err)
        assert "Traceback" not in err
        assert "internal error" not in err
        return status, out, err

    run(
        "-q",
        "issue",
        "--task",
        "T",
        "--delegator",
        "alice",
        "--kind",
        "opaque",
        "--scope",
        "a:b",
        "--out",
        "tok",
    )
    return run


PLACES = [
    *((verb, option) for verb, command in all_verbs().items() for option in by_flag(command.fields)),
    *(
        (verb, name)
        for verb, command in all_verbs().items()
        for name, field in command.fields.items()
        if not field.flags
    ),
]


@pytest.mark.deep
@pytest.mark.parametrize(("verb", "place"), PLACES, ids=" ".join)
def test_no_option_takes_hostile_text_badly(verb: str, place: str, run: Run) -> None:
    """Every kind of value is tested, names and free text."""
    for text in SHORT:
        given = [f"{place}={text}"] if place.startswith("-") else ["--", text]
        needed = [
            word
            for number, word in enumerate(NEEDED.get(verb, ()))
            if place not in (word, NEEDED[verb][number - 1])
        ]
        last = LAST.get(verb, ()) if place.startswith("-") else ()
        _, _, err = run(*verb.split(), *needed, *given, *last)
        assert "SECRET" not in err
        assert len(err) < 3_000


@pytest.mark.deep
@pytest.mark.parametrize(
    "place", [name for name, field in by_flag(GlobalOptions.fields).items() if field.type]
)
def test_no_global_option_takes_hostile_text_badly(place: str, run: Run) -> None:
    for text in SHORT:
        _, _, err = run("list", f"{place}={text}")
        assert "SECRET" not in err


@pytest.mark.parametrize("verb", ["", "task", "keys"])
def test_no_word_is_taken_badly_for_a_verb(verb: str, run: Run) -> None:
    for text in SHORT:
        assert run(*verb.split(), text)[0] == 2
        assert run(*verb.split(), "--", text)[0] == 2
        assert run(*verb.split(), f"--{text}")[0] == 2


def test_no_variable_takes_hostile_text_badly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JITID_TASK", "JITID_SCOPE", "JITID_PURPOSE", "JITID_PARENT_FILE", "JITID_FORMAT"):
        for text in SHORT:
            monkeypatch.setenv(name, text)
            run("issue", "--task", "T2", "--delegator", "alice", "--dry-run")
        monkeypatch.delenv(name)


def test_names_are_plain(run: Run) -> None:
    """Look-alike and invisible characters are refused in every name."""
    for option in ("--task", "--delegator", "--agent", "--scope", "--audience"):
        for text in INTRUDERS:
            if text == "\x00":
                continue
            needed = [] if option in ("--task", "--delegator") else ["--delegator", "alice"]
            needed += ["--task", "T"] if option == "--delegator" else ["--delegator", "alice", "--task", "T"]
            assert run("issue", *needed, option, f"a{text}b", "--dry-run")[0] == 2, (option, text)


def test_free_text_is_kept_as_it_is_and_shown_harmless(run: Run) -> None:
    """A purpose and a reason may be any text; JSON returns it unchanged, a table and tabs neutralise it."""
    texts = [text for text in NAUGHTY if text.strip() and "\x00" not in text and len(text) <= 1_000]
    purposes = texts[::8]
    for number, purpose in enumerate(purposes):
        line = ("issue", "--task", f"N{number}", "--delegator", "alice", "--kind", "opaque", "--out", "tok")
        status, _, err = run("-q", *line, f"--purpose={purpose}")
        assert status == 0, err
        assert run("-q", "retire", f"N{number}", f"--reason={purpose}")[0] == 0
    found = {
        row["task"]: row["purpose"] for row in json.loads(run("task", "list", "--format", "json")[1])["items"]
    }
    assert [found[f"N{number}"] for number in range(len(purposes))] == purposes
    log = run("audit", "log", "--operation", "retire", "--format", "jsonl")[1].splitlines()
    assert [json.loads(line)["reason"] for line in log] == purposes
    for fmt in ("table", "tsv", "csv"):
        for verb in ("task list", "list", "audit log"):
            run(*verb.split(), "--format", fmt)
    assert len(run("task", "list", "--format", "tsv")[1].splitlines()) == len(purposes) + 1
    for cell in re.findall(r"(?:^|,)([=+\-@][^,]*)", run("task", "list", "--format", "csv")[1], re.MULTILINE):
        pytest.fail(f"a spreadsheet would run {cell!r}")
    assert run("audit", "verify")[0] == 0


def test_lines_of_bulk_hold_what_they_like(run: Run, home: Path) -> None:
    """Each line either issues a credential or is a usage error with the line's number."""
    lines = [json.dumps({"task": text}) for text in NAUGHTY[::10]]
    lines += [json.dumps({text or "x": text}) for text in NAUGHTY[::10]]
    lines += [json.dumps({"task": "B", "purpose": text}) for text in SHORT]
    lines += ["null", "1e999", '"x"', "{", "[" * 5_000, '{"task":"B","ttl":1e5}', '{"task":"B","ttl":-1}']
    for line in lines:
        (home / "lines").write_bytes(line.encode("utf-8", "surrogatepass") + b"\n")
        run("issue", "--delegator", "alice", "--from-file", "lines", "--dry-run")
