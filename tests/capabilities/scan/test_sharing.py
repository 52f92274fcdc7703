"""Work that a busy process gives to a process without work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.scan import helper_process
from jitid.capabilities.scan.file_source import FileSource
from jitid.capabilities.scan.hits import Searcher
from jitid.capabilities.scan.workers import MOST_TOGETHER, Sharing, _received, _send, readable
from tests.real import until

_PATIENCE = 60.0
"""Seconds after which a process has surely got the work that was given to it."""


class Taker:
    """A process that waits for work once, and reports the pieces that it got."""

    def __init__(self, sharing: Sharing) -> None:
        """Start the process, and return when it waits."""
        self._sharing = sharing
        self._pid, self._pipe = helper_process.start(self._take)
        until(lambda: sharing._waiting[0] == 1, "the process does not wait for work")

    def got(self) -> list[Any]:
        """Return the pieces that it got; none if all work was done."""
        answered = readable([self._pipe], _PATIENCE)
        pieces = list(_received(self._pipe)) if answered else []
        helper_process.stop(self._pid, self._pipe)
        assert answered, "no work was given away"
        return pieces

    def _take(self, pipe: int) -> None:
        first = next((piece for piece in self._sharing.pieces() if piece is not None), None)
        _send(pipe, [] if first is None else [*self._sharing.work, first])


@pytest.fixture
def sharing() -> Iterator[Sharing]:
    """Return the work of two processes."""
    sharing = Sharing(2)
    yield sharing
    sharing.close()


@pytest.mark.parametrize(
    ("pieces", "kept"), [(1, 0), (2, 1), (3, 1), (2 * MOST_TOGETHER + 10, MOST_TOGETHER + 10)]
)
def test_a_busy_process_gives_half_of_its_work_away_also_the_last_piece(
    sharing: Sharing, pieces: int, kept: int
) -> None:
    sharing.work += range(pieces)
    taker = Taker(sharing)
    sharing.share()
    assert sorted(taker.got()) == list(range(pieces - kept))
    assert sharing.work == list(range(pieces - kept, pieces))


def test_work_stays_while_no_process_waits(sharing: Sharing) -> None:
    sharing.work += range(3)
    sharing.share()
    assert sharing.work == [0, 1, 2]


def test_a_file_that_waits_is_given_away_during_the_search_of_another(tmp_path: Path) -> None:
    """The search of a long file is one piece of work: nothing waits for its end."""
    (tmp_path / "long").write_bytes(b"x" * (1 << 24))
    (tmp_path / "short").write_bytes(b"x")
    source = FileSource([str(tmp_path / "long"), str(tmp_path / "short")])
    source.prepare(2)
    taker = Taker(source._sharing)
    searcher = Searcher()
    steps = source.search(searcher)
    next(steps)
    assert taker.got() == [(1, None, None, None)]
    assert 0 < searcher.tally.bytes < 1 << 24
    # The other process has ended: this one would wait for it when its own work is done.
    source.close()
