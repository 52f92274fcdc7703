"""The signing keys of a ledger: queries and changes.

And the places of signed tokens in status lists.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from jitid.ledger.select import dialect_of
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store
from jitid.model.ledger_rows import SigningKey, WithdrawnCredential


class KeyStore(Store):
    """The signing keys in a view of the ledger."""

    def signing_keys(self) -> list[SigningKey]:
        """Return all current and former signing keys, oldest first."""
        return self._view.once("keys", None, self._signing_keys)

    def _signing_keys(self) -> list[SigningKey]:
        rows = self._db.execute(
            """SELECT id, kid, algorithm, public, created_at, retired_at, revoked_at, use, certificates,
                      machine
                 FROM signing_key ORDER BY id"""
        )
        return [SigningKey(*row) for row in rows]

    def latest_expiry_signed_by(self, key: int, *, live: bool = True) -> int | None:
        """Return when the last credential signed by that key expires; not only of live ones without `live`."""
        condition = "ended_at IS NULL AND signed_by = :key" if live else "signed_by = :key"
        latest: int | None
        (latest,) = self._one(f"SELECT max(expires_at) FROM credential WHERE {condition}", key=key)
        return latest

    def is_needed(self, key: SigningKey) -> bool:
        """Return whether verifiers need a key: it signs, or a credential that it signed may be live."""
        if key.revoked_at is not None:
            return False
        return key.retired_at is None or (self.latest_expiry_signed_by(key.key) or 0) > self._now

    def withdrawn_by(self, key: int) -> list[WithdrawnCredential]:
        """Return the unexpired credentials that the key signed and that are no longer valid, oldest first."""
        rows = self._db.execute(
            """SELECT jti, coalesce(ended_at, superseded_at), coalesce(ended_as, 'superseded'), expires_at
                 FROM credential
                WHERE signed_by = :key AND expires_at > :now
                  AND (ended_as <> 'expired' OR ended_as IS NULL AND superseded_at <= :now) ORDER BY jti""",
            {"key": key, "now": self._now},
        )
        return [WithdrawnCredential(*row) for row in rows]

    def ended_ssh_certificates(self, since: int) -> Iterator[tuple[bytes, int]]:
        """Yield the `jti` and the key of each certificate that expires after `since` and ended before its expiry."""
        return self._view.query(
            """SELECT c.jti, c.signed_by FROM credential c
                WHERE c.kind = 'ssh-cert' AND c.expires_at > :since
                  AND ((c.ended_at IS NOT NULL AND c.ended_as <> 'expired')
                       OR (c.superseded_at IS NOT NULL AND c.superseded_at <= :now))
                ORDER BY c.id""",
            {"since": since},
        )


class KeyChanges(Changes, KeyStore):
    """Changes to signing keys."""

    def add_key(
        self,
        kid: str,
        algorithm: str,
        public: bytes,
        use: str = "jws",
        certificates: bytes | None = None,
        machine: str | None = None,
    ) -> SigningKey:
        """Record a signing key that is used from now on."""
        self._transaction.alone()
        (key,) = self._one(
            """INSERT INTO signing_key (id, kid, algorithm, public, created_at, use, certificates, machine)
               VALUES ((SELECT coalesce(max(id), 0) + 1 FROM signing_key), :kid, :algorithm, :public, :now, :use,
                       :certificates, :machine)
               RETURNING id""",
            kid=kid,
            algorithm=algorithm,
            public=public,
            now=self._now,
            use=use,
            certificates=certificates,
            machine=machine,
        )
        return SigningKey(key, kid, algorithm, public, self._now, None, None, use, certificates, machine)

    def certify_key(self, key: int, certificates: bytes) -> None:
        """Record the certificates of the key of an X.509 authority."""
        self._transaction.alone()
        self._db.execute(
            "UPDATE signing_key SET certificates = :certificates WHERE id = :key",
            {"certificates": certificates, "key": key},
        )

    def end_key(self, key: int, *, revoked: bool) -> None:
        """Record that a key signs no more; with `revoked`, that its signatures are no longer valid either."""
        self._transaction.alone()
        self._db.execute(
            """UPDATE signing_key SET retired_at = coalesce(retired_at, :now),
                      revoked_at = CASE WHEN :revoked = 1 THEN coalesce(revoked_at, :now) ELSE revoked_at END
                WHERE id = :key""",
            {"now": self._now, "revoked": revoked, "key": key},
        )


class StatusStore(Store):
    """The places in status lists, as stored in an SQL ledger."""

    def taken(self, list_: int, positions: Collection[int]) -> set[int]:
        """Return those of `positions` that tokens of the list already have."""
        among = ", ".join(str(int(position)) for position in positions)
        rows = self._db.execute(
            f"SELECT place FROM status WHERE list = :list AND place IN ({among})", {"list": list_}
        )
        return {position for (position,) in rows}

    def add(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """Record places: the number of the list, the place in it, and the number of the credential."""
        dialect_of(self._db).insert(self._db, "status", ("list", "place", "credential"), rows)

    def lists(self, first: int) -> Iterator[int]:
        """Yield the numbers of the lists from `first` on in which at least one token has a place."""
        after = first - 1
        while True:
            # Each list costs one step along the index, regardless of the number of its tokens.
            (list_number,) = self._db.execute(
                "SELECT min(list) FROM status WHERE list > :after", {"after": after}
            ).fetchone()
            if list_number is None:
                return
            yield list_number
            after = list_number

    def revoked_places(self, list_: int) -> Iterator[int]:
        """Yield the places of the tokens of a list that ended before they expired."""
        rows = dialect_of(self._db).stream(
            self._db,
            """SELECT s.place FROM status s JOIN credential c ON c.id = s.credential
                WHERE s.list = :list
                  AND (c.ended_at IS NOT NULL AND c.ended_as <> 'expired'
                       OR c.ended_at IS NULL AND c.superseded_at <= :now)""",
            {"list": list_, "now": self._now},
        )
        return (position for (position,) in rows)
