"""Queries and changes of credentials and identities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jitid.errors import IntegrityError, NotFoundError, UsageError
from jitid.ledger import expiry, select
from jitid.ledger import lineage as walking
from jitid.ledger.select import dialect_of
from jitid.ledger.sqlite.schema import EVERY_LIVE, LIVE_INDEXES
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store
from jitid.model.credential import PROOFS, TOKENS, Credential, State, TokenUse, read_kinds
from jitid.model.event import ended_digest
from jitid.model.ledger_rows import Ancestor, Family, Ground, Maker, Radius, Selection, TokenReach
from jitid.model.process import Process
from jitid.values import strict_json
from jitid.values.ids import credential_id, identity_id, parse_id
from jitid.values.text import quote
from jitid.values.times import check_times

if TYPE_CHECKING:
    from jitid.capabilities.identity.filter_store import Filter

_CREDENTIAL = f"""
    SELECT c.id, c.jti, i.uid, i.id, p.uid, i.parent, i.depth, d.text, pa.text, i.proof, a.text, t.name, t.purpose,
           i.sensitivity, c.kind, c.scopes, au.text, c.details, c.issued_at, c.expires_at, c.ended_at, c.ended_as,
           c.fingerprint, c.claims_hash, k.kid, c.event, c.ended_event, c.superseded_at,
           pr.host, pr.boot, pr.namespace, pr.pid, pr.started, pr.kept, pr.renews_until,
           CASE WHEN dr.id IS NULL THEN 'unverified' WHEN dr.disabled_at IS NULL THEN 'known' ELSE 'disabled' END,
           c.template, coalesce(c.line, c.id), coalesce(c.source, i.source), c.source,
           c.may_audience, c.may_kind, c.may_act, i.task, o.text,
           CASE WHEN t.ended_at IS NULL THEN t.deadline ELSE 0 END, c.recurring, {select.UNDER_AGENT},
           (SELECT text FROM term WHERE id = c.proved_subject), (SELECT text FROM term WHERE id = c.subject),
           c.exchange_life
      FROM credential c
      JOIN identity i ON i.id = c.identity
      JOIN task t ON t.id = i.task
      JOIN term o ON o.id = t.opener
      JOIN term d ON d.id = i.delegator
      JOIN term a ON a.id = i.agent
      JOIN term au ON au.id = c.audiences
      LEFT JOIN identity p ON p.id = i.parent
      LEFT JOIN term pa ON pa.id = p.agent
      LEFT JOIN signing_key k ON k.id = c.signed_by
      LEFT JOIN process pr ON pr.identity = i.id
      LEFT JOIN delegator_name dn ON dn.name = d.text
      LEFT JOIN delegator dr ON dr.id = dn.delegator"""

_CREDENTIAL_BY = {
    "jti": f"{_CREDENTIAL} WHERE c.jti = :value",
    "fingerprint": f"""{_CREDENTIAL}
        WHERE substr(c.fingerprint, 1, 8) = substr(:value, 1, 8) AND c.fingerprint = :value""",
}

# `depth` bounds every walk: in a damaged ledger, edges may form a cycle.
_BELOW = """
    WITH RECURSIVE below (id, depth) AS (
        SELECT id, depth FROM identity WHERE id = :identity
        UNION ALL
        SELECT i.id, i.depth FROM below b JOIN identity i ON i.parent = b.id AND i.depth > b.depth)"""

_AT_ONCE = 500

_MANY = 50_000
"""The minimum number of endings for which dropping and rebuilding the live indexes is cheaper than updating them."""


def _credential(row: Any) -> Credential:
    try:
        return _from_row(row)
    except (TypeError, ValueError, AttributeError) as error:
        raise IntegrityError("a row of the ledger has invalid values", "run: jitid audit verify") from error


def _from_row(row: Any) -> Credential:
    parent, parent_agent, kind, host = row[4], row[8], row[14], row[28]
    audiences = _words(row[16])
    may_audience = audiences if row[40] is None else _words(row[40])
    check_times(row[18], row[19], row[20], row[27], row[45])
    return Credential._make(
        (
            row[0],
            credential_id(row[1]),
            identity_id(row[2]),
            row[3],
            None if parent is None else identity_id(parent),
            *row[5:8],
            row[7] if parent_agent is None else f"agent:{parent_agent}",
            *row[9:15],
            # Old rows may have scopes. The signed form of these kinds has none.
            () if kind in PROOFS else _words(row[15]),
            audiences,
            *row[17:28],
            None if host is None else Process._make((*row[28:33], bool(row[33]), row[34])),
            *row[35:40],
            may_audience,
            read_kinds(row[41]),
            *row[42:47],
            bool(row[47]),
            *row[48:51],
            _token_use(kind, audiences, may_audience, undivided=row[40] is None),
        )
    )


# The `value` of an Enum member is read once here: reading it costs more than the rest of `_token_use`.
_UNDIVIDED, _SERVICE, _IDENTITY = (
    use.value for use in (TokenUse.UNDIVIDED, TokenUse.SERVICE, TokenUse.IDENTITY)
)


def _token_use(
    kind: str, audiences: tuple[str, ...], may_audience: tuple[str, ...], *, undivided: bool
) -> str | None:
    """Return the use of a token. A service token may obtain tokens only for its own audiences."""
    if kind not in TOKENS:
        return None
    if undivided:
        return _UNDIVIDED
    return _SERVICE if may_audience == audiences else _IDENTITY


@lru_cache(maxsize=1024)
def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


class CredentialStore(Store):
    """Queries about credentials and identities, on a view of the ledger."""

    def count_live(self) -> tuple[int, int]:
        """Return the number of unexpired credentials that have not ended, and the last expiry (0 if there is none)."""
        count, latest = self._one(
            "SELECT count(*), max(expires_at) FROM credential WHERE ended_at IS NULL AND expires_at > :now",
            now=self._now,
        )
        return int(count), int(latest or 0)

    def reaches(self) -> Iterator[TokenReach]:
        """Yield the distinct reaches of live credentials: their audiences, and those of the tokens they can obtain."""
        rows = self._db.execute(
            """SELECT DISTINCT c.kind, au.text, c.may_audience, c.may_act
                 FROM credential c JOIN term au ON au.id = c.audiences
                WHERE c.ended_at IS NULL AND c.expires_at > :now
                  AND (c.superseded_at IS NULL OR c.superseded_at > :now)""",
            {"now": self._now},
        ).fetchall()
        for kind, text, may_text, may_act in rows:
            audiences = _words(text)
            may_audience = () if may_text is None else _words(may_text)
            use = _token_use(kind, audiences, may_audience, undivided=may_text is None)
            yield TokenReach(audiences, may_audience, may_act, use)

    def latest_expiry_of_all(self) -> int | None:
        """Return the latest expiry of all credentials, also a past one; None without credentials."""
        (latest,) = self._one("SELECT max(expires_at) FROM credential")
        return None if latest is None else int(latest)

    def find_credential(self, column: str, value: bytes) -> Credential | None:
        """Return the credential with that `jti` (16 bytes) or `fingerprint` (32 bytes)."""
        return self._view.once(column, value, lambda: self._find_credential(column, value))

    def _find_credential(self, column: str, value: bytes) -> Credential | None:
        row = self._one(_CREDENTIAL_BY[column], value=value)
        return None if row is None else _credential(row)

    def credentials_numbered(self, keys: Iterable[int]) -> dict[int, Credential]:
        """Return credentials by the ledger's numbers."""
        numbers = sorted(keys)
        credentials = {}
        for start in range(0, len(numbers), _AT_ONCE):
            values: dict[str, Any] = {}
            among = select.placeholders("key", numbers[start : start + _AT_ONCE], values)
            for row in self._db.execute(f"{_CREDENTIAL} WHERE c.id IN ({among})", values):
                credential = _credential(row)
                credentials[credential.key] = credential
        return credentials

    def head_of(self, jti: bytes) -> Credential | None:
        """Return the head of the line of a credential, which may be that one; None if the line has no head."""
        row = self._one(f"SELECT {walking.HEAD} FROM credential b WHERE b.jti = :jti", jti=jti)
        key = None if row is None else row[0]
        return None if key is None else self.credentials_numbered([key])[key]

    def first_of(self, uid: bytes) -> Credential | None:
        """Return the first credential of an identity: the one it was issued with."""
        return self._one_of(uid, "ASC")

    def with_live_credentials(self, uids: Iterable[bytes]) -> set[bytes]:
        """Return the identities among these that have a live credential."""
        live = select.LIVE.replace(":now", str(int(self._now)))
        query = f"""SELECT i.uid FROM identity i
                        WHERE EXISTS (SELECT 1 FROM credential c WHERE c.identity = i.id AND {live}) AND i.uid"""
        return {uid for (uid,) in select.alike(self._db, query, uids)}

    def latest_of(self, uid: bytes) -> Credential | None:
        """Return the latest credential of an identity."""
        return self._one_of(uid, "DESC")

    def _one_of(self, uid: bytes, order: str) -> Credential | None:
        row = self._one(
            # This order uses the index on the identity. By the id alone, PostgreSQL may scan the whole table.
            f"""{_CREDENTIAL} WHERE c.id = (
                    SELECT l.id FROM identity own JOIN credential l ON l.identity = own.id WHERE own.uid = :uid
                     ORDER BY l.identity {order}, l.id {order} LIMIT 1)""",
            uid=uid,
        )
        return None if row is None else _credential(row)

    def makers_of(self, uid: bytes, max_bytes: int) -> tuple[set[Maker], int]:
        """Return the callers that had the credentials of an identity made, and the size of these events in bytes.

        The callers are empty if the events have more than `max_bytes` bytes.
        """
        condition = """seq IN (SELECT l.event FROM identity own JOIN credential l ON l.identity = own.id
                          WHERE own.uid = :uid)"""
        (size,) = self._db.execute(
            f"SELECT coalesce(sum(length(body)), 0) FROM audit_event WHERE {condition}", {"uid": uid}
        ).fetchone()
        if size > max_bytes:
            return set(), size
        dialect = dialect_of(self._db)
        # An event may be long: only these members are read.
        members = dialect.member(*Maker._fields)
        rows = self._db.execute(
            f"SELECT DISTINCT {members} FROM {dialect.event_bodies} WHERE {condition}", {"uid": uid}
        )
        return {Maker(*strict_json.loads(row[0], "members")) for row in rows}, size

    def first_issued_at(self, identity: int) -> int:
        """Return the time of issue of an identity's first credential."""
        row = self._one("SELECT min(issued_at) FROM credential WHERE identity = :identity", identity=identity)
        issued_at: int = row[0]
        return issued_at

    def supersessions(self, jtis: Sequence[bytes]) -> list[tuple[bytes, int | None]]:
        """Return for each of these credentials the time at which it was or will be superseded."""
        superseded = []
        for jti in jtis:
            row = self._one("SELECT superseded_at FROM credential WHERE jti = :jti", jti=jti)
            superseded.append((jti, row and row[0]))
        return superseded

    def unknown_of(self, ids: Iterable[str]) -> str | None:
        """Return the first of these ids that was never issued; None if all were."""
        ids = list(ids)
        select.give(self._db, ids, ())
        unknown = {
            make_id(raw)
            for make_id, sql in (
                (identity_id, "given_uid g WHERE NOT EXISTS (SELECT 1 FROM identity i WHERE i.uid = g.uid)"),
                (
                    credential_id,
                    "given_jti g WHERE NOT EXISTS (SELECT 1 FROM credential c WHERE c.jti = g.jti)",
                ),
            )
            for (raw,) in self._db.execute(f"SELECT * FROM {sql}")
        }
        return next((id_ for id_ in ids if id_ in unknown), None)

    def find_given(self, ids: Iterable[str], fingerprints: Iterable[bytes]) -> list[Credential]:
        """Return the credentials with these ids and fingerprints; of an identity the latest one. Oldest first."""
        select.give(self._db, ids, fingerprints)
        return self._numbered(select.GIVEN)

    def credentials_of_leaks(self, numbers: Iterable[int]) -> list[Credential]:
        """Return the leaked credentials, by the numbers of the leaks. Oldest first."""
        select.give(self._db, (), (), leaks=numbers)
        return self._numbered("SELECT l.credential FROM given_leak g CROSS JOIN leak l WHERE l.id = g.leak")

    def _numbered(self, query: str) -> list[Credential]:
        """Return the credentials whose numbers a query selects, in the order of issue."""
        # Two queries: in a single one, PostgreSQL may join all credentials before it selects these.
        with dialect_of(self._db).by_index(self._db):
            keys = {key for (key,) in self._db.execute(query) if key is not None}
        credentials = self.credentials_numbered(keys)
        return [credentials[key] for key in sorted(credentials)]

    def find_public(self, publics: Iterable[bytes]) -> list[tuple[bytes, Credential]]:
        """Return the credentials for these public keys, each with the hash of its key (SubjectPublicKeyInfo).

        Only credentials before their expiry are returned, ended or not, and only the latest one of each key. Oldest
        first.
        """
        select.give(self._db, (), (), publics=publics)
        rows = self._db.execute(select.BY_PUBLIC, {"now": self._now}).fetchall()
        credentials = self.credentials_numbered(key for _, key in rows)
        return [(public, credentials[key]) for public, key in rows]

    def lineage(self, identity: int) -> list[Ancestor]:
        """Return the identities above `identity`, the nearest first."""
        return walking.lineage(self._db, identity)

    def lineages(self, identities: Iterable[int]) -> dict[int, list[Ancestor]]:
        """Return the lineage of each of these identities that has one."""
        select.give(self._db, (), (), identities)
        return walking.lineages(self._db)

    def grounds(self, credential: int) -> list[Ground]:
        """Return the credentials that a credential rests on now, the nearest first."""
        return walking.grounds(self._db, credential, self._now)

    def grounds_of(self, credentials: Iterable[int]) -> dict[int, list[Ground]]:
        """Return the grounds of each of these credentials that has any."""
        select.give(self._db, (), (), credentials=credentials)
        return walking.grounds_of(self._db, self._now)

    def descendants(self, identity: int) -> tuple[int, int]:
        """Return the number of identities below `identity`, and of those with a live credential."""
        row = self._one(
            f"""{_BELOW} SELECT count(*) - 1, coalesce(sum(CASE WHEN below.id <> :identity AND EXISTS (
                    SELECT 1 FROM credential c WHERE c.identity = below.id AND {select.LIVE})
                    THEN 1 ELSE 0 END), 0) FROM below""",
            identity=identity,
            now=self._now,
        )
        return row[0], row[1]

    def families(self, identities: Iterable[int]) -> dict[int, Family]:
        """Return for each of these identities whether it is live, and the number of its descendants."""
        select.give(self._db, (), (), identities)
        return walking.families(self._db, self._now)

    def offline_until(self, identities: Iterable[int]) -> dict[int, int]:
        """Return until when offline verifiers may accept these identities, with the leeway; others are left out."""
        from jitid.ledger.select import SIGNED

        select.give(self._db, (), (), identities)
        return dict(
            self._db.execute(
                f"""SELECT c.identity, max({SIGNED})
                     FROM given_identity g CROSS JOIN credential c ON c.identity = g.identity
                    WHERE c.fingerprint IS NOT NULL AND {SIGNED} > :now
                    GROUP BY c.identity""",
                {"now": self._now},
            )
        )

    def credentials(
        self, chosen: Filter, sort: str, *, descending: bool, after: str | None, limit: int
    ) -> list[Credential]:
        """Return a page of credentials. The page after `after` does not shift when rows are added."""
        from jitid.capabilities.identity.filter_store import SORT_KEYS

        if sort not in SORT_KEYS:
            raise UsageError(f"invalid sort key {quote(sort)}", f"sort by one of: {', '.join(SORT_KEYS)}")
        where, values, selective = chosen.conditions(self._now)
        order = SORT_KEYS[sort]
        if sort == "issued_at" and after is not None:
            # In the order of issue: if the clock was set back, the times are not in order.
            where.append(f"c.id {'<' if descending else '>'} :sort_key")
            values["sort_key"] = self._cursor(order, after)["sort_key"]
        elif after is not None:
            where.append(f"({order}, c.id) {'<' if descending else '>'} (:sort_value, :sort_key)")
            values |= self._cursor(order, after)
        direction = "DESC" if descending else "ASC"
        # "+" keeps the planner from scanning the whole table in order if an index finds the few rows.
        key = "+c.id" if selective else "c.id"
        ordering = f"{key} {direction}" if sort == "issued_at" else f"{order} {direction}, {key} {direction}"
        rows = self._db.execute(
            f"{_CREDENTIAL} WHERE {' AND '.join(where)} ORDER BY {ordering} LIMIT :limit",
            {**values, "limit": limit},
        )
        return [_credential(row) for row in rows]

    def _cursor(self, order: str, after: str) -> dict[str, Any]:
        kind, raw = parse_id(after)
        column = "c.jti" if kind == "jti" else "i.uid"
        row = self._one(
            f"""SELECT {order}, c.id FROM credential c JOIN identity i ON i.id = c.identity JOIN task t ON t.id = i.task
                  JOIN term d ON d.id = i.delegator JOIN term a ON a.id = i.agent
                 WHERE {column} = :raw ORDER BY c.id DESC LIMIT 1""",
            raw=raw,
        )
        if row is None:
            raise NotFoundError(f"the ledger has no credential {quote(after)} to continue after")
        return {"sort_value": row[0], "sort_key": row[1]}

    def subtree(self, identity: int, limit: int) -> list[Credential]:
        """Return the latest credential of `identity` and of each identity below it, parents first."""
        rows = self._db.execute(
            f"""{_BELOW} {_CREDENTIAL}
                 JOIN below b ON b.id = i.id
                WHERE c.id = (SELECT max(l.id) FROM credential l WHERE l.identity = i.id)
                ORDER BY i.depth, i.id LIMIT :limit""",
            {"identity": identity, "limit": limit},
        )
        return [_credential(row) for row in rows]

    def root_of(self, identity: int) -> int:
        """Return the identity at the root of the delegation tree of `identity`."""
        row = self._one(
            """WITH RECURSIVE above (id, parent, depth) AS (
                   SELECT id, parent, depth FROM identity WHERE id = :identity
                   UNION ALL
                   SELECT i.id, i.parent, i.depth
                     FROM above JOIN identity i ON i.id = above.parent AND i.depth < above.depth)
               SELECT id FROM above WHERE parent IS NULL""",
            identity=identity,
        )
        if row is None:
            raise IntegrityError("a delegation chain in the ledger has no root", "run: jitid audit verify")
        key: int = row[0]
        return key

    def measure(self, selection: Selection) -> Radius:
        """Return the blast radius of a selection with all that descend from it."""
        matched = select.select(self._db, selection)
        return select.radius(self._db, matched, self._now)

    def measure_together(self, selections: Iterable[Selection]) -> Radius:
        """Return the joint blast radius of many selections; their overlap counts once."""
        return select.measure_together(self._db, selections, self._now)

    def is_agent(self, name: str) -> bool:
        """Return whether an identity was ever issued to an agent of that name."""
        row = self._one(
            "SELECT 1 FROM term t JOIN identity i ON i.agent = t.id WHERE t.text = :name LIMIT 1", name=name
        )
        return row is not None

    def approvers_of(self, identity: int) -> frozenset[str]:
        """Return the groups that approved the issue of an identity."""
        rows = self._db.execute(
            # By the event of the issue: several copies have one approval.
            """SELECT g.name FROM credential c CROSS JOIN approval p CROSS JOIN approval_group g
                WHERE c.id = (SELECT min(id) FROM credential WHERE identity = :identity)
                  AND p.ended_event = c.event AND p.identity IS NOT NULL
                  AND g.approval = p.id AND g.granted = 1""",
            {"identity": identity},
        )
        return frozenset([name for (name,) in rows])

    def ending_events(self, chosen: Filter, after: int) -> frozenset[int]:
        """Return the numbers, above `after`, of the events that ended credentials of a selection."""
        where, values, _ = chosen.conditions(self._now)
        rows = self._db.execute(
            f"""SELECT DISTINCT c.ended_event FROM credential c JOIN identity i ON i.id = c.identity
                  JOIN term a ON a.id = i.agent LEFT JOIN identity p ON p.id = i.parent
                  LEFT JOIN term pa ON pa.id = p.agent
                 WHERE c.ended_event > :after_event AND {" AND ".join(where)}""",
            {**values, "after_event": after},
        )
        return frozenset([seq for (seq,) in rows])

    def event_members(self, seq: int) -> tuple[list[str], list[str]]:
        """Return the ids of the credentials that an event issued, and of the credentials that it ended."""
        rows = self._db.execute(
            "SELECT jti, event = :seq FROM credential WHERE event = :seq OR ended_event = :seq ORDER BY id",
            {"seq": seq},
        )
        issued: list[str] = []
        ended: list[str] = []
        for jti, was_issued in rows:
            (issued if was_issued else ended).append(credential_id(jti))
        return issued, ended


