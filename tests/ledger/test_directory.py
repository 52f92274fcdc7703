"""Contract tests: how a ledger keeps delegators and recurring agents."""

from __future__ import annotations

from typing import Any

import pytest

from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import JitidError
from jitid.ledger.view import View
from jitid.model.directory import DirectoryEntry
from jitid.model.ledger_rows import Selection
from tests.builders import DAY, NOW, delegator, put, put_agent, put_delegator, recurring_agent
from tests.ledger.places import Place

ALICE = delegator(
    "user:alice",
    sensitivity="high",
    entitlements=("log:*", "repo:read"),
    groups=("crew", "sre"),
    manager="user:boss",
    aliases=("https://id.example 00u1 abc", "user:al", "user:alice@example.com"),
    imported=True,
    added_at=NOW - 5,
    disabled_at=NOW - 1,
)
BOT = recurring_agent(
    "bot",
    owner="user:alice",
    purpose="nightly \x1b[31mtriage",
    scopes=("log:*", "repo:read"),
    audiences=("urn:a", "urn:b"),
    kinds=("opaque",),
    max_ttl=60,
    concurrency=3,
    review_at=NOW + DAY,
    registered_at=NOW - 9,
    reviewed_at=NOW - 8,
    suspended_at=NOW - 7,
    suspended_as="owner disabled",
    unregistered_at=NOW - 6,
)


def _all(snapshot: View, **chosen: Any) -> list[str]:
    plain: dict[str, Any] = {"group": None, "disabled": None, "after": None, "limit": 9_999}
    return [one.name for one in DirectoryStore(snapshot).delegators(**{**plain, **chosen})]


def _listed(place: Place, name: str) -> list[str]:
    """Return the delegators of the credentials that are listed under a name."""
    with place.ledger.read() as snapshot:
        found = CredentialStore(snapshot).credentials(
            Filter(delegator=name), "id", descending=False, after=None, limit=99
        )
    return [one.delegator for one in found]


@pytest.mark.parametrize("name", [ALICE.name, *ALICE.aliases])
def test_a_delegator_is_found_whole_by_each_of_their_names(place: Place, name: str) -> None:
    with place.ledger.write() as transaction:
        DirectoryChanges(transaction).put_delegators([ALICE, delegator("user:bob")])
        transaction.append("note", {})
    with place.again().read() as snapshot:
        found = DirectoryStore(snapshot).find_delegator(name)
        assert DirectoryStore(snapshot).is_delegator(name)
        assert DirectoryStore(snapshot).own_name(name) == "user:alice"
        assert DirectoryStore(snapshot).names_of(name) == ("user:alice", "user:al", "user:alice@example.com")
    assert found is not None
    assert found.key > 0
    assert found._replace(key=0) == ALICE


@pytest.mark.parametrize(
    "name", ["user:ali", "user:alice@example", "system:alice", "USER:ALICE", "", "00u1 abc"]
)
def test_a_name_that_nobody_has_is_nobodys(place: Place, name: str) -> None:
    with place.ledger.write() as transaction:
        DirectoryChanges(transaction).put_delegators([ALICE])
    with place.ledger.read() as snapshot:
        assert DirectoryStore(snapshot).find_delegator(name) is None
        assert not DirectoryStore(snapshot).is_delegator(name)
        assert DirectoryStore(snapshot).own_name(name) == name
        assert DirectoryStore(snapshot).names_of(name) == (name,)
        assert DirectoryStore(snapshot).entry(name, "bot") == DirectoryEntry(None, None, 0)


@pytest.mark.parametrize("entitlements", [None, (), ("a:b",), ("a:b", "c:*")])
def test_no_entitlements_are_another_thing_than_none_stated(
    place: Place, entitlements: tuple[str, ...] | None
) -> None:
    with place.ledger.write() as transaction:
        assert put_delegator(transaction, entitlements=entitlements).entitlements == entitlements


def test_a_delegator_is_replaced_with_all_that_they_had(place: Place) -> None:
    with place.ledger.write() as transaction:
        old = put_delegator(transaction, groups=("crew", "sre"), aliases=("user:al", "user:a"))
        bob = put_delegator(transaction, "user:bob", groups=("crew",))
        new = old._replace(
            name="user:alice.b",
            groups=("ops",),
            aliases=("user:al",),
            manager="user:bob",
            disabled_at=NOW,
            disabled_last=NOW,
        )
        DirectoryChanges(transaction).put_delegators([new])
        transaction.append("note", {})
    with place.again().read() as snapshot:
        assert DirectoryStore(snapshot).find_delegator("user:al") == new
        assert DirectoryStore(snapshot).find_delegator("user:bob") == bob
        assert [DirectoryStore(snapshot).find_delegator(name) for name in ("user:alice", "user:a")] == [
            None,
            None,
        ]
        assert _all(snapshot, group="crew") == ["user:bob"]
        assert _all(snapshot, group="ops") == ["user:alice.b"]


