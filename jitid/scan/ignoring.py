"""What git would leave out: the patterns of `.gitignore` and `.git/info/exclude` (gitignore(5)), folder by folder."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Container, Iterator
from functools import lru_cache
from typing import NamedTuple

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


class _Ending(NamedTuple):
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
            if _is_plain(glob):
                plain = _unescaped(glob)
                matches = plain.__eq__
                (paths if whole else names).add(plain)
            elif not whole and glob.startswith("*") and _is_plain(glob[1:]):
                matches = _Ending(_unescaped(glob[1:])).ends
                ends.add(_unescaped(glob[1:]))
            else:
                expression = _translated(glob, whole=whole)
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


def _is_plain(glob: str) -> bool:
    return not any(each in glob for each in "*?[") and not glob.endswith("\\")


def _unescaped(glob: str) -> str:
    return re.sub(r"\\(.)", r"\1", glob, flags=re.DOTALL)


_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t-\\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


def _translated(glob: str, *, whole: bool) -> str | None:
    """Return a regular expression for a glob as git's wildmatch has it; None if it matches nothing.

    What stands between two stars is matched where it stands first, and never again elsewhere (an atomic group):
    the star behind it takes what is left. So a glob of many stars takes no longer than its length and that of a name
    tell, whoever wrote it.
    """
    pieces = list(_pieces(glob, whole=whole))
    if None in pieces:
        return None
    text, stars, folders = "", 0, 0
    for piece in pieces:
        if piece == _FOLDERS:
            text += ")" * (stars + folders) + "(?>" + _FOLDERS
            stars, folders = 0, 1
        elif piece == _STAR:
            text += ")" * stars + "(?>" + _STAR
            stars = 1
        else:
            text += piece or ""
    # The last ones end where the name does.
    return f"{text}\\Z{')' * (stars + folders)}"


_STAR = "[^/]*?"
_FOLDERS = "(?:[^/]*/)*?"
"""What `**/` stands for: any number of folders, also none."""


def _pieces(glob: str, *, whole: bool) -> Iterator[str | None]:
    at, size = 0, len(glob)
    while at < size:
        letter = glob[at]
        if letter == "*":
            end = at
            while end < size and glob[end] == "*":
                end += 1
            before, after = at == 0 or glob[at - 1] == "/", end == size or glob[end] == "/"
            if whole and end - at > 1 and before and after:
                if end == size:
                    yield ".*"
                else:
                    yield _FOLDERS
                    end += 1
            else:
                yield _STAR
            at = end
        elif letter == "?":
            yield "[^/]"
            at += 1
        elif letter == "[":
            found = _bracket(glob, at)
            if found is None:
                yield None
                return
            piece, at = found
            yield piece
        elif letter == "\\":
            if at + 1 == size:
                yield None
                return
            yield re.escape(glob[at + 1])
            at += 2
        else:
            yield re.escape(letter)
            at += 1


def _bracket(glob: str, at: int) -> tuple[str, int] | None:
    """Return the expression for the bracket that begins there, and where it ends; None if it does not."""
    at += 1
    negated = glob[at : at + 1] in ("!", "^")
    at += negated
    inside = ""
    first = True
    while True:
        letter = glob[at : at + 1]
        if not letter:
            return None
        if letter == "]" and not first:
            break
        first = False
        if letter == "[" and glob[at + 1 : at + 2] == ":":
            end = glob.find(":]", at + 2)
            name = glob[at + 2 : end] if end >= 0 else ""
            if name not in _CLASSES:
                return None
            inside += _CLASSES[name]
            at = end + 2
            continue
        low, at = _member(glob, at)
        if low is None:
            return None
        if glob[at : at + 1] == "-" and glob[at + 1 : at + 2] not in ("", "]"):
            high, at = _member(glob, at + 1)
            if high is None:
                return None
            if low <= high:
                inside += f"{re.escape(low)}-{re.escape(high)}"
            continue
        inside += re.escape(low)
    # No bracket matches a slash.
    if negated:
        return f"[^/{inside}]", at + 1
    return (f"(?!/)[{inside}]" if inside else "(?!)"), at + 1


def _member(glob: str, at: int) -> tuple[str | None, int]:
    if glob[at] == "\\":
        at += 1
    letter = glob[at : at + 1]
    return letter or None, at + 1
