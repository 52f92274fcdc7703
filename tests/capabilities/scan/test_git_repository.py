"""Repositories of other people: their configured programs do not run, and hidden objects are found."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from jitid.capabilities.scan import git_repository
from jitid.capabilities.scan.git_repository import Repository
from jitid.capabilities.scan.history import MISSING
from jitid.errors import RefusedError, StorageError, UsageError
from tests.capabilities.scan.gitrepo import WHEN, Made, Searched, opaque
from tests.real import need_root


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Return a new repository."""
    return Made(tmp_path / "repo")


def test_nothing_that_a_repository_configures_is_run(made: Made, tmp_path: Path) -> None:
    """No program runs for work tree files, for signatures, to fetch missing objects, or as a hook."""
    canary = tmp_path / "canary"
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {canary}\nexit 1\n')
    program.chmod(0o700)
    made.commit({"a": opaque(1), "b": opaque(2), ".gitattributes": "* diff=evil filter=evil\n"})
    gone = made.git("rev-parse", "HEAD:b")
    made.loose(gone).unlink()
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "reference-transaction", "fsmonitor-watchman", "pre-commit"):
        (hooks / hook).symlink_to(program)
    for name, value in {
        "core.fsmonitor": program,
        "core.hooksPath": hooks,
        "core.pager": program,
        "core.editor": program,
        "core.sshCommand": program,
        "core.gitProxy": program,
        "core.askPass": program,
        "core.alternateRefsCommand": program,
        "credential.helper": program,
        "diff.external": program,
        "diff.evil.command": program,
        "diff.evil.textconv": program,
        "filter.evil.smudge": program,
        "filter.evil.clean": program,
        "gpg.program": program,
        "log.showSignature": "true",
        "alias.cat-file": f"!{program}",
        "alias.rev-list": f"!{program}",
        "pager.rev-list": program,
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": f"ext::{program}",
        "remote.origin.promisor": "true",
        "protocol.ext.allow": "always",
        "protocol.allow": "always",
        "uploadpack.packObjectsHook": program,
    }.items():
        made.git("config", name, str(value))
    found = Searched(made.path)
    assert found.batch.tally.named == {MISSING: [gone]}
    assert [hit.place for hit in found.hits] == ["a"]
    Searched(made.path, "HEAD")
    Searched(made.path, unreachable=True)
    assert not canary.exists()
    # The programs would run: plain git runs them for missing objects and for the work tree.
    with pytest.raises(AssertionError):
        made.git("cat-file", "-p", gone)
    assert canary.exists()


def test_nothing_in_a_repository_is_changed(made: Made) -> None:
    """No file is written and no time is changed. Even the index is not refreshed."""
    made.commit({"a": opaque(1)})
    made.write("a", "touched")
    before = _state(made.path)
    Searched(made.path)
    Searched(made.path, "HEAD")
    assert _state(made.path) == before


def _state(folder: Path) -> dict[str, tuple[int, int, int]]:
    files = {str(path): path.lstat() for path in sorted(folder.rglob("*"))}
    return {name: (one.st_mtime_ns, one.st_ino, one.st_size) for name, one in files.items()}


def test_history_is_not_hidden(made: Made) -> None:
    """A replacement, a graft and a false commit graph do not count."""
    first = made.commit({"a": opaque(1)})
    made.commit({"a": opaque(2)})
    last = made.commit({"a": ""})
    made.git("replace", "--graft", last)
    made.git("replace", made.git("rev-parse", f"{first}:a"), made.git("rev-parse", "HEAD:a"))
    (made.path / ".git" / "info" / "grafts").write_text(f"{last}\n")
    assert made.git("rev-list", "--count", "main") == "1"
    assert [(hit.place, hit.line) for hit in Searched(made.path).hits] == [("a", 1), ("a", 1)]


