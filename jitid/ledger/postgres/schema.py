"""The schema on PostgreSQL in numbered steps, which are appended and never edited: existing ledgers have run them.

The tables are the same as in SQLite. No column references another table: the check would lock the rows of names and
keys that every issue shares, and these rows are never deleted. There are no sequences: numbers come from the chain
that a writer holds, in the order of time.
"""

from __future__ import annotations

SCHEMA = "jitid"
"""The schema of the ledger, unless its address sets a `search_path`."""

OPEN_CHAINS = 16
"""The number of writers at the same time. With more chains, locking all of them would take longer."""

# Names are compared by code points, regardless of the database's collation.
_TEXT = 'TEXT COLLATE "C"'

_FIRST = (
    "CREATE TABLE setting (name {text} PRIMARY KEY, value {text} NOT NULL)",
    # A writer locks these rows. A writer that locks all of them raises `version` in each row. Rows of the directory,
    # of tasks and of keys that a process has read stay valid until the version changes. `last_id` is the last number
    # that was assigned under the chain.
    """CREATE TABLE chain (
           id BIGINT PRIMARY KEY, epoch BIGINT NOT NULL, start BIGINT NOT NULL, stride BIGINT NOT NULL,
           length BIGINT NOT NULL, hash BYTEA NOT NULL, closed_at BIGINT, last_id BIGINT NOT NULL DEFAULT 0,
           version BIGINT NOT NULL DEFAULT 0) WITH (fillfactor = 10)""",
    "CREATE TABLE term (id BIGINT PRIMARY KEY, text {text} NOT NULL UNIQUE)",
    """CREATE TABLE task (
           id BIGINT PRIMARY KEY, name {text} NOT NULL UNIQUE, purpose {text}, sensitivity {text} NOT NULL,
           deadline BIGINT NOT NULL, opened_at BIGINT NOT NULL, ended_at BIGINT)""",
    """CREATE TABLE signing_key (
           id BIGINT PRIMARY KEY, kid {text} NOT NULL UNIQUE, algorithm {text} NOT NULL, public BYTEA NOT NULL,
           created_at BIGINT NOT NULL, retired_at BIGINT, revoked_at BIGINT)""",
    "CREATE TABLE policy (digest {text} PRIMARY KEY, text {text} NOT NULL)",
    """CREATE TABLE identity (
           id BIGINT PRIMARY KEY, uid BYTEA NOT NULL, parent BIGINT, depth BIGINT NOT NULL, delegator BIGINT NOT NULL,
           proof {text} NOT NULL, agent BIGINT NOT NULL, task BIGINT NOT NULL, sensitivity {text} NOT NULL)""",
    """CREATE TABLE credential (
           id BIGINT PRIMARY KEY, jti BYTEA NOT NULL, identity BIGINT NOT NULL, kind {text} NOT NULL,
           scopes {text} NOT NULL, audiences BIGINT NOT NULL, details {text}, issued_at BIGINT NOT NULL,
           expires_at BIGINT NOT NULL, fingerprint BYTEA, claims_hash BYTEA, signed_by BIGINT, event BIGINT NOT NULL,
           task BIGINT NOT NULL, delegator BIGINT NOT NULL, ended_at BIGINT, ended_as {text}, ended_event BIGINT,
           superseded_at BIGINT, recurring BIGINT)""",
    "CREATE TABLE audit_event (seq BIGINT PRIMARY KEY, body BYTEA NOT NULL, hash BYTEA NOT NULL)",
    "CREATE UNIQUE INDEX identity_uid ON identity (uid)",
    "CREATE INDEX identity_parent ON identity (parent) WHERE parent IS NOT NULL",
    "CREATE INDEX identity_task ON identity (task)",
    "CREATE INDEX identity_agent ON identity (agent)",
    "CREATE UNIQUE INDEX credential_jti ON credential (jti)",
    "CREATE INDEX credential_fingerprint ON credential (substr(fingerprint, 1, 8))",
    "CREATE INDEX credential_identity ON credential (identity)",
    """CREATE FUNCTION audit_event_stays() RETURNS trigger LANGUAGE plpgsql AS
       'BEGIN RAISE EXCEPTION ''the audit log is append-only''; END'""",
    """CREATE TRIGGER audit_event_is_kept BEFORE UPDATE OR DELETE ON audit_event
       FOR EACH ROW EXECUTE FUNCTION audit_event_stays()""",
    """CREATE TRIGGER audit_event_is_whole BEFORE TRUNCATE ON audit_event
       FOR EACH STATEMENT EXECUTE FUNCTION audit_event_stays()""",
    """CREATE TABLE process (
           identity BIGINT PRIMARY KEY, host {text} NOT NULL, boot {text} NOT NULL, namespace BIGINT NOT NULL,
           pid BIGINT NOT NULL, started BIGINT NOT NULL, kept BIGINT NOT NULL)""",
    """CREATE TABLE leak (
           id BIGINT PRIMARY KEY, credential BIGINT NOT NULL, source {text} NOT NULL, reported_at BIGINT NOT NULL,
           added_at BIGINT NOT NULL, event BIGINT NOT NULL, proved_at BIGINT, closed_at BIGINT, closed_event BIGINT)""",
    "CREATE INDEX leak_credential ON leak (credential)",
    "CREATE UNIQUE INDEX leak_open ON leak (credential, source) WHERE closed_at IS NULL",
    "CREATE INDEX leak_unproved ON leak (id) WHERE proved_at IS NULL",
    """CREATE TABLE honoured (
           event BIGINT PRIMARY KEY, credentials BIGINT NOT NULL, ended_at BIGINT NOT NULL,
           expires_at BIGINT NOT NULL)""",
    "CREATE INDEX honoured_until ON honoured (expires_at)",
    """CREATE TABLE delegator (
           id BIGINT PRIMARY KEY, name {text} NOT NULL UNIQUE, sensitivity {text} NOT NULL, scopes {text},
           manager {text}, imported BIGINT NOT NULL, external {text} UNIQUE, added_at BIGINT NOT NULL,
           disabled_at BIGINT, event BIGINT NOT NULL)""",
    "CREATE TABLE delegator_name (name {text} PRIMARY KEY, delegator BIGINT NOT NULL)",
    "CREATE INDEX delegator_name_of ON delegator_name (delegator)",
    "CREATE TABLE delegator_group (delegator BIGINT NOT NULL, name {text} NOT NULL, PRIMARY KEY (delegator, name))",
    "CREATE INDEX delegator_group_name ON delegator_group (name)",
    """CREATE TABLE agent (
           id BIGINT PRIMARY KEY, name {text} NOT NULL UNIQUE, owner {text} NOT NULL, purpose {text} NOT NULL,
           scopes {text} NOT NULL, audiences {text} NOT NULL, kinds {text} NOT NULL, max_ttl BIGINT NOT NULL,
           concurrency BIGINT, review_at BIGINT NOT NULL, registered_at BIGINT NOT NULL, reviewed_at BIGINT,
           suspended_at BIGINT, suspended_as {text}, unregistered_at BIGINT, event BIGINT NOT NULL)""",
    "CREATE INDEX agent_owner ON agent (owner)",
    """CREATE TABLE approval (
           id BIGINT PRIMARY KEY, uid BYTEA NOT NULL UNIQUE, digest BYTEA NOT NULL, request BYTEA NOT NULL,
           delegator {text} NOT NULL, asked_by {text} NOT NULL, asked_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
           ended_at BIGINT, ended_as {text}, identity BIGINT, event BIGINT NOT NULL, ended_event BIGINT)""",
    "CREATE INDEX approval_open ON approval (digest) WHERE ended_at IS NULL",
    "CREATE INDEX approval_used ON approval (ended_event) WHERE identity IS NOT NULL",
    """CREATE TABLE approval_group (
           approval BIGINT NOT NULL, name {text} NOT NULL, approver {text}, proof {text}, granted BIGINT,
           decided_at BIGINT, expires_at BIGINT, event BIGINT, PRIMARY KEY (approval, name))""",
    """CREATE TABLE action (
           id BIGINT PRIMARY KEY, at BIGINT NOT NULL, credential BIGINT, action {text} NOT NULL,
           resource {text} NOT NULL, scope {text}, allowed BIGINT NOT NULL, rules {text}, reason {text},
           event BIGINT NOT NULL)""",
    "CREATE INDEX action_at ON action (at)",
    "CREATE INDEX action_credential ON action (credential) WHERE credential IS NOT NULL",
    """CREATE TABLE used (
           identity BIGINT NOT NULL, scope {text} NOT NULL, first_at BIGINT NOT NULL, last_at BIGINT NOT NULL,
           uses BIGINT NOT NULL, PRIMARY KEY (identity, scope))""",
    """CREATE TABLE access (
           uid BYTEA PRIMARY KEY, name {text} NOT NULL, roles {text} NOT NULL, fingerprint BYTEA, public {text},
           issued_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, superseded_at BIGINT, ended_at BIGINT,
           ended_as {text}, bootstrap BIGINT NOT NULL, predecessor BYTEA, event BIGINT NOT NULL, ended_event BIGINT)""",
    "CREATE UNIQUE INDEX access_fingerprint ON access (fingerprint)",
    "CREATE INDEX access_name ON access (name)",
    """CREATE TABLE assertion (
           client {text} NOT NULL, jti {text} NOT NULL, until BIGINT NOT NULL, PRIMARY KEY (client, jti))""",
    "CREATE INDEX assertion_until ON assertion (until)",
    """CREATE TABLE idempotency (
           caller {text} NOT NULL, key {text} NOT NULL, digest BYTEA NOT NULL, sort {text} NOT NULL,
           first BYTEA NOT NULL, last BYTEA NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (caller, key))""",
    "CREATE INDEX idempotency_at ON idempotency (at)",
    "CREATE INDEX live_by_task ON credential (task, expires_at, superseded_at) WHERE ended_at IS NULL",
    "CREATE INDEX live_by_delegator ON credential (delegator, expires_at, superseded_at) WHERE ended_at IS NULL",
    "CREATE INDEX live_by_expiry ON credential (expires_at) WHERE ended_at IS NULL",
    """CREATE INDEX live_superseded ON credential (superseded_at)
       WHERE ended_at IS NULL AND superseded_at IS NOT NULL""",
    "CREATE INDEX live_recurring ON credential (recurring) WHERE ended_at IS NULL AND recurring IS NOT NULL",
    "CREATE INDEX live_pending ON credential (issued_at) WHERE ended_at IS NULL AND fingerprint IS NULL",
)

