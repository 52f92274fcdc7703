"""The generated files equal the files in the repository, and cover the whole command tree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from jitid.cli.verbs import all_verbs
from tests.generate import fish, values
from tests.generate.producers import ROOT, produced
from tests.generate.tree import Verb, tree
from tests.real import need

TREE = tree()
PRODUCED = dict(produced())


@pytest.mark.parametrize("path", PRODUCED, ids=lambda path: str(path.relative_to(ROOT)))
def test_generating_again_changes_nothing(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PRODUCED[path], "run: python -m tests.generate"


@pytest.mark.parametrize(
    ("shell", "path"), [("bash", "jitid.bash"), ("zsh", "_jitid"), ("fish", "jitid.fish")]
)
def test_the_shell_can_read_its_script(shell: str, path: str) -> None:
    done = subprocess.run(
        [need(shell), "-n", str(ROOT / "completions" / path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("verb", TREE, ids=lambda verb: verb.name or "jitid")
def test_every_option_and_argument_of_a_verb_is_covered(verb: Verb) -> None:
    """For a new option, tests/generate/values.py must state how its value is completed; the error names that file."""
    for option in (*TREE[0].options, *verb.options):
        assert (values.option_value(verb, option) is None) == (option.metavar is None)
    for argument in verb.arguments:
        assert argument.metavar


def test_nothing_is_said_of_what_there_is_not() -> None:
    assert values.FIELDS.keys() | values.FORMATS_OF.keys() <= all_verbs().keys()


def test_fish_knows_the_options_that_have_a_value_after_some_verbs_only() -> None:
    valued = {name for verb in TREE for option in verb.options if option.metavar for name in option.names}
    flags = {
        f"'{verb.name}:{name}'"
        for verb in TREE
        for option in verb.options
        if not option.metavar
        for name in option.names
        if name in valued
    }
    (stated,) = re.findall(r"^ *set -l flags (.*)$", fish.text(TREE), re.MULTILINE)
    assert set(re.findall(r"'[^']*'", stated)) == flags
    assert "'list:--tree'" in flags
