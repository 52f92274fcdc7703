"""Credentials made by a target: recorded, made and confirmed. No failure leaves an unknown secret."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.integrity.operations import VerifyLog
from jitid.capabilities.inventory.operations import GiveTask, Inspect, Inspection, Retire, Revoke, ShareTask
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach, Issue, Renew
from jitid.capabilities.targets.operations import Settle
from jitid.capabilities.targets.settle import FIRST_AFTER, MINTING, _Tally, backoff
from jitid.capabilities.targets.store import OutsideStore
from jitid.errors import (
    IntegrityError,
    InvalidCredentialError,
    JitidError,
    RefusedError,
    StorageError,
    UsageError,
)
from jitid.model.ledger_rows import Selection
from jitid.model.request import AttachRequest, RenewRequest
from jitid.model.target import LAST_AFTER, EndOutcome, Settlement, StatedTarget
from jitid.system import time_limit
from jitid.values.secret import Secret, fingerprint
from tests.authority.callers import ask, bearer, caller
from tests.authority.callers import issue as issue_for
from tests.builders import World, edit, request
from tests.programs import Shop
from tests.real import until

both_ledgers = pytest.mark.usefixtures("kept_in")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


@pytest.fixture
def world(tmp_path: Path, shop: Shop) -> Iterator[World]:
    with World(tmp_path / "ledger", targets=[shop.target()]) as world:
        yield world


def issue(world: World, **fields: object) -> Issued:
    """Issue a credential of the shop."""
    (issued,) = world.authority.perform(Issue(requests=(request(kind="exec:shop", **fields),)))
    return issued


def inspect(world: World, id_: str) -> Inspection:
    return world.authority.perform(Inspect(id=id_))


def pending(world: World) -> list[str]:
    """Return the ids of all pending and active credentials."""
    with world.ledger.read() as snapshot:
        found = CredentialStore(snapshot).credentials(Filter(), "id", descending=False, after=None, limit=99)
        return [one.jti for one in found if one.state_at(snapshot.now) in ("pending", "active")]


@both_ledgers
def test_what_is_handed_out_is_what_the_target_made(world: World, shop: Shop) -> None:
    (made,) = issue(world, scopes=("db:read",)).credentials
    name = f"jitid_{made.jti.removeprefix('jti_')}"
    assert shop.made == {name: {"token": made.secret.reveal()}}
    found = inspect(world, made.jti)
    assert found.active
    assert found.credential.fingerprint == fingerprint(made.secret.reveal())
    assert found.outside is not None
    assert found.outside.record.name == name
    assert found.outside.record.reference == f"ref-{name}"
    assert found.outside.facts == made.facts == {"where": "shop"}
    asked = shop.asked("mint")["credential"]
    assert asked["jti"] == made.jti
    assert asked["scopes"] == ["db:read"]
    assert world.authority.perform(VerifyLog()).members == 2


@both_ledgers
def test_each_part_of_a_secret_is_known_by_its_fingerprint(world: World) -> None:
    (made,) = issue(world, template="parts").credentials
    assert made.secret.names == ("user", "password")
    with world.ledger.read() as snapshot:
        for part in made.secret.names:
            (found,) = CredentialStore(snapshot).find_given((), [fingerprint(made.secret.reveal(part))])
            assert found.jti == made.jti
            assert found.template == "shop/parts"
    world.check()


@both_ledgers
@pytest.mark.parametrize("door", ["attach", "delegate"])
def test_a_target_is_told_whose_the_task_was(world: World, shop: Shop, door: str) -> None:
    """As for policies: a credential from before the task was given away does not count as its new owner's."""
    mallory, alice = caller("user:mallory"), caller("user:alice")
    for one in (mallory, alice):
        world.know(one.name)
    fields = {"delegator": None, "may_kind": ("jwt", "exec:shop")}
    held = issue_for(world, mallory, task="REL-9", **fields)
    ask(world, mallory, ShareTask(task="REL-9", names=("user:alice",)))
    issue_for(world, alice, task="user:mallory/REL-9", delegator=None)
    ask(world, mallory, GiveTask(task="REL-9", to="user:alice"))
    token = bearer(held)

    def asked() -> str:
        return str(shop.asked("mint")["credential"]["task_opener"])

    if door == "attach":
        ask(world, mallory, Attach(request=AttachRequest(token, "exec:shop")))
    else:
        issue_for(world, mallory, kind="exec:shop", parent=token, task=None, delegator=None)
    assert asked() == "user:mallory"
    issue_for(world, alice, kind="exec:shop", task="REL-9", delegator=None)
    assert asked() == "user:alice"


