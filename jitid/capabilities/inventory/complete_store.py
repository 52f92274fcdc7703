"""Queries for completion at a TAB: candidates from the ledger, each with a description."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

# Copies from `jitid.values.names` and `jitid.values.ids`: importing these would take as long as a whole completion.
NAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:/+-"
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_LENGTH = 26
LONGEST_NAME = 160
MOST = 200
"""Maximum number of candidates; `jitid list` prints longer lists."""
_RECENT = 2_000
"""Number of the latest rows that are searched for names in use. A second, alphabetical query finds older names."""


Candidates = Iterator[tuple[str, str]]


def offer_ids(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield ids of credentials and identities."""
    # If both kinds of id match, identities come first: a credential is part of an identity.
    kind = "jti_" if current.startswith("jt") else "jid_"
    first_id, last_id = _range(current[len(kind) :])
    subquery = (
        "SELECT uid AS raw, id AS identity FROM identity WHERE uid BETWEEN ? AND ? ORDER BY uid DESC LIMIT ?"
        if kind == "jid_"
        else "SELECT jti AS raw, identity FROM credential WHERE jti BETWEEN ? AND ? ORDER BY jti DESC LIMIT ?"
    )
    rows = db.execute(
        f"""SELECT n.raw, a.text, t.name FROM ({subquery}) AS n LEFT JOIN identity AS i ON i.id = n.identity
              LEFT JOIN term AS a ON a.id = i.agent LEFT JOIN task AS t ON t.id = i.task
             ORDER BY n.raw DESC""",
        (first_id, last_id, MOST),
    )
    for raw, agent, task in rows:
        if isinstance(raw, bytes) and len(raw) == 16:
            yield kind + _base32(raw), f"{agent} on {task}" if is_name(agent) and is_name(task) else ""


def _range(digits: str) -> tuple[bytes, bytes]:
    """Return the first and the last raw id whose text begins with these digits. Raises ValueError."""
    if len(digits) > _LENGTH or digits.strip(_DIGITS):
        raise ValueError("no digits of an id")
    free_bits = 5 * (_LENGTH - len(digits))
    lowest = int(digits or "0", 32) << free_bits
    return (lowest >> 2).to_bytes(16), ((lowest | (1 << free_bits) - 1) >> 2).to_bytes(16)


def _base32(raw: bytes) -> str:
    bits = int.from_bytes(raw) << 2
    return "".join([_DIGITS[bits >> shift & 31] for shift in range(125, -1, -5)])


