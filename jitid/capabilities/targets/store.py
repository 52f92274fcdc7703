"""Queries about credentials at targets, in SQL that SQLite and PostgreSQL both accept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from jitid.errors import IntegrityError
from jitid.ledger import select
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store, spared
from jitid.model.ledger_rows import Selection
from jitid.model.target import (
    BY_HAND,
    EndOutcome,
    Name,
    Outside,
    OutsideRow,
    SettledDigests,
    Settlement,
    TargetRecord,
    confirmed_digest,
    evidence_digest,
    fingerprint_of,
    settled_digest,
)
from jitid.values import strict_json
from jitid.values.ids import credential_id, identity_id, parse_id
from jitid.values.times import check_times

if TYPE_CHECKING:
    from jitid.ledger.view import View

_ENDED = "(c.ended_at IS NOT NULL OR c.expires_at <= :now OR (c.superseded_at IS NOT NULL AND c.superseded_at <= :now))"
_FROM = """FROM outside o JOIN credential c ON c.id = o.credential JOIN identity i ON i.id = c.identity
      JOIN task t ON t.id = i.task JOIN term d ON d.id = i.delegator JOIN term a ON a.id = i.agent
      JOIN term au ON au.id = c.audiences JOIN term opener ON opener.id = t.opener"""
_OUTSIDE = f"""
    SELECT o.credential, c.jti, i.uid, c.kind, o.target, c.template, o.name, o.reference, a.text, t.name, d.text,
           t.purpose, i.sensitivity, c.scopes, au.text, c.issued_at, c.expires_at, o.facts, o.settlement, o.attempts,
           o.next_at, o.tried_at, o.settled_at, o.honoured_until, o.proof, o.event,
           CASE WHEN c.fingerprint IS NULL THEN 0 ELSE 1 END, CASE WHEN {_ENDED} THEN 1 ELSE 0 END, c.ended_at,
           {select.UNDER_AGENT}, opener.text
      {_FROM}"""
_AT_ONCE = 500
_EVER = 1 << 53


class OutsideStore(Store):
    """Queries about credentials at targets, in a view of an SQL ledger."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        view.alone()

    def of(self, keys: Iterable[int]) -> dict[int, Outside]:
        """Return the rows of credentials at targets, by the ledger's numbers."""
        return {outside.key: outside for outside in self._among("o.credential", keys)}

    def find(self, jtis: Sequence[str]) -> list[Outside]:
        """Return the rows of credentials at targets, by their ids."""
        return list(self._among("c.jti", [parse_id(jti)[1] for jti in jtis]))

    def _among(self, column: str, items: Iterable[int | bytes]) -> Iterator[Outside]:
        remaining = iter(items)
        while chunk := list(islice(remaining, _AT_ONCE)):
            values: dict[str, Any] = {"now": self._now}
            among = select.placeholders("item", chunk, values)
            yield from map(_outside, self._db.execute(f"{_OUTSIDE} WHERE {column} IN ({among})", values))

    def due(
        self,
        target: str | None,
        now: int,
        limit: int,
        *,
        event: int | None = None,
        ids: Sequence[str] = (),
        waiting: bool = False,
        by_hand: bool = False,
    ) -> list[Outside]:
        """Return the expired and revoked credentials that are not settled at their target, and due by `now`."""
        where, values = self._open(event, ids)
        if target is not None:
            where += " AND o.target = :target"
            values["target"] = target
        # jitid cannot end a credential that only a person can end.
        where += f" AND o.target {'=' if by_hand else '<>'} :by_hand"
        values["by_hand"] = BY_HAND
        if not waiting:
            where += " AND o.next_at <= :by"
            values["by"] = now
        rows = self._db.execute(
            f"{_OUTSIDE} WHERE {where} ORDER BY o.next_at, o.credential LIMIT :limit",
            {**values, "limit": limit},
        )
        return [_outside(row) for row in rows]

    def targets_due(self, now: int | None) -> list[str]:
        """Return the targets with credentials that must be ended and are due by `now`; None means at any time."""
        rows = self._db.execute(
            f"""SELECT DISTINCT o.target FROM outside o JOIN credential c ON c.id = o.credential
                 WHERE o.settled_at IS NULL AND o.next_at <= :by AND o.target <> :by_hand AND {_ENDED}
                 ORDER BY o.target""",
            {"by_hand": BY_HAND, "by": _EVER if now is None else now, "now": self._now},
        )
        return [target for (target,) in rows]

    def targets_open(self) -> list[str]:
        """Return the targets with live or unsettled credentials."""
        rows = self._db.execute(
            "SELECT DISTINCT target FROM outside WHERE settled_at IS NULL AND target <> ? ORDER BY target",
            (BY_HAND,),
        )
        return [target for (target,) in rows]

    def open_at(self, target: str) -> list[tuple[int, str, str | None]]:
        """Return key, name and reference of all live or unsettled credentials at a target."""
        # Not whole rows: there may be very many, and they are only compared with the target's names.
        rows: list[tuple[int, str, str | None]] = self._db.execute(
            "SELECT credential, name, reference FROM outside WHERE settled_at IS NULL AND target = :target",
            {"target": target},
        ).fetchall()
        return rows

    def open_count(self, *, event: int | None = None, ids: Sequence[str] = ()) -> int:
        """Return the number of expired and revoked credentials that are not settled at their target."""
        where, values = self._open(event, ids)
        identity_join, join_condition = (
            ("CROSS JOIN identity i", "AND i.id = c.identity") if ids else ("", "")
        )
        # The query starts from the few open rows: otherwise SQLite would read all credentials to find the event's.
        (count,) = self._db.execute(
            f"""SELECT count(*) FROM outside o CROSS JOIN credential c {identity_join}
                 WHERE c.id = o.credential {join_condition} AND {where}""",
            values,
        ).fetchone()
        return int(count)

    def left_of(self, selection: Selection, limit: int) -> list[Outside]:
        """Return the ended credentials of a selection, and of all below it, that their targets may still accept."""
        if self._db.execute("SELECT 1 FROM outside LIMIT 1").fetchone() is None:
            return []
        select.select(self._db, selection)
        rows = self._db.execute(
            f"""{_OUTSIDE} WHERE c.identity IN (SELECT identity FROM doomed) AND {_ENDED}
                  AND (o.settled_at IS NULL
                       OR (o.settlement = :unsupported AND coalesce(o.honoured_until, c.expires_at) > :now))
                ORDER BY o.credential LIMIT :limit""",
            {"now": self._now, "unsupported": Settlement.UNSUPPORTED.value, "limit": limit},
        )
        return [_outside(row) for row in rows]

    def parts_of(self, fingerprints: Iterable[bytes]) -> list[tuple[bytes, str, int]]:
        """Return the parts of secrets with these fingerprints: fingerprint, part's name, credential's number."""
        select.give(self._db, (), fingerprints)
        rows = self._db.execute(
            """SELECT p.fingerprint, p.name, p.credential FROM given_print g CROSS JOIN part p
                WHERE substr(p.fingerprint, 1, 8) = substr(g.fingerprint, 1, 8) AND p.fingerprint = g.fingerprint"""
        ).fetchall()
        return [(bytes(print_), name, key) for print_, name, key in rows]

    def names_at(self, target: str) -> list[Name]:
        """Return the names of all credentials that the ledger has at a target."""
        rows = self._db.execute(
            f"""SELECT o.name, c.jti, CASE WHEN {_ENDED} THEN 0 ELSE 1 END,
                       CASE WHEN o.settled_at IS NULL THEN 0 ELSE 1 END, o.reference
                  FROM outside o JOIN credential c ON c.id = o.credential WHERE o.target = :target""",
            {"target": target, "now": self._now},
        )
        return [
            Name(name, credential_id(jti), bool(live), bool(settled), reference)
            for name, jti, live, settled, reference in rows
        ]

    def rows(self, without: str = "") -> Iterator[OutsideRow]:
        """Yield the rows of all credentials at targets, with the fingerprints of their parts."""
        parts: dict[int, list[tuple[str, bytes]]] = {}
        for key, name, print_ in self._db.execute(
            f"""SELECT p.credential, p.name, p.fingerprint FROM part p LEFT JOIN credential c ON c.id = p.credential
                 WHERE {spared(without)}"""
        ).fetchall():
            parts.setdefault(key, []).append((name, print_))
        rows = self._db.execute(
            f"""SELECT o.credential, c.jti, o.target, o.name, o.reference, o.facts, c.fingerprint, o.settlement,
                       o.settled_at, o.honoured_until, o.proof, o.event, o.next_at, o.tried_at
                  FROM outside o LEFT JOIN credential c ON c.id = o.credential WHERE {spared(without)}
                 ORDER BY o.credential"""
        ).fetchall()
        for key, *rest in rows:
            yield OutsideRow._make((*rest, parts.pop(key, [])))
        if parts:
            raise IntegrityError("the ledger has parts of a secret without a credential at a target")

    def _open(self, event: int | None, ids: Sequence[str]) -> tuple[str, dict[str, Any]]:
        where, values = f"o.settled_at IS NULL AND {_ENDED}", {"now": self._now}
        if event is not None:
            where += " AND c.ended_event = :event"
            values["event"] = event
        if ids:
            id_values: dict[str, Any] = {}
            parsed = [parse_id(id_) for id_ in ids]
            jtis = select.placeholders("jti", [value for kind, value in parsed if kind == "jti"], id_values)
            uids = select.placeholders("uid", [value for kind, value in parsed if kind == "jid"], id_values)
            conditions = [f"c.jti IN ({jtis})"] * bool(jtis) + [f"i.uid IN ({uids})"] * bool(uids)
            where += f" AND ({' OR '.join(conditions)})"
            values |= id_values
        return where, values


