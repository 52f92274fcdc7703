"""Plant defects into copies and report which of them the tests find: `python -m tests.plant [NAME…]`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.plant.defect import Defect, defects
from tests.plant.running import Outcome, Result, attempt, confirmed, copy_tree, stop


def main() -> int:
    """Try the named defects, or all of them; return 0 if the tests found each."""
    parser = argparse.ArgumentParser(prog="python -m tests.plant", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these defects")
    parser.add_argument("--list", action="store_true", help="list the defects, and plant none")
    parser.add_argument(
        "--tests", nargs="+", default=(), metavar="PATH", help="run these tests for each of them"
    )
    parser.add_argument("--jobs", type=int, default=1, help="how many copies are tested at once (default: 1)")
    parser.add_argument(
        "--timeout", type=float, default=900, help="seconds for the tests of one (default: 900)"
    )
    given = parser.parse_args()
    known = {one.name: one for one in defects()}
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no such defect: {', '.join(unknown)}")
    chosen = [known[name] for name in given.names] or list(known.values())
    if given.list:
        for one in chosen:
            print(f"{one.name:32} {one.what}" + (f" ({one.seen})" if one.seen else ""))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    counts: Counter[Outcome] = Counter()
    for result, seconds in _results(chosen, given.tests, given.jobs, given.timeout):
        counts[result.outcome] += 1
        print(f"{result.outcome:16} {result.defect.name:32} {seconds:4.0f} s  {result.told}", flush=True)
    rest = ", ".join(
        f"{count} {outcome}" for outcome, count in counts.items() if outcome is not Outcome.FOUND
    )
    print(f"{counts[Outcome.FOUND]} of {len(chosen)} found" + (f"; {rest}" if rest else ""))
    return 0 if counts[Outcome.FOUND] == len(chosen) else 1


def _results(
    chosen: Sequence[Defect], tests: Sequence[str], jobs: int, timeout: float
) -> Iterator[tuple[Result, float]]:
    with tempfile.TemporaryDirectory(prefix="plant-") as name, ThreadPoolExecutor(jobs) as pool:
        folder = Path(name)
        # Some tests run a copy as other users.
        folder.chmod(0o755)
        (folder / "clean").mkdir()
        clean = copy_tree(folder / "clean")

        def one(numbered: tuple[int, Defect]) -> tuple[Result, float]:
            number, defect = numbered
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix=f"{number}-", dir=folder) as place:
                Path(place).chmod(0o755)
                result = attempt(defect, Path(place) / "tree", clean, tests=tests, timeout=timeout)
            return confirmed(result, clean, timeout), time.monotonic() - begun

        try:
            yield from pool.map(one, enumerate(chosen))
        except BaseException:
            # An interrupt must not wait for running tests.
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise


if __name__ == "__main__":
    sys.exit(main())
