"""Lines of credentials: no combination of renewal, attachment and delegation gains a right."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitid.capabilities.identity import validity
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.operations import Attach
from jitid.errors import IntegrityError, InvalidCredentialError, JitidError, PolicyDeniedError
from jitid.ledger.sqlite.folder import DATABASE
from jitid.model.credential import Credential
from jitid.model.request import AttachRequest, RenewRequest
from jitid.values.ids import parse_id
from jitid.values.scope import Scope, uncovered
from jitid.values.secret import Secret
from tests.builders import NAMES, NOW, Made, World, edit, policed

OVERLAP = 30
API = "urn:api"
ALL = """@id("all") permit(principal, action, resource);"""
NO_B = """@id("no-b") forbid(principal, action == Action::"grant", resource) when { context.scope == "b" };"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "ledger", policy=[("p.cedar", ALL)]) as world:
        yield world


both_ledgers = pytest.mark.usefixtures("kept_in")


def renew(world: World, made: Made, ttl: int | None = None, *, narrower: bool = False) -> Made:
    """Renew as `jitid renew` does."""
    request = RenewRequest(Secret.single(made.token), ttl, narrower)
    issued = world.authority.perform(issue_operations.Renew(request=request))
    (one,) = issued.credentials
    return Made(one.secret.reveal(), one.id, one.jti, issued)


def attach(world: World, made: Made, *scopes: str, ttl: int | None = None, kind: str = "opaque") -> Made:
    """Attach a credential to the identity of another credential."""
    request = AttachRequest(
        Secret.single(made.token),
        kind,
        scopes=tuple(Scope(scope) for scope in scopes),
        audiences=(API,),
        ttl=ttl,
    )
    issued = world.authority.perform(Attach(request=request))
    (one,) = issued.credentials
    return Made(one.secret.reveal(), one.id, one.jti, issued)


def issue(world: World, **fields: Any) -> Made:
    """Issue an identity token. Its holder can obtain tokens for a service."""
    return world.issue(may_audience=(API,), **fields)


def verify(world: World, made: Made) -> Credential:
    """Verify a token for the authority or for the service."""
    return world.verify(made.token, API, NAMES.issuer)


def scopes_of(world: World, made: Made) -> tuple[str, ...]:
    """Return the scopes that a token has now."""
    return verify(world, made).scopes


def narrow(world: World) -> None:
    """Forbid new grants of `b` from now on."""
    world.terms = policed(world.terms, [("p.cedar", ALL + NO_B)])
    world.authority._terms = None


@both_ledgers
def test_renewing_the_wide_one_does_not_widen_the_narrow_one(world: World) -> None:
    wide = issue(world, scopes=("a", "b"))
    small = attach(world, wide, "a")
    renewed = renew(world, wide)
    assert scopes_of(world, small) == ("a",)
    assert scopes_of(world, renewed) == ("a", "b")
    with pytest.raises(PolicyDeniedError, match="attenuation"):
        issue(world, parent=small.token, scopes=("b",))
    with pytest.raises(PolicyDeniedError, match="attenuation"):
        attach(world, small, "b")
    assert issue(world, parent=small.token, scopes=("a",)).issued.scopes == ("a",)
    world.check()


@both_ledgers
def test_renewing_the_narrow_one_leaves_the_wide_one_alone(world: World) -> None:
    wide = issue(world, scopes=("a", "b"), kind="opaque")
    child = issue(world, parent=wide.token, scopes=("b",))
    small = attach(world, wide, "a")
    world.clock.now += 10
    with pytest.raises(PolicyDeniedError, match="does not permit a later expiry"):
        renew(world, small)
    renew(world, wide)
    again = renew(world, small)
    world.clock.now += OVERLAP + 1
    with pytest.raises(InvalidCredentialError, match="superseded"):
        verify(world, small)
    assert scopes_of(world, again) == ("a",)
    assert scopes_of(world, child) == ("b",)
    world.check()


@both_ledgers
def test_a_right_that_was_withdrawn_survives_through_no_attachment(world: World) -> None:
    wide = issue(world, scopes=("a", "b"))
    kept, lost = (issue(world, parent=wide.token, scopes=(scope,)) for scope in ("a", "b"))
    beside, gone = attach(world, wide, "a"), attach(world, wide, "b")
    narrow(world)
    assert renew(world, wide, narrower=True).issued.scopes == ("a",)
    for made in (kept, beside):
        assert scopes_of(world, made) == ("a",)
    for made in (lost, gone):
        with pytest.raises(InvalidCredentialError, match="does not have"):
            verify(world, made)
    # The old token still works during the overlap, with no more scopes than its successor.
    assert scopes_of(world, wide) == ("a",)
    with pytest.raises(PolicyDeniedError, match="attenuation"):
        issue(world, parent=wide.token, scopes=("b",))
    world.check()