class OutsideChanges(Changes, OutsideStore):
    """Changes to credentials at targets."""

    def add(self, credential: int, target: str, name: str) -> None:
        """Record that a new credential is about to be made at a target, under a name."""
        self._db.execute(
            "INSERT INTO outside (credential, target, name, attempts, next_at) VALUES (?, ?, ?, 0, ?)",
            (credential, target, name, self._now),
        )

    def remember(self, key: int, reference: str) -> None:
        """Record the target's reference to a credential."""
        self._db.execute("UPDATE outside SET reference = ? WHERE credential = ?", (reference, key))

    def confirm(
        self, key: int, parts: Mapping[str, bytes], reference: str | None, facts: Mapping[str, Any]
    ) -> str | None:
        """Record the fingerprints of a new secret and return a digest; None if the credential has ended meanwhile."""
        fingerprint = fingerprint_of(parts)
        changed = self._db.execute(
            """UPDATE credential SET fingerprint = :fingerprint
                WHERE id = :key AND fingerprint IS NULL AND ended_at IS NULL AND expires_at > :now""",
            {"fingerprint": fingerprint, "key": key, "now": self._now},
        )
        if changed.rowcount != 1:
            return None
        facts_text = strict_json.dumps(dict(facts)) if facts else None
        self._db.execute(
            "UPDATE outside SET reference = coalesce(:reference, reference), facts = :facts WHERE credential = :key",
            {"reference": reference, "facts": facts_text, "key": key},
        )
        if len(parts) > 1:
            self._db.executemany(
                "INSERT INTO part VALUES (?, ?, ?)", [(key, *part) for part in parts.items()]
            )
        jti, target, name, stored_reference = self._db.execute(
            """SELECT c.jti, o.target, o.name, o.reference FROM outside o JOIN credential c ON c.id = o.credential
                WHERE o.credential = :key""",
            {"key": key},
        ).fetchone()
        stored_parts = parts.items() if len(parts) > 1 else ()
        return confirmed_digest(jti, target, name, stored_reference, facts_text, fingerprint, stored_parts)

    def settle(self, tried: Sequence[tuple[Outside, EndOutcome, int | None]]) -> SettledDigests:
        """Record the outcomes of ending credentials at their targets, with the next event's number; return digests."""
        seq = self._transaction.next_seq()
        final, evidence = [], []
        for outside, outcome, next_at in sorted(tried, key=lambda attempt: attempt[0].key):
            changed = self._db.execute(
                """UPDATE outside SET settlement = :settlement, attempts = attempts + 1, tried_at = :now,
                          next_at = coalesce(:next_at, next_at), honoured_until = :until, proof = :proof, event = :seq,
                          settled_at = CASE WHEN CAST(:next_at AS BIGINT) IS NULL THEN CAST(:now AS BIGINT) END
                    WHERE credential = :key AND settled_at IS NULL""",
                {
                    "settlement": outcome.settlement.value,
                    "now": self._now,
                    "next_at": next_at,
                    "until": outcome.honoured_until,
                    "proof": outcome.proof,
                    "seq": seq,
                    "key": outside.key,
                },
            )
            # Another process may have settled it meanwhile; then its own event covers it.
            if next_at is None and changed.rowcount == 1:
                jti = parse_id(outside.record.jti)[1]
                final.append((jti, outcome.settlement.value))
                evidence.append((jti, outcome.honoured_until, outcome.proof))
        return SettledDigests(settled_digest(final), evidence_digest(evidence))


