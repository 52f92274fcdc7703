"""Access credentials of callers, in SQL for SQLite and PostgreSQL.

And marks of presented foreign tokens: each is accepted only from its first presenter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from jitid.errors import ConflictError, IntegrityError
from jitid.ledger import select
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store
from jitid.model.access import ASSERTION_LEEWAY, Access, AccessState, PresentedAccess
from jitid.values import strict_json
from jitid.values.ids import access_id, parse_access_id
from jitid.values.record import Record
from jitid.values.times import check_times

_COLUMNS = """a.uid, a.name, a.roles, a.fingerprint, a.public, a.issued_at, a.expires_at, a.superseded_at, a.ended_at,
       a.ended_as, a.bootstrap, a.predecessor, a.event, a.ended_event, a.audiences,
       a.subject, a.proved_at, a.holder"""
_ACCESS = f"SELECT {_COLUMNS} FROM access a"
_PRESENTED = f"""
    SELECT {_COLUMNS},
           CASE WHEN EXISTS (SELECT 1 FROM delegator_name n CROSS JOIN delegator d
                              WHERE n.name IN (a.name, a.subject) AND d.id = n.delegator AND d.disabled_at IS NOT NULL)
                THEN 1 ELSE 0 END, e.body
      FROM access a LEFT JOIN audit_event e ON e.seq = a.event"""
_BEFORE = "a.event < (SELECT event FROM access WHERE uid = :after)"
_LIVE = """a.ended_at IS NULL AND a.expires_at > :now
       AND (a.superseded_at IS NULL OR a.superseded_at > :now)"""


class AccessStore(Store):
    """Queries about access, on a view of a SQL ledger."""

    def find(self, uid: bytes) -> Access | None:
        """Return the access credential with that id (16 bytes)."""
        return self._view.once("access-id", uid, lambda: self._find(uid))

    def _find(self, uid: bytes) -> Access | None:
        row = self._db.execute(f"{_ACCESS} WHERE a.uid = :uid", {"uid": uid}).fetchone()
        return None if row is None else _access(row)

    def presented(self, fingerprint: bytes) -> PresentedAccess | None:
        """Return the access credential whose access token has that fingerprint."""
        return self._view.once("access", fingerprint, lambda: self._presented(fingerprint))

    def _presented(self, fingerprint: bytes) -> PresentedAccess | None:
        rows = self._db.execute(f"{_PRESENTED} WHERE a.fingerprint = :print", {"print": fingerprint})
        row = rows.fetchone()
        return None if row is None else _presented(row)

    def presented_id(self, uid: bytes) -> PresentedAccess | None:
        """Return the access credential with that id (16 bytes), as if it was presented."""
        row = self._db.execute(f"{_PRESENTED} WHERE a.uid = :uid", {"uid": uid}).fetchone()
        return None if row is None else _presented(row)

    def access_tokens(self, fingerprints: Iterable[bytes]) -> set[bytes]:
        """Return which of these fingerprints belong to access tokens, valid or not."""
        select.give(self._db, (), fingerprints)
        rows = self._db.execute(
            "SELECT a.fingerprint FROM access a CROSS JOIN given_print g WHERE g.fingerprint = a.fingerprint"
        )
        return {print_ for (print_,) in rows.fetchall()}

    def keys_of(self, name: str) -> list[PresentedAccess]:
        """Return the live access credentials with a key and that name, or that id."""
        column, value = ("a.uid", parse_access_id(name)) if name.startswith("acc_") else ("a.name", name)
        rows = self._db.execute(
            f"{_PRESENTED} WHERE {column} = :value AND a.public IS NOT NULL AND {_LIVE} ORDER BY a.uid",
            {"value": value, "now": self._now},
        )
        return [_presented(row) for row in rows]

    def some(self, *, live: bool, name: str | None, after: str | None, limit: int) -> list[Access]:
        """Return access credentials, the newest first; with `name`, only of that name."""
        conditions = {_LIVE: live, "a.name = :name": name is not None, _BEFORE: after is not None}
        where = " AND ".join(["1 = 1", *(condition for condition, holds in conditions.items() if holds)])
        values = {
            "now": self._now,
            "name": name,
            "after": None if after is None else parse_access_id(after),
            "limit": limit,
        }
        rows = self._db.execute(f"{_ACCESS} WHERE {where} ORDER BY a.event DESC LIMIT :limit", values)
        return [_access(row) for row in rows]

    def logins_of(self, holder: str, *, ended: bool = False) -> list[PresentedAccess]:
        """Return the live logins of a system user, as `LOGIN+HASH@HOST`, the newest first; with `ended`, all."""
        rows = self._db.execute(
            f"{_PRESENTED} WHERE a.holder = :holder {'' if ended else f'AND {_LIVE}'} ORDER BY a.event DESC",
            {"holder": holder, "now": self._now},
        )
        return [_presented(row) for row in rows]

    def all(self) -> Iterator[Access]:
        """Yield every access credential, in the order in which they were granted."""
        return map(_access, self._db.execute(f"{_ACCESS} ORDER BY a.event"))

    def assertions(self) -> Iterator[tuple[str, str, int]]:
        """Yield the marks of used assertions: client, id of the assertion, and its expiry."""
        yield from self._db.execute("SELECT client, jti, until FROM assertion")


class AccessChanges(Changes, AccessStore):
    """Changes to access in a transaction on a SQL ledger."""

    def add(self, access: Access) -> None:
        """Record an access credential."""
        self._transaction.alone()
        self._db.execute(
            """INSERT INTO access (uid, name, roles, fingerprint, public, issued_at, expires_at, bootstrap, predecessor,
                                   event, audiences, subject, proved_at, holder)
               VALUES (:uid, :name, :roles, :fingerprint, :public, :issued_at, :expires_at, :bootstrap, :predecessor,
                       :event, :audiences, :subject, :proved_at, :holder)""",
            {
                "uid": parse_access_id(access.id),
                "name": access.name,
                "roles": " ".join(access.roles),
                "fingerprint": access.fingerprint,
                "public": access.public,
                "issued_at": access.issued_at,
                "expires_at": access.expires_at,
                "bootstrap": access.bootstrap,
                "predecessor": None if access.predecessor is None else parse_access_id(access.predecessor),
                "event": self._transaction.next_seq(),
                "audiences": None if access.audiences is None else " ".join(access.audiences),
                "subject": access.subject,
                "proved_at": access.proved_at,
                "holder": access.holder,
            },
        )

    def supersede(self, id_: str, ends_at: int) -> None:
        """Record that an access credential has a successor, and ends at `ends_at`."""
        self._transaction.alone()
        self._db.execute(
            """UPDATE access SET superseded_at = :at
                WHERE uid = :uid AND ended_at IS NULL AND (superseded_at IS NULL OR superseded_at > :at)""",
            {"at": ends_at, "uid": parse_access_id(id_)},
        )

    def end(self, ids: Iterable[str], state: AccessState) -> int:
        """Record the end of the access credentials that have not ended; return their number."""
        self._transaction.alone()
        seq = self._transaction.next_seq()
        ended = 0
        for id_ in ids:
            cursor = self._db.execute(
                """UPDATE access SET ended_at = :now, ended_as = :state, ended_event = :event
                    WHERE uid = :uid AND ended_at IS NULL""",
                {"now": self._now, "state": state.value, "event": seq, "uid": parse_access_id(id_)},
            )
            ended += cursor.rowcount
        return ended

    def use_assertion(self, client: str, jti: str, until: int) -> bool:
        """Record until its expiry that a client's assertion was used; return False if it was used before."""
        self._transaction.alone()
        # The mark is kept for a leeway: a verifier may accept an assertion shortly after its expiry.
        self._db.execute("DELETE FROM assertion WHERE until < :past", {"past": self._now - ASSERTION_LEEWAY})
        cursor = self._db.execute(
            """INSERT INTO assertion (client, jti, until) VALUES (:client, :jti, :until)
               ON CONFLICT (client, jti) DO NOTHING""",
            {"client": client, "jti": jti, "until": until},
        )
        return bool(cursor.rowcount == 1)


