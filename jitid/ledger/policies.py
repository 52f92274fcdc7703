"""The texts of policies that decided, as the ledger keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.errors import IntegrityError
from jitid.policy.policy_text import digest_of
from jitid.values import strict_json

if TYPE_CHECKING:
    from jitid.ledger.contract import Snapshot


def kept(snapshot: Snapshot, digest: str) -> list[tuple[str, str]] | None:
    """Return the files of a policy that decided something; None if the ledger does not have them.

    Raises:
        IntegrityError: what it has is another text.

    """
    text = snapshot.policy_text(digest)
    if text is None:
        return None
    try:
        files = [(name, body) for name, body in strict_json.loads(text, "policy")]
        whole = digest_of(files) == digest
    except (ValueError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise IntegrityError(
            f"the text that the ledger has of the policy {digest} is not the one that decided",
            "it was changed since: look for the policy where its files are kept, or in a backup",
        )
    return files
