"""Questions to a ledger, in SQL that SQLite and PostgreSQL both take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory.store import SqlDirectory
from jitid.capabilities.leak.store import SqlLeaks
from jitid.capabilities.use.store import SqlUse
from jitid.errors import IntegrityError, NotFoundError, UsageError
from jitid.ledger import lineage as walking
from jitid.ledger import seal as sealing
from jitid.ledger import select
from jitid.ledger.dialect import dialect_of
from jitid.ledger.events import SqlAuditLog
from jitid.ledger.sqlite.failure import FAULTS, translated
from jitid.model.credential import PROOFS, TOKENS, Credential, TokenUse, read_kinds
from jitid.model.ledger_rows import (
    Ancestor,
    Family,
    Filter,
    Ground,
    Held,
    Maker,
    Names,
    Radius,
    Selection,
    SigningKey,
    Withdrawn,
)
from jitid.model.process import Process
from jitid.model.task import Task
from jitid.values import strict_json
from jitid.values.ids import credential_id, identity_id, parse_id
from jitid.values.text import quote
from jitid.values.times import check_times

if TYPE_CHECKING:
    from jitid.capabilities.access.presented_store import SqlPresented
    from jitid.capabilities.identity.share_store import SqlShares
    from jitid.capabilities.integrity.cut_store import SqlSegments
    from jitid.capabilities.integrity.prune_store import SqlRetention
    from jitid.ledger.idempotency import Answered
    from jitid.ledger.seal import Seal
    from jitid.ledger.status_places import SqlStatuses
    from jitid.model.access import AccessSnapshot
    from jitid.model.adopted import AdoptedSnapshot
    from jitid.model.agent_history import Pasts, Practice
    from jitid.model.approval import ApprovalSnapshot
    from jitid.model.decided import Decided
    from jitid.model.directory import Entry
    from jitid.model.outside import OutsideSnapshot
    from jitid.model.survey import DirectoryCounts, Survey

_CREDENTIAL = f"""
    SELECT c.id, c.jti, i.uid, i.id, p.uid, i.parent, i.depth, d.text, pa.text, i.proof, a.text, t.name, t.purpose,
           i.sensitivity, c.kind, c.scopes, au.text, c.details, c.issued_at, c.expires_at, c.ended_at, c.ended_as,
           c.fingerprint, c.claims_hash, k.kid, c.event, c.ended_event, c.superseded_at,
           pr.host, pr.boot, pr.namespace, pr.pid, pr.started, pr.kept, pr.renews_until,
           CASE WHEN dr.id IS NULL THEN 'unverified' WHEN dr.disabled_at IS NULL THEN 'known' ELSE 'disabled' END,
           c.template, coalesce(c.line, c.id), coalesce(c.source, i.source), c.source,
           c.may_audience, c.may_kind, c.may_act, i.task, o.text,
           CASE WHEN t.ended_at IS NULL THEN t.deadline ELSE 0 END, c.recurring, {select.UNDER_AGENT},
           (SELECT text FROM term WHERE id = c.proved_subject)
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

_TASK_COLUMNS = """t.id, t.name, t.purpose, t.sensitivity, t.deadline, t.opened_at, t.ended_at, o.text, t.event,
           t.given_event"""
_TASK = f"SELECT {_TASK_COLUMNS} FROM task t JOIN term o ON o.id = t.opener"
_EVERY_TASK = f"SELECT {_TASK_COLUMNS} FROM task t LEFT JOIN term o ON o.id = t.opener"
_TASK_WIDTH = 10

# Depth bounds every walk: in a damaged ledger, edges may run in a circle.
_BELOW = """
    WITH RECURSIVE below (id, depth) AS (
        SELECT id, depth FROM identity WHERE id = :identity
        UNION ALL
        SELECT i.id, i.depth FROM below b JOIN identity i ON i.parent = b.id AND i.depth > b.depth)"""

_AT_ONCE = 500

_SORT_EXPRESSIONS = {
    "issued_at": "c.issued_at",
    "expires_at": "c.expires_at",
    "task": "t.name",
    "agent": "a.text",
    "delegator": "d.text",
    "depth": "i.depth",
    "id": "i.uid",
}


def _credential(row: Any) -> Credential:
    try:
        return _from_row(row)
    except (TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            "a row of the ledger holds what no ledger writes", "run: jitid audit verify"
        ) from error


