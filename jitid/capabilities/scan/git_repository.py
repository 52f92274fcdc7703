"""Git, asked about a repository that may be anybody's: nothing that it configures is run, and nothing in it changed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple

from jitid.errors import NotRunError, RefusedError, StorageError, UsageError
from jitid.system.programs import find
from jitid.values.text import quote, safe

# What would make git run a program, or believe what only speeds it up: a repository's own configuration comes before
# a user's, and after this.
_OVERRIDES = {
    "advice.graftFileDeprecated": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.commitGraph": "false",
    "core.multiPackIndex": "false",
    # Of what is larger, git shows a piece at a time where it is no delta, and keeps none of it.
    "core.bigFileThreshold": "16m",
    "log.showSignature": "false",
    "protocol.allow": "never",
}
_PATIENCE = 60.0
"""Seconds for a short question."""
_MOST_MEMORY = 2 << 30
"""How much memory a git process may take for itself: a delta of a few bytes may spell gigabytes."""
_MOST_ANSWER = 1 << 20

_KEPT = ("PATH", "HOME", "XDG_CONFIG_HOME", "SUDO_UID", "TMPDIR", "USER", "LOGNAME")
"""What git needs of the environment: where it is, and where the user's own configuration says what is trusted."""
_NAMING = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_CEILING_DIRECTORIES",
)
"""What git itself tells its hooks about the repository; it counts where no other one is named."""
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""The id of a tree without an entry, which git knows without an object, by the length of ids."""


class GitAnswer(NamedTuple):
    """What git said to a short question."""

    status: int
    output: bytes
    error: str
    """What it complained of, in English."""


class Repository:
    """A git repository, and the one way to ask git about it."""

    def __init__(self, path: str | None = None) -> None:
        """Find the one that the folder `path` is in; without a path the one that git tells a hook of, or that is here.

        Raises:
            UsageError: there is no git, or no repository.
            RefusedError: git does not trust whoever owns it.
            StorageError: git failed, or did not answer.

        """
        self.name = path or "."
        """As it is shown."""
        self.place = path or "."
        """From where on git looks for it."""
        self._environment = _environment(naming=path is None)
        if not os.path.isdir(self.place):
            raise UsageError(f"{quote(self.name, 200)} is no folder, and so no git repository")
        try:
            self._program = os.path.abspath(find("git", os.environ.get("PATH", os.defpath)))
        except NotRunError:
            raise UsageError(
                "there is no git in PATH, which reads the history of a repository",
                "install git, or scan the files alone: jitid scan PATH",
            ) from None
        answer = self.ask(
            "rev-parse",
            "--path-format=absolute",
            "--git-dir",
            "--git-common-dir",
            "--is-bare-repository",
            "--is-shallow-repository",
            "--show-object-format",
        )
        if answer.status:
            raise self._no_repository(answer)
        lines = answer.output.split(b"\n")
        if lines[0].startswith(b"--"):
            # It gives back what it does not know.
            raise UsageError(f"{quote(self._program, 200)} is too old", "git 2.31 or a later one is needed")
        if len(lines) != 6:
            raise UsageError(f"the path of the repository {quote(self.name, 200)} has a line break in it")
        self.folder = os.fsdecode(lines[0])
        """Where its data is; of a worktree what is its own."""
        self.common = os.fsdecode(lines[1])
        """Where the data of all its worktrees is."""
        self.bare = lines[2] == b"true"
        self.shallow = lines[3] == b"true"
        self.width = 64 if lines[4] == b"sha256" else 40
        """How many characters an id has."""

    def ask(
        self, *arguments: str, given: bytes = b"", most: int = _MOST_ANSWER, config: Sequence[str] = ()
    ) -> GitAnswer:
        """Return what git answers to a short question; `config` is as `running` has it.

        Raises:
            StorageError: it did not answer in time, or answered more than `most` bytes.

        """
        with self.running(
            *arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE, config=config
        ) as process:
            try:
                output, error = process.communicate(given, _PATIENCE)
            except subprocess.TimeoutExpired:
                raise StorageError(
                    f"git did not answer about {quote(self.name, 200)} in {_PATIENCE:.0f} seconds"
                ) from None
        if len(output) > most:
            raise StorageError(f"git answered more than {most} bytes about {quote(self.name, 200)}")
        return GitAnswer(process.returncode, output, error.decode("utf-8", "replace"))

    @contextmanager
    def running(
        self,
        *arguments: str,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.DEVNULL,
        config: Sequence[str] = (),
        memory: int = _MOST_MEMORY,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Let git run, and end it when that is left.

        `config` names settings that are left to the repository, for whoever only wants to know them; `memory` is how
        many bytes it may take for itself.
        """
        overrides = [f"{name}={value}" for name, value in _OVERRIDES.items() if name not in config]
        process = subprocess.Popen(  # noqa: S603 - its path is absolute, and no shell reads the arguments
            [
                self._program,
                "--no-pager",
                "--no-replace-objects",
                "--no-optional-locks",
                "--literal-pathspecs",
                *(word for one in overrides for word in ("-c", one)),
                *arguments,
            ],
            cwd=self.place,
            env=self._environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            _limit(process.pid, memory)
            yield process
        finally:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
            if process.poll() is None:
                process.kill()
            process.wait()

    def resolved(self, words: Iterable[str]) -> list[str]:
        """Return the ids of the commits that ranges mean (gitrevisions(7)), with `^` before those that are left out.

        Raises:
            UsageError: one names what is not there.

        """
        ids = []
        for word in words:
            left, dots, right = word.partition("..")
            if not dots:
                out, name = ("^", word[1:]) if word.startswith("^") else ("", word)
                ids.append(out + self._commit(name, word))
                continue
            both = right.startswith(".")
            ends = [self._commit(end or "HEAD", word) for end in (left, right.removeprefix("."))]
            if both:
                bases = self.ask("merge-base", "--all", *ends).output.decode("ascii").split()
                ids += [*ends, *("^" + base for base in bases)]
            else:
                ids += ["^" + ends[0], ends[1]]
        return ids

    def _commit(self, name: str, word: str) -> str:
        answer = self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        found = answer.output.decode("ascii", "replace").strip()
        if answer.status or not _ID.fullmatch(found):
            raise UsageError(
                f"{quote(word, 200)} names no commits of the repository {quote(self.name, 200)}",
                "a range is FROM..TO; a clone that CI makes may need its whole history for it (fetch-depth: 0)",
            )
        return found

    def _no_repository(self, answer: GitAnswer) -> UsageError | RefusedError | StorageError:
        shown = quote(self.name, 200)
        if "dubious ownership" in answer.error:
            place = re.search(r"repository at '(.*)'", answer.error)
            path = place[1] if place else os.path.abspath(self.name)
            return RefusedError(
                f"the git repository {shown} belongs to another user, and git does not read it",
                f"if you trust its owner: git config --global --add safe.directory {safe(path)}",
            )
        if "not a git repository" in answer.error or "must be run in a work tree" in answer.error:
            return UsageError(
                f"{shown} is in no git repository",
                "name one: jitid scan --git FOLDER; or scan files without --git",
            )
        lines = answer.error.strip().split("\n")
        return StorageError(
            f"git cannot read the repository {shown}: {safe(lines[-1])[:300] or 'it says not why'}"
        )


def _environment(*, naming: bool) -> dict[str, str]:
    names = (*_KEPT, *_NAMING) if naming else _KEPT
    return {
        **{name: os.environ[name] for name in names if name in os.environ},
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": os.devnull,
        # What is missing stays missing: a clone's origin may be a program (gitremote-helpers(7)).
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
    }


def _limit(pid: int, memory: int) -> None:
    """Bound the memory of a process where that can be done; it has read nothing of the repository that counts yet."""
    try:
        from resource import RLIMIT_DATA, prlimit
    except ImportError:
        return
    with suppress(OSError, ValueError):
        prlimit(pid, RLIMIT_DATA, (memory, memory))
