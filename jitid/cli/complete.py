"""What a shell offers at a TAB out of the ledger: ids and names, read without loading what verbs load.

The shells run `jitid __complete WHAT CURRENT [WORD…]`; what cannot be answered is answered by nothing.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

# `jitid.values.names` and `jitid.values.ids` say the same; loading them costs as much as all that is done here.
_NAME = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:/+-"
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_LENGTH = 26
_LONGEST = 160
_APPLICATION_ID = 0x6A697464

MOST = 200
"""How many candidates are offered: a longer list is for `jitid list`."""
_RECENT = 2_000
"""How many of the latest rows are looked through for the names in use; older ones are met by the alphabet."""
_PATIENCE = 0.25
"""How many seconds a lock is waited for, and a query may take: somebody has pressed TAB and waits."""

Candidates = Iterator[tuple[str, str]]


def answer(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """Return the candidates, one a line, each perhaps with a tab and a description.

    The arguments are what to complete (ids, tasks, agents, records of agents, delegators, those who are known, keys,
    approvals, adopted secrets, leaks, kinds), the word so far, and the words before it. Whatever is wrong, there are no
    candidates: a TAB is no place for an error.
    """
    try:
        what, current, *words = arguments
        # No candidate can begin with what no name has.
        if len(current) > _LONGEST or current.strip(_NAME):
            return ""
        if what == "kinds":
            from jitid.cli.complete_kinds import kinds

            return _lines(kinds(words, environ), current, ())
        candidates = _CANDIDATES[what]
        db = _opened(_ledger(words, environ))
        # An id names one thing, and once is enough.
        return _lines(candidates(db, current), current, words if what == "ids" else ())
    except Exception:  # noqa: BLE001 - the verb itself will tell what is wrong
        return ""


def _lines(candidates: Candidates, current: str, used: Sequence[str]) -> str:
    found: dict[str, str] = {}
    for candidate, description in candidates:
        if not _is_name(candidate):
            continue
        # What begins like an option would be taken for one, unless one like it is being typed.
        odd = candidate.startswith("-") and not current.startswith("-")
        if candidate.startswith(current) and not odd and candidate not in used:
            found.setdefault(candidate, description)
            if len(found) == MOST:
                break
    return "".join(f"{name}\t{told}\n" if told else f"{name}\n" for name, told in found.items())


def _is_name(text: object) -> bool:
    """Tell whether a shell may be given the text: the ledger may have been edited."""
    return isinstance(text, str) and 0 < len(text) <= _LONGEST and not text.strip(_NAME)


def _ledger(words: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the folder of the ledger that the line and the environment name. Raises what the configuration raises."""
    given: dict[str, str | None] = dict.fromkeys(("--ledger", "--remote", "--config", "--profile"))
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name in given:
            given[name] = value if equals else next(rest, None)
    if given["--remote"] or (environ.get("JITID_REMOTE") and not given["--ledger"]):
        raise LookupError("an authority elsewhere is not asked at a TAB")
    place = given["--ledger"] or environ.get("JITID_LEDGER")
    if not place:
        from jitid.config.effective import load

        config = load(file=given["--config"], profile=given["--profile"], environ=environ)
        if config.remote is not None:
            raise LookupError("an authority elsewhere is not asked at a TAB")
        place = config.ledger
    place = place.removeprefix("sqlite://")
    if place.startswith("~"):
        from jitid.config.settings import absolute

        place = absolute(place, "")
    return os.path.abspath(place)


def _opened(folder: str) -> sqlite3.Connection:
    """Return a connection that changes nothing, to a ledger that is as private as it must be.

    Raises:
        OSError: it is not there, or not private.
        sqlite3.Error: it is no database, or locked.

    """
    database = f"{folder}/ledger.db"
    log = f"{database}-wal"
    logged = os.path.lexists(log)
    _check_private(folder, stat.S_ISDIR)
    for path in (database, log, f"{database}-shm"):
        if path == database or os.path.lexists(path):
            _check_private(path, stat.S_ISREG)
    escaped = database.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    # Where there is no log nobody is at work, and SQLite would make one even for a reader.
    mode = "mode=ro" if logged else "immutable=1"
    db = sqlite3.connect(f"file://{escaped}?{mode}", uri=True, timeout=_PATIENCE, isolation_level=None)
    end = time.monotonic() + _PATIENCE
    # In a ledger that was edited, a table may be a view that never ends.
    db.set_progress_handler(lambda: time.monotonic() > end, 10_000)
    db.execute("PRAGMA trusted_schema = OFF")
    if db.execute("PRAGMA application_id").fetchone() != (_APPLICATION_ID,):
        raise OSError("no ledger")
    return db


