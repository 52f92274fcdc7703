"""A real `jitid mcp` behind two pipes, and functions to read its answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.real import Shell, command

OPENING = {
    "jsonrpc": "2.0",
    "id": "opening",
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    },
}


META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
}
"""The envelope of a request of the stateless revision."""


def stateless(id_: int, method: str, meta: object = META, **params: object) -> dict[str, Any]:
    """Return a request of the stateless revision as a message."""
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": {**params, "_meta": meta}}


API = "https://api.example"


def _for_a_service(tool: str, arguments: object) -> object:
    """Return the arguments of a call. A token needs an audience, so add a default one if there is none."""
    if tool != "request_identity" or not isinstance(arguments, dict):
        return arguments
    return {"audiences": [API], **arguments}


def called(id_: int, tool: str, arguments: object) -> dict[str, Any]:
    """Return a call of a tool as a message."""
    params = {"name": tool, "arguments": _for_a_service(tool, arguments)}
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}


def lines(*messages: object) -> str:
    """Return messages as lines."""
    return "".join(f"{json.dumps(message)}\n" for message in messages)


def piped(shell: Shell, text: str | bytes, *options: str, token: str = "own.jwt") -> list[dict[str, Any]]:
    """Return the answers of a server to a complete standard input."""
    done = subprocess.run(
        command("mcp", "--token-file", token, *options),
        input=text.encode() if isinstance(text, str) else text,
        capture_output=True,
        env=shell.environment,
        cwd=shell.home,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    return [json.loads(line) for line in done.stdout.splitlines()]


class Server:
    """A server that runs until its block ends or the test stops it."""

    def __init__(
        self,
        shell: Shell,
        *options: str,
        token: str = "own.jwt",
        before: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
        opening: bool = True,
    ) -> None:
        self._opening = opening
        self.process = subprocess.Popen(
            [*before, *command("mcp", "--token-file", token, *options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**shell.environment, **(more or {})},
            cwd=shell.home,
        )
        self._number = 0

    def __enter__(self) -> Self:
        if not self._opening:
            return self
        self.ask("initialize", OPENING["params"])
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def send(self, message: object) -> None:
        """Write a message."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: object) -> dict[str, Any]:
        """Return the answer to a request."""
        self._number += 1
        self.send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.process.communicate()[1], self.process.returncode)
        found: dict[str, Any] = json.loads(line)
        assert found["id"] == self._number
        return found

    def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """Call a tool, check that it succeeds, and return its structured answer."""
        params = {"name": tool, "arguments": _for_a_service(tool, arguments)}
        result = self.ask("tools/call", params)["result"]
        assert not result["isError"], result
        return same_in_text(result)

    def refused(self, tool: str, **arguments: object) -> dict[str, Any]:
        """Call a tool, check that it refuses, and return the error."""
        params = {"name": tool, "arguments": _for_a_service(tool, arguments)}
        result = self.ask("tools/call", params)["result"]
        assert result["isError"], result
        error: dict[str, Any] = same_in_text(result)["error"]
        return error

    def end(self, number: int | None = None) -> tuple[int, str]:
        """Close its standard input, or send it a signal; return its status and its standard error."""
        if number is not None:
            os.kill(self.process.pid, number)
        _, talk = self.process.communicate(timeout=60)
        return self.process.returncode, talk.decode()

    def killed(self) -> None:
        """Kill it with SIGKILL."""
        self.end(signal.SIGKILL)


def same_in_text(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool's structured answer, and check that its text is the same."""
    (content,) = result["content"]
    assert content["type"] == "text"
    assert content["text"].isascii()
    assert json.loads(content["text"]) == result["structuredContent"]
    structured: dict[str, Any] = result["structuredContent"]
    return structured


def states(shell: Shell, *options: str) -> list[str]:
    """Return the states of the issued credentials, newest first."""
    return shell.good("list", "--field", "state", *options).split()


def events(shell: Shell) -> list[dict[str, Any]]:
    """Return the events of the audit log."""
    return [json.loads(line) for line in shell.good("audit", "log", "--format", "jsonl").splitlines()]


def verifies(shell: Shell, file: str | Path) -> bool:
    """Return whether the token in a file is valid, for any audience."""
    return shell.run("inspect", str(file), "--field", "active").stdout == "true\n"
