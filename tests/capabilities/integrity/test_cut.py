"""Cuts of the audit log: the exported segment can be verified alone, and the remaining log accounts for the rows."""

from __future__ import annotations

import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.audit.cut_store import digest_of
from jitid.capabilities.identity.operations import HandBack
from jitid.capabilities.integrity import audit_export
from jitid.capabilities.integrity import cut as segments
from jitid.capabilities.integrity.cut import Cut
from jitid.capabilities.integrity.operations import CutLog, Examine, ExportLog, ReadLog, SignHead, VerifyLog
from jitid.capabilities.issue.operations import Renew
from jitid.capabilities.sweep.finding import Finding, Thresholds
from jitid.capabilities.sweep.operations import Sweep
from jitid.errors import (
    IntegrityError,
    InvalidCredentialError,
    JitidError,
    NotFoundError,
    OutputError,
    PolicyDeniedError,
    UsageError,
)
from jitid.model.event import Event, encode, link
from jitid.model.process import Process
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.backup.test_copy_ledger import copied
from tests.builders import DAY, PERMIT_ALL, Made, World, edit
from tests.capabilities.integrity.test_retention import _act, _steps, inspect, leak, prune, tables, wait

in_both = pytest.mark.usefixtures("kept_in")


def cut(world: World, folder: Path, after: int = 3 * DAY, **more: Any) -> Cut:
    """Cut the log as an administrator does."""
    return world.authority.perform(CutLog(evidence_after=after, folder=str(folder), **more))


def head(world: World) -> str:
    """Return the signed head."""
    return world.authority.perform(SignHead())


def export_of(path: str | Path) -> list[str]:
    """Return the lines of an exported file."""
    return Path(path).read_text(encoding="utf-8").splitlines()


def _live(world: World) -> tuple[Made, Made]:
    """Make a history of which some is pruned; return a leaked credential and a live one."""
    world.chain(3, scopes=["db:read"])
    found = world.issue(task="T2", kind="opaque")
    world.issue(task="T3")
    world.retire("T3")
    leak(world, found)
    wait(world, 20 * DAY)
    world.issue(task="T4", kind="opaque")
    prune(world, 10 * DAY)
    wait(world, 5 * DAY)
    return found, world.issue(task="T5", kind="opaque")


@in_both
def test_that_somebody_tried_to_renew_twice_stays_with_the_row_that_says_so(
    world: World, tmp_path: Path
) -> None:
    """The row has the time of the first refusal, so that only the event of the first refusal must remain."""
    made = world.issue(ttl=900)
    token = Secret.single(made.token)
    world.authority.perform(Renew(request=RenewRequest(token)))
    for _ in range(2):
        with pytest.raises(PolicyDeniedError, match="renewed-twice"):
            world.authority.perform(Renew(request=RenewRequest(token)))
    refused = [event["seq"] for event in world.events() if event["op"] == "denial"]
    wait(world, 5 * DAY)
    world.issue(task="T2")
    cut(world, tmp_path)
    world.check()
    assert [event["seq"] for event in world.events() if event["op"] == "denial"] == refused[:1]


@in_both
def test_the_revocation_that_bars_a_process_stays(world: World, tmp_path: Path) -> None:
    """Another event ended the identity: the client closed its session before."""
    process = Process("host", "boot", 7, 42, 99, kept=False)
    made = world.issue(process=process)
    world.authority.perform(HandBack(token=Secret.single(made.token), id=made.id, reason="done"))
    event = world.revoke(made.id).event
    assert event is not None
    wait(world, 5 * DAY)
    world.issue(task="T2")
    cut(world, tmp_path)
    world.check()
    assert event in {each["seq"] for each in world.events()}
    with pytest.raises(InvalidCredentialError, match="was revoked"):
        world.issue(task="T3", process=process)


