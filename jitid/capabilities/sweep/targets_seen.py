"""Answers of targets to a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitid.model.target import Existing


class SeenTarget(NamedTuple):
    """The answer of one target. Times are seconds since the epoch, by the ledger's clock."""

    target: str
    asked_at: int
    """The time of the query; later changes cannot be judged by the answer."""
    existing: Sequence[Existing]
    names: Sequence[tuple[str, int]]
    """The target's names for credentials that the ledger has there, each with the ledger's key."""
    unseen: str | None
    """The jitid credentials that it cannot list, in a few words; None if it lists all."""


class Observed(NamedTuple):
    """The answers of all targets."""

    seen: tuple[SeenTarget, ...] = ()
    missed: tuple[str, ...] = ()
    """The targets that did not answer, each with the reason."""
    asked: frozenset[str] | None = None
    """The targets to which the sweep is limited; None for no limit."""
