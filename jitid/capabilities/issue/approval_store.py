"""Queries and changes of approval requests, in SQL for both SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any

from jitid.errors import IntegrityError
from jitid.ledger import select
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store
from jitid.model.approval import Approval, ApprovalFilter, ApprovalState, Word
from jitid.values.ids import IDENTITY, approval_id, identity_id
from jitid.values.times import check_times

if TYPE_CHECKING:
    from jitid.ledger.view import View

_APPROVAL = """
    SELECT p.id, p.uid, p.digest, p.request, p.delegator, p.asked_by, p.asked_at, p.expires_at, p.ended_at,
           p.ended_as, i.uid, p.event, p.ended_event
      FROM approval p LEFT JOIN identity i ON i.id = p.identity"""
_LIVE = "p.ended_at IS NULL AND p.expires_at > :now"
_IS_MEMBER = """EXISTS (SELECT 1 FROM delegator d CROSS JOIN delegator_group m
            WHERE d.name = g.approver AND d.disabled_at IS NULL AND m.delegator = d.id AND m.name = g.name)"""
_WORD = f"""SELECT g.approval, g.name, g.approver, g.proof, g.granted, g.decided_at, g.expires_at, g.event, {_IS_MEMBER}
      FROM approval_group g"""
_UNEXPIRED = "g.granted = 1 AND g.expires_at > :now"
_MUST_DECIDE = f"(g.granted IS NULL OR NOT ({_UNEXPIRED} AND {_IS_MEMBER}))"
WAITING = (
    f"""{_LIVE} AND EXISTS (SELECT 1 FROM approval_group g WHERE g.approval = p.id AND {_MUST_DECIDE})"""
)
"""Condition for requests `p` that wait for the decision of a group."""
_AT_ONCE = 500


class ApprovalStore(Store):
    """Queries about approval requests on a view of the ledger."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        # Two transactions that rely on one approval at the same time would both use it.
        view.alone()

    def find(self, uid: bytes) -> Approval | None:
        """Return the request with that id (16 bytes)."""
        return next(self._approvals("p.uid = :uid", {"uid": uid}), None)

    def alike(self, digest: bytes, requester: str) -> list[Approval]:
        """Return the live requests with that digest, the newest first.

        For an identity, only its own requests and old rows, which name an agent; for other requesters, the requests of
        all persons and services. The requests that are left out may be thousands.
        """
        # An old row names an agent, not its identity.
        own_condition = "p.asked_by = :requester OR substr(p.asked_by, 1, 6) = 'agent:'"
        condition = own_condition if requester.startswith(IDENTITY) else "substr(p.asked_by, 1, 4) <> 'jid_'"
        values = {"digest": digest} | ({"requester": requester} if condition is own_condition else {})
        return list(
            self._approvals(f"p.digest = :digest AND ({condition}) AND {_LIVE} ORDER BY p.id DESC", values)
        )

    def open_for(self, delegator: str, *, agents: bool) -> dict[str, int]:
        """Return the number of live requests for a delegator, by requester.

        Only requests of agents, or only all other requests.
        """
        rows = self._db.execute(
            f"""SELECT p.asked_by, count(*) FROM approval p
                 WHERE p.delegator = :delegator AND substr(p.asked_by, 1, 4) {"=" if agents else "<>"} 'jid_'
                   AND {_LIVE} GROUP BY p.asked_by""",
            {"delegator": delegator, "now": self._now},
        )
        return dict(rows.fetchall())

    def some(self, chosen: ApprovalFilter, limit: int, within: Sequence[str] = ()) -> list[Approval]:
        """Return requests, the newest first; if groups are given, only requests that one of them must approve."""
        values: dict[str, Any] = {"group": chosen.group, "before": chosen.before, "limit": limit}
        among = select.placeholders("within", within, values)
        of_group = "g.name = :group" if chosen.group is not None else "1 = 1"
        if chosen.waiting:
            of_group += f" AND {_MUST_DECIDE}"
        conditions = {
            _LIVE: chosen.live or chosen.waiting,
            f"EXISTS (SELECT 1 FROM approval_group g WHERE g.approval = p.id AND {of_group})": (
                chosen.waiting or chosen.group is not None
            ),
            f"EXISTS (SELECT 1 FROM approval_group g WHERE g.approval = p.id AND g.name IN ({among}))": bool(
                within
            ),
            "p.id < :before": chosen.before is not None,
        }
        where = " AND ".join(["1 = 1", *(condition for condition, holds in conditions.items() if holds)])
        return list(self._approvals(f"{where} ORDER BY p.id DESC LIMIT :limit", values))

    def all(self) -> Iterator[Approval]:
        """Yield every request, in order."""
        return self._approvals("1 = 1 ORDER BY p.id", {})

    def has_strays(self) -> bool:
        """Return whether a row names a group for a request that does not exist."""
        row = self._db.execute(
            """SELECT 1 FROM approval_group g
                WHERE NOT EXISTS (SELECT 1 FROM approval p WHERE p.id = g.approval) LIMIT 1"""
        ).fetchone()
        return row is not None

    def _approvals(self, where: str, values: dict[str, Any]) -> Iterator[Approval]:
        rows = iter(self._db.execute(f"{_APPROVAL} WHERE {where}", {**values, "now": self._now}))
        while chunk := list(islice(rows, _AT_ONCE)):
            words: dict[int, list[Word]] = {}
            key_values: dict[str, Any] = {}
            among = select.placeholders("key", [row[0] for row in chunk], key_values)
            for key, *members in self._db.execute(
                f"{_WORD} WHERE g.approval IN ({among}) ORDER BY g.name", key_values
            ):
                words.setdefault(key, []).append(Word._make(members))
            for row in chunk:
                yield _approval(row, words.get(row[0], []))


