"""Import of delegators: a list is applied completely or not at all, and may disable delegators with their agents."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.directory.delegators import digest_of
from jitid.capabilities.directory.roster.roster_entry import KEEP, Keep, Roster, StatedDelegator
from jitid.capabilities.directory.roster_diff import Reconciled, RosterSource
from jitid.capabilities.inventory.operations import Inspect, Revoke
from jitid.capabilities.issue.operations import Renew
from jitid.cli.directory import delegator_verbs
from jitid.errors import PolicyDeniedError, UsageError
from jitid.model.access import OidcIssuer
from jitid.model.ledger_rows import Selection
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.builders import NOW, PERMIT_ALL, World, open_sqlite
from tests.capabilities.directory.people import (
    add,
    agent,
    bring,
    bring_roster,
    change,
    disable,
    everybody,
    register,
    rows,
)
from tests.crypto import signed


def _counts(done: Reconciled) -> dict[str, int]:
    sorts = ("added", "changed", "enabled", "disabled", "missing", "staying")
    return {name: number for name in sorts if (number := getattr(done, name).number)}


def test_whom_a_list_names_is_there_as_it_says(world: World) -> None:
    done = bring(
        world,
        "name,entitlements,sensitivity,groups,manager,aliases",
        'alice,deploy:* log:*,high,"sre;Site ""Q"" Reliability",bob,alice@example.com;https://id.example 1',
        "system:ci,,low,,,",
        "bob,(policy),critical,,,",
    )
    assert _counts(done) == {"added": 3}
    found = everybody(world)
    alice = found["user:alice"]
    assert (alice.entitlements, alice.sensitivity) == (("deploy:*", "log:*"), "high")
    assert (alice.groups, alice.manager) == (('Site "Q" Reliability', "sre"), "user:bob")
    assert alice.aliases == ("https://id.example 1", "user:alice@example.com")
    assert (alice.imported, alice.added_at) == (True, NOW)
    assert (found["system:ci"].entitlements, found["user:bob"].entitlements) == ((), None)
    event = world.events()[-1]
    assert (event["op"], event["people"], event["added"]) == ("delegator-import", 3, 3)
    assert event["members"] == ["system:ci", "user:alice", "user:bob"]


def test_what_somebody_delegated_before_their_subject_was_known_ends_with_them(tmp_path: Path) -> None:
    """A delegator's credentials end under any name in its ID tokens, but not another delegator's by that name."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [signed.jwk(signed.P256, kid="k")]}))
    keys.chmod(0o644)
    issuer = "https://id.example"
    trusted = (OidcIssuer(issuer, str(keys), "jitid", claim="email"),)

    def proved(sub: str) -> Secret:
        told = {
            "iss": issuer,
            "aud": "jitid",
            "sub": sub,
            "email": "z@example.com",
            "email_verified": True,
            "iat": NOW,
            "exp": NOW + 300,
        }
        return Secret.single(signed.token({"alg": "ES256", "typ": "JWT", "kid": "k"}, told, signed.P256))

    with World(tmp_path / "ledger", oidc=trusted, policy=PERMIT_ALL) as world:
        mine = world.issue(delegator=None, delegator_token=proved("zoe-1"))
        child = world.issue(parent=mine.token, agent="another")
        world.clock.now += 60
        # When the delegator is disabled, only the renewed credential of this identity is live.
        world.authority.perform(Renew(request=RenewRequest(Secret.single(mine.token))))
        world.clock.now += world.terms.overlap
        others = [
            world.issue(delegator=None, delegator_token=proved("yan-1"), task="T2"),
            world.issue(delegator="user:z@example.com", task="T2"),
        ]
        bring(world, "name,aliases", "zoe,https://id.example zoe-1", "yan,")
        assert everybody(world)["user:zoe"].aliases == ("https://id.example zoe-1",)
        preview = world.authority.perform(
            Revoke(selection=Selection(delegators=("user:zoe",)), most=None, dry_run=True)
        )
        assert preview.radius.credentials == 2
        narrow = Selection(delegators=("user:zoe",), agents=("another",))
        assert (
            world.authority.perform(Revoke(selection=narrow, most=None, dry_run=True)).radius.credentials == 1
        )
        done = bring(world, "name,aliases,active", "zoe,https://id.example zoe-1,no", "yan,,yes")
        assert (_counts(done), done.departure.radius.credentials) == ({"disabled": 1}, 2)
        states = [
            world.authority.perform(Inspect(id=made.id)).credential.ended_as
            for made in (mine, child, *others)
        ]
        assert states == ["revoked", "revoked", None, None]
        world.check()


