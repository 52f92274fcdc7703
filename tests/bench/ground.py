"""The environment of a benchmark: a folder on a real disk, ledgers in it, and the installed command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jitid
from jitid.authority.local import LocalAuthority
from jitid.authority.open_local import open_or_create_local
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Issue
from jitid.config import effective
from jitid.model.credential import PROOFS
from jitid.model.request import MOST_AT_ONCE, IssueRequest
from jitid.values.scope import Scope

ROOT = Path(jitid.__file__).parent.parent
SCOPES = (Scope("repo:acme/web:read"), Scope("tickets:INC-4821:write"))


class Ground(NamedTuple):
    """The folders and the number of rounds of a benchmark."""

    folder: Path
    """An empty folder on a file system that is on a real disk."""
    cache: Path | None
    """The folder in which the ledger of 1.5 million credentials is cached."""
    rounds: int
    """The number of times that each comparison runs."""

    def new(self, name: str) -> Path:
        """Return a new folder."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        return folder


class Command:
    """`jitid` as the installed script starts it, with its own home folder."""

    def __init__(self, folder: Path) -> None:
        self._script = folder / "jitid"
        self._script.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path[0] = {str(ROOT)!r}\n"
            "from jitid.__main__ import main\nsys.argv[0] = 'jitid'\nmain()\n"
        )
        self._script.chmod(0o755)
        self.ledger = folder / "ledger"
        self.environment = {
            "HOME": str(folder),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "JITID_LEDGER": str(self.ledger),
        }

    def __call__(self, *arguments: str) -> list[str]:
        """Return the command line with these arguments."""
        return [str(self._script), *arguments]


def authority(folder: Path) -> LocalAuthority:
    """Return the authority over the ledger in `folder`, as the command line opens it. The first use creates it."""
    settings = effective.load(flags={"ledger": str(folder)}, environ={"HOME": str(folder.parent)})
    return open_or_create_local(settings, lambda _: None)


def request(number: int, kind: str = "jwt") -> IssueRequest:
    """Return an ordinary request. Each group of a thousand requests shares a task."""
    return IssueRequest(
        task=f"INC-{number // 1000}",
        delegator=f"user:engineer-{number % 100}@example.com",
        agent=f"fixer-{number % 10}",
        kind=kind,
        # Identity proofs carry no scopes.
        scopes=() if kind in PROOFS else SCOPES,
    )


def issue(authority: LocalAuthority, requests: Sequence[IssueRequest]) -> list[Issued]:
    """Issue the credentials of the requests in one transaction."""
    return authority.perform(Issue(requests=tuple(requests)))


def race(module: str, arguments: Sequence[Sequence[str]], seconds: float) -> list[list[Any]]:
    """Run a module in one process for each item of `arguments`, from the same moment; return their outputs."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", module, *own],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for own in arguments
    ]
    try:
        for one in running:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in running:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        return [json.loads(one.communicate(timeout=seconds + 60)[0]) for one in running]
    finally:
        for one in running:
            if one.poll() is None:
                one.kill()
                one.wait()


def wait_for_start() -> None:
    """Report to `race` that this process is ready, and wait until all are ready."""
    print("ready", flush=True)
    sys.stdin.readline()


def copies(template: IssueRequest, count: int) -> Iterator[list[IssueRequest]]:
    """Split `count` copies of a request into transactions."""
    for start in range(0, count, MOST_AT_ONCE):
        yield [template._replace(copies=min(MOST_AT_ONCE, count - start))]