def _check_private(path: str, of_its_sort: Callable[[int], bool]) -> None:
    # As `jitid.system.files.check_private`, whose errors nobody would read here.
    status = os.lstat(path)
    me = os.geteuid()
    if not of_its_sort(status.st_mode) or status.st_mode & 0o077 or (status.st_uid != me and me != 0):
        raise OSError("not private")


def _ids(db: sqlite3.Connection, current: str) -> Candidates:
    # Where both would do, identities: a credential is part of one.
    kind = "jti_" if current.startswith("jt") else "jid_"
    first, last = _range(current[len(kind) :])
    newest = (
        "SELECT uid AS raw, id AS identity FROM identity WHERE uid BETWEEN ? AND ? ORDER BY uid DESC LIMIT ?"
        if kind == "jid_"
        else "SELECT jti AS raw, identity FROM credential WHERE jti BETWEEN ? AND ? ORDER BY jti DESC LIMIT ?"
    )
    rows = db.execute(
        f"""SELECT n.raw, a.text, t.name FROM ({newest}) AS n LEFT JOIN identity AS i ON i.id = n.identity
              LEFT JOIN term AS a ON a.id = i.agent LEFT JOIN task AS t ON t.id = i.task
             ORDER BY n.raw DESC""",  # noqa: S608 - one of the two texts above
        (first, last, MOST),
    )
    for raw, agent, task in rows:
        if isinstance(raw, bytes) and len(raw) == 16:
            yield kind + _base32(raw), f"{agent} on {task}" if _is_name(agent) and _is_name(task) else ""


def _range(digits: str) -> tuple[bytes, bytes]:
    """Return the first and the last of the raw ids whose text begins with these digits. Raises ValueError."""
    if len(digits) > _LENGTH or digits.strip(_DIGITS):
        raise ValueError("no digits of an id")
    free = 5 * (_LENGTH - len(digits))
    first = int(digits or "0", 32) << free
    return (first >> 2).to_bytes(16), ((first | (1 << free) - 1) >> 2).to_bytes(16)


def _base32(raw: bytes) -> str:
    bits = int.from_bytes(raw) << 2
    return "".join([_DIGITS[bits >> shift & 31] for shift in range(125, -1, -5)])


def _tasks(db: sqlite3.Connection, current: str) -> Candidates:
    alike = _alike(current)
    found = db.execute(
        """SELECT id, name, ended_at, deadline, sensitivity FROM (SELECT * FROM task ORDER BY id DESC LIMIT :recent)
            WHERE name >= :first AND name < :end ORDER BY ended_at IS NOT NULL, id DESC LIMIT :most""",
        alike,
    ).fetchall()
    if len(found) < MOST:
        found += db.execute(
            """SELECT id, name, ended_at, deadline, sensitivity FROM task
                WHERE name >= :first AND name < :end ORDER BY name LIMIT :most""",
            alike,
        ).fetchall()
    found.sort(key=lambda row: (row[2] is not None, -row[0]))
    now = time.time()
    for _, name, ended_at, deadline, sensitivity in found:
        state = "ended" if ended_at is not None else "open" if now < deadline else "overdue"
        yield name, f"{state}, {sensitivity}" if _is_name(sensitivity) else state


def _agents(db: sqlite3.Connection, current: str) -> Candidates:
    try:  # noqa: SIM105 - contextlib takes its time at each TAB
        yield from _records(db, current)
    except sqlite3.OperationalError:
        # A ledger that an older jitid made has no such table until somebody opens it.
        pass
    yield from _recent(db, "agent", current)
    yield from _told_nothing(
        db.execute(
            """SELECT text FROM (SELECT id, text FROM term WHERE text >= :first AND text < :end
                                  ORDER BY text LIMIT :recent) AS t
                WHERE EXISTS (SELECT 1 FROM identity WHERE agent = t.id) LIMIT :most""",
            _alike(current),
        )
    )