def offer_tasks(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield names of tasks."""
    parameters = _alike(current)
    rows = db.execute(
        """SELECT id, name, ended_at, deadline, sensitivity FROM (SELECT * FROM task ORDER BY id DESC LIMIT :recent)
            WHERE name >= :first AND name < :end ORDER BY ended_at IS NOT NULL, id DESC LIMIT :most""",
        parameters,
    ).fetchall()
    if len(rows) < MOST:
        rows += db.execute(
            """SELECT id, name, ended_at, deadline, sensitivity FROM task
                WHERE name >= :first AND name < :end ORDER BY name LIMIT :most""",
            parameters,
        ).fetchall()
    rows.sort(key=lambda row: (row[2] is not None, -row[0]))
    now = time.time()
    for _, name, ended_at, deadline, sensitivity in rows:
        state = "ended" if ended_at is not None else "open" if now < deadline else "overdue"
        yield name, f"{state}, {sensitivity}" if is_name(sensitivity) else state


def offer_agents(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield names of agents."""
    try:  # noqa: SIM105 - contextlib takes its time at each TAB
        yield from offer_records(db, current)
    except sqlite3.OperationalError:
        # A ledger of an older jitid lacks this table until a verb opens the ledger.
        pass
    yield from _recent(db, "agent", current)
    yield from _without_description(
        db.execute(
            """SELECT text FROM (SELECT id, text FROM term WHERE text >= :first AND text < :end
                                  ORDER BY text LIMIT :recent) AS t
                WHERE EXISTS (SELECT 1 FROM identity WHERE agent = t.id) LIMIT :most""",
            _alike(current),
        )
    )


def offer_records(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the registered agents, and then the unregistered ones."""
    now = time.time()
    for name, owner, review_at, suspended_at, unregistered_at in db.execute(
        """SELECT name, owner, review_at, suspended_at, unregistered_at FROM agent
            WHERE name >= :first AND name < :end ORDER BY unregistered_at IS NOT NULL, name LIMIT :most""",
        _alike(current),
    ):
        # The same states as in `jitid.model.directory`.
        state = "overdue" if now >= review_at else "registered"
        if suspended_at is not None:
            state = "suspended"
        if unregistered_at is not None:
            state = "unregistered"
        yield name, f"{state}, {owner}" if is_name(owner) else state


def offer_delegators(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield names of delegators, and names of agents after `agent:`."""
    if current.startswith("agent:"):
        for name, description in offer_agents(db, current.removeprefix("agent:")):
            yield f"agent:{name}", description
        return
    yield from _people(lambda prefix: chain(_of_kind(db, prefix), _in_directory(db, prefix)), current)


def offer_known(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield names in the directory."""
    yield from _people(lambda prefix: _in_directory(db, prefix), current)


def _people(find: Callable[[str], Candidates], current: str) -> Candidates:
    """Yield the names with the current word as prefix, without `user:` if the word has no kind."""
    for kind in ("user:", "system:"):
        if kind.startswith(current) or current.startswith(kind):
            yield from find(max(kind, current, key=len))
    if current and ":" not in current:
        # A bare name means `user:`.
        for name, description in find(f"user:{current}"):
            bare_name = name.removeprefix("user:")
            if ":" not in bare_name:
                yield bare_name, description


def _of_kind(db: sqlite3.Connection, current: str) -> Candidates:
    yield from _recent(db, "delegator", current)
    # No index lists the delegators. A term with this prefix that is not an agent's name is a delegator's name.
    yield from _without_description(
        db.execute(
            """SELECT text FROM (SELECT id, text FROM term WHERE text >= :first AND text < :end
                                  ORDER BY text LIMIT :recent) AS t
                WHERE EXISTS (SELECT 1 FROM credential WHERE delegator = t.id AND ended_at IS NULL)
                   OR NOT EXISTS (SELECT 1 FROM identity WHERE agent = t.id) LIMIT :most""",
            _alike(current),
        )
    )


def _in_directory(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the names and aliases of delegators, each with its state. A ledger without a directory yields none."""
    try:
        rows = db.execute(
            """SELECT n.name, d.name, d.sensitivity, d.disabled_at FROM delegator_name AS n
                 JOIN delegator AS d ON d.id = n.delegator
                WHERE n.name >= :first AND n.name < :end ORDER BY n.name LIMIT :most""",
            _alike(current),
        )
    except sqlite3.OperationalError:
        # An older schema has no directory.
        return
    for name, delegator, sensitivity, disabled_at in rows:
        if not (is_name(name) and is_name(delegator)):
            continue
        enabled_state = f"up to {sensitivity}" if is_name(sensitivity) else "known"
        state = enabled_state if disabled_at is None else "disabled"
        yield name, state if name == delegator else f"{delegator}, {state}"


def _recent(db: sqlite3.Connection, column: str, current: str) -> Candidates:
    """Yield the names in a column of the latest identities, the last used first."""
    return _without_description(
        db.execute(
            f"""SELECT t.text FROM (SELECT {column} AS term, max(id) AS last
                                      FROM (SELECT * FROM identity ORDER BY id DESC LIMIT :recent)
                                     GROUP BY {column}) AS r
                  JOIN term AS t ON t.id = r.term
                 WHERE t.text >= :first AND t.text < :end ORDER BY r.last DESC LIMIT :most""",
            _alike(current),
        )
    )


def offer_keys(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield key ids."""
    for kid, algorithm, use, retired_at, revoked_at in db.execute(
        """SELECT kid, algorithm, use, retired_at, revoked_at FROM signing_key
            WHERE kid >= :first AND kid < :end ORDER BY id DESC LIMIT :most""",
        _alike(current),
    ):
        state = "revoked" if revoked_at else "retired" if retired_at else "signing"
        facts = [algorithm] if use == "jws" else [use, algorithm]
        yield kid, ", ".join([state, *facts]) if all(map(is_name, facts)) else state


def offer_approvals(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the ids of approval requests that are open or can still be used, newest first."""
    first_id, last_id = _range(current[len("apr_") :])
    rows = db.execute(
        """SELECT uid, delegator, (SELECT group_concat(name, ', ') FROM approval_group WHERE approval = approval.id)
             FROM approval
            WHERE ended_at IS NULL AND expires_at > :now AND uid BETWEEN :first AND :last
            ORDER BY uid DESC LIMIT :most""",
        {"now": time.time(), "first": first_id, "last": last_id, "most": MOST},
    )
    for raw, delegator, groups in rows:
        if isinstance(raw, bytes) and len(raw) == 16:
            is_printable = isinstance(groups, str) and groups.isascii() and groups.isprintable()
            description = f"for {delegator}, by {groups[:60]}" if is_printable and is_name(delegator) else ""
            yield "apr_" + _base32(raw), description


def offer_access(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the ids of valid access credentials, newest first. A ledger without their table yields none."""
    first_id, last_id = _range(current[len("acc_") :])
    try:
        rows = db.execute(
            """SELECT uid, name, roles FROM access
                WHERE ended_at IS NULL AND expires_at > :now AND (superseded_at IS NULL OR superseded_at > :now)
                  AND uid BETWEEN :first AND :last ORDER BY uid DESC LIMIT :most""",
            {"now": time.time(), "first": first_id, "last": last_id, "most": MOST},
        )
    except sqlite3.OperationalError:
        # An older schema has no such table.
        return
    for raw, name, roles in rows:
        if isinstance(raw, bytes) and len(raw) == 16:
            role_names = roles.split() if isinstance(roles, str) else []
            description = ", ".join([name, *filter(is_name, role_names)]) if is_name(name) else ""
            yield "acc_" + _base32(raw), description


def offer_adopted(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the names of adopted secrets, each with its state and owner, live secrets first."""
    prefix = "adopted/"
    rows = db.execute(
        """SELECT t.name, d.text, c.ended_at FROM adopted x JOIN credential c ON c.id = x.credential
             JOIN task t ON t.id = c.task JOIN term d ON d.id = c.delegator
            WHERE t.name >= :first AND t.name < :end ORDER BY c.ended_at IS NOT NULL, t.name LIMIT :most""",
        _alike(f"{prefix}{current}"),
    )
    for name, owner, ended_at in rows:
        if is_name(name):
            state = "standing" if ended_at is None else "ended"
            yield name.removeprefix(prefix), f"{state}, {owner}" if is_name(owner) else state


def offer_leaks(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the numbers of the latest leaks, each with agent and task, open leaks first."""
    if current.strip("0123456789"):
        return
    rows = db.execute(
        """SELECT l.id, l.closed_at, a.text, t.name FROM (SELECT * FROM leak ORDER BY id DESC LIMIT :recent) AS l
             LEFT JOIN credential AS c ON c.id = l.credential LEFT JOIN identity AS i ON i.id = c.identity
             LEFT JOIN term AS a ON a.id = i.agent LEFT JOIN task AS t ON t.id = i.task
            WHERE substr(l.id, 1, length(:first)) = :first ORDER BY l.closed_at IS NOT NULL, l.id DESC LIMIT :most""",
        _alike(current),
    )
    for leak_number, closed_at, agent, task in rows:
        state = "open" if closed_at is None else "closed"
        yield str(leak_number), f"{state}, {agent} on {task}" if is_name(agent) and is_name(task) else state


def _alike(current: str) -> dict[str, object]:
    # DEL sorts after every character of a name, so it ends the range of names with this prefix.
    return {"first": current, "end": current + "\x7f", "most": MOST, "recent": _RECENT}


def _without_description(rows: Iterable[tuple[str]]) -> Candidates:
    for (name,) in rows:
        if is_name(name):
            yield name, ""


def is_name(text: object) -> bool:
    """Return whether the text is safe for a shell: the ledger may have been edited."""
    return isinstance(text, str) and 0 < len(text) <= LONGEST_NAME and not text.strip(NAME_CHARACTERS)
