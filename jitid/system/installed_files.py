"""The completions and man pages of jitid, and the folders in which shells and `man` search for them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Literal, assert_never

from jitid.errors import NotFoundError, OutputError
from jitid.system.files import write_public
from jitid.system.xdg import shared_configuration, shared_data, shared_data_of_the_system
from jitid.values.record import Record
from jitid.values.text import quote

Reader = Literal["bash", "zsh", "fish", "man"]
"""The reader of a file: a shell, or `man`."""

PROGRAM = "jitid"

_MARK = b"generated from the command tree"
"""A text in each of jitid's completions."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PAGE = re.compile(r"jitid[a-z0-9-]*\.[157]")

SHELLS: tuple[Reader, ...] = ("bash", "zsh", "fish")

_SOURCES: dict[Reader, str] = {"bash": "jitid.bash", "zsh": "_jitid", "fish": "jitid.fish"}
SHARED: dict[Reader, str] = {
    "bash": "share/bash-completion/completions/jitid",
    "zsh": "share/zsh/site-functions/_jitid",
    "fish": "share/fish/vendor_completions.d/jitid.fish",
    "man": "share/man",
}
"""The path of a completion, and the folder of the pages, below the prefix of an installation."""
_NAMES: dict[Reader, str] = {"bash": "jitid", "zsh": "_jitid", "fish": "jitid.fish"}


class Shipped(Record):
    """A file that is part of jitid."""

    reader: Reader
    source: str
    """The path of the file."""
    name: str
    """The path below a folder that the reader searches."""

    def text(self) -> str:
        """Return its content."""
        with open(self.source, encoding="utf-8") as file:
            return file.read()


class InstalledFile(Record):
    """The file that a reader finds."""

    reader: Reader
    places: tuple[str, ...]
    """The paths that the reader tries, in its order; for `man`, the paths of `jitid.1`."""
    path: str | None
    """The first of these paths with a file."""
    current: bool
    """Whether it equals jitid's file; for `man`, whether all pages do."""


def completion(shell: Reader) -> Shipped:
    """Return the completion of a shell. Raises NotFoundError if this installation lacks it."""
    checkout = _checkout()
    if checkout is not None:
        return Shipped(shell, os.path.join(checkout, "completions", _SOURCES[shell]), _NAMES[shell])
    return Shipped(shell, os.path.join(_prefix(), SHARED[shell]), _NAMES[shell])


def man_pages() -> list[Shipped]:
    """Return the pages sorted by name. Raises NotFoundError if this installation lacks its completions."""
    checkout = _checkout()
    if checkout is not None:
        folders_of_pages = [os.path.join(checkout, "man")]
    else:
        parent = os.path.join(_prefix(), SHARED["man"])
        folders_of_pages = [os.path.join(parent, section) for section in ("man1", "man5", "man7")]
    found = {
        name: os.path.join(folder, name)
        for folder in folders_of_pages
        if os.path.isdir(folder)
        for name in os.listdir(folder)
        if _PAGE.fullmatch(name)
    }
    # jitid.1 belongs into man1.
    return [Shipped("man", path, f"man{name[-1]}/{name}") for name, path in sorted(found.items())]


