"""Bulk issue: copies of one request, and a file with a decision for each line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import TextIO

from jitid.authority.local import LocalAuthority
from jitid.cli.issue import issue_many
from jitid.model.request import IssueRequest
from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, in_turns, over, per_second, rate

_COPIES = 10_000
_LINES = 5_000
_PEER = 500
_COMMON = ("--task", "INC-4821", "--delegator", "alice", "--scope", "repo:acme/web:read")

_runs = count()


def rows(place: Ground) -> Iterator[Row]:
    """Measure `--count` and `--from-file`, in process without the start, and as whole processes."""
    folder = place.new("bulk")
    authority = ground.authority(folder / "ledger")
    command = ground.Command(folder)
    signed = _signed_length(authority)
    with peers.openbao(folder) as bao, (folder / "out").open("w") as out:
        bulk_process = partial(_process, command, folder)
        found = in_turns(
            place.rounds,
            {
                "sign": lambda: peers.signatures(_COPIES, signed),
                "jwt": lambda: _fresh(place, "jwt", out),
                "bao": lambda: bao.tokens(_PEER),
                "opaque": lambda: _fresh(place, "opaque", out),
                "lines": lambda: rate(_LINES, partial(_decide, authority, _file(folder), out)),
                "whole lines": lambda: _LINES / bulk_process("--from-file", str(_file(folder))),
                "whole jwt": lambda: _COPIES / bulk_process(*_COMMON, "--count", str(_COPIES)),
            },
        )
    authority.close()
    sign = Series("Ed25519 sign, one thread", found["sign"], per_second)
    create = Series("OpenBao token create, HTTP", found["bao"], per_second)

    for what, name, floor, goal in (
        ("`--count`, `jwt`", "jwt", sign, at_least(0.6)),
        ("`--count`, `opaque`", "opaque", create, at_least(25)),
        ("`--from-file`, a decision a line", "lines", create, over(6_000, per_second)),
        (f"`--from-file` of {_LINES:,} lines, whole process", "whole lines", create, None),
        (f"`--count {_COPIES}`, `jwt`, whole process", "whole jwt", sign, None),
    ):
        yield Row(what, Series(name, found[name], per_second), floor, goal)


def _signed_length(authority: LocalAuthority) -> int:
    """Return the length of an ordinary token's signed part in bytes."""
    (issued,) = ground.issue(authority, [ground.request(0)])
    return len(issued.credentials[0].secret.reveal().rpartition(".")[0])


def _fresh(place: Ground, kind: str, out: TextIO) -> float:
    """Return the rate on a new ledger: rows of other series must not count, which they do not for OpenBao either."""
    authority = ground.authority(place.new(f"copies-{kind}-{next(_runs)}") / "ledger")
    try:
        _copy_once(authority, kind, out)
        return rate(_COPIES, partial(_copy, authority, kind, out))
    finally:
        authority.close()


def _copy_once(authority: LocalAuthority, kind: str, out: TextIO) -> None:
    """Issue once, so that everything is loaded."""
    _hand_out(authority, [ground.request(0, kind)], out)


def _copy(authority: LocalAuthority, kind: str, out: TextIO) -> None:
    for batch in ground.copies(ground.request(0, kind), _COPIES):
        _hand_out(authority, batch, out)


def _decide(authority: LocalAuthority, path: Path, out: TextIO) -> None:
    for batch in issue_many._lines(IssueRequest(None, None, "agent"), str(path), None):
        _hand_out(authority, [wanted for _, wanted in batch], out)


def _process(command: ground.Command, folder: Path, *arguments: str) -> float:
    return peers.process(command("issue", *arguments), command.environment, folder)


def _hand_out(authority: LocalAuthority, batch: list[IssueRequest], out: TextIO) -> None:
    """Issue a batch in one transaction and write its lines, as the command does."""
    issued = ground.issue(authority, batch)
    out.write("".join([issue_many._written(one, wanted) for one, wanted in zip(issued, batch, strict=True)]))


def _file(folder: Path) -> Path:
    """Write a file in which every line has its own task and scopes, so that no decision repeats."""
    path, run = folder / "tasks.jsonl", next(_runs)
    with path.open("w") as file:
        for number in range(_LINES):
            line = {
                "task": f"RUN-{run}-{number}",
                "delegator": f"engineer-{number % 100}@example.com",
                "agent": f"fixer-{number % 10}",
                "scope": [f"repo:acme/web-{number}:read", f"tickets:RUN-{run}-{number}:write"],
            }
            file.write(json.dumps(line) + "\n")
    return path