def test_names_that_change_hands_in_one_change_have_one_owner_after_it(place: Place) -> None:
    with place.ledger.write() as transaction:
        alice = put_delegator(transaction, aliases=("user:x",))
        bob = put_delegator(transaction, "user:bob", aliases=("user:y",))
        DirectoryChanges(transaction).put_delegators(
            [alice._replace(aliases=("user:y",)), bob._replace(aliases=("user:x",))]
        )
        assert DirectoryStore(transaction).own_name("user:x") == "user:bob"
        assert DirectoryStore(transaction).own_name("user:y") == "user:alice"


@pytest.mark.parametrize("name", ["user:alice", "user:al"])
def test_no_two_delegators_have_one_name(place: Place, name: str) -> None:
    """A change that would give a name to two delegators is refused as a whole."""
    with place.ledger.write() as transaction:
        put_delegator(transaction, aliases=("user:al",))
        transaction.append("note", {})
    for other in (delegator("user:bob", aliases=(name,)), delegator(name)):
        with pytest.raises(JitidError), place.ledger.write() as transaction:
            DirectoryChanges(transaction).put_delegators([delegator("user:eve"), other])
    with place.again().read() as snapshot:
        assert _all(snapshot) == ["user:alice"]
        assert DirectoryStore(snapshot).own_name(name) == "user:alice"


def test_a_crowd_is_put_and_read_as_it_was_given(place: Place) -> None:
    crowd = [
        delegator(f"user:p{n:04}", groups=(f"g{n % 7}", "h"), aliases=(f"user:q{n:04}",))
        for n in range(1_201)
    ]
    with place.ledger.write() as transaction:
        DirectoryChanges(transaction).put_delegators(iter(crowd))
        before = DirectoryStore(transaction).delegators(group=None, disabled=None, after=None, limit=9_999)
        assert [one._replace(key=0) for one in before] == crowd
        # Change every second delegator, and add new ones between them.
        changed = [one._replace(disabled_at=NOW, disabled_last=NOW) for one in before[::2]]
        more = [delegator(f"user:r{n:04}") for n in range(601)]
        DirectoryChanges(transaction).put_delegators(
            [each for pair in zip(changed, more, strict=True) for each in pair]
        )
    with place.again().read() as snapshot:
        after = DirectoryStore(snapshot).delegators(group=None, disabled=None, after=None, limit=9_999)
        assert len({one.key for one in after}) == 1_802
        assert [one for one in after if one.key in {old.key for old in before[1::2]}] == before[1::2]
        assert [one for one in after if one.disabled_at] == changed
        assert [one._replace(key=0) for one in after[1_201:]] == more


def test_delegators_are_listed_by_name_group_and_state(place: Place) -> None:
    with place.ledger.write() as transaction:
        put_delegator(transaction, "user:carol", groups=("crew",), disabled_at=NOW)
        put_delegator(transaction, "system:ci")
        put_delegator(transaction, "user:bob", groups=("crew",))
        assert _all(transaction) == ["system:ci", "user:bob", "user:carol"]
        assert _all(transaction, group="crew") == ["user:bob", "user:carol"]
        assert _all(transaction, group="nobody") == []
        assert _all(transaction, disabled=True) == ["user:carol"]
        assert _all(transaction, disabled=False, group="crew") == ["user:bob"]
        assert _all(transaction, after="system:ci", limit=1) == ["user:bob"]
        assert _all(transaction, after="user:carol") == []


def test_an_agent_is_found_as_it_was_put(place: Place) -> None:
    with place.ledger.write() as transaction:
        DirectoryChanges(transaction).put_agents([BOT, recurring_agent("other")])
        transaction.append("note", {})
    with place.again().read() as snapshot:
        found = DirectoryStore(snapshot).find_agent("bot")
        assert DirectoryStore(snapshot).find_agent("Bot") is None
    assert found is not None
    assert found.key > 0
    assert found._replace(key=0) == BOT


def test_an_agent_is_replaced_and_no_two_have_one_name(place: Place) -> None:
    with place.ledger.write() as transaction:
        first, other = put_agent(transaction, "bot"), put_agent(transaction, "other")
        changed = first._replace(scopes=("a:b",), audiences=(), concurrency=None, suspended_at=NOW)
        DirectoryChanges(transaction).put_agents([changed])
        assert [DirectoryStore(transaction).find_agent(name) for name in ("bot", "other")] == [changed, other]
        transaction.append("note", {})
    with pytest.raises(JitidError), place.ledger.write() as transaction:
        DirectoryChanges(transaction).put_agents([recurring_agent("new"), recurring_agent("bot")])
    with place.again().read() as snapshot:
        assert [one.name for one in DirectoryStore(snapshot).agents(owner=(), after=None, limit=9)] == [
            "bot",
            "other",
        ]