@in_both
def test_what_is_old_is_exported_and_cut(world: World, tmp_path: Path) -> None:
    found, lives = _live(world)
    whole = {event["seq"]: event for event in world.events()}
    remembered = head(world)
    foreseen = cut(world, tmp_path / "segments", dry_run=True)
    assert not (tmp_path / "segments").exists()
    done = cut(world, tmp_path / "segments")
    assert done.file is not None
    assert (foreseen.exported, foreseen.kept) == (done.exported, done.kept)
    assert stat.S_IMODE(Path(done.file).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(done.file).parent.stat().st_mode) == 0o700
    assert world.check() > len(world.events())
    left = {event["seq"]: event for event in world.events()}
    assert all(whole[seq] == left[seq] for seq in whole.keys() & left.keys())
    assert len([seq for seq in left if seq <= done.through]) == done.kept < done.exported
    # The export and the remaining log together contain all events.
    exported = [line for line in export_of(done.file) if '"type":"event"' in line]
    assert len(exported) == done.exported == len([seq for seq in whole if seq <= done.through])
    assert audit_export.verify_export(export_of(done.file), None).events == done.exported
    assert world.authority.perform(VerifyLog(expected_head=remembered)).cut is None
    assert world.verify(lives.token).jti == lives.jti
    assert inspect(world, found.jti).event is not None
    assert "T3" in {event.get("task") for event in left.values() if event["op"] == "retire"}
    gone = min(whole.keys() - left.keys())
    with pytest.raises(NotFoundError) as caught:
        world.authority.perform(ReadLog(chosen=LogFilter(event=gone), limit=None))
    assert Path(done.file).name in str(caught.value.hint)
    nothing = cut(world, tmp_path / "segments")
    assert (nothing.exported, nothing.event) == (0, None)


@in_both
def test_what_is_left_is_exported_and_holds_by_itself(world: World, tmp_path: Path) -> None:
    _live(world)
    cut(world, tmp_path)
    lines = [*world.authority.perform(ExportLog())]
    verified = audit_export.verify_export(lines, head(world))
    assert verified.head == world.head()
    for number in (1, len(lines) - 2, len(lines) - 1):
        with pytest.raises(IntegrityError):
            audit_export.verify_export([*lines[:number], *lines[number + 1 :]], head(world))


@in_both
def test_the_log_is_cut_again_and_again(world: World, tmp_path: Path) -> None:
    heads = [head(world)]
    files = []
    for number in range(3):
        _issue_and_wait(world, number)
        heads.append(head(world))
        files.append(cut(world, tmp_path).file)
        world.check()
    assert all(files)
    assert tables(world, "segment") == [3]
    # Each segment begins where the previous one ends.
    for number, file in enumerate(files):
        audit_export.verify_export(export_of(str(file)), None)
        for other in (heads[0], heads[number]):
            audit_export.verify_export(export_of(str(file)), other)
    assert len(world.events()) < 25


def _issue_and_wait(world: World, number: int) -> None:
    for copy in range(3):
        world.issue(task=f"T{number}-{copy}")
    wait(world, 20 * DAY)
    world.issue(task=f"U{number}")
    prune(world, 10 * DAY)
    wait(world, 5 * DAY)
    world.issue(task=f"V{number}")


@in_both
def test_a_head_from_before_accuses_nobody_and_vouches_for_nothing(
    world: World, tmp_path: Path, kept_in: str
) -> None:
    world.issue()
    old = head(world)
    _live(world)
    prune(world, DAY)
    done = cut(world, tmp_path)
    # With several chains, the head may name ends of chains that have not moved since.
    met = kept_in == "database"
    assert world.authority.perform(VerifyLog(expected_head=old)).cut == (None if met else 2)
    lines = export_of(str(done.file))
    assert audit_export.verify_export(lines, old).cut is None
    # A sweep with this old head starts where the log starts now, and remembers the new start.
    sweep = Sweep(rules=("audit-gap",), limits=Thresholds(), heads=(("old", old),))
    report = [*world.authority.perform(sweep)]
    assert not [one for one in report if isinstance(one, Finding)]
    checks = world.authority.perform(Examine(stated={}, head=("old", old)))
    assert [check.repair for check in checks if "was cut" in check.detail] == ["jitid sweep"] * (not met)


@pytest.mark.of_files
@in_both
def test_a_copy_from_before_is_recognised_by_a_later_head(world: World, tmp_path: Path, kept_in: str) -> None:
    _live(world)
    world.close()
    shutil.copytree(world.path, tmp_path / "copy")
    world.reopen()
    cut(world, tmp_path / "segments")
    later = head(world)
    with World(tmp_path / "copy", now=world.clock.now) as copy:
        copy.check()
        with pytest.raises(IntegrityError):
            copy.authority.perform(VerifyLog(expected_head=later))


