"""Checks of the directory's delegators and agents, and of access credentials, against their audit events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from jitid.capabilities.access.store import AccessStore
from jitid.capabilities.directory.delegator_store import SUSPENDED_AS
from jitid.capabilities.directory.delegators import (
    FORM,
    RECORDED_FIELDS,
    _all_delegators,
    _digest,
    recorded_facts,
)
from jitid.capabilities.directory.store import DirectoryStore
from jitid.errors import IntegrityError
from jitid.model.access import Access, AccessState
from jitid.model.directory import Agent, Delegator
from jitid.values.text import label

MARKS = (
    b'"op":"access-',
    b'"op":"delegator-disable"',
    b'"op":"delegator-import"',
    b'"op":"accept-clock"',
)
"""Bytes of the events that matter here, and of no other event: inside a text the quotes would be escaped."""

_End = tuple[str, int, int]


class _ExpectedAccess:
    """An access credential according to the events."""

    def __init__(self, seq: int, event: Mapping[str, Any]) -> None:
        self.granted = (
            event["name"],
            event.get("roles", []),
            event["at"],
            event["until"],
            event.get("fingerprint"),
            event.get("key"),
            int(event["op"] == "access-bootstrap"),
            event.get("predecessor"),
            event.get("audiences"),
            event.get("subject"),
            event.get("proved_at"),
            event.get("holder"),
            seq,
        )
        self.superseded_at: int | None = None
        self.end: _End | None = None


class AccessMembers:
    """The comparison of access credentials with the events about them."""

    def __init__(self, snapshot: AccessStore, now: int) -> None:
        self._snapshot = snapshot
        self._expected: dict[str, _ExpectedAccess] = {}
        self._latest = now
        """The latest time that the ledger has seen: a clock may have been set back."""
        self._departed: dict[tuple[int, int], int] = {}
        """Number of access credentials that ended with their delegators, by number and time of the event."""

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event. Raises IntegrityError if its access credential was never granted, or had ended."""
        match event["op"]:
            case "accept-clock":
                self._latest = max(self._latest, event["at"] - event["jump"])
            case "delegator-disable" | "delegator-import":
                if "access" in event:
                    self._departed[seq, event["at"]] = event["access"]
            case "access-revoke":
                for id_ in event["access"]:
                    self._end(seq, id_, (AccessState.REVOKED.value, event["at"], seq))
            case _:
                self._expected[event["access"]] = _ExpectedAccess(seq, event)
                if "spent" in event:
                    self._end(seq, event["spent"], (AccessState.SPENT.value, event["at"], seq))
                for id_ in event.get("replaced_logins", ()):
                    self._end(seq, id_, (AccessState.ROTATED.value, event["at"], seq))
                if "predecessor" in event:
                    predecessor = self._open(seq, event["predecessor"])
                    ends_at = event["ends"]
                    predecessor.superseded_at = (
                        ends_at
                        if predecessor.superseded_at is None
                        else min(predecessor.superseded_at, ends_at)
                    )

    def compare_rows(self) -> None:
        """Compare the rows. Raises IntegrityError if a row was edited, removed or inserted."""
        departed: Counter[tuple[int, int]] = Counter()
        for row in self._snapshot.all():
            expected = self._expected.pop(row.id, None)
            if expected is None:
                raise IntegrityError(f"no audit event records the access credential {row.id} of the ledger")
            if _granted(row) != expected.granted or row.superseded_at != expected.superseded_at:
                raise IntegrityError(f"the access credential {row.id} does not match its events")
            if row.ended_as == AccessState.DISABLED and expected.end is None:
                departed[int(row.ended_event or 0), int(row.ended_at or 0)] += 1
            elif not self._has_ended_so(row, expected):
                raise IntegrityError(f"the end of the access credential {row.id} does not match its events")
        for id_ in self._expected:
            raise IntegrityError(f"the ledger lacks the access credential {id_}, which an event records")
        if departed != self._departed:
            raise IntegrityError("the access that was revoked with its delegators does not match the events")

    def _open(self, seq: int, id_: str) -> _ExpectedAccess:
        expected = self._expected.get(id_)
        if expected is None or expected.end is not None:
            raise IntegrityError(f"event {seq} changes an access credential that was not valid then")
        return expected

    def _end(self, seq: int, id_: str, end: _End) -> None:
        self._open(seq, id_).end = end

    def _has_ended_so(self, row: Access, expected: _ExpectedAccess) -> bool:
        end = (row.ended_as, row.ended_at, row.ended_event)
        if expected.end is not None:
            return end == expected.end
        if end == (None, None, None):
            return True
        # An expired or rotated credential is closed without an event, by any later command.
        end_times = {
            AccessState.EXPIRED.value: row.expires_at,
            AccessState.ROTATED.value: expected.superseded_at,
        }
        end_time = None if row.ended_as is None else end_times.get(row.ended_as)
        return end_time is not None and end[1:] == (end_time, None) and end_time <= self._latest


