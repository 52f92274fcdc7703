"""Rows of the ledger compared with the audit events that issued and ended them.

They are read in the order of these events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from jitid.capabilities.access import store as access_store
from jitid.capabilities.access.store import AccessStore, PresentedStore
from jitid.capabilities.adopt.store import AdoptedStore
from jitid.capabilities.directory import delegators
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import barred_store
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.integrity import (
    verify_barred,
    verify_directory,
    verify_issued,
    verify_keys,
    verify_pruned,
    verify_sessions,
    verify_tasks,
    verify_use,
)
from jitid.capabilities.integrity.prune_store import PruneStore, issued_parts
from jitid.capabilities.integrity.store import EventRows, RowStore
from jitid.capabilities.integrity.verify_issued import IssuedMembers
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.capabilities.leak.store import LeakStore
from jitid.capabilities.session import store as session_store
from jitid.capabilities.targets.store import OutsideStore
from jitid.capabilities.use.store import UseStore
from jitid.errors import IntegrityError
from jitid.ledger import contract
from jitid.ledger.contract import Seal
from jitid.ledger.contract import find_seal as find_seal
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model import event as audit
from jitid.model.ledger_rows import RESTORED
from jitid.values import strict_json
from jitid.values.ids import credential_id, identity_id, parse_access_id, parse_id

_MANY = 10
"""Number of rows from which one query for all is cheaper than reading each row."""
_ISSUED_BY = itemgetter(3)


class MemberRows:
    """Rows in the order of their events."""

    def __init__(
        self,
        rows: Iterator[tuple[Any, ...]],
        verb: str,
        event: Callable[[tuple[Any, ...]], int],
        through: int,
    ) -> None:
        """Keep the query. `event` returns the event of a row; rows of events up to `through` may be gone."""
        self._rows = EventRows(iter(rows), event, through)
        self._verb = verb
        self._through = through

    def take(self, seq: int, count: int) -> list[tuple[Any, ...]]:
        """Return the next `count` rows, those of event `seq`. Raise IntegrityError if there are fewer."""
        rows = self._rows.take(seq, count)
        if len(rows) != count and seq > self._through:
            raise IntegrityError(mismatch_message(seq, self._verb))
        return rows

    def compare_rows(self) -> None:
        """Raise IntegrityError if rows are left that no event accounts for."""
        row = self._rows.next()
        if row is not None:
            raise IntegrityError(
                f"no audit event states that credential {credential_id(row[1])} was {self._verb}"
            )


class IssuedRows(MemberRows):
    """The rows of issued credentials. Many rows of one event may be skipped, if they were compared as a whole."""

    def __init__(self, snapshot: View, without: str, through: int) -> None:
        """Start the query; `without` names a table of identities that are gone."""
        super().__init__(RowStore(snapshot).issued_members(without), "issued", _ISSUED_BY, through)
        self._snapshot = snapshot
        self._without = without
        self._next = RowStore(snapshot).first_credential()
        """The lowest number that the next row can have; None if rows are not in the order of their numbers."""
        self._passed = False
        """Whether rows were skipped that the open query would still return."""

    def first_of(self, seq: int, count: int) -> int | None:
        """Return the number of the first row of an event, if the event has many rows and none may be gone."""
        return self._next if count >= _MANY and seq > self._through else None

    def skip(self, count: int) -> None:
        """Skip the next `count` rows; their numbers have no gap."""
        assert self._next is not None
        self._next += count
        self._passed = True

    def take(self, seq: int, count: int) -> list[tuple[Any, ...]]:
        """Return the next `count` rows, those of event `seq`. Raise IntegrityError if there are fewer."""
        self._catch_up()
        rows = super().take(seq, count)
        if rows and self._next is not None:
            self._next = rows[-1][0] + 1
        return rows

    def compare_rows(self) -> None:
        """Raise IntegrityError if rows are left that no event accounts for."""
        self._catch_up()
        super().compare_rows()

    def _catch_up(self) -> None:
        if self._passed and self._next is not None:
            rows = RowStore(self._snapshot).issued_members(self._without, self._next - 1)
            self._rows = EventRows(rows, _ISSUED_BY, self._through)
            self._passed = False


def mismatch_message(seq: int, verb: str) -> str:
    """Return the message about an event that does not agree with its credentials."""
    return f"the ledger's credentials do not match event {seq}, which {verb} them"


# Columns of `issued_members` and `ended_rows` of `RowStore`. There may be a million rows: no loop in Python runs over
# them.
_EVENT = itemgetter(0)
_JTI = itemgetter(1)
_MISTIMED, _RECORDED = itemgetter(5), itemgetter(6)
_PRINTED = itemgetter(1, 2)
_STATE = itemgetter(3, 2)

_ENDED_AS = {
    "revoke": "revoked",
    "key-revoke": "revoked",
    "retire": "retired",
    "expire": "expired",
    "supersede": "superseded",
    "abandon": "revoked",
    "lapse": "revoked",
    "mint-failure": "revoked",
    "delegator-disable": "revoked",
    "delegator-import": "revoked",
    "agent-register": "revoked",
    "agent-suspend": "revoked",
    "agent-unregister": "revoked",
}
_EVERY = 1 << 31
_CLOSING = frozenset({"expire", "supersede"})
"""Operations whose event ends credentials at different times."""
_REUSED = b'"renewed-twice"'
_ROWS = b'"rows":"'
_ISSUED = b'"issued":"'
"""Bytes of events that adopt credentials, and of events that issued them before `_ROWS` covered a whole row."""


class Members:
    """The comparison of rows with their events, one event after another."""

    def __init__(self, snapshot: View, issuer: str) -> None:
        self._snapshot = snapshot
        self._names = verify_keys.NamesMembers(snapshot, issuer)
        self._pruned = verify_pruned.PrunedMembers(PruneStore(snapshot))
        without, through = self._pruned.condemned_table, self._pruned.through
        self._without = without
        self._issued = IssuedRows(snapshot, without, through)
        self._rows = IssuedMembers(snapshot, without)
        self._ended = MemberRows(RowStore(snapshot).ended_rows(without), "ended", _EVENT, through)
        self._honoured = verify_issued.HonouredMembers(self._pruned)
        self._mistimed: bytes | None = None
        """An ended credential that did not expire at its expiry, or was superseded without a successor."""
        self._recorded = 0
        """Number of ended credentials that the records of agents count."""
        self._leaks = verify_use.LeakMembers(LeakStore(snapshot), self._pruned)
        self._approvals = verify_tasks.ApprovalRows(ApprovalStore(snapshot), snapshot.now, self._pruned)
        self._access = verify_directory.AccessMembers(AccessStore(snapshot), snapshot.now)
        self._presented = access_store.PresentedMembers(PresentedStore(snapshot), snapshot.now)
        self._agents = verify_directory.AgentMembers(DirectoryStore(snapshot), without)
        self._delegators = verify_directory.DelegatorMembers(DirectoryStore(snapshot))
        self._uses = verify_use.UseMembers(UseStore(snapshot), self._pruned)
        self._tasks = verify_tasks.TaskMembers(snapshot, pruned=bool(through))
        self._keys = verify_keys.KeyMembers()
        self._marks = verify_use.MarkMembers(snapshot, self._pruned, self._names)
        self._barred = verify_barred.BarredMembers(barred_store.BarredStore(snapshot), self._pruned)
        self._sessions = verify_sessions.SessionMembers(session_store.SessionStore(snapshot), without)
        self._policies: set[str] = set()
        """The digests of the policies by which credentials were issued."""
        self._outside = verify_use.OutsideMembers(OutsideStore(snapshot), self._pruned)
        self._adopted: dict[int, str] = {}
        """The digests of adopted secrets, by event."""
        self._reused: dict[bytes, int] = {}
        """Credentials that a caller tried to renew a second time, with the time of the first attempt."""
        self._lasting: dict[str, int] = {}
        """Credentials for which the row disagrees with the last event about their succession, and that event."""
        self._restored_at: int | None = None
        """Time when the ledger was last restored from a backup, or its clock set back: earlier proof does not count."""
        self._partly: set[int] = set()
        """Events that ended rows of which some are gone."""
        self._seal: Seal | None = None
        self._publics = 0
        """Number of credentials for which an event vouches for the key."""
        self.count = 0
        """Number of rows that were compared."""

    def check(self, seq: int, body: bytes) -> None:
        """Compare the rows of one event. Raises IntegrityError if one of them was edited, removed or inserted."""
        try:
            self._check(seq, body)
        except (KeyError, AttributeError) as error:
            # The chain is not secret: an attacker with write access to the file can hash any event again.
            raise IntegrityError(f"event {seq} has missing or invalid fields") from error
        except TypeError as error:
            # An editor that uses a database's own functions may leave text instead of bytes, or NULL.
            raise IntegrityError(f"a row of event {seq} has an invalid value") from error

    def _check(self, seq: int, body: bytes) -> None:
        # Inside a text the quotes would be escaped: these are members of the event itself.
        if any(mark in body for mark in verify_keys.MARKS):
            self._names.take(seq, strict_json.loads(body, "audit event"))
        if access_store.MARK in body:
            # An event of any operation may have marks in addition.
            self._presented.check(seq, strict_json.loads(body, "audit event"))
        if verify_keys.KEY in body or verify_keys.RETIRED in body:
            self._keys.take(strict_json.loads(body, "audit event"))
        if _ROWS in body or _ISSUED in body:
            self._check_issued(seq, strict_json.loads(body, "audit event"))
            return
        if b'"op":"adopt-change"' in body:
            event = strict_json.loads(body, "audit event")
            self._adopted[event["of"]] = event["adopted"]
            self._outside.changed(event["at"])
            return
        if b'"confirmed":"' in body or b'"settled":"' in body:
            self._outside.check(seq, strict_json.loads(body, "audit event"))
            return
        if any(mark in body for mark in contract.MARKS):
            self._take_move(strict_json.loads(body, "audit event"))
        if any(mark in body for mark in verify_tasks.MARKS):
            self._approvals.check(seq, strict_json.loads(body, "audit event"))
        if any(mark in body for mark in verify_directory.MARKS):
            event = strict_json.loads(body, "audit event")
            self._access.check(seq, event)
            if event["op"] == "accept-clock":
                # Events of earlier versions do not state it, and those versions did not store it.
                self._restored_at = event.get("restored_at", self._restored_at)
                self._presented.clock(event)
                self._marks.clock(event)
            elif isinstance(event.get("access"), str):
                self._marks.made(event, [parse_access_id(event["access"])])
        if verify_use.ASSERTION in body:
            self._marks.use(strict_json.loads(body, "audit event"))
        if verify_tasks.MARK in body or verify_tasks.RETIRED in body:
            self._tasks.take(seq, strict_json.loads(body, "audit event"))
        if verify_directory.MARK in body:
            self._agents.take(seq, strict_json.loads(body, "audit event"))
        if delegators.MARK in body:
            event = strict_json.loads(body, "audit event")
            self._delegators.take(seq, event)
            self._agents.take_leaving(event)
        if _REUSED in body and b'"op":"denial"' in body:
            event = strict_json.loads(body, "audit event")
            if event.get("rules") == ["renewed-twice"] and "of" in event:
                self._reused.setdefault(parse_id(event["of"])[1], event["at"])
        if session_store.MARK in body:
            self._sessions.take(seq, strict_json.loads(body, "audit event"))
        if barred_store.MARK in body:
            self._barred.take(seq, strict_json.loads(body, "audit event"))
        if b'"ended":"' in body:
            self._check_ended(seq, strict_json.loads(body, "audit event"))
        elif verify_use.LEAK in body:
            self._leaks.check(seq, strict_json.loads(body, "audit event"))
        elif verify_use.MARK in body:
            self._uses.check(seq, strict_json.loads(body, "audit event"))
        elif verify_pruned.MARK in body:
            self._pruned.take(seq, strict_json.loads(body, "audit event"))

    def _take_move(self, event: Mapping[str, Any]) -> None:
        match event["op"]:
            case "ledger-seal":
                self._seal = Seal(event["to"], event["since"], event["mark"], event.get("done", False))
            case "ledger-copy":
                # This ledger is the copy, which is not sealed.
                self._seal = None
            case _:
                # Events of earlier versions do not state it, and those versions did not store it.
                self._restored_at = event.get("restored_at", self._restored_at)

    def compare_rows(self) -> None:
        """Compare keys, and find rows that no event accounts for.

        Raises IntegrityError if there are such rows, or a key disagrees with its events.
        """
        try:
            self._must_be_done()
        except (AttributeError, TypeError) as error:
            raise IntegrityError("a row of the ledger has an invalid value") from error

    def _must_be_done(self) -> None:
        self._names.compare_rows(self._rows.since)
        self._issued.compare_rows()
        self._rows.compare_rows()
        self._ended.compare_rows()
        self._leaks.compare_rows()
        self._approvals.compare_rows()
        self._access.compare_rows()
        self._presented.compare_rows()
        self._agents.compare_rows(self._recorded)
        self._delegators.compare_rows()
        self._uses.compare_rows()
        self._tasks.compare_rows(from_before=self._names.upgraded)
        self._outside.compare_rows()
        self._sessions.compare_rows()
        self._barred.compare_rows()
        self._pruned.compare_rows()
        self.count += self._outside.count
        if RowStore(self._snapshot).count_publics(self._without) != self._publics:
            raise IntegrityError("the ledger names the key of a certificate, but no event names that key")
        self._marks.compare_rows()
        self._keys.compare_rows(KeyStore(self._snapshot).signing_keys())
        if missing := self._policies - set(RowStore(self._snapshot).policies()):
            raise IntegrityError(
                f"the ledger lacks the policy {min(missing)}, which permitted issued credentials"
            )
        if (jti := self._mistimed or RowStore(self._snapshot).wrongly_superseded(self._without)) is not None:
            raise IntegrityError(
                f"the time at which {credential_id(jti)} ended or was superseded was changed in the ledger"
            )
        self._honoured.compare_rows(RowStore(self._snapshot).honoured(), self._partly)
        self._must_be_adopted()
        self._must_be_reused()
        restored_at = self._snapshot.setting(RESTORED)
        if restored_at != (None if self._restored_at is None else str(self._restored_at)):
            raise IntegrityError(
                "the ledger's time of its last restore or clock change does not match its events"
            )
        if find_seal(self._snapshot) != self._seal:
            raise IntegrityError("the ledger's seal does not match its events")
        if self._lasting:
            superseded, seq = next(iter(self._lasting.items()))
            raise IntegrityError(
                f"event {seq} superseded {superseded}, but the ledger no longer records that"
            )

    def _check_issued(self, seq: int, event: Mapping[str, Any]) -> None:
        count = event.get("count", 1)
        if "opened" in event:
            self._tasks.open(seq, event)
        if "policy" in event:
            self._policies.add(event["policy"])
        first_key = self._issued.first_of(seq, count)
        if first_key is not None and self._rows.is_run(seq, event, first_key, count, self._names.issuer):
            self._issued.skip(count)
            self._marks.made(event, ())
            self.count += count
        else:
            self._check_each(seq, event, count)

    def _check_each(self, seq: int, event: Mapping[str, Any], count: int) -> None:
        rows = self._issued.take(seq, count)
        if event["op"] == "adopt":
            self._adopted[seq] = event["adopted"]
            self._tasks.adopt(seq, event)
            self._outside.adopted(list(map(_JTI, rows)), event["at"])
        elif "target" in event:
            # A credential at a target has no fingerprint before it is confirmed.
            self._outside.made(list(map(_JTI, rows)), event["target"], event["at"])
            rows = [(*row[:2], None, *row[3:]) for row in rows]
        at_target = "target" in event and event["op"] != "adopt"
        self._pruned.left("issues", seq, issued_parts(rows, at_target=at_target))
        digest = event["issued"] if "issued" in event or "rows" not in event else None
        if digest is not None and len(rows) == count and audit.issued_digest(map(_PRINTED, rows)) != digest:
            raise IntegrityError(mismatch_message(seq, "issued"))
        self._marks.made(event, map(_JTI, rows))
        if rows:
            self._rows.check(seq, event, rows, self._names.issuer)
        if rows and "certified" in event:
            publics = [row[4] for row in rows if row[4] is not None]
            if len(rows) == count and audit.certified_digest(publics) != event["certified"]:
                raise IntegrityError(
                    f"the key of a certificate that event {seq} issued was changed in the ledger"
                )
            self._publics += len(publics)
        if "replaced" in event:
            self._check_replaced(seq, event["replaced"])
        if "approval" in event:
            uid = rows[0][5] if len(rows) == count else None
            self._approvals.use(seq, event, None if uid is None else identity_id(uid))
        self.count += len(rows)

    def _must_be_reused(self) -> None:
        recorded = RowStore(self._snapshot).reused(self._without)
        for jti in self._reused.keys() | recorded.keys():
            if self._reused.get(jti) != recorded.get(jti) and (jti in recorded or self._pruned.there([jti])):
                raise IntegrityError(
                    f"the ledger's record of a second renewal of {credential_id(jti)} does not match the events"
                )

    def _must_be_adopted(self) -> None:
        recorded = AdoptedStore(self._snapshot).digests()
        for seq in self._adopted.keys() | recorded.keys():
            if self._adopted.get(seq) != recorded.get(seq):
                raise IntegrityError(f"the ledger's adopted secrets do not match event {seq}")

    def _check_replaced(self, seq: int, replaced: Mapping[str, int | None]) -> None:
        # The last event about a credential counts: another renewal may bring its end forward, and an abandoned renewal
        # restores it.
        replacements = [(parse_id(jti)[1], jti, superseded_at) for jti, superseded_at in replaced.items()]
        recorded = dict(CredentialStore(self._snapshot).supersessions([raw for raw, _, _ in replacements]))
        for raw, jti, superseded_at in replacements:
            # Pruned credentials went with their whole identity, and the digests of the remaining rows are without
            # them.
            if recorded[raw] == superseded_at or (
                seq <= self._pruned.through and not self._pruned.there([raw])
            ):
                self._lasting.pop(jti, None)
            else:
                self._lasting[jti] = seq

    def _check_ended(self, seq: int, event: Mapping[str, Any]) -> None:
        count = event["count"]
        rows = self._ended.take(seq, count)
        self._pruned.left("ends", seq, map(_JTI, rows))
        if len(rows) != count:
            self._partly.add(seq)
        if rows and set(map(_EVENT, rows)) != {seq}:
            raise IntegrityError(mismatch_message(seq, "ended"))
        if len(rows) == count and audit.ended_digest(map(_JTI, rows)) != event["ended"]:
            raise IntegrityError(mismatch_message(seq, "ended"))
        ended_as = _ENDED_AS[event["op"]]
        closing = event["op"] in _CLOSING
        times = {row[2] for row in rows if row[2] is not None} if closing else {event["at"]}
        states = {(ended_as, ended_at) for ended_at in times}
        if rows and set(map(_STATE, rows)) != states:
            raise IntegrityError(f"a credential that event {seq} ended was changed in the ledger")
        self._honoured.take(seq, [row for row in rows if row[4] is not None])
        self._recorded += sum(map(_RECORDED, rows))
        if any(map(_MISTIMED, rows)):
            self._mistimed = self._mistimed or next(row[1] for row in rows if row[5])
        if event["op"] == "retire" and "of" not in event:
            # This event is from before names had owners.
            if all(
                task.ended_at is None for task in TaskStore(self._snapshot).tasks_named(event["task"], _EVERY)
            ):
                raise IntegrityError(f"event {seq} retired a task, but the ledger no longer records that")
        elif event["op"] == "abandon":
            self._check_replaced(seq, event["restored"])
        self.count += len(rows)
