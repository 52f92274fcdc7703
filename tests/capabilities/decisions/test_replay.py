"""`policy diff`: recorded decisions, replayed under two policies; each distinct request once, and none omitted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.decisions.operations import ReplayDecisions
from jitid.capabilities.decisions.replay import BEYOND_POLICY, DECISIONS, Replayed, is_whole, request_of
from jitid.capabilities.issue.operations import Issue, Renew
from jitid.config.settings import zone
from jitid.errors import PolicyDeniedError
from jitid.model.request import RenewRequest
from jitid.policy.decision import outcome
from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.values.secret import Secret
from tests.builders import DAY, NAMES, NOW, PERMIT_ALL, World, edit, request
from tests.capabilities.issue.office import BOTH, PAY, Office

Files = tuple[tuple[str, str], ...]

HOUR = 3600


def beside(*rules: str) -> Files:
    """Return a policy that permits everything except as these rules forbid."""
    return (*PERMIT_ALL, ("more.cedar", "\n".join(rules)))


def forbids(condition: str, action: str = "issue", name: str = "new") -> str:
    """Return a rule that forbids on a condition."""
    return f'@id("{name}") forbid (principal, action == Action::"{action}", resource) when {{ {condition} }};'


def replayed(world: World, old: Files, new: Files, since: int | None = None) -> Replayed:
    """Replay all recorded decisions under two policies."""
    return world.authority.perform(ReplayDecisions(old=tuple(old), new=tuple(new), since=since))


def told(found: Replayed) -> list[tuple[str, str, int]]:
    """Return the old effect, the new effect and the number of credentials of each change."""
    return [(one.old.decision, one.new.decision, one.credentials) for one in found.changes]


def renew(world: World, token: str, ttl: int | None = None) -> None:
    """Renew a credential."""
    world.authority.perform(Renew(request=RenewRequest(Secret.single(token), ttl)))


def test_the_same_policy_changes_nothing(lenient: World) -> None:
    lenient.issue()
    assert replayed(lenient, PERMIT_ALL, PERMIT_ALL) == Replayed([], 1, 1, 0)


def test_nothing_was_decided(lenient: World) -> None:
    assert replayed(lenient, PERMIT_ALL, default_files()) == Replayed([], 0, 0, 0)


def test_what_would_be_refused_counts_by_distinct_request(lenient: World) -> None:
    lenient.authority.perform(Issue(requests=(request(scopes=("deploy:web",), copies=3),)))
    lenient.issue(scopes=("deploy:web",))
    lenient.issue(scopes=("deploy:db",))
    lenient.issue(scopes=("repo:read",))
    found = replayed(lenient, PERMIT_ALL, beside(forbids('context.scope like "deploy:*"', "grant")))
    assert told(found) == [("permit", "deny", 4), ("permit", "deny", 1)]
    assert (found.requests, found.credentials, found.denials) == (3, 6, 0)
    first, _ = found.changes
    assert (first.new.rules, first.document["scopes"], first.denied) == (("new",), ["deploy:web"], False)
    assert lenient.events()[first.event - 1]["op"] == "issue"


def test_other_requests_are_not_told_apart(lenient: World) -> None:
    for number in range(20):
        lenient.issue(agent=f"agent-{number}", delegator=f"user:u{number}", task=f"T{number}")
        lenient.clock.now += 600
    hours = forbids('principal == Agent::"agent-3" && context.hour < 13')
    found = replayed(lenient, PERMIT_ALL, beside(hours))
    assert told(found) == [("permit", "deny", 1)]
    assert (found.requests, found.credentials) == (3, 20)


def test_a_denial_may_be_one_no_longer(world: World) -> None:
    for purpose in (None, "why"):
        with pytest.raises(PolicyDeniedError):
            world.issue(task=f"T{purpose}", sensitivity="high", purpose=purpose)
    found = replayed(world, default_files(), PERMIT_ALL)
    assert told(found) == [("deny", "permit", 1), ("deny", "permit", 1)]
    assert all(change.denied for change in found.changes)
    assert (found.credentials, found.denials) == (0, 2)


def test_what_no_policy_refused_is_no_matter_of_policies(lenient: World) -> None:
    """Another policy would not have permitted the request either."""
    lenient.know("user:alice", disabled_at=NOW)
    with pytest.raises(PolicyDeniedError):
        lenient.issue()
    found = replayed(lenient, PERMIT_ALL, beside(forbids("true")))
    assert found == Replayed([], 0, 0, 1)


def test_renewals_are_decisions_too(lenient: World) -> None:
    made = lenient.issue(ttl=900)
    lenient.clock.now += HOUR // 6
    renew(lenient, made.token)
    late = beside(forbids(f"context.now > {NOW}"))
    found = replayed(lenient, PERMIT_ALL, late)
    assert told(found) == [("permit", "deny", 1)]
    assert found.changes[0].document["op"] == "renew"
    assert (found.requests, found.credentials) == (2, 2)


def test_since_leaves_out_what_was_before(lenient: World) -> None:
    lenient.issue()
    lenient.clock.now += 60
    lenient.authority.perform(Issue(requests=(request(copies=2),)))
    new = beside(forbids("true"))
    assert told(replayed(lenient, PERMIT_ALL, new, NOW + 60)) == [("permit", "deny", 2)]
    assert told(replayed(lenient, PERMIT_ALL, new, NOW + 61)) == []


def test_of_rules_that_contradict_the_one_that_forbids_wins(lenient: World) -> None:
    lenient.issue()
    both = beside(forbids("true"), '@id("yes") permit (principal, action, resource);')
    (change,) = replayed(lenient, both, PERMIT_ALL).changes
    assert (change.old.decision, change.old.rules, change.new.decision) == ("deny", ("new",), "permit")


def test_a_shorter_life_and_fewer_scopes_are_changes(lenient: World) -> None:
    lenient.issue(ttl=900, scopes=("a:x", "b:x"), allow_narrower=True)
    short = '@id("short") @max_ttl("5m") permit (principal, action, resource);'
    (change,) = replayed(lenient, PERMIT_ALL, beside(short)).changes
    assert (change.old.lifetime, change.new.lifetime) == (900, 300)
    fewer = beside(forbids('context.scope == "b:x"', "grant"))
    # The request was for all scopes: a request that was not narrowed then is not narrowed now.
    (change,) = replayed(lenient, PERMIT_ALL, fewer).changes
    assert change.new.decision == "deny"


def test_what_was_narrowed_is_narrowed_again(tmp_path: Path) -> None:
    old = beside(forbids('context.scope == "b:x"', "grant"))
    with World(tmp_path / "ledger", policy=old) as world:
        world.issue(scopes=("a:x", "b:x", "c:x"), allow_narrower=True)
        new = beside(forbids('["a:x", "b:x"].contains(context.scope)', "grant"))
        (change,) = replayed(world, old, new).changes
    assert (change.old.granted, change.new.granted) == (("a:x", "c:x"), ("c:x",))


def test_an_approval_counts_as_it_was_given(tmp_path: Path) -> None:
    with Office(tmp_path / "ledger") as office:
        office.grant(office.ask(**PAY))
        office.issue(**PAY)
        office.ask(**BOTH)
        policy = tuple(office.terms.policy._files)
        assert replayed(office, policy, policy).changes == []
        found = replayed(office, policy, beside(forbids('context.scope like "pay:*"', "grant")))
        # The three changes: the request that needed approval, the approved request, and the request that needs two.
        assert sorted(told(found)) == [
            ("approval", "deny", 1),
            ("approval", "deny", 1),
            ("permit", "deny", 1),
        ]
        others = '@id("pay-needs-board") @approval("board") ' + forbids("true", "grant").split(" ", 1)[1]
        found = replayed(office, policy, beside(others))
    assert {change.new.needs for change in found.changes} == {("board",)}


def test_a_directory_counts_as_it_was(lenient: World) -> None:
    lenient.know("user:alice", groups=("ops",))
    lenient.issue()
    lenient.know("user:alice", groups=())
    lenient.issue(task="T2")
    found = replayed(lenient, PERMIT_ALL, beside(forbids('context.delegator in Group::"ops"')))
    assert [(change.document["task"], change.credentials) for change in found.changes] == [("T1", 1)]


@pytest.mark.parametrize("zones", [["UTC"], ["Europe/Berlin"], ["Asia/Kolkata", "UTC", "Europe/Berlin"]])
def test_hours_are_told_in_the_zone_of_then(zones: list[str], tmp_path: Path) -> None:
    """This holds also if the zone was changed, and if the latest thousand events contain no zone."""
    files = [("all.cedar", PERMIT_ALL[0][1])]
    with World(tmp_path / "ledger", policy=files) as world:
        for number, name in enumerate(zones):
            shown = None if name == "UTC" else name
            world.terms = world.terms._replace(zone=zone(name), zone_name=shown)
            world.reopen()
            world.issue(task=f"T{number}")
        # It was noon in UTC, 13:00 in Berlin, and 17:30 in Kolkata.
        local = {"UTC": 12, "Europe/Berlin": 13, "Asia/Kolkata": 17}
        for name in zones:
            found = replayed(world, PERMIT_ALL, beside(forbids(f"context.hour == {local[name]}")))
            assert told(found) == [("permit", "deny", 1)], name
            assert found.changes[0].document.get("zone", "UTC") == name


CONDITIONS = (
    'principal == Agent::"a"',
    'context.agent like "a*"',
    'context.agent like "*b"',
    '["a", "ab"].contains(context.agent) && context.hour >= 13',
    'context.delegator in Group::"ops"',
    'context.delegator == Delegator::"user:bob" || context.delegator.known',
    'context.delegator_kind == "system"',
    'context.delegator_name like "user:*" && context.weekday > 5',
    "principal.registered",
    "context.delegator_known && context.hour * 60 + context.minute > 780",
    'resource == Task::"T1"',
    'resource.purpose == "why"',
    "context.has_purpose && context.minute < 30",
    f"context.now > {NOW + 3 * HOUR}",
    'context.kind == "opaque" && context.depth > 0',
    "context.lifetime > 600",
    'context.delegated && context.delegator_proof == "asserted"',
    "[12, 15].contains(context.hour)",
)
issues = st.fixed_dictionaries(
    {
        "agent": st.sampled_from(["a", "ab", "b"]),
        "delegator": st.sampled_from(["user:alice", "user:bob", "system:ci"]),
        "task": st.sampled_from(["T1", "T2"]),
        "purpose": st.sampled_from([None, "why"]),
        "kind": st.sampled_from(["jwt", "opaque"]),
        "ttl": st.sampled_from([60, 900]),
        "copies": st.integers(1, 2),
        "hours": st.sampled_from([0, 0, 1, 5, 20]),
        "known": st.sampled_from([None, "user:alice", "user:bob"]),
        "child": st.booleans(),
    }
)


@pytest.mark.deep
@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(issues, max_size=8),
    old=st.sampled_from(CONDITIONS),
    new=st.sampled_from(CONDITIONS),
    berlin=st.booleans(),
)
def test_what_changes_is_what_changes_one_by_one(
    steps: list[dict[str, Any]], old: str, new: str, berlin: bool
) -> None:
    """All requests of a group get the same decision, for each attribute that rules can read."""
    policies = (beside(forbids(old)), beside(forbids(new)))
    where: Any = {"zone": zone("Europe/Berlin"), "zone_name": "Europe/Berlin"} if berlin else {}
    with (
        TemporaryDirectory() as folder,
        World(Path(folder, "ledger"), policy=list(policies[0]), **where) as world,
    ):
        for number, step in enumerate(steps):
            _live(world, number, dict(step))
        events = [event for event in world.events() if event["op"] in DECISIONS and is_whole(event)]
        found = replayed(world, *policies)
    apart: list[tuple[object, int]] = []
    for event in events:
        asked = request_of(event, NAMES.issuer)
        before, after = (
            outcome(Policy(files).decide(asked, explain=False), asked.lifetime) for files in policies
        )
        if before.effect != after.effect and not set(event["rules"]) & BEYOND_POLICY:
            apart.append(((before.effect, after.effect), event.get("count", 1)))
    assert _summed(apart) == _summed(
        [((one.old.effect, one.new.effect), one.credentials) for one in found.changes]
    )


def _live(world: World, number: int, step: dict[str, Any]) -> None:
    world.clock.now += step.pop("hours") * HOUR
    if (name := step.pop("known")) is not None:
        world.know(name, groups=("ops",) if number % 2 else ())
    child, copies = step.pop("child"), step.pop("copies")
    purpose = step.pop("purpose")
    task = f"{step.pop('task')}{'' if purpose is None else '-why'}"
    with suppress(PolicyDeniedError):
        (issued,) = world.authority.perform(
            Issue(requests=(request(**step, task=task, purpose=purpose, copies=copies),))
        )
        if child:
            world.issue(parent=issued.credentials[0].secret.reveal(), agent="b", ttl=30)


def _summed(pairs: list[tuple[object, int]]) -> dict[object, int]:
    found: dict[object, int] = {}
    for key, count in pairs:
        found[key] = found.get(key, 0) + count
    return found


def test_an_event_that_was_edited_into_nonsense_is_left_out(lenient: World) -> None:
    """The event can no longer be read. `audit verify` reports that it was changed."""
    lenient.issue()
    lenient.issue(task="T2")
    edit(
        lenient.path,
        """UPDATE audit_event SET body = CAST('{"op":"issue","at":1,"by":"x"}' AS BLOB) WHERE seq = 2""",
    )
    found = replayed(lenient, PERMIT_ALL, beside(forbids("true")))
    assert told(found) == [("permit", "deny", 1)]


def test_a_day_of_requests_is_a_handful_to_a_policy_of_hours(lenient: World) -> None:
    for number in range(24):
        lenient.clock.now = NOW + number * HOUR
        lenient.issue(task=f"T{number}", agent=f"agent-{number % 7}", accept_clock=True)
    assert lenient.clock.now < NOW + DAY
    found = replayed(lenient, PERMIT_ALL, beside(forbids("context.hour < 9 || context.hour >= 17")))
    assert told(found) == [("permit", "deny", 9), ("permit", "deny", 7)]
    assert (found.requests, found.credentials) == (3, 24)
