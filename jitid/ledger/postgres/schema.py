"""The schema on PostgreSQL in numbered steps, which are appended and never edited: existing ledgers have run them.

The tables are the same as in SQLite. No column references another table: the check would lock the rows of names and
keys that every issue shares, and these rows are never deleted. There are no sequences: numbers come from the chain
that a writer holds, in the order of time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jitid.ledger.sqlite.schema import LIVE_INDEXES, SQLITE_STEPS

SCHEMA = "jitid"
"""The schema of the ledger, unless its address sets a `search_path`."""

OPEN_CHAINS = 16
"""The number of writers at the same time. With more chains, locking all of them would take longer."""

# Names are compared by code points, regardless of the database's collation.
_TYPES = {"INTEGER": "BIGINT", "BLOB": "BYTEA", "TEXT": 'TEXT COLLATE "C"'}
_COLUMN = re.compile(r" REFERENCES \w+|\b(?:INTEGER|BLOB|TEXT)\b")
_SQLITE_ONLY = (
    "CREATE TABLE chain",
    "CREATE TABLE clock_mark",
    "CREATE TRIGGER",
    "DROP TRIGGER",
    "DROP INDEX IF EXISTS",
    "INSERT INTO chain",
    "INSERT INTO honoured",
)
"""The beginnings of statements of SQLite that PostgreSQL does not run: it has others, or none."""


def _of_sqlite(step: int, start: int | None = None, end: int | None = None) -> Iterator[str]:
    """Yield a step of SQLite, or a part of it, as a step of PostgreSQL; steps are counted from 0."""
    for statement in SQLITE_STEPS[step][start:end]:
        if not statement.startswith(_SQLITE_ONLY):
            has_columns = statement.startswith(("CREATE TABLE", "CREATE TEMPORARY TABLE", "ALTER TABLE"))
            yield _COLUMN.sub(lambda match: _TYPES.get(match[0], ""), statement) if has_columns else statement


_FIRST = (
    # A writer locks these rows. A writer that locks all of them raises `version` in each row. Rows of the directory,
    # of tasks and of keys that a process has read stay valid until the version changes. `last_id` is the last number
    # that was assigned under the chain.
    """CREATE TABLE chain (
           id BIGINT PRIMARY KEY, epoch BIGINT NOT NULL, start BIGINT NOT NULL, stride BIGINT NOT NULL,
           length BIGINT NOT NULL, hash BYTEA NOT NULL, closed_at BIGINT, last_id BIGINT NOT NULL DEFAULT 0,
           version BIGINT NOT NULL DEFAULT 0) WITH (fillfactor = 10)""",
    *(statement for step in range(5) for statement in _of_sqlite(step)),
    """CREATE FUNCTION audit_event_stays() RETURNS trigger LANGUAGE plpgsql AS
       'BEGIN RAISE EXCEPTION ''the audit log is append-only''; END'""",
    """CREATE TRIGGER audit_event_is_kept BEFORE UPDATE OR DELETE ON audit_event
       FOR EACH ROW EXECUTE FUNCTION audit_event_stays()""",
    """CREATE TRIGGER audit_event_is_whole BEFORE TRUNCATE ON audit_event
       FOR EACH STATEMENT EXECUTE FUNCTION audit_event_stays()""",
    *LIVE_INDEXES.values(),
)

_THIRD = (
    *_of_sqlite(6),
    # The function uses the schema of the trigger's table: a schema may be renamed, and the caller's search path may
    # differ.
    """CREATE FUNCTION audit_event_may_go() RETURNS trigger LANGUAGE plpgsql AS
       'DECLARE may_go BOOLEAN;
        BEGIN
            EXECUTE format(''SELECT EXISTS (SELECT 1 FROM %1$I.segment WHERE through >= $1)
                                AND NOT EXISTS (SELECT 1 FROM %1$I.kept_event WHERE seq = $1)'', TG_TABLE_SCHEMA)
                INTO may_go USING OLD.seq;
            IF may_go THEN
                RETURN OLD;
            END IF;
            RAISE EXCEPTION ''the audit log is append-only'';
        END'""",
    "DROP TRIGGER audit_event_is_kept ON audit_event",
    """CREATE TRIGGER audit_event_is_kept BEFORE DELETE ON audit_event
       FOR EACH ROW EXECUTE FUNCTION audit_event_may_go()""",
    """CREATE TRIGGER audit_event_is_final BEFORE UPDATE ON audit_event
       FOR EACH ROW EXECUTE FUNCTION audit_event_stays()""",
)

