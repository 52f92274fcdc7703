"""Queries and changes of the directory's delegators, in SQL for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from jitid.errors import IntegrityError
from jitid.ledger import select
from jitid.ledger.view import Store
from jitid.model.directory import Delegator, Holder, Ties
from jitid.model.task import SENSITIVITIES
from jitid.values.times import check_times

WITHOUT_NAMES = """SELECT d.id, d.name, d.sensitivity, d.scopes, d.manager, d.imported, d.added_at, d.disabled_at,
           d.external, d.disabled_last
      FROM delegator d"""
"""The columns of a delegator that the function `delegator` reads; groups and aliases are in other tables."""

_AT_ONCE = 500


def delegator(row: Any, groups: Iterable[str], aliases: Iterable[str]) -> Delegator:
    """Return a delegator from a row, their groups and their aliases.

    Raises IntegrityError if no ledger writes such a row.
    """
    key, name, sensitivity, scopes, manager, imported, added_at, disabled_at, external, disabled_last = row
    groups, aliases = list(groups), list(aliases)
    check_times(added_at, disabled_at, disabled_last)
    texts = (name, scopes or "", manager or "", external or "", *groups, *aliases)
    if (
        added_at is None
        or sensitivity not in SENSITIVITIES
        or not all(isinstance(text, str) for text in texts)
    ):
        raise IntegrityError("a delegator in the ledger has an invalid value", "run: jitid audit verify")
    # Sorted by code point: the order of the database depends on its collation.
    return Delegator(
        key,
        name,
        sensitivity,
        None if scopes is None else tuple(scopes.split()),
        tuple(sorted(groups)),
        manager,
        tuple(sorted(aliases)),
        bool(imported),
        added_at,
        disabled_at,
        external,
        disabled_last,
    )


class DelegatorStore(Store):
    """Queries about delegators, on a view of a SQL ledger."""

    def find_delegator(self, name: str) -> Delegator | None:
        """Return the delegator with this name or alias, with groups and aliases."""
        rows = self._db.execute(
            f"{WITHOUT_NAMES} WHERE d.id = (SELECT delegator FROM delegator_name WHERE name = :name)",
            {"name": name},
        ).fetchall()
        return next(iter(self._with_groups_and_aliases(rows)), None)

    def find_delegators(self, keys: Iterable[int]) -> Iterator[Delegator]:
        """Yield the delegators with these keys, with groups and aliases, in the order of their keys."""
        remaining = iter(sorted(keys))
        while chunk := list(islice(remaining, _AT_ONCE)):
            values: dict[str, Any] = {}
            placeholders = select.placeholders("key", chunk, values)
            rows = self._db.execute(
                f"{WITHOUT_NAMES} WHERE d.id IN ({placeholders}) ORDER BY d.id", values
            ).fetchall()
            yield from self._with_groups_and_aliases(rows)

    def delegators_named(self, names: Iterable[str]) -> dict[str, Delegator]:
        """Return the delegators with these names or aliases, by that name.

        Their aliases are left out, as in `DirectoryEntry`.
        """
        keys_by_name = dict(
            select.alike(self._db, "SELECT name, delegator FROM delegator_name WHERE name", names)
        )
        keys = set(keys_by_name.values())
        groups: dict[int, list[str]] = {}
        for key, name in select.alike(
            self._db, "SELECT delegator, name FROM delegator_group WHERE delegator", keys
        ):
            groups.setdefault(key, []).append(name)
        people = {
            row[0]: delegator(row, groups.get(row[0], ()), ())
            for row in select.alike(self._db, f"{WITHOUT_NAMES} WHERE d.id", keys)
        }
        return {name: people[key] for name, key in keys_by_name.items()}

    def delegators(
        self, *, group: str | None, disabled: bool | None, after: str | None, limit: int
    ) -> list[Delegator]:
        """Return delegators in the order of their names."""
        conditions = {
            "d.id IN (SELECT delegator FROM delegator_group WHERE name = :group)": group is not None,
            "d.disabled_at IS NOT NULL": disabled is True,
            "d.disabled_at IS NULL": disabled is False,
            "d.name > :after": after is not None,
        }
        where = "".join([f" AND {condition}" for condition, holds in conditions.items() if holds])
        rows = self._db.execute(
            f"{WITHOUT_NAMES} WHERE 1 = 1{where} ORDER BY d.name LIMIT :limit",
            {"group": group, "after": after, "limit": limit},
        ).fetchall()
        return self._with_groups_and_aliases(rows)

    def is_delegator(self, name: str) -> bool:
        """Return whether a delegator in the directory has that name or alias."""
        return self._view.once("is-delegator", name, lambda: self._is_delegator(name))

    def _is_delegator(self, name: str) -> bool:
        row = self._db.execute("SELECT 1 FROM delegator_name WHERE name = :name", {"name": name}).fetchone()
        return row is not None

    def own_name(self, name: str) -> str:
        """Return the own name of the delegator with this name or alias; an unknown name is returned unchanged."""
        return self._view.once("own-name", name, lambda: self._own_name(name))

    def _own_name(self, name: str) -> str:
        row = self._db.execute(
            "SELECT d.name FROM delegator_name n JOIN delegator d ON d.id = n.delegator WHERE n.name = :name",
            {"name": name},
        ).fetchone()
        return name if row is None else str(row[0])

    def names_of(self, name: str) -> tuple[str, ...]:
        """Return all names of the delegator with this name, their own name first; an unknown name alone."""
        own_name, *aliases = self.known_by(name)
        return (own_name, *(alias for alias in aliases if " " not in alias))

    def known_by(self, name: str) -> tuple[str, ...]:
        """Return the names like `names_of`, and the subjects of ID tokens that prove the delegator."""
        person = self.find_delegator(name)
        return (name,) if person is None else (person.name, *person.aliases)

    def holders(self, names: Iterable[str]) -> dict[str, Holder]:
        """Return the delegators with these names or aliases, by that name; unknown names are left out."""
        select.give(self._db, (), (), names=names)
        rows = self._db.execute(
            """SELECT n.name, d.id, d.name FROM given_name g CROSS JOIN delegator_name n CROSS JOIN delegator d
                WHERE n.name = g.name AND d.id = n.delegator"""
        )
        return {name: Holder(key, own_name) for name, key, own_name in rows}

    def known_outside(self, externals: Iterable[str]) -> dict[str, Holder]:
        """Return the delegators with these external ids, by id; unknown ids are left out."""
        select.give(self._db, (), (), names=externals)
        rows = self._db.execute(
            """SELECT d.external, d.id, d.name FROM given_name g CROSS JOIN delegator d
                WHERE d.external = g.name"""
        )
        return {external: Holder(key, own_name) for external, key, own_name in rows}

    def _with_groups_and_aliases(self, rows: Sequence[Any]) -> list[Delegator]:
        """Return delegators with their groups and aliases, which are read in batches."""
        groups: dict[int, list[str]] = {}
        aliases: dict[int, list[str]] = {}
        keys = iter([row[0] for row in rows])
        while chunk := list(islice(keys, _AT_ONCE)):
            values: dict[str, Any] = {}
            placeholders = select.placeholders("key", chunk, values)
            for table, into in (("delegator_group", groups), ("delegator_name", aliases)):
                for key, name in self._db.execute(
                    f"SELECT delegator, name FROM {table} WHERE delegator IN ({placeholders}) ORDER BY name",
                    values,
                ):
                    into.setdefault(key, []).append(name)
        return [
            delegator(
                row,
                groups.get(row[0], ()),
                [alias for alias in aliases.get(row[0], ()) if alias != row[1]],
            )
            for row in rows
        ]


def put_delegators(db: Any, delegators: Iterable[Delegator], event: int) -> None:
    """Record delegators; each replaces the row with its key."""
    people = list(delegators)
    known_keys = [(person.key,) for person in people if person.key]
    # All old rows are deleted first: a name may move from one delegator to another.
    for table, column in (
        ("delegator_group", "delegator"),
        ("delegator_name", "delegator"),
        ("delegator", "id"),
    ):
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", known_keys)
    (last_key,) = db.execute("SELECT coalesce(max(id), 0) FROM delegator").fetchone()
    last_key = max(last_key, max([person.key for person in people], default=0))
    numbered = []
    for person in people:
        if not person.key:
            last_key += 1
        numbered.append((person.key or last_key, person))
    db.executemany(
        """INSERT INTO delegator (id, name, sensitivity, scopes, manager, imported, external, added_at, disabled_at,
                                  event, disabled_last)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            (
                key,
                person.name,
                person.sensitivity,
                None if person.entitlements is None else " ".join(person.entitlements),
                person.manager,
                int(person.imported),
                person.external,
                person.added_at,
                person.disabled_at,
                event,
                # The time of the last disabling is kept, regardless of which change writes the row.
                person.disabled_last if person.disabled_at is None else person.disabled_at,
            )
            for key, person in numbered
        ),
    )
    db.executemany(
        "INSERT INTO delegator_name (name, delegator) VALUES (?, ?)",
        ((name, key) for key, person in numbered for name in (person.name, *person.aliases)),
    )
    db.executemany(
        "INSERT INTO delegator_group (delegator, name) VALUES (?, ?)",
        ((key, name) for key, person in numbered for name in person.groups),
    )


