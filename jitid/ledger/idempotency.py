"""What was answered to a request that may come again, since its answer may be lost."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from jitid.values import strict_json

if TYPE_CHECKING:
    from jitid.ledger.view import View

REMEMBERED = 86_400
"""Seconds for which a key is known again."""


ISSUED, RENEWED, GRANTED = "issue", "renew", "access"
"""What an answer had: credentials, the successor of one, or access."""


class Answered(NamedTuple):
    """What a request came to under the key that its caller gave it."""

    digest: bytes
    """SHA-256 of the operation: under the same key there is no other."""
    sort: str
    """`issue`, `renew` or `access`."""
    first: bytes
    """The 16 bytes of the first `jti`, or of the access credential."""
    last: bytes
    """Those of the last `jti`: what one transaction makes follows one another."""


class IdempotencyStore:
    """The answers that a durable change of a ledger that speaks SQL remembers."""

    def __init__(self, view: View) -> None:
        self._db = view.db
        self._now = view.now

    def answered(self) -> Iterator[tuple[str, str, Answered, int]]:
        """Yield every answer that is remembered: the caller, their key, the answer, and its time."""
        for caller, key, *row, at in self._db.execute(
            "SELECT caller, key, digest, sort, first, last, at FROM idempotency WHERE at > :since",
            {"since": self._now - REMEMBERED},
        ):
            yield caller, key, Answered(*row), at

    def find(self, caller: str, key: str) -> Answered | None:
        """Return what was answered to a caller under a key, for a day."""
        row = self._db.execute(
            """SELECT digest, sort, first, last FROM idempotency
                WHERE caller = :caller AND key = :key AND at > :since""",
            {"caller": caller, "key": key, "since": self._now - REMEMBERED},
        ).fetchone()
        return None if row is None else Answered(*row)

    def remember(self, caller: str, key: str, answered: Answered) -> bool:
        """Remember an answer; return False if somebody else has answered under this key meanwhile."""
        self._db.execute("DELETE FROM idempotency WHERE at <= :since", {"since": self._now - REMEMBERED})
        done = self._db.execute(
            """INSERT INTO idempotency (caller, key, digest, sort, first, last, at)
               VALUES (:caller, :key, :digest, :sort, :first, :last, :now) ON CONFLICT (caller, key) DO NOTHING""",
            {"caller": caller, "key": key, **answered._asdict(), "now": self._now},
        )
        return bool(done.rowcount == 1)

    def forget(self, caller: str, key: str) -> None:
        """Forget an answer that another takes the place of."""
        self._db.execute(
            "DELETE FROM idempotency WHERE caller = :caller AND key = :key", {"caller": caller, "key": key}
        )

    def made(self, answered: Answered) -> list[bytes]:
        """Return the identities (16 bytes each) that an answer gave credentials to."""
        rows = self._db.execute(
            """SELECT i.uid FROM credential c CROSS JOIN identity i
                WHERE c.id >= (SELECT id FROM credential WHERE jti = :first)
                  AND c.id <= (SELECT id FROM credential WHERE jti = :last) AND i.id = c.identity
                ORDER BY c.id""",
            {"first": answered.first, "last": answered.last},
        )
        return [uid for (uid,) in rows]


def request_digest(caller: str, key: str, digest: bytes, sort: str) -> str:
    """Return SHA-256 over a request and the key by which its caller may repeat it, as hex: a canonical JSON array."""
    return sha256(strict_json.dumps([caller, key, digest.hex(), sort]).encode()).hexdigest()
