"""What audit events say of delegators, and the digest of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from jitid.capabilities.directory.store import DirectoryStore
from jitid.model.delegator import Delegator
from jitid.values import strict_json

MARK = b'"op":"delegator-'
"""What stands in each event about delegators, and in no other: in a text the quotes would be escaped."""


TOLD = ("sensitivity", "entitlements", "groups", "manager", "aliases")
"""What events tell of a delegator; the rest follows from the event, or stays."""


FORM = 2
"""What an import digests: with 2 also when each was last disabled, which the ledger did not know before."""


_PAGE = 5_000


def told(delegator: Delegator) -> dict[str, Any]:
    """Return what events tell of a delegator."""
    return {
        field: list(value) if isinstance(value, tuple) else value
        for field, value in ((field, getattr(delegator, field)) for field in TOLD)
    }


def digest(snapshot: DirectoryStore) -> str:
    r"""Return SHA-256 over all delegators in the order of their names, as hex: each as JSON, with `\n` behind it."""
    return _digest(_everybody(snapshot))


def _digest(people: Iterator[Delegator], form: int = FORM) -> str:
    found = sha256()
    for one in people:
        # Numbers are the ledger's own, and say nothing of anybody.
        fields = one[1:] if form == FORM else one[1:-1]
        found.update(strict_json.dumps(fields).encode() + b"\n")
    return found.hexdigest()


def _everybody(snapshot: DirectoryStore) -> Iterator[Delegator]:
    after: str | None = None
    while page := snapshot.delegators(group=None, disabled=None, after=after, limit=_PAGE):
        yield from page
        after = page[-1].name
