"""The policy that a line names: the one in force, a folder, or some files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jitid.authority.open_local import home_path, policy_files, policy_place
from jitid.config.policy_files import CASES, CEDAR, USE, Folder, look_into, read_named
from jitid.errors import ConfigurationError, UsageError
from jitid.policy.default import DEFAULT_NAME, default_files
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation
    from jitid.policy.evaluate import Policy

SHIPPED = "the policy that jitid ships"


def in_force(cli: Invocation) -> Folder:
    """Return the policy in force for this line, with the same file checks as for issuing.

    Raises:
        ConfigurationError: there is none.
        IntegrityError: a file of it is a link, or others can write to it.
        StorageError: it cannot be read.

    """
    config = cli.config()
    home = home_path(config)
    policy_path, files = policy_place(config, home), policy_files(config, home)
    if policy_path is None:
        return shipped()
    folder = look_into(policy_path)
    use = read_named(policy_path, [USE]) if os.path.lexists(os.path.join(policy_path, USE)) else []
    return folder._replace(files=files, use=use[0][1] if use else None)


def shipped() -> Folder:
    """Return the default policy, which has no cases."""
    return Folder(SHIPPED, list(default_files()), None, [], [])


def named(path: str) -> Folder:
    """Return the policy in a folder, or a policy of a single file.

    Raises:
        UsageError: there is none, or it cannot be read.

    """
    if os.path.isdir(path):
        folder = look_into(path)
        if not folder.files:
            raise UsageError(
                f"{quote(path, 200)} holds no {CEDAR} file", "name the folder of a policy, or a file of it"
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
            raise UsageError(
                f"{quote(path, 200)} is neither a folder nor a file whose name ends in {suffix}",
                f"{DEFAULT_NAME} is one" if suffix == CEDAR else f"release{CASES} is one",
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
        raise ConfigurationError(
            f"{quote(folder.path, 200)} holds no {CEDAR} file", "name the folder of the policy"
        )


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
        hint = f"all that is wrong: jitid policy check {word(folder.path)}" if is_folder else error.hint
        raise ConfigurationError(message, hint) from None
    policy.declare_use(folder.use)
    return policy


def stored(cli: Invocation, digest: str) -> Folder:
    """Return an earlier policy from the ledger, by its digest.

    Raises:
        NotFoundError: there is none.
        UsageError: several policies match the digest, or it is invalid.

    """
    from jitid.authority.open import open_authority
    from jitid.capabilities.decisions.operations import StoredPolicy

    files = open_authority(cli.config()).perform(StoredPolicy(digest=digest))
    return Folder(f"the ledger's policy {digest}", list(files), None, [], [])


def compared(cli: Invocation, word: str) -> Folder:
    """Return the policy that a line names: `current`, `default`, a folder, a file, or a digest in the ledger.

    Raises UsageError and NotFoundError for any other word.
    """
    if word == "current":
        return in_force(cli)
    if word == "default":
        return shipped()
    if os.path.lexists(word):
        return named(word)
    if len(word) >= 4 and set(word.lower()) <= set("0123456789abcdef"):
        return stored(cli, word)
    raise UsageError(
        f"{quote(word, 200)} is no policy", "name a folder, a file, `current`, `default` or a digest"
    )
