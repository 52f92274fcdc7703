"""The protocol that each ledger implements, and changes that are retried.

And the seal of a ledger that was copied to another place: the copy is live, and the sealed ledger is read-only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from jitid.errors import ConflictError, IntegrityError, LostConnectionError
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import format_time

if TYPE_CHECKING:
    from typing import TypedDict, Unpack

    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.ledger_condition import Condition
    from jitid.model.ledger_rows import Names

    class WriteOptions(TypedDict, total=False):
        """The options of `Ledger.write`."""

        accept_clock: bool
        facts: Mapping[str, Any]
        by: str | None
        members: Mapping[str, Any]
        shared: bool


class Ledger(Protocol):
    """The store of all issued credentials and of the audit log."""

    @property
    def names(self) -> Names:
        """The ledger's UUID, issuer names and trust domain."""

    def foresees(self, *, quick: Callable[[], bool]) -> bool:
        """Return whether to plan in a snapshot before taking the write lock, so that others wait less for the lock.

        A `quick` plan takes about a millisecond. It is made in a snapshot only if other connections write too.
        """

    def condition(self) -> Condition:
        """Return the object that reports the state of the ledger itself. It changes nothing."""

    def read(self, *, by_mark: bool = False) -> AbstractContextManager[View]:
        """Open a consistent view.

        With `by_mark`, the view judges by the time mark if the clock is more than a day behind it. Use it for a ledger
        that no verifier queries, and for the views of an operation that accepts the clock. Such an operation records
        credentials that have expired by the mark as expired before it lowers the mark.

        Raises:
            StorageError: the ledger is busy or cannot be reached.
            ClockError: the clock is more than a day behind the ledger's time mark, without `by_mark`. A view judges by
                the mark, and without writers the mark does not advance. The view would accept credentials that have
                expired since.

        """

    def glance(self) -> AbstractContextManager[View]:
        """Open a view as `read` does, for a few lookups whose answers may be cached."""

    def write(self, **options: Unpack[WriteOptions]) -> AbstractContextManager[Transaction]:
        """Open a transaction; leaving the block commits it durably, an exception rolls it back.

        It first records the end of some credentials that have expired or were superseded; these events also get the
        members `facts`. Each event of the transaction names `by` as the caller (None: the login that opened the
        ledger) and gets the additional `members`. A `shared` transaction only adds rows, with a single event. It can
        run at the same time as others if the ledger supports that.

        Raises:
            ConflictError: the transaction must be repeated, perhaps without `shared` (`change` does so).
            StorageError: the ledger is busy, full, read-only, or cannot be reached.
            ClockError: the clock has jumped by more than a day, and `accept_clock` was not given.

        """

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the same ledger for the caller `by`; its events also get the members `facts`."""

    def close(self) -> None:
        """Release the ledger."""


Look: TypeAlias = "Callable[[], AbstractContextManager[View]]"
"""A function that opens a view of a ledger."""


Result = TypeVar("Result")


def change(
    ledger: Ledger,
    work: Callable[[Transaction], Result],
    *,
    accept_clock: bool = False,
    shared: bool = False,
) -> Result:
    """Run `work` in a transaction and return its result once the transaction is committed.

    A conflict repeats the work for as long as the ledger waits for others. A connection that is lost before the commit
    repeats it once. So `work` must not hand out anything.

    Args:
        ledger: the ledger to change.
        work: the change.
        accept_clock: as for a write transaction.
        shared: the work only adds rows, and may run at the same time as others. If it turns out to do more, it is
            repeated without `shared`.

    Raises:
        StorageError: other writers were in the way for too long, or the ledger cannot be reached.

    """
    deadline: float | None = None
    lost = False
    while True:
        try:
            with ledger.write(accept_clock=accept_clock, shared=shared) as transaction:
                return work(transaction)
        except ConflictError as error:
            if error.alone and shared:
                shared = False
                continue
            deadline = deadline or time.monotonic() + error.patience
            if time.monotonic() >= deadline:
                raise
            from random import uniform

            # A random wait: otherwise the same two writers would conflict again.
            time.sleep(uniform(0.001, 0.02))  # noqa: S311
        except LostConnectionError as error:
            if lost or error.patience <= 0:
                raise
            lost = True


SETTING = "sealed"
"""The name of the ledger's setting that holds the seal."""
MARKS = (b'"op":"ledger-seal"', b'"op":"ledger-copy"', b'"op":"ledger-restore"')
"""Bytes that only events about seals, copies and restores contain: inside a JSON string the quotes would be escaped."""


class Seal(Record):
    """The record that the ledger was copied to another place."""

    to: str
    """The place of the copy, without any password."""
    at: int
    """Seconds since the epoch."""
    mark: str
    """The state of the ledger that was copied; it identifies an interrupted copy."""
    done: bool = False
    """Whether the copy is live; if not, the same copy can be repeated and continues where it stopped."""

    def text(self) -> str:
        """Return the seal as the value of the setting."""
        return strict_json.dumps(self._asdict())


def read(text: str) -> Seal:
    """Return the seal from the value of the setting.

    Raises IntegrityError if the value is invalid: then the ledger must not be used at all.
    """
    try:
        document = strict_json.loads(text, "seal")
        seal = Seal(document["to"], document["at"], document["mark"], document["done"])
    except (strict_json.StrictJSONError, KeyError, TypeError) as error:
        raise _damaged() from error
    if (
        type(seal.to) is not str
        or type(seal.at) is not int
        or (type(seal.mark), type(seal.done)) != (str, bool)
    ):
        raise _damaged()
    return seal


def find_seal(view: View) -> Seal | None:
    """Return the seal of a ledger that was copied to another place; None for a live ledger."""
    return view.once("seal", None, lambda: _find(view))


def _find(view: View) -> Seal | None:
    text = view.setting(SETTING) if view.sealed_as is None else view.sealed_as[0]
    return None if text is None else read(text)


def record_seal(transaction: Transaction, seal: Seal) -> None:
    """Seal the ledger of a transaction, and record that in its audit log."""
    facts = {"to": seal.to, "since": seal.at, "mark": seal.mark, "done": seal.done or None}
    transaction.append("ledger-seal", facts)
    transaction.set(SETTING, seal.text())


def refuse_if_sealed(snapshot: View) -> None:
    """Raise an error if the ledger is sealed.

    A sealed ledger allows no changes, and must not vouch for any credential.

    Raises IntegrityError if it is sealed.
    """
    seal = find_seal(snapshot)
    if seal is not None:
        raise sealed(seal)


def sealed(seal: Seal) -> IntegrityError:
    """Return the error for an operation that a sealed ledger refuses."""
    from shlex import quote as word

    target = quote(seal.to, 200)
    hint = f"use the copy: jitid --ledger {word(seal.to)}; this ledger can still be read: jitid list"
    if not seal.done:
        hint = (
            f"repeat the copy if it is incomplete: jitid ledger copy --to {word(seal.to)}; otherwise {hint}"
        )
    return IntegrityError(
        f"the ledger is sealed: it was copied to {target} at {format_time(seal.at)}; nothing was changed",
        hint,
    )


def _damaged() -> IntegrityError:
    return IntegrityError("the ledger's seal is damaged", "run: jitid audit verify")
