"""Classification of agents: which recur and need a record, which do not, and which no longer need their record."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from jitid.capabilities.directory import recurrence_store
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import NotFoundError, UsageError
from jitid.ledger.view import View
from jitid.model.directory import Agent, AgentState, Delegator
from jitid.model.survey import Past
from jitid.model.task import MAX_PURPOSE
from jitid.values.field_types import POSITIVE, number
from jitid.values.record import Record
from jitid.values.scope import Scope, gathered, normalise, uncovered
from jitid.values.text import label, operand, safe
from jitid.values.times import format_duration

DAYS = 90
"""The default number of days (UTC) to look back."""
MOST_DAYS = 3_660

NAMELESS = "agent"
"""The default name of an agent: many different agents share it."""
_DAY = 86_400
_INTERVALS = 3
"""A name may be silent for this number of its longest intervals."""
_PATIENCE = 14
"""Days that a name may be silent in any case."""
_EVERY = 1 << 31


class RecurrenceRule(Record):
    """The thresholds from which a name counts as recurring; one of `tasks` and `on_days` is enough."""

    tasks: Annotated[int, POSITIVE]
    """The minimum number of tasks."""
    on_days: Annotated[int, POSITIVE]
    """The minimum number of UTC days on which identities were issued."""
    days: Annotated[int, number(1, 3_660)] = DAYS
    """The number of UTC days to look back, today included; only identities issued since then count."""


OPEN = "DELEGATOR"
"""Placeholder in a command for an owner that the operator must choose."""


class Advice(StrEnum):
    """The recommended action for an agent's name."""

    REGISTER = "register"
    UNREGISTER = "unregister"
    STAY_REGISTERED = "stay registered"
    STAY_EPHEMERAL = "stay ephemeral"
    STAY_UNREGISTERED = "stay unregistered"


class Need(Record):
    """The smallest record that permits the history of a name."""

    owner: str
    """The delegator of most of its identities; only a suggestion."""
    purpose: str
    scopes: tuple[Scope, ...]
    reported: bool
    """Whether `scopes` were used, according to enforcement points; otherwise they were granted."""
    audiences: tuple[str, ...]
    """Empty if the usual audiences are enough."""
    kinds: tuple[str, ...]
    max_ttl: int
    concurrency: int

    @property
    def scopes_from(self) -> str:
        """`used` or `granted`."""
        return "used" if self.reported else "granted"

    def command(self, name: str, owner: str | None = None) -> str:
        """Return the command that registers the agent with these limits; `owner` overrides the suggested owner."""
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


class RecurrenceVerdict(Record):
    """The recommendation for one name, with its reason."""

    agent: str
    advice: Advice
    why: str
    command: str | None
    """The command that carries out the advice; None if there is no action."""
    state: AgentState | None
    """None without a record."""
    past: Past | None
    """None if nothing was issued under the name in these days."""
    need: Need | None
    """None if nothing was issued under the name in these days."""
    last_issued_at: int | None


class Classified(Record):
    """The verdicts about names, the most urgent advice first."""

    verdicts: list[RecurrenceVerdict]
    untold: int
    """The number of names that are left out."""
    untold_recurring: int
    """The number of left-out names that recur."""


def classify(
    snapshot: View, names: Sequence[str], rule: RecurrenceRule, most: int, *, usual: Sequence[str]
) -> Classified:
    """Return the recommended action for these names, or for all names.

    Args:
        snapshot: one consistent view of the ledger.
        names: the names to classify; empty for all.
        rule: the thresholds from which a name counts as recurring.
        most: the maximum number of names in the result, if `names` is empty; agents with a record are added.
        usual: the audiences of an agent whose record lists none.

    Raises:
        NotFoundError: one of the names is unknown.
        UsageError: the number of days in the rule is out of range.

    """
    now = snapshot.now
    since = midnight(now, rule.days)
    requested = tuple(dict.fromkeys(names))
    records = _records(snapshot, requested)
    for name in requested:
        if name not in records and not CredentialStore(snapshot).is_agent(name):
            raise NotFoundError(
                f"unknown agent {label(name)}: it has no record, and no credential was ever issued to it",
                "see the names: jitid agent advise",
            )
    histories = recurrence_store.pasts(
        snapshot, since, names=requested, tasks=rule.tasks, days=rule.on_days, most=len(requested) or most
    )
    pasts: dict[str, Past | None] = {past.agent: past for past in histories.told}
    recurring = sum(recurs(past, rule) for past in histories.told)
    holdings = DirectoryStore(snapshot).holdings(records.values())
    last_issued = {record.name: holdings[record.key].last_issued_at for record in records.values()}
    missing = {*requested, *records} - pasts.keys() - histories.left_out
    pasts |= {name: None for name in (*requested, *records) if name in missing}
    owners: dict[str, Delegator | None] = {}
    verdicts = []
    for name, past in pasts.items():
        record = records.get(name)
        # An unregistered agent is classified only if the caller names it.
        if record is not None and record.unregistered_at is not None and not requested:
            continue
        need = None if past is None else need_of(past, usual)
        verdict = _judged(name, record, past, need, last_issued.get(name), rule, now)
        if verdict.advice is Advice.REGISTER and need is not None:
            if need.owner not in owners:
                owners[need.owner] = DirectoryStore(snapshot).find_delegator(need.owner)
            verdict = _with_obstacle(verdict, need, owners[need.owner])
        verdicts.append(verdict)
    order = list(Advice)
    verdicts.sort(key=lambda recommendation: order.index(recommendation.advice))
    return Classified(verdicts, histories.names - len(histories.told), histories.recurring - recurring)


