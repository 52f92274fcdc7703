"""All man pages: no warnings, complete output on a terminal, and only valid configurations."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.generate.man import CHAPTER_PAGES
from tests.man.source import FOLDER, displays, read
from tests.real import Shell, need

PAGES = sorted(path.name for path in FOLDER.iterdir() if path.suffix != ".md")


def test_no_page_has_anything_that_mandoc_complains_of() -> None:
    """The check runs mandoc in the pages' own folder, so that cross references resolve. Style warnings count too."""
    done = subprocess.run(
        [need("mandoc"), "-T", "lint", *PAGES], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def _shown(viewer: str, page: str) -> subprocess.CompletedProcess[str]:
    words = {"man": ["--warnings", "-l"], "mandoc": ["-T", "utf8", "-O", "width=78"]}[viewer]
    return subprocess.run(
        [need(viewer), *words, page],
        cwd=FOLDER,
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "PAGER": "cat", "MANPAGER": "cat"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.deep
@pytest.mark.parametrize("viewer", ["man", "mandoc"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_shown_in_eighty_columns_without_a_warning(page: str, viewer: str) -> None:
    done = _shown(viewer, page)
    assert (done.stderr, done.returncode) == ("", 0)
    lines = re.sub(r".\x08", "", done.stdout).splitlines()
    assert len(lines) > 20
    # A chapter shows commands and their output unchanged, and that page lines of programs: a reader copies them.
    chapter = displays(read(page)) if page in (*CHAPTER_PAGES, "jitid-verifiers.7") else []
    # Tabs become blanks; quotes and the ellipsis have escapes in roff.
    as_they_are = {re.sub(r"\\\[u\w{4}\]|\W", "", line) for text in chapter for line in text.splitlines()}
    assert not [line for line in lines if len(line) > 80 and re.sub(r"\W", "", line) not in as_they_are]
    # Unknown roff macros are omitted or printed literally; a macro would begin a line.
    assert not [line for line in lines if re.match(r"\s*\.[A-Z][a-z] ", line)]


@pytest.mark.parametrize("page", PAGES)
def test_a_configuration_in_a_page_is_taken(page: str, tmp_path: Path) -> None:
    configurations = [text for text in displays(read(page)) if re.match(r"\[\w|(ledger|remote) = ", text)]
    for number, text in enumerate(configurations):
        file = tmp_path / f"{number}.toml"
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
        shown = Shell(tmp_path).good("--config", str(file), "config", "show", "--field", "key").splitlines()
        assert set(_keys(tomllib.loads(text))) <= set(shown)


def _keys(table: dict[str, Any], name: str = "") -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{name}{key}.")
        else:
            yield f"{name}{key}"
