"""Contract tests: how a ledger answers queries about delegators, and how it treats disabled delegators."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.model.credential import State
from jitid.model.directory import Agent, Delegator, Holder, Ties
from jitid.model.ledger_rows import Selection
from tests.builders import DAY, NOW, put
from tests.ledger.places import Place


def person(name: str, **fields: Any) -> Delegator:
    """Return a delegator that is not recorded yet, with the given fields."""
    plain = Delegator(0, f"user:{name}", "critical", None, (), None, (), False, NOW, None)
    return plain._replace(disabled_last=fields.get("disabled_at"), **fields)


def record(place: Place, *people: Delegator) -> list[Delegator]:
    """Record delegators, and return all recorded delegators with their keys."""
    with place.ledger.write() as transaction:
        DirectoryChanges(transaction).put_delegators(people)
        transaction.append("delegator-import", {})
    with place.ledger.read() as snapshot:
        return DirectoryStore(snapshot).delegators(group=None, disabled=None, after=None, limit=1 << 30)


def test_what_is_recorded_is_returned_as_it_was(place: Place) -> None:
    alice = person(
        "alice",
        sensitivity="low",
        entitlements=("a:*", "b"),
        groups=('"', "Site Reliability", "\\", "é"),
        manager="system:x",
        aliases=("https://id.example a b", "user:al"),
        imported=True,
        disabled_at=NOW,
        external="7",
    )
    bob = person("bob", entitlements=())
    assert [one._replace(key=0) for one in record(place, bob, alice)] == [alice, bob]
    with place.ledger.read() as snapshot:
        for name in ("user:alice", "user:al", "https://id.example a b"):
            found = DirectoryStore(snapshot).find_delegator(name)
            assert found is not None
            assert found._replace(key=0) == alice
        assert DirectoryStore(snapshot).find_delegator("user:carol") is None
        # Identities never name a delegator by its subject at an identity provider.
        assert DirectoryStore(snapshot).names_of("user:al") == ("user:alice", "user:al")


def test_names_ids_and_groups_may_change_hands_in_one_go(place: Place) -> None:
    alice, bob, carol = record(
        place,
        person("alice", aliases=("user:x",), external="1", groups=("g",)),
        person("bob", aliases=("user:y",), external="2"),
        person("carol"),
    )
    changed = record(
        place,
        carol._replace(aliases=("user:x",), groups=("g",)),
        alice._replace(aliases=("user:y",), external="2", groups=()),
        bob._replace(aliases=(), external="1"),
    )
    assert [(one.aliases, one.external, one.groups) for one in changed] == [
        (("user:y",), "2", ()),
        ((), "1", ()),
        (("user:x",), None, ("g",)),
    ]
    assert [one.key for one in changed] == [alice.key, bob.key, carol.key]


def test_a_new_one_never_takes_the_number_of_another(place: Place) -> None:
    (alice,) = record(place, person("alice"))
    found = record(place, person("bob"), alice._replace(groups=("g",)))
    assert len({one.key for one in found}) == 2


def test_holders_are_told_for_any_number_of_names(place: Place) -> None:
    alice, bob = record(
        place, person("alice", aliases=("user:al",), external="7"), person("bob", external="8")
    )
    with place.ledger.read() as snapshot:
        asked = [f"user:nobody-{number}" for number in range(40_000)]
        assert DirectoryStore(snapshot).holders([*asked, "user:al", "user:bob"]) == {
            "user:al": Holder(alice.key, "user:alice"),
            "user:bob": Holder(bob.key, "user:bob"),
        }
        assert DirectoryStore(snapshot).known_outside(["7", "9"]) == {"7": Holder(alice.key, "user:alice")}
        assert DirectoryStore(snapshot).holders([]) == {}
        assert [one.name for one in DirectoryStore(snapshot).find_delegators([bob.key, alice.key, 99])] == [
            "user:alice",
            "user:bob",
        ]


def test_whom_an_import_has_brought_and_who_is_not_kept(place: Place) -> None:
    found = record(
        place,
        person("kept", imported=True),
        person("left", imported=True),
        person("gone", imported=True, disabled_at=NOW),
        person("hand"),
    )
    keys = {one.name: one.key for one in found}
    with place.ledger.read() as snapshot:
        assert DirectoryStore(snapshot).imported_besides([keys["user:kept"]]) == [
            Holder(keys["user:left"], "user:left")
        ]
        assert [one.own for one in DirectoryStore(snapshot).imported_besides([])] == [
            "user:kept",
            "user:left",
        ]


def test_all_names_are_those_by_which_somebody_is_named_or_proved(place: Place) -> None:
    found = record(place, person("a", aliases=("iss sub", "user:z")), person("b"), person("c"))
    with place.ledger.read() as snapshot:
        assert DirectoryStore(snapshot).all_names(one.key for one in found[:2]) == [
            "iss sub",
            "user:a",
            "user:b",
            "user:z",
        ]


def _register(place: Place, name: str, owner: str) -> None:
    with place.ledger.write() as transaction:
        limits = ((), (), ("opaque",), DAY, None, NOW + DAY, NOW, None, None, None, None)
        DirectoryChanges(transaction).put_agents([Agent(0, name, owner, "tests", *limits)])
        transaction.append("agent-register", {})


def test_what_hangs_on_delegators_is_told_and_ends_with_them(place: Place) -> None:
    alice, _ = record(place, person("alice", aliases=("user:al",)), person("bob"))
    with place.ledger.write() as transaction:
        mine = [put(transaction, delegator=name) for name in ("user:alice", "user:al")]
        below = put(transaction, delegator="user:al", parent=mine[1])
        put(transaction, delegator="user:bob", agent="bot")
    _register(place, "bot", "user:al")
    _register(place, "other", "user:bob")
    names = ("user:alice", "user:al")
    expected = Ties(3, ("bot",), 0, 0, 1)
    with place.ledger.read() as snapshot:
        assert DirectoryStore(snapshot).ties(names) == expected
        assert DirectoryStore(snapshot).ties([]) == Ties(0, (), 0, 0, 0)
        assert CredentialStore(snapshot).measure(Selection(delegators=names)).credentials == 3
    place.clock.now += 10
    with place.ledger.write() as transaction:
        assert DirectoryChanges(transaction).disable([alice.key], names) == expected
        radius, _ = CredentialChanges(transaction).end(Selection(delegators=names), State.REVOKED)
        event = transaction.append("delegator-disable", {})
    assert radius.credentials == 3
    with place.ledger.read() as snapshot:
        assert DirectoryStore(snapshot).ties(names) == Ties(0, (), 0, 0, 0)
        found = DirectoryStore(snapshot).find_delegator("user:alice")
        assert found is not None
        assert found.disabled_at == NOW + 10
        other = DirectoryStore(snapshot).find_delegator("user:bob")
        assert other is not None
        assert other.disabled_at is None
        bot = DirectoryStore(snapshot).find_agent("bot")
        assert bot is not None
        assert (bot.suspended_at, bot.suspended_as) == (NOW + 10, "owner disabled")
        assert CredentialStore(snapshot).event_members(event.seq)[1] == [row.jti for row in (*mine, below)]


def test_who_is_disabled_already_keeps_the_time(place: Place) -> None:
    (alice,) = record(place, person("alice", disabled_at=NOW - 5))
    with place.ledger.write() as transaction:
        DirectoryChanges(transaction).disable([alice.key], ["user:alice"])
        transaction.append("delegator-disable", {})
    with place.ledger.read() as snapshot:
        found = DirectoryStore(snapshot).find_delegator("user:alice")
    assert found == alice


def test_any_number_of_delegators_can_be_selected(place: Place) -> None:
    with place.ledger.write() as transaction:
        one = put(transaction, delegator="user:d-39999")
        put(transaction, delegator="user:other")
    names = tuple(f"user:d-{number}" for number in range(40_000))
    with place.ledger.read() as snapshot:
        assert CredentialStore(snapshot).measure(Selection(delegators=names)).credentials == 1
    with place.ledger.write() as transaction:
        radius, _ = CredentialChanges(transaction).end(
            Selection(delegators=names, tasks=("T1",)), State.REVOKED
        )
        event = transaction.append("revoke", {})
    assert radius.credentials == 1
    with place.ledger.read() as snapshot:
        assert CredentialStore(snapshot).event_members(event.seq)[1] == [one.jti]
