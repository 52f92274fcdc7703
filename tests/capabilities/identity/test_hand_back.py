"""Handing back: a holder with a valid credential ends identities in its own subtree, and no others."""

from __future__ import annotations

import pytest

from jitid.capabilities.identity.operations import HandBack
from jitid.capabilities.identity.revocation import HandedBack
from jitid.capabilities.inventory.operations import Inspect, Revoke
from jitid.capabilities.issue.operations import Renew
from jitid.cli.identity.revoke import sentence
from jitid.errors import InvalidCredentialError, PolicyDeniedError, UsageError
from jitid.model.ledger_rows import Selection
from jitid.model.process import Process
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from jitid.values.times import LATEST
from tests.builders import Made, World


def hand_back(world: World, holder: Made, id_: str) -> HandedBack:
    return world.authority.perform(HandBack(token=Secret.single(holder.token), id=id_, reason="done"))


def live(world: World, *made: Made) -> list[bool]:
    return [world.authority.perform(Inspect(id=one.id)).active for one in made]


def test_each_of_a_chain_may_end_itself_and_what_is_below_it(world: World) -> None:
    for at in range(4):
        for below in range(4):
            chain = world.chain(4)
            if below < at:
                with pytest.raises(PolicyDeniedError, match="own-subtree"):
                    hand_back(world, chain[at], chain[below].id)
                assert live(world, *chain) == [True] * 4
            else:
                done = hand_back(world, chain[at], chain[below].jti)
                assert (done.id, done.ended.credentials) == (chain[below].id, 4 - below)
                assert live(world, *chain) == [number < below for number in range(4)]


def test_through_what_is_dead_too(world: World) -> None:
    """An identity below an ended one may still be handed back. It has ended too, so there is no second event."""
    root = world.issue(ttl=900)
    middle = world.issue(parent=root.token, agent="middle", ttl=900)
    last = world.issue(parent=middle.token, agent="last", ttl=900)
    hand_back(world, root, middle.id)
    done = hand_back(world, root, last.id)
    assert (done.ended.credentials, done.ended.event) == (0, None)


def test_one_that_is_beside_or_unknown_is_refused_alike_and_recorded(world: World) -> None:
    root = world.issue()
    one, two = (world.issue(parent=root.token, agent=name) for name in ("one", "two"))
    stranger = world.issue(task="T2")
    unknown = "jid_" + "0" * 26
    told = set()
    for other in (two.id, two.jti, root.id, stranger.id, unknown):
        with pytest.raises(PolicyDeniedError) as refused:
            hand_back(world, one, other)
        told.add((refused.value.message.replace(other, ""), refused.value.hint))
        event = world.events()[-1]
        assert (event["op"], event["hand_back"], event["holder"]) == ("denial", other, one.id)
    assert len(told) == 1
    assert live(world, root, one, two, stranger) == [True] * 4


def test_it_needs_a_credential_that_is_valid(world: World) -> None:
    root = world.issue()
    child = world.issue(parent=root.token, agent="child", ttl=60)
    below = world.issue(parent=child.token, agent="below", ttl=30)
    world.clock.now += 60
    for token in (child.token, "x.y.z", root.token[:-4] + "AAAA"):
        with pytest.raises(InvalidCredentialError):
            world.authority.perform(HandBack(token=Secret.single(token), id=below.id))
        assert world.events()[-1]["hand_back"] == below.id
    world.revoke(root.id)
    with pytest.raises(InvalidCredentialError):
        hand_back(world, root, child.id)


def test_no_id_is_a_usage_error_and_no_event(world: World) -> None:
    root = world.issue()
    before = len(world.events())
    for text in ("", "T1", root.token, "jid_x", "*"):
        with pytest.raises(UsageError):
            hand_back(world, root, text)
    assert len(world.events()) == before


def test_the_event_says_by_whose_right(world: World) -> None:
    root = world.issue()
    child = world.issue(parent=root.token, agent="child")
    hand_back(world, root, child.id)
    event = world.events()[-1]
    assert (event["op"], event["holder"], event["reason"]) == ("revoke", root.id, "done")
    world.check()


@pytest.mark.parametrize("is_below", [False, True])
@pytest.mark.usefixtures("kept_in")
def test_it_bars_each_client_below_but_not_the_holders_own_process(world: World, is_below: bool) -> None:
    """A run ends the session of its client, directly or with itself. The client may not open the next one."""
    wrapper = Process("host", "boot", 7, 41, 99, kept=False, renews_until=LATEST)
    client = Process("host", "boot", 7, 42, 99, kept=False)
    run = world.issue(process=wrapper)
    other = world.issue(parent=run.token, agent="other")
    session = world.issue(parent=run.token, agent="codex", process=client)
    done = hand_back(world, run, session.id if is_below else run.id)
    assert done.ended.barred == 1
    event = world.events()[-1]
    assert (event["barred"], event.get("closing")) == ([session.id], None)
    with pytest.raises(InvalidCredentialError, match=r"process 42 was revoked" if is_below else "revoked at"):
        world.issue(parent=run.token, agent="codex", process=client)
    with pytest.raises(InvalidCredentialError, match=r"process 42 was revoked"):
        world.issue(agent="codex", process=client)
    assert live(world, other) == [is_below]
    world.check()


def test_a_client_that_hands_back_its_own_session_may_open_another(world: World) -> None:
    client = Process("host", "boot", 7, 42, 99, kept=False)
    session = world.issue(agent="codex", process=client)
    assert hand_back(world, session, session.id).ended.barred == 0
    assert world.events()[-1]["closing"] is True
    assert live(world, world.issue(agent="codex", process=client)) == [True]
    world.check()


def test_the_answer_does_not_claim_that_a_barred_process_still_runs(world: World) -> None:
    """The ledger may be on another machine, and an old process may have ended long ago."""
    for pid, task in ((42, "A"), (42, "A"), (43, "B"), (44, "B")):
        world.issue(task=task, process=Process("host", "boot", 7, pid, 99, kept=False))
    for task, end in (
        ("A", "; 1 process, if it still runs, gets no other identity until it is restarted"),
        ("B", "; 2 processes, if they still run, get no other identity until they are restarted"),
    ):
        assert sentence(world.revoke(tasks=(task,)), dry_run=False).endswith(end)


@pytest.mark.usefixtures("kept_in")
@pytest.mark.parametrize("case", ["closed", "closed and renewed", "expired", "alone", "of another person"])
def test_a_past_session_bars_no_client_whose_present_one_is_not_selected(world: World, case: str) -> None:
    """A client that closed its session has opened the next one. An expired one it would open again."""
    client = Process("host", "boot", 7, 42, 99, kept=False)
    past = world.issue(agent="one", process=client, ttl=60)
    if case == "closed and renewed":
        world.clock.now += 30
        world.authority.perform(Renew(request=RenewRequest(Secret.single(past.token))))
    if case == "expired":
        world.clock.now += 60
    else:
        hand_back(world, past, past.id)
    if case != "alone":
        world.issue(agent="two", process=client, delegator="user:bob" if case[:2] == "of" else "user:alice")
    ended = world.authority.perform(Revoke(selection=Selection(agents=("one",)), most=None))
    assert ended.barred == (not case.startswith("closed"))
    if not ended.barred:
        assert world.issue(agent="three", process=client).id
        world.authority.perform(Revoke(selection=Selection(delegators=("user:alice",)), most=None))
    with pytest.raises(InvalidCredentialError, match="process 42 was revoked"):
        world.issue(agent="four", process=client)
    world.check()