class ApprovalChanges(Changes, ApprovalStore):
    """Changes of approval requests in a transaction."""

    def add_request(
        self,
        uid: bytes,
        request: bytes,
        delegator: str,
        requester: str,
        expires_at: int,
        groups: Iterable[str],
    ) -> None:
        """Record a request."""
        (key,) = self._db.execute(
            """INSERT INTO approval (id, uid, digest, request, delegator, asked_by, asked_at, expires_at, event)
               VALUES ((SELECT coalesce(max(id), 0) + 1 FROM approval), :uid, :digest, :request, :delegator, :asked_by,
                       :now, :expires_at, :event)
               RETURNING id""",
            {
                "uid": uid,
                "digest": sha256(request).digest(),
                "request": request,
                "delegator": delegator,
                "asked_by": requester,
                "now": self._now,
                "expires_at": expires_at,
                "event": self._transaction.next_seq(),
            },
        ).fetchone()
        self._db.executemany(
            "INSERT INTO approval_group (approval, name) VALUES (?, ?)", [(key, group) for group in groups]
        )

    def record_decision(
        self, key: int, groups: Sequence[str], approver: str, proof: str, expires_at: int | None
    ) -> None:
        """Record a decision for these groups of a request: a grant until `expires_at`, or with None a final denial."""
        seq = self._transaction.next_seq()
        self._db.executemany(
            """UPDATE approval_group SET approver = ?, proof = ?, granted = ?, decided_at = ?, expires_at = ?, event = ?
                WHERE approval = ? AND name = ?""",
            [
                (approver, proof, int(expires_at is not None), self._now, expires_at, seq, key, group)
                for group in groups
            ],
        )
        if expires_at is None:
            self._end(key, ApprovalState.DENIED, None, seq)

    def use(self, key: int, identity: int, event: int) -> None:
        """Record that the next event uses a request to issue an identity."""
        self._end(key, ApprovalState.USED, identity, event)

    def _end(self, key: int, state: ApprovalState, identity: int | None, event: int) -> None:
        changed = self._db.execute(
            """UPDATE approval SET ended_at = :now, ended_as = :state, identity = :identity, ended_event = :event
                WHERE id = :key AND ended_at IS NULL""",
            {"now": self._now, "state": state.value, "identity": identity, "event": event, "key": key},
        )
        assert changed.rowcount == 1, "an approval request ends once"

    def withdraw(self) -> int:
        """Withdraw every open request, granted ones included; return the number of requests."""
        count: int = self._db.execute(
            """UPDATE approval SET ended_at = :now, ended_as = :state, ended_event = :event
                WHERE ended_at IS NULL""",
            {"now": self._now, "state": ApprovalState.WITHDRAWN.value, "event": self._transaction.next_seq()},
        ).rowcount
        return count

    def withdraw_of(self, delegator: str, requesters: Sequence[str]) -> int:
        """Withdraw the open requests of these requesters for a delegator; return the number of requests."""
        values = {
            "now": self._now,
            "state": ApprovalState.WITHDRAWN.value,
            "event": self._transaction.next_seq(),
            "delegator": delegator,
        }
        return sum(
            self._db.execute(
                """UPDATE approval SET ended_at = :now, ended_as = :state, ended_event = :event
                    WHERE delegator = :delegator AND asked_by = :requester AND ended_at IS NULL""",
                {**values, "requester": requester},
            ).rowcount
            for requester in requesters
        )


def _approval(row: Any, words: Sequence[Word]) -> Approval:
    key, uid, digest, request, *rest = row
    try:
        *parties, requested_at, expires_at, ended_at, ended_as, identity, event, ended_event = rest
        times = requested_at, expires_at, ended_at
        check_times(*times, *(time for word in words for time in (word.decided_at, word.expires_at)))
        if ended_as is not None:
            ApprovalState(ended_as)
        if sha256(request).digest() != digest:
            # The request that an approver sees must be the request that was made.
            raise IntegrityError(
                f"the approval request {approval_id(uid)} was changed in the ledger",
                "run: jitid audit verify",
            )
        used_for = None if identity is None else identity_id(identity)
        request_columns = key, approval_id(uid), digest, request
        return Approval._make(
            (*request_columns, *parties, *times, ended_as, used_for, event, ended_event, tuple(words))
        )
    except (TypeError, ValueError) as error:
        raise IntegrityError(
            "an approval request in the ledger has invalid values", "run: jitid audit verify"
        ) from error
