"""The tables of `pyproject.toml` that put each completion and man page into the wheel, where programs look for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from jitid.system import installed_files

_TARGET = "tool.hatch.build.targets.wheel"
_COMPLETIONS = {
    "completions/jitid.bash": installed_files.SHARED["bash"],
    "completions/_jitid": installed_files.SHARED["zsh"],
    "completions/jitid.fish": installed_files.SHARED["fish"],
}


def text(path: Path) -> str:
    """Return the text of the file with the table up to date; the rest stays unchanged."""
    pages = {
        f"man/{page.name.partition('/')[2]}": f"share/man/{page.name}" for page in installed_files.man_pages()
    }
    return _with_table(path.read_text(encoding="utf-8"), "shared-data", {**_COMPLETIONS, **pages})


def _with_table(whole: str, name: str, entries: Mapping[str, str]) -> str:
    lines = "".join(f'"{source}" = "{target}"\n' for source, target in entries.items())
    changed, count = re.subn(
        rf'^(\[{re.escape(f"{_TARGET}.{name}")}\]\n)(?:".*\n)*',
        lambda found: found[1] + lines,
        whole,
        flags=re.MULTILINE,
    )
    assert count == 1, f"pyproject.toml has no table [{_TARGET}.{name}]"
    return changed