def test_the_same_list_again_changes_nothing(world: World) -> None:
    lines = ("name,groups,aliases", "alice,sre,al", "bob,,")
    bring(world, *lines)
    head = world.head()
    done = bring(world, *lines, full=True)
    assert (_counts(done), done.event) == ({}, None)
    assert world.head() == head


def test_a_column_that_is_absent_leaves_what_there_is_and_a_blank_cell_says_that_there_is_none(
    world: World,
) -> None:
    bring(world, "name,entitlements,groups,manager,aliases", "alice,x:*,sre,bob,al")
    bring(world, "name,sensitivity", "alice,low")
    alice = everybody(world)["user:alice"]
    assert (alice.entitlements, alice.groups, alice.manager) == (("x:*",), ("sre",), "user:bob")
    bring(world, "name,entitlements,groups,manager,aliases", "alice,,,,")
    alice = everybody(world)["user:alice"]
    assert (alice.entitlements, alice.groups, alice.manager, alice.aliases) == ((), (), None, ())


def test_who_was_added_by_hand_is_the_lists_from_then_on(world: World) -> None:
    add(world, "alice")
    add(world, "carol")
    bring(world, "name", "alice", "bob")
    done = bring(world, "name", "bob", full=True)
    assert done.missing.first == ("user:alice",)
    found = everybody(world)
    assert (found["user:alice"].disabled_at, found["user:carol"].disabled_at) == (NOW, None)


def test_without_full_nobody_is_missing(world: World) -> None:
    bring(world, "name", "alice", "bob")
    assert _counts(bring(world, "name", "bob")) == {}


def test_a_list_enables_and_disables_as_it_says_and_leaves_alone_where_it_does_not_say(world: World) -> None:
    bring(world, "name,active", "alice,true", "bob,false", "carol,true")
    assert _counts(bring(world, "name,active", "alice,FALSE", "bob,yes", "carol,1")) == {
        "enabled": 1,
        "disabled": 1,
    }
    assert _counts(bring(world, "name", "alice", "bob")) == {"staying": 1}
    assert _counts(bring(world, "name,disabled", "alice,")) == {"enabled": 1}
    assert _counts(bring(world, "name,state", "alice,disabled")) == {"disabled": 1}


def test_whoever_a_list_disables_loses_what_is_theirs(world: World) -> None:
    bring(world, "name,aliases,active", "alice,alice@example.com,true", "bob,,true")
    chain = world.chain(3, delegator="user:alice@example.com")
    other = world.issue(delegator="user:bob")
    register(world, "bot", "alice")
    done = bring(world, "name,aliases,active", "alice,,false", "bob,,true")
    assert (done.disabled.first, done.departure.radius.credentials) == (("user:alice",), 3)
    states = [world.authority.perform(Inspect(id=one.id)).active for one in (*chain, other)]
    assert states == [False, False, False, True]
    assert agent(world, "bot").suspended_as == "owner disabled"
    event = world.events()[-1]
    assert (event["disabled"], event["count"], event["agents"]) == (1, 3, ["bot"])
    with pytest.raises(PolicyDeniedError):
        world.issue(delegator="user:alice")
    world.check()