class CredentialChanges(Changes, CredentialStore):
    """Changes to credentials; each changed row points to the next event."""

    def end(self, selection: Selection, state: State) -> tuple[Radius, str]:
        """End every live credential of the selection and of its descendants; the rows point to the next event.

        Returns the blast radius, and the digest of the ended credentials.
        """
        self._transaction.alone()
        matched = select.select(self._db, selection)
        radius = select.radius(self._db, matched, self._now)
        digest = self._end_doomed(state, radius)
        return (radius._replace(refused_since=self._now) if radius.credentials else radius), digest

    def _end_doomed(self, state: State, radius: Radius) -> str:
        if not radius.credentials:
            return sha256().hexdigest()
        many = radius.credentials >= _MANY and dialect_of(self._db).rebuilds_indexes
        seq = self._transaction.next_seq()
        if many:
            for name in EVERY_LIVE:
                self._db.execute(f"DROP INDEX {name}")
        else:
            # The digest comes first: few live rows are found by an index, but ended ones only by a pass over all rows.
            digest = self._digest(f"{select.doomed_credentials(radius.identities)} AND {select.LIVE}")
        # "+" keeps the planner from looking up each of many identities.
        self._db.execute(
            f"""UPDATE credential AS c SET ended_at = :now, ended_as = :state, ended_event = :seq
                 WHERE {select.LIVE}
                   AND {"+" if many else ""}identity IN (SELECT identity FROM doomed)""",
            {"now": self._now, "state": state.value, "seq": seq},
        )
        if many:
            for name in EVERY_LIVE:
                self._db.execute(LIVE_INDEXES[name])
            digest = self._digest("credential c WHERE c.ended_event = :seq", seq=seq)
        if radius.offline_until is not None:
            expiry.keep_honoured(self._transaction, seq, radius.signed, self._now, radius.offline_until)
        return digest

    def _digest(self, members: str, **values: Any) -> str:
        """Return the digest of credentials, in the order of issue."""
        dialect = dialect_of(self._db)
        rows = dialect.fenced(f"SELECT c.jti, c.id FROM {members} ORDER BY c.id")
        # Only bytes compare as greater than empty bytes. An edited id that is a number or text does not.
        joined, count, bytes_count = self._one(
            f"""SELECT {dialect.joined_bytes("jti", "id")}, count(*), count(CASE WHEN jti >= :none THEN 1 END)
                  FROM {rows}""",
            now=self._now,
            none=b"",
            **values,
        )
        if bytes_count != count:
            raise IntegrityError("the id of a credential in the ledger is invalid", "run: jitid audit verify")
        return sha256(joined or b"").hexdigest()

    def end_one(self, key: int, state: State) -> str:
        """End one credential alone; the row points to the next event. Return the digest of the ended credential."""
        self._transaction.alone()
        jti, signed, expires_at = self._one(
            "SELECT jti, claims_hash IS NOT NULL, expires_at FROM credential WHERE id = :key", key=key
        )
        seq = self._transaction.next_seq()
        self._db.execute(
            "UPDATE credential SET ended_at = :now, ended_as = :state, ended_event = :seq WHERE id = :key",
            {"now": self._now, "state": state.value, "seq": seq, "key": key},
        )
        if signed:
            expiry.keep_honoured(self._transaction, seq, 1, self._now, expires_at)
        return ended_digest([jti])

    def bind(self, identity: int, process: Process) -> None:
        """Record the process that a new identity is given to."""
        self._db.execute("INSERT INTO process VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (identity, *process))

    def renews_until(self, identity: int, time: int) -> None:
        """Record that an identity's process renews it until `time` at the latest, if the process renews at all."""
        self._db.execute(
            "UPDATE process SET renews_until = ? WHERE identity = ? AND renews_until > ?",
            (time, identity, time),
        )

    def supersede(self, key: int, superseded_at: int) -> int | None:
        """Let a live credential without a successor end at `superseded_at`, or at its expiry if that is earlier.

        Return the time of its end; None if the credential has ended or has a successor.
        """
        self._transaction.alone()
        row = self._one(
            """UPDATE credential SET superseded_at = CASE WHEN expires_at < :at THEN expires_at ELSE :at END
                WHERE id = :key AND superseded_at IS NULL AND ended_at IS NULL AND expires_at > :now
            RETURNING superseded_at""",
            key=key,
            at=superseded_at,
            now=self._now,
        )
        return None if row is None else int(row[0])

    def mark_reused(self, jti: bytes) -> None:
        """Record the first attempt to renew a credential that has a successor."""
        self._db.execute(
            "UPDATE credential SET reused_at = :now WHERE jti = :jti AND reused_at IS NULL",
            {"now": self._now, "jti": jti},
        )

    def restore(self, jti: bytes, superseded_at: int, former: int | None) -> bool:
        """Change the end of a credential that would be superseded at `superseded_at` to `former`; with None, remove it.

        Return False if it has ended, or has been superseded, meanwhile.
        """
        self._transaction.alone()
        # `line` marks a renewed line: `lineage.on_lines` uses it to find credentials made from the abandoned
        # successor.
        changed = self._db.execute(
            f"""UPDATE credential SET superseded_at = :before{", line = coalesce(line, id)" if former is None else ""}
                WHERE jti = :jti AND ended_at IS NULL AND superseded_at = :at AND superseded_at > :now""",
            {"before": former, "jti": jti, "at": superseded_at, "now": self._now},
        )
        restored: bool = changed.rowcount == 1
        return restored
