"""Runs of the machine: short with a fixed seed, or of any length with new seeds."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.drivers import Backend
from tests.machine.laws import without_strangers
from tests.machine.machine import Machine


def run(
    backend: Backend, *, examples: int, steps: int, fixed: bool, strangers: bool = False, shrink: bool = True
) -> None:
    """Run the machine on a backend; with `fixed` each run draws the same steps."""

    class Bound(Machine):
        def teardown(self) -> None:
            try:
                if strangers:
                    without_strangers(self.world, backend)
            finally:
                super().teardown()

    Bound.backend = backend
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=fixed,
            print_blob=True,
            phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
