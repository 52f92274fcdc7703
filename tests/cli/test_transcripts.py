"""Each transcript is a test: the command line must print the answers in the transcript."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.transcripts import FOLDER, compare, parse, replay
from tests.real import libfaketime, need

TRANSCRIPTS = sorted(FOLDER.glob("*.txt"))


@pytest.mark.deep
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_command_line_answers_as_written(path: Path, tmp_path: Path) -> None:
    """A failure shows the difference between the file and the answers."""
    written = path.read_text()
    if "faketime" in written:
        libfaketime()
    for word, program in (("ssh-add", "ssh-agent"), ("openssl", "openssl")):
        if word in written:
            need(program)
    compare(path, replay(written, tmp_path))


def test_a_transcript_is_read_back_as_it_was_written() -> None:
    """Comments, continued commands and marked lines keep their places."""
    steps, after = parse("# why\n\n$ cat <<E\n> x\n> E\nx\n| \n2> told\n? 3\n\n# end\n")
    assert [(step.before, step.script, step.expected) for step in steps] == [
        (("# why", ""), "cat <<E\nx\nE", ("x", "| ", "2> told", "? 3"))
    ]
    assert after == ("", "# end")


def test_a_command_finds_what_the_one_before_it_set(tmp_path: Path) -> None:
    """Variables and files last for a transcript; a failing status does not end it."""
    text = '$ A=\'a  "b\'; echo "$A" > f; exit 3\n? 3\n'
    text += '$ echo "$A"; cat f; echo told >&2\na  "b\na  "b\n2> told\n'
    assert replay(text, tmp_path) == text