def _granted(row: Access) -> tuple[Any, ...]:
    return (
        row.name,
        list(row.roles),
        row.issued_at,
        row.expires_at,
        None if row.fingerprint is None else row.fingerprint.hex(),
        None if row.public is None else sha256(row.public.encode()).hexdigest(),
        row.bootstrap,
        row.predecessor,
        None if row.audiences is None else list(row.audiences),
        row.subject,
        row.proved_at,
        row.holder,
        row.event,
    )


MARK = b'"op":"agent-'
"""Bytes of every event about agents, and of no other event: inside a text the quotes would be escaped."""

_EVERY = 1 << 31
_LISTS = ("scopes", "audiences", "kinds", "users")
_OPS_WITH_LIMITS = ("agent-register", "agent-change")
_LIMIT_FIELDS = ("owner", "purpose", *_LISTS, "max_ttl", "concurrency")


def _defaults() -> dict[str, Any]:
    """Return the values of a record if no event states others."""
    return {**dict.fromkeys(("concurrency", "suspended_at", "unregistered_at")), "users": []}


class AgentMembers:
    """The comparison of the records of agents with the events about them."""

    def __init__(self, snapshot: DirectoryStore, without: str) -> None:
        """Keep the view; `without` names a table of identities that are gone."""
        self._snapshot = snapshot
        self._without = without
        self._registered: dict[str, int] = {}
        """The first event that registered each agent, by name."""
        self._expected: dict[str, dict[str, Any]] = {}
        """The values that each record must have, by agent and field."""
        self._unnamed: list[int] = []
        """Times at which more agents were suspended with their owners than the event can name."""

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event about an agent."""
        name, at = event["agent"], event["at"]
        expected = self._expected.setdefault(name, _defaults())
        # Each `|=` changes the stored values of the agent.
        if event["op"] in _OPS_WITH_LIMITS:
            expected |= {field: event[field] for field in _LIMIT_FIELDS if field in event}
        match event["op"]:
            case "agent-register":
                self._registered.setdefault(name, seq)
                expected |= dict.fromkeys(("reviewed_at", "suspended_at", "suspended_as", "unregistered_at"))
                expected |= {
                    "registered_at": at,
                    "review_at": event["review"],
                    "concurrency": event.get("concurrency"),
                    "users": event.get("users", []),
                }
            case "agent-change" if event.get("unlimited"):
                expected["concurrency"] = None
            case "agent-review":
                expected |= {"reviewed_at": at, "review_at": event["review"]}
            # With `again`, the agent was suspended already, and only further credentials of it were ended.
            case "agent-suspend" if expected["suspended_at"] is None and not event.get("again"):
                expected |= {"suspended_at": at, "suspended_as": event.get("reason")}
            case "agent-resume":
                expected |= {"suspended_at": None, "suspended_as": None}
            case "agent-unregister" if expected["unregistered_at"] is None:
                expected["unregistered_at"] = at

    def take_leaving(self, event: Mapping[str, Any]) -> None:
        """Take an event about delegators, which may have suspended their agents."""
        agents = event.get("agents") or ()
        if isinstance(agents, dict):
            self._unnamed.append(event["at"])
            agents = agents["first"]
        for name in agents:
            self._expected[name] |= {"suspended_at": event["at"], "suspended_as": SUSPENDED_AS}

    def compare_rows(self, ended: int) -> None:
        """Compare the records.

        Args:
            ended: the number of ended credentials that records count.

        Raises:
            IntegrityError: a record was edited, removed or inserted.

        """
        for agent in self._snapshot.agents(owner=(), after=None, limit=_EVERY):
            expected = self._expected.pop(agent.name, None)
            if expected is None:
                raise IntegrityError(f"no audit event records the agent {label(agent.name)} of the ledger")
            if self._differs(agent, expected):
                raise IntegrityError(f"the record of agent {label(agent.name)} does not match its events")
        for name in self._expected:
            raise IntegrityError(f"the ledger lacks the record of agent {label(name)}, which events record")
        if (
            agent_name := self._snapshot.miscounted_agent(self._registered, ended, self._without)
        ) is not None:
            raise IntegrityError(
                f"the record of agent {label(agent_name)} does not count all its credentials"
            )

    def _differs(self, agent: Agent, expected: Mapping[str, Any]) -> bool:
        record = agent._asdict()
        unnamed = agent.suspended_as == SUSPENDED_AS and agent.suspended_at in self._unnamed
        unchecked = ("suspended_at", "suspended_as") if expected["suspended_at"] is None and unnamed else ()
        return any(
            value != (list(record[field]) if field in _LISTS else record[field])
            for field, value in expected.items()
            if field not in unchecked
        )


class DelegatorMembers:
    """The comparison of the directory with the events about delegators.

    An import records the digest of the whole directory, and each change the values before it. So the changes since the
    last import are undone one by one, and the result must have that digest.
    """

    def __init__(self, snapshot: DirectoryStore) -> None:
        self._snapshot = snapshot
        self._base = sha256().hexdigest()
        """The digest that the last import recorded; before any import, the digest of an empty directory."""
        self._form = FORM
        """The version of the format that was digested."""
        self._since: list[tuple[int, Mapping[str, Any]]] = []
        """The events of single changes since the last import."""

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event."""
        if event["op"] == "delegator-import":
            self._base = event["directory"]
            self._form = event.get("digests", 1)
            self._since.clear()
        else:
            self._since.append((seq, event))

    def compare_rows(self) -> None:
        """Compare the directory. Raises IntegrityError if a part of it was edited, removed or inserted."""
        if (name := self._snapshot.wrongly_named()) is not None:
            raise IntegrityError(f"the delegator of the name {label(name)} was changed in the ledger")
        undone: dict[str, Delegator | None] = {}
        for seq, event in reversed(self._since):
            try:
                self._undo(seq, event, undone)
            except (KeyError, AttributeError, TypeError, ValueError) as error:
                raise IntegrityError(f"event {seq} has missing or invalid fields") from error
        if _digest(self._as_it_was(undone), self._form) != self._base:
            raise IntegrityError("the directory of delegators does not match its events")

    def _undo(self, seq: int, event: Mapping[str, Any], undone: dict[str, Delegator | None]) -> None:
        """Undo the change that one event made to a delegator."""
        name = event["delegator"]
        if name not in undone:
            undone[name] = self._snapshot.find_delegator(name)
        delegator = undone[name]
        if delegator is None or delegator.name != name:
            raise IntegrityError(
                f"the directory lacks the delegator {label(name)}, which event {seq} changed"
            )
        undone[name] = _before(seq, event, delegator)

    def _as_it_was(self, undone: Mapping[str, Delegator | None]) -> Iterator[Delegator]:
        for delegator in _all_delegators(self._snapshot):
            former = undone.get(delegator.name, delegator)
            if former is None:
                continue
            if self._form != FORM and former.disabled_last not in (None, former.disabled_at):
                raise IntegrityError(f"no event records the time when {label(former.name)} was last disabled")
            yield former