EDITS = [
    "UPDATE audit_event SET body = replace(body, 'user:alice', 'user:mallo') WHERE seq = {kept}",
    "UPDATE audit_event SET hash = hash || hash WHERE seq = {kept}",
    "DELETE FROM audit_event WHERE seq = {kept}",
    "DELETE FROM audit_event WHERE seq = {through} + 1",
    "INSERT INTO audit_event SELECT 2, body, hash FROM audit_event WHERE seq = {kept}",
    "DELETE FROM kept_event WHERE seq = {kept}",
    (
        "INSERT INTO kept_event VALUES (2); "
        "INSERT INTO audit_event SELECT 2, body, hash FROM audit_event WHERE seq = {kept}"
    ),
    "DELETE FROM segment",
    "UPDATE segment SET through = through + 1",
    "UPDATE segment SET through = through - 1",
    "UPDATE segment SET digest = 'abc'",
    "UPDATE segment SET kept = kept - 1",
    "UPDATE segment SET file = 'other'",
    "UPDATE segment SET head = substr(head, 1, 60)",
    "INSERT INTO segment SELECT event - 1, through - 1, head, file, sha256, kept, digest FROM segment",
    "UPDATE task SET ended_at = NULL WHERE name = 'T3'",
    "DELETE FROM leak",
    "DELETE FROM credential WHERE ended_at IS NOT NULL",
]


@pytest.mark.parametrize("change", EDITS)
def test_what_is_changed_behind_a_log_that_was_cut_is_found(
    world: World, tmp_path: Path, change: str
) -> None:
    found, _ = _live(world)
    done = cut(world, tmp_path)
    world.check()
    event = inspect(world, found.jti).event
    assert event is not None
    kept = event["seq"]
    assert kept <= done.through
    edit(world.path, *change.format(kept=kept, through=done.through).split("; "))
    world.reopen()
    if "INSERT INTO audit_event SELECT 2" in change and "kept_event" not in change:
        # A cut event that was inserted again is not part of the log: no reader sees it, and the next cut deletes it.
        world.check()
        return
    with pytest.raises(IntegrityError):
        world.check()


def test_no_head_that_was_signed_for_something_else_begins_a_log(world: World) -> None:
    """An attacker that can write the file has signed heads, and could let the history begin after one of them."""
    lives_again = world.issue(kind="opaque")
    world.revoke(lives_again.jti)
    world.issue(task="T2")
    remembered, last = head(world), world.events()[-1]["seq"]
    end = world.head().hash
    with world.ledger.read() as snapshot:
        events = [Event(*each) for each in snapshot.events(0)]
    stay = [each for each in events if b'"op":"revoke"' not in each.body]
    number, digest = digest_of(stay)
    facts = {
        "through": last,
        "head": remembered,
        "file": "f",
        "sha256": "0" * 64,
        "kept": number,
        "digest": digest,
    }
    body = encode("cut", world.clock.now, "user:alice", facts)
    edit(
        world.path,
        "UPDATE credential SET ended_at = NULL, ended_as = NULL, ended_event = NULL",
        f"DELETE FROM audit_event WHERE seq NOT IN ({', '.join(str(each.seq) for each in stay)})",
        *(f"INSERT INTO kept_event VALUES ({each.seq})" for each in stay),
        f"INSERT INTO segment VALUES ({last + 1}, {last}, '{remembered}', 'f', '{'0' * 64}', {number}, '{digest}')",
        f"INSERT INTO audit_event VALUES ({last + 1}, x'{body.hex()}', x'{link(end, body).hex()}')",
    )
    world.reopen()
    with pytest.raises(IntegrityError, match="cut"):
        world.authority.perform(VerifyLog(expected_head=remembered))


@in_both
def test_nothing_else_can_be_deleted(world: World, tmp_path: Path) -> None:
    """The database refuses it as long as its triggers exist."""
    _live(world)
    done = cut(world, tmp_path)
    for number in (done.through + 1, 1):
        with pytest.raises(JitidError, match="append-only"), world.ledger.write() as transaction:
            transaction.db.execute(f"DELETE FROM audit_event WHERE seq = {number}")


