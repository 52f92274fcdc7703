"""The facts that audit events record about delegators, and the digest of the whole directory."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from jitid.capabilities.directory.store import DirectoryStore
from jitid.model.directory import Delegator
from jitid.values import strict_json

MARK = b'"op":"delegator-'
"""Bytes that every event about delegators contains, and no other event: inside a text the quotes would be escaped."""
RECORDED_FIELDS = ("sensitivity", "entitlements", "groups", "manager", "aliases")
"""The fields of a delegator that events record; the other fields follow from the event, or do not change."""
FORM = 2
"""Version of the digest in an import event. Version 2 includes `disabled_last`, which older ledgers did not record."""
_PAGE = 5_000


def recorded_facts(delegator: Delegator) -> dict[str, Any]:
    """Return the facts about a delegator that events record."""
    return {
        field: list(value) if isinstance(value, tuple) else value
        for field, value in ((field, getattr(delegator, field)) for field in RECORDED_FIELDS)
    }


def digest(snapshot: DirectoryStore) -> str:
    r"""Return SHA-256, as hex, over all delegators in the order of their names: each as JSON, followed by `\n`."""
    return _digest(_all_delegators(snapshot))


def _digest(people: Iterator[Delegator], form: int = FORM) -> str:
    checksum = sha256()
    for person in people:
        # The key is a row number of this ledger, not a fact about the delegator.
        fields = person[1:] if form == FORM else person[1:-1]
        checksum.update(strict_json.dumps(fields).encode() + b"\n")
    return checksum.hexdigest()


def _all_delegators(snapshot: DirectoryStore) -> Iterator[Delegator]:
    after: str | None = None
    while page := snapshot.delegators(group=None, disabled=None, after=after, limit=_PAGE):
        yield from page
        after = page[-1].name
