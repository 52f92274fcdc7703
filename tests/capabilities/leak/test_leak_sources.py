"""`leak add --from`: each finding of a scanner's report is looked up, and its places are kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from jitid.capabilities.adopt.operations import Adopt
from jitid.capabilities.identity.revocation_result import TooManyError
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.leak import leak_sources
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.leak.leak_sources import ReportSearch
from jitid.capabilities.leak.leaks import LeakReport, ReportedLeaks
from jitid.cli.identity import revoke
from jitid.errors import IncompleteError, PartialError, UsageError
from jitid.model.leak import MOST_PLACES, LeakFilter, Sighting
from jitid.model.ledger_rows import Selection
from jitid.search.encodings import DEPTH
from jitid.search.hidden import DEEP
from jitid.search.pasted import LONGEST
from tests.authority.scene import standing
from tests.builders import World
from tests.real import Shell

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation

REVISION = "0123456789abcdef0123456789abcdef01234567"


def finding(secret: str, file: str = "src/app.py", line: int = 1, **more: Any) -> dict[str, Any]:
    """Return a finding in the format of gitleaks."""
    told = {"RuleID": "token", "Secret": secret, "Match": secret, "File": file, "StartLine": line}
    return {**told, "Commit": REVISION, "Date": "2026-11-24T12:00:00Z", **more}


def written(path: Path, findings: Iterable[dict[str, Any]]) -> str:
    """Write a report of gitleaks; return its path."""
    path.write_text(json.dumps(list(findings)))
    return str(path)


def add(world: World, search: ReportSearch, room: int | None = None) -> list[ReportedLeaks]:
    """Report the findings of a search, as the verb does."""
    came = []
    with search:
        for finds, sightings in search.batches(room):
            operation = leak_operations.AddLeaks(
                finds=finds, report=LeakReport("git", None), sightings=sightings
            )
            came.append(world.authority.perform(operation))
            search.answered(came[-1].marks)
    return came


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a new ledger."""
    return World(tmp_path / "ledger")


def test_each_finding_of_ours_is_told_by_its_place(world: World, tmp_path: Path) -> None:
    one, other = world.issue(kind="opaque"), world.issue()
    path = written(
        tmp_path / "found.json",
        [
            finding(one.token, line=3),
            finding(f"Bearer {one.token}", "b.py", Commit="", Date=""),
            finding(other.token, "c.py"),
            finding("AKIAIOSFODNN7EXAMPLE", "d.py"),
        ],
    )
    search = ReportSearch(path)
    (came,) = add(world, search)
    assert (len(came.new), came.places, search.findings, search.issued_findings) == (2, 3, 4, 3)
    leaks = world.authority.perform(leak_operations.ShowLeaks(jtis=(one.jti,)))
    assert [each.sighting for each in leaks[0].seen] == [
        Sighting("src/app.py", 3, REVISION, 1_795_521_600, "gitleaks token"),
        Sighting("b.py", 1, None, None, "gitleaks token"),
    ]
    assert search.sentence() == "3 of 4 findings show a secret of this ledger"
    assert search.shortcoming() is None


@pytest.mark.parametrize("room", [None, 4_000])
def test_of_a_string_in_a_thousand_places_a_hundred_are_kept(
    world: World, tmp_path: Path, room: int | None
) -> None:
    """This holds for requests of any size; each finding is still known as issued by jitid or not."""
    one, other = world.issue(kind="opaque"), world.issue(kind="opaque")
    findings = [finding(one.token, f"{number}.py") for number in range(1_000)]
    path = written(tmp_path / "found.json", [*findings, finding(other.token), finding("jitid_" + "x" * 38)])
    search = ReportSearch(path)
    came = add(world, search, room)
    assert len(came) == 1 if room is None else len(came) > 1
    assert (search.findings, search.issued_findings) == (1_002, 1_001)
    (leak,) = world.authority.perform(leak_operations.ShowLeaks(jtis=(one.jti,)))
    assert leak.leaked.places is not None
    assert (len(leak.seen), leak.leaked.places.total) == (MOST_PLACES, 1_000)
    world.check()


def test_places_are_counted_however_many_batches_they_come_in(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leak_sources, "_BATCH", 150)
    token = world.issue(kind="opaque").token
    path = written(tmp_path / "found.json", [finding(token, f"{number}.py") for number in range(500)])
    came = add(world, ReportSearch(path))
    assert len(came) == 4
    assert sum(one.places for one in came) == 500
    (leak,) = world.authority.perform(leak_operations.ShowLeaks(numbers=tuple(came[0].new)))
    assert leak.leaked.places is not None
    assert leak.leaked.places.total == 500
    assert not any(one.places for one in add(world, ReportSearch(path)))
    world.check()


def test_a_report_without_the_secrets_is_told_to_be_so(world: World, tmp_path: Path) -> None:
    hidden = finding("REDACTED", "a.py")
    with pytest.raises(
        UsageError, match="redacted, and does not show the found strings; nothing was recorded"
    ):
        add(world, ReportSearch(written(tmp_path / "all.json", [hidden, hidden])))
    search = ReportSearch(written(tmp_path / "one.json", [hidden, finding(world.issue().token)]))
    assert len(add(world, search)[0].new) == 1
    failure = search.shortcoming()
    assert isinstance(failure, PartialError)
    assert "1 finding is redacted" in failure.message


