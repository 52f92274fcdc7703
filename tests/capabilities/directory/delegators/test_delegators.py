"""Single delegators: added, changed, disabled with their agents, credentials and requests, and enabled again."""

from __future__ import annotations

from typing import Any

import pytest

from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.directory.delegators import Amendment
from jitid.capabilities.directory.operations import SuspendAgent
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.integrity.operations import ReadLog
from jitid.capabilities.inventory.operations import Inspect, ListCredentials
from jitid.capabilities.issue import issuance
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.leak.operations import AddLeaks, ListLeaks
from jitid.errors import IntegrityError, InvalidCredentialError, NotFoundError, PolicyDeniedError, UsageError
from jitid.ledger.sqlite import folder
from jitid.model.leak import LeakFilter
from jitid.model.process import Process
from jitid.search.pasted import search_pasted
from tests.builders import NOW, Made, World, edit, request
from tests.capabilities.directory.people import (
    add,
    agent,
    ask,
    bring,
    change,
    disable,
    enable,
    everybody,
    register,
    requests,
)

SUBJECT = "https://id.example 1234"


def _alive(world: World, *made: Made) -> list[bool]:
    return [world.authority.perform(Inspect(id=one.jti)).active for one in made]


def test_who_is_added_is_there_whole(world: World) -> None:
    add(
        world,
        "alice",
        entitlements=("deploy:*",),
        sensitivity="high",
        groups=('Site "Reliability" \\ on call', "sre"),
        manager="user:bob",
        aliases=(SUBJECT, "user:alice@example.com"),
    )
    found = everybody(world)["user:alice"]
    assert found.entitlements == ("deploy:*",)
    assert found.groups == ('Site "Reliability" \\ on call', "sre")
    assert (found.sensitivity, found.manager, found.imported) == ("high", "user:bob", False)
    assert found.aliases == (SUBJECT, "user:alice@example.com")
    assert (found.added_at, found.disabled_at) == (NOW, None)


def test_no_entitlement_is_not_the_same_as_what_the_policy_alone_decides(world: World) -> None:
    add(world, "alice", entitlements=())
    add(world, "bob")
    assert [one.entitlements for one in everybody(world).values()] == [(), None]
    with pytest.raises(PolicyDeniedError):
        world.issue(delegator="user:alice", scopes=("log:read",))
    world.issue(delegator="user:bob", scopes=("log:read",))


@pytest.mark.parametrize(
    ("name", "aliases"),
    [
        ("alice", ()),
        ("alice@example.com", ()),
        ("carol", ("user:alice",)),
        ("carol", ("user:alice@example.com",)),
        ("carol", (SUBJECT,)),
    ],
)
def test_a_name_that_somebody_has_is_refused_and_nothing_changed(
    world: World, name: str, aliases: tuple[str, ...]
) -> None:
    add(world, "alice", aliases=(SUBJECT, "user:alice@example.com"))
    head = world.head()
    with pytest.raises(UsageError, match="user:alice"):
        add(world, name, aliases=aliases)
    assert world.head() == head
    assert list(everybody(world)) == ["user:alice"]


def test_a_change_keeps_what_it_does_not_name_and_tells_what_was(world: World) -> None:
    add(world, "alice", entitlements=("deploy:*",), groups=("night", "sre"), manager="user:bob")
    done = change(
        world, "alice", groups=Amendment(add=("day",), remove=("night",)), sensitivity="high", no_manager=True
    )
    assert done.changed == ("sensitivity", "groups", "manager")
    found = everybody(world)["user:alice"]
    assert (found.groups, found.manager, found.entitlements) == (("day", "sre"), None, ("deploy:*",))
    event = world.events()[-1]
    assert event["now"] == {"groups": ["day", "sre"], "manager": None, "sensitivity": "high"}
    assert event["was"] == {"groups": ["night", "sre"], "manager": "user:bob", "sensitivity": "critical"}


def test_a_list_is_replaced_by_emptying_it_first(world: World) -> None:
    add(world, "alice", groups=("a", "b"), entitlements=("x:*",), aliases=("user:al",))
    change(world, "alice", groups=Amendment(clear=True, add=("c",)), aliases=Amendment(clear=True))
    assert everybody(world)["user:alice"].groups == ("c",)
    assert everybody(world)["user:alice"].aliases == ()
    change(world, "alice", entitlements=Amendment(clear=True))
    assert everybody(world)["user:alice"].entitlements == ()
    change(world, "alice", policy_alone=True)
    assert everybody(world)["user:alice"].entitlements is None


