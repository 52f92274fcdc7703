"""`scan --git` of a history, against git commands that only output the same objects."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.bench import ground
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns, seconds
from tests.real import need

_FILES = 100
_COMMITS = 300
_LINES = 220
"""The number of lines of a file, each about 45 bytes: 300 MB in 30,000 versions of files."""
_WORDS = """agent task scope delegator expires issued return import class value request token none self for while with
result query ledger record policy limit parent audience chain event state error"""
_FOUND = 10
"""The exit status of a scan with findings."""


def rows(place: Ground) -> Iterator[Row]:
    """Measure whole processes on a packed history."""
    folder = place.new("scan-git")
    command = ground.Command(folder)
    authority = ground.authority(command.ledger)
    (issued,) = ground.issue(authority, [ground.request(1, "opaque")])
    authority.close()
    repository = _repository(folder, issued.credentials[0].secret.reveal())
    objects = _objects(repository)
    ways: dict[str, Sequence[str]] = {"all its forms": (), "opaque tokens alone": ("--only", "opaque")}
    for name, options in ways.items():
        line = command("scan", "--git", str(repository), "--fail-on", "low", "--format", "json", *options)
        found = in_turns(
            place.rounds,
            {
                "scan": lambda line=line: seconds(partial(_scan, command, line)),  # type: ignore[misc]  # the default binds it now
                "git": lambda: seconds(partial(_cat, repository, objects)),
            },
        )
        yield Row(
            f"`jitid scan --git`, {name}, 300 MB in 30,000 versions of files, packed, whole process",
            Series("scan --git", found["scan"], duration),
            Series("git cat-file --batch of the same objects", found["git"], duration),
            at_most(1.5),
        )
    shutil.rmtree(repository)


def _repository(folder: Path, token: str) -> Path:
    """Make a repository in which each commit changes a few lines of each file; one old version has a token."""
    repository = folder / "repository"
    _git(folder, "init", "-q", "--bare", "-b", "main", str(repository))
    with subprocess.Popen(
        [need("git"), "fast-import", "--quiet"], cwd=repository, stdin=subprocess.PIPE, env=_environment()
    ) as process:
        assert process.stdin is not None
        for piece in _stream(token):
            process.stdin.write(piece)
    assert process.returncode == 0
    _git(repository, "repack", "-a", "-d", "-f", "-q", "--window=10", "--depth=50")
    return repository


def _stream(token: str) -> Iterator[bytes]:
    chance = random.Random(1)
    files = [[_line(chance) for _ in range(_LINES)] for _ in range(_FILES)]
    for number in range(_COMMITS):
        yield b"commit refs/heads/main\ncommitter C <c@example.com> %d +0000\ndata 4\nwork\n" % (
            1_795_000_000 + number
        )
        for name, lines in enumerate(files):
            for _ in range(3):
                lines[chance.randrange(_LINES)] = _line(chance)
            text = b"".join(lines)
            if (number, name) == (_COMMITS // 2, 0):
                text += f"TOKEN={token}\n".encode()
            yield b"M 644 inline src/part%d/file%d.py\ndata %d\n%b\n" % (name % 10, name, len(text), text)


def _line(chance: random.Random) -> bytes:
    words = " ".join(chance.choices(_WORDS.split(), k=chance.randrange(2, 9)))
    return f"{'    ' * chance.randrange(4)}{words} = {chance.getrandbits(40):x}\n".encode()


def _objects(repository: Path) -> Path:
    """Write the list of the objects to read: blobs, commits and tags."""
    listed = _git(repository, "rev-list", "--objects", "--all", "--no-object-names")
    kinds = _git(repository, "cat-file", "--batch-check=%(objecttype) %(objectname)", given=listed)
    path = repository / "objects.list"
    path.write_bytes(
        b"".join(line.split()[1] + b"\n" for line in kinds.splitlines() if not line.startswith(b"tree"))
    )
    return path


def _scan(command: ground.Command, line: Sequence[str]) -> None:
    done = subprocess.run(line, env=command.environment, stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == _FOUND


def _cat(repository: Path, objects: Path) -> None:
    with objects.open("rb") as given, Path(os.devnull).open("wb") as nothing:
        subprocess.run(
            [need("git"), "cat-file", "--batch", "--buffer"],
            cwd=repository,
            stdin=given,
            stdout=nothing,
            env=_environment(),
            check=True,
        )


def _git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(
        [need("git"), *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        env=_environment(),
        check=True,
    ).stdout


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
