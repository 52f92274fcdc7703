"""The seal of a ledger that was copied to another place: from then on that one is live, and this one is for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jitid.errors import IntegrityError
from jitid.values import strict_json
from jitid.values.text import quote
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View

SETTING = "sealed"
"""The ledger's setting that holds it."""
MARKS = (b'"op":"ledger-seal"', b'"op":"ledger-copy"', b'"op":"ledger-restore"')
"""What stands in the events that tell of seals and of restores, and in no other: in a text the quotes are escaped."""


class Seal(NamedTuple):
    """What a ledger says once it was copied."""

    to: str
    """Where it went, without any password."""
    at: int
    """Seconds since the epoch."""
    mark: str
    """The state of which the copy was made, by which a copy that broke off is known again."""
    done: bool = False
    """Whether the copy is live; otherwise the same copy can be repeated, which goes on where it broke off."""

    def text(self) -> str:
        """Return it as the setting has it."""
        return strict_json.dumps(self._asdict())


def read(text: str) -> Seal:
    """Return what the setting says. Raises IntegrityError: whatever it says, the ledger is not to be used."""
    try:
        found = strict_json.loads(text, "seal")
        seal = Seal(found["to"], found["at"], found["mark"], found["done"])
    except (strict_json.StrictJSONError, KeyError, TypeError) as error:
        raise _damaged() from error
    if (
        type(seal.to) is not str
        or type(seal.at) is not int
        or (type(seal.mark), type(seal.done)) != (str, bool)
    ):
        raise _damaged()
    return seal


def find(view: View) -> Seal | None:
    """Return the seal of a ledger that was copied to another place; None for a ledger that is live."""
    return view.once("seal", None, lambda: _find(view))


def _find(view: View) -> Seal | None:
    text = view.setting(SETTING) if view.sealed_as is None else view.sealed_as[0]
    return None if text is None else read(text)


def record(transaction: Transaction, seal: Seal) -> None:
    """Seal the ledger of a transaction, which tells of it in its audit log."""
    facts = {"to": seal.to, "since": seal.at, "mark": seal.mark, "done": seal.done or None}
    transaction.append("ledger-seal", facts)
    transaction.set(SETTING, seal.text())


def must_not_be(snapshot: View) -> None:
    """Refuse what a ledger that was copied to another place no longer does: to change, and to vouch for anything.

    Raises:
        IntegrityError: it is sealed.

    """
    seal = find(snapshot)
    if seal is not None:
        raise sealed(seal)


def sealed(seal: Seal) -> IntegrityError:
    """Return the error for what a sealed ledger does not do."""
    from shlex import quote as word

    place = quote(seal.to, 200)
    hint = f"use the copy: jitid --ledger {word(seal.to)}; this ledger can still be read: jitid list"
    if not seal.done:
        hint = f"the copy may not be complete; repeat: jitid ledger copy --to {word(seal.to)}; or, if it is, {hint}"
    return IntegrityError(
        f"the ledger is sealed: it was copied to {place} at {format_time(seal.at)}; nothing was changed", hint
    )


def _damaged() -> IntegrityError:
    return IntegrityError("the ledger's seal is damaged", "run: jitid audit verify")
