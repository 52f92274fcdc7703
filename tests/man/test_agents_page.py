"""The page about coding agents: it shows the hooks that `setup` writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.man.source import displays, items, plain, read, section
from tests.real import Shell

PAGE = read("jitid-agents.7")


def _words(value: Any) -> Any:
    """Return settings with the commands as words, each program by its name, and without the choice of a ledger."""
    if isinstance(value, dict):
        return {name: _words(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_words(member) for member in value]
    if isinstance(value, str) and " helper " in value:
        line = re.sub(r" --(?:ledger|remote|config|profile) \S+", "", value)
        return ["jitid", *line.split()[line.split().index("helper") :]]
    return value


def test_the_hooks_by_hand_are_those_of_setup(tmp_path: Path) -> None:
    """A reader who writes them has the same as one who runs the command that the page names first."""
    assert PAGE.index("jitid setup claude-code") < PAGE.index(".Sh CLIENTS")
    shell = Shell(tmp_path)
    hooks = section(PAGE, "HOOKS")
    (command,) = re.findall(r"^\.Ql jitid (setup claude-code .+)$", hooks, re.MULTILINE)
    shell.good(*command.split(), "--yes")
    written = json.loads((shell.home / ".claude/settings.json").read_text())
    (shown,) = [text for text in displays(hooks) if text.startswith("{")]
    for name, line in items(hooks).items():
        shown = shown.replace(name, plain(line.replace(".Li ", "")).replace("\n", " ").strip())
    assert _words(json.loads(shown)) == _words(written)