def test_the_policy_is_told_the_template(tmp_path: Path, shop: Shop) -> None:
    policy = [
        ("p.cedar", '@id("p") permit(principal, action, resource) when { context.template == "shop/parts" };')
    ]
    with World(tmp_path / "other", policy=policy, targets=[shop.target()]) as world:
        issue(world, template="shop/parts")
        with pytest.raises(JitidError, match="denied"):
            issue(world)
        assert len(shop.made) == 1


@pytest.mark.parametrize(
    ("kind", "template"),
    [("exec:none", None), ("exec:shop", "none"), ("exec:shop", "other/parts"), ("jwt", "x")],
)
def test_what_names_no_target_is_a_usage_error(world: World, kind: str, template: str | None) -> None:
    with pytest.raises(UsageError):
        world.authority.perform(Issue(requests=(request(kind=kind, template=template),)))
    assert pending(world) == []


@both_ledgers
def test_revoking_and_settling_end_it_at_the_target(world: World, shop: Shop) -> None:
    (made,) = issue(world).credentials
    ended = world.authority.perform(Revoke(selection=Selection(ids=(made.jti,)), most=None))
    assert ended.unsettled == 1
    assert len(shop.made) == 1
    settled = world.authority.perform(Settle(event=ended.event))
    assert (settled.done, settled.open, settled.left) == (1, 0, ())
    assert shop.made == {}
    outside = inspect(world, made.jti).outside
    assert outside is not None
    assert (outside.settlement, outside.proof) == ("done", "the shelf is empty")
    assert outside.settled_at == world.clock.now
    world.check()
    # Settling once is enough.
    assert world.authority.perform(Settle()).done == 0


@both_ledgers
def test_whatever_ends_it_puts_it_into_the_queue(world: World, shop: Shop) -> None:
    """The causes are expiry, the end of the task, and the end of an ancestor."""
    parent = world.issue(task="P", may_kind=("exec:shop",))
    issue(world, task="P", delegator=None, parent=Secret.single(parent.token))
    issue(world, task="R")
    issue(world, task="E", ttl=60)
    assert len(shop.made) == 3
    assert world.authority.perform(Revoke(selection=Selection(ids=(parent.id,)), most=None)).unsettled == 1
    assert world.authority.perform(Retire(task="R")).unsettled == 1
    world.clock.now += 61
    assert world.authority.perform(Settle()).done == 3
    assert shop.made == {}
    world.check()


@both_ledgers
def test_what_rests_on_a_line_that_expired_early_is_ended_at_its_target(world: World, shop: Shop) -> None:
    parent = world.issue(task="P", may_kind=("exec:shop",))
    issue(world, task="P", delegator=None, parent=Secret.single(parent.token))
    world.authority.perform(Attach(request=AttachRequest(Secret.single(parent.token), "exec:shop")))
    assert len(shop.made) == 2
    world.authority.perform(Renew(request=RenewRequest(Secret.single(parent.token), 60)))
    world.clock.now += 61
    assert world.authority.perform(Settle()).done == 2
    assert shop.made == {}
    world.check()


@pytest.mark.deep
@pytest.mark.parametrize("mode", ["down", "garbage", "lost", "hang", "flood", "lack"])
def test_a_mint_that_fails_leaves_nothing(tmp_path: Path, shop: Shop, mode: str) -> None:
    shop.fail(mode, "mint")
    with World(tmp_path / "ledger", targets=[shop.target(timeout=1 if mode == "hang" else 20)]) as world:
        with pytest.raises(JitidError) as failure:
            issue(world)
        assert "no credential is left at the target" in failure.value.message
        assert failure.value.exit_status == (2 if mode == "lack" else 5)
        assert shop.made == {}
        assert pending(world) == []
        world.check()


