"""A client of a user: a process with the name of a coding agent, which runs jitid as its hooks and helpers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.real import Shell


class Done(NamedTuple):
    """The outcome of a command that the client ran."""

    status: int
    out: str
    err: str


class ClientProcess:
    """A running client."""

    def __init__(self, shell: Shell, name: str, more: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**shell.environment, **(more or {})},
            cwd=shell.home,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self._client = _client(name)
        self.pid = self._process.pid

    def run(self, *words: str, stdin: str = "", **variables: str | None) -> Done:
        """Run a line of jitid as a child of the client, and return the outcome. None removes a variable."""
        (done,) = self.run_all(*words, stdin=stdin, times=1, **variables)
        return done

    def run_all(self, *words: str, stdin: str = "", times: int = 1, **variables: str | None) -> list[Done]:
        """Run a line that many times at once, and return the outcomes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"words": words, "stdin": stdin, "variables": variables, "times": times}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return [Done(*each) for each in json.loads(self._process.stdout.readline())]

    def killed(self, *words: str, stdin: str = "", **variables: str) -> Done:
        """Run a line as a child of another process with the name of the client, which is then killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"words": words, "stdin": stdin, "variables": variables, "times": 1, "killed": True}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        (done,) = [Done(*each) for each in json.loads(self._process.stdout.readline())]
        assert done.status == -signal.SIGKILL
        return done

    def good(self, *words: str, stdin: str = "", **variables: str) -> str:
        """Run a line, assert that it succeeds, and return its standard output."""
        done = self.run(*words, stdin=stdin, **variables)
        assert done.status == 0, done.err
        return done.out

    def hook(self, verb: str, event: Mapping[str, Any], *options: str, **variables: str | None) -> Done:
        """Report an event to `jitid helper session VERB`."""
        words = ("helper", "session", verb, "--client", self._client, *options)
        return self.run(*words, stdin=json.dumps(event), **variables)

    @contextmanager
    def inner(self, name: str, **variables: str) -> Iterator[None]:
        """Run the lines of the block in another client, which this one starts."""
        outer, self._client = self._client, _client(name)
        self._enter(name, **variables)
        try:
            yield
        finally:
            self._client = outer
            self._enter(None)

    def _enter(self, client: str | None, **variables: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"client": client, "variables": variables}) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        """Kill it, so that it cannot react."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.kill()
        self._process.wait()


def _client(name: str) -> str:
    return name if name in ("codex", "gemini") else "claude-code"


@contextmanager
def client_process(
    shell: Shell, name: str = "claude", more: Mapping[str, str] | None = None
) -> Iterator[ClientProcess]:
    """Start a client for the block."""
    client = ClientProcess(shell, name, more)
    try:
        yield client
    finally:
        client.close()


# Each command is a fork: starting Python for each would take most of the time of a test.
_PROGRAM = """
import json, os, sys, tempfile
open("/proc/self/comm", "w").write(sys.argv[1])
from jitid.cli import main, verbs
verbs.verbs_of("helper")
import jitid.cli.helper.session_verbs, jitid.cli.helper.token_verbs, jitid.authority.open

def start(request):
    files = [tempfile.TemporaryFile() for _ in range(3)]
    files[0].write(request["stdin"].encode("utf-8", "surrogateescape")); files[0].seek(0)
    child = os.fork()
    if child:
        return child, files
    if request.get("killed"):
        hook = os.fork()
        if hook:
            os.waitpid(hook, 0)
            os.kill(os.getpid(), 9)
    status = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file.fileno(), number)
        unset = [name for name, value in request["variables"].items() if value is None]
        for name in unset:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in request["variables"].items() if value is not None})
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
        sys.stderr = open(2, "w", closefd=False)
        status = main.run(request["words"])
        sys.stdout.flush(); sys.stderr.flush()
    finally:
        os._exit(status)

print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "client" in request:
        if request["client"] is None:
            os._exit(0)
        inner = os.fork()
        if not inner:
            line = [*sys.orig_argv[:-1], request["client"]]
            os.execve(sys.executable, line, {**os.environ, **request["variables"]})
        os.waitpid(inner, 0)
        print("ready", flush=True)
        continue
    outcomes = []
    for child, files in [start(request) for _ in range(request["times"])]:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in files[1:]:
            file.seek(0); texts.append(file.read().decode("utf-8", "replace")); file.close()
        files[0].close()
        outcomes.append((status, *texts))
    print(json.dumps(outcomes), flush=True)
"""
