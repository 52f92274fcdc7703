"""Completion of ids and names from the ledger at a TAB, without loading the modules of the verbs.

The shells run `jitid __complete WHAT CURRENT [WORD…]`. After any error the answer is empty.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Mapping, Sequence

from jitid.capabilities.inventory.complete_store import (
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
"""Seconds that completion waits for a lock, and that a query may take: the user waits after pressing TAB."""


def answer(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """Return the candidates, one a line. A description may follow a candidate after a tab.

    The arguments are the type of candidate (a name of `CANDIDATE_TYPES`, or `kinds`), the current word, and the words
    before it. After any error there are no candidates, because a shell shows no errors at a TAB.
    """
    try:
        candidate_type, current, *words = arguments
        # A word with a character outside names is the prefix of no candidate.
        if len(current) > LONGEST_NAME or current.strip(NAME_CHARACTERS):
            return ""
        if candidate_type == "kinds":
            from jitid.cli.complete_kinds import kinds

            return _lines(kinds(_options(words), environ), current, ())
        candidates = _CANDIDATES[candidate_type]
        db = _opened(_ledger(_options(words), environ))
        # An id that is on the line already is not offered again.
        return _lines(candidates(db, current), current, words if candidate_type == "ids" else ())
    except Exception:  # noqa: BLE001 - the verb itself will report the error
        return ""


def _lines(candidates: Candidates, current: str, used: Sequence[str]) -> str:
    offered: dict[str, str] = {}
    for candidate, description in candidates:
        if not is_name(candidate):
            continue
        # A verb would read a candidate that begins with `-` as an option. It is offered only if the current word does
        # too.
        looks_like_option = candidate.startswith("-") and not current.startswith("-")
        if candidate.startswith(current) and not looks_like_option and candidate not in used:
            offered.setdefault(candidate, description)
            if len(offered) == MOST:
                break
    return "".join(f"{name}\t{text}\n" if text else f"{name}\n" for name, text in offered.items())


def _options(words: Sequence[str]) -> dict[str, str | None]:
    """Return the options of a line that choose the ledger and the configuration."""
    options: dict[str, str | None] = dict.fromkeys(("--ledger", "--remote", "--config", "--profile"))
    remaining = iter(words)
    for word in remaining:
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name in options:
            options[name] = value if equals else next(remaining, None)
    return options


def _ledger(options: Mapping[str, str | None], environ: Mapping[str, str]) -> str:
    """Return the folder of the ledger from the line, environment or configuration. Raises configuration errors."""
    if options["--remote"] or (environ.get("JITID_REMOTE") and not options["--ledger"]):
        raise LookupError("a remote authority is not queried at a TAB")
    ledger = options["--ledger"] or environ.get("JITID_LEDGER")
    if not ledger:
        from jitid.config.effective import load

        config = load(file=options["--config"], profile=options["--profile"], environ=environ)
        if config.remote is not None:
            raise LookupError("a remote authority is not queried at a TAB")
        ledger = config.ledger
    ledger = ledger.removeprefix("sqlite://")
    if ledger.startswith("~"):
        from jitid.config.settings import absolute

        ledger = absolute(ledger, "")
    return os.path.abspath(ledger)


def _opened(folder: str) -> sqlite3.Connection:
    """Return a read-only connection to a ledger with private permissions.

    Raises:
        OSError: the ledger is missing, or not private.
        sqlite3.Error: the file is not a database, or it is locked.

    """
    database = f"{folder}/ledger.db"
    log = f"{database}-wal"
    has_log = os.path.lexists(log)
    _check_private(folder, stat.S_ISDIR)
    for path in (database, log, f"{database}-shm"):
        if path == database or os.path.lexists(path):
            _check_private(path, stat.S_ISREG)
    escaped = database.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    # Without a write-ahead log no process writes, and SQLite would create a log even for a reader.
    mode = "mode=ro" if has_log else "immutable=1"
    db = sqlite3.connect(f"file://{escaped}?{mode}", uri=True, timeout=_PATIENCE, isolation_level=None)
    deadline = time.monotonic() + _PATIENCE
    # In an edited ledger a table may be a view whose query never finishes.
    db.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    db.execute("PRAGMA trusted_schema = OFF")
    if db.execute("PRAGMA application_id").fetchone() != (_APPLICATION_ID,):
        raise OSError("no ledger")
    return db


def _check_private(path: str, is_expected_type: Callable[[int], bool]) -> None:
    # Like `jitid.system.files.check_private`; completion prints no errors.
    status = os.lstat(path)
    own_uid = os.geteuid()
    if (
        not is_expected_type(status.st_mode)
        or status.st_mode & 0o077
        or (status.st_uid != own_uid and own_uid != 0)
    ):
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

CANDIDATE_TYPES = tuple(_CANDIDATES)
"""Types of candidates that come from the ledger."""