def _outside(row: Any) -> Outside:
    try:
        (key, jti, uid, kind, target, template, name, reference, agent, task, delegator, purpose, *rest) = row
        (sensitivity, scopes, audiences, issued_at, expires_at, facts, settlement, attempts, *rest) = rest
        (
            next_at,
            tried_at,
            settled_at,
            honoured_until,
            proof,
            event,
            confirmed,
            ended,
            ended_at,
            *rest,
        ) = rest
        under_agent, opener = rest
        check_times(issued_at, expires_at, next_at, tried_at, settled_at, honoured_until, ended_at)
        record = TargetRecord(
            credential_id(jti),
            identity_id(uid),
            kind,
            target,
            None if template is None else template.rpartition("/")[2],
            name,
            reference,
            agent,
            task,
            delegator,
            purpose,
            sensitivity,
            tuple(scopes.split()),
            tuple(audiences.split()),
            issued_at,
            expires_at,
            bool(under_agent),
            opener,
        )
        parsed_facts = (
            {} if facts is None else strict_json.loads(facts, "the facts of a credential at a target")
        )
        return Outside(
            key,
            record,
            parsed_facts,
            bool(confirmed),
            bool(ended),
            ended_at,
            settlement,
            attempts,
            next_at,
            tried_at,
            settled_at,
            honoured_until,
            proof,
            event,
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise IntegrityError("a row of the ledger has an invalid value", "run: jitid audit verify") from error