_SECOND = (
    "ALTER TABLE signing_key ADD COLUMN use {text} NOT NULL DEFAULT 'jws'",
    "ALTER TABLE signing_key ADD COLUMN certificates BYTEA",
    "ALTER TABLE process ADD COLUMN renews_until BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE credential ADD COLUMN template {text}",
    """CREATE TABLE outside (
           credential BIGINT PRIMARY KEY, target {text} NOT NULL, name {text} NOT NULL,
           reference {text}, facts {text}, settlement {text}, attempts BIGINT NOT NULL, next_at BIGINT NOT NULL,
           tried_at BIGINT, settled_at BIGINT, honoured_until BIGINT, proof {text}, event BIGINT)""",
    "CREATE INDEX outside_open ON outside (next_at) WHERE settled_at IS NULL",
    "CREATE INDEX outside_name ON outside (target, name)",
    """CREATE TABLE part (
           credential BIGINT NOT NULL, name {text} NOT NULL, fingerprint BYTEA NOT NULL,
           PRIMARY KEY (credential, name))""",
    "CREATE INDEX part_fingerprint ON part (substr(fingerprint, 1, 8))",
    """CREATE TABLE status (
           list BIGINT NOT NULL, place BIGINT NOT NULL, credential BIGINT NOT NULL, PRIMARY KEY (list, place))""",
    "CREATE UNIQUE INDEX status_credential ON status (credential)",
)