def test_entitlements_are_kept_in_their_normal_form(world: World) -> None:
    add(world, "alice", entitlements=("deploy:web",))
    change(world, "alice", entitlements=Amendment(add=("deploy:*",)))
    assert everybody(world)["user:alice"].entitlements == ("deploy:*",)


def test_what_is_so_already_is_no_event(world: World) -> None:
    add(world, "alice", groups=("sre",))
    head = world.head()
    assert change(world, "alice", groups=Amendment(add=("sre",))).event is None
    assert world.head() == head


def test_an_alias_of_somebody_else_is_refused_in_a_change(world: World) -> None:
    add(world, "alice", aliases=("user:al",))
    add(world, "bob")
    with pytest.raises(UsageError, match=r"`user:al` is an alias of `user:alice`"):
        change(world, "bob", aliases=Amendment(add=("user:al",)))


def test_an_unknown_delegator_is_not_found(world: World) -> None:
    for attempt in (disable, change, enable):
        with pytest.raises(NotFoundError):
            attempt(world, "mallory")


def test_a_manager_is_called_by_their_own_name(world: World) -> None:
    add(world, "bob", aliases=("user:boss",))
    add(world, "alice", manager="user:boss")
    assert everybody(world)["user:alice"].manager == "user:bob"


def test_disabling_ends_what_descends_from_any_of_their_names(world: World) -> None:
    early = world.issue(delegator="user:alice@example.com")
    add(world, "alice", aliases=("user:alice@example.com",))
    chain = world.chain(3, delegator="user:alice")
    other = world.issue(delegator="user:bob")
    done = disable(world, "alice@example.com", reason="left")
    assert (done.delegator.name, done.departure.radius.credentials) == ("user:alice", 4)
    assert _alive(world, early, *chain, other) == [False, False, False, False, True]
    event = world.events()[-1]
    assert (event["op"], event["delegator"], event["count"], event["reason"]) == (
        "delegator-disable",
        "user:alice",
        4,
        "left",
    )
    named = world.authority.perform(ReadLog(chosen=LogFilter(event=done.event), limit=None, members=True))
    assert named[0]["members"] == [one.jti for one in (early, *chain)]
    world.check()


def test_the_disabled_are_refused_by_all_their_names_until_they_are_enabled(world: World) -> None:
    add(world, "alice", aliases=("user:al",))
    disable(world, "alice")
    for name in ("user:alice", "user:al"):
        with pytest.raises(PolicyDeniedError, match="delegator-disabled"):
            world.issue(delegator=name)
    enable(world, "al")
    world.issue(delegator="user:al")


def test_who_is_kept_alive_lives_on_and_ends_when_disabled_again(world: World) -> None:
    add(world, "alice")
    made = world.issue(delegator="user:alice")
    done = disable(world, "alice", keep_live=True)
    assert (done.departure.radius.credentials, done.departure.ties.live) == (0, 1)
    assert _alive(world, made) == [True]
    assert world.events()[-1]["kept_live"] is True
    again = disable(world, "alice")
    assert (again.departure.radius.credentials, _alive(world, made)) == (1, [False])
    head = world.head()
    assert disable(world, "alice").event is None
    assert world.head() == head
    world.check()


def test_more_than_is_permitted_ends_nobody(world: World) -> None:
    add(world, "alice")
    made = world.chain(3, delegator="user:alice")
    register(world, "bot", "alice")
    head = world.head()
    with pytest.raises(UsageError, match="3 live credentials"):
        disable(world, "alice", most=2)
    assert (world.head(), _alive(world, *made)) == (head, [True] * 3)
    assert everybody(world)["user:alice"].disabled_at is None
    assert agent(world, "bot").suspended_at is None
    disable(world, "alice", most=3)


def test_a_dry_run_tells_and_does_nothing(world: World) -> None:
    add(world, "alice")
    world.issue(delegator="user:alice")
    register(world, "bot", "alice")
    ask(world, "user:alice")
    head = world.head()
    foreseen = disable(world, "alice", dry_run=True)
    assert foreseen.departure.radius.credentials == 1
    assert foreseen.departure.ties[1:] == (("bot",), 1, 0, 0, 0)
    assert world.head() == head
    assert everybody(world)["user:alice"].disabled_at is None


