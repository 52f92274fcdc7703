"""The texts of the man pages besides the declarations of verbs, from `jitid/cli/pages/`."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jitid.cli.verbs import all_verbs
from tests.generate import values

_FOLDER = Path(__file__).parent.parent.parent / "jitid" / "cli" / "pages"


class Example(NamedTuple):
    """A command as a user would type it, and its purpose."""

    what: str
    command: str
    tried: bool = True
    """Whether a test can run it; false if it needs another machine, an issuer of ID tokens, or a signal to end."""


def _loaded(name: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


ROOT: Mapping[str, Any] = _loaded("jitid")
"""The texts of jitid(1)."""
_VERBS: Mapping[str, Any] = {
    verb: page
    for path in sorted(_FOLDER.glob("*.toml"))
    if path.stem != "jitid"
    for verb, page in _loaded(path.stem).items()
}

for _verb in all_verbs():
    if _verb not in _VERBS:
        sys.exit(f"jitid/cli/pages/*.toml has no section [{_verb!r}] for the page of the new verb")

STATUSES: Mapping[int, str] = {int(status): text for status, text in ROOT["statuses"].items()}
"""The general sentence of each exit status."""
OF_RUN: Mapping[int, str] = {int(status): text for status, text in ROOT["statuses_of_run"].items()}
FIRST = tuple(Example(**each) for each in ROOT["first"])
"""The examples of jitid(1) itself."""
EXAMPLES: Mapping[str, tuple[Example, ...]] = {
    verb: tuple(Example(**each) for each in page.get("examples", ())) for verb, page in _VERBS.items()
}
RELATED: Mapping[str, tuple[str, ...]] = {verb: tuple(page["related"]) for verb, page in _VERBS.items()}
"""Verb -> verbs with related pages."""
ENDS: Mapping[str, Mapping[int, str]] = {
    verb: {int(status): text for status, text in page["exit"].items()}
    for verb, page in _VERBS.items()
    if "exit" in page
}
"""Verb -> its exit statuses, except for bugs and signals; without a sentence here, the general one applies."""
MORE: Mapping[str, str] = {verb: page["more"] for verb, page in _VERBS.items() if "more" in page}

FIELDS: Mapping[str, tuple[str, ...]] = {
    **{verb: fields for verb, fields in values.FIELDS.items() if fields},
    **{name: verb.view.fields for name, verb in all_verbs().items() if verb.view is not None},
}
"""Verb -> the fields of its output."""


def options_of(command: str) -> set[str]:
    """Return the long options of a command line."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", command))
