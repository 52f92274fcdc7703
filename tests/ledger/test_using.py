"""Contract tests: how a ledger records the use of credentials, and answers queries about it."""

from __future__ import annotations

from typing import Any

import pytest

from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.use.store import UseChanges, UseStore
from jitid.ledger.transaction import Transaction
from jitid.model.event import used_digest
from jitid.model.use import NewUse, RecordedUse, Used, UseFilter
from tests.builders import NOW, Row, delegator, put, put_agent, put_chain, put_delegator
from tests.ledger.places import Place


def use(row: Row | None, **fields: Any) -> NewUse:
    """Return an action that a credential was allowed, or an unknown token was denied, with the given fields."""
    plain = (
        NewUse(None, None, None, "s3:Get", "bucket", None, False, (), "no token")
        if row is None
        else NewUse(row.key, row.identity, row.jti, "s3:Get", "bucket", "s3:*", True, ("any", "low"), None)
    )
    return plain._replace(**fields)


def record(transaction: Transaction, *uses: NewUse) -> int:
    """Record actions with their event; return the number of the event."""
    digest = UseChanges(transaction).add_uses(uses)
    event = transaction.append("use", {"count": len(uses), "used": digest})
    return event.seq


def keys(place: Place, **chosen: Any) -> list[int]:
    """Return the positions of the matching actions, counted from 1 in the order of all actions' numbers."""
    with place.again().read() as snapshot:
        every = sorted(one.key for one in UseStore(snapshot).uses(UseFilter(), 99))
        return [every.index(one.key) + 1 for one in UseStore(snapshot).uses(UseFilter(**chosen), 99)]


def test_an_action_is_told_with_who_acted_and_for_whom(place: Place) -> None:
    with place.ledger.write() as transaction:
        row = put(transaction, agent="planner", task="INC-1", purpose="triage")
        event = record(
            transaction,
            use(row),
            use(row, allowed=False, scope=None, rules=("scope",), reason="x"),
            use(None),
        )
    who: dict[str, Any] = {
        "jti": row.jti,
        "id": row.id,
        "identity_key": row.identity,
        "agent": "planner",
        "delegator": "user:alice",
        "task": "INC-1",
        "purpose": "triage",
    }
    nobody: dict[str, Any] = dict.fromkeys(who)
    plain: dict[str, Any] = {"at": NOW, "action": "s3:Get", "resource": "bucket", "event": event}
    with place.again().read() as snapshot:
        found = UseStore(snapshot).uses(UseFilter(), 9)
        numbers = [one.key for one in found]
        assert numbers == sorted(set(numbers))
        assert [one._replace(key=number) for number, one in enumerate(found, start=1)] == [
            RecordedUse(key=1, allowed=True, scope="s3:*", rules=("any", "low"), reason=None, **plain, **who),
            RecordedUse(key=2, allowed=False, scope=None, rules=("scope",), reason="x", **plain, **who),
            RecordedUse(key=3, allowed=False, scope=None, rules=(), reason="no token", **plain, **nobody),
        ]
        assert len(UseStore(snapshot).uses(UseFilter(), 2)) == 2
        assert UseStore(snapshot).use_members(event) == [row.jti, row.jti]
        assert UseStore(snapshot).use_members(event + 1) == []


def test_actions_are_found_by_each_condition(place: Place) -> None:
    with place.ledger.write() as transaction:
        parent, child = put_chain(transaction, 2, agent="planner", task="A")
        other = put(transaction, agent="coder", task="B", delegator="user:bob")
        first = record(transaction, use(parent), use(child, action="s3:Put"), use(other, resource="disk"))
    place.clock.now += 60
    with place.again().write() as transaction:
        record(transaction, use(other, rules=("low",)), use(None))
    assert keys(place) == [1, 2, 3, 4, 5]
    assert keys(place, action="s3:Put") == [2]
    assert keys(place, resource="disk") == [3]
    assert keys(place, task="A") == [1, 2]
    assert keys(place, task="nothing") == []
    assert keys(place, agent="coder") == [3, 4]
    assert keys(place, delegators=("user:bob", "user:robert")) == [3, 4]
    assert keys(place, delegators=("agent:planner",)) == [2]
    assert keys(place, delegators=("agent:planner", "user:bob")) == []
    assert keys(place, event=first) == [1, 2, 3]
    assert keys(place, rule="any") == [1, 2, 3]
    assert keys(place, rule="lo") == []
    assert keys(place, since=NOW, until=NOW + 60) == [1, 2, 3]
    assert keys(place, since=NOW + 60) == [4, 5]
    assert keys(place, since=NOW + 1, until=NOW + 60) == []
    assert keys(place, since=NOW + 60, task="B", agent="coder", action="s3:Get") == [4]


