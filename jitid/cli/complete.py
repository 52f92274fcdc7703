"""What a shell offers at a TAB out of the ledger: ids and names, read without loading what verbs load.

The shells run `jitid __complete WHAT CURRENT [WORD…]`; what cannot be answered is answered by nothing.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Mapping, Sequence

from jitid.cli.complete_store import (
    LONGEST_NAME,
    MOST,
    NAME_CHARACTERS,
    Candidates,
    is_name,
    offer_access,
    offer_adopted,
    offer_agents,
    offer_approvals,
    offer_delegators,
    offer_ids,
    offer_keys,
    offer_known,
    offer_leaks,
    offer_records,
    offer_tasks,
)

_APPLICATION_ID = 0x6A697464

_PATIENCE = 0.25
"""How many seconds a lock is waited for, and a query may take: somebody has pressed TAB and waits."""


def answer(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """Return the candidates, one a line, each perhaps with a tab and a description.

    The arguments are what to complete (ids, tasks, agents, records of agents, delegators, those who are known, keys,
    approvals, adopted secrets, leaks, kinds), the word so far, and the words before it. Whatever is wrong, there are no
    candidates: a TAB is no place for an error.
    """
    try:
        what, current, *words = arguments
        # No candidate can begin with what no name has.
        if len(current) > LONGEST_NAME or current.strip(NAME_CHARACTERS):
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
        if not is_name(candidate):
            continue
        # What begins like an option would be taken for one, unless one like it is being typed.
        odd = candidate.startswith("-") and not current.startswith("-")
        if candidate.startswith(current) and not odd and candidate not in used:
            found.setdefault(candidate, description)
            if len(found) == MOST:
                break
    return "".join(f"{name}\t{told}\n" if told else f"{name}\n" for name, told in found.items())


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
    # Like `jitid.system.files.check_private`; completion prints no errors.
    status = os.lstat(path)
    me = os.geteuid()
    if not of_its_sort(status.st_mode) or status.st_mode & 0o077 or (status.st_uid != me and me != 0):
        raise OSError("not private")


_CANDIDATES: dict[str, Callable[[sqlite3.Connection, str], Candidates]] = {
    "ids": offer_ids,
    "tasks": offer_tasks,
    "agents": offer_agents,
    "records": offer_records,
    "delegators": offer_delegators,
    "known": offer_known,
    "keys": offer_keys,
    "approvals": offer_approvals,
    "access": offer_access,
    "adopted": offer_adopted,
    "leaks": offer_leaks,
}

WHAT = tuple(_CANDIDATES)
"""What can be completed out of the ledger."""
