"""`trace` of a large log, against the same interpreter that only reads it."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from jitid.capabilities.scan.search_stream import CHUNK
from tests.bench import ground
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns, seconds

_SIZE = 100_000_000
_READ = f"""import sys
buffer, stdin = bytearray({CHUNK}), sys.stdin.buffer.raw
while stdin.readinto(buffer):
    pass"""
_WORDS = """request handled for user session started error timeout while connecting to upstream database query queue
message payload response status cache miss retry attempt worker job thread memory disk network"""


def rows(place: Ground) -> Iterator[Row]:
    """Measure whole processes, with a file and with a pipe as standard input."""
    folder = place.new("trace")
    command = ground.Command(folder)
    authority = ground.authority(command.ledger)
    tokens = [
        one.credentials[0].secret.reveal()
        for kind in ("jwt", "opaque")
        for one in ground.issue(authority, [ground.request(number, kind) for number in range(3)])
    ]
    authority.close()
    log = _log(folder / "log", tokens)
    ways = {"a file": partial(_from_file, log, command), "a pipe": partial(_from_pipe, log, command)}
    for name, run in ways.items():
        found = in_turns(
            place.rounds * 3,
            {
                "trace": lambda run=run: seconds(lambda: run(command("trace", "-q"))),  # type: ignore[misc]  # the default binds it now
                "read": lambda run=run: seconds(lambda: run([sys.executable, "-c", _READ])),  # type: ignore[misc]  # the default binds it now
            },
        )
        yield Row(
            f"`jitid trace` of 100 MB, standard input is {name}, whole process",
            Series("trace", found["trace"], duration),
            Series("Python reads it", found["read"], duration),
            at_most(3.0),
        )


def _log(path: Path, tokens: Sequence[str]) -> Path:
    """Write a log of 100 MB like those of services, with a few of jitid's strings."""
    chance = random.Random(1)
    lines = [_line(chance) for _ in range(20_000)]
    block = "".join(lines).encode()
    ours = [*tokens, *(hashlib.sha256(token.encode()).hexdigest() for token in tokens)]
    with path.open("wb") as file:
        for string in ours:
            left = _SIZE // len(ours)
            while left > 0:
                left -= file.write(block[:left])
            file.write(f"\nleaked {string} here\n".encode())
    return path


def _line(chance: random.Random) -> str:
    words = _WORDS.split()
    return (
        json.dumps(
            {
                "ts": f"2026-11-24T12:00:{chance.randrange(60):02}.{chance.randrange(10**6):06}Z",
                "level": chance.choice(("info", "warn", "error", "debug")),
                "msg": " ".join(chance.choices(words, k=chance.randrange(4, 14))),
                "trace_id": f"{chance.getrandbits(128):032x}",
                "span_id": f"{chance.getrandbits(64):016x}",
                "path": f"/api/v1/orders/{chance.randrange(10**6)}?page={chance.randrange(100)}",
                "query": f'name = "{chance.choice(words)}" and load > {chance.randrange(100)}%',
                "duration_ms": round(chance.random() * 1000, 3),
            }
        )
        + "\n"
    )


def _from_file(log: Path, command: ground.Command, line: Sequence[str]) -> None:
    with log.open("rb") as file:
        subprocess.run(line, stdin=file, stdout=subprocess.DEVNULL, env=command.environment, check=True)


def _from_pipe(log: Path, command: ground.Command, line: Sequence[str]) -> None:
    with subprocess.Popen(["cat", str(log)], stdout=subprocess.PIPE) as cat:
        subprocess.run(line, stdin=cat.stdout, stdout=subprocess.DEVNULL, env=command.environment, check=True)
