"""Every help page: complete, in eighty columns, without escapes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from jitid.cli import main
from jitid.cli.help_text import TOPICS
from jitid.cli.invocation import Invocation
from jitid.cli.line import bound, read
from jitid.cli.old_names import RENAMED
from jitid.cli.setup import help as help_
from jitid.cli.setup.help import PAGES
from jitid.cli.verbs import FIRST_WORDS, GROUPS, SECTIONS, all_verbs


@pytest.mark.parametrize("verb", ["", *GROUPS, *all_verbs()])
def test_help_fits_a_plain_terminal(
    verb: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fits two screens, too. The width and the features of the terminal do not matter."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main.run([*verb.split(), "--help"]) == 0
    shown, talk = capfd.readouterr()
    assert talk == ""
    assert shown.startswith(f"Usage: {' '.join(['jitid', *verb.split()])} ")
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("\n") <= 48
    assert shown.replace("\n", "").isprintable()


def test_every_group_has_verbs_and_a_sentence() -> None:
    """Words that lead to no verb would lead nowhere."""
    assert {verb.rpartition(" ")[0] for verb in all_verbs() if " " in verb} | {
        verb.partition(" ")[0] for verb in all_verbs() if " " in verb
    } == GROUPS.keys()


def test_every_verb_has_a_section() -> None:
    assert sorted({verb.partition(" ")[0] for verb in all_verbs()}) == sorted(FIRST_WORDS)
    assert len(set(FIRST_WORDS)) == len(FIRST_WORDS)


def test_the_first_screens_show_every_section(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    shown = capfd.readouterr().out
    assert all(f"{section}:" in shown for section in SECTIONS)
    assert all(topic in shown for topic in TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_each_topic_fits_a_plain_terminal(topic: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(["help", topic]) == 0
    shown, talk = capfd.readouterr()
    assert talk == ""
    assert shown.endswith("\n")
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("former", RENAMED)
def test_help_finds_a_former_name(former: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(["help", *former.split()]) == 0
    assert f"`jitid {former}` is now `jitid {RENAMED[former]}`." in capfd.readouterr().out


def test_an_unknown_topic_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(["help", "weather"]) == 2
    assert "`weather` is neither a verb nor a topic" in capfd.readouterr().err


def test_a_page_that_is_no_topic_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    pages = {
        path.stem.removeprefix("jitid-") for path in (Path(__file__).parents[2] / "man").glob("jitid-*.7")
    }
    assert pages == PAGES
    assert main.run(["help", "federation"]) == 2
    assert "the page about it: man jitid-federation" in capfd.readouterr().err


def test_the_help_of_login_says_what_to_register(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(["login", "--help"]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "http://127.0.0.1/login" in shown
    assert "jitid-login(7)" in shown


def _commands(topic: str) -> list[str]:
    """Return the commands of a topic, each on one line."""
    text = Path(help_.__file__).parent.parent.joinpath("topics", f"{topic}.txt").read_text()
    return re.findall(r"^  \$ ((?:.*\\\n)*.*)", text, re.MULTILINE)


@pytest.mark.parametrize("topic", sorted(TOPICS.keys() - {"options", "exit-codes", "environment"}))
def test_each_command_of_a_topic_is_a_valid_line(topic: str) -> None:
    for command in _commands(topic):
        # A note may follow a command on its line, after two blanks.
        joined = re.sub(r"\\\n *", "", command).removeprefix("TOKEN=$(").rstrip(")")
        words = shlex.split(joined.partition("   ")[0])
        assert words[0] == "jitid"
        line = read(words[1:])
        assert line is not None, command
        bound(line, {}, Invocation())