def test_their_agents_are_suspended_and_what_those_hold_for_others_lives_on(world: World) -> None:
    add(world, "alice", aliases=("user:al",))
    register(world, "bot", "alice")
    register(world, "alias-bot", "al")
    register(world, "gone", "alice", unregistered_at=NOW)
    register(world, "bobs", "bob")
    mine = world.issue(delegator="user:alice", agent="bot")
    others = world.issue(delegator="user:bob", agent="bot")
    done = disable(world, "alice")
    assert done.departure.ties.agents == ("alias-bot", "bot")
    assert done.departure.ties.others == 1
    assert _alive(world, mine, others) == [False, True]
    assert [agent(world, name).suspended_as for name in ("bot", "alias-bot", "gone", "bobs")] == [
        "owner disabled",
        "owner disabled",
        None,
        None,
    ]
    assert world.events()[-1]["agents"] == ["alias-bot", "bot"]
    with pytest.raises(PolicyDeniedError, match="agent-suspended"):
        world.issue(delegator="user:bob", agent="bot")
    enabled = world.authority.perform(directory_operations.EnableDelegator(name="user:alice"))
    assert enabled.suspended == ("alias-bot", "bot")
    assert agent(world, "bot").suspended_at == NOW


def test_many_agents_are_told_by_their_number_and_digest(world: World) -> None:
    add(world, "alice")
    for number in range(30):
        register(world, f"bot-{number:02}", "alice")
    disable(world, "alice")
    told = world.events()[-1]["agents"]
    assert (told["count"], len(told["first"]), len(told["digest"])) == (30, 20, 64)


def test_their_requests_and_unused_grants_are_withdrawn(world: World) -> None:
    add(world, "alice")
    over = ask(world, "user:alice")
    world.clock.now += 3600
    mine = ask(world, "user:alice", approver="user:carol")
    granted = ask(world, "user:bob", approver="user:alice")
    refused = ask(world, "user:bob", approver="user:alice", granted=False)
    carols = ask(world, "user:bob", approver="user:carol")
    done = disable(world, "alice")
    assert (done.departure.ties.requests, done.departure.ties.grants) == (1, 1)
    found = requests(world)
    assert found.pop(over)[0] != "withdrawn"
    assert found == {
        mine: ("withdrawn", "user:carol"),
        granted: (None, None),
        refused: ("denied", "user:alice"),
        carols: (None, "user:carol"),
    }
    event = world.events()[-1]
    assert (event["requests"], event["grants"]) == (1, 1)
    assert disable(world, "alice").event is None
    world.check()


def test_what_leaked_of_theirs_is_proved_dead(world: World) -> None:
    add(world, "alice")
    made = world.issue(delegator="user:alice")
    leaked = search_pasted(made.token.encode())
    world.authority.perform(AddLeaks(finds=leaked, report=LeakReport("wiki", None)))
    disable(world, "alice")
    (found,) = world.authority.perform(ListLeaks(chosen=LeakFilter(), limit=10)).leaks
    assert found.leak.proved_at == NOW


def test_one_who_is_disabled_between_decision_and_commit_is_refused(world: World) -> None:
    add(world, "alice", aliases=("user:al",))
    keyring = folder.keyring(str(world.path))
    asked = request(delegator="user:al")
    with world.ledger.read() as snapshot:
        foreseen = issuance.foresee(snapshot, world.ledger.names, [asked], world.terms, keyring)
    disable(world, "alice")
    with pytest.raises(PolicyDeniedError, match="delegator-disabled"), world.ledger.write() as transaction:
        issuance.issue(transaction, world.ledger.names, [asked], world.terms, keyring, foreseen)
    assert world.authority.perform(_live()).credentials == []


def test_one_whose_name_goes_to_somebody_else_meanwhile_is_not_issued_for(world: World) -> None:
    add(world, "alice", aliases=("user:al",))
    add(world, "bob")
    keyring = folder.keyring(str(world.path))
    asked = request(delegator="user:al")
    with world.ledger.read() as snapshot:
        foreseen = issuance.foresee(snapshot, world.ledger.names, [asked], world.terms, keyring)
    change(world, "alice", aliases=Amendment(remove=("user:al",)))
    change(world, "bob", aliases=Amendment(add=("user:al",)))
    with world.ledger.write() as transaction:
        (issued,) = issuance.issue(transaction, world.ledger.names, [asked], world.terms, keyring, foreseen)
    assert issued.delegator == "user:bob"


