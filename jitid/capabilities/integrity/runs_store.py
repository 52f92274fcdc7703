"""Credentials of one event with consecutive numbers: their common values and separate values, in few queries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jitid.ledger.dialect import dialect_of

OF_CREDENTIAL = (
    *(
        "expires_at",
        "issued_at",
        "scopes",
        "kind",
        "template",
        "may_kind",
        "may_audience",
        "may_act",
        "details",
    ),
    *("signed_by", "task", "delegator", "audiences", "proved_subject", "source"),
)
OF_IDENTITY = ("task", "delegator", "agent", "depth", "proof", "sensitivity", "parent", "source")
"""The columns that are equal in all credentials of one event, and in their identities."""

# Outer joins from the credential: SQLite then looks up each number in the table that it numbers.
_ALIKE = f"""SELECT {", ".join(f"c.{column}" for column in OF_CREDENTIAL)},
                    {", ".join(f"i.{column}" for column in OF_IDENTITY)}, c.identity, c.line, p.uid,
                    t.name, t.opener, t.given_event, q.jti, q.proved_subject,
                    r.host, r.boot, r.namespace, r.pid, r.started, r.kept
               FROM credential c LEFT JOIN identity i ON i.id = c.identity LEFT JOIN task t ON t.id = i.task
                    LEFT JOIN process r ON r.identity = c.identity LEFT JOIN identity p ON p.id = i.parent
                    LEFT JOIN credential q ON q.id = coalesce(c.source, i.source)
              WHERE c.id = :key"""
_ALL_ALIKE = """FROM credential c CROSS JOIN identity i
    WHERE c.id BETWEEN ? AND ? AND c.event = ? AND i.id = c.identity + 0 AND coalesce(c.line, c.id) = c.id"""
# Only bytes are greater than or equal to empty bytes: NULL, or text that an editor left, is not.
_PLAIN = """c.jti >= ? AND length(c.jti) = 16 AND c.fingerprint >= ? AND length(c.fingerprint) = 32
    AND i.uid >= ? AND length(i.uid) = 16
    AND (c.claims_hash IS NULL OR c.claims_hash >= ? AND length(c.claims_hash) = 32)"""
_NO_BYTES = (b"",) * 4


@lru_cache(maxsize=64)
def _equal(absent: tuple[bool, ...]) -> str:
    """Return the condition that the common columns have certain values, or NULL."""
    columns = [*(f"c.{column}" for column in OF_CREDENTIAL), *(f"i.{column}" for column in OF_IDENTITY)]
    return " AND ".join(
        f"{column} IS NULL" if is_absent else f"{column} = ?"
        for column, is_absent in zip(columns, absent, strict=True)
    )


class Run(NamedTuple):
    """Credentials of one event that are alike; the values of all are joined in the order of their numbers."""

    length: int
    jtis: bytes | None
    """None if there is no credential."""
    prints: bytes | None
    """The fingerprints."""
    uids: bytes | None
    """The raw ids of the identities."""
    claims: bytes | None
    """The hashes of the signed claims, for credentials that have one."""


def one(db: Any, key: int) -> tuple[Any, ...] | None:
    """Return the members of `AlikeRows` for a credential; None if none has that number."""
    row = db.execute(_ALIKE, {"key": key}).fetchone()
    return None if row is None else tuple(row)


def count(db: Any, first_key: int, last_key: int, event: int, alike: Sequence[Any], spared: str) -> int:
    """Return the number of credentials that are alike, for `RowStore.count_alike`; `spared` is a condition on each."""
    values = [value for value in alike if value is not None]
    row = db.execute(
        f"SELECT count(*) {_ALL_ALIKE} AND {_equal(_absent(alike))} AND {spared}",
        (first_key, last_key, event, *values),
    ).fetchone()
    return int(row[0])


def whole(db: Any, first_key: int, last_key: int, event: int, alike: Sequence[Any], spared: str) -> Run:
    """Return these credentials as a whole, without rows that lack bytes or have bytes of another length."""
    joined = dialect_of(db).joined_bytes
    values = [value for value in alike if value is not None]
    row = db.execute(
        f"""SELECT count(*), {joined("c.jti", "c.id")}, {joined("c.fingerprint", "c.id")},
                   {joined("i.uid", "c.id")}, {joined("c.claims_hash", "c.id")}
              {_ALL_ALIKE} AND {_equal(_absent(alike))} AND {_PLAIN} AND {spared}""",
        (first_key, last_key, event, *values, *_NO_BYTES),
    ).fetchone()
    return Run(*row)


def _absent(alike: Sequence[Any]) -> tuple[bool, ...]:
    return tuple([value is None for value in alike])
