"""Histories of agents, and statistics about them computed credential by credential."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st

from jitid.capabilities.directory.store import DirectoryChanges
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.ledger.transaction import Transaction
from jitid.model.credential import FORMER_PROOF
from jitid.model.ledger_rows import CredentialRow
from jitid.model.survey import Past, Spread
from jitid.model.task import SENSITIVITIES
from jitid.values.ids import parse_id
from jitid.values.secret import fingerprint
from tests.builders import DAY, Row, World, delegator, put

SCOPES = ("", "repo:a", "repo:a repo:b", "repo:*", "log:read repo:a")

_issues = st.fixed_dictionaries(
    {
        "do": st.just("issue"),
        "task": st.integers(1, 9).map(lambda number: f"T{number}"),
        "agent": st.sampled_from(["planner", "coder", "agent", "x/y@z"]),
        "delegator": st.sampled_from(["user:alice", "user:al", "user:bob", "system:ci"]),
        "kind": st.sampled_from(["jwt", "opaque"]),
        "scopes": st.sampled_from(SCOPES)
        | st.integers(1, 30).map(lambda number: f"tickets:INC-{number}:write"),
        "audiences": st.sampled_from(["urn:jitid:test", "urn:a urn:jitid:test", "urn:b"]),
        "sensitivity": st.sampled_from(SENSITIVITIES),
        "proof": st.sampled_from(["asserted", "os-user", "oidc"]),
        "ttl": st.sampled_from([1, 59, 60, 61, 900, 3_600]),
        "below": st.booleans(),
    }
)
_steps = st.one_of(
    _issues,
    _issues,
    _issues,
    st.fixed_dictionaries(
        {"do": st.just("wait"), "seconds": st.sampled_from([1, 60, 900, 7_200, DAY // 2, DAY, 3 * DAY])}
    ),
    st.fixed_dictionaries(
        {"do": st.just("renew"), "which": st.integers(0, 40), "scopes": st.sampled_from(SCOPES)}
    ),
    st.fixed_dictionaries({"do": st.just("end"), "which": st.integers(0, 40)}),
)
histories = st.lists(_steps, min_size=6, max_size=40)
uses = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["repo:a", "repo:b", "log:read"])), max_size=6)


def database(transaction: Transaction) -> sqlite3.Connection:
    """Return the connection that a transaction writes to, so that a test can insert uses without a report."""
    db: sqlite3.Connection = transaction.db
    return db


def live_through(
    world: World, steps: Iterable[dict[str, Any]], used: Sequence[tuple[int, str]] = ()
) -> list[Row]:
    """Apply a history to a ledger that knows alice by two names. `used` has numbers of identities with scopes."""
    rows: list[Row] = []
    with world.ledger.write() as transaction:
        DirectoryChanges(transaction).put_delegators([delegator(aliases=("user:al",))])
        transaction.append("delegator-add", {})
    for step in steps:
        if step["do"] == "wait":
            world.clock.now += step["seconds"]
            continue
        with world.ledger.write(accept_clock=True) as transaction:
            match step["do"]:
                case "issue":
                    rows.append(_issue(transaction, rows, step))
                case "renew" if rows:
                    _renew(transaction, rows[step["which"] % len(rows)], step["scopes"])
                case "end" if rows:
                    row = rows[step["which"] % len(rows)]
                    database(transaction).execute(
                        """UPDATE credential SET ended_at = ?, ended_as = 'revoked'
                            WHERE identity = ? AND ended_at IS NULL""",
                        (transaction.now, row.identity),
                    )
                    transaction.append("note", {})
    if rows and used:
        with world.ledger.write(accept_clock=True) as transaction:
            for number, scope in used:
                row = rows[number % len(rows)]
                database(transaction).execute(
                    """INSERT INTO used SELECT ?, ?, min(issued_at), min(issued_at) + 40, 2 FROM credential
                        WHERE identity = ? ON CONFLICT DO NOTHING""",
                    (row.identity, scope, row.identity),
                )
            transaction.append("note", {})
    return rows


def _issue(transaction: Transaction, rows: list[Row], step: dict[str, Any]) -> Row:
    fields = {name: value for name, value in step.items() if name not in ("do", "below")}
    parent = rows[-1] if step["below"] and rows else None
    if parent is not None and len(rows) % 2:
        # Older versions of jitid did not record the root's proof at every depth.
        fields["proof"] = FORMER_PROOF
    return put(transaction, parent=parent, **fields)


def _renew(transaction: Transaction, row: Row, scopes: str) -> None:
    """Add a credential of the same kind to an identity in any state."""
    old = CredentialStore(transaction).latest_of(parse_id(row.id)[1])
    assert old is not None
    CredentialChanges(transaction).supersede(old.key, transaction.now + 30)
    _, key = transaction.next_keys()
    number = (key + (1 << 90)).to_bytes(16)
    task = TaskStore(transaction).find_task(old.task)
    assert task is not None
    transaction.add(
        [],
        [
            CredentialRow(
                key,
                number,
                row.identity,
                old.kind,
                scopes,
                transaction.term(" ".join(old.audiences)),
                None,
                transaction.now,
                transaction.now + 300,
                fingerprint(f"successor {key}"),
                None,
                None,
                transaction.next_seq(),
                task.key,
                transaction.term(old.delegator),
                line=old.line,
            )
        ],
    )
    transaction.append("note", {})


class Held(NamedTuple):
    """A credential with its identity."""

    agent: str
    identity: int
    task: str
    delegator: str
    proof: str
    sensitivity: str
    depth: int
    kind: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    issued_at: int
    death: int
    needed: int
    """When it ended, or would have ended without a revocation."""


def held(world: World, since: int) -> list[Held]:
    """Return each credential that was issued since a time."""
    with world.ledger.read() as snapshot:
        rows = list(
            snapshot.query(
                """SELECT a.text, i.id, t.name, d.text, i.proof, i.sensitivity, i.depth, c.kind, c.scopes, au.text,
                          c.issued_at, c.expires_at, c.ended_at, c.superseded_at, c.ended_as
                     FROM credential c JOIN identity i ON i.id = c.identity JOIN term a ON a.id = i.agent
                     JOIN task t ON t.id = i.task JOIN term d ON d.id = i.delegator JOIN term au ON au.id = c.audiences
                    WHERE c.issued_at >= :start ORDER BY c.id""",
                {"start": since},
            )
        )
        above = {key: rest for key, *rest in snapshot.query("SELECT id, parent, proof FROM identity", {})}
    return [
        Held._make(
            (
                *row[:4],
                row[4] if row[4] != FORMER_PROOF else _root_proof(above, row[1]),
                *row[5:8],
                tuple(row[8].split()),
                tuple(row[9].split()),
                row[10],
                died := row[12] if row[12] is not None else min(row[11], row[13] or row[11]),
                row[11] if row[14] == "revoked" else died,
            )
        )
        for row in rows
    ]


def _root_proof(above: dict[int, list[Any]], identity: int) -> str:
    """Return the proof of an identity's root; `above` has the parent and the proof of each identity."""
    while (parent := above[identity][0]) is not None:
        identity = parent
    proof: str = above[identity][1]
    return proof


