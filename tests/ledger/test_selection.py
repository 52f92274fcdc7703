"""Contract tests: a revocation ends the selected identities and their descendants, and no others."""

from __future__ import annotations

from itertools import combinations
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitid.capabilities.identity import store as identity_store
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.ledger import select as selecting
from jitid.ledger.signing_keys import KeyChanges
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.ledger.sqlite.schema import LIVE_INDEXES
from jitid.ledger.transaction import Transaction
from jitid.model.credential import LEEWAY, State
from jitid.model.ledger_rows import Radius, Selection
from jitid.values.ids import parse_id
from tests.builders import NOW, Row, put, put_chain
from tests.ledger.places import Place, public_key


@pytest.fixture(autouse=True, params=["few", "many"])
def _number(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test also with the code path for large selections, which must have the same result."""
    if request.param == "many":
        monkeypatch.setattr(identity_store, "_MANY", 1)
        monkeypatch.setattr(selecting, "MANY", 1)


class Family:
    """Identities: alice's planner delegates to a coder, the coder to a tester on another task; bob has a planner."""

    def __init__(self, transaction: Transaction) -> None:
        self.key = KeyChanges(transaction).add_key(*public_key(transaction))
        self.planner = put(transaction, agent="planner", task="INC-1", signed_by=self.key)
        self.coder = put(transaction, agent="coder", task="INC-1", parent=self.planner, depth=1)
        self.tester = put(transaction, agent="tester", task="INC-2", parent=self.coder, depth=2)
        self.bob = put(transaction, agent="planner", task="INC-3", delegator="user:bob")

    def name(self, id_: str) -> str:
        """Return the short name of an identity in this family."""
        return next(name for name in ("planner", "coder", "tester", "bob") if getattr(self, name).id == id_)


def ended(place: Place, family: Family, selection: Selection) -> tuple[Radius, list[str]]:
    """Revoke a selection; return the counts, and the names of the ended identities."""
    with place.ledger.write() as transaction:
        radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
        transaction.append("revoke", {"count": radius.credentials, "ended": digest})
    with place.ledger.read() as snapshot:
        if isinstance(place.ledger, SqliteLedger):
            rows = snapshot.query("SELECT name FROM sqlite_schema WHERE type = 'index'", {})
            assert {*LIVE_INDEXES} <= {name for (name,) in rows}
        dead = [
            family.name(credential.id)
            for row in (family.planner, family.coder, family.tester, family.bob)
            if (credential := CredentialStore(snapshot).latest_of(parse_id(row.id)[1]))
            and credential.ended_at is not None
        ]
    return radius, dead


ALICES = ["planner", "coder", "tester"]


@pytest.mark.deep
@pytest.mark.parametrize(
    ("select", "dead"),
    [
        (lambda f: Selection(ids=(f.coder.id,)), ["coder", "tester"]),
        (lambda f: Selection(ids=(f.tester.jti,)), ["tester"]),
        (lambda f: Selection(ids=(f.tester.id, f.bob.jti)), ["tester", "bob"]),
        (lambda f: Selection(fingerprints=(f.coder.print,)), ["coder", "tester"]),
        (lambda _: Selection(tasks=("INC-2",)), ["tester"]),
        (lambda _: Selection(tasks=("INC-1",)), ALICES),
        (lambda _: Selection(tasks=("INC-2", "INC-3")), ["tester", "bob"]),
        (lambda _: Selection(delegators=("user:alice",)), ALICES),
        (lambda _: Selection(delegators=("user:alice", "user:bob")), [*ALICES, "bob"]),
        (lambda _: Selection(delegators=("agent:coder",)), ["tester"]),
        (lambda _: Selection(delegators=("agent:planner", "user:bob")), ["coder", "tester", "bob"]),
        (lambda _: Selection(agents=("planner",)), [*ALICES, "bob"]),
        (lambda f: Selection(trees=(f.tester.id,)), ALICES),
        (lambda f: Selection(trees=(f.coder.jti,)), ALICES),
        (lambda f: Selection(kids=(f.key.kid,)), ALICES),
        (lambda _: Selection(agents=("planner",), delegators=("user:bob",)), ["bob"]),
        (lambda _: Selection(agents=("coder",), tasks=("INC-1",)), ["coder", "tester"]),
        (lambda f: Selection(trees=(f.coder.id,), agents=("tester",)), ["tester"]),
        (lambda f: Selection(ids=(f.bob.id, f.tester.id), tasks=("INC-2",)), ["tester"]),
        (lambda _: Selection(agents=("coder",), delegators=("user:bob",)), []),
        (lambda _: Selection(delegators=("agent:nobody",)), []),
        (lambda _: Selection(tasks=("inc-1",)), []),
    ],
)
def test_a_selection_ends_itself_and_all_below_it(place: Place, select: object, dead: list[str]) -> None:
    with place.ledger.write() as transaction:
        family = Family(transaction)
    assert callable(select)
    radius, found = ended(place, family, select(family))
    assert found == dead
    assert radius.credentials == len(dead)


def test_ending_reaches_the_living_through_the_dead(place: Place) -> None:
    with place.ledger.write() as transaction:
        root = put(transaction)
        middle = put(transaction, parent=root, ttl=60)
        leaf = put(transaction, parent=middle)
    place.clock.now += 60
    with place.ledger.write() as transaction:
        radius, _ = CredentialChanges(transaction).end(Selection(ids=(root.id,)), State.REVOKED)
        transaction.append("revoke", {"count": 0, "ended": ""})
    with place.ledger.read() as snapshot:
        found = CredentialStore(snapshot).latest_of(parse_id(leaf.id)[1])
        assert found is not None
    assert found.ended_as == "revoked"
    assert radius.credentials == 2


def test_an_intersection_reaches_the_living_below_the_dead(place: Place) -> None:
    """One of alice's planners has expired but has a live child, another one is live: both match."""
    with place.ledger.write() as transaction:
        dead = put(transaction, agent="planner", ttl=60)
        child = put(transaction, agent="coder", parent=dead)
        put(transaction, agent="planner")
    place.clock.now += 60
    with place.ledger.write() as transaction:
        radius, _ = CredentialChanges(transaction).end(
            Selection(agents=("planner",), delegators=("user:alice",)), State.REVOKED
        )
        transaction.append("revoke", {"count": 0, "ended": ""})
    with place.ledger.read() as snapshot:
        found = CredentialStore(snapshot).latest_of(parse_id(child.id)[1])
        assert found is not None
    assert found.ended_as == "revoked"
    assert radius.credentials == 2


def test_ending_twice_ends_nothing_more(place: Place) -> None:
    with place.ledger.write() as transaction:
        family = Family(transaction)
    ended(place, family, Selection(delegators=("user:alice",)))
    place.clock.now += 60
    radius, dead = ended(place, family, Selection(delegators=("user:alice",)))
    assert (radius.matched > 0, radius.credentials, dead) == (True, 0, ALICES)
    with place.ledger.read() as snapshot:
        found = CredentialStore(snapshot).latest_of(parse_id(family.coder.id)[1])
        assert found is not None
    assert found.ended_at == NOW


def test_a_preview_counts_what_ending_would_end(place: Place) -> None:
    with place.ledger.write() as transaction:
        family = Family(transaction)
        put(transaction, task="INC-1", ttl=60)
    place.clock.now += 60
    with place.ledger.read() as snapshot:
        foreseen = CredentialStore(snapshot).measure(Selection(tasks=("INC-1",)))
    radius, _ = ended(place, family, Selection(tasks=("INC-1",)))
    # An expired credential has ended before, and its verifiers are counted too.
    assert foreseen == Radius(3, 4, 3, 2, 1, NOW + 900, 1, None, NOW + 900 + LEEWAY, NOW + 60)
    assert radius == foreseen._replace(refused_since=NOW + 60)
    place.clock.now += 60
    again, _ = ended(place, family, Selection(tasks=("INC-1",)))
    assert (again.credentials, again.refused_since) == (0, NOW + 60)
    assert again.accepted_until == NOW + 900 + LEEWAY


def test_what_nobody_signed_is_honoured_by_nobody_offline(place: Place) -> None:
    with place.ledger.write() as transaction:
        put(transaction)
    with place.ledger.read() as snapshot:
        assert CredentialStore(snapshot).measure(Selection(tasks=("T1",))).offline_until is None


class Forest(NamedTuple):
    """Values of each selector with the identities that they match, and the descendants of each identity."""

    selectors: dict[str, list[tuple[Any, frozenset[int]]]]
    below: dict[int, frozenset[int]]


def plant(transaction: Transaction) -> Forest:
    """Record trees of three delegators that share tasks, agents, keys and names. One delegator has a subject."""
    keys = [KeyChanges(transaction).add_key(*public_key(transaction)) for _ in range(2)]
    people = [("user:alice", None), ("user:bob", None), ("user:bob", "https://id.example b")]
    rows: list[tuple[Row, int | None, dict[str, Any]]] = []
    for number, (delegator, subject) in enumerate(people * 2):
        parent: int | None = None
        for depth in range(3):
            facts: dict[str, Any] = {
                "task": f"T{(number + depth) % 3}",
                "agent": f"a{(number * depth) % 3}",
                "delegator": delegator,
                "subject": subject,
                "signed_by": keys[(number + depth) % 2],
                # Half of the parents will have expired.
                "ttl": 60 if (number + depth) % 2 else 900,
            }
            row = put(transaction, parent=None if parent is None else rows[parent][0], **facts)
            rows.append((row, parent, facts))
            parent = len(rows) - 1

    def those(fact: str, value: object) -> tuple[Any, frozenset[int]]:
        return value, frozenset(number for number, each in enumerate(rows) if each[2][fact] == value)

    def root(number: int) -> int:
        up = rows[number][1]
        return number if up is None else root(up)

    def is_below(number: int, top: int) -> bool:
        up = rows[number][1]
        return number == top or (up is not None and is_below(up, top))

    def delegated_by(agent: str) -> frozenset[int]:
        above = [up for _, up, _ in rows]
        return frozenset(n for n, up in enumerate(above) if up is not None and rows[up][2]["agent"] == agent)

    ids = [(row, frozenset({n})) for n, (row, _, _) in enumerate(rows)]
    selectors: dict[str, list[tuple[Any, frozenset[int]]]] = {
        "ids": [(row.id, own) for row, own in ids[:8:3]],
        "fingerprints": [(row.print, own) for row, own in ids[:12:3]],
        "trees": [
            (rows[n][0].jti, frozenset(k for k in range(len(rows)) if root(k) == root(n)))
            for n in range(1, len(rows), 4)
        ],
        "tasks": [those("task", f"T{n}") for n in range(3)],
        "agents": [those("agent", f"a{n}") for n in range(3)],
        "kids": [(key.kid, those("signed_by", key)[1]) for key in keys],
        "delegators": [
            *(those("delegator", name) for name in ("user:alice", "user:bob", "user:nobody")),
            those("subject", "https://id.example b"),
            ("agent:a0", delegated_by("a0")),
        ],
    }
    below = {top: frozenset(n for n in range(len(rows)) if is_below(n, top)) for top in range(len(rows))}
    return Forest(selectors, below)


def test_several_sorts_of_selectors_name_what_each_of_them_names(place: Place) -> None:
    """Each combination of selectors matches the intersection and its descendants, live or ended."""
    with place.ledger.write() as transaction:
        forest = plant(transaction)
    place.clock.now += 60
    # A write records the expired credentials as expired.
    with place.ledger.write() as transaction:
        put(transaction, task="OTHER", agent="other", delegator="user:other")
    random = Random(8)
    wrong = []
    with place.ledger.read() as snapshot:
        for count in range(1, len(forest.selectors) + 1):
            for sorts in combinations(forest.selectors, count):
                for _ in range(4):
                    asked: dict[str, Any] = {}
                    meant = frozenset(forest.below)
                    for sort in sorts:
                        values = random.sample(forest.selectors[sort], random.randint(1, 2))
                        asked[sort] = tuple(value for value, _ in values)
                        meant &= frozenset().union(*(named for _, named in values))
                    all_below = frozenset().union(*(forest.below[each] for each in meant))
                    found = CredentialStore(snapshot).measure(Selection(**asked))
                    if count > 1 or sorts != ("delegators",):
                        exact = (found.matched, found.identities) == (len(meant), len(all_below))
                    else:
                        # With a delegator alone, ended identities are searched only if no live identity matches.
                        exact = bool(found.matched) == bool(meant) and found.identities <= len(all_below)
                    if not exact:
                        wrong.append((asked, found, sorted(meant), sorted(all_below)))
    assert wrong == []


def test_an_empty_selection_matches_nothing(place: Place) -> None:
    with place.ledger.write() as transaction:
        put(transaction)
    with place.ledger.read() as snapshot:
        assert CredentialStore(snapshot).measure(Selection()) == Radius(0, 0, 0, 0, 0, None, 0, at=NOW)


def test_a_selection_leaves_nothing_for_the_next(place: Place) -> None:
    with place.ledger.write() as transaction:
        family = Family(transaction)
    with place.ledger.read() as snapshot:
        CredentialStore(snapshot).measure(Selection(tasks=("INC-1",)))
        assert CredentialStore(snapshot).measure(Selection(ids=(family.bob.id,))).credentials == 1


def test_a_chain_of_a_thousand_ends_at_its_root(place: Place) -> None:
    with place.ledger.write() as transaction:
        chain = put_chain(transaction, 1_000)
    with place.ledger.write() as transaction:
        radius, _ = CredentialChanges(transaction).end(Selection(ids=(chain[0].id,)), State.REVOKED)
        transaction.append("revoke", {"count": 0, "ended": ""})
    assert radius.credentials == 1_000


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(parents=st.lists(st.integers(-1, 30), min_size=1, max_size=25), chosen=st.integers(0, 24))
def test_no_descendant_of_a_revoked_identity_lives(place: Place, parents: list[int], chosen: int) -> None:
    """In any forest, a revoked identity has no live descendants, and all other identities stay live."""
    rows: list[Row] = []
    above: list[int | None] = []
    with place.ledger.write() as transaction:
        for number, parent in enumerate(parents):
            up = parent % number if number and parent >= 0 else None
            above.append(up)
            rows.append(
                put(transaction, parent=None if up is None else rows[up], depth=0 if up is None else 1)
            )
    target = chosen % len(rows)

    def is_below(number: int) -> bool:
        up = above[number]
        return number == target or (up is not None and is_below(up))

    with place.ledger.write() as transaction:
        CredentialChanges(transaction).end(Selection(ids=(rows[target].id,)), State.REVOKED)
        transaction.append("revoke", {"count": 0, "ended": ""})
    with place.ledger.read() as snapshot:
        for number, row in enumerate(rows):
            found = CredentialStore(snapshot).latest_of(parse_id(row.id)[1])
            assert found is not None
            assert (found.ended_as == "revoked") == is_below(number)
        assert CredentialStore(snapshot).descendants(rows[target].identity)[1] == 0
