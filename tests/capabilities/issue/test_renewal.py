"""Renewal: decided again, limited by policy, task and lineage. The predecessor ends, and the children stay."""

from __future__ import annotations

import pytest

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.integrity.store import RowStore
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.trust import operations as trust_operations
from jitid.errors import InvalidCredentialError, NotFoundError, PolicyDeniedError, UsageError
from jitid.ledger.signing_keys import KeyStore
from jitid.model.process import Process
from jitid.model.request import RenewRequest
from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.values.ids import parse_id
from jitid.values.secret import Secret
from tests.builders import NOW, Made, World, edit, policed

OVERLAP = 30
HOUR = 3600
NO_B = """@id("no-b") forbid (principal, action == Action::"grant", resource)
    when { context.scope == "repo:b" %s };"""


def renew(world: World, token: str, ttl: int | None = None, *, narrower: bool = False) -> Made:
    """Renew as `jitid renew` does."""
    issued = world.authority.perform(
        issue_operations.Renew(request=RenewRequest(Secret.single(token), ttl, narrower))
    )
    (one,) = issued.credentials
    return Made(one.secret.reveal(), one.id, one.jti, issued)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_successor_is_the_same_identity_with_a_new_secret(world: World, kind: str) -> None:
    first = world.issue(kind=kind, scopes=("repo:*",), details=({"type": "x"},))
    world.clock.now += 600
    second = renew(world, first.token)
    old, new = (world.verify(one.token) for one in (first, second))
    assert (new.id, new.kind, new.scopes, new.audiences, new.details) == (
        old.id,
        old.kind,
        old.scopes,
        old.audiences,
        old.details,
    )
    assert second.token != first.token
    assert (new.issued_at, new.expires_at) == (NOW + 600, NOW + 1500)
    assert world.check() > 0


def test_the_predecessor_works_for_the_overlap_and_no_longer(world: World) -> None:
    first = world.issue()
    second = renew(world, first.token)
    world.clock.now += OVERLAP - 1
    world.verify(first.token)
    world.clock.now += 1
    with pytest.raises(InvalidCredentialError, match="superseded"):
        world.verify(first.token)
    world.verify(second.token)


def test_what_was_superseded_is_recorded_by_the_next_writer(world: World) -> None:
    first = world.issue()
    renew(world, first.token)
    world.clock.now += OVERLAP
    world.issue(task="T2")
    found = world.authority.perform(inventory_operations.Inspect(id=first.jti)).credential
    assert (found.ended_as, found.ended_at) == ("superseded", NOW + OVERLAP)
    assert [event["op"] for event in world.events()][-3:] == ["renew", "supersede", "issue"]
    world.check()


def test_the_overlap_is_no_longer_than_the_predecessors_life(world: World) -> None:
    first = world.issue(ttl=20)
    world.clock.now += 5
    renew(world, first.token)
    world.clock.now += 15
    with pytest.raises(InvalidCredentialError):
        world.verify(first.token)


def test_children_of_the_identity_live_on(world: World) -> None:
    chain = world.chain(3, scopes=("repo:*",))
    renew(world, chain[0].token)
    renew(world, chain[1].token)
    world.clock.now += OVERLAP + 1
    world.verify(chain[2].token)
    assert world.authority.perform(inventory_operations.Inspect(id=chain[0].id)).live_descendants == 2


def test_revoking_the_successor_ends_the_identity_and_what_is_below(world: World) -> None:
    parent, child = world.chain(2)
    second = renew(world, parent.token)
    assert world.revoke(second.jti).credentials == 3
    for made in (parent, second, child):
        with pytest.raises(InvalidCredentialError):
            world.verify(made.token)


def test_nothing_outlives_the_hard_maximum(world: World) -> None:
    """The limit for `moderate` is an hour, counted from the first issue."""
    made = world.issue(ttl=1500)
    for step in range(3):
        world.clock.now += 1000
        made = renew(world, made.token, 1500)
        assert made.issued.expires_at == min(NOW + (step + 1) * 1000 + 1500, NOW + HOUR)
        assert made.issued.maximum == NOW + HOUR
    world.clock.now = NOW + HOUR - 1
    with pytest.raises(PolicyDeniedError, match="counted from the first issue"):
        renew(world, made.token)
    world.verify(made.token)
    world.clock.now += 1
    with pytest.raises(InvalidCredentialError):
        world.verify(made.token)


def test_the_hard_maximum_is_todays(world: World) -> None:
    """A stricter policy shortens credentials that are renewed under it."""
    made = world.issue()
    world.terms = world.terms._replace(
        policy=Policy((("a.cedar", '@id("a") @max_ttl("1000s") permit (principal, action, resource);'),))
    )
    world.authority._terms = None
    world.clock.now += 600
    assert renew(world, made.token).issued.expires_at == NOW + 1000