def test_a_mint_that_fails_when_the_time_is_over_leaves_nothing(
    world: World, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target gets extra time to revoke the secret that it has made."""
    asked = shop.folder / "asked-mint"
    monkeypatch.setattr(time_limit, "monotonic", lambda: time.monotonic() + 3_600 * asked.exists())
    monkeypatch.setattr(time_limit, "_end", None)
    monkeypatch.setattr(time_limit, "_least", 0.0)
    time_limit.bound(60)
    shop.fail("lost", "mint")
    with pytest.raises(StorageError) as raised:
        issue(world)
    assert "no credential is left at the target" in raised.value.message
    assert pending(world) == []
    assert shop.made == {}


def test_what_no_target_was_asked_for_has_no_outcome(
    world: World, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command without time left does not postpone the next attempt."""
    (made,) = issue(world).credentials
    event = world.authority.perform(Revoke(selection=Selection(ids=(made.jti,)), most=None)).event
    before = inspect(world, made.jti).outside
    monkeypatch.setattr(time_limit, "_end", 0.0)
    tried = world.authority.perform(Settle(event=event, waiting=True))
    assert (tried.done, tried.open, tried.late, tried.events) == (0, 1, ("shop",), ())
    assert [left.jti for left in tried.left] == [made.jti]
    assert inspect(world, made.jti).outside == before
    assert not (shop.folder / "asked-revoke").exists()
    monkeypatch.setattr(time_limit, "_end", None)
    assert world.authority.perform(Settle(event=event)).done == 1
    assert shop.made == {}


def test_a_refusal_is_one(world: World, shop: Shop) -> None:
    shop.fail("refuse", "mint")
    with pytest.raises(RefusedError) as failure:
        issue(world)
    assert "no credential is left at the target" in failure.value.message
    assert pending(world) == []


@both_ledgers
def test_what_was_made_while_its_answer_was_lost_is_ended_once_the_target_is_back(
    world: World, shop: Shop
) -> None:
    shop.fail("lost")
    with pytest.raises(StorageError):
        issue(world)
    # Only the answer to mint was lost, so that the secret could be revoked at once.
    assert shop.made == {}
    (shop.folder / "lost").touch()
    shop.fail("down", "revoke")
    (made,) = issue(world).credentials
    ended = world.authority.perform(Revoke(selection=Selection(ids=(made.jti,)), most=None))
    settled = world.authority.perform(Settle(event=ended.event))
    assert (settled.done, settled.open) == (0, 1)
    (left,) = settled.left
    assert (left.jti, left.settlement, left.target) == (made.jti, "unavailable", "shop")
    assert left.next_at is not None
    assert FIRST_AFTER // 2 <= left.next_at - world.clock.now <= FIRST_AFTER
    # The next attempt waits for its time, unless an operator requests it.
    assert world.authority.perform(Settle()).left == ()
    shop.fail("")
    world.clock.now = left.next_at
    assert world.authority.perform(Settle()).done == 1
    assert shop.made == {}
    world.check()


def test_what_is_stuck_is_kept(world: World, shop: Shop) -> None:
    (made,) = issue(world).credentials
    ended = world.authority.perform(Revoke(selection=Selection(ids=(made.jti,)), most=None))
    shop.fail("stuck", "revoke")
    for _ in range(2):
        settled = world.authority.perform(Settle(event=ended.event, waiting=True))
        assert settled.open == 1
        assert settled.left[0].settlement == "stuck"
        assert settled.left[0].next_at == world.clock.now + LAST_AFTER
    found = inspect(world, made.jti).outside
    assert found is not None
    assert found.attempts == 2
    assert found.settled_at is None


def test_what_cannot_be_ended_says_until_when_it_is_honoured(world: World, shop: Shop) -> None:
    issued = issue(world)
    ended = world.authority.perform(Revoke(selection=Selection(ids=(issued.credentials[0].jti,)), most=None))
    shop.fail("unsupported", "revoke")
    settled = world.authority.perform(Settle(event=ended.event))
    assert (settled.done, settled.unsupported, settled.open) == (0, 1, 0)
    assert settled.left[0].honoured_until == issued.expires_at
    assert world.authority.perform(Settle()).unsupported == 0
    world.check()


@pytest.mark.deep
def test_a_target_that_hangs_holds_nobody_up(tmp_path: Path, shop: Shop) -> None:
    other = Shop(tmp_path / "other")
    with World(tmp_path / "ledger", targets=[shop.target(), other.target("other")]) as world:
        issue(world)
        world.authority.perform(Issue(requests=(request(kind="exec:other"),)))
        shop.fail("hang", "revoke")
        ended = world.authority.perform(Retire(task="T1"))
        settled = world.authority.perform(Settle(event=ended.event, limit=2))
        assert (settled.done, settled.open, settled.late) == (1, 1, ("shop",))
        assert other.made == {}
        world.check()


@both_ledgers
def test_whoever_ends_it_once_more_is_told_what_is_left_of_it(world: World, shop: Shop) -> None:
    """This holds for each way of selecting it, and whether or not other selected credentials were live."""
    first = issue(world).credentials[0]
    shop.fail("down", "revoke")
    task = Selection(tasks=("T1",))
    ended = world.authority.perform(Revoke(selection=task, most=None))
    assert (ended.unsettled, ended.earlier) == (1, ())
    assert world.authority.perform(Settle(event=ended.event)).open == 1
    for again in (Revoke(selection=task, most=None), Retire(task="T1"), Retire(task="T1")):
        ended = world.authority.perform(again)
        assert (ended.credentials, ended.unsettled, ended.earlier) == (0, 1, (first.jti,))
    assert world.authority.perform(Settle(ids=ended.earlier, waiting=True)).open == 1
    shop.fail("")
    assert world.authority.perform(Settle(ids=ended.earlier, waiting=True)).done == 1
    assert world.authority.perform(Retire(task="T1")).unsettled == 0


@both_ledgers
def test_what_had_ended_before_counts_beside_what_ends_now(world: World, shop: Shop) -> None:
    first, second = issue(world).credentials[0], issue(world).credentials[0]
    world.authority.perform(Revoke(selection=Selection(ids=(first.jti,)), most=None))
    ended = world.authority.perform(Retire(task="T1"))
    assert (ended.credentials, ended.unsettled, set(ended.earlier)) == (1, 2, {first.jti, second.jti})


@both_ledgers
def test_what_its_target_cannot_end_is_told_until_its_time_is_over(world: World, shop: Shop) -> None:
    issued = issue(world)
    shop.fail("unsupported", "revoke")
    world.authority.perform(Settle(event=world.authority.perform(Retire(task="T1")).event))
    ended = world.authority.perform(Retire(task="T1"))
    (left,) = ended.left
    assert (ended.unsettled, ended.unsupported, left.settlement) == (0, 1, "unsupported")
    assert (left.honoured_until, left.next_at) == (issued.expires_at, None)
    world.clock.now = issued.expires_at
    assert world.authority.perform(Retire(task="T1")).unsupported == 0


def test_a_target_that_is_no_longer_configured_is_not_forgotten(world: World, shop: Shop) -> None:
    issue(world)
    world.authority.perform(Retire(task="T1"))
    world.targets = []
    settled = world.authority.perform(Settle())
    assert settled.open == 1
    assert "no target `shop`" in settled.left[0].seen
    world.targets = [shop.target()]
    assert world.authority.perform(Settle(waiting=True)).done == 1


def test_what_is_made_after_it_was_settled_is_ended_by_whoever_made_it(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    """The program answers late: by then its credential is revoked, and the queue has settled it."""
    shop.fail("wait", "mint")

    def slow() -> Issued:
        with World(tmp_path / "ledger", targets=[shop.target()], now=world.clock.now) as other:
            return issue(other)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(slow)
        until(lambda: bool(shop.asked("mint")), "the program was not asked")
        jti = shop.asked("mint")["credential"]["jti"]
        world.authority.perform(Revoke(selection=Selection(ids=(jti,)), most=None))
        world.clock.now += MINTING
        assert world.authority.perform(Settle()).done == 1
        (shop.folder / "go").touch()
        with pytest.raises(
            InvalidCredentialError, match="ended while its target made it; at the target: the shelf is empty"
        ):
            answer.result(timeout=60)
    assert shop.asked("revoke")["credentials"][0]["jti"] == jti
    assert shop.made == {}


def test_what_died_while_those_before_it_were_made_is_not_made(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    """The batch is long: before the target makes the second credential, the queue may have settled it."""
    shop.fail("wait", "mint")

    def slow() -> list[Issued]:
        with World(tmp_path / "ledger", targets=[shop.target()], now=world.clock.now) as other:
            two = (request(kind="exec:shop"), request(kind="exec:shop"))
            return other.authority.perform(Issue(requests=two))

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(slow)
        until(lambda: bool(shop.asked("mint")), "the program was not asked")
        first = shop.asked("mint")["credential"]["jti"]
        (second,) = set(pending(world)) - {first}
        world.authority.perform(Revoke(selection=Selection(ids=(second,)), most=None))
        (shop.folder / "go").touch()
        with pytest.raises(InvalidCredentialError, match=f"{second} ended before its target made it"):
            answer.result(timeout=60)
    assert shop.asked("mint")["credential"]["jti"] == first
    assert shop.made == {}


def test_nothing_is_settled_while_a_later_one_of_a_batch_is_made(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    """It was recorded long before its turn, and it ended meanwhile: its target must be called again."""
    shop.fail("wait", "mint")

    def slow() -> Issued:
        with World(tmp_path / "ledger", targets=[shop.target()], now=world.clock.now) as other:
            return issue(other)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(slow)
        until(lambda: bool(shop.asked("mint")), "the program was not asked")
        world.clock.now += 2 * MINTING
        world.authority.perform(Retire(task="T1"))
        assert world.authority.perform(Settle(waiting=True)).open == 1
        shop.fail("down", "revoke")
        (shop.folder / "go").touch()
        with pytest.raises(InvalidCredentialError, match="ended while its target made it"):
            answer.result(timeout=60)
    assert len(shop.made) == 1
    shop.fail("")
    world.clock.now += MINTING
    assert world.authority.perform(Settle(waiting=True)).done == 1
    assert shop.made == {}


def test_another_place_of_the_same_name_proves_nothing(world: World, shop: Shop) -> None:
    issue(world)
    world.authority.perform(Retire(task="T1"))
    world.targets = [StatedTarget("shop", {"kind": "ssh-cert"}, "/", "user test")]
    settled = world.authority.perform(Settle())
    assert (settled.done, settled.open) == (0, 1)
    edit(world.path, "UPDATE credential SET kind = 'exec:other' WHERE kind = 'exec:shop'")
    world.targets = [shop.target()]
    world.reopen()
    settled = world.authority.perform(Settle(waiting=True))
    assert (settled.done, settled.open) == (0, 1)
    assert "exec:shop now" in settled.left[0].seen
    assert len(shop.made) == 1


def test_nothing_is_settled_while_somebody_may_still_be_making_it(world: World, shop: Shop) -> None:
    """A killed process left the row. The target may still make the secret a little later."""
    with world.ledger.read() as snapshot:
        now = snapshot.now
    shop.fail("down", "mint")
    with pytest.raises(StorageError):
        issue(world)
    edit(world.path, "UPDATE outside SET settled_at = NULL, settlement = NULL, event = NULL")
    world.reopen()
    settled = world.authority.perform(Settle(waiting=True))
    assert (settled.done, settled.open) == (0, 1)
    assert settled.left[0].next_at == now + MINTING
    world.clock.now += MINTING
    assert world.authority.perform(Settle()).done == 1


@both_ledgers
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE outside SET settled_at = 1, settlement = 'done' WHERE settled_at IS NULL",
        "UPDATE outside SET name = 'other'",
        "UPDATE outside SET target = 'other'",
        "UPDATE outside SET reference = 'other'",
        "UPDATE outside SET settled_at = NULL WHERE settled_at IS NOT NULL",
        "DELETE FROM outside WHERE settled_at IS NULL",
        "DELETE FROM part",
        "UPDATE credential SET fingerprint = NULL WHERE kind LIKE 'exec%'",
        "UPDATE part SET name = 'other' WHERE name = 'user'",
    ],
)
def test_an_edit_of_what_is_at_targets_is_found(world: World, change: str) -> None:
    issue(world, task="A", template="parts")
    issue(world, task="B")
    ended = world.authority.perform(Retire(task="B"))
    world.authority.perform(Settle(event=ended.event))
    world.authority.perform(VerifyLog())
    edit(world.path, change)
    world.reopen()
    with pytest.raises(IntegrityError):
        world.authority.perform(VerifyLog())


@both_ledgers
def test_two_who_settle_the_same_at_once_both_account_for_it(world: World, shop: Shop) -> None:
    (made,) = issue(world).credentials
    world.authority.perform(Retire(task="T1"))
    with world.ledger.read() as snapshot:
        (outside,) = OutsideStore(snapshot).find([made.jti])
    tally = _Tally(world.ledger, abandoned=False)
    for _ in range(2):
        # Both processes have read that the credential must be ended.
        tally.record("shop", [(outside, EndOutcome(Settlement.DONE, "the shelf is empty"))])
    world.check()


def test_tries_come_further_and_further_apart() -> None:
    for attempts in range(40):
        longest = min(FIRST_AFTER * 2**attempts, LAST_AFTER)
        assert all(longest // 2 <= backoff(attempts) <= longest for _ in range(20))


def test_several_are_made_or_none(world: World, shop: Shop) -> None:
    (issued,) = world.authority.perform(Issue(requests=(request(kind="exec:shop", copies=3),)))
    assert len({one.secret.reveal() for one in issued.credentials}) == 3
    world.check()
    shop.fail("down", "mint")
    with pytest.raises(StorageError):
        world.authority.perform(Issue(requests=(request(kind="exec:shop", copies=2), request())))
    assert len(pending(world)) == 3
    assert len(shop.made) == 3
    world.check()
