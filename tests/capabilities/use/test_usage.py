"""Uses: a decision from before the lock counts only if it still holds, and the audit log covers recorded uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity import recognise_token
from jitid.capabilities.identity.recognise_token import PresentedToken
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.trust import operations as trust_operations
from jitid.capabilities.use import perform
from jitid.capabilities.use.authorization import RecordedUses, UseRequest
from jitid.capabilities.use.operations import Authorize
from jitid.errors import IntegrityError
from jitid.ledger import policies
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.ledger.transaction import Transaction
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from jitid.values.strict_json import loads
from tests.builders import DAY, NAMES, NOW, Made, World, edit

AUDIENCES = (NAMES.issuer,)


def _asked(made: Made) -> list[UseRequest]:
    return [UseRequest(Secret.single(made.token), Scope("repo:read"), "acme")]


def _present(world: World, made: Made) -> list[PresentedToken]:
    with world.ledger.read() as snapshot:
        return recognise_token.present(NAMES, recognise_token.signing_keys_of(snapshot), [made.token])


def _foresee(world: World, made: Made) -> perform.ForeseenUses:
    presented = _present(world, made)
    with world.ledger.read() as snapshot:
        return perform.decide_ahead(snapshot, NAMES, world.terms, _asked(made), presented, AUDIENCES)


def _record(world: World, made: Made, foreseen: perform.ForeseenUses) -> RecordedUses:
    presented = _present(world, made)
    with world.ledger.write() as transaction:
        return perform.record(transaction, NAMES, world.terms, _asked(made), presented, foreseen, AUDIENCES)


def _use(world: World, *made: Made) -> RecordedUses:
    asked = tuple(one for each in made for one in _asked(each))
    return world.authority.perform(Authorize(asked=asked))


def _revoke(world: World, made: Made) -> None:
    world.revoke(made.id)


def _retire(world: World, made: Made) -> None:
    world.retire(made.issued.task)


def _let_it_expire(world: World, made: Made) -> None:
    world.clock.now = made.issued.expires_at


def _revoke_its_key(world: World, _: Made) -> None:
    with world.ledger.read() as snapshot:
        kid = KeyStore(snapshot).signing_keys()[0].kid
    world.authority.perform(trust_operations.RevokeKey(kid=kid, most=None))


def _disable_the_delegator(world: World, _: Made) -> None:
    with world.ledger.write() as transaction:
        (person,) = DirectoryStore(transaction).delegators(group=None, disabled=None, after=None, limit=1)
        DirectoryChanges(transaction).put_delegators([person._replace(disabled_at=NOW)])
        transaction.append("delegator-disable", {"delegator": person.name})


CHANGES = (_revoke, _retire, _let_it_expire, _revoke_its_key, _disable_the_delegator)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_what_happens_between_the_look_and_the_lock_counts(
    change: Callable[[World, Made], None], kind: str, world: World
) -> None:
    world.know()
    made = world.issue(scopes=("repo:read",), kind=kind)
    foreseen = _foresee(world, made)
    assert foreseen.verdicts[0].allowed
    change(world, made)
    (verdict,) = _record(world, made, foreseen).verdicts
    assert verdict.allowed is (kind == "opaque" and change is _revoke_its_key)
    world.check()


def test_what_still_holds_is_recorded_as_it_was_foreseen(world: World) -> None:
    """This holds even if the transaction also records ended credentials."""
    world.issue(ttl=30, task="T2")
    world.clock.now += 60
    made = world.issue(scopes=("repo:read",))
    foreseen = _foresee(world, made)
    done = _record(world, made, foreseen)
    assert all(one is seen for one, seen in zip(done.verdicts, foreseen.verdicts, strict=True))
    assert done.event == world.head().seq


def test_what_others_use_meanwhile_changes_nothing(world: World) -> None:
    made, other = (world.issue(scopes=("repo:read",), task=task) for task in ("T1", "T2"))
    foreseen = _foresee(world, made)
    _use(world, other)
    _use(world, made, other)
    done = _record(world, made, foreseen)
    assert all(one is seen for one, seen in zip(done.verdicts, foreseen.verdicts, strict=True))
    world.check()


@pytest.mark.parametrize("first", [True, False])
def test_what_counts_is_seen_among_what_others_use(first: bool, world: World) -> None:
    made, other = (world.issue(scopes=("repo:read",), task=task) for task in ("T1", "T2"))
    foreseen = _foresee(world, made)
    if first:
        world.revoke(made.id)
    _use(world, other)
    if not first:
        world.revoke(made.id)
    assert [one.allowed for one in _record(world, made, foreseen).verdicts] == [False]
    world.check()


def test_it_is_judged_anew_when_a_second_has_passed(world: World) -> None:
    made = world.issue(scopes=("repo:read",))
    foreseen = _foresee(world, made)
    world.clock.now += 1
    done = _record(world, made, foreseen)
    assert done.verdicts is not foreseen.verdicts
    assert done.at == NOW + 1
    assert done.verdicts == foreseen.verdicts


def test_a_policy_that_decided_on_a_use_is_kept(world: World) -> None:
    made = world.issue(scopes=("repo:read",))
    edit(world.path, "DELETE FROM policy")
    world.reopen()
    _use(world, made)
    digest = world.events()[-1]["policy"]
    with world.ledger.read() as snapshot:
        assert policies.text(snapshot, digest) == world.terms.policy_text


def test_the_event_says_no_more_than_it_must(world: World) -> None:
    _use(world, world.issue(scopes=("repo:read",)))
    with world.ledger.read() as snapshot:
        event = snapshot.event(snapshot.head().seq)
    assert event is not None
    assert loads(event.body).keys() == {"op", "at", "by", "count", "allowed", "used", "policy"}


def test_an_inspection_tells_what_was_used_last(world: World) -> None:
    made = world.issue(scopes=("repo:read",), ttl=60)
    assert world.authority.perform(inventory_operations.Inspect(id=made.id)).used == ()
    world.clock.now += 59
    _use(world, made)
    world.clock.now += DAY
    _use(world, made)
    (used,) = world.authority.perform(inventory_operations.Inspect(id=made.id)).used
    assert (used.scope, used.first_at, used.last_at, used.uses) == ("repo:read", NOW + 59, NOW + 59, 1)


# Edits of the database


@pytest.fixture
def used(world: World) -> World:
    """Return a ledger with actions that were allowed and denied, some of them in one request."""
    chain = world.chain(2, scopes=["repo:read"])
    other = world.issue(task="T2")
    _use(world, *chain, other)
    world.clock.now += 60
    _use(world, chain[0])
    _use(world, other, chain[0])
    world.check()
    return world


COPIED = "at, credential, action, resource, scope, allowed, rules, reason, event"
EDITS = [
    "DELETE FROM action WHERE id = 1",
    "DELETE FROM action WHERE id = 6",
    "DELETE FROM action",
    "UPDATE action SET resource = 'other' WHERE id = 2",
    "UPDATE action SET resource = CAST('acme' AS BLOB) WHERE id = 2",
    "UPDATE action SET resource = 1 WHERE id = 2",
    "UPDATE action SET action = 'repo:write' WHERE id = 2",
    "UPDATE action SET credential = 2 WHERE id = 1",
    "UPDATE action SET credential = NULL WHERE id = 1",
    "UPDATE action SET credential = 99 WHERE id = 1",
    "UPDATE action SET credential = 99 WHERE id = 3",
    "UPDATE action SET scope = 'repo:*' WHERE id = 1",
    "UPDATE action SET scope = NULL WHERE id = 1",
    "UPDATE action SET allowed = 0 WHERE id = 1",
    "UPDATE action SET allowed = 1, reason = NULL WHERE id = 3",
    "UPDATE action SET allowed = 2 WHERE id = 3",
    "UPDATE action SET allowed = 'yes' WHERE id = 1",
    "UPDATE action SET rules = 'other' WHERE id = 1",
    "UPDATE action SET reason = 'other' WHERE id = 3",
    "UPDATE action SET at = at + 1 WHERE id = 1",
    "UPDATE action SET at = 'zzz' WHERE id = 1",
    "UPDATE action SET event = 1 WHERE id = 1",
    "UPDATE action SET event = event + 1 WHERE id = 3",
    "UPDATE action SET id = 99 WHERE id = 1",
    "UPDATE credential SET jti = zeroblob(16) WHERE id = 1",
    f"INSERT INTO action SELECT 99, {COPIED} FROM action WHERE id = 6",
    f"INSERT INTO action SELECT 0, {COPIED} FROM action WHERE id = 1",
    "UPDATE used SET uses = uses + 1",
    "UPDATE used SET last_at = last_at + 1",
    "UPDATE used SET first_at = 0",
    "UPDATE used SET scope = 'repo:*'",
    "DELETE FROM used",
    "DELETE FROM used WHERE identity = 1",
    "INSERT INTO used VALUES (3, 'repo:read', 0, 0, 1)",
]


@pytest.mark.deep
@pytest.mark.parametrize("change", EDITS)
def test_a_change_behind_the_ledgers_back_is_found(used: World, change: str) -> None:
    edit(used.path, change)
    used.reopen()
    with pytest.raises(IntegrityError):
        used.check()


def test_an_event_of_actions_names_their_credentials(used: World) -> None:
    from jitid.capabilities.audit.audit_log import LogFilter

    events = used.authority.perform(
        integrity_operations.ReadLog(chosen=LogFilter(operation="use"), limit=None, members=True)
    )
    assert [len(event["members"]) for event in events] == [3, 1, 2]


@pytest.mark.parametrize("asked", [1, 10, 11])
def test_many_actions_are_decided_before_the_lock_also_where_nobody_else_writes(
    world: World, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.issue(scopes=("repo:read",))
    _use(world, made)
    decided: list[bool] = []

    def spy(view: Any, *rest: Any) -> perform.ForeseenUses:
        decided.append(isinstance(view, Transaction))
        return decide_ahead(view, *rest)

    decide_ahead = perform.decide_ahead
    monkeypatch.setattr(perform, "decide_ahead", spy)
    _use(world, *[made] * asked)
    assert decided == [asked <= 10 or not isinstance(world.ledger, SqliteLedger)]
    world.check()
