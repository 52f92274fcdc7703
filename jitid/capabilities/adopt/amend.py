"""Change recorded properties of adopted secrets: owner, place, purpose, agent, expiry or target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from jitid.capabilities.adopt import adopted_secrets
from jitid.capabilities.adopt.adopted_secrets import AdoptedSecret
from jitid.capabilities.adopt.adoption import owners_of, row_of, wrong
from jitid.capabilities.adopt.store import AdoptedChanges
from jitid.errors import UsageError
from jitid.ledger.transaction import Transaction
from jitid.model.adopted import PLACE, PURPOSE, REFERENCE, TARGET, Changed, StandingSecret
from jitid.model.directory import PERSON
from jitid.model.target import BY_HAND
from jitid.values.field_types import AGENT, TIME
from jitid.values.text import label, operand
from jitid.values.times import NO_EXPIRY, format_time


class Amended(NamedTuple):
    """New properties of adopted secrets; None leaves a property unchanged."""

    owner: Annotated[str | None, PERSON] = None
    """The owner, by any of their names."""
    place: Annotated[str | None, PLACE] = None
    purpose: Annotated[str | None, PURPOSE] = None
    agent: Annotated[str | None, AGENT] = None
    expires_at: Annotated[int | None, TIME] = None
    target: Annotated[str | None, TARGET] = None
    reference: Annotated[str | None, REFERENCE] = None


def amend(
    transaction: Transaction, names: Sequence[str], amended: Amended, kind: str | None
) -> list[AdoptedSecret]:
    """Change the properties of adopted secrets, and return them; without a difference there is no event.

    `kind` is the kind of the target, if one is named.

    Raises:
        NotFoundError: no secret of that name was adopted.
        UsageError: a secret has ended, or a value is invalid; nothing was changed.

    """
    secrets = adopted_secrets.find(transaction, names)
    for secret in secrets:
        if secret.credential.ended_as is not None or secret.credential.expires_at <= transaction.now:
            raise UsageError(
                f"{label(secret.name)} has ended, and what is known of it stays as it is; nothing was changed",
                f"see: jitid adopt show {operand(secret.name)}",
            )
        standing = _amended(secret, amended)
        if amended.expires_at is not None and amended.expires_at <= transaction.now:
            raise wrong(standing, f"its end {format_time(amended.expires_at)} has passed")
        (owner,) = owners_of(transaction, [standing])
        standing = standing._replace(owner=owner)
        kinds = {standing.target: kind or str(secret.outside.facts.get("kind"))} if standing.target else {}
        changes = {
            field: new
            for field, new, old in (
                ("delegator", standing.owner, secret.credential.delegator),
                ("place", standing.place, secret.adopted.place),
                ("purpose", standing.purpose, secret.credential.purpose),
                ("agent", standing.agent, secret.credential.agent),
                ("ends", standing.expires_at or NO_EXPIRY, secret.credential.expires_at),
                ("target", standing.target or BY_HAND, secret.outside.record.target),
                ("reference", standing.reference or secret.name, secret.outside.record.name),
            )
            if new != old
        }
        if not changes:
            continue
        AdoptedChanges(transaction).change(
            Changed(
                row_of(standing, secret.credential.key, kinds),
                transaction.term(standing.owner),
                transaction.term(standing.agent),
                standing.purpose,
                standing.expires_at or NO_EXPIRY,
            )
        )
        event = secret.credential.event
        transaction.append(
            "adopt-change",
            {
                "jti": secret.credential.jti,
                "task": secret.credential.task,
                **changes,
                "of": event,
                "adopted": AdoptedChanges(transaction).digest(event),
            },
        )
    return adopted_secrets.find(transaction, names)


def _amended(secret: AdoptedSecret, amended: Amended) -> StandingSecret:
    """Return the properties of a secret after the change. The secret itself stays the same."""
    credential, adopted = secret.credential, secret.adopted
    return StandingSecret(
        0,
        secret.name,
        amended.owner or credential.delegator,
        amended.place or adopted.place,
        amended.purpose or credential.purpose or "",
        amended.agent or credential.agent,
        credential.sensitivity,
        amended.expires_at or secret.expires_at,
        amended.target or secret.target,
        amended.reference or secret.reference,
        adopted.prefix,
        adopted.length,
        credential.fingerprint or b"",
        None,
        None,
    )
