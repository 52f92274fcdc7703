"""`jitid scan --git`: its reports, records and revocations."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.sweep import scan_result
from jitid.cli.invocation import Invocation
from jitid.cli.leak.commands import ScanCommand
from jitid.cli.leak.scan import scan
from jitid.errors import UsageError
from jitid.model.leak import Sighting
from tests.builders import World
from tests.capabilities.scan.gitrepo import WHEN, Made, opaque


@pytest.fixture
def world(home: Path) -> World:
    """Return a new ledger."""
    return World(home / "ledger", now=int(time.time()))


@pytest.fixture
def made(home: Path) -> Made:
    """Return a new repository."""
    return Made(home / "repo")


def _line(paths: Sequence[str], options: Mapping[str, Any]) -> ScanCommand:
    """Return the line that scans the history at these paths."""
    values = {"paths": tuple(paths), "git": True, **options}
    return ScanCommand(**{name: values.get(name, field.absent) for name, field in ScanCommand.fields.items()})


def told(
    capfd: pytest.CaptureFixture[str], world: World, made: Made, **options: Any
) -> tuple[int, dict[str, Any]]:
    """Scan a history, and return the status and the report."""
    cli = Invocation()
    cli.ledger, cli.format = str(world.path), "json"
    capfd.readouterr()
    scan(cli, _line([str(made.path)], options))
    document: dict[str, Any] = json.loads(capfd.readouterr().out)
    return cli.status, document


def test_strings_that_are_made_up_hide_none_that_is_ours(
    world: World, made: Made, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of the strings unknown to the ledger, some are reported, and a note says that there are more."""
    monkeypatch.setattr(scan_result, "_MOST_UNKNOWN", 5)
    many = "\n".join(opaque(number) for number in range(50))
    made.commit({"made up": many, "ours": world.issue(kind="opaque").token})
    status, document = told(capfd, world, made)
    assert status == 11
    rules = [found["rule"] for found in document["findings"]]
    assert sorted(rules) == ["secret-live", *["secret-unknown"] * 5]
    (missed,) = document["coverage"][0]["missed"]
    assert missed.startswith("objects with unknown strings beyond the first ")
    assert missed.endswith(f"(object {made.git('rev-parse', 'HEAD:made up')})")


def test_what_is_reported_is_kept_with_its_commit(
    world: World, made: Made, capfd: pytest.CaptureFixture[str]
) -> None:
    """A finding has path, line, commit and its time, once for each path; a commit message is named as such."""
    token = world.issue(kind="opaque").token
    first = made.commit({"a": f"\n{token}\n", "b": token})
    second = made.commit({"a": f"\n\n\n{token}\n"}, f"it is {token}")
    status, document = told(capfd, world, made, report=True, revoke=True)
    assert status == 0
    assert {found["rule"] for found in document["findings"]} == {"secret-dead"}
    (leak,) = world.authority.perform(leak_operations.ShowLeaks(numbers=(1,)))
    assert {seen.sighting for seen in leak.seen} == {
        Sighting("a", 2, first, WHEN, "jitid scan"),
        Sighting("b", 1, first, WHEN, "jitid scan"),
        Sighting("(commit message)", None, second, WHEN + 60, "jitid scan"),
    }
    assert leak.leaked.leak.source == str(made.path)


def test_a_history_that_is_not_all_here_is_no_clean_one(
    world: World, made: Made, capfd: pytest.CaptureFixture[str]
) -> None:
    made.commit({"a": "nothing"})
    made.loose(made.git("rev-parse", "HEAD:a")).unlink()
    status, document = told(capfd, world, made)
    assert (status, document["findings"]) == (11, [])
    assert not document["summary"]["complete"]


@pytest.mark.parametrize("paths", [["one", "two"], ["-"]], ids=" ".join)
def test_one_repository_is_scanned_at_a_time(world: World, paths: list[str]) -> None:
    cli = Invocation()
    cli.ledger = str(world.path)
    with pytest.raises(UsageError):
        scan(cli, _line(paths, {}))
