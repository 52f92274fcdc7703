"""Check of the rows of issued credentials and their identities against the audit events that issued them.

And of the times until which verifiers accept ended credentials.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from jitid.capabilities.integrity.store import COMPARED, AlikeRows, RowStore
from jitid.errors import IntegrityError
from jitid.ledger.signing_keys import KeyStore
from jitid.model import event as audit
from jitid.model.credential import ANY_KIND
from jitid.values.ids import parse_id

if TYPE_CHECKING:
    from jitid.capabilities.integrity.verify_pruned import PrunedMembers
    from jitid.ledger.view import View


_LINED = frozenset({"rows", "may_audience"})
"""Members of `issue` events that show that lines of credentials existed already."""
_WHOLE = frozenset({"rows", "lifetime"})
"""Members that an event must have so that all its rows can be compared as a whole."""
_SINGLY = frozenset({"target", "certified", "process", "approval", "replaced", "request", "issued"})
"""Members of events that state facts about single rows, or for which `rows` does not cover a whole row."""


_OF_PROCESS = 7
_JTI, _PRINT, _UID, _CLAIMS = map(itemgetter, (1, 2, 5, 6))
_TERMS_KEPT = 100_000
_BLOCK = 1_000


class NumberedNames:
    """The texts of numbered names. Names are numbered in the order of their first use, so a block is read at once."""

    def __init__(self, snapshot: View) -> None:
        self._snapshot = snapshot
        self._texts: dict[int, str] = {}

    def text(self, number: int | None) -> str | None:
        """Return the text of a name; None if the ledger has no name with that number."""
        if number is None:
            return None
        if number not in self._texts:
            if len(self._texts) > _TERMS_KEPT:
                self._texts.clear()
            block_start = number - number % _BLOCK
            self._texts.update(RowStore(self._snapshot).terms(block_start, block_start + _BLOCK))
        return self._texts.get(number)


class IssuedMembers:
    """The comparison of issued rows with their event."""

    def __init__(self, snapshot: View, without: str) -> None:
        """Keep the view; `without` names a table of identities that are gone."""
        self._snapshot = snapshot
        self._without = without
        self._names = NumberedNames(snapshot)
        self._processes = 0
        """Number of identities with a process, according to the events."""
        self.since: int | None = None
        """The number of the first identity for which the event shows that lines of credentials existed already."""
        self._kids = {key.key: key.kid for key in KeyStore(snapshot).signing_keys()}
        self._listed = RowStore(snapshot).has_status_places()

    def is_run(self, seq: int, event: Mapping[str, Any], first_key: int, count: int, issuer: str) -> bool:
        """Return whether an event issued the `count` credentials from number `first_key` on, exactly as it states.

        Only rows that can be compared as a whole give True. For all others, `check` examines each row, and reports an
        error.
        """
        if event["op"] != "issue" or not event.keys() >= _WHOLE or not _SINGLY.isdisjoint(event):
            return False
        row, last_key = RowStore(self._snapshot).alike(first_key), first_key + count - 1
        if row is None:
            return False
        alike = AlikeRows._make(row)
        run = RowStore(self._snapshot).run_alike(first_key, last_key, seq, alike[:COMPARED], self._without)
        if run.length != count or run.jtis is None or not self._matches(event, alike, first_key, issuer):
            return False
        kid = None if alike.signed_by is None else self._kids.get(alike.signed_by, "")
        status_places = RowStore(self._snapshot).status_places(first_key, last_key) if self._listed else []
        digest = audit.rows_digest(
            *(kid, alike.details, alike.may_audience),
            [run.uids],
            [run.claims],
            status_places,
            [run.jtis],
            [run.prints],
        )
        if digest != event["rows"]:
            return False
        if self.since is None:
            self.since = alike.identity
        return True

    def check(self, seq: int, event: Mapping[str, Any], rows: Sequence[tuple[Any, ...]], issuer: str) -> None:
        """Compare the rows of one event; `issuer` is the audience of events that name none.

        Raises IntegrityError if a row was edited.
        """
        if event["op"] == "adopt":
            # The event's own digest covers the stated values; here the rows are only compared with their identities.
            if any(not _is_adopted(self._alike(row[0]), row) for row in rows):
                raise _edited(seq)
            return
        alike = self._alike(rows[0][0])
        if event["op"] == "issue" and self.since is None and not _LINED.isdisjoint(event):
            self.since = alike.identity
        if event["op"] == "issue" and "process" in event:
            self._processes += len(rows)
            if any(self._alike(row[0])[-_OF_PROCESS:] != alike[-_OF_PROCESS:] for row in rows[1:]):
                raise _edited(seq)
        if len(rows) > 1 and len(rows) != RowStore(self._snapshot).count_alike(
            rows[0][0], rows[-1][0], seq, alike[:COMPARED], self._without
        ):
            raise _edited(seq)
        if rows[0][3] != seq or ("lifetime" in event and not self._matches(event, alike, rows[0][0], issuer)):
            raise _edited(seq)
        # An event has no digest of the remaining rows if other rows of it were pruned.
        complete = len(rows) == event.get("count", 1)
        if (
            complete
            and "rows" in event
            and event["rows"] != self._digest(alike, rows, all_="issued" not in event)
        ):
            raise _edited(seq)

    def compare_rows(self) -> None:
        """Raise IntegrityError if an identity has a process that no event states."""
        if RowStore(self._snapshot).processes(self._without) != self._processes:
            raise IntegrityError(
                "the ledger names the process of an identity, but no event names that process"
            )

    def _alike(self, key: int) -> AlikeRows:
        row = RowStore(self._snapshot).alike(key)
        if row is None:
            raise IntegrityError("a row of the ledger has an invalid value")
        return AlikeRows._make(row)

    def _digest(self, alike: AlikeRows, rows: Sequence[tuple[Any, ...]], *, all_: bool) -> str | None:
        """Return the digest of the rows; None if a value has a wrong length.

        Without `all_`, leave out `jti`s and fingerprints, for which the event has another digest.
        """
        uids, claims = list(map(_UID, rows)), list(map(_CLAIMS, rows))
        if None in uids or set(map(len, uids)) != {16} or set(map(len, filter(None, claims))) - {32}:
            return None
        jtis, prints = (list(map(_JTI, rows)), list(map(_PRINT, rows))) if all_ else ((), ())
        if set(map(len, jtis)) - {16} or set(map(len, filter(None, prints))) - {32}:
            return None
        return audit.rows_digest(
            None if alike.signed_by is None else self._kids.get(alike.signed_by, ""),
            *(alike.details, alike.may_audience),
            uids,
            claims,
            [(row[7], row[8]) for row in rows if row[7] is not None],
            *(jtis, prints),
        )

    def _matches(self, event: Mapping[str, Any], alike: AlikeRows, key: int, issuer: str) -> bool:
        """Return whether the row of the credential with number `key` agrees with the event."""
        return (
            self._has_terms(event, alike, issuer)
            and self._is_of(event, alike)
            and self._descends(event, alike, key)
        )

    def _has_terms(self, event: Mapping[str, Any], alike: AlikeRows, issuer: str) -> bool:
        issued_at = event["at"]
        audiences = " ".join(event.get("audiences", (issuer,)))
        if "may_audience" in event:
            audience_matches = alike.may_audience == " ".join(event["may_audience"])
        else:
            audience_matches = alike.may_audience in (None, audiences)
        return (
            audience_matches
            and (alike.issued_at, alike.expires_at) == (issued_at, issued_at + event["lifetime"])
            and alike.scopes == " ".join(event.get("granted", event.get("scopes", ())))
            and alike.kind == event["kind"]
            and (alike.template or "") == event.get("template", "")
            and (ANY_KIND if alike.may_kind is None else alike.may_kind) == event.get("may_kind", ANY_KIND)
            and (alike.may_act or "") == ("" if "may_audience" in event else event.get("may_act", ""))
            and self._names.text(alike.audiences) == audiences
            and self._names.text(alike.subject) == event.get("sub")
            and alike.exchange_life == event.get("exchange_life")
        )

    def _is_of(self, event: Mapping[str, Any], alike: AlikeRows) -> bool:
        """Return whether the rows have the identity and the process that the event states."""
        name_of, parent = self._names.text, event.get("parent")
        stated = (event.get("proof"), event.get("sensitivity"), event.get("depth", 0))
        return (
            (alike.task_of_identity, alike.delegator_of_identity) == (alike.task, alike.delegator)
            and alike.task_name == event.get("task")
            and (
                alike.given is not None
                or name_of(alike.opener) == event.get("opener", event.get("delegator"))
            )
            and name_of(alike.agent) == event.get("agent")
            and name_of(alike.delegator) == event.get("delegator")
            and (alike.proof, alike.sensitivity, alike.depth) == stated
            and (alike.parent is None) == (alike.depth == 0)
            and alike.parent_uid == (None if parent is None else parse_id(parent)[1])
            and (event["op"] != "issue" or self._is_bound(event.get("process"), alike))
        )

    @staticmethod
    def _is_bound(process: Mapping[str, Any] | None, alike: AlikeRows) -> bool:
        if process is None:
            return alike.host is None
        # Renewals lower `renews_until`, but never to 0, which only a client has.
        recorded = {name: getattr(alike, name) for name in process if name != "renews_until"}
        return alike.is_client == (not process.get("renews_until")) and all(
            value == recorded[name] for name, value in process.items() if name in recorded
        )

    def _descends(self, event: Mapping[str, Any], alike: AlikeRows, key: int) -> bool:
        """Return whether the rows have the line and the source that the event states."""
        made_from, predecessor = event.get("made_from"), event.get("of")
        if predecessor is not None:
            return self._succeeds(alike, parse_id(predecessor)[1])
        if alike.line not in (None, key):
            return False
        right = None if made_from is None else parse_id(made_from)[1]
        attached = event["op"] == "attach"
        if (alike.source if attached else alike.source_of_identity) is None:
            # Events from before lines existed do not state the source of a credential.
            if right is not None or (not attached and alike.source is not None):
                return False
        elif alike.right != right or (not attached and alike.source is not None):
            return False
        if right is not None:
            return alike.proved_subject == alike.subject_of_right
        if event["op"] != "issue" or "parent" in event:
            return True
        recorded, subject = alike.proved_subject, event.get("subject")
        return (recorded is None) == (subject is None) and self._names.text(recorded) == subject

    def _succeeds(self, alike: AlikeRows, predecessor: bytes) -> bool:
        """Return whether a renewed credential continues the line of its predecessor, and has the same source."""
        return any(
            (source, subject, line) == (alike.source, alike.proved_subject, alike.line)
            for source, subject, line in RowStore(self._snapshot).predecessors(alike.identity, predecessor)
        )


def _is_adopted(alike: AlikeRows, row: tuple[Any, ...]) -> bool:
    """Return whether a standing secret agrees with its identity and has no value that only issued credentials have."""
    return (
        (alike.task, alike.delegator) == (alike.task_of_identity, alike.delegator_of_identity)
        and alike.line in (None, row[0])
        and all(
            value is None
            for value in (
                *(
                    alike.source,
                    alike.parent,
                    alike.source_of_identity,
                    alike.signed_by,
                    alike.proved_subject,
                    alike.template,
                ),
                *(alike.may_audience, alike.may_kind, alike.may_act, alike.host, row[6], row[7]),
                *(alike.subject, alike.exchange_life),
            )
        )
    )


def _edited(seq: int) -> IntegrityError:
    return IntegrityError(f"a credential that event {seq} issued was changed in the ledger")


_ENDED_AT, _EXPIRES_AT = itemgetter(2), itemgetter(4)


class HonouredMembers:
    """The comparison of the table `honoured` with the signed credentials that each event ended early."""

    def __init__(self, pruned: PrunedMembers) -> None:
        self._pruned = pruned
        self._ended: dict[int, tuple[int, int, int]] = {}
        """By event: the number of credentials, the first end, and the last expiry."""

    def take(self, seq: int, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take the credentials that an event ended: rows of `RowStore.ended_rows`."""
        if rows:
            self._ended[seq] = (len(rows), min(map(_ENDED_AT, rows)), max(map(_EXPIRES_AT, rows)))

    def compare_rows(self, rows: Sequence[tuple[int, int, int, int]], partly: Collection[int]) -> None:
        """Compare the rows of the table.

        Args:
            rows: (event, credentials, ended_at, expires_at) of each row.
            partly: events that ended rows of which some are gone; their row of the table may count more.

        Raises:
            IntegrityError: a row was edited, removed or inserted.

        """
        recorded = {seq: row for seq, *row in rows}
        for seq in self._ended.keys() | recorded.keys():
            if not self._is_right(seq, recorded.get(seq), partly):
                raise IntegrityError(
                    f"the ledger's time until which verifiers accept credentials of event {seq} does not match its rows"
                )

    def _is_right(self, seq: int, recorded: Sequence[int] | None, partly: Collection[int]) -> bool:
        may_be_pruned, pruned_before = seq <= self._pruned.through, self._pruned.before
        expected = self._ended.get(seq)
        if recorded is None or expected is None:
            # A pruning deletes the credentials that had expired before it, and the row that counts them.
            (*_, expires_at) = recorded or expected or (0,)
            return may_be_pruned and expires_at < pruned_before
        (credentials, ended_at, expires_at), (count, first_at, last_expiry) = recorded, expected
        if ended_at != first_at or credentials < count or expires_at < last_expiry:
            return False
        if (credentials, expires_at) == (count, last_expiry):
            return True
        return seq in partly and may_be_pruned and (expires_at == last_expiry or expires_at < pruned_before)
