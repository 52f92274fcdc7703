"""The texts of the policies that decided requests, as stored in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.errors import IntegrityError
from jitid.policy.policy_text import digest_of
from jitid.values import strict_json

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View


def text(view: View, digest: str) -> str | None:
    """Return the stored text of a policy by its digest; None if the ledger does not have it."""
    row = view.db.execute("SELECT text FROM policy WHERE digest = :digest", {"digest": digest}).fetchone()
    return None if row is None else row[0]


def keep(transaction: Transaction, digest: str, text: str) -> None:
    """Store the text of a policy that decides a request in this transaction."""
    if digest not in transaction.known.policies:
        transaction.db.execute(
            "INSERT INTO policy (digest, text) VALUES (:digest, :text) ON CONFLICT DO NOTHING",
            {"digest": digest, "text": text},
        )
        transaction.known.policies.add(digest)


def kept(view: View, digest: str) -> list[tuple[str, str]] | None:
    """Return the files of a policy that decided a request; None if the ledger does not have them.

    Raises IntegrityError if the stored text does not match the digest.
    """
    stored_text = text(view, digest)
    if stored_text is None:
        return None
    try:
        files = [(name, body) for name, body in strict_json.loads(stored_text, "policy")]
        matches = digest_of(files) == digest
    except (ValueError, TypeError, AttributeError):
        matches = False
    if not matches:
        raise IntegrityError(
            f"the stored text of policy {digest} does not match its digest",
            "look for the original text in your policy files, or in a backup",
        )
    return files
