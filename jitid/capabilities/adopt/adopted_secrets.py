"""Adopted secrets as the ledger has them, and their end where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitid.capabilities.adopt.store import AdoptedStore
from jitid.capabilities.identity import revocation
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.targets.store import OutsideChanges, OutsideStore
from jitid.errors import NotFoundError
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.adopted import Adopted
from jitid.model.credential import Credential
from jitid.model.ledger_rows import Selection
from jitid.model.outside import Outside
from jitid.model.target import EndOutcome, Settlement
from jitid.model.task import ADOPTED
from jitid.values.text import label, safe


class AdoptedSecret(NamedTuple):
    """An adopted secret with all that the ledger has of it."""

    credential: Credential
    adopted: Adopted
    outside: Outside

    @property
    def name(self) -> str:
        """Its own name."""
        return self.credential.task.removeprefix(ADOPTED)

    @property
    def confirmed(self) -> bool:
        """Whether it is known to have ended where it is kept."""
        return self.outside.settled_at is not None and self.outside.settlement == Settlement.DONE


class Finished(NamedTuple):
    """What came of saying that secrets have ended where they are kept."""

    done: int
    already: int
    """So many were known to have."""
    revoked: int
    """So many lived in the ledger until then."""
    event: int | None
    unproved: str | None = None
    """Why it could not be proved of what leaked that it is dead; none if that was done, or nothing had leaked."""


def find(snapshot: View, names: Sequence[str]) -> list[AdoptedSecret]:
    """Return what was adopted under these names, the latest of each. Raises NotFoundError for one that is none's."""
    keys = AdoptedStore(snapshot).on_tasks(ADOPTED + name for name in names)
    for name in names:
        if ADOPTED + name not in keys:
            raise NotFoundError(f"nothing is adopted under the name {label(name)}", "see: jitid adopt list")
    return described(snapshot, [keys[ADOPTED + name] for name in dict.fromkeys(names)])


def described(snapshot: View, keys: Sequence[int]) -> list[AdoptedSecret]:
    """Return what there is of adopted credentials, in the order of their numbers in `keys`."""
    credentials = CredentialStore(snapshot).credentials_numbered(keys)
    adopted, outside = AdoptedStore(snapshot).of(keys), OutsideStore(snapshot).of(keys)
    return [AdoptedSecret(credentials[key], adopted[key], outside[key]) for key in keys]


def finish(transaction: Transaction, names: Sequence[str], proof: str) -> Finished:
    """Record that somebody has seen to it that secrets work no longer where they are kept; end them here too.

    Args:
        transaction: what it happens in.
        names: which.
        proof: what was done, in words, for the audit log.

    Raises:
        NotFoundError: nothing of that name was adopted.

    """
    found = find(transaction, names)
    due = [one for one in found if not one.confirmed]
    if not due:
        return Finished(0, len(found), 0, None)
    live = [one.credential.jti for one in due if one.credential.ended_at is None]
    if live:
        revocation.revoke(transaction, Selection(ids=tuple(live)), proof, None)
    # As they are now that they have ended.
    outsides = OutsideChanges(transaction).find([one.credential.jti for one in due])
    open_ = [one for one in outsides if one.settled_at is None]
    digest = OutsideChanges(transaction).settle(
        [(one, EndOutcome(Settlement.DONE, f"said so: {safe(proof)}"[:500]), None) for one in open_]
    )
    event = transaction.append(
        "adopt-end",
        {
            "names": [one.name for one in due[:20]],
            "count": len(open_),
            "proof": proof,
            "final": len(open_),
            **digest._asdict(),
        },
    )
    return Finished(len(due), len(found) - len(due), len(live), event.seq)