def recount(world: World, since: int) -> dict[str, Past]:
    """Return the past of each agent."""
    by_agent: dict[str, list[Held]] = {}
    for one in held(world, since):
        by_agent.setdefault(one.agent, []).append(one)
    return {agent: _past(world, since, agent, ones) for agent, ones in by_agent.items()}


def _past(world: World, since: int, agent: str, ones: list[Held]) -> Past:
    now = world.clock.now
    lives: dict[int, list[Held]] = {}
    for one in ones:
        lives.setdefault(one.identity, []).append(one)
    began = {key: min(one.issued_at for one in each) for key, each in lives.items()}
    ended = {key: max(one.death for one in each) for key, each in lives.items()}
    days = sorted({at // DAY for at in began.values()})
    people: dict[str, int] = {}
    for each in lives.values():
        name = "user:alice" if each[0].delegator == "user:al" else each[0].delegator
        people[name] = people.get(name, 0) + 1
    most = min(people, key=lambda name: (-people[name], name))
    alive = [
        sum(began[other] <= at < max(ended[other], began[other] + 1) for other in lives)
        for at in began.values()
    ]
    with world.ledger.read() as snapshot:
        used = {
            scope
            for (scope,) in snapshot.query(
                """SELECT u.scope FROM used u JOIN identity i ON i.id = u.identity JOIN term a ON a.id = i.agent
                    WHERE a.text = :agent AND u.last_at >= :start""",
                {"agent": agent, "start": since},
            )
        }
        tasks = dict(snapshot.query("SELECT name, purpose FROM task ORDER BY id", {}))
    latest = [name for name in tasks if name in {one.task for one in ones}][-1]
    return Past(
        agent,
        len(lives),
        len({one.task for one in ones}),
        len(days),
        min(began.values()),
        max(began.values()),
        sum(end > now for end in ended.values()),
        spread([ended[key] - began[key] for key in lives if ended[key] <= now]),
        spread([after - before for before, after in pairwise(days)]),
        max(one.needed - one.issued_at for one in ones),
        max(alive),
        len(people),
        most,
        people[most],
        tasks[latest],
        frozenset(one.kind for one in ones),
        frozenset(audience for one in ones for audience in one.audiences),
        frozenset(scope for one in ones for scope in one.scopes),
        frozenset(used) if used else None,
    )


def spread(values: list[int]) -> Spread:
    """Return the distribution of values, with nearest-rank percentiles."""
    if not values:
        return Spread(0, None, None, None)
    values = sorted(values)

    def rank(percent: int) -> int:
        return values[math.ceil(percent * len(values) / 100) - 1]

    return Spread(len(values), rank(50), rank(95), values[-1])