def _before(seq: int, event: Mapping[str, Any], delegator: Delegator) -> Delegator | None:
    """Return a delegator in the state before an event; None if the event added it. Raises IntegrityError."""
    recorded, at = recorded_facts(delegator), event["at"]
    match event["op"]:
        case "delegator-add":
            fresh = delegator._replace(
                imported=False, external=None, added_at=at, disabled_at=None, disabled_last=None
            )
            if delegator == fresh and all(
                recorded[field] == event.get(field, _ABSENT[field]) for field in RECORDED_FIELDS
            ):
                return None
        case "delegator-change":
            if all(recorded[field] == value for field, value in event["now"].items()):
                was: dict[str, Any] = {
                    field: tuple(value) if isinstance(value, list) else value
                    for field, value in event["was"].items()
                }
                return delegator._replace(**was)
        case "delegator-disable":
            if event.get("again"):
                return delegator
            if delegator.disabled_at == delegator.disabled_last == at:
                return delegator._replace(disabled_at=None, disabled_last=event.get("last"))
        case "delegator-enable":
            disabled_at = event["since"]
            # Events of earlier versions do not state whether the time is remembered: then it may be missing.
            if delegator.disabled_at is None and (
                delegator.disabled_last == disabled_at
                or (delegator.disabled_last is None and "last" not in event)
            ):
                return delegator._replace(disabled_at=disabled_at, disabled_last=disabled_at)
    raise IntegrityError(f"the delegator {label(delegator.name)} does not match event {seq}")


_ABSENT: Mapping[str, Any] = {
    "sensitivity": None,
    "entitlements": None,
    "groups": [],
    "manager": None,
    "aliases": [],
}
"""The values of fields that an event which adds a delegator leaves out."""