def test_nothing_in_common_is_no_right(world: World) -> None:
    wide = issue(world, scopes=("a", "b"))
    narrow(world)
    renewed = renew(world, wide, narrower=True)
    edit(world.path, f"UPDATE credential SET scopes = '' WHERE jti = x'{_raw(renewed)}'")
    assert scopes_of(world, wide) == ()
    assert attach(world, wide).issued.scopes == ()
    assert issue(world, parent=wide.token).issued.scopes == ()


def _raw(made: Made) -> str:
    from jitid.values.ids import parse_id

    return parse_id(made.jti)[1].hex()


@both_ledgers
def test_an_attachment_expires_no_later_than_what_it_was_made_from(world: World) -> None:
    short = issue(world, ttl=20)
    made = attach(world, short, ttl=900)
    assert made.issued.expires_at == NOW + 20
    world.clock.now += 5
    with pytest.raises(PolicyDeniedError, match="does not permit a later expiry"):
        renew(world, made, 900)
    world.check()


@both_ledgers
def test_an_attachment_ends_with_the_line_that_it_was_made_from(world: World) -> None:
    """This holds also if the line ends early, because its head was renewed for a short time."""
    held = issue(world, ttl=900)
    made = attach(world, held, ttl=900)
    child = issue(world, parent=made.token)
    renew(world, held, 60)
    world.clock.now += 60
    for dead in (held, made, child):
        with pytest.raises(InvalidCredentialError):
            verify(world, dead)
    world.check()


@both_ledgers
def test_what_is_delegated_from_an_attachment_is_judged_by_that(world: World) -> None:
    wide = issue(world, scopes=("a", "b"))
    small = attach(world, wide, "a", ttl=100)
    child = issue(world, parent=small.token, scopes=("a",), kind="opaque")
    assert child.issued.expires_at == NOW + 100
    world.clock.now += 50
    renew(world, wide)
    with pytest.raises(PolicyDeniedError, match="the parent's expiry"):
        renew(world, child)
    later = renew(world, small)
    assert later.issued.expires_at == NOW + 150
    assert renew(world, child).issued.expires_at == NOW + 150
    world.authority.perform(inventory_operations.Retire(task="T1"))
    with pytest.raises(InvalidCredentialError):
        verify(world, child)
    world.check()


MAKING: dict[str, Callable[[World, Made, int | None], Made]] = {
    "delegate": lambda world, made, ttl: issue(world, parent=made.token, kind="opaque", ttl=ttl),
    "attach": lambda world, made, ttl: attach(world, made, ttl=ttl),
    "renew": lambda world, made, ttl: renew(world, made, ttl),
}
"""Ways to make a credential from another one."""
HOPS = [hops for length in range(4) for hops in product(("delegate", "attach"), repeat=length)]


@pytest.mark.deep
@pytest.mark.parametrize("hops", HOPS)
def test_whatever_a_credential_rests_on_bounds_what_is_made_from_it(
    world: World, hops: tuple[str, ...]
) -> None:
    """If any line above was renewed for a shorter time, no credential at the end of the chain outlives that line."""
    for at, how in product(range(len(hops) + 1), MAKING):
        if how == "renew" and at == len(hops):
            continue  # this would be a second renewal of the same credential
        # Each credential ends before the one above it, so that renewals have time left.
        chain = [issue(world, ttl=900)]
        for number, hop in enumerate(hops, 1):
            chain.append(MAKING[hop](world, chain[-1], 900 - 100 * number))
        renew(world, chain[at], 60)
        end = world.clock.now + 60
        if how == "renew":
            with pytest.raises(PolicyDeniedError, match="does not permit a later expiry"):
                renew(world, chain[-1])
        else:
            made = MAKING[how](world, chain[-1], None)
            assert made.issued.expires_at == end, f"{how} from the end of {hops}, {at} renewed"
        world.clock.now = end
        for dead in chain[at:]:
            with pytest.raises(InvalidCredentialError):
                verify(world, dead)
    world.check()