def test_agents_are_listed_by_name_and_owner(place: Place) -> None:
    with place.ledger.write() as transaction:
        for name, owner in (("c", "user:bob"), ("a", "user:alice"), ("b", "user:alice"), ("d", "user:carol")):
            put_agent(transaction, name, owner=owner)

        def names(*owner: str, after: str | None = None, limit: int = 9) -> list[str]:
            return [
                one.name for one in DirectoryStore(transaction).agents(owner=owner, after=after, limit=limit)
            ]

        assert names() == ["a", "b", "c", "d"]
        assert names("user:alice") == ["a", "b"]
        assert names("user:bob", "user:carol") == ["c", "d"]
        assert names("user:eve") == []
        assert names(after="a", limit=2) == ["b", "c"]
        assert names("user:alice", after="a") == ["b"]


def test_an_entry_has_both_without_the_other_names(place: Place) -> None:
    with place.ledger.write() as transaction:
        DirectoryChanges(transaction).put_delegators([ALICE])
        bot = put_agent(transaction, "bot")
        for name in (ALICE.name, *ALICE.aliases):
            found, agent, live = DirectoryStore(transaction).entry(name, "bot")
            assert found is not None
            assert found._replace(key=0) == ALICE._replace(aliases=())
            assert (agent, live) == (bot, 0)


def test_an_entry_counts_the_live_identities_of_an_agent_that_has_a_limit(place: Place) -> None:
    with place.ledger.write() as transaction:
        for agent, ttl in (("bot", 60), ("bot", 900), ("bot", 900), ("coder", 900)):
            put(transaction, agent=agent, ttl=ttl)
        put_agent(transaction, "bot", concurrency=9)
        put_agent(transaction, "other", concurrency=9)

    def live(name: str) -> int:
        with place.again().read() as snapshot:
            return DirectoryStore(snapshot).entry("user:alice", name).live

    # Credentials from before the agent's registration count too.
    assert [live(name) for name in ("bot", "other", "coder")] == [3, 0, 0]
    place.clock.now += 60
    assert live("bot") == 2
    with place.ledger.write() as transaction:
        put_agent(transaction, "bot", concurrency=None)
    assert live("bot") == 0


def test_an_exception_undoes_the_directory_too(place: Place) -> None:
    with place.ledger.write() as transaction:
        put(transaction, agent="bot")
        old = put_delegator(transaction, groups=("crew",), aliases=("user:al",))
    with pytest.raises(ZeroDivisionError), place.ledger.write() as transaction:
        put_delegator(transaction, groups=(), aliases=())
        put_delegator(transaction, "user:bob")
        put_agent(transaction, "bot", concurrency=1)
        raise ZeroDivisionError
    with place.again().read() as snapshot:
        assert DirectoryStore(snapshot).delegators(group=None, disabled=None, after=None, limit=9) == [old]
        assert DirectoryStore(snapshot).entry("user:al", "bot") == DirectoryEntry(
            old._replace(aliases=()), None, 0
        )


def test_credentials_are_listed_and_selected_by_all_names_of_a_person(place: Place) -> None:
    """Credentials are included that were issued before the ledger knew that the names belong to one person."""
    with place.ledger.write() as transaction:
        for name in ("user:alice", "user:al", "user:bob", "user:alice"):
            put(transaction, delegator=name)
    assert _listed(place, "user:al") == ["user:al"]
    with place.ledger.write() as transaction:
        put_delegator(transaction, aliases=("user:al", "user:never", "https://id.example 1"))
        put_delegator(transaction, "user:bob")
    for name in ("user:alice", "user:al", "user:never"):
        assert _listed(place, name) == ["user:alice", "user:al", "user:alice"]
        with place.ledger.read() as snapshot:
            chosen = Selection(delegators=DirectoryStore(snapshot).names_of(name))
            assert CredentialStore(snapshot).measure(chosen).credentials == 3
    assert _listed(place, "user:bob") == ["user:bob"]
    assert _listed(place, "user:eve") == []


def test_a_credential_says_what_its_delegator_is_now(place: Place) -> None:
    with place.ledger.write() as transaction:
        for name in ("user:al", "user:bob"):
            put(transaction, delegator=name)

    def states() -> list[str]:
        with place.again().read() as snapshot:
            found = CredentialStore(snapshot).credentials(
                Filter(), "id", descending=False, after=None, limit=9
            )
        return [one.delegator_state for one in found]

    assert states() == ["unverified", "unverified"]
    with place.ledger.write() as transaction:
        put_delegator(transaction, aliases=("user:al",))
    assert states() == ["known", "unverified"]
    with place.ledger.write() as transaction:
        put_delegator(transaction, disabled_at=NOW)
    assert states() == ["disabled", "unverified"]
