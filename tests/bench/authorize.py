"""`authorize --batch` as a whole process, against a bare signature verification and a bare Cedar request."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from jitid.ledger.sqlite import folder as ledger_folder
from jitid.model.request import IssueRequest
from jitid.policy.default import default_files
from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, in_turns, per_second, rate

_TOKENS = 20_000
_USE_RULE = """
@id("shared") permit (principal, action == Action::"authorize", resource) when { !(context.action like "prod:*") };
@id("sealed") forbid (principal, action == Action::"authorize", resource == Resource::"acme/sealed");
"""
"""A policy that makes each request different, since its decision depends on the resource."""


def rows(place: Ground) -> Iterator[Row]:
    """Measure a batch of distinct tokens, each for its own resource."""
    default = "".join(text for _, text in default_files())
    for name, more, asked in (
        ("the default policy", "", _issue_question),
        ("rules about resources", _USE_RULE, _use_question),
    ):
        command = ground.Command(place.new(name.partition(" ")[0]))
        lines, length = _prepare(command.ledger)
        if more:
            (command.ledger / ledger_folder.POLICY / "use.cedar").write_text(more)
        found = in_turns(
            place.rounds,
            {
                "raw": partial(peers.decisions, _TOKENS, length, default + more, asked),
                "batch": partial(rate, _TOKENS, partial(_run, command, lines)),
            },
        )
        yield Row(
            f"`jitid authorize --batch`, {_TOKENS:,} distinct tokens, {name}, whole process",
            Series("authorize", found["batch"], per_second),
            Series("Ed25519 verify and one cedarpy evaluation", found["raw"], per_second),
            at_least(0.5),
        )


def _prepare(ledger: Path) -> tuple[Path, int]:
    """Issue the tokens and write the request lines; return the file, and how many bytes of a token are signed."""
    authority = ground.authority(ledger)
    tokens: list[str] = []
    for start in range(0, _TOKENS, 1_000):
        requests = [_request(number) for number in range(start, start + 1_000, 10)]
        for issued in ground.issue(authority, requests):
            tokens += [one.secret.reveal() for one in issued.credentials]
    authority.close()
    lines = ledger.parent / "lines"
    with lines.open("w") as file:
        for number, token in enumerate(tokens):
            line = {
                "token": token,
                "action": "repo:acme/web:read",
                "resource": f"acme/web/{number}",
                "id": number,
            }
            file.write(json.dumps(line) + "\n")
    return lines, len(tokens[0].rpartition(".")[0])


def _request(number: int) -> IssueRequest:
    # Ten agents on each task, as in a fleet, and many delegators and agents in all.
    plain = ground.request(number)
    return plain._replace(task=f"INC-{number // 10}", agent=f"fixer-{number % 997}", copies=10, ttl=3600)


def _run(command: ground.Command, lines: Path) -> None:
    with lines.open("rb") as stdin, (lines.parent / "answers").open("wb") as stdout:
        subprocess.run(
            command("authorize", "--batch"),
            env=command.environment,
            cwd=lines.parent,
            stdin=stdin,
            stdout=stdout,
            timeout=300,
            check=True,
        )
    with (lines.parent / "answers").open("rb") as answers:
        allowed = sum(b'"decision": "allow"' in line for line in answers)
    if allowed != _TOKENS:
        raise RuntimeError(f"{_TOKENS - allowed} were denied")


def _issue_question(number: int) -> dict[str, Any]:
    context = {
        "sensitivity": "moderate",
        "depth": 0,
        "has_purpose": False,
        "delegator_proof": "asserted",
        "delegator_known": False,
    }
    return _question(number, "issue", "Task", f"INC-{number}", context)


def _use_question(number: int) -> dict[str, Any]:
    return _question(number, "authorize", "Resource", f"acme/web/{number}", {"action": "repo:acme/web:read"})


def _question(number: int, action: str, type_: str, resource: str, context: dict[str, Any]) -> dict[str, Any]:
    return {
        "principal": {"type": "Agent", "id": f"fixer-{number}"},
        "action": {"type": "Action", "id": action},
        "resource": {"type": type_, "id": resource},
        "context": json.dumps(context),
    }