@both_ledgers
def test_what_rests_on_a_line_that_expired_early_ends_with_it(world: World) -> None:
    """A renewal for a shorter time ends the line early, and with it credentials that have more time left."""
    held = issue(world, kind="opaque")
    beside, left = attach(world, held), attach(world, held)
    child = issue(world, parent=held.token, kind="opaque")
    resting = [
        attach(world, beside, kind="jwt"),
        attach(world, child),
        issue(world, parent=beside.token, agent="coder", kind="opaque"),
        issue(world, parent=child.token, agent="tester", kind="opaque"),
    ]
    heads = [renew(world, beside), renew(world, child)]
    # Another credential on a separate line of the identity; `spared` rests on `left` and not on that line.
    other = attach(world, left)
    renew(world, other, 20)
    spared = [renew(world, left), issue(world, parent=left.token, agent="coder", kind="opaque")]
    assert held.issued.expires_at > NOW + 60
    world.clock.now += world.terms.overlap + 5
    assert [verify(world, one).id for one in (*resting, *heads, *spared)]
    # The successor of `other` has expired by now, and no credential rests on it.
    assert _ends(world, *resting, *heads, *spared) == {None}
    short = renew(world, heads[0], 20)
    spared += [heads[1], resting[1], resting[3]]
    resting = [resting[0], resting[2]]
    world.clock.now += 10
    assert [verify(world, one).id for one in resting]
    world.clock.now += 15
    for one in resting:
        with pytest.raises(InvalidCredentialError):
            verify(world, one)
    last = world.issue(task="T9")
    assert _ends(world, *resting) == {"revoked"}
    assert _ends(world, short) == {"expired"}
    assert _ends(world, held, last, *spared) == {None}
    events = [event for event in world.events() if event["op"] == "lapse"]
    # The superseded credential ends too. Otherwise it would be valid for its overlap.
    assert [event["count"] for event in events] == [3]
    assert _ends(world, heads[0]) == {"revoked"}
    with world.ledger.read() as snapshot:
        until = [row[0] for row in snapshot.query("SELECT expires_at FROM honoured ORDER BY event DESC", {})]
    assert until[0] == resting[0].issued.expires_at
    world.check()


@both_ledgers
def test_lines_above_each_other_that_are_over_at_once_end_once(world: World) -> None:
    held = issue(world, kind="opaque")
    child = issue(world, parent=held.token, kind="opaque")
    below = issue(world, parent=child.token, kind="opaque")
    made = [attach(world, one) for one in (held, child, below)]
    for one in (below, child, held):
        renew(world, one, 20)
    world.clock.now += world.terms.overlap
    issue(world, task="T9")
    assert _ends(world, *made) == {"revoked"}
    assert [event["count"] for event in world.events() if event["op"] == "lapse"] == [3]
    world.check()


def _ends(world: World, *made: Made) -> set[str | None]:
    """Return the states in which the rows say that credentials ended; None for a live credential."""
    with world.ledger.read() as snapshot:
        rows = snapshot.query("SELECT jti, ended_as FROM credential", {})
        wanted = {parse_id(one.jti)[1] for one in made}
        return {ended_as for jti, ended_as in rows if jti in wanted}


@both_ledgers
def test_a_successor_lives_no_longer_than_its_predecessor_was_given(world: World) -> None:
    short = issue(world, ttl=60)
    world.clock.now += 30
    longer = renew(world, short, 900)
    assert longer.issued.expires_at == NOW + 90
    assert any("the lifetime of the renewed credential" in note for note in longer.issued.notes)


def test_a_policy_may_let_renewals_live_longer(world: World) -> None:
    rules = '@id("all") @renew_ttl("5m") permit(principal, action, resource);'
    world.terms = policed(world.terms, [("p.cedar", rules)])
    world.authority._terms = None
    short = issue(world, ttl=60)
    world.clock.now += 30
    assert renew(world, short, 900).issued.expires_at == NOW + 330


