"""Which agents recur, and should have a record; which do not, and need none; and which have one for nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from jitid.capabilities.directory import recurrence_store
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import NotFoundError, UsageError
from jitid.ledger.view import View
from jitid.model.agent import Agent, AgentState
from jitid.model.agent_history import Past
from jitid.model.delegator import Delegator
from jitid.model.task import MAX_PURPOSE
from jitid.values.scope import Scope, gathered, normalise, uncovered
from jitid.values.text import label, operand, safe
from jitid.values.times import format_duration

DAYS = 90
"""For how many days of UTC to look back unless it is said."""
MOST_DAYS = 3_660

NAMELESS = "agent"
"""The name of whoever is given none: many agents, and no one of them."""
_DAY = 86_400
_INTERVALS = 3
"""So many of its longest intervals a name may be silent for."""
_PATIENCE = 14
"""Days that it may be silent for in any case."""
_EVERY = 1 << 31


class RecurrenceRule(NamedTuple):
    """From when on a name recurs."""

    tasks: int
    """With so many tasks."""
    on_days: int
    """Or with identities that were issued on so many days of UTC."""
    days: int = DAYS
    """What counts is what was issued in the last so many days, today included."""


OPEN = "DELEGATOR"
"""In the place of an owner who is still to be found."""


class Advice(StrEnum):
    """What should become of an agent's name."""

    REGISTER = "register"
    UNREGISTER = "unregister"
    STAY_REGISTERED = "stay registered"
    STAY_EPHEMERAL = "stay ephemeral"
    STAY_UNREGISTERED = "stay unregistered"


class Need(NamedTuple):
    """The least record that the past of a name needs."""

    owner: str
    """The delegator behind most of it; no more than a suggestion."""
    purpose: str
    scopes: tuple[Scope, ...]
    reported: bool
    """Whether they are those that were used, as enforcement points report; otherwise they are those granted."""
    audiences: tuple[str, ...]
    """None where the usual ones are enough."""
    kinds: tuple[str, ...]
    max_ttl: int
    concurrency: int

    def command(self, name: str, owner: str | None = None) -> str:
        """Return the command that registers the agent so, with another owner if need be."""
        dashed = name.startswith("-")
        words = ["jitid", "agent", "register", *([] if dashed else [name]), "--owner", owner or self.owner]
        words += ["--purpose", self.purpose]
        for option, values in (
            ("--scope", self.scopes),
            ("--audience", self.audiences),
            ("--kind", self.kinds),
        ):
            for value in values:
                words += [option, value]
        words += ["--max-ttl", format_duration(self.max_ttl), "--concurrency", str(self.concurrency)]
        if dashed:
            words += ["--", name]
        return shlex.join(words)


class RecurrenceVerdict(NamedTuple):
    """What is said of one name, and why."""

    agent: str
    advice: Advice
    why: str
    command: str | None
    """What does it, where something is to be done."""
    state: AgentState | None
    """None without a record."""
    past: Past | None
    """None if nothing was issued under it in these days."""
    need: Need | None
    """The same."""
    last_issued_at: int | None


class Classified(NamedTuple):
    """What is said of the names: what is to be done first."""

    verdicts: list[RecurrenceVerdict]
    untold: int
    """How many names there are besides."""
    untold_recurring: int
    """How many of those recur."""


def classify(
    snapshot: View, names: Sequence[str], rule: RecurrenceRule, most: int, *, usual: Sequence[str]
) -> Classified:
    """Say what should become of these names, or of all that there are.

    Args:
        snapshot: one consistent view of the ledger.
        names: whom to look at; none for all.
        rule: from when on a name recurs.
        most: how many names are told.
        usual: the audiences of whoever has none of their own.

    Raises:
        NotFoundError: one of the names is unknown.
        UsageError: the rule cannot be meant.

    """
    now = snapshot.now
    since = midnight(now, rule.days)
    wanted = tuple(dict.fromkeys(names))
    records = _records(snapshot, wanted)
    for name in wanted:
        if name not in records and not CredentialStore(snapshot).is_agent(name):
            raise NotFoundError(
                f"nothing was ever issued to an agent {label(name)}, and it has no record",
                "see which names there are: jitid agent classify",
            )
    found = recurrence_store.pasts(
        snapshot, since, names=wanted, tasks=rule.tasks, days=rule.on_days, most=len(wanted) or most
    )
    pasts: dict[str, Past | None] = {past.agent: past for past in found.told}
    recurring = sum(recurs(past, rule) for past in found.told)
    pasts |= {name: None for name in (*wanted, *records) if name not in pasts}
    holdings = DirectoryStore(snapshot).holdings(records.values())
    last = {record.name: holdings[record.key].last_issued_at for record in records.values()}
    owners: dict[str, Delegator | None] = {}
    verdicts = []
    for name, past in pasts.items():
        record = records.get(name)
        # A name that ended is looked at only if somebody asks.
        if record is not None and record.unregistered_at is not None and not wanted:
            continue
        need = None if past is None else need_of(past, usual)
        verdict = _judged(name, record, past, need, last.get(name), rule, now)
        if verdict.advice is Advice.REGISTER and need is not None:
            if need.owner not in owners:
                owners[need.owner] = DirectoryStore(snapshot).find_delegator(need.owner)
            verdict = _hindered(verdict, need, owners[need.owner])
        verdicts.append(verdict)
    order = list(Advice)
    verdicts.sort(key=lambda one: order.index(one.advice))
    return Classified(verdicts, found.names - len(found.told), found.recurring - recurring)


