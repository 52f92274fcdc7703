"""Leaks: recorded once, with the time of exposure, and proved when verifiers refuse the credential."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.identity import revocation
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import task_sharing
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.leak import leaks
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.leak.exposure import Leaked
from jitid.capabilities.leak.leaks import LONGEST_SOURCE, LeakReport, ReportedLeaks
from jitid.capabilities.leak.store import LeakChanges, LeakStore
from jitid.capabilities.trust import operations as trust_operations
from jitid.crypto import jws
from jitid.errors import (
    IntegrityError,
    InvalidCredentialError,
    NotFoundError,
    PolicyDeniedError,
    StorageError,
    UsageError,
)
from jitid.ledger import expiry
from jitid.model.event import ended_digest
from jitid.model.leak import Kin, LeakFilter
from jitid.model.ledger_rows import Selection
from jitid.model.request import RenewRequest
from jitid.search.pasted import search_pasted
from jitid.values import strict_json
from jitid.values.ids import parse_id
from jitid.values.secret import Secret, fingerprint
from tests.builders import DAY, NOW, Made, World, edit
from tests.capabilities.identity.test_validity import P256_ORDER
from tests.capabilities.sweep.asking import fixed, found
from tests.crypto.signed import encode


def add(world: World, text: str, source: str = "wiki", at: int | None = None, **more: Any) -> ReportedLeaks:
    """Report the credentials in a text as leaked."""
    report = LeakReport(source, at, more.pop("unproved", False))
    return world.authority.perform(
        leak_operations.AddLeaks(finds=search_pasted(text.encode()), report=report, **more)
    )


def listed(world: World, valid: bool = False, **chosen: Any) -> list[Leaked]:
    """Return the leaks that match a filter, newest first."""
    operation = leak_operations.ListLeaks(chosen=LeakFilter(**chosen), valid=valid, limit=100)
    return world.authority.perform(operation).leaks


def only(world: World) -> Leaked:
    """Return the only leak."""
    (leaked,) = listed(world)
    return leaked


def close(world: World, *numbers: int, **more: Any) -> leaks.ClosedLeaks:
    """Close leaks."""
    return world.authority.perform(leak_operations.CloseLeaks(numbers=numbers, reason="known", **more))


def prove(world: World) -> list[str]:
    """Record the proofs that are possible now, and return the ids of those credentials."""
    before = {one.leak.key for one in listed(world) if one.leak.proved_at is not None}
    count = world.authority.perform(leak_operations.ProveLeaks())
    found = [one for one in reversed(listed(world)) if one.leak.proved_at is not None]
    new = [one.leak.jti for one in found if one.leak.key not in before]
    assert (count, len(found)) == (len(new), len(before) + len(new))
    return new


def end(world: World, *ids: str) -> None:
    """Revoke credentials without proving their leaks, as a process does that is killed in between."""
    with world.ledger.write() as transaction:
        revocation.revoke(transaction, Selection(ids=ids), None, None)


def retire(world: World, task: str) -> None:
    """Retire a task in the same way."""
    with world.ledger.write() as transaction:
        task_sharing.retire(transaction, task, None)


def renew(world: World, token: str) -> str:
    """Renew a token, and return its successor."""
    issued = world.authority.perform(issue_operations.Renew(request=RenewRequest(Secret.single(token))))
    return issued.credentials[0].secret.reveal()


def operations(world: World) -> list[str]:
    """Return the operations in the audit log."""
    return [event["op"] for event in world.events()]


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
@pytest.mark.parametrize("dress", [str, lambda token: fingerprint(token).hex()], ids=["token", "fingerprint"])
def test_what_is_proved_to_have_been_there_is_recorded(world: World, kind: str, dress: Any) -> None:
    made = world.issue(kind=kind)
    came = add(world, f"Bearer {dress(made.token)}")
    assert list(came.credentials.values()) == [made.jti]
    assert len(came.new) == 1
    leaked = only(world)
    assert (leaked.leak.jti, leaked.leak.source, leaked.leak.reported_at) == (made.jti, "wiki", NOW)
    assert (leaked.reason, leaked.state, leaked.leak.proved_at) == (None, "active", None)
    event = world.events()[-1]
    assert (event["op"], event["count"], event["jtis"], event["reported"]) == ("leak", 1, [made.jti], NOW)
    world.check()


def test_another_signature_over_the_same_claims_is_recorded(world: World) -> None:
    """A token with ES256 has a second valid signature. The ledger does not know the fingerprint of that one."""
    world.terms = world.terms._replace(algorithms={"urn:aws": "ES256"})
    made = world.issue(audiences=("urn:aws",))
    body, _, signature = made.token.rpartition(".")
    raw = strict_json.b64url_decode(signature)
    other = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:])).to_bytes(32)
    assert list(add(world, f"{body}.{encode(other)}").credentials.values()) == [made.jti]


def test_what_anybody_could_have_written_is_recorded_only_if_it_is_believed(world: World) -> None:
    made = world.issue()
    forged = made.token[:-10] + "A" * 10
    for text in (made.token[:250], forged):
        came = add(world, text)
        assert (came.credentials, list(came.unproved.values()), came.new) == ({}, [made.jti], set())
    assert listed(world) == []
    assert "leak" not in operations(world)
    assert len(add(world, made.token[:250], unproved=True).new) == 1
    assert world.events()[-1]["unproved"] == 1


def test_an_id_is_no_evidence(world: World) -> None:
    """This holds even with `unproved`: ids are in every log."""
    made = world.issue(kind="opaque")
    came = add(world, f"{made.jti} {made.id}", unproved=True)
    assert (came.credentials, came.unproved, came.ids) == ({}, {}, 2)
    assert listed(world) == []
    assert add(world, f"{made.jti} {made.token}").ids == 1


def test_unknown_strings_are_counted_and_not_kept(world: World, tmp_path: Path) -> None:
    with World(tmp_path / "other") as other:
        foreign = [other.issue(kind=kind, task=f"T-{kind}").token for kind in ("opaque", "jwt")]
    mine = world.issue().token
    unknown = bytes(range(32)).hex()
    came = add(world, " ".join([*foreign, unknown, mine]))
    assert (came.unknown, len(came.new)) == (3, 1)
    assert world.events()[-1]["unknown"] == 3
    assert add(world, " ".join(foreign)).credentials == {}
    world.close()
    held = b"".join(path.read_bytes() for path in world.path.rglob("*") if path.is_file())
    for raw in (*(text.encode() for text in (*foreign, mine, unknown)), bytes(range(32))):
        assert raw not in held
    assert fingerprint(foreign[0]) not in held
    world.reopen()


def test_the_same_from_the_same_source_is_recorded_once(world: World) -> None:
    """The record stays unchanged. A report from another source is another leak."""
    made = world.issue()
    add(world, made.token)
    before = only(world)
    world.clock.now += 5
    came = add(world, f"{made.token} {fingerprint(made.token).hex()}", at=NOW + 3)
    assert (came.new, came.event, len(came.credentials), came.later) == (set(), None, 1, 0)
    assert only(world)._replace(now=before.now) == before
    assert len(add(world, made.token, "git").new) == 1
    assert [one.leak.source for one in listed(world)] == ["git", "wiki"]
    assert operations(world).count("leak") == 2


def test_a_report_that_would_be_earlier_is_told(world: World) -> None:
    made = world.issue()
    world.clock.now += 60
    add(world, made.token)
    assert add(world, made.token, at=NOW + 30).later == 1
    assert only(world).leak.reported_at == NOW + 60
    assert add(world, made.token, "git", at=NOW + 30).later == 0


def test_nothing_leaks_before_its_issue(world: World) -> None:
    made = world.issue()
    came = add(world, made.token, at=NOW - DAY)
    assert came.moved == 1
    assert only(world).leak.reported_at == NOW
    # A second report with the original time does not count as earlier.
    assert add(world, made.token, at=NOW - DAY).later == 0
    assert world.events()[-1]["reported"] == NOW - DAY
    world.check()


def test_no_report_is_of_the_future(world: World) -> None:
    made = world.issue()
    for text in (made.token, "nothing"):
        with pytest.raises(UsageError, match="in the future"):
            add(world, text, at=NOW + 1)
    assert listed(world) == []
    # The ledger's time counts, not the clock.
    world.clock.now -= 60
    assert len(add(world, made.token, at=NOW).new) == 1


@pytest.mark.parametrize("source", ["", "  ", "x" * (LONGEST_SOURCE + 1), "\udcff"])
def test_a_source_is_a_short_text(world: World, source: str) -> None:
    with pytest.raises(UsageError):
        add(world, world.issue().token, source)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_token_is_no_source(world: World, kind: str) -> None:
    made = world.issue(kind=kind)
    with pytest.raises(UsageError, match="a token was passed as the source") as caught:
        add(world, made.token, f"in {made.token}")
    assert made.token not in str(caught.value)


def test_a_dry_run_records_nothing(world: World) -> None:
    made = world.issue()
    head = world.head()
    assert len(add(world, made.token, dry_run=True).new) == 1
    assert (world.head(), listed(world)) == (head, [])
    add(world, made.token)
    assert add(world, made.token, dry_run=True).new == set()


ENDS: dict[str, Any] = {
    "revoked": lambda world, made: end(world, made.jti),
    "retired": lambda world, made: retire(world, "T1"),  # noqa: ARG005 - others of them take both
    "expired": lambda world, made: None,  # noqa: ARG005 - others of them take both
    "superseded": lambda world, made: renew(world, made.token),
}


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("recorded", [False, True], ids=["due", "recorded"])
def test_the_exposure_goes_from_the_report_to_the_end(world: World, state: str, recorded: bool) -> None:
    """It does not matter whether the end was recorded, or how much later the leak is shown."""
    made = world.issue(ttl=600)
    world.clock.now = NOW + 10
    add(world, made.token)
    world.clock.now = NOW + 110
    assert only(world).exposure == 100
    ENDS[state](world, made)
    dies = {"revoked": 110, "retired": 110, "expired": 600}.get(state)
    if dies is None:
        with world.ledger.read() as snapshot:
            dies = int(CredentialStore(snapshot).find_given([made.jti], ())[0].superseded_at or 0) - NOW
    world.clock.now = NOW + 3600
    if recorded:
        with world.ledger.write() as transaction:
            expiry.close_due(transaction, 9)
    leaked = only(world)
    assert (leaked.state, leaked.leak.dead_at, leaked.exposure) == (state, NOW + dies, dies - 10)
    assert leaked.reason is not None
    assert leaked.leak.proved_at is None
    assert prove(world) == [made.jti]
    assert only(world).leak.proved_at == NOW + 3600
    world.check()


def test_what_was_dead_before_the_report_was_not_exposed(world: World) -> None:
    made = world.issue()
    world.revoke(made.jti)
    world.clock.now += 60
    add(world, made.token)
    assert only(world).exposure == 0


def test_a_verifier_without_the_ledger_takes_it_until_its_expiry(world: World) -> None:
    signed, opaque = world.issue(), world.issue(kind="opaque")
    add(world, f"{signed.token} {opaque.token}")
    world.revoke(signed.jti, opaque.jti)
    told = {one.leak.jti: one.offline_until for one in listed(world)}
    assert told == {signed.jti: NOW + 900, opaque.jti: None}
    world.clock.now += 900
    assert [one.offline_until for one in listed(world)] == [None, None]


def test_a_proof_is_given_once_and_only_of_the_dead(world: World) -> None:
    alive, dead = world.issue(), world.issue(agent="other")
    add(world, f"{alive.token} {dead.token}")
    assert prove(world) == []
    end(world, dead.jti)
    world.clock.now += 7
    assert prove(world) == [dead.jti]
    head = world.head()
    assert prove(world) == []
    assert world.head() == head
    assert {one.leak.jti: one.leak.proved_at for one in listed(world)} == {alive.jti: None, dead.jti: NOW + 7}
    event = world.events()[-1]
    assert (event["op"], event["count"], event["jtis"]) == ("leak-proof", 1, [dead.jti])


def test_what_is_proved_is_refused_by_whoever_verifies(world: World) -> None:
    """A whole tree of credentials is proved, of which only the root was revoked."""
    made = world.chain(4)
    add(world, " ".join(one.token for one in made))
    end(world, made[0].jti)
    assert set(prove(world)) == {one.jti for one in made}
    for one in made:
        with pytest.raises(InvalidCredentialError):
            world.verify(one.token)


class Between:
    """A ledger in which an action happens between each view and the next write."""

    def __init__(self, ledger: Any, happens: Callable[[], None]) -> None:
        self._ledger = ledger
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def write(self, **more: Any) -> Any:
        """Perform the action, then open a transaction."""
        self._happens()
        return self._ledger.write(**more)


def many(world: World, count: int) -> list[str]:
    """Report `count` credentials as leaked, revoke them, and return their ids."""
    made = [world.issue(agent=f"a{number}") for number in range(count)]
    add(world, " ".join(one.token for one in made))
    end(world, *(one.jti for one in made))
    return [one.jti for one in made]


@pytest.mark.parametrize("size", range(1, 7))
def test_proofs_go_page_by_page(size: int, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page has its own event with the leaks of this page only, even if pages share one second."""
    monkeypatch.setattr(leaks, "PAGE", size)
    jtis = many(world, 2)
    add(world, world.issue(agent="alive").token)
    jtis += many(world, 3)
    assert prove(world) == jtis
    assert prove(world) == []
    events = world.authority.perform(
        integrity_operations.ReadLog(chosen=LogFilter(), limit=None, members=True)
    )
    told = [event for event in events if event["op"] == "leak-proof"]
    assert [event["members"] for event in told] == [
        jtis[start : start + size] for start in range(0, len(jtis), size)
    ]
    assert [event["members"] for event in told] == [event["jtis"] for event in told]
    world.check()
    # A proof that an edit moved within its second is found: the credential of the third leak is live.
    edit(world.path, f"UPDATE leak SET proved_at = CASE id WHEN 3 THEN {NOW} END WHERE id IN (3, 4)")
    with pytest.raises(IntegrityError):
        world.check()


