"""The files of a policy folder: Cedar policies, a schema of uses, and test cases."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from jitid.errors import ConfigurationError, IntegrityError, OutputError, StorageError, UsageError
from jitid.system.files import open_to_others, trusted_uids
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.policy.evaluate import Policy

CEDAR = ".cedar"
CASES = ".test.toml"
USE = "use.cedarschema"
LARGEST = 64 << 20
"""Maximum bytes of a policy file."""


class Folder(Record):
    """The policy in a folder; each file with its name and its text."""

    path: str
    files: list[tuple[str, str]]
    use: str | None
    """The declaration of uses, if there is one."""
    cases: list[tuple[str, str]]
    refused: list[str]
    """Reasons why jitid would not issue by it: one for each file that others may write, or that is a link."""


def read_policy(folder: str) -> list[tuple[str, str]]:
    """Return names and texts of the Cedar files of a folder, sorted by name. Others may read them, but not write.

    Raises:
        ConfigurationError: a file is not UTF-8 text.
        IntegrityError: a file is not a regular file, or others may write it; or the folder is missing.
        StorageError: a file cannot be read.

    """
    return read_named(folder, [name for name in _listed(folder) if name.endswith(CEDAR)])


def read_named(folder: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the names and texts of files in a folder. Raises the errors of `read_policy`."""
    path = folder
    try:
        # A user who can write to the folder can add a policy.
        status = os.stat(folder)
        # Under root, the folder may belong to the user of the ledger.
        owners = {*trusted_uids(), status.st_uid} if os.geteuid() == 0 else trusted_uids()
        if open_to_others(status, owners):
            raise IntegrityError(f"the policy folder {folder} may be written by others", _closing(folder))
        files = []
        for name in names:
            path = os.path.join(folder, name)
            files.append((name, _read(path, owners)))
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the policy file {path} is not UTF-8", f"to find the position: jitid policy check {_word(path)}"
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise IntegrityError(
                f"the policy file {path} is a symbolic link, which is never followed",
                "put the file itself there",
            ) from error
        raise StorageError(f"the policy file {path} cannot be read: {error.strerror}") from error
    return files


def read_use(folder: str) -> str | None:
    """Return the declaration of uses in a folder; None without one. Raises the errors of `read_policy`."""
    return read_named(folder, [USE])[0][1] if os.path.lexists(os.path.join(folder, USE)) else None


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError as error:
        raise IntegrityError(
            f"the policy folder {folder} is missing",
            f"restore it from a backup, or make it: jitid policy init {folder}",
        ) from error
    except OSError as error:
        hint = "name the folder, not a file in it" if isinstance(error, NotADirectoryError) else None
        reason = (error.strerror or "error").lower()
        raise StorageError(f"the policy in {folder} cannot be read: {reason}", hint) from error


def _read(path: str, owners: Collection[int]) -> str:
    # Without O_NONBLOCK, opening a named pipe would wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        raise IntegrityError(f"the policy file {path} is a folder", "put the file itself there")
    with open(descriptor, encoding="utf-8") as file:
        if not stat.S_ISREG(mode):
            raise IntegrityError(f"the policy file {path} is not a regular file", "put the file itself there")
        if open_to_others(status, owners):
            raise IntegrityError(f"the policy file {path} may be written by others", _closing(path))
        return file.read()


def look_into(folder: str, names: Sequence[str] | None = None) -> Folder:
    """Return the policy in a folder, or in the named files of it, even if others may write it: it is only inspected.

    Raises:
        UsageError: it is not a folder, or a file in it cannot be read.

    """
    try:
        present = sorted(os.listdir(folder))
    except OSError as error:
        raise UsageError(f"{_shown(folder)} cannot be read: {(error.strerror or 'error').lower()}") from error
    chosen = present if names is None else sorted(names)
    refused = []
    if os.stat(folder).st_mode & 0o022:
        refused.append(_open_to_others(folder))
    texts: dict[str, str] = {}
    for name in {*chosen, *({USE} & set(present))}:
        if name.endswith((CEDAR, CASES)) or name == USE:
            path = name if folder == "." else os.path.join(folder, name)
            texts[name], reason = _look(path)
            if reason is not None and name.endswith(CEDAR):
                refused.append(reason)
    return Folder(
        folder,
        [(name, texts[name]) for name in chosen if name.endswith(CEDAR)],
        texts.get(USE),
        [(name, texts[name]) for name in chosen if name.endswith(CASES)],
        sorted(refused),
    )


def _look(path: str) -> tuple[str, str | None]:
    """Return the text of a file, and the reason why jitid would not issue by it."""
    try:
        linked = os.path.islink(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError(f"{_shown(path)} is not a regular file", "put the file itself there")
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{_shown(path)} cannot be read: {(error.strerror or 'error').lower()}") from error
    if len(data) > LARGEST:
        raise UsageError(f"{_shown(path)} is larger than {LARGEST >> 20} MiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8")) + 1
        raise UsageError(f"{path}:{line}:{column}: this is not UTF-8") from error
    if linked:
        return text, f"{path} is a symbolic link; the authority refuses to issue with it"
    if mode & 0o022:
        return text, _open_to_others(path)
    return text, None


