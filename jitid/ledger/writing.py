"""Changes to a ledger, in SQL that SQLite and PostgreSQL both take."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.capabilities.directory import delegator_store, departure_store
from jitid.capabilities.directory import store as directory_store
from jitid.capabilities.identity import dependents_store
from jitid.capabilities.leak import store as leak_store
from jitid.capabilities.use import store as use_store
from jitid.errors import ConflictError, IntegrityError
from jitid.ledger import select
from jitid.ledger.dialect import dialect_of
from jitid.ledger.reading import SqlSnapshot
from jitid.ledger.sqlite.schema import EVERY_LIVE, LIVE_INDEXES
from jitid.model.agent import Agent
from jitid.model.chain import Chain, Held
from jitid.model.credential import State
from jitid.model.delegator import Delegator
from jitid.model.directory import Ties
from jitid.model.event import Event, encode, ended_digest
from jitid.model.ledger_rows import (
    CHANGEABLE,
    CREDENTIAL_COLUMNS,
    IDENTITY_COLUMNS,
    Closed,
    CredentialRow,
    IdentityRow,
    Names,
    Radius,
    Selection,
    SigningKey,
)
from jitid.model.process import Process
from jitid.model.task import Task

if TYPE_CHECKING:
    from jitid.capabilities.access.presented_store import Presentation
    from jitid.capabilities.identity.share_store import SqlShareChanges
    from jitid.capabilities.integrity.prune_store import SqlRetentionChanges
    from jitid.ledger.idempotency import SqlIdempotency
    from jitid.model.access import AccessTransaction
    from jitid.model.adopted import AdoptedTransaction
    from jitid.model.approval import ApprovalTransaction
    from jitid.model.leak import NewPlaces, Noted, Recorded
    from jitid.model.outside import OutsideTransaction
    from jitid.model.use import NewUse

_MANY = 50_000
"""From so many endings on, dropping the live indexes and building them again is cheaper than updating them."""

_ADDING = frozenset({"issue", "renew", "use", "denial", "assertion"})
"""The operations that do not update `changed_at`: they change no delegator, agent, share, key or name of the ledger."""

_MAKING = frozenset({"issue", "renew", "attach", "adopt"})
"""The operations that make credentials."""

_LAPSED = "the credential that it was made from expired early or was abandoned"
"""The reason in the event `lapse`."""

_SOME = 10
"""For fewer rows, looking for columns that are NULL in all of them costs more than it saves."""


class Known(NamedTuple):
    """What is known to be in the ledger and never leaves it, so that it need not be asked again."""

    terms: dict[str, int]
    policies: set[str]

    def forget(self) -> None:
        """Forget all: some of it may have been new in a transaction that was undone."""
        self.terms.clear()
        self.policies.clear()


class SqlTransaction(SqlSnapshot):
    """One durable change of a ledger that speaks SQL."""

    def __init__(
        self,
        db: Any,
        names: Names,
        now: int,
        by: str,
        known: Known,
        told: Mapping[str, Any] = MappingProxyType({}),
        held: Held | None = None,
    ) -> None:
        """Args are whose it is (`by`), what is `known` to be there, what each event says besides, and its chains."""
        super().__init__(db, names, now)
        self._by = by
        self._told = told
        self._known = known
        self._held = held
        self._appended = False
        self._changed_shares: SqlShareChanges | None = None
        self._presentations: list[Presentation] = []
        """Foreign tokens whose first use the next event records."""
        self.request: str | None = None
        """The request, as `markrows.request_digest` has it, that the events say was answered by what they made."""
        self.closed: list[Closed] = []
        """What was due, and is recorded as ended by this transaction, from its beginning on."""

    def set(self, name: str, value: str) -> None:
        """Record a setting of the ledger; an event must tell of it."""
        self.sealed_as = None
        self._db.execute("DELETE FROM setting WHERE name = :name", {"name": name})
        self._db.execute(
            "INSERT INTO setting (name, value) VALUES (:name, :value)", {"name": name, "value": value}
        )

    @property
    def approvals(self) -> ApprovalTransaction:
        """The requests for approval, and what becomes of them."""
        from jitid.capabilities.issue.approval_store import SqlApprovalChanges

        return SqlApprovalChanges(self._db, self._now, self.next_seq)

    @property
    def access(self) -> AccessTransaction:
        """Who may ask an authority that serves others."""
        from jitid.capabilities.access.store import SqlAccessChanges

        return SqlAccessChanges(self._db, self._now, self.next_seq)

    @property
    def outside(self) -> OutsideTransaction:
        """The credentials at targets outside, and what becomes of them there."""
        from jitid.capabilities.targets.store import SqlOutsideChanges

        return SqlOutsideChanges(self._db, self._now, self.next_seq)

    @property
    def adopted(self) -> AdoptedTransaction:
        """The standing secrets that were adopted, and what becomes of them."""
        from jitid.capabilities.adopt.store import SqlAdoptedChanges

        return SqlAdoptedChanges(self._db, self._now)

    @property
    def retention(self) -> SqlRetentionChanges:
        """What may go, and letting it go."""
        from jitid.capabilities.integrity.prune_store import SqlRetentionChanges

        return SqlRetentionChanges(self._db, self._now, self)

    @property
    def idempotency(self) -> SqlIdempotency:
        """What was answered to requests that may come again."""
        from jitid.ledger.idempotency import SqlIdempotency

        return SqlIdempotency(self._db, self._now)

    def present(self, presentation: Presentation) -> bool:
        """Record with the next event that a foreign token was presented; return False if another caller did before."""
        presenter = self.presented.presenter(presentation.token)
        if presenter is None:
            self._presentations.append(presentation)
        return presenter in (None, presentation.presenter)

    def term(self, text: str) -> int:
        """Return the number of a name, which is stored once."""
        number = self._known.terms.get(text)
        if number is None:
            row = self._one("SELECT id FROM term WHERE text = :text", text=text) or self._one(
                "INSERT INTO term (text) VALUES (:text) RETURNING id", text=text
            )
            number = self._known.terms[text] = int(row[0])
        return number

    def next_number(self) -> int | None:
        """Return the number of the next row where the database gives out none itself."""
        return None

    def next_keys(self) -> tuple[int, int]:
        """Return the numbers that the next identity and the next credential take."""
        row = self._one(
            "SELECT coalesce((SELECT max(id) FROM identity), 0) + 1, coalesce((SELECT max(id) FROM credential), 0) + 1"
        )
        return row[0], row[1]

    def open_task(
        self,
        name: str,
        purpose: str | None,
        sensitivity: str,
        deadline: int,
        opener: str,
        event: int | None = None,
    ) -> Task:
        """Record a task of an opener, who has no other of that name, as opened by an event; None: by the next one."""
        seq = self.next_seq() if event is None else event
        (key,) = self._one(
            """INSERT INTO task (name, purpose, sensitivity, deadline, opened_at, opener, event)
               VALUES (:name, :purpose, :sensitivity, :deadline, :now, :opener, :event) RETURNING id""",
            name=name,
            purpose=purpose,
            sensitivity=sensitivity,
            deadline=deadline,
            now=self._now,
            opener=self.term(opener),
            event=seq,
        )
        return Task(key, name, purpose, sensitivity, deadline, self._now, None, opener, seq)

    def opened_by(self, key: int, event: int) -> None:
        """Record which event has opened a new task, where another one came before it."""
        self._db.execute("UPDATE task SET event = :event WHERE id = :key", {"event": event, "key": key})

    @property
    def shares(self) -> SqlShareChanges:
        """Who may join the tasks of others, and what becomes of that."""
        if self._changed_shares is None:
            from jitid.capabilities.identity.share_store import SqlShareChanges

            self._changed_shares = SqlShareChanges(self._db, self._now, self.next_seq)
        return self._changed_shares

    def end_task(self, key: int) -> None:
        """Record that a task has ended now."""
        self._db.execute(
            "UPDATE task SET ended_at = :now WHERE id = :key AND ended_at IS NULL",
            {"now": self._now, "key": key},
        )

    def add(self, identities: Iterable[IdentityRow], credentials: Iterable[CredentialRow]) -> None:
        """Record new identities with their credentials."""
        self._insert("identity", IDENTITY_COLUMNS, list(identities))
        self._insert("credential", CREDENTIAL_COLUMNS, list(credentials))

    def _insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows; many of them without the columns that are NULL in each, as a column costs whatever is in it."""
        if not rows:
            return
        told: Iterable[Sequence[Any]] = rows
        if len(rows) >= _SOME:
            stated = [
                (column, values)
                for column, values in zip(columns, zip(*rows, strict=True), strict=True)
                if any(value is not None for value in values)
            ]
            columns = [column for column, _ in stated]
            told = zip(*[values for _, values in stated], strict=True)
        dialect_of(self._db).insert(self._db, table, columns, told)

    def end(self, selection: Selection, state: State) -> tuple[Radius, str]:
        """End every live credential of the selection and of what descends from it, pointing to the next event.

        Returns what that came to, and the digest of the ended credentials.
        """
        matched = select.select(self._db, selection)
        radius = select.radius(self._db, matched, self._now)
        digest = self._end_doomed(state, radius)
        return (radius._replace(refused_since=self._now) if radius.credentials else radius), digest

    def _end_doomed(self, state: State, radius: Radius) -> str:
        if not radius.credentials:
            return sha256().hexdigest()
        many = radius.credentials >= _MANY and dialect_of(self._db).rebuilds_indexes
        seq = self.next_seq()
        if many:
            for name in EVERY_LIVE:
                self._db.execute(f"DROP INDEX {name}")
        else:
            # Before they end: few are looked up one by one, and afterwards only a pass over all rows finds them.
            digest = self._digest(f"{select.doomed_credentials(radius.identities)} AND {select.LIVE}")
        # "+" keeps the planner from looking up each of many identities.
        self._db.execute(
            f"""UPDATE credential AS c SET ended_at = :now, ended_as = :state, ended_event = :seq
                 WHERE {select.LIVE}
                   AND {"+" if many else ""}identity IN (SELECT identity FROM doomed)""",
            {"now": self._now, "state": state.value, "seq": seq},
        )
        if many:
            for name in EVERY_LIVE:
                self._db.execute(LIVE_INDEXES[name])
            digest = self._digest("credential c WHERE c.ended_event = :seq", seq=seq)
        if radius.offline_until is not None:
            self._keep_honoured(seq, radius.signed, self._now, radius.offline_until)
        return digest

    def _digest(self, members: str, **values: Any) -> str:
        """Return the digest of credentials, in the order in which they were issued."""
        dialect = dialect_of(self._db)
        rows = dialect.fenced(f"SELECT c.jti, c.id FROM {members} ORDER BY c.id")
        # Nothing but bytes is as great as no bytes: neither a number nor text that an editor left in their place.
        joined, count, whole = self._one(
            f"""SELECT {dialect.joined_bytes("jti", "id")}, count(*), count(CASE WHEN jti >= :none THEN 1 END)
                  FROM {rows}""",
            now=self._now,
            none=b"",
            **values,
        )
        if whole != count:
            raise IntegrityError(
                "the id of a credential is not what a ledger writes", "run: jitid audit verify"
            )
        return sha256(joined or b"").hexdigest()

    def _keep_honoured(self, seq: int, credentials: int, ended_at: int, expires_at: int) -> None:
        """Record what an event ended that verifiers which do not ask the ledger still take."""
        self._db.execute(
            # Whatever an edited ledger says of an event that is still to come, it keeps nobody from ending something.
            """INSERT INTO honoured VALUES (:seq, :credentials, :ended_at, :expires_at) ON CONFLICT (event) DO UPDATE
               SET credentials = excluded.credentials, ended_at = excluded.ended_at,
                   expires_at = excluded.expires_at""",
            {"seq": seq, "credentials": credentials, "ended_at": ended_at, "expires_at": expires_at},
        )

    def end_one(self, key: int, state: State) -> str:
        """End one credential alone, pointing to the next event; return the digest of what ended."""
        jti, signed, expires_at = self._one(
            "SELECT jti, claims_hash IS NOT NULL, expires_at FROM credential WHERE id = :key", key=key
        )
        seq = self.next_seq()
        self._db.execute(
            "UPDATE credential SET ended_at = :now, ended_as = :state, ended_event = :seq WHERE id = :key",
            {"now": self._now, "state": state.value, "seq": seq, "key": key},
        )
        if signed:
            self._keep_honoured(seq, 1, self._now, expires_at)
        return ended_digest([jti])

    def close_due(self, limit: int, facts: Mapping[str, Any] = MappingProxyType({})) -> int:
        """Record the end of what has expired or was superseded: at most `limit` of each, an event for each sort.

        `facts` are what else the events say.
        """
        # ORDER BY makes PostgreSQL use the index: without it, the planner prefers to scan the table.
        due = self._one(
            """SELECT (SELECT superseded_at FROM credential WHERE ended_at IS NULL AND superseded_at <= :now
                        ORDER BY superseded_at LIMIT 1),
                      (SELECT expires_at FROM credential WHERE ended_at IS NULL AND expires_at <= :now
                        ORDER BY expires_at LIMIT 1)""",
            now=self._now,
        )
        if all(at is None for at in due):
            return 0
        return self._close("superseded_at", State.SUPERSEDED, "supersede", limit, facts) + self._close(
            "expires_at", State.EXPIRED, "expire", limit, facts
        )

    def close_lines(self, limit: int) -> int:
        """Record that renewed lines have expired, at most `limit` of them, and end what rests on them.

        Returns the number of lines.
        """
        return self._close("expires_at", State.EXPIRED, "expire", limit, {}, f"AND {dependents_store.OVER}")

    def _close(
        self,
        column: str,
        state: State,
        operation: str,
        limit: int,
        facts: Mapping[str, Any],
        which: str = "",
    ) -> int:
        rows = self._db.execute(
            f"""SELECT id, jti, {column}, CASE WHEN claims_hash IS NOT NULL THEN expires_at END,
                       {dependents_store.SHORTENED}
                  FROM (SELECT * FROM credential
                         WHERE ended_at IS NULL AND {column} <= :now {which} ORDER BY {column} LIMIT :limit) AS due
                 ORDER BY id""",
            {"now": self._now, "limit": limit},
        ).fetchall()
        if not rows:
            return 0
        seq = self.next_seq()
        self._db.executemany(
            f"UPDATE credential SET ended_at = {column}, ended_as = ?, ended_event = ? WHERE id = ?",
            [(state.value, seq, row[0]) for row in rows],
        )
        honoured = [row for row in rows if state is not State.EXPIRED and row[3] is not None]
        if honoured:
            _, _, ended_at, expires_at, *_ = zip(*honoured, strict=True)
            self._keep_honoured(seq, len(honoured), min(ended_at), max(expires_at))
        self.append(operation, {**facts, "count": len(rows), "ended": ended_digest(row[1] for row in rows)})
        self.closed.append(Closed(seq, len(rows)))
        lines = [row[4] for row in rows if row[4] is not None]
        if lines and state is State.EXPIRED and (lapsed := self.lapse(lines, facts)) is not None:
            self.closed.append(lapsed)
        return len(rows)

    def lapse(self, lines: Collection[int], facts: Mapping[str, Any]) -> Closed | None:
        """End all live credentials that rest on lines without a head; return None if there are none.

        A line is identified by the number of its first credential. `facts` are further members of the event.
        """
        found = dependents_store.on_lines(self._db, lines, self._now)
        if not found:
            return None
        seq = self.next_seq()
        self._db.executemany(
            "UPDATE credential SET ended_at = ?, ended_as = ?, ended_event = ? WHERE id = ?",
            [(self._now, State.REVOKED.value, seq, one.key) for one in found],
        )
        honoured = [one.honoured_until for one in found if one.honoured_until is not None]
        if honoured:
            self._keep_honoured(seq, len(honoured), self._now, max(honoured))
        digest = ended_digest(one.jti for one in found)
        self.append("lapse", {**facts, "reason": _LAPSED, "count": len(found), "ended": digest})
        return Closed(seq, len(found))

    def bind(self, identity: int, process: Process) -> None:
        """Record the process that a new identity is given to."""
        self._db.execute("INSERT INTO process VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (identity, *process))

    def renews_until(self, identity: int, at: int) -> None:
        """Record that an identity's process, if it has one that renews, does so until `at` at most."""
        self._db.execute(
            "UPDATE process SET renews_until = ? WHERE identity = ? AND renews_until > ?", (at, identity, at)
        )

    def supersede(self, key: int, at: int) -> int | None:
        """Let a live credential that has no successor end at `at`, or at its expiry if that comes first.

        Returns when it ends; None if it has ended or has a successor.
        """
        row = self._one(
            """UPDATE credential SET superseded_at = CASE WHEN expires_at < :at THEN expires_at ELSE :at END
                WHERE id = :key AND superseded_at IS NULL AND ended_at IS NULL AND expires_at > :now
            RETURNING superseded_at""",
            key=key,
            at=at,
            now=self._now,
        )
        return None if row is None else int(row[0])

    def mark_reused(self, jti: bytes) -> None:
        """Record that somebody tried to renew a credential that has a successor; the first time counts."""
        self._db.execute(
            "UPDATE credential SET reused_at = :now WHERE jti = :jti AND reused_at IS NULL",
            {"now": self._now, "jti": jti},
        )

    def restore(self, jti: bytes, at: int, before: int | None) -> bool:
        """Let what was to be superseded at `at` be so at `before`, or not at all; return False if it is too late."""
        # `line` marks a renewed line, so that `resting` finds what the abandoned successor made and outlives this one.
        changed = self._db.execute(
            f"""UPDATE credential SET superseded_at = :before{", line = coalesce(line, id)" if before is None else ""}
                WHERE jti = :jti AND ended_at IS NULL AND superseded_at = :at AND superseded_at > :now""",
            {"before": before, "jti": jti, "at": at, "now": self._now},
        )
        done: bool = changed.rowcount == 1
        return done

    def add_leaks(self, credentials: Iterable[int], source: str, reported_at: int) -> Recorded:
        """Record that these credentials leaked, pointing to the next event; open reports from that source stay."""
        return leak_store.add(
            self._db, credentials, source, reported_at, now=self._now, event=self.next_seq()
        )

    def add_places(self, source: str, places: NewPlaces) -> Noted:
        """Record where credentials in open reports from that source were seen, pointing to the next event."""
        from jitid.capabilities.leak import sighting_store

        return sighting_store.add(self._db, source, places, event=self.next_seq())

    def prove_leaks(self, numbers: Iterable[int]) -> list[tuple[int, bytes]]:
        """Record now as the time of the proof where there is none yet; return number and jti of each that got it."""
        return leak_store.prove(self._db, numbers, now=self._now)

    def close_leaks(self, numbers: Iterable[int]) -> list[tuple[int, bytes]]:
        """Close leaks that are open, pointing to the next event; return number and jti of each that was."""
        return leak_store.close(self._db, numbers, now=self._now, event=self.next_seq())

    def put_delegators(self, delegators: Iterable[Delegator]) -> None:
        """Record delegators as they are given: new where their key is 0, otherwise in the place of what was there."""
        self._entries.clear()
        delegator_store.put_delegators(self._db, delegators, self.next_seq())

    def disable(self, keys: Iterable[int], names: Iterable[str]) -> Ties:
        """Disable delegators who are not, suspend the agents they own, withdraw their requests and unused grants."""
        self._entries.clear()
        names = list(names)
        ties = self.ties(names)
        departure_store.disable(self._db, keys, names, ties, now=self._now, event=self.next_seq())
        return ties

    def put_agents(self, agents: Iterable[Agent]) -> None:
        """Record agents as they are given: new where their key is 0, otherwise in the place of what was there."""
        self._entries.clear()
        directory_store.put_agents(self._db, agents, self.next_seq())

    def add_uses(self, uses: Sequence[NewUse]) -> str:
        """Record actions as of now, pointing to the next event, and roll them up; return their digest."""
        return use_store.add(self._db, uses, now=self._now, event=self.next_seq(), number=self.next_number)

    def add_key(
        self, kid: str, algorithm: str, public: bytes, use: str = "jws", certificates: bytes | None = None
    ) -> SigningKey:
        """Record a signing key that is used from now on."""
        (key,) = self._one(
            """INSERT INTO signing_key (id, kid, algorithm, public, created_at, use, certificates)
               VALUES ((SELECT coalesce(max(id), 0) + 1 FROM signing_key), :kid, :algorithm, :public, :now, :use,
                       :certificates)
               RETURNING id""",
            kid=kid,
            algorithm=algorithm,
            public=public,
            now=self._now,
            use=use,
            certificates=certificates,
        )
        return SigningKey(key, kid, algorithm, public, self._now, None, None, use, certificates)

    def certify_key(self, key: int, certificates: bytes) -> None:
        """Record the certificates of the key of an X.509 authority."""
        self._db.execute(
            "UPDATE signing_key SET certificates = :certificates WHERE id = :key",
            {"certificates": certificates, "key": key},
        )

    def end_key(self, key: int, *, revoked: bool) -> None:
        """Record that a key signs nothing more, or that nothing it signed is valid any longer."""
        self._db.execute(
            """UPDATE signing_key SET retired_at = coalesce(retired_at, :now),
                      revoked_at = CASE WHEN :revoked = 1 THEN coalesce(revoked_at, :now) ELSE revoked_at END
                WHERE id = :key""",
            {"now": self._now, "revoked": revoked, "key": key},
        )

    def keep_policy(self, digest: str, text: str) -> None:
        """Keep the text of a policy that decides something in this transaction."""
        if digest not in self._known.policies:
            self._db.execute(
                "INSERT INTO policy (digest, text) VALUES (:digest, :text) ON CONFLICT DO NOTHING",
                {"digest": digest, "text": text},
            )
            self._known.policies.add(digest)

    @property
    def held(self) -> Held:
        """The audit chains that this transaction appends to; unless it was given some, all that are open."""
        if self._held is None:
            self._held = Held([chain for chain in super().chains() if not chain.closed])
        return self._held

    def chains(self) -> list[Chain]:
        """Return the audit chains with what this transaction has appended."""
        held = {} if self._held is None else {chain.id: chain for chain in self._held.chains}
        return [held.get(chain.id, chain) for chain in super().chains()]

    def open_epoch(self, count: int, *, counted: bool = False) -> None:
        """Close all audit chains, and open `count` others; `counted` if their rows tell how far they have come."""
        from jitid.ledger.chain_epochs import open_epoch

        chains = open_epoch(self._db, self._names.uuid, self.chains(), count, self._now, counted=counted)
        self._held = Held([chain for chain in chains if not chain.closed])

    def rename(self, names: Names) -> None:
        """Record another issuer, with the names that it had before; what is issued after this is issued under it."""
        told = names.settings()
        for name in CHANGEABLE:
            self._db.execute("DELETE FROM setting WHERE name = :name", {"name": name})
            if name in told:
                self._db.execute(
                    "INSERT INTO setting VALUES (:name, :value)", {"name": name, "value": told[name]}
                )
        self._names = names

    def begin_anew(self) -> None:
        """Let all events that follow have higher numbers than those that are there: a single chain does that."""

    def alone(self) -> None:
        """Say that it does more than add, before it does so: this one has the ledger to itself."""

    def next_seq(self) -> int:
        """Return the number of the next audit event."""
        return self.held.next_seqs(1)[0]

    def next_seqs(self, count: int) -> list[int]:
        """Return the numbers of the next `count` audit events."""
        return self.held.next_seqs(count)

    def append(self, operation: str, facts: Mapping[str, Any]) -> Event:
        """Append an audit event to the chain; where several are held, to the one with the lowest next number."""
        (event,) = self.append_each(operation, [facts])
        return event

    def append_each(self, operation: str, each: Iterable[Mapping[str, Any]]) -> list[Event]:
        """Append an audit event for each of these facts, in their order."""
        events = [self._linked(operation, facts) for facts in each]
        self._write(events)
        return events

    def _linked(self, operation: str, facts: Mapping[str, Any]) -> Event:
        """Return an event that the chain has from now on; its row is still to be written."""
        told = {**facts, **self._told} if self._told else facts
        if self._presentations:
            told = {**told, "presented": self._marked()}
        if self.request is not None and (operation in _MAKING or "access" in facts):
            told = {**told, "request": self.request}
        self._appended = True
        event = self.held.append(encode(operation, self._now, self._by, told))
        if operation not in _ADDING:
            self.changed_at = event.seq
        return event

    def _marked(self) -> list[list[str | int]]:
        """Write the marks of the tokens that the next event records; return what it says of them.

        Raises ConflictError where another transaction has recorded one of them meanwhile.
        """
        seq = self.next_seq()
        marks = {mark.token: mark for mark in self._presentations}.values()
        for mark in marks:
            if not self.presented.add(mark, seq, self._now):
                raise ConflictError(
                    "the same foreign token is presented twice at the same time; nothing was changed",
                    "repeat the command",
                )
        self._presentations = []
        return [[mark.digest, mark.until] for mark in marks]

    def _write(self, events: Sequence[Event]) -> None:
        dialect_of(self._db).insert(self._db, "audit_event", ("seq", "body", "hash"), events)

    @property
    def wrote(self) -> bool:
        """Whether an event was appended: only committed events raise the time mark."""
        return self._appended
