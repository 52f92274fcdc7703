"""The list of generated files, and their generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import jitid
from tests.generate import bash, fish, man, markdown, packaging, zsh
from tests.generate.tree import tree

ROOT = Path(jitid.__file__).parent.parent


def produced() -> Iterator[tuple[Path, str]]:
    """Yield each generated file with its required text; a file comes after the files that it depends on."""
    for producer in PRODUCERS:
        for name, text in producer().items():
            yield ROOT / name, text


def _completions() -> dict[str, str]:
    verbs = tree()
    return {
        "completions/jitid.bash": bash.text(verbs),
        "completions/_jitid": zsh.text(verbs),
        "completions/jitid.fish": fish.text(verbs),
    }


def _man_pages() -> dict[str, str]:
    return {f"man/{name}": text for name, text in (man.pages() | markdown.pages()).items()}


def _packaging() -> dict[str, str]:
    return {"pyproject.toml": packaging.text(ROOT / "pyproject.toml")}


PRODUCERS: tuple[Callable[[], dict[str, str]], ...] = (
    _completions,
    _man_pages,
    _packaging,
)
"""Functions that return the paths of their files in the repository, with the texts."""