def _live() -> ListCredentials:
    return ListCredentials(chosen=Filter(live=True), sort="issued_at", descending=True, after=None, limit=9)


def test_details_tell_what_would_end(world: World) -> None:
    add(world, "alice", aliases=("user:al",))
    world.chain(2, delegator="user:alice")
    register(world, "bot", "alice")
    ask(world, "user:al")
    found = world.authority.perform(directory_operations.ShowDelegator(name="user:al"))
    assert (found.delegator.name, found.ties.live, found.ties.requests) == ("user:alice", 2, 1)
    assert [one.name for one in found.agents] == ["bot"]


def test_they_are_listed_by_group_and_state_and_page_by_page(world: World) -> None:
    for number in range(5):
        add(world, f"d{number}", groups=("odd",) if number % 2 else ("even",))
    disable(world, "d1")

    def names(**chosen: Any) -> list[str]:
        found = world.authority.perform(directory_operations.ListDelegators(**{"limit": 100, **chosen}))
        return [one.name.removeprefix("user:") for one in found]

    assert names(group="odd") == ["d1", "d3"]
    assert names(disabled=True) == ["d1"]
    assert names(disabled=False, group="odd") == ["d3"]
    assert names(after="user:d1", limit=2) == ["d2", "d3"]
    assert names(group='no "such" group') == []


def _busy(world: World) -> None:
    """Make each change to delegators that a single event can record."""
    add(world, "alice", entitlements=(), groups=("a", "b"), aliases=("user:al",))
    add(world, "bob", manager="user:alice")
    change(world, "alice", groups=Amendment(add=("c",), remove=("a",)), aliases=Amendment(clear=True))
    world.clock.now += 5
    disable(world, "bob")
    disable(world, "alice", keep_live=True)
    world.clock.now += 5
    enable(world, "alice")
    change(world, "bob", policy_alone=True, sensitivity="low", no_manager=True)
    add(world, "carol")


def test_the_directory_is_as_its_events_say(world: World) -> None:
    _busy(world)
    world.check()


@pytest.mark.deep
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE delegator SET scopes = NULL WHERE name = 'user:alice'",
        "UPDATE delegator SET sensitivity = 'critical' WHERE name = 'user:bob'",
        "UPDATE delegator SET disabled_at = NULL WHERE name = 'user:bob'",
        "UPDATE delegator SET disabled_at = disabled_at - 1 WHERE name = 'user:bob'",
        "UPDATE delegator SET disabled_at = 1 WHERE name = 'user:carol'",
        "UPDATE delegator SET manager = 'user:mallory' WHERE name = 'user:carol'",
        "UPDATE delegator SET imported = 1 WHERE name = 'user:carol'",
        "UPDATE delegator SET added_at = 1 WHERE name = 'user:carol'",
        "UPDATE delegator SET external = '7' WHERE name = 'user:carol'",
        "INSERT INTO delegator_group VALUES (1, 'security')",
        "DELETE FROM delegator_group WHERE name = 'c'",
        "INSERT INTO delegator_name VALUES ('user:mallory', 1)",
        "UPDATE delegator SET name = 'user:mallory' WHERE name = 'user:carol'",
        "DELETE FROM delegator WHERE name = 'user:carol'",
        "INSERT INTO delegator VALUES (9, 'user:mallory', 'critical', NULL, NULL, 0, NULL, 1, NULL, 1, NULL)",
        "UPDATE delegator SET disabled_last = NULL WHERE disabled_last IS NOT NULL",
        "UPDATE delegator SET disabled_last = 1",
    ],
)
@pytest.mark.parametrize("imported", [False, True])
def test_a_directory_that_somebody_edited_is_found(world: World, statement: str, *, imported: bool) -> None:
    _busy(world)
    if imported:
        bring(world, "name", "dave")
        change(world, "carol", sensitivity="high")
        world.check()
    edit(world.path, statement)
    with pytest.raises(IntegrityError):
        world.check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE agent SET suspended_at = NULL, suspended_as = NULL WHERE name = 'bot'",
        "UPDATE agent SET suspended_as = 'for a while' WHERE name = 'bot'",
        "UPDATE agent SET suspended_at = 1, suspended_as = 'owner disabled' WHERE name = 'other'",
    ],
)
def test_an_agent_is_suspended_with_its_owner_and_no_edit_changes_that(world: World, statement: str) -> None:
    add(world, "alice")
    add(world, "bob")
    register(world, "bot", "alice")
    register(world, "other", "bob")
    disable(world, "alice")
    world.check()
    edit(world.path, statement)
    with pytest.raises(IntegrityError, match=r"the record of agent `(bot|other)` does not match its events"):
        world.check()


