"""What git would leave out: the patterns of `.gitignore` and `.git/info/exclude` (gitignore(5)), folder by folder."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Container
from functools import lru_cache
from typing import NamedTuple

from jitid.capabilities.scan.globs import is_plain, translated, unescaped

MOST_PATTERNS = 1 << 18
"""A file of more bytes names nothing: git has no limit, but of a part of one the exceptions may be missing."""
MOST_GLOBS = 2_000
"""Nor does a file of more lines than these that are neither plain nor `*` with an ending: each takes its time."""

NAME = ".gitignore"
REPOSITORY = ".git"


class _Pattern(NamedTuple):
    """One line of a file of patterns."""

    matches: Callable[[str], object]
    whole: bool
    """Whether it is held against the path below the file's folder, and not the name alone."""
    folders: bool
    """Whether it means folders alone."""
    negated: bool


class _Suffix(NamedTuple):
    """What a name ends with."""

    text: str

    def ends(self, name: str) -> bool:
        """Tell whether a name does."""
        return name.endswith(self.text)


class Patterns:
    """The patterns of one file."""

    def __init__(self, text: bytes) -> None:
        """Args: what the file says."""
        self._patterns: list[_Pattern] = []
        names: set[str] = set()
        paths: set[str] = set()
        ends: set[str] = set()
        others: list[str] = []
        for line in dict.fromkeys(reversed(text.removeprefix(codecs.BOM_UTF8).split(b"\n"))):
            parsed = _parsed(line)
            if parsed is None:
                continue
            glob, whole, folders, negated = parsed
            matches: Callable[[str], object]
            if is_plain(glob):
                plain = unescaped(glob)
                matches = plain.__eq__
                (paths if whole else names).add(plain)
            elif not whole and glob.startswith("*") and is_plain(glob[1:]):
                matches = _Suffix(unescaped(glob[1:])).ends
                ends.add(unescaped(glob[1:]))
            else:
                expression = translated(glob, whole=whole)
                if expression is None:
                    # It matches nothing, as it does for git.
                    continue
                others.append(expression if whole else f"(?:.*/)?{expression}")
                if len(others) > MOST_GLOBS:
                    self._patterns.clear()
                    others.clear()
                    break
                matches = re.compile(expression, re.DOTALL).fullmatch
            self._patterns.append(_Pattern(matches, whole, folders, negated))
        self._names, self._paths, self._ends = frozenset(names), frozenset(paths), tuple(ends)
        self._others = re.compile("|".join(others), re.DOTALL).fullmatch if others else None

    def __len__(self) -> int:
        return len(self._patterns)

    def verdict(self, path: str, name: str, *, is_folder: bool) -> bool | None:
        """Tell whether the last pattern that matches ignores it; None if none matches.

        Args: the path below the folder of the file, and its last step.
        """
        # Most names match nothing, and that is told by a few looks.
        if (
            name not in self._names
            and path not in self._paths
            and not name.endswith(self._ends)
            and (self._others is None or not self._others(path))
        ):
            return None
        for pattern in self._patterns:
            if (is_folder or not pattern.folders) and pattern.matches(path if pattern.whole else name):
                return not pattern.negated
        return None


# A hostile tree may have one large file of them in each of its folders.
@lru_cache(maxsize=64)
def _patterns(text: bytes) -> Patterns:
    return Patterns(text)


class Rules:
    """What holds in one folder: the patterns of its own file and of those above it, up to the top of the repository."""

    def __init__(self, levels: tuple[tuple[str, Patterns], ...] = (), *, within: bool = False) -> None:
        """Args: the patterns, those that count first at first, each with the path from its folder to this one.

        `within` says whether the folder belongs to a repository.
        """
        self._levels = levels
        self.within = within

    def __bool__(self) -> bool:
        return bool(self._levels)

    def ignores(self, name: str, *, is_folder: bool) -> bool:
        """Tell whether something in this folder is ignored."""
        plain = _octets(name)
        for below, patterns in self._levels:
            verdict = patterns.verdict(below + plain, plain, is_folder=is_folder)
            if verdict is not None:
                return verdict
        return False

    def below(self, name: str) -> Rules:
        """Return what holds in a folder of this one, before its own file is read."""
        if not self._levels:
            return self
        step = f"{_octets(name)}/"
        return Rules(tuple((below + step, patterns) for below, patterns in self._levels), within=self.within)

    def added(self, patterns: Patterns) -> Rules:
        """Return what holds with the patterns of this folder's own file."""
        return Rules((("", patterns), *self._levels), within=self.within) if patterns else self


NOTHING = Rules()
"""Outside of a repository nothing is ignored."""


def rules_in(descriptor: int, above: Rules, entries: Container[str] | None) -> Rules:
    """Return what holds in a folder, given what the one above it hands down; a repository begins anew.

    `entries` are the names in it, if they are known: then what is not there is not looked for.
    """
    rules = above
    excluded = _exclude(descriptor) if entries is None or REPOSITORY in entries else None
    if excluded is not None:
        rules = Rules(within=True).added(_patterns(excluded))
    if not rules.within:
        return NOTHING
    text = _read(NAME, descriptor) if entries is None or NAME in entries else None
    return rules if text is None else rules.added(_patterns(text))


def rules_above(path: str) -> Rules:
    """Return what a folder inherits from those above it in its repository, for the folder that a path means."""
    steps: list[str] = []
    here = os.path.realpath(path)
    # A repository's own top inherits nothing.
    while not _is_top(here):
        above, name = os.path.split(here)
        if above == here:
            return NOTHING
        steps.append(name)
        here = above
    rules = NOTHING
    for name in reversed(steps):
        rules = _rules_of(here, rules).below(name)
        here = os.path.join(here, name)
    return rules


def _rules_of(path: str, above: Rules) -> Rules:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return above
    try:
        return rules_in(descriptor, above, None)
    finally:
        os.close(descriptor)


def _is_top(path: str) -> bool:
    return os.path.lexists(os.path.join(path, REPOSITORY))


def _exclude(descriptor: int) -> bytes | None:
    """Return what a repository that begins in a folder excludes for itself; None if none begins there."""
    try:
        os.stat(REPOSITORY, dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return None
    return _read(".git/info/exclude", descriptor) or b""


def _read(name: str, folder: int) -> bytes | None:
    """Return what a file of patterns says; None if there is none. A link is none (gitignore(5))."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    try:
        text = os.read(descriptor, MOST_PATTERNS + 1)
        return text if len(text) <= MOST_PATTERNS else b""
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _octets(name: str) -> str:
    """Return a name as a text of one character a byte, which is what git's patterns are about."""
    return name if name.isascii() else os.fsencode(name).decode("latin-1")


def _parsed(line: bytes) -> tuple[str, bool, bool, bool] | None:
    """Return the glob of a line, if it is for whole paths, for folders alone, and negated; None if it says nothing."""
    text = line.decode("latin-1")
    if text.startswith("#"):
        return None
    text = text.removesuffix("\r") if text.endswith("\r") else text
    # Spaces at the end count only behind a backslash.
    stripped = text.rstrip(" ")
    if len(stripped) < len(text) and (len(stripped) - len(stripped.rstrip("\\"))) % 2:
        stripped += " "
    text = stripped
    negated = text.startswith("!")
    text = text[1:] if negated else text
    folders = text.endswith("/")
    text = text.removesuffix("/")
    whole = "/" in text
    text = text.removeprefix("/")
    return (text, whole, folders, negated) if text else None
