"""The completions and man pages of jitid, and the folders in which shells and `man` search for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from shlex import quote as shell_quote
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

SHELLS: tuple[Reader, ...] = ("bash", "zsh", "fish")

_SOURCES: dict[Reader, str] = {"bash": "jitid.bash", "zsh": "_jitid", "fish": "jitid.fish"}
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
    return Shipped(shell, os.path.join(_root(), "completions", _SOURCES[shell]), _NAMES[shell])


def man_pages() -> list[Shipped]:
    """Return the pages sorted by name. Raises NotFoundError if this installation lacks its completions."""
    folder = os.path.join(_root(), "man")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    # jitid.1 belongs into man1.
    return [
        Shipped("man", os.path.join(folder, name), f"man{name.rpartition('.')[2]}/{name}")
        for name in names
        if name.startswith("jitid") and name[-2:-1] == "." and name[-1].isdigit()
    ]


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
                f"{prefix}/{subfolder}" for prefix in _prefixes(environ) for subfolder in ("man", "share/man")
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
            f"{quote(path, 200)} is no plain file; it was left as it is", "move it out of the way"
        )
    if old_content is not None and file.reader != "man" and _MARK not in old_content:
        raise OutputError(
            f"{quote(path, 200)} is not from jitid; it was left as it is", "move it out of the way"
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


def _root() -> str:
    """Return the folder with `completions` and `man`: inside an installed package, beside a checked-out one."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for root in (os.path.join(package, "share"), os.path.dirname(package)):
        if os.path.isfile(os.path.join(root, "completions", _SOURCES["bash"])):
            return root
    raise NotFoundError(
        "this jitid came without its completions and man pages", "install it again, from its wheel"
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
    if os.path.isdir(path):
        return
    try:
        _make_folder(os.path.dirname(path))
        # Zsh refuses a folder that others may write to. The umask decides whether they may read it.
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise OutputError(f"the folder {quote(path, 200)} could not be made: {reason}") from error


def _prefixes(environ: Mapping[str, str], *names: str) -> list[str]:
    """Return the parents of the folders in PATH: `/usr` for `/usr/bin`.

    With `names`, only of folders with these names.
    """
    path_folders = [
        folder.rstrip("/") for folder in environ.get("PATH", "").split(":") if folder.startswith("/")
    ]
    command = which(PROGRAM, environ)
    if command:
        # The command may be a link to a separate environment.
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


_DISTRIBUTION = "jitid"
_UNINSTALLED = "install what pyproject.toml lists for it"


class Unmet(Record):
    """A requirement that this installation does not meet."""

    requirement: str
    """In pip's form: `typer<0.29,>=0.27.3`."""
    name: str
    installed: str | None
    """The installed version; None if the package is missing."""


def requirements(extra: str | None = None) -> list[str]:
    """Return jitid's requirements, or the requirements of an extra, in pip's form; none if jitid is not installed."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    partitions = [line.partition(";") for line in lines]
    return [requirement.strip() for requirement, _, marker in partitions if _extra_of(marker) == extra]


def adding(extra: str) -> str:
    """Return the command that adds an extra to this installation."""
    needed = requirements(extra)
    return installing(needed) if needed else f"{_UNINSTALLED}: {extra}"


def installing(packages: Iterable[str]) -> str:
    """Return the command that installs packages for the running interpreter, which pipx, uv or pip may have set up."""
    words = " ".join(map(shell_quote, packages))
    if os.path.exists(os.path.join(sys.prefix, "pipx_metadata.json")):
        return f"pipx inject {shell_quote(os.path.basename(sys.prefix))} {words}"
    from importlib.util import find_spec

    # An environment of uv has no pip.
    if find_spec("pip") is None:
        return f"uv pip install --python {shell_quote(sys.executable)} {words}"
    return f"{shell_quote(sys.executable)} -m pip install {words}"


def unmet() -> list[Unmet]:
    """Return the requirements at run time whose package is missing, or installed in an unsupported version."""
    from importlib.metadata import PackageNotFoundError, version

    problems = []
    for requirement in requirements():
        name = _name_of(requirement)
        try:
            installed = version(name)
        except PackageNotFoundError:
            problems.append(Unmet(requirement, name, None))
            continue
        if not _meets(installed, requirement[len(name) :]):
            problems.append(Unmet(requirement, name, installed))
    return problems


def fault(error: BaseException) -> tuple[str, str] | None:
    """Return a message and a command if an unexpected error comes from the installation; None otherwise.

    The reasons are a package that is missing or has an unsupported version, and a third-party package that cannot be
    loaded.
    """
    if lacking := unmet():
        packages = [
            f"{package.requirement} ({f'{package.installed} is installed' if package.installed else 'it is missing'})"
            for package in lacking
        ]
        return f"jitid needs {', '.join(packages)}", installing(package.requirement for package in lacking)
    if isinstance(error, SyntaxError) and error.filename and not _is_own_file(error.filename):
        return f"a package cannot be loaded: SyntaxError in {error.filename}", _CHECK
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] != _DISTRIBUTION:
        return f"the module {error.name or 'of a package'} cannot be loaded", _CHECK
    return None


_CHECK = f"{shell_quote(sys.executable)} -m pip check"


def _is_own_file(path: str) -> bool:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.dirname(os.path.abspath(path)).startswith(package)


def _extra_of(marker: str) -> str | None:
    """Return the extra that a requirement belongs to (PEP 508); None for a requirement without an extra."""
    _, separator, extra = marker.partition("extra ==")
    return extra.strip().strip("'\"") if separator else None


def _name_of(requirement: str) -> str:
    return requirement[: next(_ends(requirement), len(requirement))]


def _ends(requirement: str) -> Iterator[int]:
    return (
        index
        for index, character in enumerate(requirement)
        if not (character.isalnum() or character in "-_.")
    )


def _meets(installed: str, specifiers: str) -> bool:
    """Return whether a version meets specifiers such as `<0.29,>=0.27.3`, the only form in jitid's requirements."""
    numbers = _numbers(installed)
    for specifier in filter(None, specifiers.split(",")):
        operator = specifier.strip()[:2].rstrip("0123456789")
        bound = _numbers(specifier.strip().removeprefix(operator))
        if (numbers < bound) if operator == ">=" else (numbers >= bound):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with, without zeros at the end."""
    numbers: list[int] = []
    for part in version.strip().split("."):
        digits = part[
            : next((index for index, character in enumerate(part) if not character.isdigit()), len(part))
        ]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
