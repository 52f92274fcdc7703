"""Every help page: complete, in eighty columns, without escapes."""

from __future__ import annotations

import pytest

from jitid.cli import main
from jitid.cli.verbs import GROUPS, all_verbs


@pytest.mark.parametrize("verb", ["", *GROUPS, *all_verbs()])
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


def test_every_group_has_verbs_and_a_sentence() -> None:
    """A first word without a second word would lead nowhere."""
    assert {verb.split()[0] for verb in all_verbs() if " " in verb} == GROUPS.keys()
