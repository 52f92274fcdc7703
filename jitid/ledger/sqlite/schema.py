"""The schema in numbered steps, which are appended and never edited: existing ledgers have run them."""

from __future__ import annotations

APPLICATION_ID = 0x6A697464
"""Marks a SQLite file as a ledger of jitid ("jitd")."""

SQLITE_STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        # Every committed event raises the time mark. Boot and uptime show whether the clock jumped or the ledger was
        # idle.
        """CREATE TABLE clock_mark (
               id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL, boot TEXT NOT NULL,
               uptime INTEGER NOT NULL)""",
        "CREATE TABLE term (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
        """CREATE TABLE task (
               id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, purpose TEXT, sensitivity TEXT NOT NULL,
               deadline INTEGER NOT NULL, opened_at INTEGER NOT NULL, ended_at INTEGER)""",
        """CREATE TABLE signing_key (
               id INTEGER PRIMARY KEY, kid TEXT NOT NULL UNIQUE, algorithm TEXT NOT NULL, public BLOB NOT NULL,
               created_at INTEGER NOT NULL, retired_at INTEGER, revoked_at INTEGER)""",
        "CREATE TABLE policy (digest TEXT PRIMARY KEY, text TEXT NOT NULL)",
        """CREATE TABLE identity (
               id INTEGER PRIMARY KEY, uid BLOB NOT NULL, parent INTEGER REFERENCES identity, depth INTEGER NOT NULL,
               delegator INTEGER NOT NULL REFERENCES term, proof TEXT NOT NULL,
               agent INTEGER NOT NULL REFERENCES term, task INTEGER NOT NULL REFERENCES task,
               sensitivity TEXT NOT NULL)""",
        # `task` and `delegator` repeat the identity's: the partial indexes on live rows need them here.
        """CREATE TABLE credential (
               id INTEGER PRIMARY KEY, jti BLOB NOT NULL, identity INTEGER NOT NULL REFERENCES identity,
               kind TEXT NOT NULL, scopes TEXT NOT NULL, audiences INTEGER NOT NULL REFERENCES term, details TEXT,
               issued_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, fingerprint BLOB, claims_hash BLOB,
               signed_by INTEGER REFERENCES signing_key, event INTEGER NOT NULL,
               task INTEGER NOT NULL REFERENCES task, delegator INTEGER NOT NULL REFERENCES term,
               ended_at INTEGER, ended_as TEXT, ended_event INTEGER)""",
        "CREATE TABLE audit_event (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL)",
        "CREATE UNIQUE INDEX identity_uid ON identity (uid)",
        "CREATE INDEX identity_parent ON identity (parent) WHERE parent IS NOT NULL",
        "CREATE INDEX identity_task ON identity (task)",
        "CREATE INDEX identity_agent ON identity (agent)",
        "CREATE UNIQUE INDEX credential_jti ON credential (jti)",
        # Fingerprints are random, so each insertion touches another page; with eight bytes the index has few pages.
        "CREATE INDEX credential_fingerprint ON credential (substr(fingerprint, 1, 8))",
        "CREATE INDEX credential_identity ON credential (identity)",
        """CREATE TRIGGER audit_event_is_kept BEFORE DELETE ON audit_event
           BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
        """CREATE TRIGGER audit_event_is_final BEFORE UPDATE ON audit_event
           BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
    ),
    (
        "ALTER TABLE credential ADD COLUMN superseded_at INTEGER",
        # The wrapper process of a `run`, and whether its identity outlives it.
        """CREATE TABLE process (
               identity INTEGER PRIMARY KEY REFERENCES identity, host TEXT NOT NULL, boot TEXT NOT NULL,
               namespace INTEGER NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL, kept INTEGER NOT NULL)""",
    ),
    (
        # Only the fact of the leak is stored: the credential has the fingerprint, and the ledger never keeps the
        # secret.
        """CREATE TABLE leak (
               id INTEGER PRIMARY KEY, credential INTEGER NOT NULL REFERENCES credential, source TEXT NOT NULL,
               reported_at INTEGER NOT NULL, added_at INTEGER NOT NULL, event INTEGER NOT NULL, proved_at INTEGER,
               closed_at INTEGER, closed_event INTEGER)""",
        "CREATE INDEX leak_credential ON leak (credential)",
        # A closed leak may be reported again, and is open again then.
        "CREATE UNIQUE INDEX leak_open ON leak (credential, source) WHERE closed_at IS NULL",
        # Few leaks wait for their proof, regardless of the number of all leaks.
        "CREATE INDEX leak_unproved ON leak (id) WHERE proved_at IS NULL",
        # The signed credentials that an event ended before their expiry: offline verifiers still accept them.
        """CREATE TABLE honoured (
               event INTEGER PRIMARY KEY, credentials INTEGER NOT NULL, ended_at INTEGER NOT NULL,
               expires_at INTEGER NOT NULL)""",
        "CREATE INDEX honoured_until ON honoured (expires_at)",
        """INSERT INTO honoured SELECT ended_event, count(*), min(ended_at), max(expires_at) FROM credential
            WHERE ended_as IN ('revoked', 'retired', 'superseded') AND claims_hash IS NOT NULL
              AND typeof(ended_event) = 'integer' AND typeof(ended_at) = 'integer' AND typeof(expires_at) = 'integer'
            GROUP BY ended_event""",
        # Both indexes are created again below with more columns, so that a count reads no row.
        "DROP INDEX IF EXISTS live_by_task",
        "DROP INDEX IF EXISTS live_by_delegator",
    ),
    (
        # Without scopes, only the policy limits the rights that a delegator may delegate. If a full import lacks a
        # delegator that an import has added, it disables that delegator.
        """CREATE TABLE delegator (
               id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, sensitivity TEXT NOT NULL, scopes TEXT, manager TEXT,
               imported INTEGER NOT NULL, external TEXT UNIQUE, added_at INTEGER NOT NULL, disabled_at INTEGER,
               event INTEGER NOT NULL)""",
        # All names of each delegator, the main name included: one lookup finds the delegator.
        "CREATE TABLE delegator_name (name TEXT PRIMARY KEY, delegator INTEGER NOT NULL REFERENCES delegator)",
        "CREATE INDEX delegator_name_of ON delegator_name (delegator)",
        """CREATE TABLE delegator_group (
               delegator INTEGER NOT NULL REFERENCES delegator, name TEXT NOT NULL, PRIMARY KEY (delegator, name))""",
        "CREATE INDEX delegator_group_name ON delegator_group (name)",
        """CREATE TABLE agent (
               id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, purpose TEXT NOT NULL,
               scopes TEXT NOT NULL, audiences TEXT NOT NULL, kinds TEXT NOT NULL, max_ttl INTEGER NOT NULL,
               concurrency INTEGER, review_at INTEGER NOT NULL, registered_at INTEGER NOT NULL, reviewed_at INTEGER,
               suspended_at INTEGER, suspended_as TEXT, unregistered_at INTEGER, event INTEGER NOT NULL)""",
        "CREATE INDEX agent_owner ON agent (owner)",
        # The record of the registered agent that holds it. Each issue counts the live credentials of the agent.
        "ALTER TABLE credential ADD COLUMN recurring INTEGER REFERENCES agent",
        # A request that a policy permits once it is approved; `digest` is of the exact request.
        """CREATE TABLE approval (
               id INTEGER PRIMARY KEY, uid BLOB NOT NULL UNIQUE, digest BLOB NOT NULL, request BLOB NOT NULL,
               delegator TEXT NOT NULL, asked_by TEXT NOT NULL, asked_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
               ended_at INTEGER, ended_as TEXT, identity INTEGER REFERENCES identity, event INTEGER NOT NULL,
               ended_event INTEGER)""",
        "CREATE INDEX approval_open ON approval (digest) WHERE ended_at IS NULL",
        # Finds an approval by the event that issued the approved credential, perhaps in several copies.
        "CREATE INDEX approval_used ON approval (ended_event) WHERE identity IS NOT NULL",
        # The decision of each group that must approve; an undecided group has no approver.
        """CREATE TABLE approval_group (
               approval INTEGER NOT NULL REFERENCES approval, name TEXT NOT NULL, approver TEXT, proof TEXT,
               granted INTEGER, decided_at INTEGER, expires_at INTEGER, event INTEGER, PRIMARY KEY (approval, name))""",
        # The uses of credentials that enforcement points reported; `credential` is NULL for a token that jitid did not
        # issue. The names are stored as given, because an arbitrary request must not create a term.
        """CREATE TABLE action (
               id INTEGER PRIMARY KEY, at INTEGER NOT NULL, credential INTEGER REFERENCES credential,
               action TEXT NOT NULL, resource TEXT NOT NULL, scope TEXT, allowed INTEGER NOT NULL, rules TEXT,
               reason TEXT, event INTEGER NOT NULL)""",
        "CREATE INDEX action_at ON action (at)",
        "CREATE INDEX action_credential ON action (credential) WHERE credential IS NOT NULL",
        # The allowed uses, summed up, so that no query about use reads every action.
        """CREATE TABLE used (
               identity INTEGER NOT NULL REFERENCES identity, scope TEXT NOT NULL, first_at INTEGER NOT NULL,
               last_at INTEGER NOT NULL, uses INTEGER NOT NULL, PRIMARY KEY (identity, scope))""",
    ),
    (
        # Event n of a chain has the number start + (n - 1) * stride. An open chain may have no length here: then its
        # events show the length, and no issue writes another page.
        """CREATE TABLE chain (
               id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, start INTEGER NOT NULL, stride INTEGER NOT NULL,
               length INTEGER, hash BLOB, closed_at INTEGER)""",
        "INSERT INTO chain (id, epoch, start, stride) VALUES (1, 1, 1, 1)",
        # The callers of an authority. Each authenticates with an access token, of which only the fingerprint is
        # stored, or with its own key.
        """CREATE TABLE access (
               uid BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, roles TEXT NOT NULL, fingerprint BLOB, public TEXT,
               issued_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, superseded_at INTEGER, ended_at INTEGER,
               ended_as TEXT, bootstrap INTEGER NOT NULL, predecessor BLOB, event INTEGER NOT NULL,
               ended_event INTEGER)""",
        "CREATE UNIQUE INDEX access_fingerprint ON access (fingerprint)",
        "CREATE INDEX access_name ON access (name)",
        # The assertions that clients have used: each is valid once (RFC 7523, section 3, item 7).
        """CREATE TABLE assertion (
               client TEXT NOT NULL, jti TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (client, jti))""",
        "CREATE INDEX assertion_until ON assertion (until)",
        # If an answer was lost, the caller repeats the request under its key, and the credentials of the lost answer
        # are ended.
        """CREATE TABLE idempotency (
               caller TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, sort TEXT NOT NULL, first BLOB NOT NULL,
               last BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (caller, key))""",
        "CREATE INDEX idempotency_at ON idempotency (at)",
    ),
    (
        # The use of a key, and the certificates of an X.509 authority (DER, one after the other, its own first).
        "ALTER TABLE signing_key ADD COLUMN use TEXT NOT NULL DEFAULT 'jws'",
        "ALTER TABLE signing_key ADD COLUMN certificates BLOB",
        # Until when the wrapper of a `run` renews its credentials; a missing renewal shows that the wrapper has ended.
        # 0: never.
        "ALTER TABLE process ADD COLUMN renews_until INTEGER NOT NULL DEFAULT 0",
        # The template that it was made from: TARGET/TEMPLATE.
        "ALTER TABLE credential ADD COLUMN template TEXT",
        # A credential that a target has made or should make. Its name at the target derives from its jti. Before it is
        # settled, a part of it may be left at the target. So each credential that has ended here and is not settled
        # must be ended at the target; no way of ending a credential can forget that.
        """CREATE TABLE outside (
               credential INTEGER PRIMARY KEY REFERENCES credential, target TEXT NOT NULL,
               name TEXT NOT NULL, reference TEXT, facts TEXT, settlement TEXT, attempts INTEGER NOT NULL,
               next_at INTEGER NOT NULL, tried_at INTEGER, settled_at INTEGER, honoured_until INTEGER, proof TEXT,
               event INTEGER)""",
        "CREATE INDEX outside_open ON outside (next_at) WHERE settled_at IS NULL",
        "CREATE INDEX outside_name ON outside (target, name)",
        # The parts of a secret with several parts; the fingerprint of a secret with one part is in the credential's
        # row.
        """CREATE TABLE part (
               credential INTEGER NOT NULL REFERENCES credential, name TEXT NOT NULL, fingerprint BLOB NOT NULL,
               PRIMARY KEY (credential, name))""",
        "CREATE INDEX part_fingerprint ON part (substr(fingerprint, 1, 8))",
        # The place of a token's state in a Token Status List.
        """CREATE TABLE status (
               list INTEGER NOT NULL, place INTEGER NOT NULL, credential INTEGER NOT NULL REFERENCES credential,
               PRIMARY KEY (list, place))""",
        "CREATE UNIQUE INDEX status_credential ON status (credential)",
    ),
    (
        # SHA-256 of the key that a certificate is for (SubjectPublicKeyInfo). It identifies a private key without its
        # certificate.
        "ALTER TABLE credential ADD COLUMN public BLOB",
        "CREATE INDEX credential_public ON credential (substr(public, 1, 8)) WHERE public IS NOT NULL",
        # An adopted secret, which existed before; only its fingerprint is stored. Its prefix and length, if they are
        # known and not secret, narrow a search.
        """CREATE TABLE adopted (
               credential INTEGER PRIMARY KEY REFERENCES credential, place TEXT NOT NULL, prefix TEXT,
               length INTEGER)""",
        # The places where a leaked secret was seen; a row without a place has the number of further places.
        """CREATE TABLE sighting (
               id INTEGER PRIMARY KEY, leak INTEGER NOT NULL REFERENCES leak, place TEXT, line INTEGER,
               revision TEXT, found_at INTEGER, finder TEXT, more INTEGER NOT NULL, event INTEGER NOT NULL)""",
        "CREATE INDEX sighting_leak ON sighting (leak)",
        # The last of these events may have deleted rows about credentials that the events up to `through` issued and
        # ended.
        """CREATE TABLE prune (
               event INTEGER PRIMARY KEY, before INTEGER NOT NULL, through INTEGER NOT NULL, leaks INTEGER NOT NULL)""",
        # Pruned identities; their rows are deleted in batches.
        "CREATE TABLE condemned (identity INTEGER PRIMARY KEY)",
        # Segments of the audit log that were exported and cut, and their events that are kept because rows need them.
        """CREATE TABLE segment (
               event INTEGER PRIMARY KEY, through INTEGER NOT NULL, head TEXT NOT NULL, file TEXT NOT NULL,
               sha256 TEXT NOT NULL, kept INTEGER NOT NULL, digest TEXT NOT NULL)""",
        "CREATE TABLE kept_event (seq INTEGER PRIMARY KEY)",
        "DROP TRIGGER IF EXISTS audit_event_is_kept",
        """CREATE TRIGGER audit_event_is_kept BEFORE DELETE ON audit_event
             WHEN NOT EXISTS (SELECT 1 FROM segment WHERE through >= OLD.seq)
               OR EXISTS (SELECT 1 FROM kept_event WHERE seq = OLD.seq)
           BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
    ),
    (
        # A line is a credential and its successors; it is identified by the number of its first credential, which has
        # NULL here. The source is the credential that this one was delegated from or attached to. Older rows have
        # neither: they are judged by all live credentials of the parent until they expire.
        "ALTER TABLE credential ADD COLUMN line INTEGER REFERENCES credential",
        "ALTER TABLE credential ADD COLUMN source INTEGER REFERENCES credential",
        "ALTER TABLE identity ADD COLUMN source INTEGER",
        # The audiences and kinds that the holder may obtain and delegate, separated by spaces; and the actors that may
        # exchange it (RFC 8693, section 4.4), as canonical JSON.
        "ALTER TABLE credential ADD COLUMN may_audience TEXT",
        "ALTER TABLE credential ADD COLUMN may_kind TEXT",
        "ALTER TABLE credential ADD COLUMN may_act TEXT",
        "CREATE INDEX credential_line ON credential (line) WHERE line IS NOT NULL",
        # A second renewal of one credential would double its rights: the database refuses it.
        """CREATE UNIQUE INDEX live_head ON credential (line)
            WHERE line IS NOT NULL AND superseded_at IS NULL AND ended_at IS NULL""",
        # The audiences that are registered for a caller; `*` for all audiences, NULL if none were registered.
        "ALTER TABLE access ADD COLUMN audiences TEXT",
        # The first attempt to renew a credential that has a successor already: the holder has a copy, perhaps a stolen
        # one.
        "ALTER TABLE credential ADD COLUMN reused_at INTEGER",
        "CREATE INDEX credential_reused ON credential (reused_at) WHERE reused_at IS NOT NULL",
        # It stays set after the delegator was enabled again: earlier proofs remain invalid.
        "ALTER TABLE delegator ADD COLUMN disabled_last INTEGER",
        "UPDATE delegator SET disabled_last = disabled_at WHERE disabled_at IS NOT NULL",
        # A former issuer is valid until the last credential from its time expires.
        """INSERT INTO setting SELECT 'former_until',
               CAST(coalesce((SELECT max(expires_at) FROM credential WHERE ended_at IS NULL), 0) AS TEXT)
             FROM setting WHERE name = 'former_issuers'""",
        # A token of another issuer that names no client is valid for its first presenter only, until it expires.
        """CREATE TABLE presented (
               token BLOB NOT NULL PRIMARY KEY, presenter TEXT NOT NULL, until INTEGER NOT NULL,
               event INTEGER NOT NULL)""",
        "CREATE INDEX presented_until ON presented (until)",
        # A task belongs to the root delegator of its first event, and another opener may use the same name. If no row
        # is left that shows the opener, the task belongs to `?`, a name that no delegator can have.
        "INSERT INTO term (id, text) SELECT 0, '?' WHERE EXISTS (SELECT 1 FROM task)",
        """CREATE TABLE opened_task (
               id INTEGER PRIMARY KEY, name TEXT NOT NULL, opener INTEGER NOT NULL REFERENCES term, purpose TEXT,
               sensitivity TEXT NOT NULL, deadline INTEGER NOT NULL, opened_at INTEGER NOT NULL, ended_at INTEGER,
               event INTEGER NOT NULL, given_event INTEGER, UNIQUE (name, opener))""",
        # For older tasks, no event names the owner: their `given_event` is 0.
        """INSERT INTO opened_task SELECT t.id, t.name, coalesce(first.delegator, 0), t.purpose, t.sensitivity,
                  t.deadline, t.opened_at, t.ended_at, coalesce(first.event, 0), 0
             FROM task t LEFT JOIN (SELECT task, delegator, min(event) AS event FROM credential GROUP BY task) first
                    ON first.task = t.id""",
        "DROP TABLE task",
        "ALTER TABLE opened_task RENAME TO task",
        "CREATE INDEX task_opener ON task (opener)",
        # The names that the owner shares a task with: delegators, and groups as `group:NAME`.
        """CREATE TABLE task_share (
               id INTEGER PRIMARY KEY, task INTEGER NOT NULL REFERENCES task, name TEXT NOT NULL,
               event INTEGER NOT NULL, ended_event INTEGER)""",
        "CREATE UNIQUE INDEX task_share_open ON task_share (name, task) WHERE ended_event IS NULL",
        "CREATE INDEX task_share_task ON task_share (task)",
        # The delegators, groups and agents that may issue under the agent's name besides its owner, with their kind.
        "ALTER TABLE agent ADD COLUMN users TEXT NOT NULL DEFAULT ''",
        # Identities up to this number are under /agent/ in SPIFFE ids, even if their agent is not registered.
        """INSERT INTO setting SELECT 'agents_until', CAST(max(id) AS TEXT) FROM identity
            HAVING max(id) IS NOT NULL""",
    ),
    (
        # The subject of an ID token that the directory did not know. Root and descendants have it: if the directory
        # learns the subject later, disabling that person finds all of them by one index.
        "ALTER TABLE credential ADD COLUMN proved_subject INTEGER REFERENCES term",
        "CREATE TEMPORARY TABLE told_subject (identity INTEGER PRIMARY KEY, subject TEXT NOT NULL)",
        """INSERT INTO told_subject
           SELECT i.id, min(json_extract(CAST(e.body AS TEXT), '$.subject'))
             FROM identity i JOIN credential c ON c.identity = i.id JOIN audit_event e ON e.seq = c.event
            WHERE i.depth = 0 AND i.proof = 'oidc' AND instr(e.body, CAST('"subject":"' AS BLOB)) > 0
            GROUP BY i.id HAVING min(json_extract(CAST(e.body AS TEXT), '$.subject')) IS NOT NULL""",
        """INSERT INTO told_subject
           WITH RECURSIVE below (id, subject) AS (
               SELECT i.id, t.subject FROM told_subject t JOIN identity i ON i.parent = t.identity
               UNION SELECT i.id, b.subject FROM below b JOIN identity i ON i.parent = b.id)
           SELECT id, subject FROM below""",
        "INSERT INTO term (text) SELECT DISTINCT subject FROM told_subject WHERE 1 = 1 ON CONFLICT DO NOTHING",
        """UPDATE credential SET proved_subject = (
               SELECT t.id FROM told_subject s JOIN term t ON t.text = s.subject WHERE s.identity = credential.identity)
            WHERE identity IN (SELECT identity FROM told_subject)""",
        "DROP TABLE told_subject",
        """CREATE INDEX credential_proved_subject ON credential (proved_subject, ended_at, expires_at, superseded_at)
            WHERE proved_subject IS NOT NULL""",
        "CREATE INDEX approval_waiting ON approval (expires_at) WHERE ended_at IS NULL",
        "CREATE INDEX approval_asked ON approval (delegator, asked_by) WHERE ended_at IS NULL",
        # `superseded_at IS NULL` selects the heads; as the first column it makes SQLite prefer this index.
        """CREATE INDEX live_renewed ON credential (superseded_at, expires_at)
            WHERE ended_at IS NULL AND line IS NOT NULL""",
        "CREATE INDEX live_attached ON credential (source) WHERE ended_at IS NULL AND source IS NOT NULL",
        "CREATE INDEX identity_source ON identity (source) WHERE source IS NOT NULL",
    ),
    (
        # With these, a delegator who revokes by task or agent causes no reads of other delegators' rows.
        "DROP INDEX identity_task",
        "DROP INDEX identity_agent",
        "CREATE INDEX identity_by_task ON identity (task, delegator)",
        "CREATE INDEX identity_by_agent ON identity (agent, delegator)",
        "CREATE INDEX root_by_delegator ON identity (delegator) WHERE parent IS NULL",
    ),
    (
        # A running process of an older version would write without updating `changed_at`. Because the column that it
        # reads first has another name now, its next read or write fails.
        "ALTER TABLE clock_mark RENAME COLUMN at TO marked_at",
        # The number of the last event with an operation other than issue, renew, use, denial and assertion. A writer
        # checks a plan again only if this number changed since the plan was made. 0: no such event since this step.
        "ALTER TABLE clock_mark ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0",
    ),
    (
        # The client's names for a session or a subagent; free texts, which give no right.
        """CREATE TABLE session (
               identity INTEGER PRIMARY KEY REFERENCES identity, client TEXT NOT NULL, name TEXT NOT NULL,
               subagent TEXT, transcript TEXT, event INTEGER NOT NULL)""",
    ),
    (
        # The template of the token's `sub`; NULL: the root delegator.
        "ALTER TABLE credential ADD COLUMN subject INTEGER REFERENCES term",
        # The longest lifetime, in seconds, of a token that the vendor of its audience exchanges for it.
        "ALTER TABLE credential ADD COLUMN exchange_life INTEGER",
        """CREATE INDEX credential_exchanged ON credential (expires_at, exchange_life)
            WHERE exchange_life IS NOT NULL""",
    ),
    (
        # A login: the subject of the ID token that proved the person, as `ISS SUB`, and when. Beside the ledger it has
        # no access token, and proves the person for the processes of its holder, a system user as `LOGIN@HOST`.
        "ALTER TABLE access ADD COLUMN subject TEXT",
        "ALTER TABLE access ADD COLUMN proved_at INTEGER",
        "ALTER TABLE access ADD COLUMN holder TEXT",
        "CREATE INDEX access_holder ON access (holder) WHERE holder IS NOT NULL AND ended_at IS NULL",
    ),
    (
        # The processes that may have no other identity, each for a name: for the delegator of a revoked identity, for
        # its requester, or for the requester of its root. With the last revocation that decided so.
        """CREATE TABLE barred (
               host TEXT NOT NULL, boot TEXT NOT NULL, namespace INTEGER NOT NULL, pid INTEGER NOT NULL,
               started INTEGER NOT NULL, relation TEXT NOT NULL, name TEXT NOT NULL, event INTEGER NOT NULL,
               at INTEGER NOT NULL, PRIMARY KEY (started, pid, namespace, boot, host, relation, name))""",
        "CREATE INDEX process_started ON process (started, pid)",
    ),
    (
        # The machine that made a key, as the id of a key that it had before. NULL: the first key of a ledger, and all
        # keys from before this step.
        "ALTER TABLE signing_key ADD COLUMN machine TEXT",
    ),
)

LIVE_INDEXES = {
    "live_by_task": """CREATE INDEX live_by_task ON credential (task, expires_at, superseded_at)
        WHERE ended_at IS NULL""",
    "live_by_delegator": """CREATE INDEX live_by_delegator ON credential (delegator, expires_at, superseded_at)
        WHERE ended_at IS NULL""",
    "live_by_expiry": "CREATE INDEX live_by_expiry ON credential (expires_at) WHERE ended_at IS NULL",
    "live_superseded": """CREATE INDEX live_superseded ON credential (superseded_at)
        WHERE ended_at IS NULL AND superseded_at IS NOT NULL""",
    "live_recurring": """CREATE INDEX live_recurring ON credential (recurring)
        WHERE ended_at IS NULL AND recurring IS NOT NULL""",
    "live_pending": """CREATE INDEX live_pending ON credential (issued_at)
        WHERE ended_at IS NULL AND fingerprint IS NULL""",
}
"""Partial indexes for queries about live credentials."""

EVERY_LIVE = ("live_by_task", "live_by_delegator", "live_by_expiry")
"""The indexes with all live credentials: ending a large part of a ledger drops and rebuilds them."""
