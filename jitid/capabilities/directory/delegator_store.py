"""The delegators of a ledger's directory, in SQL that SQLite and PostgreSQL both take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from jitid.errors import IntegrityError
from jitid.ledger import select
from jitid.model.delegator import Delegator
from jitid.model.directory import Holder
from jitid.model.task import SENSITIVITIES
from jitid.values.times import check_times

if TYPE_CHECKING:
    from jitid.ledger.view import View

WITHOUT_NAMES = """SELECT d.id, d.name, d.sensitivity, d.scopes, d.manager, d.imported, d.added_at, d.disabled_at,
           d.external, d.disabled_last
      FROM delegator d"""
"""A delegator as `delegator` takes one, but for groups and aliases."""

_AT_ONCE = 500


def delegator(row: Any, groups: Iterable[str], aliases: Iterable[str]) -> Delegator:
    """Return a delegator from a row, their groups and their aliases.

    Raises IntegrityError for one that no ledger writes.
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
        raise IntegrityError(
            "a delegator in the ledger holds what no ledger writes", "run: jitid audit verify"
        )
    # In the order of code points, whatever the database takes for order.
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


class DelegatorStore:
    """What a view of a ledger that speaks SQL answers about delegators."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._db = view.db
        self._now = view.now

    def find_delegator(self, name: str) -> Delegator | None:
        """Return the delegator who has that name or alias; whole, with their aliases."""
        rows = self._db.execute(
            f"{WITHOUT_NAMES} WHERE d.id = (SELECT delegator FROM delegator_name WHERE name = :name)",
            {"name": name},
        ).fetchall()
        return next(iter(self._whole(rows)), None)

    def find_delegators(self, keys: Iterable[int]) -> Iterator[Delegator]:
        """Yield the delegators with these keys, whole, in the order of their keys."""
        wanted = iter(sorted(keys))
        while chunk := list(islice(wanted, _AT_ONCE)):
            values: dict[str, Any] = {}
            among = select.placeholders("key", chunk, values)
            rows = self._db.execute(
                f"{WITHOUT_NAMES} WHERE d.id IN ({among}) ORDER BY d.id", values
            ).fetchall()
            yield from self._whole(rows)

    def delegators_named(self, names: Iterable[str]) -> dict[str, Delegator]:
        """Return who has each of these names or aliases, by that; without aliases, as in an entry."""
        found = dict(select.alike(self._db, "SELECT name, delegator FROM delegator_name WHERE name", names))
        keys = set(found.values())
        groups: dict[int, list[str]] = {}
        for key, name in select.alike(
            self._db, "SELECT delegator, name FROM delegator_group WHERE delegator", keys
        ):
            groups.setdefault(key, []).append(name)
        people = {
            row[0]: delegator(row, groups.get(row[0], ()), ())
            for row in select.alike(self._db, f"{WITHOUT_NAMES} WHERE d.id", keys)
        }
        return {name: people[key] for name, key in found.items()}

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
        return self._whole(rows)

    def is_delegator(self, name: str) -> bool:
        """Return whether a delegator in the directory has that name or alias."""
        return self._view.once("is-delegator", name, lambda: self._is_delegator(name))

    def _is_delegator(self, name: str) -> bool:
        row = self._db.execute("SELECT 1 FROM delegator_name WHERE name = :name", {"name": name}).fetchone()
        return row is not None

    def own_name(self, name: str) -> str:
        """Return the own name of the delegator who has that name or alias; an unknown one as it is."""
        return self._view.once("own-name", name, lambda: self._own_name(name))

    def _own_name(self, name: str) -> str:
        row = self._db.execute(
            "SELECT d.name FROM delegator_name n JOIN delegator d ON d.id = n.delegator WHERE n.name = :name",
            {"name": name},
        ).fetchone()
        return name if row is None else str(row[0])

    def names_of(self, name: str) -> tuple[str, ...]:
        """Return every name of the delegator who has that one, the first of them their own; an unknown one's alone."""
        own, *others = self.known_by(name)
        return (own, *(other for other in others if " " not in other))

    def known_by(self, name: str) -> tuple[str, ...]:
        """Return the same with the subjects of ID tokens that prove them."""
        found = self.find_delegator(name)
        return (name,) if found is None else (found.name, *found.aliases)

    def holders(self, names: Iterable[str]) -> dict[str, Holder]:
        """Return who has each of these names or aliases that somebody has."""
        select.give(self._db, (), (), names=names)
        rows = self._db.execute(
            """SELECT n.name, d.id, d.name FROM given_name g CROSS JOIN delegator_name n CROSS JOIN delegator d
                WHERE n.name = g.name AND d.id = n.delegator"""
        )
        return {name: Holder(key, own) for name, key, own in rows}

    def known_outside(self, externals: Iterable[str]) -> dict[str, Holder]:
        """Return who is called so by their source, for each of these ids that somebody has."""
        select.give(self._db, (), (), names=externals)
        rows = self._db.execute(
            """SELECT d.external, d.id, d.name FROM given_name g CROSS JOIN delegator d
                WHERE d.external = g.name"""
        )
        return {external: Holder(key, own) for external, key, own in rows}

    def _whole(self, rows: Sequence[Any]) -> list[Delegator]:
        """Return delegators with their groups and aliases, which are read for many at once."""
        groups: dict[int, list[str]] = {}
        aliases: dict[int, list[str]] = {}
        keys = iter([row[0] for row in rows])
        while chunk := list(islice(keys, _AT_ONCE)):
            values: dict[str, Any] = {}
            among = select.placeholders("key", chunk, values)
            for table, into in (("delegator_group", groups), ("delegator_name", aliases)):
                for key, name in self._db.execute(
                    f"SELECT delegator, name FROM {table} WHERE delegator IN ({among}) ORDER BY name", values
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
    """Record delegators as they are given, in the place of what was there under their key."""
    given = list(delegators)
    known = [(one.key,) for one in given if one.key]
    # All that was there goes first: a name may move from one to another.
    for table, column in (
        ("delegator_group", "delegator"),
        ("delegator_name", "delegator"),
        ("delegator", "id"),
    ):
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", known)
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM delegator").fetchone()
    last = max(last, max([one.key for one in given], default=0))
    numbered = []
    for one in given:
        if not one.key:
            last += 1
        numbered.append((one.key or last, one))
    db.executemany(
        """INSERT INTO delegator (id, name, sensitivity, scopes, manager, imported, external, added_at, disabled_at,
                                  event, disabled_last)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            (
                key,
                one.name,
                one.sensitivity,
                None if one.entitlements is None else " ".join(one.entitlements),
                one.manager,
                int(one.imported),
                one.external,
                one.added_at,
                one.disabled_at,
                event,
                # Being disabled is remembered, whoever writes the row.
                one.disabled_last if one.disabled_at is None else one.disabled_at,
            )
            for key, one in numbered
        ),
    )
    db.executemany(
        "INSERT INTO delegator_name (name, delegator) VALUES (?, ?)",
        ((name, key) for key, one in numbered for name in (one.name, *one.aliases)),
    )
    db.executemany(
        "INSERT INTO delegator_group (delegator, name) VALUES (?, ?)",
        ((key, name) for key, one in numbered for name in one.groups),
    )
