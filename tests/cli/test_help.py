"""Every help page: complete, in eighty columns, without escapes; and the table agrees with the verbs."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from importlib import import_module
from pkgutil import iter_modules

import pytest

from jitid.cli import main, options
from jitid.cli.verbs import COMMANDS, GROUPS


@pytest.mark.parametrize("verb", ["", *GROUPS, *COMMANDS])
def test_help_fits_a_plain_terminal(
    verb: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The width and the features of the terminal do not matter."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main.run([*verb.split(), "--help"]) == 0
    shown, talk = capfd.readouterr()
    assert talk == ""
    assert shown.startswith(f"Usage: {' '.join(['jitid', *verb.split()])} ")
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_table_has_the_first_sentence_of_each_verb(verb: str) -> None:
    """The list of verbs is made without loading any verb, and must agree with their docstrings."""
    module, function = COMMANDS[verb][0].split(":")
    callback = getattr(import_module(f"jitid.cli.{module}"), function)
    assert (inspect.getdoc(callback) or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[verb][1]


def test_no_two_modules_of_options_use_one_name() -> None:
    """All modules share one namespace: a later module would replace the help of an earlier one."""
    modules = [import_module(f"{options.__name__}.{one.name}") for one in iter_modules(options.__path__)]
    used = Counter(
        name
        for module in modules
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        for name in [getattr(target, "id", "_")]
        if not name.startswith("_")
    )
    assert len(used) > 100
    assert [name for name, count in used.items() if count > 1] == []


def test_every_group_has_verbs_and_a_sentence() -> None:
    """A first word without a second word would lead nowhere."""
    assert {verb.split()[0] for verb in COMMANDS if " " in verb} == GROUPS.keys()
