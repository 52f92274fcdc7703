"""Ignore rules of git: patterns of `.gitignore` and `.git/info/exclude` (gitignore(5)), folder by folder.

Their globs become regular expressions by the rules of git's wildmatch (glob(7)).
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Container, Iterator
from functools import lru_cache

from jitid.values.record import Record

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


def translated(glob: str, *, whole: bool) -> str | None:
    """Return a regular expression for a glob of git's wildmatch; None if it matches no name.

    The text between two stars matches at its first occurrence and never later (an atomic group); the next star takes
    the rest. So even for a hostile glob with many stars, the time depends only on its length and that of the name.
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
    # The last groups end at the end of the name.
    return f"{text}\\Z{')' * (stars + folders)}"


_STAR = "[^/]*?"
_FOLDERS = "(?:[^/]*/)*?"
"""The expression for `**/`: any number of folders, or no folder."""


def _pieces(glob: str, *, whole: bool) -> Iterator[str | None]:
    position, size = 0, len(glob)
    while position < size:
        letter = glob[position]
        if letter == "*":
            stars_end = position
            while stars_end < size and glob[stars_end] == "*":
                stars_end += 1
            begins_part, ends_part = (
                position == 0 or glob[position - 1] == "/",
                stars_end == size or glob[stars_end] == "/",
            )
            if whole and stars_end - position > 1 and begins_part and ends_part:
                if stars_end == size:
                    yield ".*"
                else:
                    yield _FOLDERS
                    stars_end += 1
            else:
                yield _STAR
            position = stars_end
        elif letter == "?":
            yield "[^/]"
            position += 1
        elif letter == "[":
            bracket = _bracket(glob, position)
            if bracket is None:
                yield None
                return
            piece, position = bracket
            yield piece
        elif letter == "\\":
            if position + 1 == size:
                yield None
                return
            yield re.escape(glob[position + 1])
            position += 2
        else:
            yield re.escape(letter)
            position += 1


def _bracket(glob: str, position: int) -> tuple[str, int] | None:
    """Return the expression for the bracket that begins at `position`, and its end; None if it is invalid."""
    position += 1
    negated = glob[position : position + 1] in ("!", "^")
    position += negated
    inside = ""
    is_first = True
    while True:
        letter = glob[position : position + 1]
        if not letter:
            return None
        if letter == "]" and not is_first:
            break
        is_first = False
        if letter == "[" and glob[position + 1 : position + 2] == ":":
            class_end = glob.find(":]", position + 2)
            name = glob[position + 2 : class_end] if class_end >= 0 else ""
            if name not in _CLASSES:
                return None
            inside += _CLASSES[name]
            position = class_end + 2
            continue
        low, position = _member(glob, position)
        if low is None:
            return None
        if glob[position : position + 1] == "-" and glob[position + 1 : position + 2] not in ("", "]"):
            high, position = _member(glob, position + 1)
            if high is None:
                return None
            if low <= high:
                inside += f"{re.escape(low)}-{re.escape(high)}"
            continue
        inside += re.escape(low)
    # No bracket matches a slash.
    if negated:
        return f"[^/{inside}]", position + 1
    return (f"(?!/)[{inside}]" if inside else "(?!)"), position + 1


def _member(glob: str, position: int) -> tuple[str | None, int]:
    if glob[position] == "\\":
        position += 1
    letter = glob[position : position + 1]
    return letter or None, position + 1


def is_plain(glob: str) -> bool:
    """Return whether a glob matches exactly one name."""
    return not any(character in glob for character in "*?[") and not glob.endswith("\\")


def unescaped(glob: str) -> str:
    """Return the name that a plain glob matches."""
    return re.sub(r"\\(.)", r"\1", glob, flags=re.DOTALL)


MOST_PATTERNS = 1 << 18
"""Maximum bytes of a pattern file; a larger file ignores no entry.

git has no limit, but a part of a file might lack its exceptions.
"""
MOST_GLOBS = 2_000
"""Maximum number of patterns in a file that are neither plain names nor `*` with an ending.

A file with more ignores no entry: each such pattern takes time.
"""