def _task(row: Any) -> Task:
    check_times(*row[4:7])
    return Task._make(row)


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
            # Rows from before may have some, which nothing that was signed says.
            () if kind in PROOFS else _words(row[15]),
            audiences,
            *row[17:28],
            None if host is None else Process._make((*row[28:33], bool(row[33]), row[34])),
            *row[35:40],
            may_audience,
            read_kinds(row[41]),
            *row[42:47],
            bool(row[47]),
            row[48],
            _token_use(kind, audiences, may_audience, undivided=row[40] is None),
        )
    )


# Asking a member of an Enum for its value costs more than all else here.
_UNDIVIDED, _SERVICE, _IDENTITY = (
    use.value for use in (TokenUse.UNDIVIDED, TokenUse.SERVICE, TokenUse.IDENTITY)
)


def _token_use(
    kind: str, audiences: tuple[str, ...], may_audience: tuple[str, ...], *, undivided: bool
) -> str | None:
    """Return what a token is for: a service token may obtain tokens for its own audiences, and for no others."""
    if kind not in TOKENS:
        return None
    if undivided:
        return _UNDIVIDED
    return _SERVICE if may_audience == audiences else _IDENTITY


@lru_cache(maxsize=1024)
def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


class SqlSnapshot(SqlAuditLog, SqlLeaks, SqlDirectory, SqlUse):
    """A consistent view of a ledger that speaks SQL."""

    def __init__(self, db: Any, names: Names, now: int) -> None:
        super().__init__(db, names)
        self._now = now
        self._shares: SqlShares | None = None
        self._entries: dict[tuple[str, str], Entry] = {}
        """What was read of the directory; a change to it clears this."""
        self.sealed_as: tuple[str | None] | None = None
        """The ledger's seal as it is stored, if the view was opened by reading it; its absence is known too."""
        self.changed_at: int | None = None
        """`Snapshot.changed_at`."""
        self.marked_at: int | None = None
        """The time mark, if the ledger keeps one and the view was opened by reading it."""

    def entry(self, delegator: str, agent: str) -> Entry:
        """Return what the directory has of a delegator, by any of their names, and of an agent."""
        found = self._entries.get((delegator, agent))
        if found is None:
            found = super().entry(delegator, agent)
            # How many of its identities live is another number after each of them.
            if found.agent is None or found.agent.concurrency is None:
                self._entries[delegator, agent] = found
        return found

    def afresh(self) -> SqlSnapshot:
        """Return the same view, which has remembered nothing."""
        return self

    @property
    def now(self) -> int:
        """The later of the clock and the ledger's time mark, in seconds since the epoch."""
        return self._now

    def settings(self) -> dict[str, str]:
        """Return what the ledger says of itself: `Names.of` reads it."""
        return dict(self._db.execute("SELECT name, value FROM setting", {}).fetchall())

    def living(self) -> tuple[int, int]:
        """Return how many credentials live, and when the last of them expires (0 if none does)."""
        count, latest = self._one(
            "SELECT count(*), max(expires_at) FROM credential WHERE ended_at IS NULL AND expires_at > :now",
            now=self._now,
        )
        return int(count), int(latest or 0)

    def reaches(self) -> Iterator[Held]:
        """Yield for what the live credentials are, and for what their holders and actors obtain tokens, each once."""
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
            yield Held(audiences, may_audience, may_act, use)

    def latest_expiry_of_all(self) -> int | None:
        """Return when the last of all credentials expires or has expired; None if there is none."""
        (found,) = self._one("SELECT max(expires_at) FROM credential")
        return None if found is None else int(found)

    @property
    def seal(self) -> Seal | None:
        """What says that the ledger was copied to another place, and is for reading alone."""
        text = self.setting(sealing.SETTING) if self.sealed_as is None else self.sealed_as[0]
        return None if text is None else sealing.read(text)

    def setting(self, name: str) -> str | None:
        """Return what the ledger's table of settings says under a name."""
        row = self._db.execute("SELECT value FROM setting WHERE name = :name", {"name": name}).fetchone()
        return None if row is None else str(row[0])

    @property
    def approvals(self) -> ApprovalSnapshot:
        """The requests for approval; loaded by those alone who have one."""
        from jitid.capabilities.issue.approval_store import SqlApprovals

        return SqlApprovals(self._db, self._now)

    def answered(self) -> Iterator[tuple[str, str, Answered, int]]:
        """Yield what was answered to requests that may come again: caller, their key, the answer, and its time."""
        from jitid.ledger import idempotency

        return idempotency.answered(self._db, self._now - idempotency.REMEMBERED)

    def time_mark(self) -> int | None:
        """Return the time mark in seconds since the epoch; None if the ledger keeps no mark."""
        return self.marked_at

    @property
    def presented(self) -> SqlPresented:
        """The foreign tokens that were presented, and by whom first."""
        from jitid.capabilities.access.presented_store import SqlPresented

        return SqlPresented(self._db)

    @property
    def access(self) -> AccessSnapshot:
        """Who may ask an authority that serves others."""
        from jitid.capabilities.access.store import SqlAccess

        return SqlAccess(self._db, self._now)

    @property
    def statuses(self) -> SqlStatuses:
        """The places of signed tokens in status lists; loaded where these are published."""
        from jitid.ledger.status_places import SqlStatuses

        return SqlStatuses(self._db, self._now)

    @property
    def retention(self) -> SqlRetention:
        """What may go, and what has gone; loaded where the log is checked, or the ledger pruned."""
        from jitid.capabilities.integrity.prune_store import SqlRetention

        return SqlRetention(self._db, self._now, self)

    @property
    def segments(self) -> SqlSegments:
        """What was cut from the audit log."""
        from jitid.capabilities.integrity.cut_store import SqlSegments

        return SqlSegments(self._db)

    @property
    def outside(self) -> OutsideSnapshot:
        """The credentials at targets outside."""
        from jitid.capabilities.targets.store import SqlOutside

        return SqlOutside(self._db, self._now)

    @property
    def adopted(self) -> AdoptedSnapshot:
        """The standing secrets that were adopted."""
        from jitid.capabilities.adopt.store import SqlAdopted

        return SqlAdopted(self._db, self._now)

    def ask(self, question: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the rows that answer a question in portable SQL, which has its values by `:name`; `:now` is there.

        Raises:
            DamagedError: the ledger cannot tell.
            StorageError: it is busy or out of reach.

        """
        try:
            yield from self._db.execute(question, {"now": self._now, **values})
        except FAULTS as error:
            raise translated(error) from error

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Put rows into a temporary table, however many there are. Raises as `ask`."""
        try:
            dialect_of(self._db).insert(self._db, table, columns, rows)
        except FAULTS as error:
            raise translated(error) from error

    def find_task(self, name: str, opener: str | None = None) -> Task | None:
        """Return the task of that name that belongs to `opener`; without one that of whoever alone has such a task."""
        if opener is None:
            found = self.tasks_named(name, 2)
            return found[0] if len(found) == 1 else None
        row = self._one(
            f"{_TASK} WHERE t.name = :name AND t.opener = (SELECT id FROM term WHERE text = :opener)",
            name=name,
            opener=opener,
        )
        return None if row is None else _task(row)

    def tasks_named(self, name: str, most: int) -> list[Task]:
        """Return the tasks of that name, whoever opened them, the oldest first."""
        rows = self._db.execute(
            f"{_TASK} WHERE t.name = :name ORDER BY t.id LIMIT :most", {"name": name, "most": most}
        )
        return [_task(row) for row in rows]

    def task_numbered(self, key: int) -> Task | None:
        """Return the task with that number of the ledger's."""
        row = self._one(f"{_TASK} WHERE t.id = :key", key=key)
        return None if row is None else _task(row)

    def tasks_numbered(self, keys: Iterable[int]) -> dict[int, Task]:
        """Return tasks by the ledger's own numbers."""
        return {row[0]: _task(row) for row in select.alike(self._db, f"{_TASK} WHERE t.id", keys)}

    def all_tasks(self) -> Iterator[Task]:
        """Yield every task there ever was."""
        # One that belongs to no name is to be seen too.
        return map(_task, self._stream(f"{_EVERY_TASK} ORDER BY t.id"))

    def wrongly_opened(self, pruned: bool) -> str | None:
        """Return a task from before names had owners that does not belong to who was first; None for none.

        Where credentials were pruned, the first one may be gone.
        """
        held = "FROM identity i JOIN credential c ON c.identity = i.id WHERE i.task = t.id"
        wrong = (
            f"EXISTS (SELECT 1 {held}) AND NOT EXISTS (SELECT 1 {held} AND c.delegator = t.opener)"
            if pruned
            else f"""(NOT EXISTS (SELECT 1 {held} AND c.event = t.event AND c.delegator = t.opener)
                      OR EXISTS (SELECT 1 {held} AND c.event < t.event))"""
        )
        row = self._one(
            f"SELECT t.name FROM task t WHERE t.given_event = 0 AND t.event > 0 AND {wrong} LIMIT 1"
        )
        return None if row is None else str(row[0])

    def tasks_of(self, names: Iterable[str]) -> dict[tuple[str, str], Task]:
        """Return the tasks of these names, whoever opened them, by name and owner."""
        found = map(_task, select.alike(self._db, f"{_TASK} WHERE t.name", names))
        return {(task.name, task.opener): task for task in found}

    @property
    def shares(self) -> SqlShares:
        """Who may join the tasks of others; loaded by those alone who name one."""
        if self._shares is None:
            from jitid.capabilities.identity.share_store import SqlShares

            self._shares = SqlShares(self._db, self._now)
        return self._shares

    def find_tasks(
        self, state: str | None, after: int | None, limit: int, within: Sequence[str] = ()
    ) -> list[tuple[Task, int, int]]:
        """Return tasks, newest first, with the number of their credentials and of the live ones.

        `within`: only those that belong to one of these, or are shared with one; `after` is the number of a task.
        """
        wanted = {
            None: "1 = 1",
            "open": "t.ended_at IS NULL AND t.deadline > :now",
            "overdue": "t.ended_at IS NULL AND t.deadline <= :now",
            "ended": "t.ended_at IS NOT NULL",
        }[state]
        values: dict[str, Any] = {"now": self._now, "limit": limit}
        if after is not None:
            wanted += " AND t.id < :after"
            values["after"] = after
        if within:
            names = select.placeholders("whose", within, values)
            wanted += f""" AND (t.opener IN (SELECT id FROM term WHERE text IN ({names})) OR t.id IN (
                SELECT task FROM task_share WHERE ended_event IS NULL AND name IN ({names})))"""
        rows = self._db.execute(
            f"""SELECT {_TASK_COLUMNS},
                       (SELECT count(*) FROM identity i JOIN credential c ON c.identity = i.id WHERE i.task = t.id),
                       (SELECT count(*) FROM credential c WHERE c.task = t.id AND {select.LIVE})
                  FROM task t JOIN term o ON o.id = t.opener
                 WHERE {wanted} ORDER BY t.id DESC LIMIT :limit""",
            values,
        )
        return [(_task(row[:_TASK_WIDTH]), *row[_TASK_WIDTH:]) for row in rows]

    def count_for_task(self, task: int) -> tuple[int, int]:
        """Return how many credentials were issued for a task, and how many of them live."""
        row = self._one(
            f"""SELECT (SELECT count(*) FROM identity i JOIN credential c ON c.identity = i.id WHERE i.task = :task),
                      (SELECT count(*) FROM credential c WHERE c.task = :task AND {select.LIVE})""",
            task=task,
            now=self._now,
        )
        return row[0], row[1]

    def find_credential(self, by: str, value: bytes) -> Credential | None:
        """Return the credential with that `jti` (16 bytes) or `fingerprint` (32 bytes)."""
        row = self._one(_CREDENTIAL_BY[by], value=value)
        return None if row is None else _credential(row)

    def credentials_numbered(self, keys: Iterable[int]) -> dict[int, Credential]:
        """Return credentials by the ledger's own numbers."""
        given = sorted(keys)
        found = {}
        for start in range(0, len(given), _AT_ONCE):
            values: dict[str, Any] = {}
            among = select.placeholders("key", given[start : start + _AT_ONCE], values)
            for row in self._db.execute(f"{_CREDENTIAL} WHERE c.id IN ({among})", values):
                credential = _credential(row)
                found[credential.key] = credential
        return found

    def head_of(self, jti: bytes) -> Credential | None:
        """Return the head of the line of a credential, which may be that one; None where the line has none."""
        row = self._one(f"SELECT {walking.HEAD} FROM credential b WHERE b.jti = :jti", jti=jti)
        key = None if row is None else row[0]
        return None if key is None else self.credentials_numbered([key])[key]

    def first_of(self, uid: bytes) -> Credential | None:
        """Return the first credential of an identity: what it was issued as."""
        return self._one_of(uid, "ASC")

    def has_lines_over(self) -> bool:
        """Return whether the head of a renewed line has expired and the ledger has not recorded it."""
        from jitid.capabilities.identity.dependents_store import OVER

        # ORDER BY makes a generic plan use the index; without it PostgreSQL may scan the table and find nothing.
        row = self._one(
            f"SELECT expires_at FROM credential WHERE {OVER} AND expires_at <= :now ORDER BY expires_at LIMIT 1",
            now=self._now,
        )
        return row is not None

    def alive(self, uids: Iterable[bytes]) -> set[bytes]:
        """Return those of these identities that have a live credential."""
        live = select.LIVE.replace(":now", str(int(self._now)))
        question = f"""SELECT i.uid FROM identity i
                        WHERE EXISTS (SELECT 1 FROM credential c WHERE c.identity = i.id AND {live}) AND i.uid"""
        return {uid for (uid,) in select.alike(self._db, question, uids)}

    def latest_of(self, uid: bytes) -> Credential | None:
        """Return the latest credential of an identity."""
        return self._one_of(uid, "DESC")

    def _one_of(self, uid: bytes, order: str) -> Credential | None:
        row = self._one(
            # In this order the index on the identity serves; by the id alone, PostgreSQL may walk the whole table.
            f"""{_CREDENTIAL} WHERE c.id = (
                    SELECT l.id FROM identity own JOIN credential l ON l.identity = own.id WHERE own.uid = :uid
                     ORDER BY l.identity {order}, l.id {order} LIMIT 1)""",
            uid=uid,
        )
        return None if row is None else _credential(row)

    def makers_of(self, uid: bytes, most: int) -> tuple[set[Maker], int]:
        """Return who had credentials of an identity made, as the events tell that made them, and the bytes of these.

        Nobody where the events have more than `most` bytes.
        """
        made = """seq IN (SELECT l.event FROM identity own JOIN credential l ON l.identity = own.id
                          WHERE own.uid = :uid)"""
        (size,) = self._db.execute(
            f"SELECT coalesce(sum(length(body)), 0) FROM audit_event WHERE {made}", {"uid": uid}
        ).fetchone()
        if size > most:
            return set(), size
        dialect = dialect_of(self._db)
        # An event may be long: only these members are taken out of it.
        members = dialect.member(*Maker._fields)
        rows = self._db.execute(f"SELECT DISTINCT {members} FROM {dialect.told} WHERE {made}", {"uid": uid})
        return {Maker(*strict_json.loads(row[0], "members")) for row in rows}, size

    def first_issued_at(self, identity: int) -> int:
        """Return when the first credential of an identity was issued."""
        row = self._one("SELECT min(issued_at) FROM credential WHERE identity = :identity", identity=identity)
        first: int = row[0]
        return first

    def supersessions(self, jtis: Sequence[bytes]) -> list[tuple[bytes, int | None]]:
        """Return for each of these credentials when it was or will be superseded."""
        found = []
        for jti in jtis:
            row = self._one("SELECT superseded_at FROM credential WHERE jti = :jti", jti=jti)
            found.append((jti, row and row[0]))
        return found

    def unknown_of(self, ids: Iterable[str]) -> str | None:
        """Return the first of these ids that nothing was ever issued under; none if there is no such."""
        ids = list(ids)
        select.give(self._db, ids, ())
        unknown = {
            name(raw)
            for name, sql in (
                (identity_id, "given_uid g WHERE NOT EXISTS (SELECT 1 FROM identity i WHERE i.uid = g.uid)"),
                (
                    credential_id,
                    "given_jti g WHERE NOT EXISTS (SELECT 1 FROM credential c WHERE c.jti = g.jti)",
                ),
            )
            for (raw,) in self._db.execute(f"SELECT * FROM {sql}")
        }
        return next((text for text in ids if text in unknown), None)

    def find_given(self, ids: Iterable[str], fingerprints: Iterable[bytes]) -> list[Credential]:
        """Return the credentials with these ids and fingerprints; of an identity the latest one. Oldest first."""
        select.give(self._db, ids, fingerprints)
        return self._numbered(select.GIVEN)

    def credentials_of_leaks(self, numbers: Iterable[int]) -> list[Credential]:
        """Return the credentials that leaked, by the numbers of the leaks. Oldest first."""
        select.give(self._db, (), (), leaks=numbers)
        return self._numbered("SELECT l.credential FROM given_leak g CROSS JOIN leak l WHERE l.id = g.leak")

    def _numbered(self, query: str) -> list[Credential]:
        """Return the credentials whose numbers a query gives, in the order of issue."""
        # Two steps: in one, PostgreSQL may join all credentials before it selects these.
        with dialect_of(self._db).by_index(self._db):
            keys = {key for (key,) in self._db.execute(query) if key is not None}
        found = self.credentials_numbered(keys)
        return [found[key] for key in sorted(found)]

    def find_public(self, publics: Iterable[bytes]) -> list[tuple[bytes, Credential]]:
        """Return the credentials that are for these keys, each with the hash of its key (SubjectPublicKeyInfo).

        They are those that have not run out, ended or not, and of each key the latest one. Oldest first.
        """
        select.give(self._db, (), (), publics=publics)
        rows = self._db.execute(select.BY_PUBLIC, {"now": self._now}).fetchall()
        found = self.credentials_numbered(key for _, key in rows)
        return [(public, found[key]) for public, key in rows]

    def lineage(self, identity: int) -> list[Ancestor]:
        """Return the identities above `identity`, the nearest first."""
        return walking.lineage(self._db, identity)

    def lineages(self, identities: Iterable[int]) -> dict[int, list[Ancestor]]:
        """Return the same for each of many that has any."""
        select.give(self._db, (), (), identities)
        return walking.lineages(self._db)

    def grounds(self, credential: int) -> list[Ground]:
        """Return the credentials that one rests on now, the nearest first."""
        return walking.grounds(self._db, credential, self._now)

    def grounds_of(self, credentials: Iterable[int]) -> dict[int, list[Ground]]:
        """Return the same for each of many that rests on any."""
        select.give(self._db, (), (), credentials=credentials)
        return walking.grounds_of(self._db, self._now)

    def descendants(self, identity: int) -> tuple[int, int]:
        """Return how many identities hang below `identity`, and how many of them hold a live credential."""
        row = self._one(
            f"""{_BELOW} SELECT count(*) - 1, coalesce(sum(CASE WHEN below.id <> :identity AND EXISTS (
                    SELECT 1 FROM credential c WHERE c.identity = below.id AND {select.LIVE})
                    THEN 1 ELSE 0 END), 0) FROM below""",
            identity=identity,
            now=self._now,
        )
        return row[0], row[1]

    def families(self, identities: Iterable[int]) -> dict[int, Family]:
        """Return for each of these identities what ending it would come to."""
        select.give(self._db, (), (), identities)
        return walking.families(self._db, self._now)

    def offline_until(self, identities: Iterable[int]) -> dict[int, int]:
        """Return until when offline verifiers may accept these identities, with the leeway, if any still may."""
        from jitid.ledger.accepted_until import SIGNED

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
        """Return one page of credentials; a page that follows `after` does not move when rows are added."""
        if sort not in select.SORTS:
            raise UsageError(f"cannot sort by {quote(sort)}", f"sort by one of: {', '.join(select.SORTS)}")
        where, values, selective = select.conditions(chosen, self._now)
        order = _SORT_EXPRESSIONS[sort]
        if sort == "issued_at" and after is not None:
            # In the order of issue: where the clock was set back, the times themselves are in no order.
            where.append(f"c.id {'<' if descending else '>'} :sort_key")
            values["sort_key"] = self._cursor(order, after)["sort_key"]
        elif after is not None:
            where.append(f"({order}, c.id) {'<' if descending else '>'} (:sort_value, :sort_key)")
            values |= self._cursor(order, after)
        direction = "DESC" if descending else "ASC"
        # "+" keeps the planner from walking the whole table in order where an index finds the few rows asked for.
        key = "+c.id" if selective else "c.id"
        ordering = f"{key} {direction}" if sort == "issued_at" else f"{order} {direction}, {key} {direction}"
        rows = self._db.execute(
            f"{_CREDENTIAL} WHERE {' AND '.join(where)} ORDER BY {ordering} LIMIT :limit",
            {**values, "limit": limit},
        )
        return [_credential(row) for row in rows]

    def _cursor(self, order: str, after: str) -> dict[str, Any]:
        sort, raw = parse_id(after)
        column = "c.jti" if sort == "jti" else "i.uid"
        row = self._one(
            f"""SELECT {order}, c.id FROM credential c JOIN identity i ON i.id = c.identity JOIN task t ON t.id = i.task
                  JOIN term d ON d.id = i.delegator JOIN term a ON a.id = i.agent
                 WHERE {column} = :raw ORDER BY c.id DESC LIMIT 1""",
            raw=raw,
        )
        if row is None:
            raise NotFoundError(f"no credential {quote(after)} to continue after")
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
        """Return what ending that selection with all that descends from it would come to."""
        matched = select.select(self._db, selection)
        return select.radius(self._db, matched, self._now)

    def measure_together(self, selections: Iterable[Selection]) -> Radius:
        """Return what ending each of many selections would come to; what they have in common counts once."""
        return select.measure_together(self._db, selections, self._now)

    def signing_keys(self) -> list[SigningKey]:
        """Return every signing key there ever was, oldest first."""
        rows = self._db.execute(
            """SELECT id, kid, algorithm, public, created_at, retired_at, revoked_at, use, certificates
                 FROM signing_key ORDER BY id"""
        )
        return [SigningKey(*row) for row in rows]

    def latest_expiry_signed_by(self, key: int) -> int | None:
        """Return when the last live credential signed by that key expires."""
        row = self._one(
            "SELECT max(expires_at) FROM credential WHERE ended_at IS NULL AND signed_by = :key", key=key
        )
        latest: int | None = row[0]
        return latest

    def last_expiry_signed_by(self, key: int) -> int | None:
        """Return when the last credential signed by that key expires, alive or ended."""
        row = self._one("SELECT max(expires_at) FROM credential WHERE signed_by = :key", key=key)
        latest: int | None = row[0]
        return latest

    def withdrawn_by(self, key: int) -> list[Withdrawn]:
        """Return what that key signed and is no longer valid though it has not expired, oldest first."""
        rows = self._db.execute(
            """SELECT jti, coalesce(ended_at, superseded_at), coalesce(ended_as, 'superseded'), expires_at
                 FROM credential
                WHERE signed_by = :key AND expires_at > :now
                  AND (ended_as <> 'expired' OR ended_as IS NULL AND superseded_at <= :now) ORDER BY jti""",
            {"key": key, "now": self._now},
        )
        return [Withdrawn(*row) for row in rows]

    def policy_text(self, digest: str) -> str | None:
        """Return the text of a policy that decided something once."""
        row = self._one("SELECT text FROM policy WHERE digest = :digest", digest=digest)
        return None if row is None else row[0]

    def decided(self) -> Decided:
        """Return what answers about the requests that were decided."""
        from jitid.capabilities.decisions.store import SqlRequests

        return SqlRequests(self._db, self._now)

    def survey(self, at: int | None, since: int, limits: Mapping[str, int]) -> Survey:
        """Measure the ledger as a whole as it is now, or as it was at `at`."""
        from jitid.capabilities.report import store as report_store

        return report_store.survey(self._db, at, self._now, since, limits)

    def pasts(self, since: int, *, names: Sequence[str] = (), tasks: int, days: int, most: int) -> Pasts:
        """Return the past of agents since a time: of these names, or of all that there are."""
        from jitid.capabilities.directory import recurrence_store

        return recurrence_store.pasts(self._db, self._now, since, names, tasks, days, most)

    def is_agent(self, name: str) -> bool:
        """Tell whether anything was ever issued to an agent of that name."""
        row = self._one(
            "SELECT 1 FROM term t JOIN identity i ON i.agent = t.id WHERE t.text = :name LIMIT 1", name=name
        )
        return row is not None

    def practices(self, since: int, agent: str | None, task: str | None) -> list[Practice]:
        """Return what an agent did since a time, what agents did on a task, or what one did on the other."""
        from jitid.capabilities.decisions import practice_store

        return practice_store.practices(self._db, since, agent, task)

    def count_directory(self) -> DirectoryCounts:
        """Return how many delegators and agents the directory has, by their state."""
        from jitid.capabilities.report import store as report_store

        return report_store.count_directory(self._db, self._now)