def test_the_environment_of_git_is_none_of_a_named_repository(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git hook has variables that name another repository. They count only if no repository is named."""
    made.commit({"a": opaque(1)})
    other = Made(tmp_path / "other")
    other.commit({"b": opaque(2)})
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_TRACE", str(trace))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "nonsense")
    assert [hit.place for hit in Searched(made.path).hits] == ["a"]
    assert Repository().folder == str(other.path / ".git")
    assert not trace.exists()


def test_what_is_no_repository_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git gets an error too."""
    with pytest.raises(UsageError, match="is not in a git repository"):
        Repository(str(tmp_path))
    with pytest.raises(UsageError, match="is not a folder"):
        Repository(str(tmp_path / "nothing"))
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    with pytest.raises(UsageError, match="is not in a git repository"):
        Repository(str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="is not in PATH"):
        Repository(str(tmp_path))


def test_an_old_git_is_told(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old git prints an unknown option unchanged."""
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho --path-format=absolute\necho .git\n")
    old.chmod(0o700)
    monkeypatch.setenv("PATH", str(old.parent))
    with pytest.raises(UsageError, match="is too old"):
        Repository(str(made.path))


def test_a_repository_of_another_user_is_refused_with_the_remedy(made: Made) -> None:
    """Git does not trust the repository and prints the remedy. jitid does not trust it before that either."""
    need_root()
    made.commit({"a": opaque(1)})
    for path in (made.path, made.path / ".git"):
        os.chown(path, 4711, 4711)
    with pytest.raises(RefusedError, match="belongs to another user") as refused:
        Repository(str(made.path))
    assert refused.value.hint == (
        f"if you trust its owner: git config --global --add safe.directory {made.path}"
    )


def test_a_broken_configuration_is_told(made: Made) -> None:
    """The message has the text of git, with control characters removed."""
    (made.path / ".git" / "config").write_text("[core\x1b[31m\n")
    with pytest.raises(StorageError, match=r"git cannot read the repository .*bad config") as refused:
        Repository(str(made.path))
    assert "\x1b" not in str(refused.value)


def test_a_repository_that_gives_no_answer_is_given_up(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of a FIFO instead of a file waits forever."""
    (made.path / ".git" / "config").unlink()
    os.mkfifo(made.path / ".git" / "config")
    monkeypatch.setattr(git_repository, "_PATIENCE", 0.3)
    with pytest.raises(StorageError, match="did not answer"):
        Repository(str(made.path))


@pytest.mark.parametrize("words", ["nothing", "main..nothing", "--all", "-n1", "main:a", "", "^"])
def test_a_range_that_means_no_commits_is_refused(made: Made, words: str) -> None:
    """It is not passed to git as an option either."""
    made.commit({"a": ""})
    with pytest.raises(UsageError, match="is not a commit or a range"):
        Repository(str(made.path)).resolved([words])


def test_names_are_given_back_as_they_are(made: Made) -> None:
    """Names may have line breaks, escapes and bytes that are not UTF-8. Output formats must make them safe."""
    names = [b"is missing", b"a\nb", b"\x1b[31m\xff", b'"quoted"', b" ", b"-n", b":(glob)*"]
    entries = b"".join(
        b"100644 blob %b\t%b\0"
        % (made.git("hash-object", "-w", "--stdin", given=opaque(number).encode()).encode(), name)
        for number, name in enumerate(names)
    )
    tree = made.git("mktree", "-z", given=entries)
    made.git("update-ref", "refs/heads/main", made.git("commit-tree", "-m", "m", tree))
    found = Searched(made.path)
    assert {os.fsencode(hit.place) for hit in found.hits} == set(names)
    assert {one.time for one in found.origins.values()} == {WHEN}


def test_a_time_that_no_calendar_has_is_none(made: Made) -> None:
    """A commit may contain any text as its time."""
    tree = made.git("write-tree")
    for text in (b"99999999999999999999 +0000", b"", b"-5 +0000"):
        raw = b"tree %b\nauthor a <a@b> %b\ncommitter a <a@b> 1 +0000\n\n%b" % (
            tree.encode(),
            text,
            opaque(1).encode(),
        )
        commit = made.git("hash-object", "-w", "-t", "commit", "--literally", "--stdin", given=raw)
        (made.path / ".git" / "refs" / "heads" / "main").write_text(f"{commit}\n")
        (one,) = Searched(made.path).origins.values()
        assert one.time in (None, 0)


def test_git_is_let_nothing_but_what_it_needs(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret of this process's environment is in the environment of git."""
    monkeypatch.setenv("JITID_TOKEN", opaque(1))
    with Repository(str(made.path)).running("cat-file", "--batch", stdin=subprocess.PIPE) as process:
        assert opaque(1).encode() not in Path(f"/proc/{process.pid}/environ").read_bytes()