def _presented(row: Any) -> PresentedAccess:
    *columns, departed, event = row
    return PresentedAccess(_access(columns), departed, event)


def _access(row: Any) -> Access:
    uid, name, roles, *columns, predecessor, event, ended_event, audiences, subject, proved_at, holder = row
    try:
        predecessor_id = None if predecessor is None else access_id(predecessor)
        audience_names = None if audiences is None else tuple(audiences.split())
        access = Access._make(
            (
                access_id(uid),
                name,
                tuple(roles.split()),
                *columns,
                predecessor_id,
                event,
                ended_event,
                audience_names,
                subject,
                proved_at,
                holder,
            )
        )
        check_times(
            access.issued_at, access.expires_at, access.superseded_at, access.ended_at, access.proved_at
        )
        if access.ended_as is not None:
            AccessState(access.ended_as)
    except (AttributeError, TypeError, ValueError) as error:
        raise IntegrityError(
            "an access credential in the ledger has an invalid value", "run: jitid audit verify"
        ) from error
    return access


def assertion_digest(client: str, jti: str, until: int) -> str:
    """Return SHA-256 over the mark of a used assertion, as hex: over a canonical JSON array."""
    return sha256(strict_json.dumps([client, jti, until]).encode()).hexdigest()


REMEMBERED = 86_400
"""Seconds for which a mark is kept after its token has expired; a clock further behind needs --accept-clock."""