def test_what_was_allowed_is_rolled_up_by_scope(place: Place) -> None:
    with place.ledger.write() as transaction:
        one, other, idle = (put(transaction) for _ in range(3))
        record(transaction, use(one), use(one), use(one, scope="log:read"), use(other), use(None))
        record(transaction, use(one, allowed=False, reason="x"), use(idle, allowed=False, reason="x"))
    place.clock.now += 60
    with place.again().write() as transaction:
        record(transaction, use(one), use(one, scope="log:read", allowed=False, reason="x"))
    with place.again().read() as snapshot:
        assert UseStore(snapshot).used_by([one.identity, other.identity, idle.identity, 99]) == {
            one.identity: [Used("log:read", NOW, NOW, 1), Used("s3:*", NOW, NOW + 60, 3)],
            other.identity: [Used("s3:*", NOW, NOW, 1)],
        }
        assert UseStore(snapshot).used_by([]) == {}
        assert UseStore(snapshot).is_rolled_up()


def test_the_first_use_may_come_last_where_the_clock_was_set_back(place: Place) -> None:
    with place.ledger.write() as transaction:
        row = put(transaction)
        record(transaction, use(row))
    place.clock.now -= 100_000
    with place.again().write(accept_clock=True) as transaction:
        record(transaction, use(row))
    with place.again().read() as snapshot:
        assert UseStore(snapshot).used_by([row.identity])[row.identity] == [
            Used("s3:*", NOW - 100_000, NOW, 2)
        ]
        assert [one.at for one in UseStore(snapshot).uses(UseFilter(), 9)] == [NOW - 100_000, NOW], (
            "in the order of their time"
        )
        assert UseStore(snapshot).is_rolled_up()


def test_an_undone_transaction_leaves_no_action(place: Place) -> None:
    with place.ledger.write() as transaction:
        row = put(transaction)
    with pytest.raises(RuntimeError), place.again().write() as transaction:
        record(transaction, use(row))
        raise RuntimeError
    assert keys(place) == []
    with place.again().read() as snapshot:
        assert UseStore(snapshot).used_by([row.identity]) == {}


def test_the_rows_are_those_that_the_digest_is_of(place: Place) -> None:
    text = 'naïve \x1b[31m \U0001f512 "quoted\\"'
    with place.ledger.write() as transaction:
        row = put(transaction)
        digest = UseChanges(transaction).add_uses([use(row, resource=text), use(None)])
        event = transaction.append("use", {"count": 2, "used": digest})
    with place.again().read() as snapshot:
        found = list(UseStore(snapshot).use_rows())
    assert [(one.at, one.event) for one in found] == [(NOW, event.seq), (NOW, event.seq)]
    assert found[0].key < found[1].key
    assert found[0].members == (row.jti, "s3:Get", text, "s3:*", 1, "any low", None)
    assert used_digest([one.members for one in found]) == digest


def test_many_are_read_together(place: Place) -> None:
    """The names need more than one statement, and each answer equals that of a single query."""
    with place.ledger.write() as transaction:
        for number in range(7):
            put(transaction, task=f"T{number}", agent=f"agent-{number}")
        put_delegator(transaction, "user:bob", groups=("b", "a"), aliases=("user:robert",))
        DirectoryChanges(transaction).put_delegators(
            [delegator(f"user:{number}", groups=("crew",)) for number in range(1_200)]
        )
        put_agent(transaction, "agent-3")
    with place.again().read() as snapshot:
        names = [f"T{number}" for number in range(1_200)]
        assert TaskStore(snapshot).tasks_of(names) == {
            (name, "user:alice"): TaskStore(snapshot).find_task(name) for name in names[:7]
        }
        assert TaskStore(snapshot).tasks_of([]) == {}
        agents = [f"agent-{number}" for number in range(9)]
        assert DirectoryStore(snapshot).agents_named(agents) == {
            "agent-3": DirectoryStore(snapshot).find_agent("agent-3")
        }
        people = ["user:bob", "user:robert", "user:nobody", *(f"user:{number}" for number in range(1_200))]
        assert DirectoryStore(snapshot).delegators_named(people) == {
            name: DirectoryStore(snapshot).entry(name, "nobody").delegator
            for name in people
            if name != "user:nobody"
        }
