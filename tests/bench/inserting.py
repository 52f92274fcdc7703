"""The upper limit of a PostgreSQL server: processes that only insert, with one row in each commit."""

from __future__ import annotations

import json
import sys
from time import perf_counter

from tests.bench import ground
from tests.real import module

_PAYLOAD = bytes(300)
"""About the size of a credential in the ledger."""


def inserts(url: str, processes: int, seconds: float) -> float:
    """Return how many rows a second a number of processes insert together. Each row is durable before the next one."""
    with module("psycopg", "postgres").connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (writer integer, number integer, payload bytea)")
    arguments = [(url, str(number), str(seconds)) for number in range(processes)]
    counts: list[int] = [one[0] for one in ground.race("tests.bench.inserting", arguments, seconds)]
    return sum(counts) / seconds


def _insert(url: str, writer: int, seconds: float) -> None:
    statement = "INSERT INTO bare VALUES (%s, %s, %s)"
    with module("psycopg", "postgres").connect(url, autocommit=True) as connection:
        connection.execute(statement, (writer, 0, _PAYLOAD), prepare=True)
        ground.wait_for_start()
        number = 0
        until = perf_counter() + seconds
        while perf_counter() < until:
            number += 1
            connection.execute(statement, (writer, number, _PAYLOAD), prepare=True)
    print(json.dumps([number]), flush=True)


if __name__ == "__main__":
    _insert(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
