"""The processes of clients, by the names of their programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jitid.capabilities.scan.agent_places import PLACES
from jitid.capabilities.scan.agent_places import SHELL as SHELL_PLACE
from jitid.capabilities.session.clients import CLIENTS, ParentProcess, client_of, process_of_client
from jitid.model.agent_program import AGENT_PROGRAMS
from jitid.system import processes

SHELL = ParentProcess(9, ("/bin/sh", "-c", "jitid helper token"), ("sh", "dash"))
MANUAL = Path(__file__).parents[3] / "man/jitid-agents.7"


def _of(words: str, *names: str) -> str | None:
    client = client_of(ParentProcess(7, tuple(words.split()), names))
    return None if client is None else client.name


@pytest.mark.parametrize(
    ("words", "names", "client"),
    [
        ("claude -p hi", ("claude",), "claude-code"),
        ("/opt/x/bin/claude.exe", ("claude.exe", "claude.exe"), "claude-code"),
        (
            "node /usr/lib/node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs",
            ("node", "node"),
            "claude-code",
        ),
        ("/x/codex exec", ("codex", "codex"), "codex"),
        ("node /usr/bin/gemini", ("MainThread", "node"), "gemini"),
        ("node /usr/lib/node_modules/@google/gemini-cli/bundle/gemini.js", ("node",), "gemini"),
        ("opencode serve", ("opencode",), "opencode"),
        ("/x/cursor-agent --use-system-ca /x/index.js", ("node", "node"), "cursor"),
        ("cat /x/claude", ("cat", "cat"), None),
        ("codex -c true", ("sh", "dash"), None),
        (
            "node --no-warnings --enable-source-maps /lib/@anthropic-ai/claude-code/cli.js",
            ("node", "node"),
            "claude-code",
        ),
        ("node --require /x/a.js -r b /lib/@openai/codex/bin/codex.js -c", ("node", "node"), "codex"),
        ("node --max-old-space-size=9 --no-warnings /usr/bin/gemini", ("MainThread", "node"), "gemini"),
        ("node /x/server.js claude", ("node", "node"), None),
        ("node --inspect /x/server.js claude", ("node", "node"), None),
        ("node --require /x/a.js /x/server.js /usr/bin/claude", ("node", "node"), None),
        ("bash", ("bash", "bash"), None),
        ("", ("",), None),
    ],
)
def test_a_client_is_known_by_its_program(words: str, names: tuple[str, ...], client: str | None) -> None:
    """Never by the name of a file among its arguments, unless an interpreter runs that file."""
    assert _of(words, *names) == client


def test_a_client_is_known_by_its_process_as_by_its_words(tmp_path: Path) -> None:
    """Options of the interpreter may come before its script."""
    script = tmp_path / "@anthropic-ai/claude-code/cli.js"
    script.parent.mkdir(parents=True)
    script.write_text("print(flush=True); input()")
    interpreter = tmp_path / "node"
    interpreter.symlink_to(sys.executable)
    line = [str(interpreter), "-B", "-W", "ignore", "-I", str(script)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        words = processes.words(process.pid)
        process.communicate(b"\n")
    assert words == tuple(line)
    assert client_of(ParentProcess(process.pid, words, ("node",))) == CLIENTS[0]


def test_each_client_is_in_the_one_table_of_programs_of_agents() -> None:
    """`scan --scrub` knows a running agent by the same table."""
    assert {client.name for client in CLIENTS} < {each.agent for each in AGENT_PROGRAMS}
    assert {each.client for each in PLACES} - {SHELL_PLACE} == {each.agent for each in AGENT_PROGRAMS}


def test_the_process_of_a_client_is_the_nearest_one_of_its_name() -> None:
    """Not the shell that runs the hook; and no other process, such as that of a terminal."""
    claude = ParentProcess(8, ("claude",), ("claude",))
    other = ParentProcess(7, ("starter",), ("starter",))
    client = CLIENTS[0]
    assert process_of_client(client, [SHELL, claude, other]) == claude
    assert process_of_client(client, [SHELL, other, claude]) == claude
    assert process_of_client(client, [SHELL, other]) is None
    assert process_of_client(client, [SHELL]) is None


def test_the_manual_has_a_row_for_each_client() -> None:
    """With the same words about its subagents."""
    text = " ".join(MANUAL.read_text().split())
    for client in CLIENTS:
        assert client.name in text
        assert client.subagents in text
        for hook in client.hooks:
            assert hook in text