def midnight(now: int, days: int) -> int:
    """Return when the first of so many days of UTC began, of which this is the last. Raises UsageError."""
    if not 1 <= days <= MOST_DAYS:
        raise UsageError(f"--days is from 1 to {MOST_DAYS}")
    return (now // _DAY - days + 1) * _DAY


def recurs(past: Past, rule: RecurrenceRule) -> bool:
    """Tell whether a name recurs."""
    return past.tasks >= rule.tasks or past.days >= rule.on_days


def need_of(past: Past, usual: Sequence[str]) -> Need:
    """Return the least record under which all of a past could happen again; `usual` audiences need not be named."""
    reported = past.used is not None
    scopes = past.granted if past.used is None else past.used
    return Need(
        past.delegator,
        _purpose(past),
        gathered(normalise(Scope(scope) for scope in scopes)),
        reported,
        () if past.audiences <= set(usual) else tuple(sorted(past.audiences)),
        tuple(sorted(past.kinds)),
        _whole_minutes(past.longest),
        # With no more than that, the next run is refused while the last ones live.
        max(past.concurrency, 1) + 1,
    )


def _purpose(past: Past) -> str:
    """Return what it is for, as its latest task says, or that it recurs.

    It goes into a command that somebody looks at and pastes: what acts or hides in the task's is written visibly.
    """
    stated = safe(past.purpose or "").strip()[:MAX_PURPOSE]
    return stated or f"it recurs: {_number(past.tasks, 'task')} on {_days(past.days)}"


def _judged(
    name: str,
    record: Agent | None,
    past: Past | None,
    need: Need | None,
    last: int | None,
    rule: RecurrenceRule,
    now: int,
) -> RecurrenceVerdict:
    state = None if record is None else record.state_at(now)
    if past is not None:
        last = max(last or 0, past.last_at)

    def verdict(advice: Advice, why: str, command: str | None = None) -> RecurrenceVerdict:
        return RecurrenceVerdict(name, advice, why, command, state, past, need, last)

    period = f"in {_days(rule.days)}"
    if record is None:
        if past is None:
            return verdict(Advice.STAY_EPHEMERAL, f"nothing was issued {period}")
        told = f"{_number(past.tasks, 'task')} on {_days(past.days)} {period}"
        if not recurs(past, rule):
            return verdict(Advice.STAY_EPHEMERAL, f"{told}: it does not recur")
        if name == NAMELESS:
            return verdict(
                Advice.STAY_EPHEMERAL,
                f"{told}, under the name of whoever states none: give agents names of their own with --agent",
            )
        assert need is not None
        return verdict(Advice.REGISTER, f"it recurs: {told}", need.command(name))
    if record.unregistered_at is not None:
        return verdict(Advice.STAY_UNREGISTERED, "it was unregistered, and is issued nothing")
    # What was registered lately may not have had its turn yet.
    silent = (now - max(last or 0, record.registered_at)) // _DAY
    allowed, usual = rule.days, ""
    if past is not None and past.intervals.longest is not None:
        least = max(_INTERVALS * past.intervals.longest, _PATIENCE)
        if least < allowed:
            allowed, usual = least, f", and before at least every {_days(past.intervals.longest)}"
    if silent >= allowed:
        return verdict(
            Advice.UNREGISTER,
            f"nothing was issued for {_days(silent)}{usual}",
            f"jitid agent unregister {operand(name)}",
        )
    if past is None:
        return verdict(Advice.STAY_REGISTERED, "nothing was issued yet")
    return verdict(Advice.STAY_REGISTERED, f"{_number(past.tasks, 'task')} on {_days(past.days)} {period}")


def _hindered(verdict: RecurrenceVerdict, need: Need, owner: Delegator | None) -> RecurrenceVerdict:
    """Return a verdict with what keeps the suggested owner from registering the agent.

    Its command then leaves open who does: what is pasted must not fail for a reason that is known here.
    """
    if owner is None:
        why = f"; its owner must be known first: jitid delegator add {need.owner}"
        return verdict._replace(why=verdict.why + why)
    beyond = (
        ()
        if owner.entitlements is None
        else uncovered([Scope(one) for one in owner.entitlements], need.scopes)
    )
    if owner.disabled_at is not None:
        why = f"; {need.owner} is disabled: let another own it"
    elif beyond:
        why = f"; {need.owner} may not hand out {', '.join(beyond[:3])}: let another own it"
    else:
        return verdict
    return verdict._replace(why=verdict.why + why, command=need.command(verdict.agent, OPEN))


def _records(snapshot: View, names: Sequence[str]) -> dict[str, Agent]:
    if not names:
        return {
            record.name: record
            for record in DirectoryStore(snapshot).agents(owner=(), after=None, limit=_EVERY)
        }
    found = [DirectoryStore(snapshot).find_agent(name) for name in names]
    return {record.name: record for record in found if record is not None}


def _whole_minutes(seconds: int) -> int:
    return max(-(-seconds // 60), 1) * 60


def _days(count: int) -> str:
    return _number(count, "day")


def _number(count: int, one: str) -> str:
    return f"{count} {one if count == 1 else one + 's'}"
