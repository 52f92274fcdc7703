"""The timeline of a leak: all steps from the issue of the credential to the close, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.leak import exposure
from jitid.capabilities.leak.exposure import LeakDetails
from jitid.capabilities.leak.store import LeakStore
from jitid.errors import IntegrityError, UsageError
from jitid.ledger.select import bounds
from jitid.ledger.view import View
from jitid.model.leak import Aftermath, Leak, LeakFilter
from jitid.model.task import Task
from jitid.values.record import Record

MOST = 100
"""The maximum number of leaks in one answer."""
SHOWN = 50
"""The maximum number of steps of each type that are listed."""
_BY_ITSELF = frozenset({"expired", "superseded"})
"""States that the clock alone causes: the caller of the event only happened to record them."""
_PATIENCE = 60
"""Seconds by which the times of events may be out of order, if clocks differ."""


class Step(Record):
    """A step of the timeline, with its source."""

    at: int
    """Seconds since the epoch."""
    what: str
    """`issued`, `made`, `seen`, `used`, `refused`, `reported`, `recorded`, `ended`, `settled`, `proved`, `lapsed` or
    `closed`."""
    by: str | None
    """The caller, agent or finder; None if there is none, or if it is unknown."""
    event: int | None
    """The audit event that records it; None if no event records it yet."""
    facts: Mapping[str, Any]
    """Further facts, by name."""


class Account(Record):
    """All facts about a leak, with its timeline."""

    details: LeakDetails
    task: Task
    issue: Mapping[str, Any]
    """The audit event that issued the credential."""
    aftermath: Aftermath
    steps: list[Step]
    """In the order of time."""
    proof: int | None
    """The audit event that proved that it is refused."""

    @property
    def leak(self) -> Leak:
        """The leak itself."""
        return self.details.leaked.leak

    @property
    def exposure(self) -> int:
        """Return the seconds from the report to the proof that the ledger refuses it, or until now without a proof."""
        leaked = self.details.leaked
        end_time = leaked.now if leaked.leak.proved_at is None else leaked.leak.proved_at
        return max(end_time - leaked.leak.reported_at, 0)

    @property
    def first_seen_at(self) -> int | None:
        """The time when a finder saw it first, if known; not before the issue, since a commit's date may be wrong."""
        times = [seen_place.sighting.found_at for seen_place in self.details.seen]
        earliest = min([time for time in times if time is not None], default=None)
        return None if earliest is None else max(earliest, self.details.leaked.credential.issued_at)


def accounts(snapshot: View, chosen: LeakFilter) -> list[Account]:
    """Return the accounts of the given leaks, in the order of their numbers.

    Raises:
        NotFoundError: there is no such leak.
        UsageError: there are more than `MOST` leaks.

    """
    all_details = exposure.details(snapshot, chosen)
    if len(all_details) > MOST:
        raise UsageError(
            f"{len(all_details)} leaks are too many for one timeline: the maximum is {MOST}",
            "name some of them by their numbers; see: jitid leak list",
        )
    proofs = _proofs(snapshot, [details.leaked.leak for details in all_details])
    return [_account(snapshot, details, proofs) for details in reversed(all_details)]


def _account(snapshot: View, details: LeakDetails, proofs: Mapping[int, Mapping[str, Any]]) -> Account:
    leaked = details.leaked
    leak, credential = leaked.leak, leaked.credential
    task = TaskStore(snapshot).task_numbered(credential.task_key)
    if task is None:
        raise IntegrityError(
            f"the task of {credential.id} is missing from the ledger", "run: jitid audit verify"
        )
    aftermath = LeakStore(snapshot).aftermath(
        credential.identity_key, credential.key, leak.reported_at, SHOWN
    )
    issue = snapshot.document(credential.event)
    proof = proofs.get(leak.key)
    steps = [
        *_beginning(details, issue),
        *_seen(snapshot, details),
        *_made(aftermath),
        *_acted(aftermath),
        *_ended(snapshot, details, aftermath),
        *_end(details, proof),
    ]
    # Within a second, the audit log gives the order; steps without an event are last, and a sighting precedes its
    # report.
    steps.sort(key=lambda step: (step.at, step.event is None, step.event or 0, step.what != "seen"))
    return Account(details, task, issue, aftermath, steps, None if proof is None else proof["seq"])


def _beginning(details: LeakDetails, issue: Mapping[str, Any]) -> Iterator[Step]:
    leak, credential, reporter = details.leaked.leak, details.leaked.credential, details.event.get("by")
    facts = {"jti": credential.jti, "kind": credential.kind}
    yield Step(credential.issued_at, "issued", issue.get("by"), credential.event, facts)
    yield Step(leak.reported_at, "reported", reporter, leak.event, {"source": leak.source})
    if leak.added_at != leak.reported_at:
        yield Step(leak.added_at, "recorded", reporter, leak.event, {})


