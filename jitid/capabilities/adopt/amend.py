"""Change recorded properties of adopted secrets: owner, place, purpose, agent, expiry or target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitid.capabilities.adopt import adopted_secrets
from jitid.capabilities.adopt.adopted_secrets import AdoptedSecret
from jitid.capabilities.adopt.adoption import owners_of, row_of, wrong
from jitid.capabilities.adopt.store import AdoptedChanges
from jitid.errors import UsageError
from jitid.ledger.transaction import Transaction
from jitid.model.adopted import FOR_EVER, Changed, StandingSecret
from jitid.model.target import BY_HAND
from jitid.values.text import label, operand
from jitid.values.times import format_time


class Amended(NamedTuple):
    """New properties of adopted secrets; None leaves a property unchanged."""

    owner: str | None = None
    """The owner, by any of their names."""
    place: str | None = None
    purpose: str | None = None
    agent: str | None = None
    expires_at: int | None = None
    target: str | None = None
    reference: str | None = None


def amend(
    transaction: Transaction, names: Sequence[str], amended: Amended, kind: str | None
) -> list[AdoptedSecret]:
    """Change the properties of adopted secrets, and return them; without a difference there is no event.

    `kind` is the kind of the target, if one is named.

    Raises:
        NotFoundError: no secret of that name was adopted.
        UsageError: a secret has ended, or a value is invalid; nothing was changed.

    """
    found = adopted_secrets.find(transaction, names)
    for one in found:
        if one.credential.ended_as is not None or one.credential.expires_at <= transaction.now:
            raise UsageError(
                f"{label(one.name)} has ended, and what is known of it stays as it is; nothing was changed",
                f"see: jitid adopt show {operand(one.name)}",
            )
        stated = _amended(one, amended)
        if amended.expires_at is not None and amended.expires_at <= transaction.now:
            raise wrong(stated, f"its end {format_time(amended.expires_at)} has passed")
        (owner,) = owners_of(transaction, [stated])
        stated = stated._replace(owner=owner)
        kinds = {stated.target: kind or str(one.outside.facts.get("kind"))} if stated.target else {}
        changes = {
            field: new
            for field, new, old in (
                ("delegator", stated.owner, one.credential.delegator),
                ("place", stated.place, one.adopted.place),
                ("purpose", stated.purpose, one.credential.purpose),
                ("agent", stated.agent, one.credential.agent),
                ("ends", stated.expires_at or FOR_EVER, one.credential.expires_at),
                ("target", stated.target or BY_HAND, one.outside.record.target),
                ("reference", stated.reference or one.name, one.outside.record.name),
            )
            if new != old
        }
        if not changes:
            continue
        AdoptedChanges(transaction).change(
            Changed(
                row_of(stated, one.credential.key, kinds),
                transaction.term(stated.owner),
                transaction.term(stated.agent),
                stated.purpose,
                stated.expires_at or FOR_EVER,
            )
        )
        of = one.credential.event
        transaction.append(
            "adopt-change",
            {
                "jti": one.credential.jti,
                "task": one.credential.task,
                **changes,
                "of": of,
                "adopted": AdoptedChanges(transaction).digest(of),
            },
        )
    return adopted_secrets.find(transaction, names)


def _amended(one: AdoptedSecret, amended: Amended) -> StandingSecret:
    """Return the properties of a secret after the change. The secret itself stays the same."""
    credential, kept, outside = one
    target = None if outside.record.target == BY_HAND else outside.record.target
    return StandingSecret(
        0,
        one.name,
        amended.owner or credential.delegator,
        amended.place or kept.place,
        amended.purpose or credential.purpose or "",
        amended.agent or credential.agent,
        credential.sensitivity,
        amended.expires_at or (None if credential.expires_at == FOR_EVER else credential.expires_at),
        amended.target or target,
        amended.reference or (None if target is None else outside.record.name),
        kept.prefix,
        kept.length,
        credential.fingerprint or b"",
        None,
        None,
    )
