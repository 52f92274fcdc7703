"""Retention: rows of ended credentials are deleted. Live credentials, refusals and audit results do not change."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import GrantAccess
from jitid.capabilities.integrity import retention
from jitid.capabilities.integrity.operations import Prune
from jitid.capabilities.integrity.retention import Pruning
from jitid.capabilities.inventory.operations import Inspect, Inspection
from jitid.capabilities.issue.operations import Issue, Renew
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.leak.operations import AddLeaks, CloseLeaks, ProveLeaks, Trace
from jitid.capabilities.leak.store import LeakStore
from jitid.capabilities.report import report_html, report_text
from jitid.capabilities.report.operations import MakeReport
from jitid.capabilities.report.report_document import document
from jitid.capabilities.sweep.finding import Thresholds
from jitid.capabilities.targets.operations import Settle
from jitid.capabilities.use.authorization import UseRequest
from jitid.capabilities.use.operations import Authorize
from jitid.errors import IntegrityError, InvalidCredentialError, JitidError, NotFoundError, UsageError
from jitid.ledger import expiry
from jitid.ledger.idempotency import IdempotencyStore
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.model.access import Caller
from jitid.model.leak import Sighting
from jitid.model.process import Process
from jitid.model.request import RenewRequest
from jitid.search.find import Finds, mark
from jitid.search.pasted import search_pasted
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from jitid.values.times import format_time
from tests.builders import DAY, PERMIT_ALL, Made, World, edit, request
from tests.capabilities.issue.office import PAY, Office
from tests.programs import Shop

MONTH = 30 * DAY

in_both = pytest.mark.usefixtures("kept_in")


def wait(world: World, seconds: int) -> None:
    """Advance the clock, and record credentials that end by then."""
    world.clock.now += seconds
    with world.ledger.write(accept_clock=True) as transaction:
        while expiry.close_due(transaction, 1_000):
            pass


def prune(world: World, rows_after: int | None = MONTH, **more: Any) -> Pruning:
    """Prune as an administrator does."""
    return world.authority.perform(Prune(rows_after=rows_after, **more))


def inspect(world: World, id_: str) -> Inspection:
    """Return all facts about an id."""
    return world.authority.perform(Inspect(id=id_))


def leak(world: World, *made: Made) -> None:
    """Report that tokens leaked."""
    finds = search_pasted(" ".join(one.token for one in made).encode())
    world.authority.perform(AddLeaks(finds=finds, report=LeakReport("wiki", None)))


def _found(finds: Finds) -> list[tuple[str, str]]:
    """Return the signed tokens that were found, each with its kind."""
    return [("signed", token) for token in finds.signed]


def tables(world: World, *names: str) -> list[int]:
    """Return the number of rows of each table."""
    with world.ledger.read() as snapshot:
        return [next(iter(snapshot.query(f"SELECT count(*) FROM {name}", {})))[0] for name in names]


@in_both
def test_what_is_over_goes_and_what_lives_stays(world: World) -> None:
    gone = world.chain(3, scopes=["db:read"])
    world.revoke(gone[1].id)
    wait(world, MONTH + 2 * DAY)
    lives = world.issue(task="T2", kind="opaque")
    done = prune(world)
    assert (done.rows["credentials"], done.rows["identities"], done.left) == (3, 3, 0)
    assert tables(world, "credential", "identity", "condemned", "honoured") == [1, 1, 0, 0]
    assert world.events()[-1]["seq"] == done.event
    world.check()
    assert world.verify(lives.token).jti == lives.jti
    for one in gone:
        with pytest.raises(InvalidCredentialError):
            world.verify(one.token)
        with pytest.raises(NotFoundError):
            inspect(world, one.jti)
    again = prune(world)
    assert (again.event, again.left) == (None, 0)


@in_both
def test_a_process_is_barred_until_its_last_revocation_is_old(world: World) -> None:
    first, second = (Process("host", "boot", 7, pid, 99, kept=False) for pid in (42, 43))
    world.issue(task="OLD", ttl=60)
    old, other, later = (
        world.issue(task=task, process=process, ttl=3_600)
        for task, process in (("T1", first), ("T2", second), ("T3", second))
    )
    world.revoke(old.id, other.id)
    wait(world, 2_000)
    world.revoke(later.id)
    wait(world, 2_000)
    assert prune(world, 3_600).rows["barred"] == 2
    world.issue(task="T4", process=first)
    with pytest.raises(InvalidCredentialError, match="the process 43 was revoked"):
        world.issue(task="T5", process=second)
    world.check()
    wait(world, 4_000)
    world.issue(task="T6")
    assert prune(world, 3_600).rows["barred"] == 2
    world.check()
    assert tables(world, "barred") == [0]


@in_both
def test_a_task_that_has_ended_never_comes_back(world: World) -> None:
    world.issue(task="T1")
    world.retire("T1")
    wait(world, 2 * MONTH)
    world.issue(task="T2")
    assert prune(world).rows["identities"] == 1
    with pytest.raises(JitidError, match="T1"):
        world.issue(task="T1")
    world.check()


@in_both
@pytest.mark.parametrize("alive", ["child", "sibling", "renewed"])
def test_what_something_alive_hangs_on_stays(lenient: World, alive: str) -> None:
    """The ancestors of a live identity stay, and all credentials of that identity, but no other rows."""
    root, child = lenient.chain(2, ttl=2 * MONTH, deadline_after=4 * MONTH)
    beside = lenient.issue(parent=root.token, agent="beside", ttl=2 * MONTH if alive == "renewed" else 60)
    if alive == "child":
        lenient.revoke(beside.id)
        wait(lenient, MONTH + DAY)
        left = {root.id, child.id}
    elif alive == "sibling":
        lenient.revoke(child.id)
        wait(lenient, MONTH + DAY)
        # The child was revoked before its expiry: an offline verifier would still accept it.
        left = {root.id, child.id}
    else:
        renewed = lenient.authority.perform(
            Renew(request=RenewRequest(Secret.single(beside.token), 2 * MONTH))
        )
        wait(lenient, MONTH + DAY)
        assert renewed.credentials[0].id == beside.id
        left = {root.id, child.id, beside.id}
    lenient.issue(task="T2")
    prune(lenient)
    lenient.check()
    for one in (root, child, beside):
        with suppress(NotFoundError):
            left.remove(inspect(lenient, one.id).credential.id)
    assert not left
    assert len(inspect(lenient, root.id).lineage) == 0


def test_what_is_honoured_elsewhere_stays_until_it_has_expired(lenient: World) -> None:
    early = lenient.issue(ttl=2 * MONTH, deadline_after=4 * MONTH)
    lenient.revoke(early.id)
    wait(lenient, MONTH + DAY)
    lenient.issue(task="T2", ttl=4 * MONTH, deadline_after=4 * MONTH)
    assert prune(lenient).event is None
    assert tables(lenient, "honoured") == [1]
    wait(lenient, 2 * MONTH + DAY)
    assert prune(lenient).rows["credentials"] == 1
    assert tables(lenient, "honoured") == [0]


def test_what_leaked_is_evidence(world: World) -> None:
    """A leaked credential stays with its ancestors."""
    root, child = world.chain(2)
    other = world.issue(task="T2")
    leak(world, child)
    world.authority.perform(CloseLeaks(numbers=(1,), reason="done", valid_too=True))
    wait(world, 2 * MONTH)
    world.issue(task="T3")
    assert prune(world).rows["identities"] == 1
    world.check()
    assert inspect(world, root.id).credential.id == root.id
    with pytest.raises(NotFoundError):
        inspect(world, other.id)


@in_both
def test_a_leak_that_is_reported_while_rows_go_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    root, child = world.chain(2)
    wait(world, 2 * MONTH)
    world.issue(task="T3")
    # All rows are marked for deletion, and none is deleted yet.
    monkeypatch.setattr(retention, "_delete", lambda *_, **__: 2)
    assert prune(world).left == 2
    monkeypatch.undo()
    world.check()
    leak(world, child)
    assert prune(world, None).left == 2
    world.check()
    for one in (root, child):
        assert inspect(world, one.id).credential.id == one.id


def test_what_is_reported_between_looking_and_letting_go_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, found = world.issue(), world.issue(task="T2")
    wait(world, 2 * MONTH)
    world.issue(task="T3")
    look = retention._find

    def late(*given: Any, **more: Any) -> Any:
        monkeypatch.undo()
        seen = look(*given, **more)
        leak(world, found)
        return seen

    monkeypatch.setattr(retention, "_find", late)
    assert prune(world).rows["identities"] == 1
    assert inspect(world, found.id).credential.id == found.id
    with pytest.raises(NotFoundError):
        inspect(world, gone.id)
    world.check()


@in_both
def test_what_is_not_settled_at_its_target_stays(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    with World(tmp_path / "ledger", targets=[shop.target()]) as world:
        settled = world.issue(kind="exec:shop", template="parts")
        world.retire("T1")
        world.authority.perform(Settle())
        open_ = world.issue(task="T2", kind="exec:shop")
        shop.fail("down")
        world.retire("T2")
        wait(world, 2 * MONTH)
        world.issue(task="T3")
        done = prune(world)
        assert (done.rows["outside"], done.rows["part"] > 0) == (1, True)
        world.check()
        assert inspect(world, open_.jti).outside is not None
        with pytest.raises(NotFoundError):
            inspect(world, settled.jti)
        shop.fail("")
        world.authority.perform(Settle(waiting=True))
        world.check()


@in_both
def test_what_many_events_have_settled_is_verified_after_pruning(tmp_path: Path) -> None:
    """Verification must not depend on the numbers of these events, or on their order in a set."""
    shop = Shop(tmp_path / "shop")
    with World(tmp_path / "ledger", targets=[shop.target()]) as world:
        world.issue(task="OLD", ttl=60)
        wait(world, 2 * MONTH)
        for number in range(6):
            world.issue(task=f"T{number}", kind="exec:shop", template="parts")
            world.retire(f"T{number}")
            world.authority.perform(Settle())
        assert prune(world).rows["credentials"] == 1
        world.check()
        wait(world, 2 * MONTH)
        world.issue(task="NEW")
        assert prune(world).rows["outside"] == 6
        world.check()


@in_both
def test_requests_for_approval_go_with_what_they_were_for(tmp_path: Path) -> None:
    with Office(tmp_path / "ledger") as office:
        office.grant(office.ask(**PAY))
        office.issue(**PAY)
        office.deny(office.ask(**PAY, task="T2"))
        wait(office, 2 * MONTH)
        open_ = office.ask(**PAY, task="T3")
        office.issue(task="T4")
        office.check()
        assert prune(office).rows["approval"] == 2
        office.check()
        assert tables(office, "approval", "approval_group") == [1, 1]
        office.grant(open_)
        office.issue(**PAY, task="T3")
        office.check()


@in_both
def test_what_was_done_with_it_goes_too(world: World) -> None:
    asked = [
        UseRequest(Secret.single(token), Scope("db:read"), "db1")
        for token in (world.issue(scopes=["db:read"]).token, "x.y.z")
    ]
    world.authority.perform(Authorize(asked=tuple(asked)))
    wait(world, 2 * MONTH)
    kept = world.issue(task="T2", scopes=["db:read"])
    world.authority.perform(
        Authorize(asked=(asked[1], UseRequest(Secret.single(kept.token), Scope("db:read"), "db1")))
    )
    assert prune(world).rows["action"] == 2
    world.check()
    assert tables(world, "action", "used") == [2, 1]


def test_rows_are_kept_for_an_hour_at_least(world: World) -> None:
    with pytest.raises(UsageError, match="at least 1h"):
        prune(world, 3_599)


def test_what_has_gone_stays_gone_when_rows_are_kept_for_longer(world: World) -> None:
    world.issue()
    wait(world, 2 * MONTH)
    world.issue(task="T2")
    prune(world)
    wait(world, DAY)
    done = prune(world, 12 * MONTH)
    assert (done.event, done.before) == (None, prune(world, dry_run=True).before - DAY)
    world.check()


def test_a_clock_that_jumps_ahead_lets_nothing_go(world: World) -> None:
    world.chain(2)
    world.clock.now += 2 * MONTH
    before = world.events()
    if isinstance(world.ledger, SqliteLedger):
        with pytest.raises(IntegrityError):
            prune(world)
        assert world.events() == before
    prune(world, accept_clock=True)
    world.check()


def _lively(world: World) -> None:
    """Make credentials to prune, a leaked credential that stays though the same events ended it, and a new one."""
    world.chain(2, ttl=60)
    world.issue(task="T2", kind="opaque", ttl=60)
    kept = world.issue(task="T3", kind="opaque", ttl=60)
    leak(world, kept)
    wait(world, 2 * MONTH)
    world.issue(task="T4", kind="opaque", scopes=["db:read"])


EDITS = [
    "DELETE FROM prune",
    "UPDATE prune SET before = before + 1",
    "UPDATE prune SET through = through + 1",
    "INSERT INTO prune SELECT event - 1, before, through, leaks FROM prune",
    "INSERT INTO prune SELECT event + 1, before, through, leaks FROM prune",
    "INSERT INTO condemned SELECT identity FROM credential WHERE ended_at IS NULL",
    "INSERT INTO condemned SELECT identity FROM credential WHERE ended_at IS NOT NULL",
    "DELETE FROM credential WHERE ended_at IS NULL",
    "UPDATE credential SET ended_at = NULL, ended_as = NULL, ended_event = NULL",
    "UPDATE credential SET fingerprint = jti || jti WHERE ended_at IS NOT NULL",
    "UPDATE credential SET event = event - 1 WHERE ended_at IS NOT NULL",
    "UPDATE credential SET scopes = 'db:*' WHERE ended_at IS NOT NULL",
    (
        "INSERT INTO credential SELECT id + 100, x'00112233445566778899aabbccddeeff', identity, kind, scopes,"
        " audiences, details, issued_at, expires_at, fingerprint, NULL, NULL, 2, task, delegator, NULL, NULL, NULL,"
        " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
        " FROM credential WHERE ended_at IS NULL"
    ),
    "DELETE FROM leak",
    "DELETE FROM audit_event WHERE seq = 2",
    "UPDATE audit_event SET body = replace(body, '\"through\":', '\"through\":1') WHERE seq = 0 + 9",
]


@pytest.mark.parametrize("change", EDITS)
def test_what_is_changed_behind_a_pruned_ledger_is_found(world: World, change: str) -> None:
    _lively(world)
    prune(world)
    world.check()
    edit(world.path, change)
    world.reopen()
    with pytest.raises(IntegrityError):
        world.check()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credential SET scopes = 'db:*' WHERE ended_at IS NOT NULL",
        "DELETE FROM credential WHERE ended_at IS NOT NULL",
        "UPDATE credential SET ended_at = NULL, ended_as = NULL, ended_event = NULL WHERE ended_at IS NOT NULL",
    ],
)
def test_what_was_changed_before_does_not_go_unseen(world: World, change: str) -> None:
    """Pruning would delete the evidence of the edit."""
    _lively(world)
    edit(world.path, change)
    world.reopen()
    before = len(world.events())
    with pytest.raises(IntegrityError):
        prune(world)
    assert len(world.events()) == before


@in_both
def test_what_lives_again_under_the_mark_of_what_has_gone_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lively(world)
    monkeypatch.setattr(retention, "_delete", lambda *_, **__: 2)
    prune(world)
    monkeypatch.undo()
    world.check()
    edit(
        world.path,
        "UPDATE credential SET ended_at = NULL, ended_as = NULL, ended_event = NULL"
        " WHERE identity IN (SELECT identity FROM condemned)",
    )
    world.reopen()
    with pytest.raises(IntegrityError, match="marks a credential as pruned"):
        world.check()


_steps = st.one_of(
    st.fixed_dictionaries(
        {
            "do": st.just("issue"),
            "task": st.sampled_from(["T1", "T2", "T3"]),
            "kind": st.sampled_from(["jwt", "opaque"]),
            "ttl": st.sampled_from([60, 3_600, 3 * DAY]),
            "copies": st.sampled_from([1, 1, 3]),
            "below": st.none() | st.integers(0, 20),
        }
    ),
    st.fixed_dictionaries(
        {"do": st.sampled_from(["renew", "revoke", "leak", "use"]), "which": st.integers(0, 20)}
    ),
    st.fixed_dictionaries({"do": st.just("retire"), "task": st.sampled_from(["T1", "T2", "T3"])}),
    st.fixed_dictionaries({"do": st.just("wait"), "seconds": st.sampled_from([30, 4_000, DAY, 4 * DAY])}),
    st.fixed_dictionaries({"do": st.just("prune"), "after": st.sampled_from([3_600, DAY, 5 * DAY])}),
)


def _act(world: World, held: list[Made], step: dict[str, Any]) -> None:
    """Perform one step."""
    match step:
        case {"do": "issue", "below": below}:
            terms = {name: step[name] for name in ("task", "kind", "ttl", "copies")}
            if below is not None and held:
                terms = {"kind": terms["kind"], "ttl": terms["ttl"], "parent": held[below % len(held)].token}
            for issued in world.authority.perform(Issue(requests=(request(**terms),))):
                held += [
                    Made(one.secret.reveal(one.secret.names[0]), one.id, one.jti, issued)
                    for one in issued.credentials
                ]
        case {"do": "wait", "seconds": seconds}:
            wait(world, seconds)
        case {"do": "retire", "task": task}:
            world.retire(task)
        case {"do": "prune", "after": after}:
            _prune(world, held, after)
        case {"do": do, "which": which} if held:
            one = held[which % len(held)]
            if do == "renew":
                renewal = RenewRequest(Secret.single(one.token))
                issued = world.authority.perform(Renew(request=renewal))
                (new,) = issued.credentials
                held.append(Made(new.secret.reveal(new.secret.names[0]), new.id, new.jti, issued))
            elif do == "revoke":
                world.revoke(one.jti)
            elif do == "leak":
                leak(world, one)
            else:
                asked = UseRequest(Secret.single(one.token), Scope("db:read"), "db1")
                world.authority.perform(Authorize(asked=(asked,)))


def _verdicts(world: World, held: Iterable[Made]) -> list[bool]:
    found = []
    for one in held:
        try:
            found.append(world.verify(one.token).jti == one.jti)
        except InvalidCredentialError:
            found.append(False)
    return found


def _prune(world: World, held: list[Made], after: int) -> None:
    """Prune after a dry run, and check that verdicts, leaks, tasks and live credentials stay the same."""
    before = _verdicts(world, held), tables(world, "leak", "task", "credential WHERE ended_at IS NULL")
    foreseen = prune(world, after, dry_run=True)
    done = prune(world, after)
    assert (done.left, done.rows["credentials"]) == (0, foreseen.rows["credentials"])
    assert (
        _verdicts(world, held),
        tables(world, "leak", "task", "credential WHERE ended_at IS NULL"),
    ) == before
    world.check()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_steps, min_size=10, max_size=30))
def test_whatever_happened_pruning_changes_no_verdict(tmp_path: Path, steps: list[dict[str, Any]]) -> None:
    """The audit log accounts for the remaining rows after each pruning and at the end."""
    shutil.rmtree(tmp_path / "ledger", ignore_errors=True)
    with World(tmp_path / "ledger", policy=PERMIT_ALL) as world:
        held: list[Made] = []
        for step in steps:
            # A refused step changes nothing.
            with suppress(JitidError):
                _act(world, held, step)
        world.check()
        wait(world, 9 * DAY)
        _prune(world, held, DAY)


def test_a_report_tells_from_when_on_it_knows_all(world: World) -> None:
    first = world.clock.now
    world.issue()
    wait(world, 2 * MONTH)
    world.issue(task="T2")
    assert world.authority.perform(MakeReport(at=first, days=30, limits=Thresholds())).pruned_before is None
    done = prune(world)
    now = world.authority.perform(MakeReport(days=60, limits=Thresholds()))
    assert (now.pruned_before, len(now.survey.trend)) == (done.before, 30)
    assert document(now)["pruned_before"] == format_time(done.before)
    assert format_time(done.before) in "".join(report_text.text(now, colour=False))
    assert format_time(done.before) in "".join(report_html.text(now))
    assert (
        world.authority.perform(MakeReport(at=done.before, days=3, limits=Thresholds())).survey.totals.live
        == 0
    )
    with pytest.raises(NotFoundError, match="the ledger no longer has all credentials of"):
        world.authority.perform(MakeReport(at=done.before - 1, days=30, limits=Thresholds()))


def test_a_token_that_was_pruned_accuses_no_key(world: World) -> None:
    """The ledger's key signed the token, but the ledger does not know it: a forgery with the key looks the same."""
    gone = world.issue()
    wait(world, 2 * MONTH)
    world.issue(task="T2")
    prune(world)
    traced = world.authority.perform(Trace(finds=search_pasted(gone.token.encode())))
    (stray,) = traced.strays
    assert (stray.signed_by, traced.matches) == (None, [])
    assert "pruned" in stray.reason
    with pytest.raises(NotFoundError) as caught:
        inspect(world, gone.jti)
    assert "credentials that had ended before" in str(caught.value.hint)


