"""Read access to a git repository, also an untrusted one: git runs none of its programs and changes no file."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from jitid.errors import NotRunError, RefusedError, StorageError, UsageError
from jitid.system.processes import find_program
from jitid.values.record import Record
from jitid.values.text import quote, safe

# These settings replace values that make git run a program, or trust files that only speed it up. A repository's own
# configuration overrides a user's, and these override both.
_OVERRIDES = {
    "advice.graftFileDeprecated": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.commitGraph": "false",
    "core.multiPackIndex": "false",
    # git shows a larger file piece by piece, unless it is a delta, and keeps none of it in memory.
    "core.bigFileThreshold": "16m",
    "log.showSignature": "false",
    "protocol.allow": "never",
}
_PATIENCE = 60.0
"""Time limit of a short command, in seconds."""
_MOST_MEMORY = 2 << 30
"""Memory limit of a git process, in bytes: a delta of a few bytes can expand to gigabytes."""
_MOST_ANSWER = 1 << 20

_KEPT = ("PATH", "HOME", "XDG_CONFIG_HOME", "SUDO_UID", "TMPDIR", "USER", "LOGNAME")
"""Environment variables that git needs: to be found, and to find the user's configuration of trusted folders."""
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
"""Environment variables by which git names the repository to its hooks; they count if no path is named."""
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""The id of the empty tree, by the length of ids; git knows this tree without an object."""


class GitAnswer(Record):
    """The answer of git to a short command."""

    status: int
    output: bytes
    error: str
    """The error output, in English."""


class Repository:
    """A git repository; all git commands about it run through this class."""

    def __init__(self, path: str | None = None) -> None:
        """Find the repository of the folder `path`; without a path, of the hook that runs or of the current folder.

        Raises:
            UsageError: git is missing or too old, there is no repository, or its path contains a line break.
            RefusedError: git does not trust the owner of the repository.
            StorageError: git failed, or did not answer.

        """
        self.name = path or "."
        """The name that messages show."""
        self.place = path or "."
        """The folder in which git runs and from which it looks for the repository."""
        self._environment = _environment(naming=path is None)
        if not os.path.isdir(self.place):
            raise UsageError(f"{quote(self.name, 200)} is not a folder, and so not a git repository")
        try:
            self._program = os.path.abspath(find_program("git", os.environ.get("PATH", os.defpath)))
        except NotRunError:
            raise UsageError(
                "git is required to read a repository, and is not in PATH",
                "install git, or scan only the files: jitid scan PATH",
            ) from None
        answer = self.run(
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
            # An older git prints an option back that it does not know.
            raise UsageError(f"{quote(self._program, 200)} is too old", "git 2.31 or later is required")
        if len(lines) != 6:
            raise UsageError(f"the path of the repository {quote(self.name, 200)} contains a line break")
        self.folder = os.fsdecode(lines[0])
        """The folder of the repository's data; for a worktree, of the data that only this worktree has."""
        self.common = os.fsdecode(lines[1])
        """The folder of the data that all its worktrees share."""
        self.bare = lines[2] == b"true"
        self.shallow = lines[3] == b"true"
        self.width = 64 if lines[4] == b"sha256" else 40
        """Number of characters of an id."""

    def run(
        self,
        *arguments: str,
        input_data: bytes = b"",
        most: int = _MOST_ANSWER,
        keep_config: Sequence[str] = (),
    ) -> GitAnswer:
        """Return git's answer to a short command; `keep_config` has the same meaning as in `running`.

        Raises:
            StorageError: git did not answer in time, or answered more than `most` bytes.

        """
        with self.running(
            *arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE, keep_config=keep_config
        ) as process:
            try:
                output, error = process.communicate(input_data, _PATIENCE)
            except subprocess.TimeoutExpired:
                raise StorageError(
                    f"git did not answer about {quote(self.name, 200)} in {_PATIENCE:.0f} seconds"
                ) from None
        if len(output) > most:
            raise StorageError(f"git printed more than {most} bytes about {quote(self.name, 200)}")
        return GitAnswer(process.returncode, output, error.decode("utf-8", "replace"))

    @contextmanager
    def running(
        self,
        *arguments: str,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.DEVNULL,
        keep_config: Sequence[str] = (),
        memory: int = _MOST_MEMORY,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run git, and kill it when the context ends.

        `keep_config` names settings that keep the repository's value, for callers that only read them. `memory`
        limits the memory of the process, in bytes.
        """
        overrides = [f"{name}={value}" for name, value in _OVERRIDES.items() if name not in keep_config]
        process = subprocess.Popen(  # noqa: S603 - its path is absolute, and no shell reads the arguments
            [
                self._program,
                "--no-pager",
                "--no-replace-objects",
                "--no-optional-locks",
                "--literal-pathspecs",
                *(word for override in overrides for word in ("-c", override)),
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
        """Return the commit ids of ranges (gitrevisions(7)), with `^` before excluded commits.

        Raises:
            UsageError: a range names a commit that does not exist.

        """
        ids = []
        for word in words:
            left, dots, right = word.partition("..")
            if not dots:
                out, name = ("^", word[1:]) if word.startswith("^") else ("", word)
                ids.append(out + self._commit(name, word))
                continue
            symmetric = right.startswith(".")
            ends = [self._commit(end or "HEAD", word) for end in (left, right.removeprefix("."))]
            if symmetric:
                bases = self.run("merge-base", "--all", *ends).output.decode("ascii").split()
                ids += [*ends, *("^" + base for base in bases)]
            else:
                ids += ["^" + ends[0], ends[1]]
        return ids

    def _commit(self, name: str, word: str) -> str:
        answer = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        commit_id = answer.output.decode("ascii", "replace").strip()
        if answer.status or not _ID.fullmatch(commit_id):
            raise UsageError(
                f"{quote(word, 200)} is not a commit or a range of the repository {quote(self.name, 200)}",
                "expected FROM..TO; in CI, the clone may need its full history (fetch-depth: 0)",
            )
        return commit_id

    def _no_repository(self, answer: GitAnswer) -> UsageError | RefusedError | StorageError:
        name = quote(self.name, 200)
        if "dubious ownership" in answer.error:
            match = re.search(r"repository at '(.*)'", answer.error)
            path = match[1] if match else os.path.abspath(self.name)
            return RefusedError(
                f"the git repository {name} belongs to another user, and git refuses to read it",
                f"if you trust its owner: git config --global --add safe.directory {safe(path)}",
            )
        if "not a git repository" in answer.error or "must be run in a work tree" in answer.error:
            return UsageError(
                f"{name} is not in a git repository",
                "name one: jitid scan --git FOLDER; or scan files without --git",
            )
        lines = answer.error.strip().split("\n")
        return StorageError(
            f"git cannot read the repository {name}: {safe(lines[-1])[:300] or 'git gave no reason'}"
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
        # git must not fetch missing objects: a clone's origin may be a program (gitremote-helpers(7)).
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
    }


def _limit(pid: int, memory: int) -> None:
    """Limit the memory of a process, if the system can.

    The process has just started and has read no significant part of the repository yet.
    """
    try:
        from resource import RLIMIT_DATA, prlimit
    except ImportError:
        return
    with suppress(OSError, ValueError):
        prlimit(pid, RLIMIT_DATA, (memory, memory))