_THIRD = (
    "ALTER TABLE credential ADD COLUMN public BYTEA",
    "CREATE INDEX credential_public ON credential (substr(public, 1, 8)) WHERE public IS NOT NULL",
    """CREATE TABLE adopted (
           credential BIGINT PRIMARY KEY, place {text} NOT NULL, prefix {text}, length BIGINT)""",
    """CREATE TABLE sighting (
           id BIGINT PRIMARY KEY, leak BIGINT NOT NULL, place {text}, line BIGINT, revision {text},
           found_at BIGINT, finder {text}, more BIGINT NOT NULL, event BIGINT NOT NULL)""",
    "CREATE INDEX sighting_leak ON sighting (leak)",
    """CREATE TABLE prune (
           event BIGINT PRIMARY KEY, before BIGINT NOT NULL, through BIGINT NOT NULL, leaks BIGINT NOT NULL)""",
    "CREATE TABLE condemned (identity BIGINT PRIMARY KEY)",
    """CREATE TABLE segment (
           event BIGINT PRIMARY KEY, through BIGINT NOT NULL, head {text} NOT NULL, file {text} NOT NULL,
           sha256 {text} NOT NULL, kept BIGINT NOT NULL, digest {text} NOT NULL)""",
    "CREATE TABLE kept_event (seq BIGINT PRIMARY KEY)",
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
    "ALTER TABLE credential ADD COLUMN line BIGINT",
    "ALTER TABLE credential ADD COLUMN source BIGINT",
    "ALTER TABLE identity ADD COLUMN source BIGINT",
    "ALTER TABLE credential ADD COLUMN may_audience {text}",
    "ALTER TABLE credential ADD COLUMN may_kind {text}",
    "ALTER TABLE credential ADD COLUMN may_act {text}",
    "CREATE INDEX credential_line ON credential (line) WHERE line IS NOT NULL",
    """CREATE UNIQUE INDEX live_head ON credential (line)
       WHERE line IS NOT NULL AND superseded_at IS NULL AND ended_at IS NULL""",
    "ALTER TABLE access ADD COLUMN audiences {text}",
    "ALTER TABLE credential ADD COLUMN reused_at BIGINT",
    "CREATE INDEX credential_reused ON credential (reused_at) WHERE reused_at IS NOT NULL",
    "ALTER TABLE delegator ADD COLUMN disabled_last BIGINT",
    "UPDATE delegator SET disabled_last = disabled_at WHERE disabled_at IS NOT NULL",
    """INSERT INTO setting SELECT 'former_until',
           CAST(coalesce((SELECT max(expires_at) FROM credential WHERE ended_at IS NULL), 0) AS TEXT)
         FROM setting WHERE name = 'former_issuers'""",
    """CREATE TABLE presented (
           token BYTEA PRIMARY KEY, presenter {text} NOT NULL, until BIGINT NOT NULL, event BIGINT NOT NULL)""",
    "CREATE INDEX presented_until ON presented (until)",
    # A task belongs to the root delegator of its first event, and another opener may use the same name. If no row is
    # left that shows the opener, the task belongs to `?`, a name that no delegator can have.
    "INSERT INTO term (id, text) SELECT 0, '?' WHERE EXISTS (SELECT 1 FROM task)",
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
    "CREATE INDEX task_opener ON task (opener)",
    """CREATE TABLE task_share (
           id BIGINT PRIMARY KEY, task BIGINT NOT NULL, name {text} NOT NULL, event BIGINT NOT NULL,
           ended_event BIGINT)""",
    "CREATE UNIQUE INDEX task_share_open ON task_share (name, task) WHERE ended_event IS NULL",
    "CREATE INDEX task_share_task ON task_share (task)",
    "ALTER TABLE agent ADD COLUMN users {text} NOT NULL DEFAULT ''",
    """INSERT INTO setting SELECT 'agents_until', CAST(max(id) AS TEXT) FROM identity
        HAVING max(id) IS NOT NULL""",
)

