"""Selections and filters of rows, as set operations in portable SQL.

Also the time until which verifiers and targets may accept a credential that the ledger refuses.

`c` is its row in `credential`, `o` its row in `outside`; `:now` is the time. SQLite and PostgreSQL both run them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from itertools import islice
from typing import Any

from jitid.model.credential import LEEWAY
from jitid.model.ledger_rows import Radius, Selection
from jitid.model.task import parse_task
from jitid.values.ids import parse_id
from jitid.values.record import Record
from jitid.values.times import NO_EXPIRY


class Dialect:
    """The pieces of SQL for SQLite."""

    rebuilds_indexes = True
    """Whether ending a large part of a ledger is faster without the indexes on live credentials."""
    event_bodies = "(SELECT seq, CAST(body AS TEXT) AS told FROM audit_event) AS events"
    """The audit events with their documents as text; SQLite would read a blob as binary JSON."""
    ordered_key = " WITHOUT ROWID"
    """The SQL after the columns of a temporary table that keeps its rows in the order of the key."""

    def member(self, *names: str) -> str:
        """Return the expression for a member of an event (`told`); for several members, a JSON array of them."""
        paths = ", ".join(f"'$.{name}'" for name in names)
        return f"json_extract(told, {paths})"

    def number(self, name: str) -> str:
        """Return the expression for a member of an event whose value is a number."""
        return self.member(name)

    def listed(self, name: str) -> str:
        """Return the query for the texts in the JSON array that is bound as `name`."""
        return f"SELECT value FROM json_each(:{name})"

    def fenced(self, query: str) -> str:
        """Return the query as a table whose columns are computed once per row, not once per use."""
        return f"({query} LIMIT -1)"

    def joined_bytes(self, expression: str, order: str) -> str:  # noqa: ARG002 - the method of PostgreSQL needs it
        """Return the aggregate that joins bytes in the order of a column; NULL adds nothing.

        The rows must be stored in that order.
        """
        # The rows are in order already, and `ORDER BY` would sort them again. SQLite joins text and bytes alike.
        return f"CAST(group_concat({expression}, '') AS BLOB)"

    def joined(self, db: Any, query: str, values: Mapping[str, Any]) -> Iterable[tuple[int, int]]:
        """Return the first `seq` and the sum of `n` for each value of the query's column `asked`, ordered by `seq`."""
        # GROUP BY would sort, in a gigabyte of memory for 1.5 million events.
        db.execute("DROP TABLE IF EXISTS temp.alike")
        db.execute(
            "CREATE TEMPORARY TABLE alike (asked TEXT PRIMARY KEY, n INTEGER, first INTEGER) WITHOUT ROWID"
        )
        db.execute(
            f"""INSERT INTO alike {query}
                ON CONFLICT (asked) DO UPDATE SET n = n + excluded.n""",
            values,
        )
        rows: Iterable[tuple[int, int]] = db.execute("SELECT first, n FROM alike ORDER BY first")
        return rows

    def temporaries(self, db: Any, tables: Mapping[str, str]) -> None:
        """Create empty temporary tables with these names and columns.

        Existing tables have the same columns and are emptied.
        """
        for table, columns in tables.items():
            # Such a row is only its key; a table with row ids would store the key twice.
            ordered = " WITHOUT ROWID" if columns.endswith((" BLOB PRIMARY KEY", " TEXT PRIMARY KEY")) else ""
            db.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({columns}){ordered}")
            db.execute(f"DELETE FROM {table}")

    def give(self, db: Any, table: str, values: Iterable[Any]) -> None:
        """Insert values into a temporary table with a single column, without duplicates."""
        db.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?)", ((value,) for value in values))

    def counted(self, db: Any, table: str) -> None:
        """Update the planner's statistics of a temporary table, where the database needs that."""

    @contextmanager
    def by_index(self, db: Any) -> Iterator[None]:  # noqa: ARG002 - PostgreSQL's dialect executes settings on it
        """Make the statements of the block look up each row by an index; SQLite does so by itself."""
        yield

    def stream(
        self, db: Any, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, which may be more than fit into memory."""
        rows: Iterator[tuple[Any, ...]] = db.execute(sql, values)
        return rows

    def insert(self, db: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert any number of rows."""
        db.executemany(_insertion(table, tuple(columns)), rows)


@lru_cache(maxsize=64)
def _insertion(table: str, columns: tuple[str, ...]) -> str:
    placeholders = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({placeholders})"


SQLITE = Dialect()


def dialect_of(db: Any) -> Dialect:
    """Return the dialect of a connection."""
    dialect: Dialect = getattr(db, "dialect", SQLITE)
    return dialect


MANY = 50_000
"""From this number of identities on, a pass over all rows is faster than single lookups."""

_AT_ONCE = 500
"""The maximum number of values in one statement."""

LIVE = "c.ended_at IS NULL AND c.expires_at > :now AND (c.superseded_at IS NULL OR c.superseded_at > :now)"
"""The condition that a credential `c` is live: it has not ended and is not due to be recorded as ended."""
DEATH = """(CASE WHEN c.ended_at IS NOT NULL THEN c.ended_at
    WHEN c.superseded_at IS NOT NULL AND c.superseded_at < c.expires_at THEN c.superseded_at ELSE c.expires_at END)"""
"""When a credential `c` ended or will end, whether that is recorded or not."""

UNDER_AGENT = """CASE WHEN c.recurring IS NOT NULL OR i.id <= (
               SELECT CAST(value AS BIGINT) FROM setting WHERE name = 'agents_until') THEN 1 ELSE 0 END"""
"""Whether an identity `i` with a credential `c` is under `/agent/` in SPIFFE ids.

That is so if its agent is registered, or if it is older than the separate path for unregistered agents.
"""

IDENTITY_UNDER_AGENT = """CASE WHEN i.id <= (
               SELECT CAST(value AS BIGINT) FROM setting WHERE name = 'agents_until')
            OR EXISTS (SELECT 1 FROM credential n WHERE n.identity = i.id AND n.recurring IS NOT NULL)
            THEN 1 ELSE 0 END"""
"""The same as `UNDER_AGENT`, for an identity `i` without a credential."""

_TEMPORARY = {
    "given_uid": "uid BLOB PRIMARY KEY",
    "given_jti": "jti BLOB PRIMARY KEY",
    "given_print": "fingerprint BLOB PRIMARY KEY",
    "given_public": "public BLOB PRIMARY KEY",
    "given_tree": "uid BLOB PRIMARY KEY",
    "given_identity": "identity INTEGER PRIMARY KEY",
    "given_credential": "credential INTEGER PRIMARY KEY",
    "given_leak": "leak INTEGER PRIMARY KEY",
    "given_name": "name TEXT PRIMARY KEY",
    "given_delegator": "delegator INTEGER PRIMARY KEY",
    "doomed": "identity INTEGER PRIMARY KEY",
}

_BY_ID = """SELECT i.id FROM given_uid g JOIN identity i ON i.uid = g.uid
    UNION SELECT c.identity FROM given_jti g JOIN credential c ON c.jti = g.jti"""
_BY_PRINT = """SELECT c.identity FROM given_print g CROSS JOIN credential c
    WHERE substr(c.fingerprint, 1, 8) = substr(g.fingerprint, 1, 8) AND c.fingerprint = g.fingerprint
    UNION SELECT c.identity FROM given_print g CROSS JOIN part p CROSS JOIN credential c
     WHERE substr(p.fingerprint, 1, 8) = substr(g.fingerprint, 1, 8) AND p.fingerprint = g.fingerprint
       AND c.id = p.credential"""
GIVEN = """SELECT c.id FROM given_jti g CROSS JOIN credential c ON c.jti = g.jti
    UNION SELECT c.id FROM given_print g CROSS JOIN credential c
     WHERE substr(c.fingerprint, 1, 8) = substr(g.fingerprint, 1, 8) AND c.fingerprint = g.fingerprint
    UNION SELECT p.credential FROM given_print g CROSS JOIN part p
     WHERE substr(p.fingerprint, 1, 8) = substr(g.fingerprint, 1, 8) AND p.fingerprint = g.fingerprint
    UNION SELECT (SELECT max(c.id) FROM credential c WHERE c.identity = i.id)
            FROM given_uid g CROSS JOIN identity i ON i.uid = g.uid"""
"""The credentials given by jti or fingerprint, also by that of a part, and the latest of each given identity."""
BY_PUBLIC = """SELECT g.public, c.id FROM given_public g CROSS JOIN credential c
    WHERE substr(c.public, 1, 8) = substr(g.public, 1, 8) AND c.public = g.public
      AND (c.expires_at > :now OR c.id = (
          SELECT max(l.id) FROM credential l WHERE substr(l.public, 1, 8) = substr(g.public, 1, 8)
             AND l.public = g.public))
    ORDER BY c.id"""
"""The unexpired credentials for the given keys, and the latest credential of each key."""
_BY_TREE = """SELECT id FROM (
    WITH RECURSIVE above (id, parent) AS (
        SELECT i.id, i.parent FROM given_tree g JOIN identity i ON i.uid = g.uid
        UNION SELECT i.id, i.parent FROM above a JOIN identity i ON i.id = a.parent),
    below (id) AS (
        SELECT id FROM above WHERE parent IS NULL
        UNION SELECT i.id FROM below b JOIN identity i ON i.parent = b.id)
    SELECT id FROM below) AS tree"""
_ROOTS = "SELECT t.id FROM given_name g CROSS JOIN term t WHERE t.text = g.name"
"""The terms of the delegators that were given by name; there may be many."""
# The depth limits the walk: in a damaged ledger, edges may form a circle.
UNDER = """(SELECT id FROM (
    WITH RECURSIVE below (id, depth) AS (
        SELECT id, depth FROM identity WHERE uid = :under
        UNION ALL SELECT i.id, i.depth FROM below b JOIN identity i ON i.parent = b.id AND i.depth > b.depth)
    SELECT id FROM below) AS under_it)"""
"""The identity with the uid `:under`, and its descendants."""
ONE_PERSON = """SELECT t.id FROM term t WHERE t.text = :delegator
    UNION SELECT t.id FROM delegator_name stated CROSS JOIN delegator_name n CROSS JOIN term t
     WHERE stated.name = :delegator AND n.delegator = stated.delegator AND t.text = n.name"""
"""The terms of all names of the delegator with that name, also of names used before they were joined."""


def of_subjects(db: Any, subjects: Collection[str], now: int) -> dict[str, tuple[int, int]]:
    """Return, by subject, the number of live credentials with that `proved_subject`, and the latest expiry.

    Credentials under a name of the same delegator are not counted.
    """
    give(db, (), (), names=subjects)
    rows = db.execute(
        f"""SELECT g.name, count(*), max(coalesce(c.superseded_at, c.expires_at))
              FROM given_name g CROSS JOIN term t CROSS JOIN credential c
             WHERE t.text = g.name AND c.proved_subject = t.id AND {LIVE} AND NOT EXISTS (
                   SELECT 1 FROM delegator_name s CROSS JOIN delegator_name o CROSS JOIN term n
                    WHERE s.name = g.name AND o.delegator = s.delegator AND n.text = o.name AND n.id = c.delegator)
             GROUP BY g.name""",
        {"now": now},
    )
    return {subject: (count, latest_expiry) for subject, count, latest_expiry in rows}


def count_by_subject(db: Any, now: int) -> int:
    """Return the number of live credentials whose `proved_subject` is in `given_name`, but not their delegator."""
    (count,) = db.execute(
        f"""SELECT count(*) FROM ({_ROOTS}) d CROSS JOIN credential c
             WHERE c.proved_subject = d.id AND {LIVE} AND c.delegator NOT IN ({_ROOTS})""",
        {"now": now},
    ).fetchone()
    return int(count)


def placeholders(prefix: str, values: Sequence[Any], into: dict[str, Any]) -> str:
    """Return placeholders for values, and put the values by their names into the dictionary `into`."""
    names = []
    for index, value in enumerate(values):
        into[f"{prefix}{index}"] = value
        names.append(f":{prefix}{index}")
    return ", ".join(names)


def of_task(text: str, values: dict[str, Any], prefix: str = "task") -> str:
    """Return a subquery for `IN` with the numbers of the tasks that a text names; its values go into `values`.

    `OWNER/NAME` is one task. A bare name matches the tasks of all openers: an authority that serves others must add
    the owner first.
    """
    task = parse_task(text)
    values[f"{prefix}_name"] = task.name
    if task.opener is None:
        return f"(SELECT id FROM task WHERE name = :{prefix}_name)"
    values[f"{prefix}_opener"] = task.opener
    return f"""(SELECT id FROM task WHERE name = :{prefix}_name
                   AND opener = (SELECT id FROM term WHERE text = :{prefix}_opener))"""


def alike(db: Any, query: str, values: Iterable[Any]) -> Iterator[Any]:
    """Yield the rows of a query for each of many values of a column; the query ends with the name of that column."""
    # A statement accepts a few thousand values at most. With a constant number of values it need not be parsed again.
    remaining = iter(values)
    while chunk := list(islice(remaining, _AT_ONCE)):
        chunk += chunk[:1] * (_AT_ONCE - len(chunk)) if len(chunk) > 1 else []
        yield from db.execute(f"{query} IN ({', '.join('?' * len(chunk))})", chunk)


def _task_keys(db: Any, texts: Iterable[str]) -> list[int]:
    """Return the numbers of the tasks that the texts name; there may be many texts."""
    texts = list(texts)
    bare = [text for text in texts if parse_task(text).opener is None]
    keys = {int(key) for (key,) in alike(db, "SELECT id FROM task WHERE name", bare)}
    for text in texts:
        if parse_task(text).opener is not None:
            values: dict[str, Any] = {}
            keys.update(int(key) for (key,) in db.execute(of_task(text, values)[1:-1], values))
    return sorted(keys)


def _chosen(db: Any, selection: Selection, delegators: _Delegators | None) -> str:
    """Return the query for the identities that a selection names by several kinds of selectors: all must apply.

    The query reads the kind of selector that usually matches the fewest rows; the other kinds are conditions on those
    rows. A caller who revokes their own identities by task or agent therefore causes no read of other delegators' rows.
    Expired and revoked identities match too, since their descendants can be alive.
    """
    where = []
    # `+ 0` prevents the use of an index: the rows are looked up by their own keys, not through a whole task or agent.
    plus = " + 0" if selection.ids or selection.fingerprints or selection.trees else ""
    if selection.tasks:
        where.append(f"i.task{plus} IN ({_numbers(_task_keys(db, selection.tasks))})")
    if selection.agents:
        where.append(f"i.agent{plus} IN ({_numbers(_keys(db, 'term WHERE text', selection.agents))})")
    indexed = bool(where)
    signed = f"c.signed_by IN ({_numbers(_keys(db, 'signing_key WHERE kid', selection.kids))})"
    if selection.kids:
        where.append(f"EXISTS (SELECT 1 FROM credential c WHERE c.identity = i.id AND {signed})")
    queries = [
        _as_id_query(query)
        for query, selectors in (
            (_BY_ID, selection.ids),
            (_BY_PRINT, selection.fingerprints),
            (_BY_TREE, selection.trees),
        )
        if selectors
    ]
    if queries:
        if delegators is not None:
            where.append(delegators.condition())
        return _among(" INTERSECT ".join(queries), where)
    if delegators is not None:
        return delegators.all(where) if indexed else _among(delegators.all(), where)
    if indexed:
        return f"SELECT i.id FROM identity i WHERE {' AND '.join(where)}"
    return f"SELECT c.identity FROM credential c WHERE {signed}"


def _keys(db: Any, query: str, values: Iterable[str]) -> list[int]:
    return sorted(int(key) for (key,) in alike(db, f"SELECT id FROM {query}", values))


def _numbers(keys: Iterable[int]) -> str:
    """Return numbers as `IN` takes them. For a literal number, the planner can estimate the number of rows."""
    return ", ".join(map(str, keys)) or "NULL"


def _among(query: str, where: Sequence[str]) -> str:
    return f"""SELECT i.id FROM ({query}) AS f CROSS JOIN identity i
               WHERE {" AND ".join(("i.id = f.id", *where))}"""


def _as_id_query(query: str) -> str:
    """Return a query for the ids of `query`, in a form to which `AND …` can be added."""
    # The first branch selects nothing, and gives the column its name and type.
    return f"""SELECT id FROM (SELECT 0 AS id WHERE 0 = 1 UNION ALL SELECT * FROM ({query}) AS some_of) AS found
                WHERE 1 = 1"""


class _Delegators(Record):
    """Root delegators, and agents that delegated: each the content of `IN` with numbers of terms, or an empty text."""

    roots: str
    subjects: bool
    """Whether subjects of ID tokens are among the roots."""
    agents: str

    def not_ended(self) -> str:
        """Return the query for the identities of these delegators that can be ended.

        All descendants of an identity have the same root delegator, so the index on live credentials finds all of
        them.
        """
        parts = []
        if self.roots:
            parts.append(
                f"SELECT c.identity FROM credential c WHERE c.delegator IN ({self.roots}) AND c.ended_at IS NULL"
            )
        if self.subjects:
            parts.append(
                f"""SELECT c.identity FROM credential c
                     WHERE c.proved_subject IN ({self.roots}) AND c.ended_at IS NULL"""
            )
        if self.agents:
            parts.append(self._delegated())
        # `doomed` accepts each identity once, so that UNION need not remove duplicates here.
        return _as_id_query(" UNION ALL ".join(parts))

    def all(self, where: Sequence[str] = ()) -> str:
        """Return the query for all identities of these delegators, live or ended.

        `where` are conditions on the task or the agent of an identity `i`; an index has both together with the
        delegator.
        """
        and_where = "".join(f" AND {condition}" for condition in where)
        parts = []
        if self.roots and where:
            parts.append(f"SELECT i.id FROM identity i WHERE i.delegator IN ({self.roots}){and_where}")
        elif self.roots:
            parts.append(
                f"""SELECT id FROM (
                    WITH RECURSIVE below (id) AS (
                        SELECT i.id FROM identity i WHERE i.delegator IN ({self.roots}) AND i.parent IS NULL
                        UNION SELECT i.id FROM below b JOIN identity i ON i.parent = b.id)
                    SELECT id FROM below) AS theirs"""
            )
        if self.subjects:
            parts.append(
                f"""SELECT i.id FROM credential c CROSS JOIN identity i
                     WHERE c.proved_subject IN ({self.roots}) AND i.id = c.identity{and_where}"""
            )
        if self.agents:
            parts.append(self._delegated() + and_where)
        return _as_id_query(" UNION ALL ".join(parts))

    def condition(self) -> str:
        """Return the same selection as a condition on an identity `i`.

        A separate query, combined with another selector, would read too many rows.
        """
        parts = []
        if self.roots:
            parts.append(f"i.delegator + 0 IN ({self.roots})")
        if self.subjects:
            parts.append(
                f"""EXISTS (SELECT 1 FROM credential c
                             WHERE c.identity = i.id AND c.proved_subject IN ({self.roots}))"""
            )
        if self.agents:
            parts.append(
                f"EXISTS (SELECT 1 FROM identity p WHERE p.id = i.parent AND p.agent IN ({self.agents}))"
            )
        return f"({' OR '.join(parts)})"

    def _delegated(self) -> str:
        return f"""SELECT i.id FROM identity p CROSS JOIN identity i
                    WHERE p.agent IN ({self.agents}) AND i.parent = p.id"""


def give(
    db: Any,
    ids: Iterable[str],
    fingerprints: Iterable[bytes],
    identities: Iterable[int] = (),
    *,
    credentials: Iterable[int] = (),
    leaks: Iterable[int] = (),
    names: Iterable[str] = (),
    delegators: Iterable[int] = (),
    publics: Iterable[bytes] = (),
) -> None:
    """Fill the temporary tables with the given values, and empty the other ones."""
    dialect = dialect_of(db)
    dialect.temporaries(db, _TEMPORARY)
    parsed = [parse_id(text) for text in ids]
    for table, values in (
        ("given_uid", [raw for kind, raw in parsed if kind == "jid"]),
        ("given_jti", [raw for kind, raw in parsed if kind == "jti"]),
        ("given_print", fingerprints),
        ("given_public", publics),
        ("given_identity", identities),
        ("given_credential", credentials),
        ("given_leak", leaks),
        ("given_name", names),
        ("given_delegator", delegators),
    ):
        dialect.give(db, table, values)


def select(db: Any, selection: Selection) -> int:
    """Fill the temporary table `doomed` with the selection and all descendants.

    Returns the number of identities that the selection itself names.
    """
    names = [name for name in selection.delegators if not name.startswith("agent:")]
    roots = _keys(db, "term WHERE text", names)
    give(db, selection.ids, selection.fingerprints, delegators=roots)
    for text in selection.trees:
        kind, raw = parse_id(text)
        db.execute(
            "INSERT INTO given_tree VALUES (:raw) ON CONFLICT DO NOTHING"
            if kind == "jid"
            else """INSERT INTO given_tree
                    SELECT i.uid FROM credential c JOIN identity i ON i.id = c.identity WHERE c.jti = :raw
                    ON CONFLICT DO NOTHING""",
            {"raw": raw},
        )
    if selection.trees:
        # Without statistics the planner expects a thousand trees, and scans all identities first.
        dialect_of(db).counted(db, "given_tree")
    if not any(selection):
        return 0
    agents = [name.removeprefix("agent:") for name in selection.delegators if name.startswith("agent:")]
    delegators = _Delegators(
        ""
        if not names
        else _numbers(roots)
        if len(roots) <= _AT_ONCE
        else "SELECT delegator FROM given_delegator",
        any(" " in name for name in names),
        _numbers(_keys(db, "term WHERE text", agents)) if agents else "",
    )
    # These selectors match few rows of a large ledger: an index finds them without a scan of the table.
    selective = selection.ids or selection.fingerprints or selection.trees or selection.delegators
    with dialect_of(db).by_index(db) if selective else nullcontext():
        if selection._replace(delegators=()) != Selection():
            matched = _doom(db, _chosen(db, selection, delegators if selection.delegators else None))
        else:
            matched = _doom(db, delegators.not_ended()) or _doom(db, delegators.all())
    _doom_below(db)
    return matched


def _doom(db: Any, query: str) -> int:
    count: int = db.execute(f"INSERT INTO doomed {query} ON CONFLICT DO NOTHING").rowcount
    return count


def doom(db: Any, identities: Iterable[int]) -> int:
    """Fill the temporary table `doomed` with these identities and all descendants; return their number."""
    give(db, (), (), identities)
    db.execute("INSERT INTO doomed SELECT identity FROM given_identity")
    _doom_below(db)
    (count,) = db.execute("SELECT count(*) FROM doomed").fetchone()
    return int(count)


def _doom_below(db: Any) -> None:
    dialect = dialect_of(db)
    # Without statistics, PostgreSQL expects thousands of rows and reads all live credentials.
    dialect.counted(db, "doomed")
    # Descendants of ended identities too: the walk follows every parent edge, and only the final update looks for live
    # credentials.
    with dialect.by_index(db):
        db.execute(
            """INSERT INTO doomed
               WITH RECURSIVE below (id) AS (
                   SELECT i.id FROM doomed d CROSS JOIN identity i WHERE i.parent = d.identity
                   UNION
                   SELECT i.id FROM below b JOIN identity i ON i.parent = b.id)
               SELECT id FROM below WHERE 1 = 1
               ON CONFLICT DO NOTHING"""
        )
    dialect.counted(db, "doomed")


def radius(db: Any, matched: int, now: int) -> Radius:
    """Return the radius of the identities in `doomed` at `now`; expired credentials count as ended, recorded or not."""
    (identities,) = db.execute("SELECT count(*) FROM doomed").fetchone()
    # Ended credentials count too: a verifier may accept a signed credential until it expires. Most ledgers have no
    # credentials at targets; then millions of lookups are not needed.
    outside = db.execute("SELECT 1 FROM outside LIMIT 1").fetchone() is not None
    at_target = f"(SELECT {AT_TARGET} FROM outside o WHERE o.credential = c.id)" if outside else "NULL"
    live, tasks, delegators, offline, signed, death, signed_until, target_until, exchanged = db.execute(
        f"""SELECT count(CASE WHEN {LIVE} THEN 1 END), count(DISTINCT CASE WHEN {LIVE} THEN c.task END),
                   count(DISTINCT CASE WHEN {LIVE} THEN c.delegator END),
                   max(CASE WHEN {LIVE} AND c.claims_hash IS NOT NULL THEN c.expires_at + 0 END),
                   count(CASE WHEN {LIVE} THEN c.claims_hash END), max({DEATH}),
                   max({SIGNED}), max({at_target}), max({EXCHANGED})
              FROM {doomed_credentials(identities)}""",
        {"now": now},
    ).fetchone()
    refused = None if live or death is None else min(death, now)
    return Radius(
        *(matched, identities, live, tasks, delegators, offline, signed, refused),
        accepted_until=None if signed_until is None else int(signed_until),
        at=now,
        at_targets=None if target_until is None else int(target_until),
        exchanged_until=None if exchanged is None else int(exchanged),
    )


def measure_together(db: Any, selections: Iterable[Selection], now: int) -> Radius:
    """Return the radius of all these selections and their descendants together."""
    dialect_of(db).temporaries(db, {"gathered": "identity INTEGER PRIMARY KEY"})
    matched = 0
    for selection in selections:
        matched += select(db, selection)
        db.execute("INSERT INTO gathered SELECT identity FROM doomed WHERE 1 = 1 ON CONFLICT DO NOTHING")
    give(db, (), ())
    db.execute("INSERT INTO doomed SELECT identity FROM gathered")
    dialect_of(db).counted(db, "doomed")
    return radius(db, matched, now)


def doomed_credentials(identities: int) -> str:
    """Return tables and condition for the credentials `c` of the doomed identities, of which there are `identities`.

    The text fixes the order of the two tables, since no planner knows the size of a temporary table. A few identities
    are looked up one by one; for many, one pass over all credentials is faster.
    """
    tables = "doomed d CROSS JOIN credential c" if identities < MANY else "credential c CROSS JOIN doomed d"
    return f"{tables} WHERE c.identity = d.identity"


def among(column: str, name: str) -> str:
    """Return the condition that a value is one of the words of a column; LIKE would ignore case."""
    return f"replace(' ' || {column} || ' ', ' ' || :{name} || ' ', '') <> ' ' || {column} || ' '"


_LAST_LEAK = (1 << 63) - 1


def bounds(event: Mapping[str, Any]) -> dict[str, int]:
    """Return the `first` and the `last` leak number of a proof; an early event has neither and covers all leaks."""
    return {"first": event.get("first", 0), "last": event.get("last", _LAST_LEAK)}


class PrunedLeaks(Record):
    """The leaks that no longer count: leaks of identities in `table` that were closed and proved before `before`."""

    table: str
    before: int


NO_PRUNED_LEAKS = PrunedLeaks("", 0)
"""All leaks count."""


def left(pruned: PrunedLeaks) -> str:
    """Return the condition that a leak `l` of a credential `c` still counts; it needs the value `:leaks`."""
    if not pruned.table:
        return "(1 = 1 OR :leaks = 0)"
    return f"NOT ({PRUNABLE_LEAK} AND EXISTS (SELECT 1 FROM {pruned.table} w WHERE w.identity = c.identity))"


PRUNABLE_LEAK = (
    "l.closed_at IS NOT NULL AND l.closed_at < :leaks AND l.proved_at IS NOT NULL AND l.proved_at < :leaks"
)
"""The condition for pruning a leak: closed, and proved refused, for longer than evidence is kept."""


SIGNED = f"CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at + {LEEWAY} END"
"""The time until which a verifier may accept a signed credential `c`, even if the ledger refuses it."""
EXCHANGED = f"CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at + {LEEWAY} + c.exchange_life END"
"""The time until which a vendor may accept a token that it exchanged for a credential `c`; NULL without a vendor."""
LASTING = (
    f"CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at + {LEEWAY} + coalesce(c.exchange_life, 0) END"
)
"""The later one of both times."""
AT_TARGET = f"""CASE WHEN o.settled_at <= :now AND o.settlement = 'unsupported'
                     THEN coalesce(o.honoured_until, c.expires_at) + {LEEWAY}
                     WHEN o.settled_at <= :now THEN o.settled_at END"""
"""The time until which a target may accept the credential, by its row `o` of `outside`."""
UNSETTLED = f"""CASE WHEN o.credential IS NOT NULL AND (
                          o.settled_at IS NULL OR o.settled_at > :now
                          OR o.settlement = 'unsupported' AND coalesce(o.honoured_until, c.expires_at) >= {NO_EXPIRY})
                     THEN 1 ELSE 0 END"""
"""1 if the target has not confirmed the end, or can never end the credential: the acceptance has no known limit."""