def test_nothing_outlives_the_task(lenient: World) -> None:
    made = lenient.issue(deadline=NOW + 1000)
    lenient.clock.now += 600
    made = renew(lenient, made.token)
    assert made.issued.expires_at == NOW + 1000
    lenient.clock.now += 300
    with pytest.raises(PolicyDeniedError, match="the task's deadline"):
        renew(lenient, made.token)


def test_nothing_outlives_its_parent(lenient: World) -> None:
    parent, child = lenient.chain(2)
    lenient.clock.now += 600
    with pytest.raises(PolicyDeniedError, match="the parent's expiry"):
        renew(lenient, child.token)
    renew(lenient, parent.token)
    assert renew(lenient, child.token).issued.expires_at == NOW + 1500


@pytest.mark.parametrize("what", ["revoked", "retired", "expired", "ancestor", "key"])
def test_a_dead_lineage_is_not_renewed(world: World, what: str) -> None:
    chain = world.chain(3)
    match what:
        case "revoked":
            world.revoke(chain[2].id)
        case "retired":
            world.retire("T1")
        case "expired":
            world.clock.now += 900
        case "ancestor":
            world.revoke(chain[0].id)
        case "key":
            with world.ledger.read() as snapshot:
                (key,) = KeyStore(snapshot).signing_keys()
            world.authority.perform(trust_operations.RevokeKey(kid=key.kid, most=None))
    head = world.head()
    with pytest.raises(InvalidCredentialError):
        renew(world, chain[2].token)
    assert world.events()[-1]["op"] == "denial"
    assert world.head().seq == head.seq + (2 if what == "expired" else 1)


def test_a_renewal_is_decided_by_todays_policy(world: World) -> None:
    made = world.issue(scopes=("repo:a", "repo:b"))
    world.terms = policed(world.terms, (*default_files(), ("b.cedar", NO_B % "")))
    world.authority._terms = None
    with pytest.raises(PolicyDeniedError, match="no-b"):
        renew(world, made.token)
    narrower = renew(world, made.token, narrower=True)
    assert narrower.issued.scopes == ("repo:a",)
    world.check()


def test_a_child_holds_no_more_than_its_parent_holds_now(world: World) -> None:
    """The parent was renewed with fewer scopes. The child cannot renew the scope that the parent lost."""
    parent = world.issue(scopes=("repo:a", "repo:b"))
    child = world.issue(parent=parent.token, scopes=("repo:a", "repo:b"))
    world.terms = policed(world.terms, (*default_files(), ("b.cedar", NO_B % "&& context.depth == 0")))
    world.authority._terms = None
    renew(world, parent.token, narrower=True)
    world.clock.now += OVERLAP
    with pytest.raises(InvalidCredentialError, match="does not have"):
        renew(world, child.token)


def test_floors_are_asked_as_they_are_now(world: World) -> None:
    made = world.issue(scopes=("prod:read",))
    world.terms = world.terms._replace(scope_floors={"prod:*": "high"})
    world.authority._terms = None
    with pytest.raises(PolicyDeniedError, match="high"):
        renew(world, made.token)


def test_a_shorter_successor_may_be_asked_for(world: World) -> None:
    made = world.issue()
    with pytest.raises(UsageError):
        renew(world, made.token, 0)
    assert renew(world, made.token, 60).issued.expires_at == NOW + 60


def test_a_credential_is_renewed_once(world: World) -> None:
    """A second successor would be a second, hidden line with the same right."""
    first = world.issue()
    second = renew(world, first.token)
    with pytest.raises(PolicyDeniedError, match="renewed-twice"):
        renew(world, first.token)
    denial = world.events()[-1]
    assert (denial["op"], denial["rules"], denial["of"]) == ("denial", ["renewed-twice"], first.jti)
    third = renew(world, second.token)
    world.clock.now += OVERLAP
    for dead in (first, second):
        with pytest.raises(InvalidCredentialError, match="superseded"):
            world.verify(dead.token)
    world.verify(third.token)
    world.check()


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_second_renewal_is_one_after_the_overlap_too(world: World, kind: str) -> None:
    """A thief may wait. If no credential of the line is live, there is no right to steal."""
    first = world.issue(kind=kind, ttl=300)
    second = renew(world, first.token)
    world.clock.now += OVERLAP + 1
    with pytest.raises(PolicyDeniedError, match="renewed-twice"):
        renew(world, first.token)
    with world.ledger.read() as snapshot:
        assert set(RowStore(snapshot).reused()) == {parse_id(first.jti)[1]}
    assert world.verify(second.token)
    world.clock.now += 300
    with pytest.raises(InvalidCredentialError):
        renew(world, first.token)
    world.check()