def test_many_agents_of_one_owner_are_suspended_as_the_event_tells(world: World) -> None:
    add(world, "alice")
    for number in range(25):
        register(world, f"bot{number:02}", "alice")
    add(world, "bob")
    world.issue(delegator="user:bob", agent="bot24", audiences=())
    disable(world, "alice")
    world.check()
    # A second suspension ends the agent's credentials for other delegators, and keeps the time of the first.
    world.clock.now += 60
    world.authority.perform(SuspendAgent(name="bot24", most=None))
    world.check()
    edit(world.path, "UPDATE agent SET suspended_at = suspended_at - 1 WHERE name = 'bot24'")
    with pytest.raises(IntegrityError, match="the record of agent `bot24` does not match its events"):
        world.check()


@pytest.mark.parametrize(
    ("op", "facts"),
    [
        ("delegator-add", {}),
        ("delegator-change", {"delegator": "user:alice"}),
        ("delegator-change", {"delegator": "user:alice", "now": [], "was": 3}),
        ("delegator-enable", {"delegator": "user:alice"}),
        ("delegator-import", {}),
        ("delegator-disable", {"delegator": "user:alice", "agents": ["nobody"]}),
        ("agent-register", {}),
        ("agent-register", {"agent": "bot"}),
        ("agent-review", {"agent": "bot"}),
    ],
)
def test_an_event_that_lacks_what_it_must_tell_is_a_doubt_and_no_bug(
    world: World, op: str, facts: dict[str, Any]
) -> None:
    """The audit chain has no secret key: a process that can write the file can append events."""
    add(world, "alice")
    with world.ledger.write() as transaction:
        transaction.append(op, facts)
    with pytest.raises(IntegrityError):
        world.check()


@pytest.mark.parametrize(
    ("entitled", "removed", "told"),
    [
        (("deploy:*",), ("deploy:web",), r"cannot remove `deploy:web` from `user:alice`: `deploy:\*` covers"),
        (
            ("deploy:web:*",),
            ("deploy:web",),
            r"cannot remove `deploy:web` from `user:alice`: `deploy:web:\*` covers",
        ),
        (("deploy:web",), ("deploy:*",), r"cannot remove `deploy:\*` from `user:alice`: `deploy:web` covers"),
        (None, ("deploy:web",), "the policy alone decides"),
    ],
)
def test_what_is_taken_away_is_gone_or_nothing_is_changed(
    world: World, entitled: tuple[str, ...] | None, removed: tuple[str, ...], told: str
) -> None:
    """Otherwise, an operator would assume that the delegator can no longer grant the scope."""
    add(world, "alice", entitlements=entitled)
    with pytest.raises(UsageError, match=told):
        change(world, "alice", entitlements=Amendment(remove=removed), groups=Amendment(add=("sre",)))
    assert everybody(world)["user:alice"].groups == ()


def test_what_they_never_had_is_gone_already(world: World) -> None:
    add(world, "alice", entitlements=("deploy:*", "log:read"))
    assert change(world, "alice", entitlements=Amendment(remove=("prod:db",))).event is None
    kept = Amendment(add=("deploy:web",), remove=("deploy:*",))
    assert change(world, "alice", entitlements=kept).delegator.entitlements == ("deploy:web", "log:read")


@pytest.mark.parametrize("is_import", [False, True])
def test_no_client_of_the_disabled_goes_on_under_another_name(world: World, is_import: bool) -> None:
    """Another process of the client does."""
    add(world, "alice")
    client = Process("host", "boot", 7, 42, 99, kept=False)
    session = world.issue(delegator="user:alice", agent="codex", process=client)
    done = bring(world, "name,active", "alice,no") if is_import else disable(world, "alice")
    assert done.departure.barred == (session.id,)
    assert world.events()[-1]["barred"] == [session.id]
    for name in ("user:alice", "user:root"):
        with pytest.raises((PolicyDeniedError, InvalidCredentialError)):
            world.issue(delegator=name, agent="codex", process=client)
    world.issue(delegator="user:root", agent="codex", process=client._replace(started=100))
    world.check()
