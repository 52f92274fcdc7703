"""Real git repositories for tests, with an isolated configuration and with fixed times."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from pathlib import Path

from jitid.capabilities.scan.blobs import Blobs
from jitid.capabilities.scan.git_repository import Repository
from jitid.capabilities.scan.history import ObjectSelection
from jitid.capabilities.scan.hits import Batch, Origin, Searcher
from jitid.redaction.token_format import checksum
from tests.real import need

WHEN = 1_795_000_000
"""The time of the first commit in seconds since the epoch. Each later commit is a minute later."""


def opaque(number: int) -> str:
    """Return an opaque token that no ledger knows."""
    digits = f"{number:032d}"
    return f"jitid_{digits}{checksum(digits.encode())}"


class Made:
    """A repository with a work tree."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self._program = need("git")
        self._minutes = 0
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", *options)

    def git(self, *arguments: str, given: bytes | None = None, folder: Path | None = None) -> str:
        """Run git in the repository, and return its output."""
        time = f"{WHEN + 60 * self._minutes} +0000"
        done = subprocess.run(
            [self._program, *arguments],
            cwd=folder or self.path,
            env={
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_AUTHOR_NAME": "A",
                "GIT_AUTHOR_EMAIL": "a@example.com",
                "GIT_AUTHOR_DATE": time,
                "GIT_COMMITTER_NAME": "C",
                "GIT_COMMITTER_EMAIL": "c@example.com",
                "GIT_COMMITTER_DATE": time,
            },
            input=given,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def write(self, name: str, text: str | bytes) -> None:
        """Write a file of the work tree."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def commit(self, files: dict[str, str | bytes], message: str = "work") -> str:
        """Commit files with these contents, and return the commit's id."""
        for name, text in files.items():
            self.write(name, text)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self._minutes += 1
        return self.git("rev-parse", "HEAD")

    def loose(self, oid: str) -> Path:
        """Return the file of an object that is not in a pack."""
        return self.path / ".git" / "objects" / oid[:2] / oid[2:]


class Searched:
    """The results of a search of a repository."""

    def __init__(self, path: Path | str, *ranges: str, unreachable: bool = False) -> None:
        repository = Repository(str(path))
        with closing(Blobs(repository, ObjectSelection(repository.resolved(ranges), unreachable))) as blobs:
            blobs.prepare(1)
            searcher = Searcher()
            for _ in blobs.search(searcher):
                pass
            self.batch: Batch = searcher.take()
            self.hits = blobs.located(self.batch.hits)

    @property
    def origins(self) -> dict[str, Origin]:
        """The origin of the hit at each place."""
        return {hit.place: hit.origin for hit in self.hits if hit.origin is not None}

    @property
    def places(self) -> list[tuple[str, int | None, str | None]]:
        """The path, line and commit of each hit."""
        return sorted(((hit.place, hit.line, hit.revision) for hit in self.hits), key=str)