def folders(reader: Reader, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the folders that a reader searches, in its order.

    Zsh sets its folders at its start, and need not export them: the usual ones are added.
    """
    user_data = shared_data(environ)
    system_data = shared_data_of_the_system(environ)
    match reader:
        case "bash":
            # As bash-completion 2.12 and later does it.
            search_path = environ.get("BASH_COMPLETION_USER_DIR", "")
            user_folders = [folder for folder in search_path.split(":") if folder] or [
                f"{user_data}/bash-completion"
            ]
            shared = [*(f"{prefix}/share" for prefix in _prefixes(environ, "bin", "sbin")), *system_data]
            return _once(
                [
                    f"{folder}/completions"
                    for folder in (
                        *user_folders,
                        *(f"{data_folder}/bash-completion" for data_folder in shared),
                    )
                ]
            )
        case "zsh":
            fpath_folders = [folder for folder in environ.get("FPATH", "").split(":") if folder]
            return _once([*fpath_folders, f"{user_data}/zsh/site-functions", *_ZSH])
        case "fish":
            vendors = [
                f"{data_folder}/fish/vendor_completions.d" for data_folder in (user_data, *system_data)
            ]
            return _once(
                [f"{shared_configuration(environ)}/fish/completions", "/etc/fish/completions", *vendors]
            )
        case "man":
            # Like man-db: an empty part of MANPATH means the default folders.
            prefixed = [
                f"{prefix}/{subfolder}"
                for prefix in _prefixes(environ, linked=False)
                for subfolder in ("man", "share/man")
            ]
            default_folders = [*prefixed, "/usr/local/man", "/usr/local/share/man", "/usr/share/man"]
            search_path = environ.get("MANPATH") or ":"
            return _once(
                [
                    folder
                    for part in search_path.split(":")
                    for folder in ([part] if part else default_folders)
                ]
            )
        case _:
            assert_never(reader)


_ZSH = (
    "/usr/local/share/zsh/site-functions",
    "/usr/share/zsh/vendor-functions",
    "/usr/share/zsh/vendor-completions",
    "/usr/share/zsh/site-functions",
)


def target(file: Shipped, environ: Mapping[str, str] = os.environ) -> str:
    """Return the path where a reader finds a file, for this user alone."""
    match file.reader:
        case "bash" | "fish":
            return f"{folders(file.reader, environ)[0]}/{file.name}"
        case "zsh":
            return f"{shared_data(environ)}/zsh/site-functions/{file.name}"
        case "man":
            return f"{shared_data(environ)}/man/{file.name}"
        case _:
            assert_never(file.reader)


def install(file: Shipped, path: str) -> Literal["new", "changed", "unchanged"]:
    """Write a file to a path, readable for all users, and return the kind of change.

    A link there is replaced, unless its target has the same content already. Raises OutputError.
    """
    content = file.text().encode()
    old_content = _content(path)
    if old_content == content:
        return "unchanged"
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(
            f"{quote(path, 200)} is not a regular file; it was left unchanged", "move it out of the way"
        )
    if old_content is not None and file.reader != "man" and _MARK not in old_content:
        raise OutputError(
            f"{quote(path, 200)} is not from jitid; it was left unchanged", "move it out of the way"
        )
    is_new = not os.path.lexists(path)
    _make_folder(os.path.dirname(path))
    write_public(path, content, replace_link=True)
    return "new" if is_new else "changed"


def installed(environ: Mapping[str, str] = os.environ) -> list[InstalledFile]:
    """Return the files that bash, zsh, fish and `man` find. Raises NotFoundError without jitid's completions."""
    files = [_installed([completion(shell)], environ) for shell in SHELLS]
    pages = man_pages()
    return [*files, _installed(pages, environ)] if pages else files


def _installed(files: list[Shipped], environ: Mapping[str, str]) -> InstalledFile:
    """Return where the first of these files, all of one reader, is installed, and whether all of them are current."""
    first_file = files[0]
    searched = folders(first_file.reader, environ)
    paths = tuple(f"{folder}/{first_file.name}" for folder in searched)
    found_folder = next(
        (folder for folder, path in zip(searched, paths, strict=True) if os.path.isfile(path)), None
    )
    if found_folder is None:
        return InstalledFile(first_file.reader, paths, None, current=False)
    current = all(_content(f"{found_folder}/{file.name}") == file.text().encode() for file in files)
    return InstalledFile(first_file.reader, paths, f"{found_folder}/{first_file.name}", current)


def _checkout() -> str | None:
    """Return the checkout that the package is part of; None for an installed package."""
    checkout = os.path.dirname(_PACKAGE)
    is_one = os.path.isfile(os.path.join(checkout, "completions", _SOURCES["bash"]))
    return checkout if is_one else None


def _prefix() -> str:
    """Return the folder whose `share` the installation has filled, such as that of a virtual environment.

    Raises NotFoundError if that folder lacks the files.
    """
    # Not any folder above: others may write to some of them, such as /tmp, and a shell runs these files.
    packages = os.path.dirname(_PACKAGE)
    candidates = [packages]
    if os.path.basename(packages) in ("site-packages", "dist-packages"):
        # PREFIX/lib/python3/dist-packages; `pip install --target` has `share` beside the package.
        candidates.append(os.path.normpath(os.path.join(packages, "..", "..", "..")))
    for folder in candidates:
        if os.path.isfile(os.path.join(folder, SHARED["bash"])):
            return folder
    raise NotFoundError(
        "this installation of jitid has no completions and man pages", "install it again, from its wheel"
    )


def _content(path: str) -> bytes | None:
    # A pipe or a device is not read.
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _make_folder(path: str) -> None:
    if not path or os.path.isdir(path):
        return
    try:
        _make_folder(os.path.dirname(path))
        # Zsh refuses a folder that others may write to. The umask decides whether they may read it.
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise OutputError(f"the folder {quote(path, 200)} could not be created: {reason}") from error


def _prefixes(environ: Mapping[str, str], *names: str, linked: bool = True) -> list[str]:
    """Return the parents of the folders in PATH: `/usr` for `/usr/bin`.

    With `names`, only of folders with these names. If `linked`, also that of the file that the command is a link to:
    bash-completion follows the link, and `man` does not.
    """
    path_folders = [
        folder.rstrip("/") for folder in environ.get("PATH", "").split(":") if folder.startswith("/")
    ]
    command = which(PROGRAM, environ) if linked else None
    if command:
        path_folders.append(os.path.dirname(os.path.realpath(command)))
    return _once(
        [os.path.dirname(folder) for folder in path_folders if not names or os.path.basename(folder) in names]
    )


def which(program: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of a program that a shell would start."""
    for folder in environ.get("PATH", "").split(":"):
        path = os.path.join(folder, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _once(paths: list[str]) -> list[str]:
    return list(dict.fromkeys(paths))