def test_what_was_issued_by_a_name_that_a_leaver_loses_ends_too(world: World) -> None:
    early = world.issue(delegator="user:al")
    bring(world, "name,aliases,active", "alice,al,true")
    bring(world, "name,aliases,active", "alice,,false")
    assert not world.authority.perform(Inspect(id=early.id)).active


def test_what_was_issued_by_a_name_that_goes_to_somebody_else_is_theirs(world: World) -> None:
    early = world.issue(delegator="user:al")
    bring(world, "name,aliases,active", "alice,al,true", "bob,,true")
    bring(world, "name,aliases,active", "alice,,false", "bob,al,true")
    assert world.authority.perform(Inspect(id=early.id)).active


def test_one_who_comes_disabled_loses_what_was_issued_before(world: World) -> None:
    early = world.issue(delegator="user:mallory")
    done = bring(world, "name,active", "mallory,false")
    assert (_counts(done), done.departure.radius.credentials) == ({"added": 1}, 1)
    assert not world.authority.perform(Inspect(id=early.id)).active
    world.check()


def test_the_missing_lose_what_is_theirs(world: World) -> None:
    bring(world, "name,aliases", "alice,al", "bob,", "carol,")
    mine = world.issue(delegator="user:al")
    done = bring(world, "name,aliases", "bob,", "carol,", full=True)
    assert (done.missing.number, done.departure.radius.credentials) == (1, 1)
    assert not world.authority.perform(Inspect(id=mine.id)).active
    event = world.events()[-1]
    assert (event["missing"], event["full"], event["members"]) == (1, True, ["user:alice"])
    world.check()


@pytest.mark.parametrize("what", ["credentials", "delegators"])
def test_more_than_is_permitted_changes_nothing(world: World, what: str) -> None:
    bring(world, "name", *(f"d{number}" for number in range(5)))
    if what == "credentials":
        world.chain(4, delegator="user:d0")
    head = world.head()
    left = ("d4",) if what == "delegators" else tuple(f"d{number}" for number in range(1, 5))
    with pytest.raises(UsageError, match="more than 3") as refused:
        bring(world, "name,groups", *(f"{name},sre" for name in left), full=True, most=3)
    assert "--max 4" in str(refused.value.hint)
    assert world.head() == head
    assert not any(one.disabled_at or one.groups for one in everybody(world).values())
    bring(world, "name,groups", *(f"{name},sre" for name in left), full=True, most=4)


def test_a_dry_run_tells_and_does_nothing(world: World) -> None:
    bring(world, "name", "alice", "bob")
    world.issue(delegator="user:alice")
    head = world.head()
    foreseen = bring(world, "name,groups", "bob,sre", "carol,", full=True, dry_run=True)
    assert _counts(foreseen) == {"added": 1, "changed": 1, "missing": 1}
    assert (foreseen.departure.radius.credentials, foreseen.event) == (1, None)
    assert world.head() == head


def test_a_dry_run_tells_what_is_different_of_whom(world: World) -> None:
    bring(world, "name,groups,sensitivity,entitlements", "alice,security;sre,low,(policy)", "bob,,high,a:b")
    foreseen = bring(
        world,
        "name,groups,manager,entitlements,active",
        "alice,release;sre,zoe,a:b,true",
        "bob,,,a:b,false",
        "carol,x,bob,,true",
        dry_run=True,
    )
    (change,) = foreseen.changes
    assert change.name == "user:alice"
    assert change.was == {"groups": ["security", "sre"], "manager": None, "entitlements": None}
    assert change.now == {"groups": ["release", "sre"], "manager": "user:zoe", "entitlements": ["a:b"]}
    assert delegator_verbs.different(change) == (
        "entitlements a:b, was (policy); groups without security and with release; manager user:zoe, was (none)"
    )
    assert foreseen.strangers == (1, ("user:zoe",))


