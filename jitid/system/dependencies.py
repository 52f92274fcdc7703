"""The requirements of this installation of jitid, and the command that adds or repairs packages.

No index has a package `jitid`, and any user could register one. So a command names the packages that jitid needs, and
their interpreter.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from shlex import quote
from typing import NamedTuple

_DISTRIBUTION = "jitid"
_UNINSTALLED = "install the packages that pyproject.toml lists for the extra"


class Unmet(NamedTuple):
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
    words = " ".join(map(quote, packages))
    if os.path.exists(os.path.join(sys.prefix, "pipx_metadata.json")):
        return f"pipx inject {quote(os.path.basename(sys.prefix))} {words}"
    from importlib.util import find_spec

    # An environment of uv has no pip.
    if find_spec("pip") is None:
        return f"uv pip install --python {quote(sys.executable)} {words}"
    return f"{quote(sys.executable)} -m pip install {words}"


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
        return f"jitid requires {', '.join(packages)}", installing(package.requirement for package in lacking)
    if isinstance(error, SyntaxError) and error.filename and not _is_own_file(error.filename):
        return f"a package cannot be loaded: SyntaxError in {error.filename}", _CHECK
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] != _DISTRIBUTION:
        return f"the module {error.name or 'of a package'} cannot be loaded", _CHECK
    return None


_CHECK = f"{quote(sys.executable)} -m pip check"


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
