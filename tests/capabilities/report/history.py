"""Random histories of a ledger: sequences of steps that change it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import TaskChanges, TaskStore
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.transaction import Transaction
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection
from jitid.model.task import SENSITIVITIES
from jitid.values.ids import parse_id
from tests.builders import DAY, Row, World, put, put_agent, put_delegator

_tasks = st.sampled_from(["T1", "T2", "T3"]) | st.integers(10, 24).map(lambda number: f"T{number}")
_issues = st.fixed_dictionaries(
    {
        "do": st.just("issue"),
        "task": _tasks,
        "agent": st.sampled_from(["planner", "coder"])
        | st.integers(1, 14).map(lambda number: f"bot-{number}"),
        "delegator": st.sampled_from(["user:alice", "user:bob", "system:ci"]),
        "kind": st.sampled_from(["jwt", "opaque"]),
        "sensitivity": st.sampled_from(SENSITIVITIES),
        "proof": st.sampled_from(["asserted", "os-user", "oidc"]),
        "ttl": st.sampled_from([60, 300, 301, 900, 3_600, 28_800, DAY, 9 * DAY]),
        "audiences": st.sampled_from(["urn:a", "urn:b", "urn:a urn:b"]),
        "below": st.booleans(),
    }
)
# Most steps issue a credential.
_steps = st.one_of(
    _issues,
    _issues,
    _issues,
    st.fixed_dictionaries(
        {"do": st.just("wait"), "seconds": st.sampled_from([1, 60, 900, 7_200, DAY, 3 * DAY])}
    ),
    st.fixed_dictionaries(
        {"do": st.just("renew"), "which": st.integers(0, 40), "overlap": st.sampled_from([0, 600])}
    ),
    st.fixed_dictionaries({"do": st.just("revoke"), "which": st.integers(0, 40)}),
    st.fixed_dictionaries({"do": st.just("retire"), "task": _tasks}),
    st.fixed_dictionaries({"do": st.just("forget"), "task": _tasks}),
    st.fixed_dictionaries(
        {
            "do": st.just("leak"),
            "which": st.integers(0, 40),
            "source": st.sampled_from(["a", "b"]),
            "ago": st.sampled_from([0, 60, DAY]),
            "proved": st.booleans(),
        }
    ),
    st.fixed_dictionaries({"do": st.just("close"), "which": st.integers(0, 40)}),
    st.fixed_dictionaries({"do": st.just("use"), "which": st.integers(0, 40), "allowed": st.booleans()}),
    st.fixed_dictionaries(
        {
            "do": st.just("delegator"),
            "name": st.sampled_from(["user:alice", "user:bob"]),
            "disabled": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {
            "do": st.just("agent"),
            "name": st.sampled_from(["planner", "coder"]),
            "unregistered": st.booleans(),
        }
    ),
)
histories = st.lists(_steps, min_size=12, max_size=40)


def live_through(world: World, steps: Iterable[dict[str, Any]]) -> None:
    """Apply a history to a ledger."""
    rows: list[Row] = []
    for step in steps:
        if step["do"] == "wait":
            world.clock.now += step["seconds"]
            continue
        # Here the clock may jump, as that of an idle machine seems to.
        with world.ledger.write(accept_clock=True) as transaction:
            match step["do"]:
                case "issue":
                    rows += _issue(transaction, rows, step)
                case "renew" if rows:
                    _renew(transaction, rows[step["which"] % len(rows)], step["overlap"])
                case "revoke" if rows:
                    _end(transaction, Selection(ids=(rows[step["which"] % len(rows)].id,)), State.REVOKED)
                case "retire" | "forget":
                    task = TaskStore(transaction).find_task(step["task"])
                    if task is not None:
                        TaskChanges(transaction).end_task(task.key)
                        # A retired task with live credentials: `retire` never leaves one, but a report has to show it.
                        if step["do"] == "retire":
                            _end(transaction, Selection(tasks=(task.name,)), State.RETIRED)
                case "leak" if rows:
                    _leak(transaction, rows[step["which"] % len(rows)], step)
                case "close" if rows:
                    _close(transaction, rows[step["which"] % len(rows)])
                case "use" if rows:
                    _use(transaction, rows[step["which"] % len(rows)], allowed=step["allowed"])
                case "delegator":
                    _put_delegator(transaction, step)
                case "agent":
                    _put_agent(transaction, step)


def _issue(transaction: Transaction, rows: list[Row], step: dict[str, Any]) -> list[Row]:
    names = ("task", "agent", "delegator", "kind", "sensitivity", "proof", "ttl", "audiences")
    return [
        put(
            transaction,
            parent=rows[-1] if step["below"] and rows else None,
            signed_by=KeyStore(transaction).signing_keys()[0] if step["kind"] == "jwt" else None,
            **{name: step[name] for name in names},
        )
    ]


def _database(transaction: Transaction) -> sqlite3.Connection:
    """Return the connection that a transaction writes to, for pasts that no command makes."""
    db: sqlite3.Connection = transaction.db
    return db


def _renew(transaction: Transaction, row: Row, overlap: int) -> None:
    old = CredentialStore(transaction).latest_of(parse_id(row.id)[1])
    assert old is not None
    CredentialChanges(transaction).supersede(old.key, transaction.now + overlap)
    _, key = transaction.next_keys()
    db = _database(transaction)
    db.execute(
        """INSERT INTO credential (id, jti, identity, kind, scopes, audiences, issued_at, expires_at, fingerprint,
                                   event, task, delegator)
           SELECT ?, randomblob(16), identity, kind, scopes, audiences, ?, ?, randomblob(32), ?, task, delegator
             FROM credential WHERE id = ?""",
        (key, transaction.now, transaction.now + 900, transaction.next_seq(), row.key),
    )
    transaction.append("renew", {})


def _end(transaction: Transaction, selection: Selection, state: State) -> None:
    radius, digest = CredentialChanges(transaction).end(selection, state)
    transaction.append(state.value, {"count": radius.credentials, "ended": digest})


def _leak(transaction: Transaction, row: Row, step: dict[str, Any]) -> None:
    now = transaction.now
    db = _database(transaction)
    db.execute(
        """INSERT INTO leak (credential, source, reported_at, added_at, event, proved_at) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT DO NOTHING""",
        (
            row.key,
            step["source"],
            now - step["ago"],
            now,
            transaction.next_seq(),
            now if step["proved"] else None,
        ),
    )
    transaction.append("leak", {})


def _close(transaction: Transaction, row: Row) -> None:
    db = _database(transaction)
    db.execute(
        "UPDATE leak SET closed_at = ?, closed_event = ? WHERE credential = ? AND closed_at IS NULL",
        (transaction.now, transaction.next_seq(), row.key),
    )
    transaction.append("leak-close", {})


def _use(transaction: Transaction, row: Row, *, allowed: bool) -> None:
    now, db = transaction.now, _database(transaction)
    db.execute(
        """INSERT INTO action (at, credential, action, resource, scope, allowed, reason, event)
           VALUES (?, ?, 1, 'r', 's', ?, '', ?)""",
        (now, row.key, int(allowed), transaction.next_seq()),
    )
    if allowed:
        db.execute(
            """INSERT INTO used (identity, scope, first_at, last_at, uses) VALUES (?, 's', ?, ?, 1)
               ON CONFLICT (identity, scope) DO UPDATE SET last_at = excluded.last_at, uses = used.uses + 1""",
            (row.identity, now, now),
        )
    transaction.append("use", {})


def _put_delegator(transaction: Transaction, step: dict[str, Any]) -> None:
    now = transaction.now
    one = DirectoryStore(transaction).find_delegator(step["name"]) or put_delegator(transaction, step["name"])
    DirectoryChanges(transaction).put_delegators(
        [one._replace(disabled_at=now if step["disabled"] else None)]
    )
    transaction.append("delegator-change", {})


def _put_agent(transaction: Transaction, step: dict[str, Any]) -> None:
    now = transaction.now
    one = DirectoryStore(transaction).find_agent(step["name"]) or put_agent(transaction, step["name"])
    DirectoryChanges(transaction).put_agents(
        [one._replace(unregistered_at=now if step["unregistered"] else None)]
    )
    transaction.append("agent-change", {})