def test_whoever_is_second_proves_what_is_left_of_each_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the read and the write, another process proves one of the leaks, or all of them."""
    monkeypatch.setattr(leaks, "PAGE", 3)
    jtis = many(world, 8)
    others: list[int] = []

    def some() -> None:
        with world.ledger.read() as snapshot:
            (leak,) = LeakStore(snapshot).unproved_leaks(0, 1)
        with world.ledger.write() as transaction:
            proved = LeakChanges(transaction).prove_leaks([leak.key])
            jti = [raw for _, raw in proved]
            told = {"count": 1, "jtis": [leak.jti], "proved": ended_digest(jti)}
            transaction.append("leak-proof", {**told, "first": leak.key, "last": leak.key})
        others.append(leak.key)

    assert leaks.prove(Between(world.ledger, some)) == 5
    assert others == [1, 4, 7]
    world.check()
    assert sum(event["count"] for event in world.events() if event["op"] == "leak-proof") == len(jtis)
    again = many(world, 4)
    counts: list[int] = []
    assert leaks.prove(Between(world.ledger, lambda: counts.append(leaks.prove(world.ledger)))) == 0
    assert counts == [len(again)]
    world.check()


def test_proofs_of_one_second_with_mingled_numbers_verify(world: World) -> None:
    """The events do not say which proof belongs to which, but the number of proofs must match."""
    made = [world.issue(agent=f"a{number}") for number in range(3)]
    add(world, " ".join(one.token for one in made))
    end(world, made[0].jti, made[2].jti)
    assert len(prove(world)) == 2
    end(world, made[1].jti)
    assert len(prove(world)) == 1
    world.check()
    edit(world.path, "UPDATE leak SET proved_at = NULL WHERE id = 2")
    with pytest.raises(IntegrityError):
        world.check()


def test_an_early_proof_that_names_no_numbers_verifies(world: World) -> None:
    many(world, 2)
    add(world, world.issue(agent="alive").token)
    with world.ledger.write() as transaction:
        proved = LeakChanges(transaction).prove_leaks([1, 2])
        told = {"count": 2, "jtis": [], "proved": ended_digest([jti for _, jti in proved])}
        transaction.append("leak-proof", told)
    world.check()
    (event,) = world.authority.perform(
        integrity_operations.ReadLog(chosen=LogFilter(operation="leak-proof"), limit=None, members=True)
    )
    assert len(event["members"]) == 2
    edit(world.path, f"UPDATE leak SET proved_at = CASE id WHEN 3 THEN {NOW} END WHERE id IN (2, 3)")
    with pytest.raises(IntegrityError):
        world.check()


@pytest.mark.usefixtures("kept_in")
def test_two_proofs_within_one_second_verify(world: World) -> None:
    first, second = world.issue(), world.issue(agent="b")
    add(world, f"{first.token} {second.token}")
    for one in (second, first):
        end(world, one.jti)
        assert prove(world) == [one.jti]
    world.check()


def test_what_still_works_is_not_closed(world: World) -> None:
    valid, dead = world.issue(), world.issue(agent="b")
    add(world, f"{valid.token} {dead.token}")
    world.revoke(dead.jti)
    with pytest.raises(UsageError, match="still works") as caught:
        close(world, 1, 2)
    assert caught.value.hint == f"jitid revoke {valid.jti}"
    assert [one.leak.closed_at for one in listed(world)] == [None, None]
    assert tuple(close(world, 1, 2, valid_too=True))[:3] == (2, 0, 1)
    assert world.events()[-1]["valid"] == 1
    world.check()


def test_closing_twice_is_no_error(world: World) -> None:
    made = world.issue()
    add(world, made.token)
    world.revoke(made.jti)
    assert close(world, 1).closed == 1
    head = world.head()
    world.clock.now += 5
    assert tuple(close(world, 1)) == (0, 1, 0, 0, None)
    assert world.head() == head
    assert only(world).leak.closed_at == NOW


def test_a_jti_closes_all_its_leaks(world: World) -> None:
    made = world.issue()
    for source in ("a", "b"):
        add(world, made.token, source)
    world.revoke(made.jti)
    done = world.authority.perform(leak_operations.CloseLeaks(numbers=(1,), jtis=(made.jti,), reason="known"))
    assert done.closed == 2


def test_nothing_is_closed_if_one_of_them_is_unknown(world: World) -> None:
    made, other = world.issue(), world.issue()
    add(world, made.token)
    world.revoke(made.jti)
    for named in ({"numbers": (1, 2)}, {"numbers": (1,), "jtis": (other.jti,)}):
        with pytest.raises(NotFoundError):
            world.authority.perform(leak_operations.CloseLeaks(reason="known", **named))
    with pytest.raises(UsageError):
        world.authority.perform(leak_operations.CloseLeaks(reason="known"))
    assert only(world).leak.closed_at is None


def test_every_filter_narrows(world: World) -> None:
    one = world.issue(task="A")
    two = world.issue(task="B")
    add(world, one.token, "a")
    world.clock.now += 10
    add(world, f"{one.token} {two.token}", "b")
    world.revoke(one.jti)
    close(world, 1)

    def numbers(**chosen: Any) -> list[int]:
        return [each.leak.key for each in listed(world, **chosen)]

    assert numbers() == [3, 2, 1]
    assert numbers(open=True) == [3, 2]
    assert numbers(valid=True) == [3]
    assert numbers(source="b") == [3, 2]
    assert numbers(source="B") == []
    assert numbers(task="A") == [2, 1]
    assert numbers(task="none") == []
    assert numbers(since=NOW + 10) == [3, 2]
    assert numbers(until=NOW + 10) == [1]
    assert numbers(before=3) == [2, 1]
    assert numbers(jtis=(one.jti,), numbers=(3,)) == [3, 2, 1]
    assert numbers(task="A", open=True, source="b") == [2]


def test_pages_join_without_a_gap(world: World) -> None:
    for number in range(5):
        add(world, world.issue(agent=f"a{number}").token)
    before, seen = None, []
    while True:
        page = world.authority.perform(leak_operations.ListLeaks(chosen=LeakFilter(before=before), limit=2))
        seen += [one.leak.key for one in page.leaks]
        before = page.before
        if before is None:
            break
    assert seen == [5, 4, 3, 2, 1]


def test_all_about_a_leak_names_who_did_what(world: World) -> None:
    made = world.chain(2)[1]
    add(world, made.token)
    world.revoke(made.jti, reason="leaked")
    close(world, 1)
    (told,) = world.authority.perform(leak_operations.ShowLeaks(jtis=(made.jti,)))
    assert [one.agent for one in told.lineage] == ["planner"]
    assert (told.event["op"], told.closed_event["reason"], told.ended_event["reason"]) == (
        "leak",
        "known",
        "leaked",
    )


def test_members_name_what_leaked(world: World) -> None:
    made = world.issue()
    add(world, made.token)
    world.revoke(made.jti)
    prove(world)
    close(world, 1)
    events = world.authority.perform(
        integrity_operations.ReadLog(chosen=LogFilter(), limit=None, members=True)
    )
    told = {event["op"]: event["members"] for event in events if event["op"].startswith("leak")}
    assert told == {name: [made.jti] for name in ("leak", "leak-proof", "leak-close")}


CHANGES = [
    "DELETE FROM leak WHERE id = 2",
    "DELETE FROM leak",
    "UPDATE leak SET source = 'elsewhere' WHERE id = 1",
    "UPDATE leak SET reported_at = reported_at + 1 WHERE id = 1",
    "UPDATE leak SET added_at = added_at - 1 WHERE id = 1",
    "UPDATE leak SET event = 1 WHERE id = 2",
    "UPDATE leak SET credential = 3 WHERE id = 1",
    "UPDATE leak SET credential = 99 WHERE id = 1",
    "UPDATE leak SET proved_at = NULL WHERE id = 1",
    "UPDATE leak SET proved_at = proved_at + 1 WHERE id = 1",
    "UPDATE leak SET proved_at = 1 WHERE id = 2",
    "UPDATE leak SET closed_at = NULL, closed_event = NULL WHERE id = 1",
    "UPDATE leak SET closed_at = closed_at + 1 WHERE id = 1",
    "UPDATE leak SET closed_event = NULL WHERE id = 1",
    "UPDATE leak SET closed_at = 1, closed_event = 2 WHERE id = 2",
    "INSERT INTO leak (credential, source, reported_at, added_at, event) SELECT 3, 'x', 1, 1, 1",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_leak_that_was_changed_behind_the_ledgers_back_is_found(world: World, change: str) -> None:
    first, second, third = (world.issue(agent=f"a{number}") for number in range(3))
    add(world, f"{first.token} {second.token}")
    add(world, second.token, "git")
    world.revoke(first.jti, third.jti)
    prove(world)
    close(world, 1)
    world.check()
    edit(world.path, change)
    with pytest.raises(IntegrityError):
        world.check()


def test_a_report_that_is_forged_in_a_text_deceives_nobody(world: World) -> None:
    """Text in a source or a reason cannot become a member of the event."""
    made = world.issue()
    add(world, made.token, '","op":"leak","count":9,"issued":"x"')
    world.revoke(made.jti, reason='","op":"leak-close","closed":"x"')
    world.check()


def test_a_leak_is_not_over_while_its_identity_lives(world: World) -> None:
    """The holder of the leaked string may have credentials that it obtained with it."""
    world.terms = world.terms._replace(overlap=1)
    made = world.issue(kind="opaque")
    add(world, made.token)
    child = world.issue(parent=made.token, agent="mole", kind="opaque")
    successor = renew(world, made.token)
    assert only(world).leak.kin == Kin(1, 1, NOW + 900)
    world.clock.now += 10
    leaked = only(world)
    assert (leaked.leak.dead_at, leaked.leak.kin, leaked.leak.has_live_kin) == (
        NOW + 1,
        Kin(1, 1, NOW + 900),
        True,
    )
    assert leaked.exposure == 1
    assert prove(world) == []
    world.revoke(child.jti)
    assert only(world).leak.kin == Kin(1, 0, NOW + 900)
    assert only(world).leak.proved_at is None
    world.revoke(made.jti)
    leaked = only(world)
    assert (leaked.leak.kin, leaked.leak.has_live_kin, leaked.leak.proved_at) == (None, False, NOW + 10)
    with pytest.raises(InvalidCredentialError):
        world.verify(successor)
    world.check()


def test_what_lives_below_the_dead_is_seen(world: World) -> None:
    made = world.chain(4, kind="opaque")
    add(world, made[0].token)
    dead = ", ".join(f"x'{parse_id(one.jti)[1].hex()}'" for one in made[:3])
    edit(world.path, f"UPDATE credential SET ended_at = {NOW}, ended_as = 'expired' WHERE jti IN ({dead})")
    assert only(world).leak.kin == Kin(0, 1, NOW + 900)
    assert world.authority.perform(leak_operations.ProveLeaks()) == 0


def test_what_was_made_before_in_a_circle_is_seen_once(world: World) -> None:
    """The parents in a damaged ledger may form a circle."""
    made = world.chain(3, kind="opaque")
    add(world, made[1].token)
    edit(world.path, "UPDATE identity SET parent = 3, depth = 0 WHERE id = 1")
    assert only(world).leak.kin == Kin(0, 2, NOW + 900)


def test_who_renewed_it_himself_closes_it(world: World) -> None:
    world.terms = world.terms._replace(overlap=0)
    made = world.issue()
    add(world, made.token)
    renew(world, made.token)
    assert tuple(close(world, 1))[:4] == (1, 0, 0, 1)
    assert world.events()[-1]["living"] == 1
    assert prove(world) == []
    world.check()


def test_what_is_reported_again_after_it_was_closed_is_open_again(world: World) -> None:
    """The closed leak stays unchanged."""
    made = world.issue()
    world.clock.now += 60
    add(world, made.token)
    close(world, 1, valid_too=True)
    before = only(world)
    came = add(world, made.token, dry_run=True)
    assert (list(came.credentials.values()), len(came.new)) == ([made.jti], 1)
    came = add(world, made.token, at=NOW + 30)
    assert (len(came.new), came.later) == (1, 0)
    assert add(world, made.token, at=NOW + 40).new == set()
    new, old = listed(world)
    assert old._replace(now=before.now) == before
    assert (new.leak.key, new.leak.reported_at, new.leak.closed_at) == (2, NOW + 30, None)
    assert [one.leak.key for one in listed(world, open=True)] == [2]
    assert add(world, made.token, at=NOW + 20).later == 1
    world.check()


PROVING: dict[str, Any] = {
    "revoke": lambda world, made: world.revoke(made.jti),
    "revoke it twice": lambda world, made: [world.revoke(made.jti) for _ in range(2)],
    "retire": lambda world, made: world.retire("T1"),  # noqa: ARG005 - others of them take both
    "revoke its key": lambda world, made: world.authority.perform(
        trust_operations.RevokeKey(kid=jws.parse(made.token, types=jws.TOKENS).kid, reason=None, most=None)
    ),
}


@pytest.mark.parametrize("way", PROVING)
def test_whatever_ends_what_leaked_proves_it(world: World, way: str) -> None:
    made = world.issue()
    add(world, made.token)
    PROVING[way](world, made)
    assert only(world).leak.proved_at == NOW
    assert operations(world).count("leak-proof") == 1
    world.check()


def test_an_end_proves_nothing_where_nothing_that_leaked_is_dead(world: World) -> None:
    alive, other = world.issue(), world.issue(task="T2")
    add(world, alive.token)
    world.revoke(other.jti)
    world.retire("T2")
    assert "leak-proof" not in operations(world)


def test_what_has_ended_has_ended_whatever_becomes_of_its_proof(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.issue()
    add(world, made.token)

    def fail(*_: Any, **__: Any) -> int:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(leaks, "prove", fail)
        ended = world.revoke(made.jti)
    assert (ended.credentials, ended.unproved) == (1, "the disk is full")
    assert only(world).leak.proved_at is None
    # The next revocation records the missing proof.
    assert world.revoke(made.jti).unproved is None
    assert only(world).leak.proved_at == NOW


class Held(NamedTuple):
    """A token, with its own identity and the identities above it."""

    token: str
    jti: str
    identities: frozenset[str]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["issue", "below", "renew", "add", "revoke", "prove", "close", "wait"]),
        st.integers(0, 3),
    ),
    max_size=25,
)


@pytest.mark.deep
@settings(max_examples=40)
@given(steps=STEPS)
def test_whatever_happens_the_log_holds_and_proofs_are_true(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A leak is proved only if no credential of its identity or below works. Each proof has its event.

    A sweep finds exactly the open leaks with a live credential.
    """
    with World(tmp_path_factory.mktemp("leaks") / "ledger", overlap=10) as world:
        made = [_held(world.issue(kind="opaque", agent="first", ttl=60))]
        for what, number in steps:
            one = made[number % len(made)]
            more = {"kind": "opaque", "agent": f"a{len(made)}", "ttl": 60}
            match what:
                case "issue":
                    made.append(_held(world.issue(**more)))
                case "below" if _works(world, one):
                    made.append(_held(world.issue(parent=one.token, **more), one.identities))
                case "renew" if _works(world, one) and (token := _renewed(world, one)):
                    made.append(token)
                case "add":
                    add(world, " ".join(each.token for each in made[: number + 1]), f"s{number}")
                case "revoke":
                    world.revoke(one.jti)
                case "prove":
                    prove(world)
                case "close" if leaked := listed(world, jtis=(one.jti,)):
                    close(world, leaked[0].leak.key, valid_too=True)
                case "wait":
                    world.clock.now += 20
        world.check()
        tokens = {one.jti: one for one in made}
        over = set()
        for each in listed(world):
            kept = [one for one in made if each.credential.id in one.identities and _works(world, one)]
            assert (each.reason is None) == _works(world, tokens[each.leak.jti])
            assert (each.leak.kin is None) == (not kept)
            assert each.leak.proved_at is None or not kept
            assert each.reason is None or each.leak.dead_at is not None
            if kept and each.leak.closed_at is None:
                over.add(each.leak.jti)
        assert {each.subject for each in found(world, "leaked-live")} == over
        fixed(world, "leaked-live")
        assert found(world, "leaked-live") == []
        prove(world)
        assert all(each.leak.proved_at is not None for each in listed(world, open=True))


def _held(made: Made, above: frozenset[str] = frozenset()) -> Held:
    return Held(made.token, made.jti, above | {made.id})


def _renewed(world: World, one: Held) -> Held | None:
    try:
        issued = world.authority.perform(
            issue_operations.Renew(request=RenewRequest(Secret.single(one.token)))
        )
    except PolicyDeniedError:
        return None
    (successor,) = issued.credentials
    return Held(successor.secret.reveal(), successor.jti, one.identities)


def _works(world: World, one: Held) -> bool:
    try:
        world.verify(one.token)
    except InvalidCredentialError:
        return False
    return True
