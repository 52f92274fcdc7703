"""Recorded answers to requests with an idempotency key: a caller repeats a request whose answer was lost."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from jitid.ledger.view import Store
from jitid.values import strict_json
from jitid.values.record import Record

REMEMBERED = 86_400
"""Seconds that an idempotency key is kept."""


ISSUED, RENEWED, GRANTED = "issue", "renew", "access"
"""The kinds of answers: new credentials, the successor of a credential, or access."""


class Answered(Record):
    """The recorded answer to a request with an idempotency key."""

    digest: bytes
    """The SHA-256 digest of the operation; each key belongs to one operation."""
    sort: str
    """`issue`, `renew` or `access`."""
    first: bytes
    """The 16 bytes of the first `jti`, or of the access credential."""
    last: bytes
    """The 16 bytes of the last one; the credentials of one transaction have ascending numbers between the two."""


class IdempotencyStore(Store):
    """The recorded answers of an SQL ledger, by caller and idempotency key."""

    def answered(self) -> Iterator[tuple[str, str, Answered, int]]:
        """Yield each recorded answer: the caller, the key, the answer, and its time."""
        for caller, key, *row, answered_at in self._db.execute(
            "SELECT caller, key, digest, sort, first, last, at FROM idempotency WHERE at > :since",
            {"since": self._now - REMEMBERED},
        ):
            yield caller, key, Answered(*row), answered_at

    def find(self, caller: str, key: str) -> Answered | None:
        """Return the answer to a caller under a key, if it is less than a day old."""
        row = self._db.execute(
            """SELECT digest, sort, first, last FROM idempotency
                WHERE caller = :caller AND key = :key AND at > :since""",
            {"caller": caller, "key": key, "since": self._now - REMEMBERED},
        ).fetchone()
        return None if row is None else Answered(*row)

    def remember(self, caller: str, key: str, answered: Answered) -> bool:
        """Record an answer; return False if another request has recorded one under this key meanwhile."""
        self._db.execute("DELETE FROM idempotency WHERE at <= :since", {"since": self._now - REMEMBERED})
        cursor = self._db.execute(
            """INSERT INTO idempotency (caller, key, digest, sort, first, last, at)
               VALUES (:caller, :key, :digest, :sort, :first, :last, :now) ON CONFLICT (caller, key) DO NOTHING""",
            {"caller": caller, "key": key, **answered._asdict(), "now": self._now},
        )
        return bool(cursor.rowcount == 1)

    def forget(self, caller: str, key: str) -> None:
        """Delete an answer, because another one replaces it."""
        self._db.execute(
            "DELETE FROM idempotency WHERE caller = :caller AND key = :key", {"caller": caller, "key": key}
        )

    def made(self, answered: Answered) -> list[bytes]:
        """Return the identities (16 bytes each) that received the credentials of an answer."""
        rows = self._db.execute(
            """SELECT i.uid FROM credential c CROSS JOIN identity i
                WHERE c.id >= (SELECT id FROM credential WHERE jti = :first)
                  AND c.id <= (SELECT id FROM credential WHERE jti = :last) AND i.id = c.identity
                ORDER BY c.id""",
            {"first": answered.first, "last": answered.last},
        )
        return [uid for (uid,) in rows]


def request_digest(caller: str, key: str, digest: bytes, kind: str) -> str:
    """Return the SHA-256 over a request and its idempotency key, in hex. The input is a canonical JSON array."""
    return sha256(strict_json.dumps([caller, key, digest.hex(), kind]).encode()).hexdigest()
