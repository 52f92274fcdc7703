"""Player of transcripts: commands that a user types, with the answers of the command line.

A transcript is a text file:

    # A comment says why.
    $ jitid config get ttl
    15m
    $ jitid config get nothing
    2> jitid: error: there is no setting `nothing`
    ? 2

- `$ ` starts a command, which `sh` runs, so that pipes, files and `$(…)` work; the following lines with `> ` belong to
  it (a here document, a long pipe). Later commands see the variables that it sets.
- Its standard output follows, then its standard error with `2> ` before each line. A line that could be mistaken for
  another part, because it is blank or starts with a mark or `#`, has `| ` before it.
- `? N` is the exit status if it is not 0.
- `known NAME` adds a delegator to the directory of the ledger in the home folder.
- Blank lines and lines that start with `#` are kept and have no meaning.

All commands of a transcript run in one new working directory with a new home folder. Beside jitid there is `id-token`,
an issuer of ID tokens (`tests/crypto/issuing.py`). Parts that differ from run to run are replaced on both sides: [ME]
(the login, where it is data) [JID] [JTI] [APR] [ACC] [JWT] [OPAQUE] [NAME] (at a target) [TIME] [EPOCH] [UUID] [HASH]
[KID] and [TMP], the folder of the whole run.

`JITID_UPDATE_TRANSCRIPTS=1 pytest tests/cli` writes the current answers into the files; review the difference before
you commit it.
"""

from __future__ import annotations

import atexit
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from pwd import getpwuid
from typing import NamedTuple

import pytest

import jitid
from jitid.system.installed_files import SHELLS
from tests.real import LIBFAKETIME

FOLDER = Path(__file__).parent / "transcripts"

_VARIABLE = (
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), "[JWT]"),
    (re.compile(r"\bjitid_[0-9A-Za-z]{38}\b"), "[OPAQUE]"),
    (re.compile(r"\bjitid_[0-9a-v]{26}\b"), "[NAME]"),
    (re.compile(r"\bjid_[0-9a-v]{26}\b"), "[JID]"),
    (re.compile(r"\bjti_[0-9a-v]{26}\b"), "[JTI]"),
    (re.compile(r"\bapr_[0-9a-v]{26}\b"), "[APR]"),
    (re.compile(r"\bacc_[0-9a-v]{26}\b"), "[ACC]"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "[UUID]"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "[TIME]"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "[HASH]"),
    (re.compile(r"(?<![\w-])[\w-]{43}(?![\w-])"), "[KID]"),
    (re.compile(r"\b[12]\d{9}\b"), "[EPOCH]"),
    (re.compile(r"\b(leaked|behind|is) (?:\d+[dhms])+ (ago|behind)"), r"\1 [AGE] \2"),
    (re.compile(r"\bprocess \d+ of [\w.-]+"), "process [PID] of [HOST]"),
    (re.compile(r"^(host +)[\w.-]+$", re.MULTILINE), r"\1[HOST]"),
    (re.compile(r"(\"host\": ?)\"[\w.-]+\""), r'\1"[HOST]"'),
    (re.compile(r"^((?:age|exposure|exposure_verifiers)\s+)(?:\d+[dhms])+$", re.MULTILINE), r"\1[AGE]"),
)
_ME_BEFORE = r"(user:|\t|\"by\": ?\"|[._]by +)"
_ME = re.compile(_ME_BEFORE + re.escape(getpwuid(os.getuid()).pw_name) + r"(?![\w.@-])")
# The README shows a user's home and login instead.
_HOME, _LOGIN = "/home/ops", "ops"
_CONTROL = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_MARKS = ("$ ", "> ", "? ", "#", "2> ", "| ")

# Save the variables for any end of the command; the command is an argument, so that its quoting is unchanged.
_SHELL = """
set -a
if [ -f "$1" ]; then . "$1"; fi
trap 'export -p > "$1"' EXIT
eval "$2"
"""


class Step(NamedTuple):
    """A command, with the blank lines and comments before it, and the expected lines after it."""

    before: tuple[str, ...]
    command: tuple[str, ...]
    """The lines, with their marks."""
    expected: tuple[str, ...]

    @property
    def script(self) -> str:
        """The command for the shell, without marks."""
        return "\n".join(line[2:] for line in self.command)


def parse(text: str) -> tuple[list[Step], tuple[str, ...]]:
    """Return the steps of a transcript, and the lines after the last one."""
    steps: list[Step] = []
    before: list[str] = []
    command: list[str] = []
    expected: list[str] = []

    def finish() -> None:
        if command:
            steps.append(Step(tuple(before), tuple(command), tuple(expected)))
            before.clear()
            command.clear()
            expected.clear()

    for line in text.splitlines():
        if line.startswith("$ "):
            finish()
            command.append(line)
        elif not line.strip() or line.startswith("#"):
            finish()
            before.append(line)
        elif command and not expected and line.startswith("> "):
            command.append(line)
        else:
            assert command, f"output before any command: {line}"
            expected.append(line)
    finish()
    return steps, tuple(before)


def placeholders(text: str, folder: Path) -> str:
    """Return an answer with placeholders for the parts that differ from run to run."""
    text = text.replace(str(folder), "[TMP]")
    return _placed(_ME.sub(r"\1[ME]", text))


def replay(
    text: str,
    folder: Path,
    shown: Callable[[str, Path], str] = placeholders,
    before: Path | None = None,
    **surroundings: str,
) -> str:
    """Run a transcript in `folder` as `answers` does, and return it with the real answers."""
    steps, after = parse(text)
    lines: list[str] = []
    for step, answer in zip(steps, answers(steps, folder, shown, before, **surroundings), strict=True):
        lines += [*step.before, *step.command, *answer]
    return "\n".join([*lines, *after]) + "\n"