def test_an_abandoned_renewal_leaves_its_predecessor_as_it_was(world: World) -> None:
    first = world.issue()
    child = world.issue(parent=first.token)
    second = renew(world, first.token)
    world.authority.perform(issue_operations.AbandonRenewal(token=Secret.single(second.token)))
    world.clock.now += OVERLAP + 1
    world.verify(first.token)
    world.verify(child.token)
    with pytest.raises(InvalidCredentialError, match="revoked"):
        world.verify(second.token)
    world.check()
    head = world.head()
    world.authority.perform(issue_operations.AbandonRenewal(token=Secret.single(second.token)))
    assert world.head() == head
    with pytest.raises(NotFoundError):
        world.authority.perform(issue_operations.AbandonRenewal(token=Secret.single(first.token)))


def test_abandoning_too_late_does_not_raise_the_dead(world: World) -> None:
    first = world.issue()
    second = renew(world, first.token)
    world.clock.now += OVERLAP
    world.authority.perform(issue_operations.AbandonRenewal(token=Secret.single(second.token)))
    for dead in (first, second):
        with pytest.raises(InvalidCredentialError):
            world.verify(dead.token)
    # Its row still has the time when it was superseded, as the event of the renewal says.
    world.check()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credential SET superseded_at = NULL WHERE id = 1",
        "UPDATE credential SET superseded_at = superseded_at + 1000 WHERE id = 1",
        "UPDATE credential SET expires_at = expires_at + 1 WHERE id = 2",
        "UPDATE credential SET scopes = 'root:*' WHERE id = 2",
        "DELETE FROM credential WHERE id = 2",
    ],
)
def test_a_change_behind_the_ledgers_back_is_found(world: World, change: str) -> None:
    first = world.issue()
    renew(world, first.token)
    world.close()
    edit(world.path, change)
    world.reopen()
    with pytest.raises(Exception, match="event 3"):
        world.check()


def test_a_process_is_remembered_with_its_identity_and_its_successors(world: World) -> None:
    process = Process("host", "boot", 7, 42, 99, kept=True)
    made = world.issue(process=process)
    second = renew(world, made.token)
    for jti in (made.jti, second.jti):
        assert world.authority.perform(inventory_operations.Inspect(id=jti)).credential.process == process
    assert world.events()[1]["process"]["pid"] == 42
    world.issue(task="T2")
    chosen = inventory_operations.ListCredentials(
        chosen=Filter(live=True, bound=True), sort="issued_at", descending=False, after=None, limit=10
    )
    assert [row.jti for row in world.authority.perform(chosen).credentials] == [made.jti, second.jti]


def test_abandoning_what_has_a_successor_restores_nothing(world: World) -> None:
    first = world.issue()
    second = renew(world, first.token)
    third = renew(world, second.token)
    world.authority.perform(issue_operations.AbandonRenewal(token=Secret.single(second.token)))
    world.clock.now += OVERLAP
    with pytest.raises(InvalidCredentialError, match="superseded"):
        world.verify(first.token)
    world.verify(third.token)
    world.check()


def test_a_child_lives_no_longer_than_its_parents_successor(world: World) -> None:
    """The parent's older token works during the overlap, and delegates no more than the new one holds."""
    parent = world.issue(scopes=("repo:*",))
    older = world.issue(parent=parent.token, scopes=("repo:a",))
    renew(world, parent.token, 60)
    child = world.issue(parent=parent.token, scopes=("repo:a",))
    assert child.issued.expires_at == NOW + 60
    with pytest.raises(PolicyDeniedError, match="the parent's expiry"):
        renew(world, older.token)


def test_a_narrowed_parent_hands_on_no_more_than_it_holds(world: World) -> None:
    parent = world.issue(scopes=("repo:a", "repo:b"))
    world.terms = policed(world.terms, (*default_files(), ("b.cedar", NO_B % "&& context.depth == 0")))
    world.authority._terms = None
    renew(world, parent.token, narrower=True)
    with pytest.raises(PolicyDeniedError, match="attenuation"):
        world.issue(parent=parent.token, scopes=("repo:b",))


def test_a_clock_that_was_set_back_does_not_raise_the_maximum(world: World) -> None:
    """A credential that was issued later than the current time cannot be renewed either."""
    made = world.issue(kind="opaque", ttl=HOUR, deadline=NOW + 10 * 86_400)
    world.clock.now -= 2 * 86_400
    with pytest.raises(InvalidCredentialError, match="not valid yet"):
        world.authority.perform(
            issue_operations.Renew(
                request=RenewRequest(Secret.single(made.token), 3 * 86_400), accept_clock=True
            )
        )