def _records(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the agents that are registered, and then those that were."""
    now = time.time()
    for name, owner, review_at, suspended_at, unregistered_at in db.execute(
        """SELECT name, owner, review_at, suspended_at, unregistered_at FROM agent
            WHERE name >= :first AND name < :end ORDER BY unregistered_at IS NOT NULL, name LIMIT :most""",
        _alike(current),
    ):
        # `jitid.model.agent` says the same.
        state = "overdue" if now >= review_at else "registered"
        if suspended_at is not None:
            state = "suspended"
        if unregistered_at is not None:
            state = "unregistered"
        yield name, f"{state}, {owner}" if _is_name(owner) else state


def _delegators(db: sqlite3.Connection, current: str) -> Candidates:
    if current.startswith("agent:"):
        for name, told in _agents(db, current.removeprefix("agent:")):
            yield f"agent:{name}", told
        return
    yield from _people(lambda begun: chain(_of_kind(db, begun), _in_directory(db, begun)), current)


def _known(db: sqlite3.Connection, current: str) -> Candidates:
    yield from _people(lambda begun: _in_directory(db, begun), current)


def _people(of_kind: Callable[[str], Candidates], current: str) -> Candidates:
    """Yield the names that begin as the word does, spelled as it was begun."""
    for kind in ("user:", "system:"):
        if kind.startswith(current) or current.startswith(kind):
            yield from of_kind(max(kind, current, key=len))
    if current and ":" not in current:
        # A bare name means `user:`.
        for name, told in of_kind(f"user:{current}"):
            bare = name.removeprefix("user:")
            if ":" not in bare:
                yield bare, told


def _of_kind(db: sqlite3.Connection, current: str) -> Candidates:
    yield from _recent(db, "delegator", current)
    # No index tells who was ever a delegator; a name of that form that is no agent's is one.
    yield from _told_nothing(
        db.execute(
            """SELECT text FROM (SELECT id, text FROM term WHERE text >= :first AND text < :end
                                  ORDER BY text LIMIT :recent) AS t
                WHERE EXISTS (SELECT 1 FROM credential WHERE delegator = t.id AND ended_at IS NULL)
                   OR NOT EXISTS (SELECT 1 FROM identity WHERE agent = t.id) LIMIT :most""",
            _alike(current),
        )
    )


def _in_directory(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the names and aliases of delegators, and what they are; nothing in a ledger without a directory."""
    try:
        rows = db.execute(
            """SELECT n.name, d.name, d.sensitivity, d.disabled_at FROM delegator_name AS n
                 JOIN delegator AS d ON d.id = n.delegator
                WHERE n.name >= :first AND n.name < :end ORDER BY n.name LIMIT :most""",
            _alike(current),
        )
    except sqlite3.OperationalError:
        # A schema from before there was one.
        return
    for name, own, sensitivity, disabled_at in rows:
        if not (_is_name(name) and _is_name(own)):
            continue
        known = f"up to {sensitivity}" if _is_name(sensitivity) else "known"
        state = known if disabled_at is None else "disabled"
        yield name, state if name == own else f"{own}, {state}"


def _recent(db: sqlite3.Connection, column: str, current: str) -> Candidates:
    """Yield the names that the latest identities have in a column, the last used first."""
    return _told_nothing(
        db.execute(
            f"""SELECT t.text FROM (SELECT {column} AS term, max(id) AS last
                                      FROM (SELECT * FROM identity ORDER BY id DESC LIMIT :recent)
                                     GROUP BY {column}) AS r
                  JOIN term AS t ON t.id = r.term
                 WHERE t.text >= :first AND t.text < :end ORDER BY r.last DESC LIMIT :most""",  # noqa: S608 - a column
            _alike(current),
        )
    )


def _keys(db: sqlite3.Connection, current: str) -> Candidates:
    for kid, algorithm, use, retired_at, revoked_at in db.execute(
        """SELECT kid, algorithm, use, retired_at, revoked_at FROM signing_key
            WHERE kid >= :first AND kid < :end ORDER BY id DESC LIMIT :most""",
        _alike(current),
    ):
        state = "revoked" if revoked_at else "retired" if retired_at else "signing"
        told = [algorithm] if use == "jws" else [use, algorithm]
        yield kid, ", ".join([state, *told]) if all(map(_is_name, told)) else state


def _approvals(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the ids of requests that wait for somebody's word, or can still be used; the newest first."""
    first, last = _range(current[len("apr_") :])
    rows = db.execute(
        """SELECT uid, delegator, (SELECT group_concat(name, ', ') FROM approval_group WHERE approval = approval.id)
             FROM approval
            WHERE ended_at IS NULL AND expires_at > :now AND uid BETWEEN :first AND :last
            ORDER BY uid DESC LIMIT :most""",
        {"now": time.time(), "first": first, "last": last, "most": MOST},
    )
    for raw, delegator, groups in rows:
        if isinstance(raw, bytes) and len(raw) == 16:
            named = isinstance(groups, str) and groups.isascii() and groups.isprintable()
            told = f"for {delegator}, by {groups[:60]}" if named and _is_name(delegator) else ""
            yield "apr_" + _base32(raw), told


def _access(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the ids of access credentials that count, the newest first; nothing in a ledger without any."""
    first, last = _range(current[len("acc_") :])
    try:
        rows = db.execute(
            """SELECT uid, name, roles FROM access
                WHERE ended_at IS NULL AND expires_at > :now AND (superseded_at IS NULL OR superseded_at > :now)
                  AND uid BETWEEN :first AND :last ORDER BY uid DESC LIMIT :most""",
            {"now": time.time(), "first": first, "last": last, "most": MOST},
        )
    except sqlite3.OperationalError:
        # A schema from before there was one.
        return
    for raw, name, roles in rows:
        if isinstance(raw, bytes) and len(raw) == 16:
            words = roles.split() if isinstance(roles, str) else []
            told = ", ".join([name, *filter(_is_name, words)]) if _is_name(name) else ""
            yield "acc_" + _base32(raw), told


def _adopted(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the names of adopted secrets, each with its owner; those that are alive first."""
    before = "adopted/"
    rows = db.execute(
        """SELECT t.name, d.text, c.ended_at FROM adopted x JOIN credential c ON c.id = x.credential
             JOIN task t ON t.id = c.task JOIN term d ON d.id = c.delegator
            WHERE t.name >= :first AND t.name < :end ORDER BY c.ended_at IS NOT NULL, t.name LIMIT :most""",
        _alike(f"{before}{current}"),
    )
    for name, owner, ended_at in rows:
        if _is_name(name):
            state = "standing" if ended_at is None else "ended"
            yield name.removeprefix(before), f"{state}, {owner}" if _is_name(owner) else state


def _leaks(db: sqlite3.Connection, current: str) -> Candidates:
    """Yield the numbers of the latest leaks, each with what leaked; those that are not closed first."""
    if current.strip("0123456789"):
        return
    rows = db.execute(
        """SELECT l.id, l.closed_at, a.text, t.name FROM (SELECT * FROM leak ORDER BY id DESC LIMIT :recent) AS l
             LEFT JOIN credential AS c ON c.id = l.credential LEFT JOIN identity AS i ON i.id = c.identity
             LEFT JOIN term AS a ON a.id = i.agent LEFT JOIN task AS t ON t.id = i.task
            WHERE substr(l.id, 1, length(:first)) = :first ORDER BY l.closed_at IS NOT NULL, l.id DESC LIMIT :most""",
        _alike(current),
    )
    for number, closed_at, agent, task in rows:
        state = "open" if closed_at is None else "closed"
        yield str(number), f"{state}, {agent} on {task}" if _is_name(agent) and _is_name(task) else state


def _alike(current: str) -> dict[str, object]:
    # What follows every character of a name ends the range of those that begin alike.
    return {"first": current, "end": current + "\x7f", "most": MOST, "recent": _RECENT}


def _told_nothing(rows: Iterable[tuple[str]]) -> Candidates:
    for (name,) in rows:
        if _is_name(name):
            yield name, ""


_CANDIDATES: dict[str, Callable[[sqlite3.Connection, str], Candidates]] = {
    "ids": _ids,
    "tasks": _tasks,
    "agents": _agents,
    "records": _records,
    "delegators": _delegators,
    "known": _known,
    "keys": _keys,
    "approvals": _approvals,
    "access": _access,
    "adopted": _adopted,
    "leaks": _leaks,
}

WHAT = tuple(_CANDIDATES)
"""What can be completed out of the ledger."""