_FIFTH = (
    "ALTER TABLE credential ADD COLUMN proved_subject BIGINT",
    "CREATE TEMPORARY TABLE told_subject (identity BIGINT PRIMARY KEY, subject {text} NOT NULL)",
    """INSERT INTO told_subject
       SELECT i.id, min(convert_from(e.body, 'UTF8')::jsonb ->> 'subject')
         FROM identity i JOIN credential c ON c.identity = i.id JOIN audit_event e ON e.seq = c.event
        WHERE i.depth = 0 AND i.proof = 'oidc' AND position('"subject":"'::bytea IN e.body) > 0
        GROUP BY i.id HAVING min(convert_from(e.body, 'UTF8')::jsonb ->> 'subject') IS NOT NULL""",
    """INSERT INTO told_subject
       WITH RECURSIVE below (id, subject) AS (
           SELECT i.id, t.subject FROM told_subject t JOIN identity i ON i.parent = t.identity
           UNION SELECT i.id, b.subject FROM below b JOIN identity i ON i.parent = b.id)
       SELECT id, subject FROM below""",
    """INSERT INTO term (id, text)
       SELECT (SELECT max(id) FROM term) + row_number() OVER (), subject
         FROM (SELECT DISTINCT subject FROM told_subject) s
        WHERE NOT EXISTS (SELECT 1 FROM term t WHERE t.text = s.subject)""",
    """UPDATE credential c SET proved_subject = t.id
         FROM told_subject s JOIN term t ON t.text = s.subject WHERE s.identity = c.identity""",
    "DROP TABLE told_subject",
    """CREATE INDEX credential_proved_subject ON credential (proved_subject, ended_at, expires_at, superseded_at)
       WHERE proved_subject IS NOT NULL""",
    "CREATE INDEX approval_waiting ON approval (expires_at) WHERE ended_at IS NULL",
    "CREATE INDEX approval_asked ON approval (delegator, asked_by) WHERE ended_at IS NULL",
    """CREATE INDEX live_renewed ON credential (expires_at)
       WHERE ended_at IS NULL AND line IS NOT NULL AND superseded_at IS NULL""",
    "CREATE INDEX live_attached ON credential (source) WHERE ended_at IS NULL AND source IS NOT NULL",
    "CREATE INDEX identity_source ON identity (source) WHERE source IS NOT NULL",
)

FORMER_INDEXES = ("identity_task", "identity_agent")
"""The indexes that one step creates and a later step drops."""

_SIXTH = (
    *(f"DROP INDEX {name}" for name in FORMER_INDEXES),
    "CREATE INDEX identity_by_task ON identity (task, delegator)",
    "CREATE INDEX identity_by_agent ON identity (agent, delegator)",
    "CREATE INDEX root_by_delegator ON identity (delegator) WHERE parent IS NULL",
    # If one identity has most of the children, the planner would expect the same of each identity. To find
    # descendants, it would then compare every row with every other one.
    "ALTER TABLE identity ALTER COLUMN parent SET (n_distinct = -1)",
    "ANALYZE identity",
)

POSTGRES_STEPS: tuple[tuple[str, ...], ...] = tuple(
    tuple(statement.replace("{text}", _TEXT) for statement in step)
    for step in (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH)
)