@pytest.mark.parametrize("kind", ["opaque", "jwt"])
@pytest.mark.parametrize("padding", [0, LONGEST])
def test_a_hidden_string_beside_a_plain_one_is_found(
    world: World, tmp_path: Path, padding: int, kind: str
) -> None:
    plain, hidden = world.issue(kind=kind), world.issue(kind="opaque", task="T2")
    backup = base64.b64encode(b"a token: " + hidden.token.encode()).decode()
    text = f"TOKEN={plain.token} BACKUP={backup}\n" + "some text\n" * (padding // 10)
    came = add(world, ReportSearch(written(tmp_path / "found.json", [finding(text)])))
    found = world.authority.perform(leak_operations.ShowLeaks(numbers=tuple(came[0].new)))
    assert {one.leaked.leak.jti for one in found} == {plain.jti, hidden.jti}


@pytest.mark.parametrize("kind", ["opaque", "jwt"])
def test_an_adopted_secret_beside_a_plain_token_is_found(world: World, tmp_path: Path, kind: str) -> None:
    plain, secret = world.issue(kind=kind), "uQ7nPzv3kWm9rTx2Lb"
    world.authority.perform(Adopt(secrets=(standing("other", secret),)))
    text = f"TOKEN={plain.token}\nPASSWORD={secret}"
    (came,) = add(world, ReportSearch(written(tmp_path / "found.json", [finding(text)])))
    assert len(came.new) == 2


@pytest.mark.parametrize("kind", ["opaque", "jwt"])
def test_what_is_too_deep_beside_a_plain_string_is_said(world: World, tmp_path: Path, kind: str) -> None:
    plain = world.issue(kind=kind)
    deep = plain.token.encode()
    for _ in range(DEPTH + 1):
        deep = base64.b64encode(b"a token: " + deep)
    search = ReportSearch(written(tmp_path / "found.json", [finding(f"{plain.token} {deep.decode()}")]))
    assert len(add(world, search)[0].new) == 1
    assert isinstance(search.shortcoming(), IncompleteError)


@pytest.mark.parametrize("padding", [0, LONGEST])
def test_what_is_not_searched_in_a_finding_is_said(world: World, tmp_path: Path, padding: int) -> None:
    """This holds for a short and a long text of the finding, and beside a token that is found."""
    one = world.issue(kind="opaque")
    deep = one.token.encode()
    for _ in range(DEPTH + 1):
        deep = base64.b64encode(b"a token: " + deep)
    text = deep.decode() + "\n" + "some text\n" * (padding // 10 + 1)
    search = ReportSearch(written(tmp_path / "found.json", [finding(text), finding(one.token, "b.py")]))
    (came,) = add(world, search)
    assert len(came.new) == 1
    error = search.shortcoming()
    assert isinstance(error, IncompleteError)
    assert DEEP in error.message


def test_a_report_of_which_a_part_is_not_searched_ends_with_11(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    deep = (
        shell.good("-q", "issue", "--task", "T", "--delegator", "alice", "--kind", "opaque").strip().encode()
    )
    for _ in range(DEPTH + 1):
        deep = base64.b64encode(deep)
    done = shell.run("leak", "add", "--from", written(tmp_path / "found.json", [finding(deep.decode())]))
    assert (done.returncode, DEEP in done.stderr) == (11, True), done.stderr


def test_of_a_report_that_is_cut_short_nothing_is_recorded(world: World, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    path.write_text(json.dumps([finding(world.issue().token)] * 3)[:-20])
    with pytest.raises(UsageError, match=r"cut short.*after 2 findings"):
        add(world, ReportSearch(str(path)))
    assert not world.authority.perform(leak_operations.ListLeaks(chosen=LeakFilter(), limit=9)).leaks


def test_what_it_says_and_how_it_ends(tmp_path: Path) -> None:
    """One command records, revokes and proves, and prints the places; findings not issued by jitid are counted."""
    shell = Shell(tmp_path)
    token = shell.good("-q", "issue", "--task", "T", "--delegator", "alice", "--kind", "opaque").strip()
    path = written(tmp_path / "found.json", [finding(token), finding("AKIAIOSFODNN7EXAMPLE")])
    told = json.loads(shell.good("leak", "add", "--from", path, "--revoke", "--format", "json"))
    assert (told["source"], told["findings"], told["findings_ours"], told["places"]) == (path, 2, 1, 1)
    (item,) = told["items"]
    assert (item["place"], item["valid"], item["proved_at"] is not None) == ("src/app.py:1", False, True)
    for arguments in (
        ("text", "--from", path),
        ("--report-format", "gitleaks"),
        ("--from", path, "--report-format", "x"),
    ):
        assert shell.run("leak", "add", *arguments).returncode == 2
    done = shell.run("leak", "add", "--from", "-", stdin="[]")
    assert (done.returncode, "no findings" in done.stderr) == (3, True)


class _Given:
    """An invocation with `--no-input`."""

    def can_prompt(self) -> bool:
        return False


def test_more_than_one_request_can_name_is_ended_in_several(world: World) -> None:
    """The limit counts all of them first, and the answer is about all of them."""
    made = [world.issue(kind="opaque") for _ in range(5)]
    operation = inventory_operations.Revoke(selection=Selection(ids=tuple(one.jti for one in made)), most=4)
    cli = cast("Invocation", _Given())
    with pytest.raises(
        TooManyError,
        match=r"more than 4: 5 live credentials of 1 task and 1 delegator \(5 identities selected\)",
    ):
        revoke.revoke_many(cli, world.authority, operation, 80)
    assert "revoke" not in [event["op"] for event in world.events()]
    few = inventory_operations.Revoke(selection=operation.selection, most=5, reason="leaked")
    ended = revoke.revoke_many(cli, world.authority, few, 80)
    assert (ended.credentials, ended.radius.identities, ended.radius.tasks) == (5, 5, 1)
    events = [event for event in world.events() if event["op"] == "revoke"]
    assert [event["count"] for event in events] == [2, 2, 1]
    assert ended.event == events[-1]["seq"]
