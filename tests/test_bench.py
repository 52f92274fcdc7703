"""Tests of how the benchmarks judge their figures; no benchmark is measured here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import record
from tests.bench.ground import Ground
from tests.bench.measure import Goal, Row, Series, at_least, at_most, duration, per_second
from tests.bench.record import Line, Recorded


def row(what: str, *ratios: float, goal: Goal | None = None, rate: bool = False) -> Row:
    own = Series("own", ratios, per_second if rate else duration)
    return Row(what, own, Series("floor", [1.0] * len(ratios), duration), goal)


def worse(before: Row, now: Row) -> bool:
    return bool(record.worse(Recorded("abc", (record.line("g", before),)), [record.line("g", now)]))


@pytest.mark.parametrize(
    ("goal", "rate", "larger"),
    [(at_most(3), False, False), (at_least(3), False, True), (None, False, False), (None, True, True)],
)
def test_a_ratio_that_got_worse_is_named_and_a_better_one_is_not(
    goal: Goal | None, rate: bool, larger: bool
) -> None:
    before = row("x", 2.0, 2.0, 2.0, goal=goal, rate=rate)
    smaller, greater = (
        row("x", 1.9, 1.9, 1.9, goal=goal, rate=rate),
        row("x", 2.1, 2.1, 2.1, goal=goal, rate=rate),
    )
    assert worse(before, smaller) is larger
    assert worse(before, greater) is not larger
    assert not worse(before, before)


def test_the_noise_of_both_runs_counts() -> None:
    """The noise is half the distance between the quartiles: a tenth of 2 in each of these runs."""
    before, within, beyond = row("x", 1.8, 2.0, 2.2), row("x", 2.1, 2.3, 2.5), row("x", 2.3, 2.5, 2.7)
    assert record.line("g", before).noise == pytest.approx(0.05)
    assert not worse(before, row("x", 2.05, 2.1, 2.15))
    assert worse(before, within)
    assert worse(before, beyond)


def test_of_a_single_round_the_noise_is_not_taken_for_nothing() -> None:
    before = row("x", 2.0)
    assert record.line("g", before).noise is None
    assert not worse(before, row("x", 2.3))
    assert worse(before, row("x", 2.5))


def test_what_is_new_or_of_another_group_is_not_compared() -> None:
    before = Recorded("abc", (record.line("g", row("x", 1.0)), record.line("h", row("y", 1.0))))
    now = [record.line("g", row("z", 9.0))]
    assert record.worse(before, now) == []
    assert record.unmeasured(before, now, ["g"]) == ["x"]
    assert record.unmeasured(before, now, ["g", "h"]) == ["x", "y"]


def test_a_run_comes_back_as_it_was_recorded_and_is_the_table(tmp_path: Path) -> None:
    readme, path = tmp_path / "README.md", tmp_path / "recorded.json"
    readme.write_text(f"before\n\n{record.table(Recorded('old', ()))}\nafter\n")
    run = Recorded(
        "abc", (record.line("g", row("x", 1.0, 1.2, goal=at_most(3))), record.line("g", row("é", 2.0)))
    )
    record.write(run, path, readme)
    assert record.read(path) == run
    assert record.table_of(readme.read_text()) == record.table(run)
    assert readme.read_text().endswith("\n\nafter\n")


def test_the_table_of_the_readme_is_the_recorded_run() -> None:
    run = record.read()
    assert record.table_of(record.README.read_text()) == record.table(run)
    assert {one.group for one in run.lines} <= bench.GROUPS.keys()
    assert len({one.key for one in run.lines}) == len(run.lines)


def _run(
    monkeypatch: pytest.MonkeyPatch, folder: Path, rows: Callable[[Ground], Iterator[Row]], *words: str
) -> None:
    monkeypatch.setattr(bench, "GROUPS", {"g": rows})
    monkeypatch.setattr(sys, "argv", ["bench", "--folder", str(folder), *words])
    bench.main()


def _recorded(monkeypatch: pytest.MonkeyPatch, lines: Sequence[Line]) -> None:
    monkeypatch.setattr(record, "read", lambda: Recorded("abc", tuple(lines)))


def test_a_check_ends_with_1_where_something_is_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _recorded(monkeypatch, [record.line("g", row("x", 1.0, 1.0))])
    _run(monkeypatch, tmp_path, lambda _: iter([row("x", 1.0, 1.0)]), "--check")
    assert capsys.readouterr().out.endswith("nothing is worse than on abc\n")
    with pytest.raises(
        SystemExit,
        match="worse than on abc, by more than the noise of both:\nx, against floor: ratio 1, now 2",
    ):
        _run(monkeypatch, tmp_path, lambda _: iter([row("x", 2.0, 2.0)]), "--check")
    with pytest.raises(SystemExit, match="x: not measured any more"):
        _run(monkeypatch, tmp_path, lambda _: iter([row("y", 2.0, 2.0)]), "--check")


def test_a_benchmark_whose_peer_is_absent_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That run is neither recorded nor accepted as no worse."""
    from tests.real import need

    def rows(_: Ground) -> Iterator[Row]:
        need("no-such-program")
        yield row("x", 1.0)

    monkeypatch.setattr(record, "write", lambda *_: pytest.fail("recorded"))
    for words in ([], ["--record"], ["--check"]):
        with pytest.raises(SystemExit, match="not measured: g: no-such-program is not installed"):
            _run(monkeypatch, tmp_path, rows, *words)
        assert "<!-- g: no-such-program is not installed -->" in capsys.readouterr().out


def test_a_part_of_the_groups_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as ended:
        _run(monkeypatch, tmp_path, lambda _: iter([row("x", 1.0)]), "--record", "g")
    assert ended.value.code == 2
