"""Disabling one or many delegators, with the credentials, agents, requests and access that depend on them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity.revocation import counts
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.credential import State
from jitid.model.directory import Ties
from jitid.model.ledger_rows import Radius, Selection

NOTHING = Radius(0, 0, 0, 0, 0, None, 0)
_NAMED = 20
"""The maximum number of names that an event lists one by one."""


class Departure(NamedTuple):
    """The credentials and records that end, or would end, with delegators."""

    radius: Radius
    """The credentials that descend from them; `NOTHING` if these stay valid."""
    ties: Ties
    digest: str | None = None
    """Digest of the credentials that ended."""

    @property
    def anything(self) -> bool:
        """Whether any credential, agent, request, grant or access ends."""
        return bool(self.radius.credentials) or self.ties._replace(live=0, others=0) != Ties(0, (), 0, 0, 0)

    def facts(self) -> dict[str, Any]:
        """Return the facts that audit events record about the departure."""
        ended_facts = {} if self.digest is None else {**counts(self.radius), "ended": self.digest}
        return {
            "agents": named(self.ties.agents) if self.ties.agents else None,
            "requests": self.ties.requests or None,
            "grants": self.ties.grants or None,
            "access": self.ties.access or None,
            **ended_facts,
        }


def foresee(snapshot: View, names: Sequence[str], *, keep_live: bool = False) -> Departure:
    """Return the departure that disabling the delegators with these names would cause."""
    ties = DirectoryStore(snapshot).ties(names)
    radius = NOTHING
    if ties.live and not keep_live:
        radius = CredentialStore(snapshot).measure(Selection(delegators=tuple(names)))
    return Departure(radius, ties)


def depart(
    transaction: Transaction, keys: Sequence[int], names: Sequence[str], *, keep_live: bool = False
) -> Departure:
    """Disable the delegators with these keys and names, and end their ties; the rows point to the next event."""
    ties = DirectoryChanges(transaction).disable(keys, names)
    if keep_live or not ties.live:
        return Departure(NOTHING, ties)
    radius, digest = CredentialChanges(transaction).end(Selection(delegators=tuple(names)), State.REVOKED)
    return Departure(radius, ties, digest)


def named(names: Sequence[str]) -> list[str] | dict[str, Any]:
    """Return names for an event: all of them, or if there are many the first ones, the number and the digest."""
    if len(names) <= _NAMED:
        return list(names)
    return {"first": list(names[:_NAMED]), "count": len(names), "digest": digest_of(names)}


def digest_of(names: Sequence[str]) -> str:
    r"""Return SHA-256 over names, each followed by `\n`, as hex."""
    return sha256("".join([f"{name}\n" for name in names]).encode()).hexdigest()
