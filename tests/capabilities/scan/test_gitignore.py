"""Ignored files: the scan ignores the same files as git itself."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.scan.file_source import FileSource
from jitid.capabilities.scan.gitignore import MOST_PATTERNS
from jitid.capabilities.scan.hits import Searcher
from tests.real import need

NAMES = (
    "a",
    "b",
    "build",
    "x.log",
    "y.log",
    "foo.txt",
    "foo",
    "Foo",
    "a b",
    "#c",
    "!d",
    "e ",
    "[f]",
    "g*",
    "é",
    "ab.c",
)
PATTERNS = (
    *("*.log", "!x.log", "build/", "/a", "a/b", "**/foo", "foo/**", "a/**/b", "b/", "!b/", "f*", "?", "[ab]"),
    *(
        "[!a]",
        "[^b]*",
        "[a-c]",
        "\\#c",
        "\\!d",
        "# a comment",
        "",
        "e\\ ",
        "e ",
        "/*",
        "!/a",
        "!/b/",
        "*",
        "!*.txt",
    ),
    *(
        "/build/x.log",
        "build/*",
        "!build/y.log",
        "**",
        "**/",
        "*/a",
        "*/*/b",
        "/**/x.log",
        "a/",
        "a//b",
        "\\[f\\]",
    ),
    *(
        "[[]f]",
        "g\\*",
        "foo.*",
        "[[:upper:]]*",
        "é",
        "?.c",
        "??.c",
        "a**b",
        "**.log",
        "foo\\",
        "***/b",
        "a/***",
        "[",
        "[a",
        "/",
        "!",
    ),
    *("[]-a]", "x.lo[f-h]", "[!-~]*.txt", "a b", "*o", "f?o", "[[:bogus:]]", "\\f\\o\\o", "!**/foo.txt"),
)


def git(folder: Path, *words: str, text: bytes = b"") -> bytes:
    """Run git in a folder, without the configuration of the user."""
    variables = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        [need("git"), *words], cwd=folder, input=text, capture_output=True, check=False, env=variables
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def grow(folder: Path, chance: random.Random, depth: int) -> None:
    """Make files and folders with these names, and some files of patterns."""
    folder.mkdir(exist_ok=True)
    for name in chance.sample(NAMES, 7):
        if depth and chance.random() < 0.5:
            grow(folder / name, chance, depth - 1)
        else:
            (folder / name).write_text("x")
    if chance.random() < 0.7:
        (folder / ".gitignore").write_text("\n".join(chance.sample(PATTERNS, 4)) + chance.choice(["", "\n"]))


def found(root: Path, *, ignore: bool = True) -> set[str]:
    """Return the files that are searched below a folder."""
    seen: set[str] = set()

    class Noting(Searcher):
        def whole(self, *given: Any) -> None:
            *_, items, made = given
            seen.update(made(item).place for item in items)

    source = FileSource([str(root)], ignore=ignore)
    source.prepare(1)
    for _ in source.search(Noting()):
        pass
    return {place.removeprefix(f"{root}/") for place in seen}


def kept_by_git(root: Path) -> set[str]:
    """Return the files that git would add."""
    listed = git(
        root,
        "ls-files",
        "--others",
        "--exclude-per-directory=.gitignore",
        "--exclude-from=.git/info/exclude",
        "-z",
    )
    return {os.fsdecode(name) for name in listed.split(b"\0") if name}


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(8))
def test_the_same_is_searched_that_git_would_take(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    root = tmp_path / "tree"
    grow(root, chance, 3)
    git(root, "init", "-q")
    (root / ".git/info/exclude").write_text("\n".join(chance.sample(PATTERNS, 2)))
    assert found(root) == kept_by_git(root)


def test_outside_of_a_repository_nothing_is_ignored(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*\n")
    (tmp_path / "a").write_text("x")
    assert found(tmp_path) == {".gitignore", "a"}


def test_a_folder_of_a_repository_inherits_what_stands_above_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("*.log\n/sub/one\nsub/two/\n")
    below = tmp_path / "sub"
    (below / "two").mkdir(parents=True)
    for name in ("a.log", "one", "three", "two/x"):
        (below / name).write_text("x")
    assert found(below) == {"three"}
    assert found(below, ignore=False) == {"a.log", "one", "three", "two/x"}


def test_a_repository_inside_of_another_begins_anew(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("*.log\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "a.log").write_text("x")
    (tmp_path / "b.log").write_text("x")
    assert found(tmp_path) == {".gitignore", "inner/a.log"}


def test_without_rules_the_folder_of_git_is_searched_too(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert ".git/config" not in found(tmp_path)
    assert ".git/config" in found(tmp_path, ignore=False)


def test_a_glob_of_many_stars_takes_no_time_that_counts(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("*a" * 30 + "b\n" + "**/a*a*/" * 12 + "b\n")
    deep = tmp_path.joinpath(*["aaaa"] * 40)
    deep.mkdir(parents=True)
    (deep / ("a" * 200)).write_text("")
    assert found(tmp_path) == {".gitignore", f"{'aaaa/' * 40}{'a' * 200}"}


def test_a_mark_of_utf_8_is_no_part_of_the_first_pattern(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_bytes(b"\xef\xbb\xbfa\n")
    (tmp_path / "a").write_text("")
    assert found(tmp_path) == kept_by_git(tmp_path) == {".gitignore"}


@pytest.mark.parametrize(
    "text", [b"#" * MOST_PATTERNS + b"\na\n", b"a\n" + b"".join(b"?%d?\n" % one for one in range(2_001))]
)
def test_a_file_of_too_many_patterns_names_nothing(tmp_path: Path, text: bytes) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_bytes(text)
    (tmp_path / "a").write_text("")
    assert found(tmp_path) == {".gitignore", "a"}
