"""What targets outside have told a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitid.model.target import Existing


class SeenTarget(NamedTuple):
    """What one target has told. Times are seconds since the epoch, by the ledger."""

    target: str
    asked_at: int
    """When it was asked: what changed since then is not judged by it."""
    existing: Sequence[Existing]
    names: Sequence[tuple[str, int]]
    """What it calls the credentials that the ledger has there, each with the ledger's number."""
    unseen: str | None
    """What of ours it cannot list, in a few words; None where it lists all."""


class Observed(NamedTuple):
    """What the targets have told."""

    seen: tuple[SeenTarget, ...] = ()
    missed: tuple[str, ...] = ()
    """Which of them have not, and why."""
    asked: frozenset[str] | None = None
    """To which targets a sweep is confined; None: to none."""