def compare(path: Path, answered: str) -> None:
    """Fail with the difference if the file has other answers; `JITID_UPDATE_TRANSCRIPTS=1` writes these into it."""
    written = path.read_text()
    if answered == written:
        return
    if os.environ.get("JITID_UPDATE_TRANSCRIPTS") == "1":
        path.write_text(answered)
        return
    difference = difflib.unified_diff(
        written.splitlines(), answered.splitlines(), f"{path.name} as written", "as answered", lineterm=""
    )
    pytest.fail("\n".join(difference), pytrace=False)


def answers(
    steps: list[Step],
    folder: Path,
    shown: Callable[[str, Path], str],
    before: Path | None = None,
    **surroundings: str,
) -> Iterator[list[str]]:
    """Run the steps in `folder`, and yield the answer to each as `shown` formats it.

    Programs in the folder `before` take precedence over the system's.
    """
    environment = {**_prepare(folder), **surroundings}
    if before is not None:
        environment["PATH"] = f"{before}:{environment['PATH']}"
    for step in steps:
        yield _answer(step.script, folder, environment, shown)


def readable(text: str, folder: Path) -> str:
    """Return an answer as an example user would see it, with that user's login and home."""
    text = text.replace(f"{folder}/home", _HOME).replace(f"{folder}/work", f"{_HOME}/work")
    text = text.replace(f"{folder}/bin", f"{_HOME}/.jitid/bin")
    return _ME.sub(rf"\1{_LOGIN}", text)


def placeholders_of_readable(text: str) -> str:
    """Return a readable answer with the placeholders that the transcript has."""
    text = text.replace(f"{_HOME}/work", "[TMP]/work").replace(f"{_HOME}/.jitid/bin", "[TMP]/bin")
    text = text.replace(_HOME, "[TMP]/home")
    return _placed(re.sub(_ME_BEFORE + _LOGIN + r"(?![\w.@-])", r"\1[ME]", text))


def _placed(text: str) -> str:
    for pattern, name in _VARIABLE:
        text = pattern.sub(name, text)
    return text


def _answer(
    script: str, folder: Path, environment: dict[str, str], shown: Callable[[str, Path], str]
) -> list[str]:
    done = subprocess.run(
        ["/bin/sh", "-c", _SHELL, "sh", str(folder / "variables"), script],
        cwd=folder / "work",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
        # A policy file made under a looser umask would be refused.
        umask=0o022,
    )
    lines = [_marked(line) for line in _lines(shown(_text(done.stdout), folder))]
    lines += [f"2> {line}".rstrip() for line in _lines(shown(_text(done.stderr), folder))]
    return lines if done.returncode == 0 else [*lines, f"? {done.returncode}"]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _lines(text: str) -> list[str]:
    # Only a newline ends a line: other control characters must be visible in the file.
    text = _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)
    return text.removesuffix("\n").split("\n") if text else []


def _marked(line: str) -> str:
    return f"| {line}".rstrip() if line.startswith(_MARKS) or not line.strip() else line


@cache
def _programs() -> str:
    """Return a folder with all programs except shells and `man`: jitid would check whether they find its files."""
    folder = Path(tempfile.mkdtemp(prefix="jitid-programs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for place in ("/usr/local/bin", "/usr/bin", "/bin"):
        for program in Path(place).iterdir():
            if program.name not in (*SHELLS, "man", "jitid") and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return str(folder)


def _prepare(folder: Path) -> dict[str, str]:
    for name in ("home", "work", "bin"):
        (folder / name).mkdir(mode=0o700)
    # The same code that pytest has loaded, by the same interpreter, even if another version is installed. The password
    # database returns the home folder, too: guard rails read it there.
    root = Path(jitid.__file__).parent.parent
    for name, module in (("jitid", "jitid.__main__"), ("id-token", "tests.crypto.issuing")):
        command = folder / "bin" / name
        command.write_text(
            f"#!{sys.executable}\nimport os, pwd, sys\nsys.path[0] = {str(root)!r}\n"
            f"me = pwd.getpwuid(os.geteuid())\nme = pwd.struct_passwd((*me[:5], {str(folder / 'home')!r}, me[6]))\n"
            "find = pwd.getpwuid\npwd.getpwuid = lambda uid: me if uid == os.geteuid() else find(uid)\n"
            f"from {module} import main\nsys.argv[0] = '{name}'\nmain()\n"
        )
        command.chmod(0o755)
    known = folder / "bin" / "known"
    known.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\nsys.path[:1] = {[str(root), str(Path(__file__).parents[2])]!r}\n"
        "from tests.builders import know\n"
        "know(pathlib.Path.home() / '.local/share/jitid', *sys.argv[1:])\n"
    )
    known.chmod(0o755)
    faketime = folder / "bin" / "faketime"
    # `tests.real.faked` explains why this is not the program `faketime`.
    faketime.write_text(
        f'#!/bin/sh\nexport LD_PRELOAD={LIBFAKETIME} FAKETIME="$2" FAKETIME_DISABLE_SHM=1; shift 2; exec "$@"\n'
    )
    faketime.chmod(0o755)
    return {
        "HOME": str(folder / "home"),
        "PATH": f"{folder / 'bin'}:{_programs()}",
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "TZ": "UTC",
        "COLUMNS": "200",
        "XDG_CONFIG_DIRS": str(folder / "etc"),
    }
