"""The pre-commit hook of a git repository: its folder, its text, and its installation."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Sequence
from contextlib import suppress

from jitid.capabilities.scan.git_repository import Repository
from jitid.errors import OutputError, UsageError
from jitid.values.record import Record
from jitid.values.text import quote

NAME = "pre-commit"
_SETTING = "core.hooksPath"
_MARK = "# Made by `jitid scan --install-hook`, which writes it anew."
_LONGEST = 1 << 16
_OF_REPOSITORY = (b"local", b"worktree")
"""The scopes of settings (git-config(1)) that the author of the repository may have written."""

_TEXT = """\
#!/bin/sh
{mark}
# Searches the staged changes for secrets of jitid.
jitid() {{
    if [ -x {program} ]; then
        {command} "$@"
    else
        command jitid "$@"
    fi
}}
found=$(jitid scan --staged --fail-on medium --format table 2>&1)
status=$?
if [ "$status" -eq 0 ]; then
    exit 0
fi
printf '%s\\n' "$found" >&2
if [ "$status" -eq 10 ]; then
    echo 'jitid: commit rejected: it contains a secret; remove the secret, and stage that change' >&2
    echo 'jitid: if another person may have seen the secret, revoke it: jitid scan --staged --revoke' >&2
else
    echo "jitid: commit rejected: the scan failed (status $status), so the commit may contain a secret" >&2
fi
echo 'jitid: to commit without the scan: git commit --no-verify' >&2
exit 1
"""


class Hooks(Record):
    """The folder in which git looks for hooks."""

    folder: str
    own: bool
    """Whether only this repository uses the folder."""


class InstalledHook(Record):
    """The result of an installation."""

    path: str
    state: str
    """`installed`, `updated` or `present`."""
    hooks: Hooks


def install(repository: Repository, program: Sequence[str]) -> InstalledHook:
    """Write the hook where git looks for it; `program` is the command that starts jitid.

    Raises:
        UsageError: another hook is there, the repository is bare, or it sets a hooks folder outside of itself; nothing
            was changed.
        OutputError: the hook cannot be written.

    """
    hooks = hooks_of(repository)
    path = os.path.join(hooks.folder, NAME)
    text = text_of(program)
    try:
        old_text = _read(path)
        if old_text == text:
            return InstalledHook(path, "present", hooks)
        if os.path.lexists(path) and (old_text is None or _MARK not in old_text.split("\n")[1:2]):
            raise UsageError(
                f"there is another hook already: {quote(path, 200)}; nothing was changed",
                "add to it: jitid scan --staged --fail-on medium || exit 1",
            )
        os.makedirs(hooks.folder, exist_ok=True)
        _write(path, text, replaces=old_text is not None)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise OutputError(f"the hook {quote(path, 200)} cannot be written: {reason}") from error
    return InstalledHook(path, "installed" if old_text is None else "updated", hooks)


def text_of(program: Sequence[str]) -> str:
    """Return the text of the hook for the command that starts jitid."""
    return _TEXT.format(mark=_MARK, program=shlex.quote(program[0]), command=shlex.join(program))


def hooks_of(repository: Repository) -> Hooks:
    """Return where git looks for the hooks of a repository.

    Raises UsageError for a bare one, and for a setting of the repository that leads out of it.
    """
    if repository.bare:
        raise UsageError(
            f"the git repository {quote(repository.name, 200)} is bare, and no commits are made in it",
            "install the hook where you commit; on a server: jitid scan --git --commits OLD..NEW",
        )
    answer = repository.run(
        "config", "--show-scope", "--null", "--type=path", "--get", _SETTING, keep_config=(_SETTING,)
    )
    scope, _, value = answer.output.removesuffix(b"\0").partition(b"\0")
    is_own = bool(answer.status) or scope in _OF_REPOSITORY
    folder = os.path.join(repository.common, "hooks")
    if value:
        top = repository.run("rev-parse", "--show-toplevel").output.removesuffix(b"\n")
        folder = os.path.join(os.fsdecode(top), os.fsdecode(value))
    if is_own and not any(_is_in(folder, parent) for parent in (_top(repository.place), repository.common)):
        raise UsageError(
            f"core.hooksPath of the repository is outside of the repository: {quote(folder, 200)}; "
            "nothing was changed",
            "if that is correct, add to the hook there: jitid scan --staged --fail-on medium || exit 1",
        )
    return Hooks(folder, own=is_own)


def _top(path: str) -> str:
    """Return the top of the work tree that contains a folder; the repository's core.worktree does not count."""
    folder = os.path.realpath(path)
    while not os.path.lexists(os.path.join(folder, ".git")) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder


def _is_in(folder: str, parent: str) -> bool:
    parent = os.path.realpath(parent)
    return os.path.commonpath([parent, os.path.realpath(folder)]) == parent


def _read(path: str) -> str | None:
    """Return the contents of a file; None if it is missing, a link or unreadable. Invalid UTF-8 becomes U+FFFD."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.read(descriptor, _LONGEST).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _write(path: str, text: str, *, replaces: bool) -> None:
    """Write an executable file, completely or not at all.

    Without `replaces`, raise FileExistsError for a file that another process made meanwhile; that file stays.
    """
    aside = f"{path}.{secrets.token_hex(8)}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o755)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if replaces:
            os.rename(aside, path)
        else:
            os.link(aside, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(aside)
