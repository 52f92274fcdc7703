"""Where a benchmark works: a folder on a real disk, ledgers in it, and the command as a user has it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jitid
from jitid.authority.local import LocalAuthority
from jitid.authority.open import open_or_create_local
from jitid.capabilities.issue.issuance import Issued
from jitid.capabilities.issue.operations import Issue
from jitid.config import effective
from jitid.model.credential import PROOFS
from jitid.model.request import MOST_AT_ONCE, IssueRequest
from jitid.values.scope import Scope

ROOT = Path(jitid.__file__).parent.parent
SCOPES = (Scope("repo:acme/web:read"), Scope("tickets:INC-4821:write"))


class Ground(NamedTuple):
    """What every benchmark is given."""

    folder: Path
    """Empty, on a file system that is really on a disk."""
    cache: Path | None
    """Where the ledger of 1.5 million credentials is kept for the next time."""
    rounds: int
    """How often each comparison is made."""

    def new(self, name: str) -> Path:
        """Return a new folder."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        return folder


class Command:
    """`jitid` as the installed script starts it, with a home folder of its own."""

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
    """Return the authority over the ledger in `folder`, as the command line composes it; it is made if need be."""
    settings = effective.load(flags={"ledger": str(folder)}, environ={"HOME": str(folder.parent)})
    return open_or_create_local(settings, lambda _: None)


def request(number: int, kind: str = "jwt") -> IssueRequest:
    """Return an ordinary request; every thousand of them share a task."""
    return IssueRequest(
        task=f"INC-{number // 1000}",
        delegator=f"user:engineer-{number % 100}@example.com",
        agent=f"fixer-{number % 10}",
        kind=kind,
        # What proves an identity carries none.
        scopes=() if kind in PROOFS else SCOPES,
    )


def issue(authority: LocalAuthority, requests: Sequence[IssueRequest]) -> list[Issued]:
    """Issue what the requests ask for, in one transaction."""
    return authority.perform(Issue(requests=tuple(requests)))


def race(module: str, arguments: Sequence[Sequence[str]], seconds: float) -> list[list[Any]]:
    """Run a module in as many processes as there are arguments, from the same moment on; return what each printed."""
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
    """Tell `race` that this process is ready, and wait until all are."""
    print("ready", flush=True)
    sys.stdin.readline()


def copies(template: IssueRequest, count: int) -> Iterator[list[IssueRequest]]:
    """Cut `count` copies of a request into transactions."""
    for start in range(0, count, MOST_AT_ONCE):
        yield [template._replace(copies=min(MOST_AT_ONCE, count - start))]