def test_what_rests_on_too_many_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validity, "MAX_GROUNDS", 3)
    held = issue(world)
    for _ in range(3):
        held = attach(world, held)
    with pytest.raises(PolicyDeniedError, match="delegation-length"):
        attach(world, held)
    with pytest.raises(PolicyDeniedError, match="delegation-length"):
        issue(world, parent=held.token)
    monkeypatch.setattr(validity, "MAX_GROUNDS", 2)
    with pytest.raises(InvalidCredentialError, match="depends on more than 2"):
        verify(world, held)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credential SET source = NULL WHERE source IS NOT NULL",
        "UPDATE credential SET source = 1 WHERE source IS NOT NULL AND kind = 'opaque'",
        "UPDATE credential SET line = NULL WHERE line IS NOT NULL",
        "UPDATE credential SET line = 1 WHERE line IS NOT NULL",
        "UPDATE identity SET source = NULL WHERE source IS NOT NULL",
        "UPDATE identity SET source = 1 WHERE source IS NOT NULL",
        "UPDATE identity SET source = 1 WHERE source IS NULL",
        "UPDATE credential SET reused_at = NULL",
        "UPDATE credential SET reused_at = 1 WHERE id = 1",
    ],
)
def test_an_edit_of_what_a_credential_rests_on_is_found(world: World, change: str) -> None:
    issue(world)
    held = issue(world, scopes=("a", "b"))
    small = attach(world, held, "a")
    issue(world, parent=small.token, kind="jwt")
    renew(world, held)
    with pytest.raises(PolicyDeniedError):
        renew(world, held)
    world.check()
    edit(world.path, change)
    with pytest.raises(IntegrityError):
        world.check()


def test_what_the_ledger_had_before_lines_keeps_what_it_was_given(world: World) -> None:
    parent = issue(world, scopes=("a", "b"))
    attach(world, parent, "a")
    child = issue(world, parent=parent.token, scopes=("b",))
    old = renew(world, parent)
    edit(
        world.path,
        "UPDATE identity SET source = NULL",
        "UPDATE credential SET line = NULL, source = NULL",
    )
    assert scopes_of(world, child) == ("b",)
    assert scopes_of(world, parent) == ("a", "b")
    assert scopes_of(world, old) == ("a", "b")
    assert renew(world, child).issued.scopes == ("b",)


# Interleavings: after any steps, no token has more rights than its source, and each line has one head.

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("delegate", "attach", "renew", "abandon", "narrow", "wait")),
        st.integers(0, 7),
        st.sampled_from(((), ("a",), ("b",), ("a", "b"), ("c",))),
        st.sampled_from((None, 10, 100, 2_000)),
    ),
    max_size=14,
)


class _Told:
    """A token with its source, as the test knows them."""

    def __init__(self, made: Made, source: _Told | None, before: _Told | None = None) -> None:
        self.made, self.source, self.before = made, source, before
        self.after: _Told | None = None
        self.restored: _Told | None = None

    @property
    def head(self) -> _Told:
        if self.restored is not None:
            return self.restored.head
        return self if self.after is None else self.after.head

    def abandon(self, world: World) -> None:
        """Abandon this renewal. During the overlap, its predecessor is the head again; later, the line has no head."""
        before = self.before
        assert before is not None
        lived = _ends(world, self.made) == {None} and self.made.issued.expires_at > world.clock.now
        world.authority.perform(issue_operations.AbandonRenewal(token=Secret.single(self.made.token)))
        if lived and self.after is None and _ends(world, before.made) == {None}:
            before.after, self.restored = None, before

    @property
    def end(self) -> int:
        """The end of its line, or of its source's line if that is earlier. No credential made from it lasts longer."""
        own = self.head.made.issued.expires_at
        return own if self.source is None else min(own, self.source.end)


@pytest.mark.deep
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_no_interleaving_gives_a_line_more_than_it_was_made_from(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, tuple[str, ...], int | None]]
) -> None:
    with World(tmp_path_factory.mktemp("lines") / "ledger", policy=[("p.cedar", ALL)]) as world:
        told = [_Told(issue(world, scopes=("a", "b"), kind="opaque"), None)]
        for do, which, scopes, ttl in steps:
            one = told[which % len(told)]
            try:
                match do:
                    case "delegate":
                        made = issue(world, parent=one.made.token, scopes=scopes, ttl=ttl, kind="opaque")
                        assert made.issued.expires_at <= min(one.made.issued.expires_at, one.end)
                        told.append(_Told(made, one))
                    case "attach":
                        made = attach(world, one.made, *scopes, ttl=ttl)
                        assert made.issued.expires_at <= min(one.made.issued.expires_at, one.end)
                        told.append(_Told(made, one))
                    case "renew":
                        after = _Told(renew(world, one.made, ttl, narrower=True), one.source, one)
                        assert one.after is None, "a second successor"
                        assert one.source is None or after.made.issued.expires_at <= one.source.end
                        one.after = after
                        told.append(after)
                    case "abandon":
                        if one.before is not None:
                            one.abandon(world)
                    case "narrow":
                        narrow(world)
                    case _:
                        world.clock.now += ttl or 1
            except (PolicyDeniedError, InvalidCredentialError):
                pass
        _must_hold(world, told)
        for seconds in (0, 20, 150):
            world.clock.now += seconds
            # The next write records ended credentials.
            issue(world, task="LAST", deadline_after=3_600)
            _must_be_recorded(world, told)
            world.check()


