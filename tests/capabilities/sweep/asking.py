"""Helpers that run the rules of a sweep, and their remedies, on the ledger of a test."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.sweep.finding import Coverage, Finding, Remedied, Swept, Thresholds, Unfixed
from jitid.capabilities.sweep.operations import Fix, Sweep
from jitid.capabilities.sweep.rules import NAMES
from tests.builders import World

LIMITS = Thresholds()


def swept(world: World, *rules: str, limits: Thresholds = LIMITS) -> list[Finding | Coverage | Swept]:
    """Return all results of a sweep. It is a dry run and records no expiry, so that the rules see the test's rows."""
    answer = world.authority.perform(Sweep(rules=rules or tuple(NAMES), limits=limits, dry_run=True))
    return list(answer)


def found(world: World, *rules: str, **more: Any) -> list[Finding]:
    """Return the findings of a sweep."""
    return [each for each in swept(world, *rules, **more) if isinstance(each, Finding)]


def fixed(world: World, *rules: str, **more: Any) -> list[Remedied]:
    """Fix the findings of the rules; return the remedies."""
    return [each for each in fixing(world, *rules, **more) if isinstance(each, Remedied)]


def fixing(
    world: World, *rules: str, most: int | None = None, limits: Thresholds = LIMITS, **more: Any
) -> list[Remedied | Unfixed]:
    """Fix the findings of the rules; return the remedies and the failures."""
    operation = Fix(rules=rules or tuple(NAMES), limits=limits, sweep="the sweep", most=most, **more)
    answer = world.authority.perform(operation)
    return list(answer)
