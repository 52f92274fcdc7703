"""Run the machine for long: `python -m tests.machine --minutes 60 --backend sqlite`."""

from __future__ import annotations

import argparse
import sys
from time import monotonic

from tests.machine import drivers
from tests.machine.running import run
from tests.machine.world import DifferenceError


def main() -> int:
    """Run until the time is up or a difference is found; then print the commands that lead to it."""
    parser = argparse.ArgumentParser(prog="python -m tests.machine", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--backend", choices=drivers.BACKENDS, default="sqlite")
    parser.add_argument("--steps", type=int, default=40, help="steps a run (default: 40)")
    parser.add_argument("--strangers", action="store_true", help="do each run again without the strangers")
    parser.add_argument(
        "--no-shrink", action="store_true", help="print the first failing run as it was drawn"
    )
    chosen = parser.parse_args()
    until = monotonic() + chosen.minutes * 60
    rounds = 0
    with drivers.running(chosen.backend) as backend:
        while monotonic() < until:
            try:
                run(
                    backend,
                    examples=5,
                    steps=chosen.steps,
                    fixed=False,
                    strangers=chosen.strangers,
                    shrink=not chosen.no_shrink,
                )
            except DifferenceError as error:
                print(error)
                return 1
            rounds += 1
            print(f"{rounds * 5} runs without a difference", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
