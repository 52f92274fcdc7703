"""The README's chapter for a fleet, run: PostgreSQL, two authorities, another shell, a stock OAuth client."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests import postgres
from tests.cli.transcripts import answers, parse, placeholders_of_readable, readable
from tests.node import Node
from tests.readme import FLEET, as_seen, blocks, chapter, rewrite
from tests.real import free_port, need

PORTS = ("5433", "8471", "8472")
"""The ports in the chapter; the test replaces them by free ones."""


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with the programs of PostgreSQL, and kill all processes of the chapter after the test."""
    folder = tmp_path / "tools"
    folder.mkdir()
    # PostgreSQL refuses to run as root or as a user without a name. In a separate user namespace root has another
    # number, and its files stay the same.
    another = str(postgres.NOBODY)
    as_another = (
        [need("unshare"), "--user", f"--map-user={another}", f"--map-group={another}"]
        if os.geteuid() == 0
        else []
    )
    for name in ("initdb", "pg_ctl"):
        (folder / name).write_text(f'#!/bin/sh\nexec {" ".join(as_another)} {postgres.program(name)} "$@"\n')
        (folder / name).chmod(0o755)
    yield folder
    for pid in _started_in(tmp_path / "story"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _started_in(folder: Path) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and f"HOME={folder}/home\0".encode() in (entry / "environ").read_bytes():
                yield int(entry.name)


def _replaced(text: str, ports: Mapping[str, str]) -> str:
    return re.sub(rf"(?<!\d)({'|'.join(ports)})(?!\d)", lambda match: ports[match[1]], text)


def test_the_chapter_for_a_fleet_comes_true(tmp_path: Path, tools: Path, node: Node) -> None:
    """Each command prints the answer in the README; parts that differ from run to run are compared as placeholders.

    `JITID_UPDATE_README=1` writes today's answers into the README.
    """
    need("curl")
    need("openssl")
    steps, _ = parse("".join(blocks("console", chapter(FLEET))))
    own = {port: str(free_port()) for port in PORTS}
    back = {mine: port for port, mine in own.items()}
    story = tmp_path / "story"
    story.mkdir()
    played = [step._replace(command=tuple(_replaced(line, own) for line in step.command)) for step in steps]

    def shown(text: str, folder: Path) -> str:
        return _replaced(readable(text, folder), back)

    def answered() -> Iterator[list[str]]:
        for number, answer in enumerate(answers(played, story, shown, before=tools)):
            if not number:
                # The folder that `npm install` would make.
                (story / "work/node_modules").symlink_to(node.packages)
            yield answer

    results = list(answered())
    if os.environ.get("JITID_UPDATE_README") == "1":
        rewrite(iter(zip(steps, results, strict=True)), fleet=True)
        return
    told = [placeholders_of_readable(line) for step in steps for line in (*step.command, *step.expected)]
    real = [
        placeholders_of_readable(line)
        for step, answer in zip(steps, results, strict=True)
        for line in (*step.command, *as_seen(answer))
    ]
    assert told == real