def midnight(now: int, days: int) -> int:
    """Return when a period of `days` UTC days began that ends today. Raises UsageError if `days` is out of range."""
    if not 1 <= days <= MOST_DAYS:
        raise UsageError(f"--days must be from 1 to {MOST_DAYS}")
    return (now // _DAY - days + 1) * _DAY


def recurs(past: Past, rule: RecurrenceRule) -> bool:
    """Return whether a name recurs."""
    return past.tasks >= rule.tasks or past.days >= rule.on_days


def need_of(past: Past, usual: Sequence[str]) -> Need:
    """Return the smallest record that permits a whole history again; `usual` audiences are left out."""
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
        # With a lower limit, the next run would be refused while the last identities are valid.
        max(past.concurrency, 1) + 1,
    )


def _purpose(past: Past) -> str:
    """Return the purpose of the latest task, or a statement that the agent recurs.

    An operator reads and pastes the purpose as part of a command: control and hidden characters are made visible.
    """
    purpose = safe(past.purpose or "").strip()[:MAX_PURPOSE]
    return purpose or f"it recurs: {_number(past.tasks, 'task')} on {_days(past.days)}"


def _judged(
    name: str,
    record: Agent | None,
    past: Past | None,
    need: Need | None,
    last_issued_at: int | None,
    rule: RecurrenceRule,
    now: int,
) -> RecurrenceVerdict:
    state = None if record is None else record.state_at(now)
    if past is not None:
        last_issued_at = max(last_issued_at or 0, past.last_at)

    def verdict(advice: Advice, why: str, command: str | None = None) -> RecurrenceVerdict:
        return RecurrenceVerdict(name, advice, why, command, state, past, need, last_issued_at)

    period = f"in {_days(rule.days)}"
    if record is None:
        if past is None:
            return verdict(Advice.STAY_EPHEMERAL, f"no credential was issued {period}")
        summary = f"{_number(past.tasks, 'task')} on {_days(past.days)} {period}"
        if not recurs(past, rule):
            return verdict(Advice.STAY_EPHEMERAL, f"{summary}: it does not recur")
        if name == NAMELESS:
            return verdict(
                Advice.STAY_EPHEMERAL,
                f"{summary}; `{NAMELESS}` is the default name: give each agent its own name with --agent",
            )
        assert need is not None
        return verdict(Advice.REGISTER, f"it recurs: {summary}", need.command(name))
    if record.unregistered_at is not None:
        return verdict(Advice.STAY_UNREGISTERED, "it was unregistered; no credentials are issued to it")
    # An agent that was registered lately may not have run yet.
    silent_days = (now - max(last_issued_at or 0, record.registered_at)) // _DAY
    allowed_days, note = rule.days, ""
    if past is not None and past.intervals.longest is not None:
        min_silence = max(_INTERVALS * past.intervals.longest, _PATIENCE)
        if min_silence < allowed_days:
            allowed_days, note = min_silence, f", but at least every {_days(past.intervals.longest)} before"
    if silent_days >= allowed_days:
        return verdict(
            Advice.UNREGISTER,
            f"no credential was issued for {_days(silent_days)}{note}",
            f"jitid agent unregister {operand(name)}",
        )
    if past is None:
        return verdict(Advice.STAY_REGISTERED, "no credential was issued yet")
    return verdict(Advice.STAY_REGISTERED, f"{_number(past.tasks, 'task')} on {_days(past.days)} {period}")


def _with_obstacle(verdict: RecurrenceVerdict, need: Need, owner: Delegator | None) -> RecurrenceVerdict:
    """Return a verdict with the obstacle that keeps the suggested owner from owning the agent.

    If the owner is unsuitable, the command has a placeholder instead: a pasted command must not fail for a known
    reason.
    """
    if owner is None:
        obstacle = f"; its owner must be added first: jitid delegator add {need.owner}"
        return verdict._replace(why=verdict.why + obstacle)
    excess_scopes = (
        ()
        if owner.entitlements is None
        else uncovered([Scope(scope) for scope in owner.entitlements], need.scopes)
    )
    if owner.disabled_at is not None:
        obstacle = f"; {need.owner} is disabled: choose another owner"
    elif excess_scopes:
        obstacle = f"; {need.owner} may not hand out {', '.join(excess_scopes[:3])}: choose another owner"
    else:
        return verdict
    return verdict._replace(why=verdict.why + obstacle, command=need.command(verdict.agent, OPEN))


def _records(snapshot: View, names: Sequence[str]) -> dict[str, Agent]:
    if not names:
        return {
            record.name: record
            for record in DirectoryStore(snapshot).agents(owner=(), after=None, limit=_EVERY)
        }
    records = [DirectoryStore(snapshot).find_agent(name) for name in names]
    return {record.name: record for record in records if record is not None}


def _whole_minutes(seconds: int) -> int:
    return max(-(-seconds // 60), 1) * 60


def _days(count: int) -> str:
    return _number(count, "day")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun if count == 1 else noun + 's'}"