SUSPENDED_AS = "owner disabled"
WITHDRAWN = "withdrawn"
DISABLED = "disabled"

_ACTING = b'{"acting":"'
_LONGEST = 200
"""The number of bytes at the beginning of a request that contain the actor for certain."""

_GIVEN = "(SELECT name FROM given_name)"
_OWNED = f"owner IN {_GIVEN} AND suspended_at IS NULL AND unregistered_at IS NULL"
_WAITS = "ended_at IS NULL AND expires_at > :now"
_UNENDED = "ended_at IS NULL AND expires_at > :now AND (superseded_at IS NULL OR superseded_at > :now)"
_ACCESS = f"(name IN {_GIVEN} OR subject IN {_GIVEN}) AND {_UNENDED}"
# Only grants are withdrawn: a refusal stays in force after its approver has left.
_GRANTED = f"""approver IN {_GIVEN} AND granted = 1
    AND approval IN (SELECT id FROM approval WHERE {_WAITS})"""


def _requested_by(db: Any, names: Collection[str], now: int) -> str:
    """Return the SQL condition for open requests whose requester, delegator or actor has one of these names."""
    encoded_names = {name.encode() for name in names}
    # A request is canonical JSON, and may be long; `acting` is its first member.
    rows = db.execute(
        f"""SELECT id, substr(request, 1, {_LONGEST}) FROM approval
             WHERE {_WAITS} AND substr(request, 1, {len(_ACTING)}) = :acting""",
        {"now": now, "acting": _ACTING},
    ).fetchall()
    acting = [str(key) for key, head in rows if head[len(_ACTING) :].partition(b'"')[0] in encoded_names]
    # Old rows name a requester by the login alone.
    return f"""(delegator IN {_GIVEN} OR asked_by IN {_GIVEN} OR 'user:' || asked_by IN {_GIVEN}
        OR id IN ({", ".join(acting) or "NULL"})) AND {_WAITS}"""


