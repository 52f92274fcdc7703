"""Which rows are meant: selections and filters as set operations in portable SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any, NamedTuple

from jitid.ledger.dialect import dialect_of
from jitid.model.ledger_rows import Filter, Radius, Selection
from jitid.model.task import parse_task
from jitid.values.ids import parse_id

MANY = 50_000
"""From so many identities on, a pass over all rows is cheaper than looking them up."""

_AT_ONCE = 500
"""So many values one statement asks about."""

LIVE = "c.ended_at IS NULL AND c.expires_at > :now AND (c.superseded_at IS NULL OR c.superseded_at > :now)"
"""What has neither ended nor is due to be recorded as ended; `c` is a credential."""
DEATH = """(CASE WHEN c.ended_at IS NOT NULL THEN c.ended_at
    WHEN c.superseded_at IS NOT NULL AND c.superseded_at < c.expires_at THEN c.superseded_at ELSE c.expires_at END)"""
"""When a credential `c` died or will die, whether that is recorded or not."""

UNDER_AGENT = """CASE WHEN c.recurring IS NOT NULL OR i.id <= (
               SELECT CAST(value AS BIGINT) FROM setting WHERE name = 'agents_until') THEN 1 ELSE 0 END"""
"""Whether an identity `i` with a credential `c` stands under `/agent/` in SPIFFE ids: its agent is registered, or it is
from before those of others had a place of their own."""

IDENTITY_UNDER_AGENT = """CASE WHEN i.id <= (
               SELECT CAST(value AS BIGINT) FROM setting WHERE name = 'agents_until')
            OR EXISTS (SELECT 1 FROM credential n WHERE n.identity = i.id AND n.recurring IS NOT NULL)
            THEN 1 ELSE 0 END"""
"""The same for an identity `i` alone."""

SORTS: Sequence[str] = ("issued_at", "expires_at", "task", "agent", "delegator", "depth", "id")
"""What `list` can be sorted by; every order is completed by the order of issue."""

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
"""The credentials that were given by jti or fingerprint, also by that of a part, and the latest of each identity."""
BY_PUBLIC = """SELECT g.public, c.id FROM given_public g CROSS JOIN credential c
    WHERE substr(c.public, 1, 8) = substr(g.public, 1, 8) AND c.public = g.public
      AND (c.expires_at > :now OR c.id = (
          SELECT max(l.id) FROM credential l WHERE substr(l.public, 1, 8) = substr(g.public, 1, 8)
             AND l.public = g.public))
    ORDER BY c.id"""
"""Which credentials are for the keys that were given: those that have not run out, and of each key the latest one."""
_BY_TREE = """SELECT id FROM (
    WITH RECURSIVE above (id, parent) AS (
        SELECT i.id, i.parent FROM given_tree g JOIN identity i ON i.uid = g.uid
        UNION SELECT i.id, i.parent FROM above a JOIN identity i ON i.id = a.parent),
    below (id) AS (
        SELECT id FROM above WHERE parent IS NULL
        UNION SELECT i.id FROM below b JOIN identity i ON i.parent = b.id)
    SELECT id FROM below) AS tree"""
_ROOTS = "SELECT t.id FROM given_name g CROSS JOIN term t WHERE t.text = g.name"
"""The delegators that were given by name, of whom there may be many, as terms."""
# Depth bounds the walk: in a damaged ledger, edges may run in a circle.
_UNDER = """(SELECT id FROM (
    WITH RECURSIVE below (id, depth) AS (
        SELECT id, depth FROM identity WHERE uid = :under
        UNION ALL SELECT i.id, i.depth FROM below b JOIN identity i ON i.parent = b.id AND i.depth > b.depth)
    SELECT id FROM below) AS under_it)"""
_ONE_PERSON = """SELECT t.id FROM term t WHERE t.text = :delegator
    UNION SELECT t.id FROM delegator_name stated CROSS JOIN delegator_name n CROSS JOIN term t
     WHERE stated.name = :delegator AND n.delegator = stated.delegator AND t.text = n.name"""
"""The names of the delegator who has a name, as terms: also from before they were known to be one."""


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
    return {subject: (count, last) for subject, count, last in rows}


def count_theirs(db: Any, now: int) -> int:
    """Return the number of live credentials whose `proved_subject` is in `given_name`, but not their delegator."""
    (count,) = db.execute(
        f"""SELECT count(*) FROM ({_ROOTS}) d CROSS JOIN credential c
             WHERE c.proved_subject = d.id AND {LIVE} AND c.delegator NOT IN ({_ROOTS})""",
        {"now": now},
    ).fetchone()
    return int(count)


def placeholders(prefix: str, values: Sequence[Any], into: dict[str, Any]) -> str:
    """Return placeholders for values, which are put by their names into a dictionary."""
    names = []
    for number, value in enumerate(values):
        into[f"{prefix}{number}"] = value
        names.append(f":{prefix}{number}")
    return ", ".join(names)


def of_task(text: str, values: dict[str, Any], prefix: str = "task") -> str:
    """Return what gives the numbers of the tasks that a text names, as `IN` takes it; its values go into a dictionary.

    `OWNER/NAME` is one task. A bare name is that of every opener: whoever serves others says before whose is meant.
    """
    named = parse_task(text)
    values[f"{prefix}_name"] = named.name
    if named.opener is None:
        return f"(SELECT id FROM task WHERE name = :{prefix}_name)"
    values[f"{prefix}_opener"] = named.opener
    return f"""(SELECT id FROM task WHERE name = :{prefix}_name
                   AND opener = (SELECT id FROM term WHERE text = :{prefix}_opener))"""


def alike(db: Any, question: str, values: Iterable[Any]) -> Iterator[Any]:
    """Yield the rows that answer a question, which ends in the name of a column, for each of many values of that."""
    # A statement takes some thousands of values at most, and one that was asked before need not be parsed again.
    given = iter(values)
    while chunk := list(islice(given, _AT_ONCE)):
        chunk += chunk[:1] * (_AT_ONCE - len(chunk)) if len(chunk) > 1 else []
        yield from db.execute(f"{question} IN ({', '.join('?' * len(chunk))})", chunk)


def _task_keys(db: Any, texts: Iterable[str]) -> list[int]:
    """Return the numbers of the tasks that these texts name, of which there may be many."""
    texts = list(texts)
    bare = [text for text in texts if parse_task(text).opener is None]
    found = {int(key) for (key,) in alike(db, "SELECT id FROM task WHERE name", bare)}
    for text in texts:
        if parse_task(text).opener is not None:
            values: dict[str, Any] = {}
            found.update(int(key) for (key,) in db.execute(of_task(text, values)[1:-1], values))
    return sorted(found)


def _chosen(db: Any, selection: Selection, delegators: _Delegators | None) -> str:
    """Return the query for the identities that a selection names by several kinds of selectors: all must apply.

    The query reads the kind of selector that usually matches the fewest rows; the other kinds are conditions on those
    rows. A caller who revokes their own identities by task or agent therefore causes no read of other delegators' rows.
    Expired and revoked identities match too, since their descendants can be alive.
    """
    where = []
    # With `+ 0` a column has no index: named rows are looked up by their keys, never through a whole task or agent.
    plus = " + 0" if selection.ids or selection.fingerprints or selection.trees else ""
    if selection.tasks:
        where.append(f"i.task{plus} IN ({_numbers(_task_keys(db, selection.tasks))})")
    if selection.agents:
        where.append(f"i.agent{plus} IN ({_numbers(_keys(db, 'term WHERE text', selection.agents))})")
    indexed = bool(where)
    signed = f"c.signed_by IN ({_numbers(_keys(db, 'signing_key WHERE kid', selection.kids))})"
    if selection.kids:
        where.append(f"EXISTS (SELECT 1 FROM credential c WHERE c.identity = i.id AND {signed})")
    named = [
        _whole(query)
        for query, given in (
            (_BY_ID, selection.ids),
            (_BY_PRINT, selection.fingerprints),
            (_BY_TREE, selection.trees),
        )
        if given
    ]
    if named:
        if delegators is not None:
            where.append(delegators.condition())
        return _among(" INTERSECT ".join(named), where)
    if delegators is not None:
        return delegators.all(where) if indexed else _among(delegators.all(), where)
    if indexed:
        return f"SELECT i.id FROM identity i WHERE {' AND '.join(where)}"
    return f"SELECT c.identity FROM credential c WHERE {signed}"


def _keys(db: Any, question: str, values: Iterable[str]) -> list[int]:
    return sorted(int(key) for (key,) in alike(db, f"SELECT id FROM {question}", values))


def _numbers(keys: Iterable[int]) -> str:
    """Return what `IN` takes: of a number that is written out, a planner knows how many rows have it."""
    return ", ".join(map(str, keys)) or "NULL"


def _among(query: str, where: Sequence[str]) -> str:
    return f"""SELECT i.id FROM ({query}) AS f CROSS JOIN identity i
               WHERE {" AND ".join(("i.id = f.id", *where))}"""


def _whole(query: str) -> str:
    return f"""SELECT id FROM (SELECT 0 AS id WHERE 0 = 1 UNION ALL SELECT * FROM ({query}) AS some_of) AS found
                WHERE 1 = 1"""


class _Delegators(NamedTuple):
    """Root delegators and agents that delegated: numbers of terms, as `IN` takes them, or nothing where none is."""

    roots: str
    subjects: bool
    """Whether subjects of ID tokens are among the roots."""
    agents: str

    def living(self) -> str:
        """Return the query for the identities of theirs that can be ended.

        All below an identity has the same root delegator: the index on the living finds all of theirs.
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
        return _whole(" UNION ALL ".join(parts))

    def all(self, where: Sequence[str] = ()) -> str:
        """Return the query for all identities of theirs, dead or alive.

        `where` are conditions on an identity `i`, of which an index has the task or the agent beside the delegator.
        """
        more = "".join(f" AND {condition}" for condition in where)
        parts = []
        if self.roots and where:
            parts.append(f"SELECT i.id FROM identity i WHERE i.delegator IN ({self.roots}){more}")
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
                     WHERE c.proved_subject IN ({self.roots}) AND i.id = c.identity{more}"""
            )
        if self.agents:
            parts.append(self._delegated() + more)
        return _whole(" UNION ALL ".join(parts))

    def condition(self) -> str:
        """Return the same as a condition on an identity `i`: with another selector, a query would read too many."""
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
    """Fill the temporary tables of what is asked about, and empty the others."""
    dialect = dialect_of(db)
    dialect.temporaries(db, _TEMPORARY)
    parsed = [parse_id(text) for text in ids]
    for table, values in (
        ("given_uid", [raw for sort, raw in parsed if sort == "jid"]),
        ("given_jti", [raw for sort, raw in parsed if sort == "jti"]),
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
    """Fill the temporary table `doomed` with the selection and all below it; return how many it names itself."""
    names = [name for name in selection.delegators if not name.startswith("agent:")]
    roots = _keys(db, "term WHERE text", names)
    give(db, selection.ids, selection.fingerprints, delegators=roots)
    for text in selection.trees:
        sort, raw = parse_id(text)
        db.execute(
            "INSERT INTO given_tree VALUES (:raw) ON CONFLICT DO NOTHING"
            if sort == "jid"
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
    few = selection.ids or selection.fingerprints or selection.trees or selection.delegators
    with dialect_of(db).by_index(db) if few else nullcontext():
        if selection._replace(delegators=()) != Selection():
            matched = _doom(db, _chosen(db, selection, delegators if selection.delegators else None))
        else:
            matched = _doom(db, delegators.living()) or _doom(db, delegators.all())
    _doom_below(db)
    return matched


def _doom(db: Any, query: str) -> int:
    count: int = db.execute(f"INSERT INTO doomed {query} ON CONFLICT DO NOTHING").rowcount
    return count


def doom(db: Any, identities: Iterable[int]) -> int:
    """Fill the temporary table `doomed` with these identities and all below them; return how many that are."""
    give(db, (), (), identities)
    db.execute("INSERT INTO doomed SELECT identity FROM given_identity")
    _doom_below(db)
    (count,) = db.execute("SELECT count(*) FROM doomed").fetchone()
    return int(count)


def _doom_below(db: Any) -> None:
    dialect = dialect_of(db)
    # Without statistics, PostgreSQL expects thousands of rows and reads all live credentials.
    dialect.counted(db, "doomed")
    # Through dead intermediates too: every parent edge is walked, liveness filters only the final update.
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
    """Return what the identities in `doomed` come to at `now`; what has expired is dead, recorded or not."""
    # Costs the start of `issue`, which ends nothing.
    from jitid.ledger.accepted_until import AT_TARGET, SIGNED

    (identities,) = db.execute("SELECT count(*) FROM doomed").fetchone()
    # The dead count too: whatever ended a signed one, a verifier may accept it until it expires.
    # Most ledgers have nothing at targets, and then millions of credentials are not looked up there.
    outside = db.execute("SELECT 1 FROM outside LIMIT 1").fetchone() is not None
    at_target = f"(SELECT {AT_TARGET} FROM outside o WHERE o.credential = c.id)" if outside else "NULL"
    live, tasks, delegators, offline, signed, death, until, settled = db.execute(
        f"""SELECT count(CASE WHEN {LIVE} THEN 1 END), count(DISTINCT CASE WHEN {LIVE} THEN c.task END),
                   count(DISTINCT CASE WHEN {LIVE} THEN c.delegator END),
                   max(CASE WHEN {LIVE} AND c.claims_hash IS NOT NULL THEN c.expires_at + 0 END),
                   count(CASE WHEN {LIVE} THEN c.claims_hash END), max({DEATH}),
                   max({SIGNED}), max({at_target})
              FROM {doomed_credentials(identities)}""",
        {"now": now},
    ).fetchone()
    refused = None if live or death is None else min(death, now)
    return Radius(
        *(matched, identities, live, tasks, delegators, offline, signed, refused),
        accepted_until=None if until is None else int(until),
        at=now,
        at_targets=None if settled is None else int(settled),
    )


def measure_together(db: Any, selections: Iterable[Selection], now: int) -> Radius:
    """Return what the selections and all below them come to together."""
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
    """Return tables and condition that give the credentials `c` of so many doomed identities.

    Which of the two tables comes first is said here, since no planner knows how long a temporary table is: few
    are looked up one by one, many are met on one pass over all credentials.
    """
    first = "doomed d CROSS JOIN credential c" if identities < MANY else "credential c CROSS JOIN doomed d"
    return f"{first} WHERE c.identity = d.identity"


def conditions(chosen: Filter, now: int) -> tuple[list[str], dict[str, Any], bool]:
    """Return the conditions of a filter, their values, and whether an index finds the few rows that can match."""
    where = ["1 = 1"]
    values: dict[str, Any] = {"now": now}

    def must(condition: str, name: str, value: Any) -> None:
        if value is not None:
            where.append(condition)
            values[name] = value

    if chosen.task is not None:
        where.append(f"i.task IN {of_task(chosen.task, values)}")
    if chosen.under is not None:
        where.append(f"i.id IN {_UNDER}")
        values["under"] = parse_id(chosen.under)[1]
    must("i.agent = (SELECT id FROM term WHERE text = :agent)", "agent", chosen.agent)
    if chosen.delegator is not None and chosen.delegator.startswith("agent:"):
        must("pa.text = :delegator", "delegator", chosen.delegator.removeprefix("agent:"))
    else:
        must(f"c.delegator IN ({_ONE_PERSON})", "delegator", chosen.delegator)
    must("c.kind = :kind", "kind", chosen.kind)
    must("i.sensitivity = :sensitivity", "sensitivity", chosen.sensitivity)
    must("i.proof = :proof", "proof", chosen.delegator_proof)
    must("t.purpose = :purpose", "purpose", chosen.purpose)
    must(among("c.scopes", "scope"), "scope", chosen.scope)
    must(among("au.text", "audience"), "audience", chosen.audience)
    must("i.depth = :depth", "depth", chosen.depth)
    must("k.kid = :kid", "kid", chosen.signed_by)
    must("c.issued_at >= :issued_since", "issued_since", chosen.issued_since)
    must("c.issued_at < :issued_until", "issued_until", chosen.issued_until)
    must("c.expires_at < :expires_before", "expires_before", chosen.expires_before)
    must("c.expires_at >= :expires_after", "expires_after", chosen.expires_after)
    if chosen.id is not None:
        sort, raw = parse_id(chosen.id)
        must("c.jti = :own_id" if sort == "jti" else "i.uid = :own_id", "own_id", raw)
    if chosen.parent is not None:
        must("p.uid = :parent_id", "parent_id", parse_id(chosen.parent)[1])
    if chosen.live or chosen.state == "active":
        where.append(f"{LIVE} AND c.fingerprint IS NOT NULL")
    if chosen.bound:
        where.append("c.identity IN (SELECT identity FROM process)")
    if chosen.unsettled:
        # Few are, however many there ever were: the index on those that are not settled finds them.
        where.append(f"NOT ({LIVE}) AND c.id IN (SELECT credential FROM outside WHERE settled_at IS NULL)")
    if chosen.state == "pending":
        where.append(f"{LIVE} AND c.fingerprint IS NULL")
    elif chosen.state == "expired":
        due = "c.ended_at IS NULL AND c.expires_at <= :now AND (c.superseded_at IS NULL OR c.superseded_at > :now)"
        where.append(f"(c.ended_as = 'expired' OR ({due}))")
    elif chosen.state == "superseded":
        where.append("(c.ended_as = 'superseded' OR (c.ended_at IS NULL AND c.superseded_at <= :now))")
    elif chosen.state not in (None, "active"):
        must("c.ended_as = :state", "state", chosen.state)
    selective = bool(
        chosen.task
        or chosen.under
        or chosen.agent
        or chosen.id
        or chosen.parent
        or chosen.bound
        or chosen.unsettled
        or (chosen.delegator and chosen.live)
    )
    return where, values, selective


def among(column: str, name: str) -> str:
    """Return the condition that a value is one of the words of a column, letter by letter (LIKE would not see case)."""
    return f"replace(' ' || {column} || ' ', ' ' || :{name} || ' ', '') <> ' ' || {column} || ' '"


_LAST_LEAK = (1 << 63) - 1


def bounds(event: Mapping[str, Any]) -> dict[str, int]:
    """Return the `first` and the `last` number of what an event proved: of an early one, which has none, all."""
    return {"first": event.get("first", 0), "last": event.get("last", _LAST_LEAK)}


class Gone(NamedTuple):
    """Which leaks do not count any more: of identities in a table, if they were closed and proved before a time."""

    table: str
    before: int


KEPT = Gone("", 0)
"""None of them."""


def left(without: Gone) -> str:
    """Return the condition that a leak is not gone, of `l` and its credential `c`; it needs the value `:leaks`."""
    if not without.table:
        return "(1 = 1 OR :leaks = 0)"
    return f"NOT ({OVER} AND EXISTS (SELECT 1 FROM {without.table} w WHERE w.identity = c.identity))"


OVER = "l.closed_at IS NOT NULL AND l.closed_at < :leaks AND l.proved_at IS NOT NULL AND l.proved_at < :leaks"
"""What leaks must be to go: closed, and proved refused, for longer than evidence is kept."""
