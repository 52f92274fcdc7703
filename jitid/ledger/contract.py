"""What every ledger answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from jitid.model.chain import Chain
from jitid.model.credential import Credential, State
from jitid.model.directory import DirectorySnapshot, DirectoryTransaction
from jitid.model.event import Event, Head
from jitid.model.leak import LeakSnapshot, LeakTransaction
from jitid.model.ledger_rows import (
    Ancestor,
    Closed,
    CredentialRow,
    Family,
    Filter,
    Ground,
    Held,
    IdentityRow,
    Maker,
    Names,
    Radius,
    Selection,
    SigningKey,
    Withdrawn,
)
from jitid.model.process import Process
from jitid.model.task import Task
from jitid.model.use import UseSnapshot, UseTransaction

if TYPE_CHECKING:
    from jitid.capabilities.access.presented_store import Presentation, SqlPresented
    from jitid.capabilities.identity.share_store import SqlShareChanges, SqlShares
    from jitid.capabilities.integrity.cut_store import SqlSegments
    from jitid.capabilities.integrity.issue_runs import Run
    from jitid.capabilities.integrity.prune_store import SqlRetention, SqlRetentionChanges
    from jitid.ledger.idempotency import Answered, SqlIdempotency
    from jitid.ledger.seal import Seal
    from jitid.ledger.status_places import SqlStatuses
    from jitid.model.access import AccessSnapshot, AccessTransaction
    from jitid.model.adopted import AdoptedSnapshot, AdoptedTransaction
    from jitid.model.agent_history import Pasts, Practice
    from jitid.model.approval import ApprovalSnapshot, ApprovalTransaction
    from jitid.model.decided import Decided
    from jitid.model.ledger_condition import Condition
    from jitid.model.outside import OutsideSnapshot, OutsideTransaction
    from jitid.model.survey import DirectoryCounts, Survey


class Snapshot(LeakSnapshot, DirectorySnapshot, UseSnapshot, Protocol):
    """One consistent view of the ledger, at one time."""

    @property
    def names(self) -> Names:
        """What the ledger is called in this view."""

    def settings(self) -> dict[str, str]:
        """Return what the ledger says of itself: `Names.of` reads it."""

    def reaches(self) -> Iterator[Held]:
        """Yield for what the live credentials are, and for what their holders and actors obtain tokens, each once."""

    def living(self) -> tuple[int, int]:
        """Return how many credentials live, and when the last of them expires (0 if none does)."""

    def latest_expiry_of_all(self) -> int | None:
        """Return when the last of all credentials expires or has expired; None if there is none."""

    changed_at: int | None
    """The number of the last event with an operation other than issue, renew, use and denial.

    None if the ledger does not keep this number. Two views with the same number have the same directory, shares, keys
    and names, and the same tasks, except for tasks that issues opened.
    """

    def afresh(self) -> Snapshot:
        """Return the same view without what it remembers: for those who look for what was edited behind its back."""

    @property
    def now(self) -> int:
        """The later of the clock and the ledger's time mark, in seconds since the epoch."""

    @property
    def approvals(self) -> ApprovalSnapshot:
        """The requests for approval."""

    @property
    def seal(self) -> Seal | None:
        """What says that the ledger was copied to another place, and is for reading alone."""

    def setting(self, name: str) -> str | None:
        """Return what the ledger's table of settings says under a name."""

    @property
    def access(self) -> AccessSnapshot:
        """Who may ask an authority that serves others."""

    @property
    def presented(self) -> SqlPresented:
        """The foreign tokens that were presented, and by whom first."""

    def answered(self) -> Iterator[tuple[str, str, Answered, int]]:
        """Yield what was answered to requests that may come again: caller, their key, the answer, and its time."""

    def time_mark(self) -> int | None:
        """Return the time mark in seconds since the epoch; None if the ledger keeps no mark."""

    @property
    def statuses(self) -> SqlStatuses:
        """The places of signed tokens in status lists."""

    @property
    def retention(self) -> SqlRetention:
        """What may go, and what has gone."""

    @property
    def segments(self) -> SqlSegments:
        """What was cut from the audit log; in a transaction, cutting it."""

    @property
    def outside(self) -> OutsideSnapshot:
        """The credentials at targets outside."""

    @property
    def adopted(self) -> AdoptedSnapshot:
        """The standing secrets that were adopted."""

    def ask(self, question: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the rows that answer a question in portable SQL, which has its values by `:name`; `:now` is there."""

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Put rows into a temporary table that a question has made, however many there are."""

    def find_task(self, name: str, opener: str | None = None) -> Task | None:
        """Return the task of that name that belongs to `opener`; without one that of whoever alone has such a task."""

    def tasks_named(self, name: str, most: int) -> list[Task]:
        """Return the tasks of that name, whoever opened them, the oldest first."""

    def task_numbered(self, key: int) -> Task | None:
        """Return the task with that number of the ledger's."""

    def tasks_numbered(self, keys: Iterable[int]) -> dict[int, Task]:
        """Return tasks by the ledger's own numbers."""

    def all_tasks(self) -> Iterator[Task]:
        """Yield every task there ever was."""

    def wrongly_opened(self, pruned: bool) -> str | None:
        """Return a task from before names had owners that does not belong to who was first; None for none."""

    def tasks_of(self, names: Iterable[str]) -> dict[tuple[str, str], Task]:
        """Return the tasks of these names, whoever opened them, by name and owner."""

    @property
    def shares(self) -> SqlShares:
        """Who may join the tasks of others."""

    def find_tasks(
        self, state: str | None, after: int | None, limit: int, within: Sequence[str] = ()
    ) -> list[tuple[Task, int, int]]:
        """Return tasks, newest first, with the number of their credentials and of the live ones.

        `within`: only those that belong to one of these, or are shared with one; `after` is the number of a task.
        """

    def count_for_task(self, task: int) -> tuple[int, int]:
        """Return how many credentials were issued for a task, and how many of them live."""

    def find_credential(self, by: str, value: bytes) -> Credential | None:
        """Return the credential with that `jti` (16 bytes) or `fingerprint` (32 bytes)."""

    def credentials_numbered(self, keys: Iterable[int]) -> dict[int, Credential]:
        """Return credentials by the ledger's own numbers."""

    def head_of(self, jti: bytes) -> Credential | None:
        """Return the head of the line of a credential, which may be that one; None where the line has none."""

    def first_of(self, uid: bytes) -> Credential | None:
        """Return the first credential of an identity: what it was issued as."""

    def has_lines_over(self) -> bool:
        """Return whether the head of a renewed line has expired and the ledger has not recorded it."""

    def alive(self, uids: Iterable[bytes]) -> set[bytes]:
        """Return those of these identities that have a live credential."""

    def latest_of(self, uid: bytes) -> Credential | None:
        """Return the latest credential of an identity."""

    def makers_of(self, uid: bytes, most: int) -> tuple[set[Maker], int]:
        """Return who had credentials of an identity made, as the events tell that made them, and the bytes of these.

        Nobody where the events have more than `most` bytes.
        """

    def first_issued_at(self, identity: int) -> int:
        """Return when the first credential of an identity was issued."""

    def reused(self, without: str = "") -> dict[bytes, int]:
        """Return the credentials that a caller tried to renew although they have a successor, with the first time."""

    def policies(self) -> list[str]:
        """Return the digests of the policies that the ledger keeps."""

    def honoured(self) -> list[tuple[int, int, int, int]]:
        """Return (event, credentials, ended_at, expires_at) for each event that ended what verifiers still took."""

    def wrongly_superseded(self, without: str = "") -> bytes | None:
        """Return a credential without a successor that is said to have one and has not ended; or None."""

    def supersessions(self, jtis: Sequence[bytes]) -> list[tuple[bytes, int | None]]:
        """Return for each of these credentials when it was or will be superseded."""

    def unknown_of(self, ids: Iterable[str]) -> str | None:
        """Return the first of these ids that nothing was ever issued under; none if there is no such."""

    def credentials_of_leaks(self, numbers: Iterable[int]) -> list[Credential]:
        """Return the credentials that leaked, by the numbers of the leaks. Oldest first."""

    def find_public(self, publics: Iterable[bytes]) -> list[tuple[bytes, Credential]]:
        """Return the credentials that are for these keys, each with the hash of its key (SubjectPublicKeyInfo).

        They are those that have not run out, ended or not, and of each key the latest one. Oldest first.
        """

    def find_given(self, ids: Iterable[str], fingerprints: Iterable[bytes]) -> list[Credential]:
        """Return the credentials with these ids and fingerprints; of an identity the latest one. Oldest first."""

    def lineage(self, identity: int) -> list[Ancestor]:
        """Return the identities above `identity`, the nearest first."""

    def lineages(self, identities: Iterable[int]) -> dict[int, list[Ancestor]]:
        """Return the same for each of many that has any."""

    def grounds(self, credential: int) -> list[Ground]:
        """Return the credentials that one rests on now, the nearest first.

        A credential that was renewed rests on the head of its own line; one that was attached, on the head of the line
        that it was attached from; and the identity, on the head of the line that it was delegated from.
        """

    def grounds_of(self, credentials: Iterable[int]) -> dict[int, list[Ground]]:
        """Return the same for each of many that rests on any."""

    def descendants(self, identity: int) -> tuple[int, int]:
        """Return how many identities hang below `identity`, and how many of them hold a live credential."""

    def families(self, identities: Iterable[int]) -> dict[int, Family]:
        """Return for each of these identities what ending it would come to."""

    def offline_until(self, identities: Iterable[int]) -> dict[int, int]:
        """Return until when offline verifiers may accept these identities, with the leeway, if any still may."""

    def credentials(
        self, chosen: Filter, sort: str, *, descending: bool, after: str | None, limit: int
    ) -> list[Credential]:
        """Return one page of credentials; a page that follows `after` does not move when rows are added."""

    def subtree(self, identity: int, limit: int) -> list[Credential]:
        """Return the latest credential of `identity` and of each identity below it, parents first."""

    def root_of(self, identity: int) -> int:
        """Return the identity at the root of the delegation tree of `identity`."""

    def measure(self, selection: Selection) -> Radius:
        """Return what ending that selection with all that descends from it would come to."""

    def measure_together(self, selections: Iterable[Selection]) -> Radius:
        """Return what ending each of many selections would come to; what they have in common counts once."""

    def signing_keys(self) -> list[SigningKey]:
        """Return every signing key there ever was, oldest first."""

    def last_expiry_signed_by(self, key: int) -> int | None:
        """Return when the last credential signed by that key expires, alive or ended."""

    def withdrawn_by(self, key: int) -> list[Withdrawn]:
        """Return what that key signed and is no longer valid though it has not expired, oldest first."""

    def latest_expiry_signed_by(self, key: int) -> int | None:
        """Return when the last live credential signed by that key expires."""

    def policy_text(self, digest: str) -> str | None:
        """Return the text of a policy that decided something once."""

    def decided(self) -> Decided:
        """Return what answers about the requests that were decided."""

    def event(self, seq: int) -> Event | None:
        """Return one audit event."""

    def events(self, after: int, *, newest_first: bool = False) -> Iterator[Event]:
        """Yield the audit events after number `after`, in order or the other way round."""

    def event_members(self, seq: int) -> tuple[list[str], list[str]]:
        """Return the ids of the credentials that an event issued, and of those that it ended."""

    def head(self) -> Head:
        """Return the last link of the audit chain; of several the head over all."""

    def chains(self) -> list[Chain]:
        """Return the audit chains, in their order. Raises IntegrityError for what are none."""

    def settled(self) -> int:
        """Return the number up to which every event is there; a later one may still get company before it.

        Where writers do not wait for each other, an event may be committed after one with a higher number.
        """

    def issued_members(self, without: str = "", after: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield the members of `IssuedRow` of every credential, ordered by the event that issued it.

        What belongs to identities that stand in the table `without` is left out, here and below. Then what a target
        made is told without its fingerprint and its key. `after` is the number of the last one that is passed over,
        where the numbers are in the order of the events; None passes over none.
        """

    def first_credential(self) -> int | None:
        """Return the number of the first credential if the numbers are in the order of the events; None otherwise."""

    def alike(self, key: int) -> tuple[Any, ...] | None:
        """Return the members of `Alike` of a credential; None if there is none of that number."""

    def count_alike(self, first: int, last: int, event: int, alike: Sequence[Any], without: str = "") -> int:
        """Return how many credentials with keys from `first` to `last` an event issued that begin lines like this one.

        `alike` has the values of `OF_CREDENTIAL` and `OF_IDENTITY`.
        """

    def run_alike(self, first: int, last: int, event: int, alike: Sequence[Any], without: str = "") -> Run:
        """Return the same credentials as a whole, without those that lack what each of a plain event has."""

    def has_status_places(self) -> bool:
        """Tell whether any credential has a place in a status list."""

    def status_places(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return status list and place of the credentials with keys from `first` to `last`, in their order."""

    def processes(self, without: str = "") -> int:
        """Return how many identities have a process."""

    def last_identity(self) -> int:
        """Return the number of the last identity; 0 if there is none."""

    def terms(self, first: int, end: int) -> list[tuple[int, str]]:
        """Return the numbered names from number `first` to before `end`."""

    def predecessors(self, identity: int, jti: bytes) -> list[tuple[int | None, int | None, int]]:
        """Return (source, proved subject, line) of the credential of an identity with that raw id: one or none."""

    def count_publics(self, without: str = "") -> int:
        """Return how many credentials say which key they are for."""

    def ended_members(self, without: str = "") -> Iterator[tuple[int, bytes, int, str]]:
        """Yield (event, jti, ended_at, ended_as) of every ended credential, ordered by the event that ended it."""

    def ended_rows(self, without: str = "") -> Iterator[tuple[Any, ...]]:
        """Yield the members of `EndedRow` of every ended credential, ordered by the event that ended it."""

    def survey(self, at: int | None, since: int, limits: Mapping[str, int]) -> Survey:
        """Measure the ledger as a whole as it is now, or as it was at `at`.

        `since` is the midnight at which the trend begins; `limits` are the longest lifetimes in seconds by sensitivity.
        """

    def pasts(self, since: int, *, names: Sequence[str] = (), tasks: int, days: int, most: int) -> Pasts:
        """Return the past of agents since a time: of these names, or of all that there are.

        A name recurs that had so many `tasks`, or was given identities on so many `days`. Of all names at most so
        many are told: first those that have a record, then those that recur, then the others, by their identities.
        """

    def is_agent(self, name: str) -> bool:
        """Tell whether anything was ever issued to an agent of that name."""

    def practices(self, since: int, agent: str | None, task: str | None) -> list[Practice]:
        """Return what an agent did since a time, what agents did on a task, or what one did on the other."""

    def count_directory(self) -> DirectoryCounts:
        """Return how many delegators and agents the directory has now, by their state."""


class Transaction(Snapshot, LeakTransaction, DirectoryTransaction, UseTransaction, Protocol):
    """One durable change: all of it is there after a crash, or nothing."""

    request: str | None
    """The request that the events say was answered by what they made, as `markrows.request_digest` has it."""

    closed: list[Closed]
    """What was due, and is recorded as ended by this transaction, from its beginning on."""

    @property
    def approvals(self) -> ApprovalTransaction:
        """The requests for approval, and what becomes of them."""

    @property
    def access(self) -> AccessTransaction:
        """Who may ask an authority that serves others, and what becomes of it."""

    @property
    def outside(self) -> OutsideTransaction:
        """The credentials at targets outside, and what becomes of them there."""

    @property
    def adopted(self) -> AdoptedTransaction:
        """The standing secrets that were adopted, and what becomes of them."""

    @property
    def retention(self) -> SqlRetentionChanges:
        """What may go, and letting it go."""

    @property
    def idempotency(self) -> SqlIdempotency:
        """What was answered to requests that may come again."""

    def set(self, name: str, value: str) -> None:
        """Record a setting of the ledger; an event must tell of it."""

    def present(self, presentation: Presentation) -> bool:
        """Record with the next event that a foreign token was presented; return False if another caller did before."""

    def term(self, text: str) -> int:
        """Return the number of a name, which is stored once."""

    def next_keys(self) -> tuple[int, int]:
        """Return the numbers that the next identity and the next credential take."""

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

    def opened_by(self, key: int, event: int) -> None:
        """Record which event has opened a new task, where another one came before it."""

    @property
    def shares(self) -> SqlShareChanges:
        """Who may join the tasks of others, and what becomes of that."""

    def end_task(self, key: int) -> None:
        """Record that a task has ended now."""

    def add(self, identities: Iterable[IdentityRow], credentials: Iterable[CredentialRow]) -> None:
        """Record new identities with their credentials."""

    def bind(self, identity: int, process: Process) -> None:
        """Record the process that a new identity is given to."""

    def renews_until(self, identity: int, at: int) -> None:
        """Record that an identity's process, if it has one that renews, does so until `at` at most."""

    def supersede(self, key: int, at: int) -> int | None:
        """Let a live credential that has no successor end at `at`, or at its expiry if that comes first.

        Returns when it ends; None if it has ended or has a successor.
        """

    def mark_reused(self, jti: bytes) -> None:
        """Record that somebody tried to renew a credential that has a successor; the first time counts."""

    def restore(self, jti: bytes, at: int, before: int | None) -> bool:
        """Let what was to be superseded at `at` be so at `before`, or not at all; return False if it is too late."""

    def end_one(self, key: int, state: State) -> str:
        """End one credential alone, pointing to the next event; return the digest of what ended."""

    def end(self, selection: Selection, state: State) -> tuple[Radius, str]:
        """End every live credential of the selection and of what descends from it, pointing to the next event.

        Returns what that came to, and the digest of the ended credentials.
        """

    def close_due(self, limit: int, facts: Mapping[str, Any] = MappingProxyType({})) -> int:
        """Record the end of what has expired or was superseded: at most `limit` of each, an event for each sort.

        `facts` are what else the events say.
        """

    def close_lines(self, limit: int) -> int:
        """Record that renewed lines have expired, at most `limit` of them, and end what rests on them.

        Returns the number of lines.
        """

    def lapse(self, lines: Collection[int], facts: Mapping[str, Any]) -> Closed | None:
        """End all live credentials that rest on lines without a head; return None if there are none.

        A line is identified by the number of its first credential. `facts` are further members of the event.
        """

    def add_key(
        self, kid: str, algorithm: str, public: bytes, use: str = "jws", certificates: bytes | None = None
    ) -> SigningKey:
        """Record a signing key that is used from now on."""

    def certify_key(self, key: int, certificates: bytes) -> None:
        """Record the certificates of the key of an X.509 authority."""

    def end_key(self, key: int, *, revoked: bool) -> None:
        """Record that a key signs nothing more, or that nothing it signed is valid any longer."""

    def keep_policy(self, digest: str, text: str) -> None:
        """Keep the text of a policy that decides something in this transaction."""

    def alone(self) -> None:
        """Say that it does more than add, before it does so. Raises ConflictError where others run beside it."""

    def next_seq(self) -> int:
        """Return the number of the next audit event."""

    def next_seqs(self, count: int) -> list[int]:
        """Return the numbers of the next `count` audit events."""

    def rename(self, names: Names) -> None:
        """Record another issuer, with the names that it had before; what is issued after this is issued under it."""

    def begin_anew(self) -> None:
        """Let all events that follow have higher numbers than those that are there."""

    def append(self, operation: str, facts: Mapping[str, Any]) -> Event:
        """Append an audit event to the chain."""

    def append_each(self, operation: str, each: Iterable[Mapping[str, Any]]) -> list[Event]:
        """Append an audit event for each of these facts, in their order."""


class Ledger(Protocol):
    """Where everything that was issued is remembered."""

    @property
    def names(self) -> Names:
        """What the first use fixed."""

    def foresees(self, *, quick: Callable[[], bool]) -> bool:
        """Return whether to plan in a snapshot before taking the write lock, so that others wait less for the lock.

        A `quick` plan takes about a millisecond. It is made in a snapshot only if other connections write too.
        """

    def condition(self) -> Condition:
        """Return what tells how the ledger itself is; asking changes nothing."""

    def read(self, *, by_mark: bool = False) -> AbstractContextManager[Snapshot]:
        """Open a consistent view.

        With `by_mark`, the view judges by the time mark where the clock is more than a day behind it. That is for a
        ledger that no verifier asks, and for the looks of an operation that accepts the clock: what expired by the
        mark is recorded as expired before the mark is lowered.

        Raises:
            StorageError: the ledger is busy or out of reach.
            ClockError: the clock is more than a day behind the ledger's time mark, without `by_mark`. A look judges by
                the mark, and the mark does not advance while nobody writes: credentials that have expired since would
                be accepted.

        """

    def glance(self) -> AbstractContextManager[Snapshot]:
        """Open a view as `read` does, where little is asked and much of that may be known already."""

    def write(
        self,
        *,
        accept_clock: bool = False,
        facts: Mapping[str, Any] = MappingProxyType({}),
        by: str | None = None,
        told: Mapping[str, Any] = MappingProxyType({}),
        shared: bool = False,
    ) -> AbstractContextManager[Transaction]:
        """Open a transaction; leaving the block commits it durably, an exception undoes it.

        Before anything else it records the end of some that have expired or were superseded; `facts` are what else
        those events say. Every event of the transaction is by `by` (None: whoever opened the ledger) and says what
        is `told` besides. One that is `shared` only adds, with a single event, and may run beside others where the
        ledger can do that.

        Raises:
            ConflictError: it has to be done again, perhaps not shared (`changing.change` does so).
            StorageError: the ledger is busy, full, read-only or out of reach.
            ClockError: the clock has jumped by more than a day, and `accept_clock` was not given.

        """

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the same ledger as `by` writes to it: each event says these facts besides its own."""

    def close(self) -> None:
        """Release it."""


Look = Callable[[], AbstractContextManager[Snapshot]]
"""Opens a view of a ledger."""