MARK = b'"presented":['
"""Bytes that every event with marks contains, and no other event: inside a text the quotes would be escaped."""


class Presentation(Record):
    """One use of a foreign token by a caller."""

    token: bytes
    """SHA-256 that identifies the token: of its issuer with its `jti`, or with the text that the issuer signed."""
    presenter: str
    until: int
    """When the token expires; seconds since the epoch."""

    @property
    def digest(self) -> str:
        """The digest of the mark in the audit event of the first use."""
        fields = [self.token.hex(), self.presenter, self.until]
        return sha256(strict_json.dumps(fields).encode()).hexdigest()


class PresentedStore(Store):
    """The marks of presented tokens, in a view of a SQL ledger."""

    def presenter(self, token: bytes) -> str | None:
        """Return the first presenter of a token; None if it was not presented yet."""
        return self._view.once("presented", token, lambda: self._presenter(token))

    def _presenter(self, token: bytes) -> str | None:
        row = self._db.execute(
            "SELECT presenter FROM presented WHERE token = :token", {"token": token}
        ).fetchone()
        return None if row is None else row[0]

    def all(self) -> Iterator[tuple[Presentation, int]]:
        """Yield every mark with the number of the event that recorded it, in the order of these numbers."""
        for *mark, event in self._db.execute(
            "SELECT token, presenter, until, event FROM presented ORDER BY event, token"
        ):
            yield Presentation(*mark), event


class PresentedChanges(Changes, PresentedStore):
    """Records that tokens were presented."""

    def present(self, presentation: Presentation) -> bool:
        """Record with the next event that a foreign token was presented; return False if another caller did before."""
        presenter = self.presenter(presentation.token)
        if presenter is None:
            self._transaction.with_next("presented", presentation, self._record)
        return presenter in (None, presentation.presenter)

    def _record(self, presentations: list[Presentation]) -> list[list[str | int]]:
        """Write the marks of the tokens that the next event records; return the event's content.

        Raises ConflictError if another transaction has recorded one of them meanwhile.
        """
        seq = self._transaction.next_seq()
        marks = {mark.token: mark for mark in presentations}.values()
        for mark in marks:
            if not self.add(mark, seq, self._transaction.now):
                raise ConflictError(
                    "the same token from another issuer is presented twice at once; nothing was changed",
                    "repeat the command",
                )
        return [[mark.digest, mark.until] for mark in marks]

    def add(self, mark: Presentation, event: int, now: int) -> bool:
        """Record a mark; return False if another transaction has recorded the token meanwhile."""
        self._db.execute("DELETE FROM presented WHERE until < :past", {"past": now - REMEMBERED})
        cursor = self._db.execute(
            """INSERT INTO presented (token, presenter, until, event) VALUES (:token, :presenter, :until, :event)
               ON CONFLICT (token) DO NOTHING""",
            {**mark._asdict(), "event": event},
        )
        return bool(cursor.rowcount == 1)


class PresentedMembers:
    """Compares the marks with the audit events that recorded them."""

    def __init__(self, presented: PresentedStore, now: int) -> None:
        self._presented = presented
        self._recorded: dict[int, dict[str, int]] = {}
        """By event: the digests of its marks, with the expiry of each token."""
        self._latest = now
        """The latest time that the ledger had: its clock may have been set back."""

    def clock(self, event: Mapping[str, Any]) -> None:
        """Update the latest time from an event that accepted a clock."""
        self._latest = max(self._latest, event["at"] - event["jump"])

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Collect the marks of an event that recorded some."""
        try:
            self._recorded[seq] = {str(digest): int(until) for digest, until in event["presented"]}
        except ValueError as error:
            raise IntegrityError(f"event {seq} lacks the data of its kind of event") from error

    def compare_rows(self) -> None:
        """Compare the rows. Raises IntegrityError if a mark was edited, removed or inserted."""
        for mark, seq in self._presented.all():
            if self._recorded.get(seq, {}).pop(mark.digest, None) != mark.until:
                raise IntegrityError(
                    f"the mark of a foreign token differs from event {seq}, which recorded it"
                )
        for seq, missing in self._recorded.items():
            # Expired marks are deleted.
            if any(until >= self._latest - REMEMBERED for until in missing.values()):
                raise IntegrityError(
                    f"the ledger lacks the mark of a foreign token that event {seq} recorded"
                )
