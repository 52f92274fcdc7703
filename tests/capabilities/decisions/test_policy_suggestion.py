"""Policy suggestions: a suggested policy permits each request that it was mined from, and nothing unseen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.decisions import operations as decisions_operations
from jitid.capabilities.decisions.policy_suggestion import Suggestion, suggestion
from jitid.capabilities.directory import recurrence
from jitid.capabilities.inventory.operations import Revoke
from jitid.config.settings import zone
from jitid.errors import NotFoundError, UsageError
from jitid.model.ledger_rows import Selection
from jitid.model.survey import Practice
from jitid.model.task import SENSITIVITIES, rank
from jitid.policy.check import must_be_valid
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import PolicyRequest
from jitid.values.times import parse_time
from tests.builders import NAMES, NOW, World, put
from tests.capabilities.directory import pasts
from tests.capabilities.directory.test_recurrence import classify, issue_on

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu")
# Times at the repeated hour and at the skipped hour of daylight saving time, each in one of the zones.
STARTS = tuple(map(parse_time, ("2026-10-25T00:10:00Z", "2026-03-08T06:50:00Z", "2026-11-24T12:00:00Z")))


def suggest(
    world: World, agent: str | None = None, task: str | None = None, days: int = 90
) -> list[Suggestion]:
    """Suggest policies from the records of the ledger."""
    return world.authority.perform(decisions_operations.SuggestPolicy(agent=agent, task=task, days=days))


def mined(world: World, since: int, agent: str, task: str | None = None) -> list[PolicyRequest]:
    """Return the requests that a policy is mined from: the grants, or the recorded uses if there are any."""
    held = [one for one in pasts.held(world, since) if one.agent == agent and task in (None, one.task)]
    with world.ledger.read() as snapshot:
        rows = list(snapshot.query("SELECT identity, scope, first_at, last_at FROM used", {}))
    used: dict[int, set[str]] = {}
    times: dict[int, set[int]] = {}
    for identity, scope, first, last in rows:
        if identity in {one.identity for one in held}:
            used.setdefault(identity, set()).add(scope)
            times.setdefault(identity, set()).update((first, last))
    found = []
    for one in held:
        if used and one.identity not in used:
            continue
        scopes = tuple(sorted(used[one.identity])) if used else one.scopes
        began = min(other.issued_at for other in held if other.identity == one.identity)
        over = max(times[one.identity]) if used else one.death
        own = "user:alice" if one.delegator == "user:al" else one.delegator
        found += [
            PolicyRequest(
                agent,
                delegator,
                one.proof,
                one.task,
                delegator,
                None,
                one.sensitivity,
                one.kind,
                one.depth,
                scopes,
                one.audiences,
                max(over - began, 1),
                at,
            )
            for at in {one.issued_at, *times.get(one.identity, ())}
            for delegator in {one.delegator, own}
        ]
    return found


def _changes(practice: Practice, one: PolicyRequest) -> list[dict[str, Any]]:
    """Return changes of a request to values that the ledger has not seen."""
    highest = max(map(rank, practice.sensitivities))
    return [
        {"agent": f"{one.agent}x"},
        {"delegator": "user:mallory"},
        {"delegator_proof": "hearsay"},
        {"kind": "x509-svid"},
        {"audiences": (*one.audiences, "urn:elsewhere")},
        {"depth": practice.depth + 1},
        {"scopes": (*one.scopes, "prod:db:drop")},
        {"scopes": (*one.scopes, "repo:ab")},
        {"scopes": (*one.scopes, "tickets:INC-1:write:more")},
        {"scopes": (*one.scopes, "tickets:INC-*:write")},
        *({"sensitivity": each} for each in SENSITIVITIES[highest + 1 :]),
    ]


@pytest.mark.deep
@settings(max_examples=80, deadline=None)
@given(
    pasts.histories,
    pasts.uses | st.just([]),
    st.sampled_from(ZONES),
    st.sampled_from(STARTS),
    st.sampled_from([None, "T1"]),
)
def test_a_suggestion_permits_what_it_was_mined_from_and_nothing_unseen(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[dict[str, Any]],
    used: list[tuple[int, str]],
    zone_name: str,
    start: int,
    task: str | None,
) -> None:
    with World(
        tmp_path_factory.mktemp("mining") / "ledger", now=start, zone=zone(zone_name), zone_name=zone_name
    ) as world:
        pasts.live_through(world, steps, used)
        since = recurrence.midnight(world.clock.now, 90)
        agents = {one.agent for one in pasts.held(world, since) if task in (None, one.task)}
        found = (
            suggest(world, task=task)
            if task in {one.task for one in pasts.held(world, since)}
            else [each for agent in sorted(agents) for each in suggest(world, agent)]
        )
        assert [one.agent for one in found] == sorted(agents)
        text = "\n".join(one.policy for one in found)
        together = Policy([("all.cedar", text)])
        assert must_be_valid([("all.cedar", text)]) == sum(len(one.rules) for one in found)
        for one in found:
            policy = Policy([("suggested.cedar", one.policy)])
            assert must_be_valid([("suggested.cedar", one.policy)]) == len(one.rules)
            requests = mined(world, since, one.agent, task if len(agents) == len(found) else None)
            assert requests
            for plain in requests:
                asked = plain._replace(zone=zone(zone_name))
                decision = policy.decide(asked)
                assert decision.permit, decision.reason
                assert decision.granted == asked.scopes
                assert decision.max_ttl is not None
                assert decision.max_ttl >= asked.lifetime
                assert together.decide(asked) == decision._replace(policy=together.digest)
            for change in _changes(one.practice, asked):
                assert not policy.decide(asked._replace(**change), explain=False).permit, change
            _keeps_to_hours(policy, asked, requests, zone_name, one.practice)


def _keeps_to_hours(
    policy: Policy, asked: PolicyRequest, requests: list[PolicyRequest], zone_name: str, practice: Practice
) -> None:
    """Check that the policy permits only the shortest run of hours and of weekdays that contains all observed ones.

    With few credentials, or with all of them on one day, the policy permits all hours.
    """
    dates = {datetime.fromtimestamp(one.now, zone(zone_name) or UTC).date() for one in requests}
    few = practice.credentials < 5 or len(dates) < 2
    hours: set[int] = set()
    days: set[int] = set()
    for one in requests:
        local = _local(one.now, zone_name)
        hours.add(local[0])
        days.add(local[1])
    passing = set()
    for hour in range(24 * 7):
        at = NOW + hour * 3_600
        if policy.decide(asked._replace(now=at), explain=False).permit:
            passing.add(_local(at, zone_name))
    assert {hour for hour, _ in passing} == ({*range(24)} if few else _round(hours, 0, 24))
    assert {day for _, day in passing} == ({*range(1, 8)} if few else _round(days, 1, 7))


def _local(at: int, zone_name: str) -> tuple[int, int]:
    time = datetime.fromtimestamp(at, zone(zone_name) or UTC)
    return time.hour, time.isoweekday()


def _round(seen: set[int], first: int, size: int) -> set[int]:
    """Return the shortest cyclic run of numbers that contains all observed ones; of several runs the first."""
    runs = []
    for begin in seen:
        length = max((each - begin) % size for each in seen) + 1
        runs.append(
            (
                length,
                begin + length > first + size,
                begin,
                {first + (begin - first + step) % size for step in range(length)},
            )
        )
    shortest = min(length for length, *_ in runs)
    fitting = [run for run in runs if run[0] == shortest]
    straight = [run for run in fitting if not run[1]]
    return min(straight or fitting, key=lambda run: run[2])[3]


def test_a_policy_reads_as_one_would_write_it(world: World) -> None:
    with world.ledger.write() as transaction:
        for number in range(11):
            put(
                transaction,
                agent="release-bot",
                task=f"R{number}",
                scopes=f"deploy:web tickets:REL-{number}:write",
                ttl=600,
            )
    world.clock.now += 30 * 3_600
    with world.ledger.write(accept_clock=True) as transaction:
        put(transaction, agent="release-bot", task="R12", delegator="user:bob", sensitivity="low")
    (found,) = suggest(world, "release-bot")
    assert found.rules == ("release-bot-issue", "release-bot-scopes")
    assert (
        found.policy
        == f"""\