NAME = ".gitignore"
REPOSITORY = ".git"


class _Pattern(Record):
    """One line of a pattern file."""

    matches: Callable[[str], object]
    whole: bool
    """Whether it is matched against the path below the file's folder, and not only the name."""
    folders: bool
    """Whether it matches only folders."""
    negated: bool


class _Suffix(Record):
    """An ending of names."""

    text: str

    def ends(self, name: str) -> bool:
        """Return whether a name has this ending."""
        return name.endswith(self.text)


class Patterns:
    """The patterns of one file."""

    def __init__(self, text: bytes) -> None:
        """Parse the contents of a pattern file."""
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
                    # Like in git, an invalid glob matches no name.
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
        """Return whether the last matching pattern ignores an entry; None if no pattern matches.

        `path` is relative to the folder of the pattern file, and `name` is its last part.
        """
        # Most names match no pattern, and a few quick checks show that.
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


# A hostile tree may repeat one large pattern file in each of its folders.
@lru_cache(maxsize=64)
def _patterns(text: bytes) -> Patterns:
    return Patterns(text)


class Rules:
    """Ignore rules of one folder: its patterns and those of its parents, up to the top of the repository."""

    def __init__(self, levels: tuple[tuple[str, Patterns], ...] = (), *, within: bool = False) -> None:
        """Keep the patterns, highest precedence first, each with the path from its folder to this one.

        `within` is whether the folder belongs to a repository.
        """
        self._levels = levels
        self.within = within

    def __bool__(self) -> bool:
        return bool(self._levels)

    def ignores(self, name: str, *, is_folder: bool) -> bool:
        """Return whether an entry of this folder is ignored."""
        plain = _octets(name)
        for below, patterns in self._levels:
            verdict = patterns.verdict(below + plain, plain, is_folder=is_folder)
            if verdict is not None:
                return verdict
        return False

    def below(self, name: str) -> Rules:
        """Return the rules of a subfolder, before its own file is read."""
        if not self._levels:
            return self
        step = f"{_octets(name)}/"
        return Rules(tuple((below + step, patterns) for below, patterns in self._levels), within=self.within)

    def added(self, patterns: Patterns) -> Rules:
        """Return these rules with the patterns of the folder's own file added."""
        return Rules((("", patterns), *self._levels), within=self.within) if patterns else self


NOTHING = Rules()
"""The rules outside of a repository: no entry is ignored."""


def rules_in(descriptor: int, above: Rules, entries: Container[str] | None) -> Rules:
    """Return the rules of a folder; `above` are those of its parent, which the top of a repository does not inherit.

    `entries` are the names in the folder, or None if they are not known. Files that they lack are not opened.
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
    """Return the rules that the folder at `path` inherits from its parents in the same repository."""
    steps: list[str] = []
    folder = os.path.realpath(path)
    # The top of a repository inherits no rules.
    while not os.path.lexists(os.path.join(folder, REPOSITORY)):
        above, name = os.path.split(folder)
        if above == folder:
            return NOTHING
        steps.append(name)
        folder = above
    rules = NOTHING
    for name in reversed(steps):
        rules = _rules_of(folder, rules).below(name)
        folder = os.path.join(folder, name)
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


def _exclude(descriptor: int) -> bytes | None:
    """Return the contents of `.git/info/exclude`; None if the folder is not the top of a repository."""
    try:
        os.stat(REPOSITORY, dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return None
    return _read(".git/info/exclude", descriptor) or b""


def _read(name: str, folder: int) -> bytes | None:
    """Return the contents of a pattern file; None if there is none. A link does not count (gitignore(5))."""
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
    """Return a name as a text with one character per byte, since git's patterns match bytes."""
    return name if name.isascii() else os.fsencode(name).decode("latin-1")


def _parsed(line: bytes) -> tuple[str, bool, bool, bool] | None:
    """Return the glob of a line, and whether it is for whole paths, for folders only, and negated.

    None if the line has no pattern.
    """
    text = line.decode("latin-1")
    if text.startswith("#"):
        return None
    text = text.removesuffix("\r") if text.endswith("\r") else text
    # Trailing spaces count only after a backslash.
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
