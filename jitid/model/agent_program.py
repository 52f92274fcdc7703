"""The programs of agents, by which a process is known as one: one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from jitid.values.record import Record


class AgentProgram(Record):
    """The program of an agent."""

    agent: str
    names: tuple[str, ...]
    """Names of the program."""
    packages: tuple[str, ...] = ()
    """Parts of the path of its script, if an interpreter runs it."""
    variable: str = ""
    """A variable that it sets in its commands, and that no person sets; empty if none is known."""


AGENT_PROGRAMS: tuple[AgentProgram, ...] = (
    AgentProgram("claude-code", ("claude", "claude.exe"), ("@anthropic-ai/claude-code/",), "CLAUDECODE"),
    AgentProgram("codex", ("codex",), ("@openai/codex/",), "CODEX_THREAD_ID"),
    AgentProgram("gemini", ("gemini",), ("@google/gemini-cli/",), "GEMINI_CLI"),
    AgentProgram("copilot", ("copilot",), ("@github/copilot/",)),
    AgentProgram("cursor", ("cursor-agent", "cursor")),
    AgentProgram("opencode", ("opencode",), ("opencode-ai/",), "OPENCODE"),
    AgentProgram("vscode", ("code", "code-insiders", "code-oss", "codium", "vscodium")),
)

_INTERPRETERS = frozenset({"node", "bun", "deno", "MainThread"})
"""Programs that run the script of an agent. Node 20 and later names its main thread."""


def agent_of(words: Sequence[str], names: Iterable[str]) -> str | None:
    """Return the agent that a process is, by its command line and the names of its program; None for another program.

    Any program can start another one with any first word. Only the scripts of an agent do so with their interpreter.
    """
    names = {base_name(name) for name in names}
    interpreted = bool(names & _INTERPRETERS)
    if interpreted:
        names |= {base_name(name) for name in words[:1]}
    for program in AGENT_PROGRAMS:
        if names & {*program.names}:
            return program.agent
    for script in _scripts(words) if interpreted else ():
        name = base_name(script).removesuffix(".js").removesuffix(".cjs")
        for program in AGENT_PROGRAMS:
            if name in program.names or any(part in script for part in program.packages):
                return program.agent
    return None


def _scripts(words: Sequence[str]) -> Iterator[str]:
    """Yield the words that may be the script of an interpreter: a word after an option may be its value instead.

    After such a word, only a path is a script, and not each argument with the name of an agent.
    """
    is_first = True
    for before, word in pairwise(words):
        if word.startswith("-"):
            continue
        if is_first or "/" in word:
            yield word
        is_first = False
        if not before.startswith("-"):
            return


def base_name(path: str) -> str:
    """Return the name of a program, without its folder and the hyphen of a login shell."""
    return path.rpartition("/")[2].lstrip("-")
