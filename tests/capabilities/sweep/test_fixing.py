"""Fixing an edited ledger: `--fix` ends the credentials that it can, reports the others, and terminates."""

from __future__ import annotations

import pytest

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.revocation_result import TooManyError
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.issue.operations import Renew
from jitid.capabilities.report import store as report_store
from jitid.capabilities.sweep import remedies
from jitid.capabilities.sweep.finding import Coverage, Finding, Remedied, Thresholds, Unfixed
from jitid.capabilities.sweep.operations import Fix, ForeseeFix, Sweep
from jitid.capabilities.sweep.rule import RuleContext
from jitid.capabilities.sweep.rules import rule_of
from jitid.errors import IntegrityError, InvalidCredentialError, JitidError, PartialError
from jitid.ledger.view import View
from jitid.model.ledger_rows import Selection
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.builders import NOW, World, edit, put
from tests.capabilities.sweep.asking import fixed, fixing, found, swept
from tests.capabilities.sweep.cases import leak

ENDED_TASK = f"""INSERT INTO task (name, opener, sensitivity, deadline, opened_at, ended_at, event)
                 SELECT 'Z0', min(opener), 'low', {NOW + 900}, {NOW}, {NOW}, 1 FROM task"""


def torn(world: World) -> str:
    """Make a credential of an ended task with an identity of another task; return its token."""
    made = world.issue(task="A")
    edit(world.path, ENDED_TASK, "UPDATE credential SET task = (SELECT id FROM task WHERE name = 'Z0')")
    return made.token


def missed(world: World, *rules: str, limits: Thresholds | None = None) -> list[str]:
    """Return the reasons why a sweep is incomplete."""
    told = swept(world, *rules, limits=limits or Thresholds())
    return [why for each in told if isinstance(each, Coverage) for why in each.missed]


def test_a_finding_that_its_name_does_not_select_keeps_nothing_else_alive(world: World) -> None:
    torn(world)
    leaked = world.issue(task="B")
    leak(world, leaked.jti)
    done = fixing(world, "orphaned-task", "leaked-live")
    (unfixed,) = [each for each in done if isinstance(each, Unfixed)]
    (one,) = [each for each in done if isinstance(each, Remedied)]
    assert (unfixed.rule, unfixed.findings) == ("orphaned-task", 1)
    assert (one.rule, one.credentials) == ("leaked-live", 1)
    with pytest.raises(InvalidCredentialError):
        world.verify(leaked.token)


def test_what_ended_is_told_without_what_did_not(world: World) -> None:
    """Both findings are selected together."""
    torn(world)
    world.issue(task="OVER")
    edit(world.path, "UPDATE task SET deadline = 1 WHERE name = 'OVER'")
    one, unfixed = sorted(fixing(world, "orphaned-task"), key=lambda each: isinstance(each, Unfixed))
    assert isinstance(one, Remedied)
    assert [finding.subject for finding in one.findings] == ["user:alice/OVER"]
    assert isinstance(unfixed, Unfixed)
    assert unfixed.findings == 1


@pytest.mark.parametrize("column", ["task", "delegator"])
def test_a_row_that_contradicts_its_identity_is_a_doubt(world: World, column: str) -> None:
    world.issue(task="A", delegator="user:alice")
    world.issue(task="B", delegator="user:bob")
    assert missed(world, "standing") == []
    edit(world.path, f"UPDATE credential SET {column} = (SELECT max({column}) FROM identity)")
    assert missed(world, "standing") == ["1 live credential has another task or delegator than its identity"]
    assert missed(world, "clock") == []


def test_progress_neither_stops_at_what_does_not_end_nor_goes_on_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remedies, "BATCH", 2)
    for number in range(7):
        world.issue(task=f"T{number}")
    world.issue(task="OPEN")
    # The first five findings end no credential: their credentials belong to identities of another task.
    edit(
        world.path,
        "UPDATE task SET deadline = 1 WHERE name <> 'OPEN'",
        "UPDATE identity SET task = (SELECT id FROM task WHERE name = 'OPEN') WHERE id <= 5",
    )
    done = fixing(world, "orphaned-task")
    ended = [finding.subject for each in done if isinstance(each, Remedied) for finding in each.findings]
    assert ended == ["user:alice/T5", "user:alice/T6"]
    assert sum(each.findings for each in done if isinstance(each, Unfixed)) == 5


