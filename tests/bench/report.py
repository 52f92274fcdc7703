"""The report page about 1.5 million credentials: its duration as a whole process, and its size."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from tests.bench import history
from tests.bench.ground import Command, Ground
from tests.bench.measure import Row, Series, duration, in_turns, seconds, size, under

CREDENTIALS = 1_500_000


def rows(place: Ground) -> Iterator[Row]:
    """Measure the page of 1.5 million credentials, three in ten of them live."""
    folder = place.new("report")
    live = CREDENTIALS * 3 // 10
    fleet = history.make(folder / "ledger", CREDENTIALS - live, live)
    command = Command(folder)
    page = folder / "report.html"
    line = command("report", "--format", "html", "--out", str(page))
    environment = {**command.environment, "JITID_LEDGER": str(fleet.path)}

    def run() -> None:
        subprocess.run(line, env=environment, cwd=folder, check=True)

    found = in_turns(
        place.rounds,
        {"report": lambda: seconds(run), "scan": lambda: seconds(lambda: fleet.scan())},
    )
    yield Row(
        "`jitid report --format html` of 1.5 million, whole process",
        Series("report", found["report"], duration),
        Series("one full scan of the table", found["scan"], duration),
        under(5.0, duration),
    )
    yield Row(
        "its page",
        Series("HTML", [page.stat().st_size], size),
        Series("the ledger", [fleet.database.stat().st_size], size),
        under(1e6, size),
    )