def test_of_a_thousand_people_it_is_told_what_is_different(world: World) -> None:
    bring(world, "name", *(f"d{number}" for number in range(1_003)))
    foreseen = bring(world, "name,groups", *(f"d{number},sre" for number in range(1_003)), dry_run=True)
    assert foreseen.changed.number == 1_003
    assert len(foreseen.changes) == 1_000


def test_an_alias_may_move_within_a_list(world: World) -> None:
    bring(world, "name,aliases", "alice,shared", "bob,other", "carol,")
    bring(world, "name,aliases", "alice,other", "bob,", "carol,shared")
    assert {name: one.aliases for name, one in everybody(world).items()} == {
        "user:alice": ("user:other",),
        "user:bob": (),
        "user:carol": ("user:shared",),
    }
    bring(world, "name,aliases", "carol,other", "alice,shared")
    assert everybody(world)["user:carol"].aliases == ("user:other",)


def test_an_alias_may_become_somebodys_own_name(world: World) -> None:
    bring(world, "name,aliases", "alice,al")
    bring(world, "name,aliases", "alice,", "al,")
    assert list(everybody(world)) == ["user:al", "user:alice"]


def test_a_name_that_is_an_alias_is_whoever_has_it(world: World) -> None:
    bring(world, "name,aliases,groups", "alice,alice@example.com,")
    done = bring(world, "name,groups", "alice@example.com,sre")
    assert _counts(done) == {"changed": 1}
    assert {name: one.groups for name, one in everybody(world).items()} == {"user:alice": ("sre",)}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ("name", "alice", "bob", "alice"),
            r"line 4: `user:alice` is also a name of `user:alice` \(line 2\)",
        ),
        (("name,aliases", "alice,x", "bob,x"), r"line 3: `user:x` is also a name of `user:alice` \(line 2\)"),
        (("name,aliases", "alice,bob", "bob,"), r"line 3: `user:bob` is also a name of `user:alice`"),
        (("name,aliases", "bob,outsider"), "line 2: `user:outsider` is another delegator in the directory"),
        (("name,aliases", "bob,out"), "line 2: `user:out` is an alias of `user:outsider`"),
        (
            ("name,external_id", "alice,7", "bob,7"),
            r"line 3: the id is also that of `user:alice` \(line 2\)",
        ),
        (
            ("name", "outsider", "out"),
            r"line 3: `user:out` is also a name of `user:outsider` \(line 2\)",
        ),
        (("name,aliases", "bob,keeps", "kept,"), None),
    ],
)
def test_a_name_that_two_would_have_is_refused_with_its_line(
    world: World, lines: tuple[str, ...], told: str | None
) -> None:
    add(world, "outsider", aliases=("user:out",))
    bring(world, "name,aliases", "keeper,keeps", "kept,")
    head = world.head()
    if told is None:
        # A delegator keeps its alias if the list omits the delegator, or names it without stating aliases.
        with pytest.raises(UsageError, match="line 2: `user:keeps` is an alias of `user:keeper`"):
            bring(world, *lines)
        with pytest.raises(UsageError, match="`user:keeps` is also a name of `user:keeper`"):
            bring_roster(
                world,
                Roster(
                    (
                        StatedDelegator("line 1", "user:bob", aliases=("user:keeps",)),
                        StatedDelegator("line 2", "user:keeper"),
                    )
                ),
            )
    else:
        with pytest.raises(UsageError, match=told):
            bring(world, *lines)
    assert world.head() == head


def test_whoever_is_known_by_an_id_is_the_same_under_another_name(world: World) -> None:
    bring(world, "name,external_id,aliases", "alice,7,")
    made = world.issue(delegator="user:alice")
    done = bring(world, "name,external_id,aliases", "alice.jones,7,aj", full=True)
    assert _counts(done) == {"changed": 1}
    assert everybody(world)["user:alice"].aliases == ("user:aj", "user:alice.jones")
    assert world.issue(delegator="user:alice.jones").issued.delegator == "user:alice"
    assert world.authority.perform(Inspect(id=made.id)).active
    assert _counts(bring(world, "name,external_id,aliases", "alice.jones,7,aj")) == {}