def _must_hold(world: World, told: list[_Told]) -> None:
    valid: dict[int, tuple[str, ...]] = {}
    for at, one in enumerate(told):
        try:
            valid[at] = scopes_of(world, one.made)
        except InvalidCredentialError:
            continue
    for at, scopes in valid.items():
        one = told[at]
        if one.after is not None:
            assert told.index(one.head) in valid, "the head of its line is dead"
            _must_cover(valid[told.index(one.head)], scopes)
        if one.source is not None:
            head = told.index(one.source.head)
            assert head in valid, "what it was made from is dead"
            _must_cover(valid[head], scopes)
        if one.before is not None:
            before = one.before.made.issued
            life = one.made.issued.expires_at - one.made.issued.issued_at
            assert life <= before.expires_at - before.issued_at
    assert _heads(world) <= 1


def _must_be_recorded(world: World, told: list[_Told]) -> None:
    """Check that each source of a live row is live too: targets, status lists and `list` know only rows."""
    with world.ledger.read() as snapshot:
        rows = list(snapshot.query("SELECT jti FROM credential WHERE ended_at IS NULL", {}))
    live = {jti for (jti,) in rows}
    for one in told:
        if parse_id(one.made.jti)[1] in live and one.source is not None:
            assert parse_id(one.source.head.made.jti)[1] in live


def _must_cover(above: tuple[str, ...], below: tuple[str, ...]) -> None:
    assert not uncovered([Scope(scope) for scope in above], [Scope(scope) for scope in below])


def _heads(world: World) -> int:
    """Return the largest number of live heads that a line has."""
    db = sqlite3.connect(world.path / DATABASE)
    try:
        row = db.execute(
            """SELECT count(*) FROM credential WHERE ended_at IS NULL AND superseded_at IS NULL
                GROUP BY coalesce(line, id) ORDER BY 1 DESC LIMIT 1"""
        ).fetchone()
        return 0 if row is None else int(row[0])
    finally:
        db.close()


def test_abandoning_a_renewal_ends_what_was_made_from_it(world: World) -> None:
    first = issue(world, scopes=("a",))
    second = renew(world, first)
    child = issue(world, parent=second.token, scopes=("a",))
    world.authority.perform(issue_operations.AbandonRenewal(token=Secret.single(second.token)))
    assert scopes_of(world, first) == ("a",)
    # The child was made from this line, and the first credential is the head of the line again.
    assert scopes_of(world, child) == ("a",)
    beside = attach(world, first, "a")
    below = issue(world, parent=beside.token, scopes=("a",))
    world.authority.perform(issue_operations.AbandonAttachment(jti=beside.jti))
    with pytest.raises(JitidError):
        verify(world, below)
    assert _ends(world, below) == {"revoked"}
    world.check()


@both_ledgers
def test_what_an_abandoned_renewal_was_the_right_to_ends_with_the_line(world: World) -> None:
    """The abandoned renewal may last longer than its predecessor, which is the head of the line again."""
    first = issue(world, scopes=("a",), ttl=60)
    world.clock.now += 50
    second = renew(world, first)
    beside, child = attach(world, second, "a"), issue(world, parent=second.token, scopes=("a",))
    world.authority.perform(issue_operations.AbandonRenewal(token=Secret.single(second.token)))
    assert scopes_of(world, child) == scopes_of(world, beside) == ("a",)
    world.check()
    world.clock.now += 10
    issue(world, task="T9")
    assert _ends(world, beside, child) == {"revoked"}
    world.check()


def test_abandoning_a_renewal_too_late_ends_what_rests_on_the_line(world: World) -> None:
    first = issue(world, scopes=("a",))
    beside, child = attach(world, first, "a"), issue(world, parent=first.token, scopes=("a",))
    second = renew(world, first)
    world.clock.now += world.terms.overlap
    world.authority.perform(issue_operations.AbandonRenewal(token=Secret.single(second.token)))
    assert _ends(world, beside, child) == {"revoked"}
    world.check()