_FOURTH = (
    *_of_sqlite(7, end=-10),
    # SQLite copies the tasks into another table, since it cannot change a constraint.
    "ALTER TABLE task ADD COLUMN opener BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE task ADD COLUMN event BIGINT NOT NULL DEFAULT 0",
    # For older tasks, no event names the owner: their `given_event` is 0.
    "ALTER TABLE task ADD COLUMN given_event BIGINT DEFAULT 0",
    """UPDATE task t SET opener = first.delegator, event = first.event
         FROM (SELECT DISTINCT ON (task) task, delegator, event FROM credential ORDER BY task, event, id) first
        WHERE first.task = t.id""",
    "ALTER TABLE task ALTER COLUMN opener DROP DEFAULT",
    "ALTER TABLE task ALTER COLUMN event DROP DEFAULT",
    "ALTER TABLE task ALTER COLUMN given_event DROP DEFAULT",
    "ALTER TABLE task DROP CONSTRAINT task_name_key",
    "ALTER TABLE task ADD UNIQUE (name, opener)",
    *_of_sqlite(7, -6),
)

_FIFTH = (
    *_of_sqlite(8, end=2),
    """INSERT INTO told_subject
       SELECT i.id, min(convert_from(e.body, 'UTF8')::jsonb ->> 'subject')
         FROM identity i JOIN credential c ON c.identity = i.id JOIN audit_event e ON e.seq = c.event
        WHERE i.depth = 0 AND i.proof = 'oidc' AND position('"subject":"'::bytea IN e.body) > 0
        GROUP BY i.id HAVING min(convert_from(e.body, 'UTF8')::jsonb ->> 'subject') IS NOT NULL""",
    *_of_sqlite(8, 3, 4),
    """INSERT INTO term (id, text)
       SELECT (SELECT max(id) FROM term) + row_number() OVER (), subject
         FROM (SELECT DISTINCT subject FROM told_subject) s
        WHERE NOT EXISTS (SELECT 1 FROM term t WHERE t.text = s.subject)""",
    """UPDATE credential c SET proved_subject = t.id
         FROM told_subject s JOIN term t ON t.text = s.subject WHERE s.identity = c.identity""",
    *_of_sqlite(8, 6, -3),
    """CREATE INDEX live_renewed ON credential (expires_at)
       WHERE ended_at IS NULL AND line IS NOT NULL AND superseded_at IS NULL""",
    *_of_sqlite(8, -2),
)

FORMER_INDEXES = ("identity_task", "identity_agent")
"""The indexes that one step creates and a later step drops."""

_SIXTH = (
    *_of_sqlite(9),
    # If one identity has most of the children, the planner would expect the same of each identity. To find
    # descendants, it would then compare every row with every other one.
    "ALTER TABLE identity ALTER COLUMN parent SET (n_distinct = -1)",
    "ANALYZE identity",
)

POSTGRES_STEPS: tuple[tuple[str, ...], ...] = (
    _FIRST,
    tuple(_of_sqlite(5)),
    _THIRD,
    _FOURTH,
    _FIFTH,
    _SIXTH,
    tuple(_of_sqlite(11)),
    tuple(_of_sqlite(12)),
    tuple(_of_sqlite(13)),
    tuple(_of_sqlite(14)),
    tuple(_of_sqlite(15)),
)
