"""One session of Claude Code with two subagents: one line of setup, one revocation, and the token that it left."""

from __future__ import annotations

import os
import re
from pathlib import Path
from threading import Thread

import pytest

from tests import agents
from tests.cli.transcripts import compare, placeholders, replay
from tests.components.helping import is_for
from tests.model_gateway import Gateway, model_gateway
from tests.real import Shell, need

WRITTEN = Path(__file__).parent / "one_session.txt"
PROMPT = "SPAWN general-purpose BASH cat .env\\nWAIT\nSPAWN general-purpose HOLD"
"""The first subagent shows a file, then both wait."""


_SESSION = re.compile(r"(?<=session/claude-code/)[0-9a-f]{8}")


class Stage:
    """The places where a transcript and the gateway wait for each other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.both_work, self.go_on = folder / "both-work", folder / "go-on"
        for path in (self.both_work, self.go_on):
            os.mkfifo(path)
        self.lock, self.status = folder / "lock", folder / "status"
        """The client's wrapper holds the lock, and writes the exit status."""
        self.log = folder / "log"
        """A line for each request of the client to the gateway."""

    def direct(self, gateway: Gateway) -> None:
        """Report that both subagents wait, and let them go on when the transcript says so."""
        both = all(gateway.held.acquire(timeout=60) for _ in range(2))
        self.both_work.write_text("two requests wait\n" if both else "no two requests\n")
        self.go_on.read_text()
        gateway.release()


def programs(folder: Path, client: str, stage: Stage) -> None:
    """Write the client, `gateway`, by which the transcript directs the gateway, and `client-end`, which waits."""
    folder.mkdir()
    client_line = f'{client} "$@" --allowedTools Bash,Task,Agent; echo "status $?" > {stage.status}'
    cases = f"wait) cat {stage.both_work};; release) echo > {stage.go_on};; log) uniq {stage.log};;"
    for name, script in {
        "claude": f"exec 9> {stage.lock}; flock 9; {client_line}",
        "gateway": f"case $1 in {cases} esac",
        "client-end": f"flock {stage.lock} cat {stage.status}",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


@pytest.mark.deep
def test_one_session_ends_by_one_revocation(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`JITID_UPDATE_TRANSCRIPTS=1` writes the current output into the file."""
    need("flock")
    client = agents.claude_code(tmp_path_factory.mktemp("agents"))
    story = tmp_path / "story"
    story.mkdir()
    home = story / "home"
    shell = Shell(home, home / ".local/share/jitid")
    stage = Stage(tmp_path / "stage")
    programs(tmp_path / "programs", client, stage)

    with model_gateway() as gateway:

        def accepts(token: str) -> bool:
            accepted = is_for(shell, token, gateway.address)
            with stage.log.open("a") as log:
                log.write("answered\n" if accepted else "refused\n")
            return accepted

        def shown(text: str, folder: Path) -> str:
            return _SESSION.sub("[SESSION]", placeholders(text.replace(gateway.address, "[GATEWAY]"), folder))

        gateway.accepts = accepts
        director = Thread(target=stage.direct, args=(gateway,), daemon=True)
        director.start()
        answered = replay(
            WRITTEN.read_text(),
            story,
            shown,
            before=tmp_path / "programs",
            GATEWAY=gateway.address,
            PROMPT=PROMPT,
            DISABLE_AUTOUPDATER="1",
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
            CLAUDE_CODE_MAX_RETRIES="0",
        )
    compare(WRITTEN, answered)
