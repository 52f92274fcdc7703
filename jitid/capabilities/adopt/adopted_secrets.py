"""Adopted secrets in the ledger, and the record of their end where they are kept."""

from __future__ import annotations

from collections.abc import Sequence

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
from jitid.model.target import BY_HAND, EndOutcome, Outside, Settlement
from jitid.model.task import ADOPTED
from jitid.values.record import Record
from jitid.values.text import label, safe
from jitid.values.times import NO_EXPIRY


class AdoptedSecret(Record):
    """An adopted secret with all its records in the ledger."""

    credential: Credential
    adopted: Adopted
    outside: Outside

    @property
    def name(self) -> str:
        """The name of the secret: the name of its task without the prefix."""
        return self.credential.task.removeprefix(ADOPTED)

    @property
    def confirmed(self) -> bool:
        """Whether it is known to have ended where it is kept."""
        return self.outside.settled_at is not None and self.outside.settlement == Settlement.DONE

    def state_at(self, now: int) -> str:
        """Return the state of the secret.

        `standing`; `ended` if the end is confirmed at its place; `unconfirmed` if it has ended only in the ledger.
        """
        if self.credential.ended_as is None and self.credential.expires_at > now:
            return "standing"
        return "ended" if self.confirmed else "unconfirmed"

    @property
    def target(self) -> str | None:
        """The target that can end it; None if a person has to end it."""
        return None if self.outside.record.target == BY_HAND else self.outside.record.target

    @property
    def reference(self) -> str | None:
        """Its name at the target."""
        return None if self.target is None else self.outside.record.name

    @property
    def expires_at(self) -> int | None:
        """When it expires; None if it does not."""
        return None if self.credential.expires_at == NO_EXPIRY else self.credential.expires_at

    @property
    def confirmed_at(self) -> int | None:
        """When its end where it is kept was confirmed."""
        return self.outside.settled_at if self.confirmed else None

    @property
    def proof(self) -> str | None:
        """The proof of its end where it is kept."""
        return self.outside.proof if self.confirmed else None


class Finished(Record):
    """The result of recording that secrets have ended where they are kept."""

    done: int
    already: int
    """The number of secrets that were known to have ended there."""
    revoked: int
    """The number of secrets that were live in the ledger until then."""
    event: int | None
    unproved: str | None = None
    """Why leaked secrets could not be proved revoked; None if they were, or if none had leaked."""


def find(snapshot: View, names: Sequence[str]) -> list[AdoptedSecret]:
    """Return the adopted secrets of these names, the latest of each. Raises NotFoundError for an unknown name."""
    keys = AdoptedStore(snapshot).on_tasks(ADOPTED + name for name in names)
    for name in names:
        if ADOPTED + name not in keys:
            raise NotFoundError(f"nothing is adopted under the name {label(name)}", "see: jitid adopt list")
    return described(snapshot, [keys[ADOPTED + name] for name in dict.fromkeys(names)])


def described(snapshot: View, keys: Sequence[int]) -> list[AdoptedSecret]:
    """Return adopted credentials with their details, in the order of their numbers in `keys`."""
    credentials = CredentialStore(snapshot).credentials_numbered(keys)
    adopted, outside = AdoptedStore(snapshot).of(keys), OutsideStore(snapshot).of(keys)
    return [AdoptedSecret(credentials[key], adopted[key], outside[key]) for key in keys]


def finish(transaction: Transaction, names: Sequence[str], proof: str) -> Finished:
    """Record that an operator has ended secrets where they are kept, and end them here too.

    Args:
        transaction: the transaction.
        names: the names of the secrets.
        proof: the action of the operator, in words, for the audit log.

    Raises:
        NotFoundError: no secret of that name was adopted.

    """
    secrets = find(transaction, names)
    unconfirmed = [secret for secret in secrets if not secret.confirmed]
    if not unconfirmed:
        return Finished(0, len(secrets), 0, None)
    live_jtis = [secret.credential.jti for secret in unconfirmed if secret.credential.ended_at is None]
    if live_jtis:
        revocation.revoke(transaction, Selection(ids=tuple(live_jtis)), proof, None)
    # Read again: they have ended now.
    outsides = OutsideChanges(transaction).find([secret.credential.jti for secret in unconfirmed])
    open_ = [outside for outside in outsides if outside.settled_at is None]
    digest = OutsideChanges(transaction).settle(
        [(outside, EndOutcome(Settlement.DONE, f"said so: {safe(proof)}"[:500]), None) for outside in open_]
    )
    event = transaction.append(
        "adopt-end",
        {
            "names": [secret.name for secret in unconfirmed[:20]],
            "count": len(open_),
            "proof": proof,
            "final": len(open_),
            **digest._asdict(),
        },
    )
    return Finished(len(unconfirmed), len(secrets) - len(unconfirmed), len(live_jtis), event.seq)
