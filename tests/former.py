"""Events in the format of former versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from jitid.ledger.transaction import Transaction
from jitid.model import event
from jitid.model.event import Event


@contextmanager
def two_digests() -> Iterator[None]:
    """Add the former digest `issued` to the events of issues, and leave ids and fingerprints out of their `rows`."""
    digest, linked = event.rows_digest, Transaction._linked
    issued: dict[str, str] = {}

    def rows_digest(*columns: Any) -> str:
        *others, jtis, prints = columns
        digested = digest(*others)
        issued[digested] = event.issued_digest(zip(jtis, prints, strict=True))
        return digested

    def with_both(self: Transaction, operation: str, facts: Mapping[str, Any]) -> Event:
        digested = {"issued": issued[facts["rows"]]} if isinstance(facts.get("rows"), str) else {}
        return linked(self, operation, {**facts, **digested})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event, "rows_digest", rows_digest)
        patch.setattr(Transaction, "_linked", with_both)
        yield
