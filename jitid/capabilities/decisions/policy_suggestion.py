"""Suggestion of a policy that permits an agent only its past rights; if use is reported, only the used ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from jitid.capabilities.decisions import store as decisions_store
from jitid.capabilities.decisions.store import QUARTER
from jitid.capabilities.directory import ownership
from jitid.capabilities.directory.recurrence import midnight
from jitid.errors import NotFoundError, UsageError
from jitid.ledger.view import View
from jitid.model.survey import Practice
from jitid.model.task import SENSITIVITIES, most_sensitive
from jitid.policy.cedar_text import among, entity, string, within
from jitid.values.record import Record
from jitid.values.scope import ALIKE, Scope, gathered, has_wildcard
from jitid.values.text import label, safe
from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from datetime import tzinfo

CREDENTIALS, DAYS = 5, 2
"""The minimum number of credentials, and of days, for conditions on hours and weekdays: fewer may be chance."""

_LONGEST_NAME = 40
_LINE = 100
_INDENT = "\n  "
_UNFIT = re.compile(r"[^A-Za-z0-9._-]")


class Suggestion(Record):
    """The needs of one agent, and the policy that permits them."""

    agent: str
    policy: str
    """Cedar policies, in whole lines."""
    rules: tuple[str, ...]
    """The names of the rules."""
    practice: Practice
    scopes: tuple[Scope, ...]
    max_ttl: int
    """The maximum lifetime in seconds."""


def suggest(
    snapshot: View, agent: str | None, task: str | None, days: int, *, zone: tzinfo | None, zone_name: str
) -> list[Suggestion]:
    """Return a policy for an agent, for each agent of a task, or for an agent's practice on a task.

    Args:
        snapshot: one consistent view of the ledger.
        agent: the agent; None for all agents of the task.
        task: the task; None for all tasks of the agent. One of the two is required.
        days: the number of UTC days to look back, today included.
        zone: the time zone of the policy's hours and weekdays; None for UTC.
        zone_name: the name of the zone.

    Raises:
        NotFoundError: the task is unknown, or no credential was issued there in these days.
        UsageError: neither is named.

    """
    if agent is None and task is None:
        raise UsageError("an agent or a task is required", "name an agent, or a task with --task")
    if task is not None and ownership.named(snapshot, task, None, all_=True) is None:
        raise NotFoundError(f"the ledger has no task {label(task)}", "to list tasks: jitid list --by task")
    since = midnight(snapshot.now, days)
    practices = decisions_store.practices(snapshot, since, agent, task)
    if not practices:
        subject = "any agent" if agent is None else f"an agent {label(agent)}"
        raise NotFoundError(
            f"nothing was issued to {subject} since {format_time(since)}"
            + ("" if task is None else f" on task {label(task)}"),
            "use a longer period with --days, or see: jitid list",
        )
    return [suggestion(practice, zone=zone, zone_name=zone_name) for practice in practices]


class _Scopes(Record):
    """The scopes that an agent needs: recorded scopes, and a pattern instead of many similar scopes."""

    exact: tuple[Scope, ...]
    """Scopes that must match literally, also those with a wildcard: an agent that used `*` may request `*`."""
    patterns: tuple[Scope, ...]

    @classmethod
    def of(cls, practice: Practice) -> Self:
        """Return the scopes of a practice."""
        scopes = sorted(map(Scope, practice.scopes))
        merged = gathered(scope for scope in scopes if not has_wildcard(scope))
        exact = {*filter(has_wildcard, scopes), *(scope for scope in merged if not has_wildcard(scope))}
        return cls(tuple(sorted(exact)), tuple(filter(has_wildcard, merged)))

    @property
    def condition(self) -> str:
        """The condition that a requested scope is one of these.

        Each `*` of a pattern is text within one segment: a matching scope has as many colons, and no wildcard.
        """
        conditions = []
        if self.exact:
            conditions.append(f"{_listed(map(string, self.exact))}.contains(context.scope)")
        for scope in self.patterns:
            longer = ":".join("*" * (scope.count(":") + 2))
            conditions.append(
                f"(context.scope like {string(scope)} && !(context.scope like {string(longer)})"
                " && !context.wildcard)"
            )
        return conditions[0] if len(conditions) == 1 else f"({f'{_INDENT}  || '.join(conditions)})"


def suggestion(practice: Practice, *, zone: tzinfo | None, zone_name: str) -> Suggestion:
    """Return the policy that permits the recorded practice of an agent."""
    scopes = _Scopes.of(practice)
    max_ttl = max(-(-practice.longest // 60), 1) * 60
    delegator_condition = (
        f"context.delegator in {_listed(entity('Delegator', name) for name in practice.delegators)}"
    )
    times = [datetime.fromtimestamp(quarter * QUARTER, zone or UTC) for quarter in practice.quarters]
    days = len({time.date() for time in times})
    enough = practice.credentials >= CREDENTIALS and days >= DAYS
    time_conditions = _when(times) if enough else []
    name = _name(practice.agent)
    issue = _permit(
        f"{name}-issue",
        f'@max_ttl("{format_duration(max_ttl)}")\n',
        practice.agent,
        "issue",
        [delegator_condition, *_terms(practice), *time_conditions],
    )
    rules = [f"{name}-issue"]
    policies = [
        _heading(practice, scopes, f"in the time zone {zone_name}" if enough else _too_few(practice, days)),
        issue,
    ]
    if practice.scopes:
        rules.append(f"{name}-scopes")
        policies.append(
            _permit(
                f"{name}-scopes",
                "",
                practice.agent,
                "grant",
                [delegator_condition, scopes.condition, *time_conditions],
            )
        )
    return Suggestion(
        practice.agent,
        "\n".join(policies),
        tuple(rules),
        practice,
        (*scopes.exact, *scopes.patterns),
        max_ttl,
    )


def _terms(practice: Practice) -> list[str]:
    """Return the conditions on a request besides its scopes and times."""
    highest = most_sensitive(*practice.sensitivities)
    sensitivities = SENSITIVITIES[: SENSITIVITIES.index(highest) + 1]
    return [
        f"{_listed(map(string, practice.proofs))}.contains(context.delegator_proof)",
        *(
            [f"{among(map(string, sensitivities))}.contains(context.sensitivity)"]
            if highest != SENSITIVITIES[-1]
            else []
        ),
        f"{_listed(map(string, practice.kinds))}.contains(context.kind)",
        f"{_listed(map(string, practice.templates))}.contains(context.template)",
        f"{_listed(map(string, practice.audiences))}.containsAll(context.audiences)",
        f"context.depth <= {practice.depth}",
    ]


def _when(times: Iterable[datetime]) -> list[str]:
    """Return the conditions on the hour and the weekday."""
    times = list(times)
    conditions = [
        within("context.hour", (time.hour for time in times), 0, 23),
        within("context.weekday", (time.isoweekday() for time in times), 1, 7),
    ]
    return [condition for condition in conditions if condition is not None]


def _too_few(practice: Practice, days: int) -> str:
    """Return why no condition on the time is suggested."""
    credentials = f"{practice.credentials} credential{'' if practice.credentials == 1 else 's'}"
    day_count = f"{days} day{'' if days == 1 else 's'}"
    return (
        f"not limited, too few records ({credentials} on {day_count}; required: {CREDENTIALS} on {DAYS} days)"
    )


def _permit(name: str, ttl_annotation: str, agent: str, action: str, conditions: Iterable[str]) -> str:
    head = f"principal == {entity('Agent', agent)}, action == {entity('Action', action)}, resource"
    body = f"{_INDENT}&& ".join(conditions)
    return f"@id({string(name)})\n{ttl_annotation}permit ({head})\nwhen {{\n  {body}\n}};\n"


def _heading(practice: Practice, scopes: _Scopes, times: str) -> str:
    usage = f"{practice.identities:,} identities; no use was reported"
    if practice.reported:
        usage = f"{practice.uses:,} uses of {practice.identities:,} identities"
    first, last = map(format_time, (practice.first_at, practice.last_at))
    scopes_line = f"Scopes: {len(practice.scopes)} {practice.scopes_from}"
    if scopes.patterns:
        scopes_line += f"; if more than {ALIKE} differ in one segment only, a pattern replaces them"
    end_name = "last use" if practice.reported else "end"
    lines = [
        f"Suggested policy for agent {practice.agent}, from {usage}:",
        f"{practice.credentials:,} credentials from {first} to {last}.",
        f"{scopes_line}.",
        f"Lifetime: {format_duration(practice.longest)}, the longest from first issue to {end_name} of an identity.",
        f"Hours and weekdays: {times}.",
    ]
    return "".join(f"// {safe(line)}\n" for line in lines)


def _listed(terms: Iterable[str]) -> str:
    """Return a set of terms, on one line or, if that is too long, one term a line."""
    terms = sorted(terms)
    line = among(terms)
    separator = f",{_INDENT}  "
    return line if len(line) <= _LINE else f"[{_INDENT}  {separator.join(terms)}{_INDENT}]"


def _name(agent: str) -> str:
    """Return the prefix of the rules' names: the agent's name, with invalid characters replaced."""
    fit = _UNFIT.sub("-", agent)[:_LONGEST_NAME]
    # Two agents' names may become the same after the replacement.
    return agent if fit == agent else f"{fit}-{sha256(agent.encode()).hexdigest()[:8]}"
