"""The audit event that granted access, which the row of an access credential must match."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

from jitid.errors import IntegrityError
from jitid.model.access import Access
from jitid.values import strict_json

_GRANTS = ("access-grant", "access-rotate", "access-bootstrap", "access-login")


# The result depends only on the row and the event, and each request of a caller repeats the check.
@lru_cache(maxsize=1024)
def must_be_recorded(access: Access, event: bytes | None) -> None:
    """Refuse access that its audit event does not record: a row alone is easily inserted. Raises IntegrityError."""
    document: Mapping[str, Any] = {} if event is None else strict_json.loads(event, "audit event")
    recorded = recorded_facts(access)
    if document.get("op") not in _GRANTS or any(
        document.get(name) != value for name, value in recorded.items()
    ):
        raise IntegrityError(
            f"{access.id} is in the ledger, but no audit event records that it was granted",
            "run: jitid audit verify",
        )


def recorded_facts(access: Access) -> dict[str, Any]:
    """Return the facts about access that its grant event records."""
    key = access.public and sha256(access.public.encode()).hexdigest()
    return {
        "access": access.id,
        "name": access.name,
        "roles": list(access.roles) or None,
        "until": access.expires_at,
        "fingerprint": access.fingerprint and access.fingerprint.hex(),
        "key": key,
        "audiences": None if access.audiences is None else list(access.audiences),
        "subject": access.subject,
        "proved_at": access.proved_at,
        "holder": access.holder,
    }
