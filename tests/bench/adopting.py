"""Adoption of ten thousand standing secrets, and the cost of searching for them in a scan."""

from __future__ import annotations

import os
import sqlite3
import sysconfig
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path

from jitid.capabilities.scan.hits import Item, Searcher
from jitid.search.find import PRINT, SecretSearch, SecretShape
from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns, seconds, under

_SECRETS = 10_000
_TEXT = 64 << 20
_LENGTHS = (20, 32, 40, 64)


def rows(place: Ground) -> Iterator[Row]:
    """Measure a whole process against bare rows, and a text search against the same search without adopted secrets."""
    folder = place.new("adopting")
    listed = folder / "secrets.csv"
    listed.write_text(
        "name,owner,place,purpose,fingerprint,agent\n"
        + "".join(
            f"svc-{n},user:o{n % 50},vault kv/{n},service {n},{sha256(b'%d' % n).hexdigest()},agent-{n % 200}\n"
            for n in range(_SECRETS)
        )
    )
    fresh = (place.new(f"adopted-{number}") for number in count())
    found = in_turns(
        place.rounds, {"adopt": lambda: _adopt(next(fresh), listed), "bare": lambda: _bare(folder, listed)}
    )
    adopt = Series("adopt add --from-file", found["adopt"], duration)
    bare = Series("five rows each in bare SQLite", found["bare"], duration)
    yield Row(f"`jitid adopt add` of {_SECRETS:,} secrets, whole process", adopt, bare, under(5, duration))
    yield from _searches(place)


def _adopt(folder: Path, listed: Path) -> float:
    command = ground.Command(folder)
    ground.authority(command.ledger).close()
    line = command("adopt", "add", "-q", "--from-file", str(listed))
    return peers.process(line, command.environment, listed.parent)


def _bare(folder: Path, listed: Path) -> float:
    path = folder / "bare.db"
    path.unlink(missing_ok=True)

    def fill() -> None:
        lines = [line.split(",") for line in listed.read_text().splitlines()[1:]]
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        with db:
            for table in range(5):
                db.execute(f"CREATE TABLE t{table} (id INTEGER PRIMARY KEY, a TEXT, b TEXT, c BLOB)")
                db.executemany(
                    f"INSERT INTO t{table} (a, b, c) VALUES (?, ?, ?)",
                    ((line[0], line[2], bytes.fromhex(line[4])) for line in lines),
                )
        db.close()

    return seconds(fill)


def _searches(place: Ground) -> Iterator[Row]:
    source = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))
    text = (source * (_TEXT // len(source) + 1))[:_TEXT]
    prints = os.urandom(PRINT * _SECRETS)
    by_prefix = [SecretShape(prefix, 40) for prefix in ("ghp_", "glpat-", "xoxb-", "hvs.")]
    by_length = [SecretShape(None, length) for length in _LENGTHS]
    looks = {
        "none": None,
        "prefix": SecretSearch(by_prefix, prints),
        "length": SecretSearch([*by_prefix, *by_length], prints),
    }
    found = in_turns(place.rounds, {name: _search(text, one) for name, one in looks.items()})
    plain = Series("without adopted secrets", found["none"], duration)
    for name, what, goal in (
        ("prefix", f"{len(by_prefix)} known beginnings", at_most(3)),
        ("length", f"and {len(_LENGTHS)} lengths without one", None),
    ):
        yield Row(
            f"searching {_TEXT >> 20} MiB for {_SECRETS:,} adopted secrets, {what}",
            Series("scan", found[name], duration),
            plain,
            goal,
        )


def _search(text: bytes, looks: SecretSearch | None) -> Callable[[], float]:
    def search() -> None:
        searcher = Searcher(secret_search=looks)
        searcher.begin(Item("a"))
        searcher.feed(text)
        searcher.end()

    return lambda: seconds(search)
