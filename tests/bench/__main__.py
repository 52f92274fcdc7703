"""Run the benchmarks: `python -m tests.bench [name…]` prints a line for each figure, in the README's format."""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench import (
    adopting,
    authority,
    authorize,
    backup,
    breach,
    bulk,
    completion,
    contention,
    governing,
    incident,
    issue,
    leases,
    million,
    moving,
    postgres,
    prune,
    publishing,
    python_api,
    record,
    replay,
    report,
    reviewing,
    roles,
    running,
    scan,
    scanagents,
    scangit,
    size,
    sshcerts,
    startup,
    sweep,
    trace,
    verify,
    x509svids,
)
from tests.bench.ground import ROOT, Ground
from tests.bench.measure import HEADER, Row

GROUPS: dict[str, Callable[[Ground], Iterator[Row]]] = {
    "startup": startup.rows,
    "running": running.rows,
    "completion": completion.rows,
    "issue": issue.rows,
    "python": python_api.rows,
    "contention": contention.rows,
    "bulk": bulk.rows,
    "verify": verify.rows,
    "authorize": authorize.rows,
    "trace": trace.rows,
    "scan": scan.rows,
    "size": size.rows,
    "million": million.rows,
    "incident": incident.rows,
    "breach": breach.rows,
    "prune": prune.rows,
    "sweep": sweep.rows,
    "report": report.rows,
    "governing": governing.rows,
    "replay": replay.rows,
    "reviewing": reviewing.rows,
    "authority": authority.rows,
    "postgres": postgres.rows,
    "moving": moving.rows,
    "backup": backup.rows,
    "publishing": publishing.rows,
    "roles": roles.rows,
    "leases": leases.rows,
    "ssh-cert": sshcerts.rows,
    "x509-svid": x509svids.rows,
    "scan-git": scangit.rows,
    "scan-agents": scanagents.rows,
    "adopting": adopting.rows,
}


def main() -> None:
    """Measure the given groups, or all groups."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(GROUPS)}; all unless named")
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "build",
        help="where to work; on a real disk (default: %(default)s)",
    )
    parser.add_argument("--cache", type=Path, help="where to keep the ledger of 1.5 million for the next run")
    parser.add_argument("--rounds", type=int, default=7, help="how often to compare (default: %(default)s)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="name what is worse than in the last recorded run; 1 if anything is",
    )
    parser.add_argument(
        "--record", action="store_true", help="record this run, of all groups, also as the README's table"
    )
    options = parser.parse_args()
    if options.record and options.names:
        parser.error("a recorded run is one of all groups")
    if unknown := set(options.names) - GROUPS.keys():
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    # The command does the same after its imports: the collector scans only objects that are created later.
    gc.freeze()
    options.folder.mkdir(parents=True, exist_ok=True)
    before = record.read() if options.check else None
    lines, absent = [], []
    print(HEADER, flush=True)
    for name in options.names or GROUPS:
        folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=options.folder))
        started, busy = time.perf_counter(), os.getloadavg()[0]
        try:
            for row in GROUPS[name](Ground(folder, options.cache, options.rounds)):
                print(row, flush=True)
                lines.append(record.line(name, row))
        except (pytest.skip.Exception, pytest.fail.Exception) as error:
            absent.append(f"{name}: {error.msg}")
            print(f"<!-- {absent[-1]} -->", flush=True)
        except Exception as error:  # noqa: BLE001 - the other groups are measured all the same
            traceback.print_exc()
            absent.append(f"{name}: {type(error).__name__}: {error}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        taken = time.perf_counter() - started
        print(f"<!-- {name}: {taken:.0f} s, load before it {busy:.1f} -->", flush=True)
    if absent:
        sys.exit("not measured: " + "; ".join(absent))
    if options.record:
        record.write(record.Recorded(_commit(), tuple(lines)))
    if before is not None:
        missing = record.unmeasured(before, lines, options.names or GROUPS)
        found = [*record.worse(before, lines), *(f"{what}: not measured any more" for what in missing)]
        if found:
            sys.exit("\n".join([f"worse than on {before.commit}, by more than the noise of both:", *found]))
        print(f"nothing is worse than on {before.commit}")


def _commit() -> str:
    """Return the measured commit, with a mark if there are uncommitted changes."""
    line = ["git", "describe", "--always", "--abbrev=8", "--dirty", "--exclude=*"]
    return subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