def test_a_manager_is_called_by_their_own_name_wherever_they_stand(world: World) -> None:
    add(world, "zoe", aliases=("user:zz",))
    bring(world, "name,manager,aliases", "alice,boss,", "bob,zz,boss", "carol,stranger,")
    found = everybody(world)
    assert [found[f"user:{name}"].manager for name in ("alice", "bob", "carol")] == [
        "user:bob",
        "user:zoe",
        "user:stranger",
    ]
    assert (
        _counts(bring(world, "name,manager,aliases", "alice,boss,", "bob,zz,boss", "carol,stranger,")) == {}
    )


def test_a_manager_who_is_known_by_an_id_alone_is_found_in_the_directory_or_nobody(world: World) -> None:
    bring(world, "name,external_id", "boss,1")
    people = (
        StatedDelegator("line 1", "user:alice", manager_external="1"),
        StatedDelegator("line 2", "user:bob", manager_external="2"),
    )
    done = bring_roster(world, Roster(people))
    assert done.unresolved == 1
    assert [everybody(world)[name].manager for name in ("user:alice", "user:bob")] == ["user:boss", None]


@pytest.mark.parametrize("full", [False, True])
def test_a_list_that_names_nobody_is_refused(world: World, *, full: bool) -> None:
    bring(world, "name", "alice")
    with pytest.raises(UsageError, match="has no delegators"):
        bring(world, "name", full=full)


def test_a_part_of_a_source_is_no_full_list(world: World) -> None:
    part = Roster(
        (StatedDelegator("line 1", "user:alice"),),
        partial="the file has 1 of 5 users: pages are missing",
    )
    bring_roster(world, part)
    with pytest.raises(UsageError, match="1 of 5 users: pages are missing"):
        bring_roster(world, part, full=True)


def test_many_are_told_by_their_number_and_digest(world: World) -> None:
    bring(world, "name", *(f"d{number:03}" for number in range(100)))
    members = world.events()[-1]["members"]
    assert (members["count"], len(members["first"])) == (100, 20)
    assert members["digest"] == digest_of([f"user:d{number:03}" for number in range(100)])
    assert rows(
        world, "SELECT count(*) FROM delegator WHERE event = :seq", seq=world.events()[-1]["seq"]
    ) == [(100,)]


