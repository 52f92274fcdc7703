"""Measuring by ratios: whatever is compared is run in turns, so that a busy neighbour slows both."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from time import perf_counter
from typing import NamedTuple

HEADER = "| what | measured | floor or peer | ratio | goal | noise |\n| --- | --- | --- | --- | --- | --- |"


class Series(NamedTuple):
    """What one thing came to in each round: seconds, or things a second, or bytes."""

    name: str
    values: Sequence[float]
    shown: Callable[[float], str]

    def __str__(self) -> str:
        return f"{self.shown(median(self.values))} ({self.name})"


class Goal(NamedTuple):
    """What should be reached: of the ratio or, where `absolute`, of the measured value itself."""

    text: str
    limit: float
    at_least: bool
    absolute: bool

    def reached(self, value: float) -> bool:
        """Say whether `value` is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit


def at_most(ratio: float) -> Goal:
    """Return the goal of a ratio that is better the smaller it is."""
    return Goal(f"≤ {ratio:g}", ratio, at_least=False, absolute=False)


def at_least(ratio: float) -> Goal:
    """Return the goal of a ratio that is better the larger it is."""
    return Goal(f"≥ {ratio:g}", ratio, at_least=True, absolute=False)


def under(limit: float, shown: Callable[[float], str]) -> Goal:
    """Return the goal of a measured value that is better the smaller it is."""
    return Goal(f"< {shown(limit)}", limit, at_least=False, absolute=True)


def over(limit: float, shown: Callable[[float], str]) -> Goal:
    """Return the goal of a measured value that is better the larger it is."""
    return Goal(f"≥ {shown(limit)}", limit, at_least=True, absolute=True)


class Row(NamedTuple):
    """One line of the table."""

    what: str
    measured: Series
    floor: Series
    goal: Goal | None

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round."""
        return [one / other for one, other in zip(self.measured.values, self.floor.values, strict=True)]

    @property
    def missed(self) -> bool:
        """Whether there is a goal and it is not reached."""
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
    """Return half the distance between the quartiles as a part of the median: how far a typical round is off."""
    if len(values) < 2:
        return 0.0
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle


def in_turns(rounds: int, things: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Run each thing once a round, every other round backwards, and return what each came to, round by round.

    A first round that nobody counts fills the caches.
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
    """Return how long one call takes; what was left lying before it is not swept up on its time."""
    gc.collect()
    start = perf_counter()
    thing()
    return perf_counter() - start


def rate(count: int, thing: Callable[[], object]) -> float:
    """Return how many of the `count` things that one call does are done in a second."""
    return count / seconds(thing)


def duration(value: float) -> str:
    """Write seconds in a unit that fits."""
    if value < 1e-3:
        return f"{value * 1e6:.3g} µs"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def per_second(value: float) -> str:
    """Write a rate."""
    return f"{value:,.0f} a second"


def size(value: float) -> str:
    """Write a number of bytes."""
    return f"{value:,.0f} bytes"


def megabytes(value: float) -> str:
    """Write a large number of bytes."""
    return f"{value / 1e6:.0f} MB"


def share(value: float) -> str:
    """Write a factor."""
    return f"{value:.2f}"