def _seen(snapshot: View, details: LeakDetails) -> Iterator[Step]:
    """Yield when each finder saw it first, and later reports of further places."""
    first_steps: dict[str | None, Step] = {}
    later_counts: dict[int, int] = {}
    for seen_place in details.seen:
        sighting = seen_place.sighting
        if seen_place.event != details.leaked.leak.event:
            later_counts[seen_place.event] = later_counts.get(seen_place.event, 0) + 1
        if sighting.found_at is None:
            continue
        facts = {"place": sighting.place, "line": sighting.line, "revision": sighting.revision}
        step = Step(sighting.found_at, "seen", sighting.finder, seen_place.event, facts)
        if sighting.finder not in first_steps or step.at < first_steps[sighting.finder].at:
            first_steps[sighting.finder] = step
    yield from first_steps.values()
    for seq, count in list(later_counts.items())[:SHOWN]:
        event = snapshot.document(seq)
        if event:
            yield Step(event["at"], "recorded", event.get("by"), seq, {"places": count})


def _made(aftermath: Aftermath) -> Iterator[Step]:
    for made in aftermath.made:
        facts = {"jti": made.jti, "id": made.id, "agent": made.agent, "kind": made.kind, "depth": made.depth}
        yield Step(made.issued_at, "made", None, made.event, facts)


_FACTS_OF_USE = ("action", "resource", "times", "after", "last_at", "last_event")


def _acted(aftermath: Aftermath) -> Iterator[Step]:
    for use in aftermath.acted:
        facts = {name: getattr(use, name) for name in _FACTS_OF_USE}
        yield Step(use.first_at, "used" if use.allowed else "refused", use.agent, use.first_event, facts)


def _ended(snapshot: View, details: LeakDetails, aftermath: Aftermath) -> Iterator[Step]:
    leak = details.leaked.leak
    if leak.dead_at is not None and details.leaked.credential.ended_event is None:
        # By the clock it has ended, and no event records that yet.
        facts = {"state": details.leaked.state, "credentials": 1, "identities": 1, "own": True}
        yield Step(leak.dead_at, "ended", None, None, facts)
    for ended in aftermath.over:
        event = snapshot.document(ended.event)
        facts = {
            "state": ended.state,
            "credentials": ended.credentials,
            "identities": ended.identities,
            "own": ended.own,
            "reason": event.get("reason"),
        }
        caller = None if ended.state in _BY_ITSELF else event.get("by")
        yield Step(ended.first_at, "ended", caller, ended.event, facts)
    for at_target in aftermath.at_targets:
        if at_target.settled_at is not None:
            facts = {
                "target": at_target.target,
                "credentials": at_target.credentials,
                "settlement": at_target.settlement,
            }
            yield Step(at_target.settled_at, "settled", None, at_target.event, facts)


def _end(details: LeakDetails, proof: Mapping[str, Any] | None) -> Iterator[Step]:
    leak = details.leaked.leak
    if leak.proved_at is not None:
        caller, seq = (None, None) if proof is None else (proof["by"], proof["seq"])
        yield Step(leak.proved_at, "proved", caller, seq, {})
    accepted_until = leak.accepted_until
    if accepted_until is not None and (leak.refused_since or 0) < accepted_until <= details.leaked.now:
        # No event records this: the clock alone causes it.
        yield Step(accepted_until, "lapsed", None, None, {})
    if leak.closed_at is not None:
        closed = details.closed_event
        facts = {"reason": closed.get("reason")}
        yield Step(leak.closed_at, "closed", closed.get("by"), leak.closed_event, facts)


def _proofs(snapshot: View, leaks: Sequence[Leak]) -> dict[int, Mapping[str, Any]]:
    """Return the event that proves each proved leak; the row of a leak does not name it."""
    proved = {leak.key: leak for leak in leaks if leak.proved_at is not None}
    if not proved:
        return {}
    proofs: dict[int, Mapping[str, Any]] = {}
    latest = max(leak.proved_at or 0 for leak in proved.values()) + _PATIENCE
    for event in _after(snapshot, min(leak.event for leak in proved.values())):
        if event["op"] == "leak-proof":
            span = bounds(event)
            for key, leak in proved.items():
                if leak.proved_at == event["at"] and span["first"] <= key <= span["last"]:
                    proofs.setdefault(key, event)
        if len(proofs) == len(proved) or event["at"] > latest:
            break
    return proofs


def _after(snapshot: View, seq: int) -> Iterable[Mapping[str, Any]]:
    from jitid.capabilities.audit.audit_log import LogFilter, log

    return log(snapshot, LogFilter(after=seq), None)
