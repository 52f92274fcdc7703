"""An independent survey of a ledger, computed row by row."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jitid.capabilities.sweep.finding import Thresholds
from jitid.ledger.sqlite import folder
from jitid.model.credential import LEEWAY
from jitid.model.survey import (
    Band,
    Breakdown,
    Day,
    Leaks,
    Part,
    People,
    Retirement,
    Sensitive,
    Spread,
    Survey,
    SurveyedUse,
    Totals,
)
from jitid.model.task import SENSITIVITIES
from tests.builders import DAY

LIMITS = {sensitivity: Thresholds().max_lifetime(sensitivity) for sensitivity in SENSITIVITIES}
_FIVE_DAYS = 5 * DAY


class _Credential(NamedTuple):
    key: int
    identity: int
    kind: str
    issued_at: int
    expires_at: int
    ended_at: int | None
    superseded_at: int | None
    task: str
    delegator: str
    agent: str
    sensitivity: str
    delegator_proof: str
    parent: int | None
    signed: bool
    audiences: str
    delegator_state: str
    agent_record: str

    @property
    def death(self) -> int:
        if self.ended_at is not None:
            return self.ended_at
        return min(self.expires_at, self.superseded_at or self.expires_at)

    @property
    def lifetime(self) -> int:
        return self.expires_at - self.issued_at

    @property
    def is_standing(self) -> bool:
        stands_until = self.expires_at if self.superseded_at is None else self.superseded_at
        return stands_until - self.issued_at > LIMITS[self.sensitivity]

    def lives_at(self, now: int) -> bool:
        return self.issued_at <= now < self.death


def counted(path: Path, now: int, since: int) -> Survey:
    """Return the survey that the ledger in `path` must have at `now`."""
    db = sqlite3.connect(path / folder.DATABASE)
    people = {
        name: times
        for name, *times in db.execute(
            """SELECT n.name, d.added_at, d.disabled_at
                 FROM delegator d JOIN delegator_name n ON n.delegator = d.id"""
        )
    }
    agents = {
        name: times for name, *times in db.execute("SELECT name, registered_at, unregistered_at FROM agent")
    }
    credentials = [
        _Credential._make([*row, _state(people.get(row[8]), now), _record(agents.get(row[9]), now)])
        for row in db.execute(
            """SELECT c.id, c.identity, c.kind, c.issued_at, c.expires_at, c.ended_at, c.superseded_at, t.name, d.text,
                      a.text, i.sensitivity, i.proof, i.parent, c.claims_hash IS NOT NULL, au.text
                 FROM credential c JOIN identity i ON i.id = c.identity JOIN task t ON t.id = c.task
                 JOIN term d ON d.id = c.delegator JOIN term a ON a.id = i.agent JOIN term au ON au.id = c.audiences"""
        )
    ]
    used = db.execute("SELECT identity, first_at, last_at FROM used WHERE first_at <= ?", (now,)).fetchall()
    actions = db.execute("SELECT credential, at FROM action WHERE at <= ?", (now,)).fetchall()
    tasks = db.execute(
        "SELECT name, opened_at, deadline, ended_at FROM task WHERE opened_at <= ?", (now,)
    ).fetchall()
    leaks = db.execute(
        "SELECT credential, reported_at, proved_at, closed_at FROM leak WHERE added_at <= ?", (now,)
    ).fetchall()
    db.close()
    born = [each for each in credentials if each.issued_at <= now]
    alive = [each for each in born if each.lives_at(now)]
    reported = {
        key: min(at for one, at, *_ in leaks if one == key)
        for key in {credential for credential, *_ in leaks}
    }
    return Survey(
        _totals(born, alive, tasks, now),
        {
            name: _breakdown([getattr(each, name) for each in alive])
            for name in (
                "kind",
                "task",
                "agent",
                "delegator",
                "sensitivity",
                "delegator_proof",
                "delegator_state",
                "agent_record",
            )
        },
        tuple(
            Sensitive(
                name,
                sum(each.sensitivity == name for each in alive),
                sum(each.sensitivity == name and each.is_standing for each in alive),
            )
            for name in SENSITIVITIES
        ),
        _spread([each.lifetime for each in alive]),
        _bands(alive),
        _people(alive),
        _use(born, alive, used, actions, now),
        _retirement(born, tasks, now),
        _leaks({each.key: each for each in credentials}, reported, leaks, now),
        _trend(born, reported, now, since),
    )


def _state(times: list[int | None] | None, now: int) -> str:
    if times is None or times[0] is None or times[0] > now:
        return "unverified"
    return "disabled" if times[1] is not None and times[1] <= now else "known"


def _record(times: list[int | None] | None, now: int) -> str:
    if times is None or times[0] is None or times[0] > now:
        return "ephemeral"
    return "ephemeral" if times[1] is not None and times[1] <= now else "registered"


def _totals(born: list[_Credential], alive: list[_Credential], tasks: list[Any], now: int) -> Totals:
    ended = sum(end is not None and end <= now for _, _, _, end in tasks)
    overdue = sum((end is None or end > now) and deadline <= now for _, _, deadline, end in tasks)
    return Totals(
        len(born),
        len({each.identity for each in born}),
        len(alive),
        len({each.identity for each in alive}),
        len(tasks),
        len(tasks) - ended - overdue,
        overdue,
        ended,
        len({each.delegator for each in alive}),
        len({each.agent for each in alive}),
        len({each.agent for each in alive if each.agent_record == "registered"}),
    )


def _breakdown(names: list[str]) -> Breakdown:
    counts = Counter(names)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Breakdown(tuple(Part(*item) for item in ranked[:10]), len(counts), len(names))


def _spread(values: Sequence[int]) -> Spread:
    if not values:
        return Spread(0, None, None, None)
    ranked = sorted(values)
    p50, p95 = (ranked[math.ceil(len(ranked) * p / 100) - 1] for p in (50, 95))
    return Spread(len(ranked), p50, p95, ranked[-1])


def _bands(alive: list[_Credential]) -> tuple[Band, ...]:
    edges = (300, 900, 3_600, 28_800, 86_400)
    found = []
    below = -math.inf
    for edge in (*edges, None):
        top = math.inf if edge is None else edge
        found.append(Band(edge, sum(below < each.lifetime <= top for each in alive)))
        below = top
    return tuple(found)


def _people(alive: list[_Credential]) -> People:
    held = Counter(
        delegator
        for delegator, _ in {(each.delegator, each.identity) for each in alive}
        if delegator.startswith("user:")
    )
    highest = sorted(held.items(), key=lambda item: (-item[1], item[0]))[:1]
    name, most = highest[0] if highest else (None, None)
    return People(len(held), held.total(), most, name)


def _use(
    born: list[_Credential], alive: list[_Credential], used: list[Any], actions: list[Any], now: int
) -> SurveyedUse:
    times = Counter(each.identity for each in born)
    parents = {each.parent for each in born}
    living = {each.identity for each in alive}
    renewed = {each for each in living if times[each] > 1}
    delegated = living & parents
    authorized = living & {identity for identity, _, _ in used}
    by_key = {each.key: each for each in born}
    told = [(by_key[key].audiences, at) for key, at in actions]
    for identity, first, last in used:
        held = [each for each in alive if each.identity == identity]
        told += [(each.audiences, last if last <= now else first) for each in held]
    never = [
        each
        for each in alive
        if each.identity not in renewed and each.identity not in delegated and each.identity not in authorized
    ]
    unknown = [
        each
        for each in never
        if any(
            max((at for audience, at in told if audience == word), default=-1) < each.issued_at
            for word in each.audiences.split()
        )
    ]
    return SurveyedUse(len(living), len(renewed), len(delegated), len(authorized), len(never), len(unknown))


def _retirement(born: list[_Credential], tasks: list[Any], now: int) -> Retirement:
    delays = []
    living = 0
    for name, _, deadline, ended_at in tasks:
        end = min(deadline, ended_at if ended_at is not None and ended_at <= now else deadline)
        if end > now:
            continue
        deaths = [each.death for each in born if each.task == name]
        delays.append(max([0, *(min(death, now) - end for death in deaths)]))
        living += any(death > now for death in deaths)
    deaths_late = sum(
        any(
            each.death > min(deadline, e if e is not None and e <= now else deadline)
            for each in born
            if each.task == name
        )
        for name, _, deadline, e in tasks
        if min(deadline, e if e is not None and e <= now else deadline) <= now
    )
    return Retirement(_spread(delays), len(delays) - deaths_late, living)


def _leaks(by_key: dict[int, _Credential], reported: dict[int, int], leaks: list[Any], now: int) -> Leaks:
    deaths = {key: by_key[key].death for key in reported}
    valid = {key for key, death in deaths.items() if death > now}
    worked = {key for key, at in reported.items() if deaths[key] >= at}
    aged = {key for key in worked if reported[key] + _FIVE_DAYS <= now}
    proved = {key for key, _, at, _ in leaks if at is not None and at <= now}
    unclosed = {key for key, _, _, at in leaks if at is None or at > now}
    dead = reported.keys() - valid
    living_on = {key for key in dead - proved if _lives_on(by_key, by_key[key].identity, now)}
    facts = {key: _facts(by_key, by_key[key].identity, now) for key in reported}
    refused = {key for key, (since, _) in facts.items() if since <= now}
    exposed = {key for key, (_, until) in facts.items() if key not in refused or until >= reported[key]}
    known = {key for key in exposed if reported[key] + _FIVE_DAYS <= now}
    return Leaks(
        len(reported),
        len(valid),
        len(valid - unclosed),
        len(living_on),
        len(living_on - unclosed),
        sum(by_key[key].signed and by_key[key].expires_at > now for key in dead),
        len(proved),
        sum(deaths[key] < reported[key] and key not in valid for key in reported),
        _spread([deaths[key] - reported[key] for key in worked - valid]),
        max((now - reported[key] for key in valid), default=None),
        len(aged),
        sum(deaths[key] > reported[key] + _FIVE_DAYS for key in aged),
        len(worked - aged - valid),
        len(valid - aged),
        sum(facts[key][1] > now for key in refused),
        0,
        len(known),
        sum(key not in refused or facts[key][1] > reported[key] + _FIVE_DAYS for key in known),
        _spread([facts[key][1] - reported[key] for key in refused & exposed]),
    )


def _facts(by_key: dict[int, _Credential], identity: int, now: int) -> tuple[int, int]:
    """Return when the last credential of an identity's subtree ends, and until when verifiers may accept one."""
    held = [each for each in by_key.values() if each.identity == identity and each.issued_at <= now]
    below = {each.identity for each in by_key.values() if each.parent == identity}
    deeper = [_facts(by_key, one, now) for one in below]
    deaths = [each.death for each in held] + [since for since, _ in deeper]
    signed = [each.expires_at + LEEWAY for each in held if each.signed]
    return max(deaths, default=0), max([*signed, *deaths, *(until for _, until in deeper)], default=0)


def _lives_on(by_key: dict[int, _Credential], identity: int, now: int) -> bool:
    """Return whether an identity or one of its descendants has a live credential."""
    held = [each for each in by_key.values() if each.identity == identity]
    below = {each.identity for each in by_key.values() if each.parent == identity}
    return any(each.lives_at(now) for each in held) or any(_lives_on(by_key, one, now) for one in below)


def _trend(born: list[_Credential], reported: dict[int, int], now: int, since: int) -> tuple[Day, ...]:
    days = []
    for start in range(since, now + 1, DAY):
        last = min(start + DAY - 1, now)
        days.append(
            Day(
                start,
                sum(start <= each.issued_at <= last for each in born),
                sum(start <= each.death <= last for each in born),
                sum(each.issued_at <= last < each.death for each in born),
                sum(start <= at <= last for at in reported.values()),
            )
        )
    return tuple(days)
