"""Which files are generated, and from what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jitid
from tests.generate import bash, fish, plain_table, zsh
from tests.generate.tree import Verb, tree

ROOT = Path(jitid.__file__).parent.parent

PRODUCERS: tuple[tuple[str, Callable[[Sequence[Verb]], str]], ...] = (
    ("completions/jitid.bash", bash.text),
    ("completions/_jitid", zsh.text),
    ("completions/jitid.fish", fish.text),
)
"""Path in the repository, and what makes the text from the command tree."""


def produced() -> Iterator[tuple[Path, str]]:
    """Yield each generated file with the text that it must have."""
    verbs = tree()
    for path, text in PRODUCERS:
        yield ROOT / path, text(verbs)
    yield ROOT / "jitid/plain_table.py", plain_table.text()