def test_two_imports_at_once_leave_what_one_after_the_other_leaves(world: World) -> None:
    lists = [
        Roster(tuple(StatedDelegator(f"line {n}", f"user:d{n}", groups=(group,)) for n in range(300)))
        for group in ("first", "second")
    ]
    failed: list[BaseException] = []

    def run(roster: Roster) -> None:
        ledger = open_sqlite(world.path, world.clock, timeout=60)
        try:
            from jitid.capabilities.directory import roster_diff

            with ledger.write() as transaction:
                roster_diff.reconcile(
                    transaction, roster, RosterSource("csv", "0" * 64), None, None, full=True
                )
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            ledger.close()

    threads = [Thread(target=run, args=(roster,)) for roster in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    groups = {one.groups for one in everybody(world).values()}
    assert len(everybody(world)) == 300
    assert groups in ({("first",)}, {("second",)})
    assert [event["op"] for event in world.events()[1:]] == ["delegator-import"] * 2
    world.check()


def test_an_issue_waits_for_an_import_and_heeds_it(world: World) -> None:
    bring(world, "name", "alice")
    world.issue(delegator="user:alice")
    bring(world, "name,active", "alice,false")
    with pytest.raises(PolicyDeniedError, match="delegator-disabled"):
        world.issue(delegator="user:alice")


def test_somebody_who_is_disabled_by_hand_is_enabled_by_a_list_that_says_so(world: World) -> None:
    bring(world, "name,active", "alice,true")
    disable(world, "alice")
    assert _counts(bring(world, "name,active", "alice,true")) == {"enabled": 1}


_NAMES = st.sampled_from([f"user:{letter}" for letter in "abcdefgh"])


def _stated(
    name: str,
    groups: set[str],
    aliases: set[str],
    manager: str | Keep | None,
    external: str | Keep,
    *,
    disabled: bool,
) -> StatedDelegator:
    return StatedDelegator(
        "line",
        name,
        groups=tuple(sorted(groups)),
        manager=manager,
        aliases=tuple(sorted(aliases)),
        disabled=disabled,
        external=external,
    )


_PEOPLE = st.lists(
    st.builds(
        _stated,
        _NAMES,
        st.sets(st.sampled_from(["g", "h"])),
        st.sets(_NAMES, max_size=2),
        st.sampled_from([KEEP, None]) | _NAMES,
        st.sampled_from([KEEP, "id-1", "id-2", "id-3"]),
        disabled=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda one: one.name,
)


@pytest.mark.deep
@given(lists=st.lists(st.tuples(_PEOPLE, st.booleans()), max_size=5))
def test_a_list_that_is_taken_is_what_the_directory_says(
    tmp_path_factory: pytest.TempPathFactory, lists: list[tuple[list[StatedDelegator], bool]]
) -> None:
    """Each listed delegator is as stated, and no name belongs to two delegators.

    Other delegators do not change, except that a full list disables imported delegators that it lacks.
    """
    with World(tmp_path_factory.mktemp("law") / "ledger", policy=PERMIT_ALL) as world:
        for people, full in lists:
            before = everybody(world)
            try:
                bring_roster(world, Roster(tuple(people)), full=full)
            except UsageError:
                assert everybody(world) == before
                continue
            after = everybody(world)
            owners: dict[str, str] = {}
            for one in after.values():
                for name in (one.name, *one.aliases):
                    assert owners.setdefault(name, one.name) == one.name
            for stated in people:
                one = after[owners[stated.name]]
                assert (one.groups, one.disabled_at is not None) == (stated.groups, stated.disabled)
                assert isinstance(stated.aliases, tuple)
                assert {one.name, *one.aliases} == {one.name, stated.name, *stated.aliases}
            named = {owners[stated.name] for stated in people}
            for name, one in after.items():
                if name not in named:
                    left = before[name]
                    gone = full and left.imported and left.disabled_at is None
                    assert one == (left._replace(disabled_at=NOW, disabled_last=NOW) if gone else left)
            assert _again(world, people, full=full) is None
        world.check()


def _again(world: World, people: list[StatedDelegator], **fields: Any) -> int | None:
    return bring_roster(world, Roster(tuple(people)), **fields).event


def test_a_manager_by_a_name_that_the_list_takes_away_is_whoever_comes_to_have_it(world: World) -> None:
    bring(world, "name,aliases", "dora,carl")
    lines = ("name,manager,aliases", "anna,carl,", "dora,,")
    bring(world, *lines)
    assert everybody(world)["user:anna"].manager == "user:carl"
    assert bring(world, *lines).event is None


def test_a_change_by_hand_outlives_a_list_that_does_not_tell_of_it(world: World) -> None:
    from jitid.capabilities.directory.delegators import Amendment

    bring(world, "name,groups", "alice,sre")
    change(world, "alice", entitlements=Amendment(add=("x:*",)))
    bring(world, "name,groups", "alice,ops")
    alice = everybody(world)["user:alice"]
    assert (alice.entitlements, alice.groups) == (("x:*",), ("ops",))


def test_the_event_names_the_file(world: World) -> None:
    source = RosterSource("jsonl", "ab" * 32)
    roster = Roster((StatedDelegator("line 1", "user:alice"),))
    world.authority.perform(
        directory_operations.ImportDelegators(roster=roster, source=source, reason="night", most=None)
    )
    event = world.events()[-1]
    assert (event["form"], event["content"], event["reason"]) == ("jsonl", "ab" * 32, "night")