@in_both
def test_two_prune_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process finds no rows to delete."""
    world.chain(2)
    wait(world, 2 * MONTH)
    world.issue(task="T2")
    look = retention._find
    first: list[Pruning] = []

    def late(*given: Any, **more: Any) -> Any:
        monkeypatch.undo()
        seen = look(*given, **more)
        with World(world.path, now=world.clock.now) as other:
            first.append(prune(other))
        return seen

    monkeypatch.setattr(retention, "_find", late)
    second = prune(world)
    assert (first[0].rows["identities"], second.event, second.left) == (2, None, 0)
    world.check()


@in_both
def test_what_leaked_goes_once_it_is_closed_and_evidence_is_over(world: World) -> None:
    root, child = world.chain(2)
    open_, late = world.issue(task="T2"), world.issue(task="T3")
    leak(world, child, open_)
    for one in (root, open_, late):
        world.revoke(one.id)
    world.authority.perform(ProveLeaks())
    world.authority.perform(CloseLeaks(numbers=(1,), reason="done"))
    wait(world, 2 * MONTH)
    leak(world, late)
    world.authority.perform(ProveLeaks())
    world.authority.perform(CloseLeaks(jtis=(late.jti,), reason="done"))
    world.issue(task="T4")
    assert prune(world).event is None
    with pytest.raises(UsageError):
        prune(world, leaks_after=MONTH - 1)
    done = prune(world, leaks_after=MONTH)
    assert (done.rows["identities"], done.rows["leak"], done.left) == (2, 1, 0)
    world.check()
    assert tables(world, "leak", "sighting WHERE leak = 1") == [2, 0]
    for one in (open_, late):
        assert inspect(world, one.id).credential.id == one.id
    # The number of a deleted leak is not used again, and the remaining leaks are deleted later.
    world.authority.perform(CloseLeaks(jtis=(open_.jti,), reason="done"))
    wait(world, 2 * MONTH)
    new = world.issue(task="T5")
    leak(world, new)
    with world.ledger.read() as snapshot:
        assert [row.key for row in LeakStore(snapshot).leak_rows()] == [2, 3, 4]
    assert prune(world, leaks_after=MONTH).rows["leak"] == 2
    world.check()
    assert tables(world, "leak") == [1]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM leak WHERE id = 2",
        "UPDATE leak SET proved_at = NULL WHERE id = 2",
        "UPDATE leak SET proved_at = proved_at + 1 WHERE id = 2",
        "UPDATE leak SET closed_at = NULL, closed_event = NULL WHERE id = 2",
        "UPDATE leak SET source = 'other' WHERE id = 2",
        "UPDATE leak SET credential = (SELECT min(id) FROM credential) WHERE id = 3",
        "UPDATE sighting SET place = 'elsewhere'",
        "DELETE FROM sighting",
        "UPDATE prune SET leaks = leaks + 1",
        "INSERT INTO condemned SELECT identity FROM credential WHERE id = (SELECT credential FROM leak WHERE id = 2)",
    ],
)
def test_what_is_changed_of_the_leaks_that_are_left_is_found(world: World, change: str) -> None:
    found = [world.issue(task=f"T{number}") for number in range(3)]
    finds = search_pasted(" ".join(one.token for one in found).encode())
    places = {mark(sort, key).hex(): (Sighting("build.log", 3),) for sort, key in _found(finds)}
    world.authority.perform(AddLeaks(finds=finds, report=LeakReport("wiki", None), sightings=places))
    for one in found:
        world.revoke(one.id)
    world.authority.perform(ProveLeaks())
    # The second leak is closed too late to be pruned, so that rows of each event remain.
    world.authority.perform(CloseLeaks(numbers=(1, 3), reason="done"))
    wait(world, MONTH)
    world.authority.perform(CloseLeaks(numbers=(2,), reason="done"))
    wait(world, DAY)
    world.issue(task="T9")
    assert prune(world, 20 * DAY, leaks_after=25 * DAY).rows["leak"] == 1
    world.check()
    edit(world.path, change)
    world.reopen()
    with pytest.raises(IntegrityError):
        world.check()


@in_both
def test_a_proof_after_the_clock_was_set_back_is_no_old_one(world: World) -> None:
    old, late = world.issue(kind="opaque"), world.issue(kind="opaque", task="T2")
    leak(world, late)
    world.revoke(old.jti)
    wait(world, 3 * DAY)
    world.issue(task="T3")
    prune(world, DAY, leaks_after=DAY)
    world.check()
    wait(world, -2 * DAY - 3_600)
    world.revoke(late.jti)
    world.authority.perform(ProveLeaks())
    world.check()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credential SET ended_at = NULL WHERE ended_as = 'expired'",
        "UPDATE signing_key SET certificates = 1",
        "UPDATE outside SET settlement = NULL",
        "UPDATE outside SET event = NULL",
        "UPDATE access SET fingerprint = 1",
    ],
)
def test_what_no_ledger_writes_is_found(tmp_path: Path, change: str) -> None:
    shop = Shop(tmp_path / "shop")
    with World(tmp_path / "ledger", targets=[shop.target()], policy=PERMIT_ALL) as world:
        for kind in ("opaque", "exec:shop"):
            world.issue(kind=kind, ttl=60)
        world.authority.perform(GrantAccess(wanted=AccessRequest("user:eve")))
        wait(world, DAY)
        world.authority.perform(Settle())
        world.check()
        edit(world.path, change)
        world.reopen()
        with pytest.raises(IntegrityError):
            world.check()


@in_both
def test_what_an_answer_gave_out_that_may_have_been_lost_is_known(world: World) -> None:
    """If the request is repeated, all credentials of its answer are revoked, also those with a longer lifetime."""
    caller = Caller("user:ci", frozenset({"issuer"}), key="k1")
    requests = (request(ttl=60), request(ttl=DAY, task="T2"))
    world.authority.serving(caller).perform(Issue(requests=requests))
    wait(world, 8_000)
    world.issue(task="T3")
    prune(world, 3_600)
    with world.ledger.write() as transaction:
        answered = IdempotencyStore(transaction).find("user:ci", "k1")
        assert answered is not None
        assert len(IdempotencyStore(transaction).made(answered)) == 2
    wait(world, 2 * DAY)
    world.issue(task="T4")
    assert prune(world, 3_600).rows["identities"] == 3
    world.check()