// Suggested policy for agent release-bot, from 12 identities; no use was reported:
// 12 credentials from 2026-11-24T12:00:00Z to 2026-11-25T18:00:00Z.
// Scopes: 12 granted; if more than 10 differ in one segment only, a pattern replaces them.
// Lifetime: 15m, the longest from first issue to end of an identity.
// Hours and weekdays: in the time zone UTC.

@id("release-bot-issue")
@max_ttl("15m")
permit (principal == Agent::"release-bot", action == Action::"issue", resource)
when {{
  context.delegator in [Delegator::"user:alice", Delegator::"user:bob"]
  && ["asserted"].contains(context.delegator_proof)
  && ["low", "moderate"].contains(context.sensitivity)
  && ["opaque"].contains(context.kind)
  && [""].contains(context.template)
  && ["{NAMES.issuer}"].containsAll(context.audiences)
  && context.depth <= 0
  && context.hour >= 12 && context.hour <= 18
  && context.weekday >= 2 && context.weekday <= 3
}};

@id("release-bot-scopes")
permit (principal == Agent::"release-bot", action == Action::"grant", resource)
when {{
  context.delegator in [Delegator::"user:alice", Delegator::"user:bob"]
  && (["deploy:web"].contains(context.scope)
    || (context.scope like "tickets:REL-*:write" && !(context.scope like "*:*:*:*") && !context.wildcard))
  && context.hour >= 12 && context.hour <= 18
  && context.weekday >= 2 && context.weekday <= 3
}};
"""
    )


PRACTICE = Practice(
    "bot", False, 1, 1, 0, NOW, NOW, frozenset(["user:alice"]), frozenset(["asserted"]), frozenset(["low"]),
    frozenset(["jwt"]), frozenset(["urn:a"]), 0, frozenset(), frozenset([NOW // 900]), 60,
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ['x"y', "x\\", "x\ny", 'bot"; permit(principal, action, resource); //', "a*b", "\u202e", "x" * 128],
)
def test_a_hostile_name_stays_a_name(name: str) -> None:
    """No ledger contains such a name. If one did, the name would still be data."""
    text = suggestion(PRACTICE._replace(agent=name), zone=None, zone_name="UTC").policy
    assert must_be_valid([("it.cedar", text)]) == 1
    policy = Policy([("it.cedar", text)])
    asked = PolicyRequest(
        name, "user:alice", "asserted", "T1", "user:alice", None, "low", "jwt", 0, (), ("urn:a",), 60, NOW
    )
    assert policy.decide(asked).permit
    assert not policy.decide(asked._replace(agent="other")).permit


def test_names_that_become_alike_have_rules_of_their_own() -> None:
    names = ["a@b", "a+b", "a-b", "a" * 41, "a" * 42, "a" * 40]
    found = [suggestion(PRACTICE._replace(agent=name), zone=None, zone_name="UTC") for name in names]
    assert len({rule for one in found for rule in one.rules}) == len(names)
    assert must_be_valid([("it.cedar", "".join(one.policy for one in found))]) == len(names)


def test_a_long_list_stands_on_lines_of_its_own() -> None:
    people = frozenset(f"user:engineer-{number}@example.com" for number in range(9))
    text = suggestion(PRACTICE._replace(delegators=people), zone=None, zone_name="UTC").policy
    assert max(map(len, text.splitlines())) <= 120
    assert must_be_valid([("it.cedar", text)]) == 1


def test_nothing_is_suggested_without_anything_seen(world: World) -> None:
    issue_on(world, 3, agent="bot", tasks=["T1"])
    with pytest.raises(NotFoundError, match="nothing was issued to an agent `bot` since 2026-11-23"):
        suggest(world, "bot", days=2)
    with pytest.raises(NotFoundError, match="nothing was issued to an agent `nobody`"):
        suggest(world, "nobody")
    with pytest.raises(
        NotFoundError, match=r"nothing was issued to an agent `nobody` since .* on task `user:alice/T1`"
    ):
        suggest(world, "nobody", "T1")
    with pytest.raises(NotFoundError, match="the ledger has no task `T2`"):
        suggest(world, "bot", "T2")
    with pytest.raises(UsageError, match="an agent or a task is required"):
        suggest(world)
    with pytest.raises(UsageError, match="--days must be from 1 to"):
        suggest(world, "bot", days=0)


def test_what_was_used_counts_from_its_first_issue_to_its_last_use(world: World) -> None:
    row = pasts.live_through(
        world,
        [
            {
                "do": "issue", "task": "T1", "agent": "bot", "delegator": "user:alice", "kind": "jwt",
                "scopes": "repo:a repo:b", "audiences": "urn:a", "sensitivity": "low", "proof": "oidc", "ttl": 3_600,
                "below": False,
            }
        ],
    )[0]  # fmt: skip
    with world.ledger.write() as transaction:
        db = pasts.database(transaction)
        db.execute("INSERT INTO used VALUES (?, 'repo:a', ?, ?, 7)", (row.identity, NOW + 60, NOW + 300))
        db.execute(
            """INSERT INTO action (at, credential, action, resource, scope, allowed, event)
               VALUES (?, ?, 'get', 'r', 'repo:a', 1, 1), (?, ?, 'get', 'r', NULL, 0, 1)""",
            (NOW + 3_600, row.key, NOW + 9 * 3_600, row.key),
        )
        transaction.append("note", {})
    (found,) = suggest(world, "bot")
    assert (found.scopes, found.max_ttl) == (("repo:a",), 300)
    assert (found.practice.uses, found.practice.identities, found.practice.last_at) == (7, 1, NOW + 300)
    # A refused action is not a need.
    assert found.practice.quarters == {NOW // 900, (NOW + 3_600) // 900}
    assert found.policy.startswith("// Suggested policy for agent bot, from 7 uses of 1 identities:")


@pytest.mark.parametrize(
    ("ago", "told"),
    [
        ((3, 3, 0, 0), "not limited, too few records (4 credentials on 2 days; required: 5 on 2 days)"),
        ((0,) * 9, "not limited, too few records (9 credentials on 1 day; required: 5 on 2 days)"),
        ((0,), "not limited, too few records (1 credential on 1 day; required: 5 on 2 days)"),
        ((3, 0, 0, 0, 0), "in the time zone UTC"),
    ],
)
def test_of_a_handful_of_runs_no_hours_are_taken(world: World, ago: tuple[int, ...], told: str) -> None:
    """Two runs on a Wednesday do not mean that the agent needs only Wednesdays."""
    issue_on(world, *ago, agent="bot")
    (found,) = suggest(world, "bot")
    assert f"// Hours and weekdays: {told}.\n" in found.policy
    assert ("context.hour" in found.policy) == ("context.weekday" in found.policy) == ("UTC" in told)


def test_what_was_revoked_counts_for_as_long_as_it_was_granted(world: World) -> None:
    made = world.issue(agent="bot", ttl=900)
    world.clock.now += 20
    world.authority.perform(Revoke(selection=Selection(ids=(made.id,)), most=None))
    (found,) = suggest(world, "bot")
    assert found.max_ttl == 900
    (verdict,) = classify(world).verdicts
    assert verdict.need is not None
    assert verdict.need.max_ttl == 900