def test_what_comes_back_is_tried_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edited ledger may undo each revocation. The sweep reports that, and does not loop forever."""
    monkeypatch.setattr(remedies, "BATCH", 2)
    for number in range(4):
        world.issue(task=f"T{number}")
    edit(
        world.path,
        "UPDATE task SET deadline = 1",
        """CREATE TRIGGER undead AFTER UPDATE OF ended_at ON credential WHEN NEW.ended_at IS NOT NULL
           BEGIN UPDATE credential SET ended_at = NULL WHERE id = NEW.id; END""",
    )
    done = fixed(world, "orphaned-task")
    assert [one.credentials for one in done] == [2, 2]
    assert [one.accepted for one in done] == [2, 2]


def test_many_batches_end_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "BATCH", 2)
    for number in range(5):
        world.issue(task=f"T{number}")
    edit(world.path, "UPDATE task SET deadline = 1")
    done = fixed(world, "orphaned-task")
    assert [len(one.findings) for one in done] == [2, 2, 1]
    assert len({one.event for one in done}) == 3


def ending(world: World, *rules: str, most: int) -> tuple[int, type[JitidError] | None]:
    """Return the number of credentials that ended within a limit, and the type of the error."""
    ended = 0
    try:
        for each in world.authority.perform(
            Fix(rules=rules, limits=Thresholds(), sweep="the sweep", most=most)
        ):
            ended += each.credentials if isinstance(each, Remedied) else 0
    except JitidError as error:
        return ended, type(error)
    return ended, None


def alive(world: World) -> int:
    """Return the number of live credentials."""
    with world.ledger.read() as snapshot:
        return len(
            CredentialStore(snapshot).credentials(
                Filter(live=True), "id", descending=False, after=None, limit=10_000
            )
        )


@pytest.mark.deep
@pytest.mark.parametrize("most", range(7))
@pytest.mark.parametrize("batch", [1, 2, 3, 1_000])
def test_a_limit_counts_over_all_rules_and_batches(
    world: World, monkeypatch: pytest.MonkeyPatch, batch: int, most: int
) -> None:
    """Two rules have two findings each, and one finding ends two credentials."""
    monkeypatch.setattr(remedies, "BATCH", batch)
    world.issue(task="OVER-0")
    world.issue(task="OVER-1")
    edit(world.path, "UPDATE task SET deadline = 1")
    leaked = [world.issue(task=f"T{number}") for number in range(2)]
    world.issue(parent=leaked[0].token)
    for made in leaked:
        leak(world, made.jti)
    ended, error = ending(world, "orphaned-task", "leaked-live", most=most)
    assert alive(world) == 5 - ended
    assert ended <= most
    if most >= 5:
        assert (ended, error) == (5, None)
    else:
        assert error is (PartialError if ended else TooManyError)
    events = [event for event in world.events() if event["op"] == "revoke"]
    assert sum(event["count"] for event in events) == ended


def test_a_limit_counts_over_the_batches_of_many_findings(world: World) -> None:
    with world.ledger.write() as transaction:
        for number in range(remedies.BATCH + 2):
            put(transaction, task=f"T{number}")
    edit(world.path, "UPDATE task SET deadline = 1")
    assert ending(world, "orphaned-task", most=remedies.BATCH + 1) == (remedies.BATCH, PartialError)
    assert alive(world) == 2
    assert ending(world, "orphaned-task", most=2) == (2, None)


def test_what_stands_before_a_row_that_cannot_be_read_ends(world: World) -> None:
    rows = [world.issue(task=f"T{number}") for number in range(3)]
    edit(world.path, "UPDATE task SET deadline = 1", "UPDATE task SET deadline = x'00' WHERE name = 'T2'")
    edit(world.path, "UPDATE task SET ended_at = 1 WHERE name = 'T2'")
    foreseen = world.authority.perform(ForeseeFix(rules=("orphaned-task",), limits=Thresholds()))
    assert (foreseen.rules, foreseen.radius.credentials) == (("orphaned-task",), 2)
    (one,) = fixed(world, "orphaned-task")
    assert [finding.subject for finding in one.findings] == ["user:alice/T0", "user:alice/T1"]
    assert len(rows) == 3
    assert any("invalid value" in why for why in missed(world, "orphaned-task"))


def test_a_row_that_cannot_be_ended_keeps_one_rule_from_its_remedy_and_no_other(world: World) -> None:
    one, other = world.issue(task="T1"), world.issue(task="T2")
    edit(
        world.path,
        "UPDATE task SET deadline = 1 WHERE name = 'T1'",
        "UPDATE credential SET jti = 7 WHERE id = 1",
    )
    leak(world, other.jti)
    done = fixing(world, "orphaned-task", "leaked-live")
    assert [(each.rule, type(each)) for each in done] == [
        ("orphaned-task", Unfixed),
        ("leaked-live", Remedied),
    ]
    assert one.id != other.id


def test_scopes_of_an_edited_ledger_are_picked_as_they_stand(world: World) -> None:
    limits = Thresholds(duplicates=1)
    with world.ledger.write() as transaction:
        for _ in range(3):
            put(transaction, scopes="a b")
    edit(world.path, "UPDATE credential SET scopes = 'a  b'")
    (finding,) = found(world, "duplicate", limits=limits)
    assert finding.evidence["scopes"] == ["a", "b"]
    (one,) = fixed(world, "duplicate", limits=limits)
    assert one.credentials == 3
    assert found(world, "duplicate", limits=limits) == []


def test_an_empty_selection_ends_nothing_and_is_told(world: World) -> None:
    for _ in range(3):
        leak(world, world.issue().jti)
    rule = rule_of("leaked-live")._replace(pick=lambda *_: Selection())

    def look(snapshot: View) -> RuleContext:
        return RuleContext(snapshot, world.ledger.names, world.ledger.condition().clock(), Thresholds())

    done = remedies.fix(world.ledger, look, [rule], lambda _: True, "the sweep", None, accept_clock=False)
    (one,) = done
    assert isinstance(one, Unfixed)
    assert one.findings == 3


def test_a_limit_that_was_crossed_since_is_not_hidden_by_older_members(world: World) -> None:
    with world.ledger.write() as transaction:
        for _ in range(25):
            put(transaction, ttl=3_000)
    world.clock.now += 1_000
    with world.ledger.write() as transaction:
        put(transaction, ttl=3_000)
    (finding,) = found(world, "duplicate")
    assert finding.since is None
    (one,) = fixed(world, "duplicate", since=NOW + 500)
    assert one.credentials == 26


def test_beside_its_successor_for_long_a_credential_stands(world: World) -> None:
    world.terms = world.terms._replace(overlap=7_200)
    first = world.issue(kind="opaque", sensitivity="low", ttl=28_800)
    world.authority.perform(Renew(request=RenewRequest(Secret.single(first.token), ttl=900)))
    (finding,) = found(world, "standing", limits=Thresholds(standing_low=3_600))
    assert (finding.subject, finding.evidence["lifetime_seconds"]) == (first.jti, 7_200)
    assert finding.evidence["expires_at"] == NOW + 7_200
    with world.ledger.read() as snapshot:
        measured = report_store.survey(
            snapshot, None, NOW, dict.fromkeys(("low", "moderate", "high", "critical"), 3600)
        )
        shorter = report_store.survey(
            snapshot, None, NOW, dict.fromkeys(("low", "moderate", "high", "critical"), 7200)
        )
    assert [each.standing for each in measured.sensitive] == [1, 0, 0, 0]
    assert [each.standing for each in shorter.sensitive] == [0, 0, 0, 0]
    assert found(world, "standing", limits=Thresholds(standing_low=7_200)) == []


def test_each_event_that_records_an_end_is_told_with_its_own_number(world: World) -> None:
    first = world.issue(kind="opaque", ttl=900)
    world.authority.perform(Renew(request=RenewRequest(Secret.single(first.token))))
    world.issue(ttl=60)
    world.issue(ttl=60)
    world.clock.now += 120
    done = fixed(world, "expired-unretired")
    assert [(one.credentials, one.findings[0].credentials) for one in done] == [(1, 1), (2, 2)]
    events = {event["seq"]: event for event in world.events()}
    for one, operation in zip(done, ("supersede", "expire"), strict=True):
        event = events[one.event]
        assert (event["op"], event["count"], event["sweep"]) == (operation, one.credentials, "the sweep")
    world.check()


def test_what_another_has_recorded_meanwhile_is_not_told(world: World) -> None:
    world.issue(ttl=60)
    world.clock.now += 120
    (finding,) = found(world, "expired-unretired")
    world.issue()
    assert list(remedies.close_due(world.ledger, "the sweep", finding, accept_clock=False)) == []


def test_more_than_one_transaction_records_is_all_told(world: World) -> None:
    with world.ledger.write() as transaction:
        for _ in range(2_500):
            put(transaction, ttl=60)
    world.clock.now += 120
    done = fixed(world, "expired-unretired")
    assert sum(one.credentials for one in done) == 2_500
    assert len({one.event for one in done}) == len(done) > 1
    assert found(world, "expired-unretired") == []


def test_a_child_whose_parent_is_missing_is_a_doubt(world: World) -> None:
    parent = world.issue()
    world.issue(parent=parent.token, agent="coder")
    assert missed(world, "orphaned-parent") == []
    edit(world.path, "DELETE FROM credential WHERE id = 1", "DELETE FROM identity WHERE id = 1")
    assert (
        "belongs to an identity, agent, task or delegator that the ledger lacks"
        in missed(world, "orphaned-parent")[0]
    )


@pytest.mark.parametrize(
    "edited",
    [
        "UPDATE credential SET expires_at = 'never'",
        "UPDATE credential SET issued_at = 1.5",
        "UPDATE credential SET superseded_at = x'ff'",
        "UPDATE task SET deadline = 'never'",
    ],
)
def test_a_time_that_is_none_is_a_doubt_and_no_bug(world: World, edited: str) -> None:
    made = world.issue()
    edit(world.path, edited)
    assert missed(world, "sprawl") == ["1 live credential has an invalid time"]
    with pytest.raises(IntegrityError):
        world.verify(made.token)


def test_the_time_of_a_parent_that_is_none_is_no_bug_either(world: World) -> None:
    parent = world.issue()
    child = world.issue(parent=parent.token, agent="coder")
    edit(world.path, "UPDATE credential SET expires_at = 'never' WHERE id = 1")
    with pytest.raises(IntegrityError):
        world.verify(child.token)


def test_what_is_pending_for_just_as_long_as_it_may_be_is_spared(world: World) -> None:
    with world.ledger.write() as transaction:
        put(transaction, pending=True)
    world.clock.now += Thresholds().pending
    assert found(world, "pending") == []


def test_a_remedy_is_measured_with_what_descends_from_it(world: World) -> None:
    with world.ledger.write() as transaction:
        for _ in range(26):
            parent = put(transaction, agent="crawler")
            put(transaction, parent=parent, agent="helper", task="T2")
    answer = world.authority.perform(Sweep(rules=("duplicate",), limits=Thresholds(), most=10))
    told = {each.subject: each.revokes for each in answer if isinstance(each, Finding)}
    assert told == {"crawler on user:alice/T1": 52, "helper on user:alice/T2": 26}


def test_a_crowd_is_measured_with_what_has_a_successor(world: World) -> None:
    world.terms = world.terms._replace(overlap=600)
    first = world.issue(kind="opaque")
    world.authority.perform(Renew(request=RenewRequest(Secret.single(first.token))))
    (finding,) = found(world, "sprawl", limits=Thresholds(identities=0, agents_per_person=9))
    assert (finding.credentials, finding.revokes) == (1, 2)
