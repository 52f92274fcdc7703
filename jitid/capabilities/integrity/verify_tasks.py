"""Checks of tasks, their shares and requests for approval against their audit events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from jitid.capabilities.adopt.store import adopted_digest
from jitid.capabilities.audit.cut_store import CutStore
from jitid.capabilities.identity.task_store import ShareStore, TaskStore
from jitid.capabilities.integrity.verify_pruned import PrunedMembers
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.errors import IntegrityError
from jitid.ledger.view import View
from jitid.model.approval import Approval, ApprovalState
from jitid.model.task import ADOPTED, UNKNOWN_OWNER, Task
from jitid.values.record import Record
from jitid.values.text import label
from jitid.values.times import NO_EXPIRY

MARK = b'"op":"task-'
"""Bytes of every event about the owner or the shares of a task: inside a text the quotes would be escaped."""
RETIRED = b'"op":"retire"'


class TaskMembers:
    """The comparison of tasks and shares with the events about them.

    An event names a task by the number of the event that opened it (`of`), which never changes.
    """

    def __init__(self, snapshot: View, *, pruned: bool) -> None:
        """Keep the view; `pruned` is whether credentials may be gone that show the opener of an old task."""
        self._snapshot = snapshot
        self._pruned = pruned
        last_segment = CutStore(snapshot).last()
        self._cut = 0 if last_segment is None else last_segment.through
        self._opened: dict[int, Mapping[str, Any]] = {}
        self._taken: set[int] = set()
        """Events for which the task that they opened was found: each event opens one task."""
        self._adopting: dict[int, tuple[int, str | None]] = {}
        """Events that adopted secrets: the time, and the digest of the tasks, which earlier versions did not record."""
        self._given: dict[int, tuple[int, str]] = {}
        self._shares: dict[tuple[int, str], list[tuple[int, int | None]]] = {}
        self._from_before = False
        self._retired: dict[int, int] = {}
        self._retired_names: set[str] = set()
        """Names of tasks that were retired before names had owners."""

    def adopt(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event that adopted secrets, each with a separate task."""
        self._adopting[seq] = (event["at"], event.get("tasks"))

    def open(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event that opened a task."""
        self._opened[seq] = {
            "name": event["task"],
            "opener": event.get("opener", event["delegator"]),
            "purpose": event.get("purpose"),
            "sensitivity": event["opened"]["sensitivity"],
            "deadline": event["opened"]["deadline"],
            "opened_at": event["at"],
        }

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event that shared a task, gave it away or retired it."""
        if "of" not in event:
            self._retired_names.add(event["task"])
            return
        of: int = event["of"]
        match event["op"]:
            case "retire":
                self._retired.setdefault(of, event["at"])
            case "task-give":
                self._given[of] = (seq, event["to"])
            case "task-share":
                for name in event["with"]:
                    self._shares.setdefault((of, name), []).append((seq, None))
            case "task-unshare":
                for name in event["with"]:
                    shares = self._shares[of, name]
                    shares[-1] = (shares[-1][0], seq)

    def compare_rows(self, *, from_before: bool) -> None:
        """Compare the rows.

        Args:
            from_before: whether the ledger may have tasks from before events stated the owner of a task.

        Raises:
            IntegrityError: a row was edited, removed or inserted.

        """
        self._from_before = from_before
        events: dict[int, int] = {}
        adopted: dict[int, list[Task]] = {}
        for task in TaskStore(self._snapshot).all_tasks():
            events[task.key] = task.event
            if task.name.startswith(ADOPTED):
                adopted.setdefault(task.event, []).append(task)
            self._compare(task)
        for seq, tasks in adopted.items():
            self._compare_adopted(seq, tasks)
        for seq, opened in self._opened.items():
            raise IntegrityError(
                f"event {seq} opened the task {label(opened['name'])}, but the ledger lacks the task"
            )
        if (name := TaskStore(self._snapshot).wrongly_opened(self._pruned)) is not None:
            raise IntegrityError(f"the task {label(name)} does not belong to its first opener")
        shares: dict[tuple[int, str], list[tuple[int, int | None]]] = {}
        for share in ShareStore(self._snapshot).all():
            shares.setdefault((events.get(share.task, 0), share.name), []).append(
                (share.event, share.ended_event)
            )
        if shares != self._shares:
            raise IntegrityError("the shares of tasks do not match their events")

    def _may_be(self, task: Task) -> bool:
        """Return whether a task may exist without an event that opened it."""
        if task.given_event != 0:
            return 0 < task.event <= self._cut or (task.given_event is not None and task.event > 0)
        if not self._from_before:
            return False
        if task.event == 0:
            return task.opener == UNKNOWN_OWNER
        event = self._snapshot.event(task.event)
        if event is None:
            return 0 < task.event <= self._cut
        document = event.document()
        stated = (document.get("task", task.name), document.get("delegator", task.opener))
        return stated == (task.name, task.opener)

    def _compare_adopted(self, seq: int, tasks: list[Task]) -> None:
        digest = self._adopting.get(seq, (0, None))[1]
        transferred = any(task.event in self._given for task in tasks)
        if not transferred and digest not in (None, adopted_digest(tasks)):
            raise IntegrityError(f"the tasks of adopted secrets do not match event {seq}")

    def _compare(self, task: Task) -> None:
        opened: Mapping[str, Any] | None = self._opened.pop(task.event, None)
        if task.name.startswith(ADOPTED) and task.event in self._adopting:
            # The digest of the event covers its opener and sensitivity.
            adopted_at, _ = self._adopting[task.event]
            opened = opened or {"opener": task.opener, "deadline": NO_EXPIRY, "opened_at": adopted_at}
        transfer = self._given.get(task.event)
        if (task.given_event or None) != (None if transfer is None else transfer[0]):
            raise IntegrityError(f"the owner of the task {label(task.name)} does not match its events")
        if transfer is not None and task.opener != transfer[1]:
            raise IntegrityError(f"the owner of the task {label(task.name)} was changed in the ledger")
        if opened is not None:
            expected = {**opened, "opener": task.opener if transfer is not None else opened["opener"]}
            if any(getattr(task, field) != value for field, value in expected.items()):
                raise IntegrityError(
                    f"the task {label(task.name)} does not match event {task.event}, which opened it"
                )
        elif task.event in self._taken or not self._may_be(task):
            raise IntegrityError(f"no audit event opened the task {label(task.name)} of the ledger")
        if task.event > 0 and task.event not in self._adopting:
            self._taken.add(task.event)
        retired_at = self._retired.get(task.event)
        if retired_at is not None and task.ended_at != retired_at:
            raise IntegrityError(
                f"the task {label(task.name)} was retired, but the ledger no longer records that"
            )
        if (
            retired_at is None
            and task.ended_at is not None
            and not self._cut
            and task.name not in self._retired_names
        ):
            raise IntegrityError(f"the task {label(task.name)} has ended, but no event records that")


MARKS = (
    b'"op":"approval-',
    b'"op":"delegator-disable"',
    b'"op":"delegator-import"',
    b'"op":"accept-clock"',
    b'"op":"ledger-restore"',
)
"""Bytes of the events that matter here, and of no other event: inside a text the quotes would be escaped."""


class _Decision(Record):
    """The decision of an approver for a group, in the columns of its row."""

    approver: str
    proof: str
    granted: int
    decided_at: int
    expires_at: int | None
    event: int


class _ExpectedRequest:
    """A request according to the events."""

    def __init__(self, seq: int, event: Mapping[str, Any]) -> None:
        self.request = (
            event["digest"],
            event["delegator"],
            event["asked_by"],
            event["at"],
            event["until"],
            seq,
        )
        self.until: int = event["until"]
        self.decisions: dict[str, _Decision | None] = dict.fromkeys(event["groups"])
        self.end: tuple[str, int, int] | None = None
        self.used_for: str | None = None
        """The first identity that was issued with it, if the identity's row is there."""

    def decide(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take the event of an approver's decision."""
        expires_at = event.get("until")
        decision = _Decision(
            event["approver"], event["proof"], int(expires_at is not None), event["at"], expires_at, seq
        )
        self.decisions |= dict.fromkeys(event["groups"], decision)
        if expires_at is None:
            self.end = (ApprovalState.DENIED.value, event["at"], seq)

    def granted_at(self, time: int) -> dict[str, str]:
        """Return the approvers with valid grants at a time, by group."""
        return {
            group: decision.approver
            for group, decision in self.decisions.items()
            if decision is not None
            and decision.expires_at is not None
            and decision.decided_at <= time < decision.expires_at
        }


class ApprovalRows:
    """The comparison of requests for approval with the events about them."""

    def __init__(self, snapshot: ApprovalStore, now: int, pruned: PrunedMembers) -> None:
        self._snapshot = snapshot
        self._pruned = pruned
        self._expected: dict[str, _ExpectedRequest] = {}
        self._latest = now
        """The latest time that the ledger has seen: a clock may have been set back."""
        self._withdrawn: dict[tuple[int, int], int] = {}
        """Number of requests that an event withdrew, by its number and time."""
        self._silenced: list[tuple[int, str | None]] = []
        """Events that withdrew grants, each with the approver; None stands for several approvers."""

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event. Raises IntegrityError if its request was never made, or had ended."""
        match event["op"]:
            case "accept-clock":
                self._latest = max(self._latest, event["at"] - event["jump"])
            case "delegator-disable" | "delegator-import" | "ledger-restore" | "approval-withdraw":
                if "requests" in event:
                    self._withdrawn[seq, event["at"]] = event["requests"]
                if "grants" in event:
                    self._silenced.append((seq, event.get("delegator")))
            case "approval-request":
                self._expected[event["approval"]] = _ExpectedRequest(seq, event)
            case _:
                self._open(seq, event["approval"], event["digest"]).decide(seq, event)

    def use(self, seq: int, event: Mapping[str, Any], identity: str | None) -> None:
        """Take an event that has used an approval, and the first identity that it issued.

        Raises IntegrityError if the approval was not granted, or had ended.
        """
        request = self._open(seq, event["approval"])
        grants = request.granted_at(event["at"])
        if (
            grants != event["approvers"]
            or grants.keys() != request.decisions.keys()
            or event["at"] >= request.until
        ):
            raise IntegrityError(f"event {seq} uses an approval that was not granted")
        request.end = (ApprovalState.USED.value, event["at"], seq)
        request.used_for = identity

    def compare_rows(self) -> None:
        """Compare the rows. Raises IntegrityError if a row was edited, removed or inserted."""
        if self._snapshot.has_strays():
            raise IntegrityError("the ledger has an approval without its request")
        withdrawn: Counter[tuple[int, int]] = Counter()
        for row in self._snapshot.all():
            self._pruned.request(row)
            expected = self._expected.pop(row.id, None)
            if expected is None:
                raise IntegrityError(f"no audit event records the request {row.id} of the ledger")
            end = _end_of(row)
            if end is not None and end[0] == ApprovalState.WITHDRAWN.value and expected.end is None:
                withdrawn[end[2], end[1]] += 1
            elif not self._has_ended_so(end, expected):
                raise IntegrityError(f"the end of request {row.id} does not match its events")
            if not self._matches(row, expected):
                raise IntegrityError(f"request {row.id} does not match its events")
        for id_, request in self._expected.items():
            # A request that may be gone is covered by the digests of the remaining rows.
            if request.request[-1] <= self._pruned.through:
                continue
            raise IntegrityError(f"the ledger lacks the request {id_}, which an event records")
        if withdrawn != self._withdrawn:
            raise IntegrityError("the withdrawn requests do not match the events")

    def _open(self, seq: int, id_: str, digest: str | None = None) -> _ExpectedRequest:
        request = self._expected.get(id_)
        if request is None or request.end is not None or digest not in (None, request.request[0]):
            raise IntegrityError(f"event {seq} concerns a request that was not open")
        return request

    def _has_ended_so(self, end: tuple[Any, ...] | None, expected: _ExpectedRequest) -> bool:
        if end is None or expected.end is not None:
            return end == expected.end
        # An expired request is closed without an event, by any later command.
        return (
            end[2] is not None
            and end[:2] == (ApprovalState.EXPIRED.value, expected.until)
            and expected.until <= self._latest
        )

    def _matches(self, row: Approval, expected: _ExpectedRequest) -> bool:
        request = (row.digest.hex(), row.delegator, row.asked_by, row.asked_at, row.expires_at, row.event)
        is_used = expected.end is not None and expected.end[0] == ApprovalState.USED.value
        decisions = {
            word.group: None if word.granted is None else _Decision._make(word[1:7]) for word in row.words
        }
        return (
            request == expected.request
            and (row.identity is not None) == is_used
            and (expected.used_for is None or row.identity == expected.used_for)
            and decisions.keys() == expected.decisions.keys()
            and all(
                decisions[group] == decision
                or (
                    decisions[group] is None
                    and decision is not None
                    and self._has_lapsed(decision, _end_of(row))
                )
                for group, decision in expected.decisions.items()
            )
            # A row without a decision must not have the values of one.
            and not any(
                word.granted is None
                and (word.approver, word.proof, word.decided_at, word.expires_at, word.event) != (None,) * 5
                for word in row.words
            )
        )

    def _has_lapsed(self, decision: _Decision, end: tuple[Any, ...] | None) -> bool:
        """Return whether a grant expired, or was withdrawn with its approver, before the request ended."""
        if decision.expires_at is None:
            return False
        _, ended_at, ended_event = (None, self._latest, None) if end is None else end
        return decision.expires_at <= ended_at or any(
            decision.event < seq
            and (ended_event is None or seq <= ended_event)
            and name in (None, decision.approver)
            for seq, name in self._silenced
        )


def _end_of(row: Approval) -> tuple[Any, ...] | None:
    end = (row.ended_as, row.ended_at, row.ended_event)
    return None if end == (None, None, None) else end
