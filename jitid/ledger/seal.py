"""The seal of a ledger that was copied to another place: the copy is live, and the sealed ledger is read-only."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from typing import TYPE_CHECKING, NamedTuple

from jitid.errors import IntegrityError
from jitid.values import strict_json
from jitid.values.text import quote
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View

SETTING = "sealed"
"""The name of the ledger's setting that holds the seal."""
MARKS = (b'"op":"ledger-seal"', b'"op":"ledger-copy"', b'"op":"ledger-restore"')
"""Bytes that only events about seals, copies and restores contain: inside a JSON string the quotes would be escaped."""


class Seal(NamedTuple):
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


def find(view: "View") -> Seal | None:
    """Return the seal of a ledger that was copied to another place; None for a live ledger."""
    return view.once("seal", None, lambda: _find(view))


def _find(view: "View") -> Seal | None:
    text = view.setting(SETTING) if view.sealed_as is None else view.sealed_as[0]
    return None if text is None else read(text)


def record(transaction: "Transaction", seal: Seal) -> None:
    """Seal the ledger of a transaction, and record that in its audit log."""
    facts = {"to": seal.to, "since": seal.at, "mark": seal.mark, "done": seal.done or None}
    transaction.append("ledger-seal", facts)
    transaction.set(SETTING, seal.text())


def refuse_if_sealed(snapshot: "View") -> None:
    """Raise an error if the ledger is sealed.

    A sealed ledger allows no changes, and must not vouch for any credential.

    Raises:
        IntegrityError: it is sealed.

    """
    seal = find(snapshot)
    if seal is not None:
        raise sealed(seal)


def sealed(seal: Seal) -> IntegrityError:
    """Return the error for an operation that a sealed ledger refuses."""
    from shlex import quote as word

    target = quote(seal.to, 200)
    hint = f"use the copy: jitid --ledger {word(seal.to)}; this ledger can still be read: jitid list"
    if not seal.done:
        hint = f"the copy may not be complete; repeat: jitid ledger copy --to {word(seal.to)}; or, if it is, {hint}"
    return IntegrityError(
        f"the ledger is sealed: it was copied to {target} at {format_time(seal.at)}; nothing was changed",
        hint,
    )


def _damaged() -> IntegrityError:
    return IntegrityError("the ledger's seal is damaged", "run: jitid audit verify")
