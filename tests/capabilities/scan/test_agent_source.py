"""The lines of places in the files of agents."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from jitid.capabilities.scan import agent_source
from jitid.capabilities.scan.agent_places import FoundPlace
from jitid.capabilities.scan.agent_source import PIECE, AgentSource
from jitid.capabilities.scan.hits import UNCOUNTED, Hit
from jitid.search.strings import times

SIZE = 3 << 20
"""Many times as many bytes as lie between two noted offsets."""


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    """Return a file with lines of various lengths."""
    chance = random.Random(11)
    path = tmp_path / "session.jsonl"
    lines = []
    size = 0
    while size < SIZE:
        lines.append(b"x" * chance.choice((0, 7, 900, 40_000)) + b"\n")
        size += len(lines[-1])
    path.write_bytes(b"".join(lines))
    return path


def lines_of(source: AgentSource, path: Path, offsets: list[int]) -> list[int | None]:
    """Return the lines of places in a later part of a file."""
    hits = [Hit(bytes(8), "opaque", str(path), UNCOUNTED, None, offset, None) for offset in offsets]
    return [hit.line for hit in source.located(hits)]


@pytest.mark.parametrize("order", ["ascending", "descending", "mixed"])
def test_places_in_any_order_have_their_lines_without_counting_the_file_for_each(
    transcript: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Several processes report the places of their parts as they find them."""
    content = transcript.read_bytes()
    chance = random.Random(order)
    offsets = sorted(
        {0, 1, len(content) - 1, len(content), *(chance.randrange(len(content)) for _ in range(200))}
    )
    if order == "descending":
        offsets.reverse()
    elif order == "mixed":
        chance.shuffle(offsets)
    counted: list[int] = []

    def counting(part: bytes, letter: bytes) -> int:
        counted.append(len(part))
        return times(part, letter)

    monkeypatch.setattr(agent_source, "times", counting)
    source = AgentSource([FoundPlace("claude-code", str(transcript), str(transcript))], spared=frozenset())
    expected = [content.count(b"\n", 0, offset) + 1 for offset in offsets]
    assert lines_of(source, transcript, offsets) == expected
    assert len(content) <= sum(counted) < len(content) + len(offsets) * PIECE
    # The same places are known now.
    counted.clear()
    assert lines_of(source, transcript, offsets) == expected
    assert counted == []


def test_a_place_beyond_the_end_of_a_file_that_became_shorter_has_its_last_line(transcript: Path) -> None:
    transcript.write_bytes(b"one\ntwo\nthree")
    source = AgentSource([FoundPlace("claude-code", str(transcript), str(transcript))], spared=frozenset())
    assert lines_of(source, transcript, [SIZE, 5]) == [3, 2]


def test_a_place_in_a_file_that_is_gone_has_no_line(transcript: Path) -> None:
    transcript.unlink()
    source = AgentSource([FoundPlace("claude-code", str(transcript), str(transcript))], spared=frozenset())
    assert lines_of(source, transcript, [5]) == [None]