def _open_to_others(path: str) -> str:
    return f"{path} may be written by others; the authority refuses to issue with it: {_closing(path)}"


def _closing(path: str) -> str:
    """Return the command that removes write access of others to a file."""
    if os.stat(path).st_mode & 0o022:
        return f"chmod go-w {_word(path)}"
    return f"if you trust its content: chown {os.geteuid()} {_word(path)}"


def _shown(path: str) -> str:
    """Return a path for a message as the user stated it; a possible token is redacted."""
    return quote(path, 1_000)


def _word(path: str) -> str:
    # Imported only when it is needed.
    from shlex import quote as word

    return word(path)


def write_new(folder: str, files: Sequence[tuple[str, str]]) -> None:
    """Write files into an empty or new folder, readable for all users: files 0644, the folder 0755.

    Raises:
        UsageError: the folder is a link, not a folder, or not empty.
        OutputError: it cannot be written; the files written so far are removed.

    """
    is_new = False
    try:
        try:
            os.mkdir(folder, 0o755)
            is_new = True
        except FileExistsError:
            pass
        folder_descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise UsageError(
                f"{_shown(folder)} is not a folder, or is a symbolic link, which is never followed",
                "name a new folder",
            ) from error
        raise _unwritten(folder, error) from error
    written: list[str] = []
    try:
        if os.listdir(folder_descriptor):
            raise UsageError(f"{_shown(folder)} is not empty; nothing was changed", "name a new folder")
        if is_new:
            # Independent of the umask: readers of a policy may be other users than its issuer.
            os.fchmod(folder_descriptor, 0o755)
        for name, text in files:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o644, dir_fd=folder_descriptor)
            written.append(name)
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o644)
                file.write(text.encode())
                file.flush()
                os.fsync(descriptor)
        os.fsync(folder_descriptor)
    except OSError as error:
        _remove(folder_descriptor, written, folder if is_new else None)
        raise _unwritten(folder, error) from error
    except BaseException:
        _remove(folder_descriptor, written, folder if is_new else None)
        raise
    finally:
        os.close(folder_descriptor)


def _remove(folder_descriptor: int, names: Sequence[str], folder: str | None) -> None:
    from contextlib import suppress

    for name in names:
        with suppress(OSError):
            os.unlink(name, dir_fd=folder_descriptor)
    if folder is not None:
        with suppress(OSError):
            os.rmdir(folder)


def _unwritten(folder: str, error: OSError) -> OutputError:
    return OutputError(f"{_shown(folder)} could not be written: {(error.strerror or 'error').lower()}")


def named(path: str) -> Folder:
    """Return the policy in a folder, or a policy of a single file.

    Raises:
        UsageError: there is none, or it cannot be read.

    """
    if os.path.isdir(path):
        folder = look_into(path)
        if not folder.files:
            raise UsageError(
                f"{quote(path, 200)} has no {CEDAR} file", "name a policy folder or a policy file"
            )
        return folder
    (folder,) = grouped([path], CEDAR)
    return folder


def grouped(paths: Sequence[str], suffix: str) -> list[Folder]:
    """Return the folders that paths name: complete folders, and folders with only the named files.

    Files of one folder belong together. Raises UsageError for a path that is neither a folder nor such a file.
    """
    folders: dict[str, list[str] | None] = {}
    for path in paths:
        if os.path.isdir(path):
            folders[path] = None
            continue
        folder, name = os.path.split(path)
        if not name.endswith(suffix):
            from jitid.policy.default import DEFAULT_NAME

            raise UsageError(
                f"{quote(path, 200)} is neither a folder nor a file whose name ends in {suffix}",
                f"such as {DEFAULT_NAME}" if suffix == CEDAR else f"such as release{CASES}",
            )
        file_names = folders.setdefault(folder or ".", [])
        if file_names is not None and name not in file_names:
            file_names.append(name)
    return [look_into(folder, names) for folder, names in folders.items()]


def place_of(folder: Folder, file: str) -> str:
    """Return the path of a policy's file, in the form that the user named."""
    return os.path.join(folder.path, file) if os.path.isdir(folder.path) and folder.path != "." else file


def must_hold_rules(folder: Folder) -> None:
    """Raise ConfigurationError if a folder has no policy."""
    if not folder.files:
        raise ConfigurationError(f"{quote(folder.path, 200)} has no {CEDAR} file", "name a policy folder")


def usable(folder: Folder) -> Policy:
    """Return the policy in a folder.

    Raises ConfigurationError, with the place of the error in the form of `policy check`.
    """
    from jitid.policy.evaluate import Policy

    must_hold_rules(folder)
    is_folder = os.path.isdir(folder.path)
    try:
        policy = Policy(folder.files)
    except ConfigurationError as error:
        from shlex import quote as word

        from jitid.policy.check import first_error

        message = first_error(folder.files, folder.path if is_folder else ".") or error.message
        hint = f"to list all errors: jitid policy check {word(folder.path)}" if is_folder else error.hint
        raise ConfigurationError(message, hint) from None
    policy.declare_use(folder.use)
    return policy