def test_a_file_that_does_not_have_what_was_written_stops_the_cut(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _live(world)
    before = world.events()
    lines = audit_export.lines

    def lossy(*given: Any, **more: Any) -> Any:
        found = list(lines(*given, **more))
        return iter([*found[:2], *found[3:]])

    monkeypatch.setattr(audit_export, "lines", lossy)
    with pytest.raises(IntegrityError):
        cut(world, tmp_path / "segments")
    assert world.events() == before
    monkeypatch.undo()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        cut(world, tmp_path / "file")
    assert world.events() == before
    assert cut(world, tmp_path / "segments").event is not None
    world.check()


def test_the_log_is_kept_for_a_day_at_least(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1d"):
        cut(world, tmp_path, DAY - 1)


def test_a_log_that_does_not_hold_is_not_cut(world: World, tmp_path: Path) -> None:
    _live(world)
    edit(world.path, "UPDATE audit_event SET hash = hash || hash WHERE seq = 3")
    world.reopen()
    with pytest.raises(IntegrityError):
        cut(world, tmp_path / "segments")
    assert not (tmp_path / "segments").exists()


def test_what_lies_there_is_not_overwritten_unless_it_is_the_same(world: World, tmp_path: Path) -> None:
    """A copy of the ledger that continues by itself has the same name and another history."""
    _live(world)
    world.close()
    shutil.copytree(world.path, tmp_path / "copy")
    world.reopen()
    done = cut(world, tmp_path / "old")
    with World(tmp_path / "copy", now=world.clock.now) as copy:
        # It is the same part of the same log, as after an interruption between export and cut.
        assert cut(copy, tmp_path / "old").event is not None
        copy.check()
    wait(world, 20 * DAY)
    world.issue(task="late")
    wait(world, 5 * DAY)
    foreseen = cut(world, tmp_path / "old", dry_run=True)
    name = Path(str(done.file)).name.split("-00")[0]
    other = tmp_path / "old" / f"{name}-{done.through + 1:012}-{foreseen.through:012}.jsonl"
    other.write_text("mine")
    with pytest.raises(OutputError, match="exists with other content"):
        cut(world, tmp_path / "old")
    assert other.read_text() == "mine"
    world.check()


@in_both
def test_whoever_was_interrupted_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log was cut, but its events were not deleted. The log is valid, and the next cut deletes them."""
    _live(world)
    monkeypatch.setattr(segments, "_delete", lambda *_, **__: None)
    done = cut(world, tmp_path)
    before = tables(world, "audit_event")
    world.check()
    monkeypatch.undo()
    again = cut(world, tmp_path)
    assert (again.event, again.through) == (None, 0)
    assert tables(world, "audit_event") == [before[0] - done.exported + done.kept]
    world.check()


def test_a_ledger_that_moved_is_cut_and_moves_again(world: World, tmp_path: Path) -> None:
    """The log has a chain for each place. The cuts are within the first chain, at its end, and in the second."""
    world.issue()
    wait(world, 9 * DAY)
    world.issue(task="T2")
    cut(world, tmp_path / "segments")
    world.check()
    copied(world, tmp_path / "copy")
    with World(tmp_path / "copy", now=world.clock.now) as copy:
        copy.check()
        for number in range(3):
            wait(copy, 4 * DAY)
            copy.issue(task=f"T{number + 3}")
            done = cut(copy, tmp_path / "segments")
            copy.check()
            audit_export.verify_export(export_of(str(done.file)), None)
            lines = [*copy.authority.perform(ExportLog())]
            assert audit_export.verify_export(lines, head(copy)).head == copy.head()
        copied(copy, tmp_path / "third")
        with World(tmp_path / "third", now=copy.clock.now) as third:
            third.check()


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_steps | st.just({"do": "cut"}), min_size=10, max_size=30))
def test_whatever_happened_the_log_can_be_cut(tmp_path: Path, steps: list[dict[str, Any]]) -> None:
    """The remaining log accounts for the rows, and each segment can be verified alone."""
    shutil.rmtree(tmp_path / "ledger", ignore_errors=True)
    shutil.rmtree(tmp_path / "segments", ignore_errors=True)
    with World(tmp_path / "ledger", policy=PERMIT_ALL) as world:
        held: list[Made] = []
        for step in steps:
            with suppress(JitidError):
                if step["do"] == "cut":
                    cut(world, tmp_path / "segments", DAY)
                else:
                    _act(world, held, step)
        world.check()
        wait(world, 9 * DAY)
        world.issue(task="last")
        cut(world, tmp_path / "segments", DAY)
        world.check()
        for file in (tmp_path / "segments").iterdir():
            audit_export.verify_export(export_of(file), None)
        found = world.authority.perform(ReadLog(chosen=LogFilter(operation="cut"), limit=None))
        assert len(found) == len(list((tmp_path / "segments").iterdir()))