class DepartureStore(Store):
    """Queries about delegators before they are disabled, on a view of a SQL ledger."""

    def imported_besides(self, keys: Iterable[int]) -> list[Holder]:
        """Return the imported delegators that are not disabled and have none of these keys, ordered by name."""
        select.give(self._db, (), (), delegators=keys)
        rows = self._db.execute(
            """SELECT d.id, d.name FROM delegator d
                WHERE d.imported = 1 AND d.disabled_at IS NULL
                  AND NOT EXISTS (SELECT 1 FROM given_delegator g WHERE g.delegator = d.id)
                ORDER BY d.name"""
        )
        return [Holder(*row) for row in rows]

    def live_credentials_of(self, subjects: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return, by `proved_subject`, the number of live credentials and their latest expiry.

        Only credentials count that were issued under another name, before the directory knew the subject.
        """
        return select.of_subjects(self._db, subjects, self._now) if subjects else {}

    def all_names(self, keys: Iterable[int]) -> list[str]:
        """Return all names and subjects of the delegators with these keys."""
        select.give(self._db, (), (), delegators=keys)
        rows = self._db.execute(
            """SELECT n.name FROM given_delegator g CROSS JOIN delegator_name n
                WHERE n.delegator = g.delegator ORDER BY n.name"""
        )
        return [name for (name,) in rows]

    def ties(self, names: Iterable[str]) -> Ties:
        """Return the total ties of the delegators with these names and subjects."""
        names = frozenset(names)
        select.give(self._db, (), (), names=names)
        values = {"now": self._now}
        (live,) = self._db.execute(
            f"""SELECT count(*) FROM (SELECT t.id FROM given_name g CROSS JOIN term t WHERE t.text = g.name) d
                 CROSS JOIN credential c WHERE c.delegator = d.id AND {select.LIVE}""",
            values,
        ).fetchone()
        live += select.count_by_subject(self._db, self._now)
        agents = self._db.execute(f"SELECT name FROM agent WHERE {_OWNED} ORDER BY name").fetchall()
        condition = _requested_by(self._db, names, self._now)
        (requests,) = self._db.execute(f"SELECT count(*) FROM approval WHERE {condition}", values).fetchone()
        (grants,) = self._db.execute(
            f"SELECT count(*) FROM approval_group WHERE {_GRANTED}", values
        ).fetchone()
        others = 0
        if agents:
            (others,) = self._db.execute(
                f"""SELECT count(*) FROM (SELECT id FROM agent WHERE {_OWNED}) r CROSS JOIN credential c
                     WHERE c.recurring = r.id AND {select.LIVE}
                       AND c.delegator NOT IN (SELECT t.id FROM given_name g CROSS JOIN term t
                                                WHERE t.text = g.name)""",
                values,
            ).fetchone()
        (access,) = self._db.execute(f"SELECT count(*) FROM access WHERE {_ACCESS}", values).fetchone()
        return Ties(live, tuple([name for (name,) in agents]), requests, grants, others, access)


def disable(db: Any, keys: Iterable[int], names: Sequence[str], ties: Ties, *, now: int, event: int) -> None:
    """Disable delegators, suspend their agents, and withdraw the grants, access and requests that `ties` counts."""
    select.give(db, (), (), names=names, delegators=keys)
    values = {"now": now, "event": event, "as": SUSPENDED_AS, "withdrawn": WITHDRAWN, "disabled": DISABLED}
    db.execute(
        """UPDATE delegator SET disabled_at = :now, disabled_last = :now, event = :event
            WHERE disabled_at IS NULL AND id IN (SELECT delegator FROM given_delegator)""",
        values,
    )
    if ties.agents:
        db.execute(
            f"UPDATE agent SET suspended_at = :now, suspended_as = :as, event = :event WHERE {_OWNED}", values
        )
    if ties.grants:
        db.execute(
            f"""UPDATE approval_group SET approver = NULL, proof = NULL, granted = NULL, decided_at = NULL,
                       expires_at = NULL, event = NULL
                 WHERE {_GRANTED}""",
            values,
        )
    if ties.access:
        db.execute(
            f"UPDATE access SET ended_at = :now, ended_as = :disabled, ended_event = :event WHERE {_ACCESS}",
            values,
        )
    if ties.requests:
        db.execute(
            f"""UPDATE approval SET ended_at = :now, ended_as = :withdrawn, ended_event = :event
                 WHERE {_requested_by(db, names, now)}""",
            values,
        )
