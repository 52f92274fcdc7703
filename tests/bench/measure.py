"""Measurement by ratios: the compared operations run in turns, so that other load on the machine slows both."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from time import perf_counter
from typing import NamedTuple

HEADER = "| what | measured | floor or peer | ratio | goal | noise |\n| --- | --- | --- | --- | --- | --- |"


class Series(NamedTuple):
    """The values of one operation in each round: seconds, operations a second, or bytes."""

    name: str
    values: Sequence[float]
    shown: Callable[[float], str]

    def __str__(self) -> str:
        return f"{self.shown(median(self.values))} ({self.name})"


class Goal(NamedTuple):
    """The limit for a ratio, or for the measured value itself if `absolute`."""

    text: str
    limit: float
    at_least: bool
    absolute: bool

    def reached(self, value: float) -> bool:
        """Return whether `value` meets the goal."""
        return value >= self.limit if self.at_least else value <= self.limit


def at_most(ratio: float) -> Goal:
    """Return the upper limit of a ratio."""
    return Goal(f"≤ {ratio:g}", ratio, at_least=False, absolute=False)


def at_least(ratio: float) -> Goal:
    """Return the lower limit of a ratio."""
    return Goal(f"≥ {ratio:g}", ratio, at_least=True, absolute=False)


def under(limit: float, shown: Callable[[float], str]) -> Goal:
    """Return the upper limit of a measured value."""
    return Goal(f"< {shown(limit)}", limit, at_least=False, absolute=True)


def over(limit: float, shown: Callable[[float], str]) -> Goal:
    """Return the lower limit of a measured value."""
    return Goal(f"≥ {shown(limit)}", limit, at_least=True, absolute=True)


class Row(NamedTuple):
    """One line of the table."""

    what: str
    measured: Series
    floor: Series
    goal: Goal | None

    @property
    def ratios(self) -> list[float]:
        """Return the ratio of each round."""
        return [one / other for one, other in zip(self.measured.values, self.floor.values, strict=True)]

    @property
    def missed(self) -> bool:
        """Return whether the row misses its goal; False without a goal."""
        value = median(self.measured.values if self.goal and self.goal.absolute else self.ratios)
        return self.goal is not None and not self.goal.reached(value)

    def __str__(self) -> str:
        ratio = median(self.ratios)
        goal = "" if self.goal is None else self.goal.text + (" (missed)" if self.missed else "")
        shown = f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"
        return (
            f"| {self.what} | {self.measured.shown(median(self.measured.values))} | {self.floor} | {shown} | {goal} "
            f"| ±{spread(self.ratios):.0%} |"
        )


def spread(values: Sequence[float]) -> float:
    """Return half of the interquartile range, relative to the median: the error of a typical round."""
    if len(values) < 2:
        return 0.0
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle


def in_turns(rounds: int, things: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Run each operation once a round, in reverse order every other round; return their values by round.

    An additional first round, which fills the caches, is not counted.
    """
    found: dict[str, list[float]] = {name: [] for name in things}
    order = list(things)
    for number in range(rounds + 1):
        for name in order:
            value = things[name]()
            if number:
                found[name].append(value)
        order.reverse()
    return found


def seconds(thing: Callable[[], object]) -> float:
    """Return the duration of one call. Earlier garbage is collected before the measurement starts."""
    gc.collect()
    start = perf_counter()
    thing()
    return perf_counter() - start


def rate(count: int, thing: Callable[[], object]) -> float:
    """Return the rate per second of a call that does `count` operations."""
    return count / seconds(thing)


def duration(value: float) -> str:
    """Format seconds in a suitable unit."""
    if value < 1e-3:
        return f"{value * 1e6:.3g} µs"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def per_second(value: float) -> str:
    """Format a rate."""
    return f"{value:,.0f} a second"


def size(value: float) -> str:
    """Format a number of bytes."""
    return f"{value:,.0f} bytes"


def megabytes(value: float) -> str:
    """Format a large number of bytes."""
    return f"{value / 1e6:.0f} MB"


def share(value: float) -> str:
    """Format a factor."""
    return f"{value:.2f}"
