"""The life of signing keys: rotated, revoked when leaked, published as long as something they signed can be alive."""

from __future__ import annotations

from typing import Any, NamedTuple

from jitid import jws, revocation
from jitid.credential import State
from jitid.errors import NotFoundError, UsageError
from jitid.keyring import USES, Keyring
from jitid.ledger.protocol import Snapshot, Transaction
from jitid.ledger.records import Radius, Selection, SigningKey
from jitid.minting import told_use
from jitid.text import check_text, quote


class KeyChange(NamedTuple):
    """What happened to the keys."""

    kid: str
    """The key that signs now, or the one that was revoked."""
    successor: str | None
    retired: tuple[str, ...]
    """Keys whose private halves are of no more use."""
    radius: Radius | None
    """What ended with a revoked key."""
    event: int | None
    unproved: str | None = None
    """Why what leaked of it is not proved dead, where that could not be done."""


def rotate(transaction: Transaction, keyring: Keyring, algorithm: str, use: str = "jws") -> KeyChange:
    """Make a new key for `algorithm` and that use.

    The one that is here signs nothing more, and still verifies what it signed.

    Raises:
        UsageError: keys for that use have another algorithm.
        StorageError: the new key cannot be written; nothing was changed.

    """
    if algorithm not in USES[use]:
        raise UsageError(f"keys for {use} are not for {quote(algorithm)}; nothing was changed")
    retired = []
    for key in transaction.signing_keys():
        # Other machines go on with theirs.
        if (key.use, key.algorithm) != (use, algorithm) or key.retired_at is not None:
            continue
        if keyring.holds(key.kid):
            transaction.end_key(key.key, revoked=False)
            retired.append(key.kid)
    signer = keyring.create(algorithm)
    transaction.add_key(signer.kid, signer.algorithm, signer.public, use)
    event = transaction.append(
        "key-rotate",
        {"kid": signer.kid, "algorithm": algorithm, **told_use(use), "retired": retired or None},
    )
    return KeyChange(signer.kid, None, tuple(retired), None, event.seq)


def revoke(
    transaction: Transaction, keyring: Keyring, kid: str, reason: str | None, most: int | None
) -> KeyChange:
    """End at once all that a leaked key signed, with what descends from it; another key signs from now on.

    Raises:
        NotFoundError: this ledger never had such a key.
        UsageError: more than `most` credentials would end; nothing was changed.

    """
    if reason is not None:
        check_text(reason, "the reason")
    key = find(transaction, kid)
    selection = Selection(kids=(kid,))
    if most is not None:
        revocation.guard(transaction.measure(selection), most)
    radius, digest = transaction.end(selection, State.REVOKED)
    if key.revoked_at is not None and not radius.credentials:
        return KeyChange(kid, None, (), radius, None)
    # The event comes before the successor's, since the members point to the number that was next.
    event = transaction.append(
        "key-revoke", {"kid": kid, "reason": reason, "count": radius.credentials, "ended": digest}
    )
    transaction.end_key(key.key, revoked=True)
    successor = None
    if key.retired_at is None and keyring.holds(key.kid):
        successor = keyring.create(key.algorithm)
        transaction.add_key(successor.kid, successor.algorithm, successor.public, key.use)
        transaction.append(
            "key-create", {"kid": successor.kid, "algorithm": key.algorithm, **told_use(key.use)}
        )
    return KeyChange(kid, successor.kid if successor else None, (kid,), radius, event.seq)


def find(snapshot: Snapshot, kid: str) -> SigningKey:
    """Return the key of that id.

    Raises:
        NotFoundError: this ledger never had such a key.

    """
    key = next((key for key in snapshot.signing_keys() if key.kid == kid), None)
    if key is None:
        raise NotFoundError(
            f"this ledger never had a key {quote(kid)}; nothing was changed", "see: jitid keys list"
        )
    return key


def published(snapshot: Snapshot) -> dict[str, Any]:
    """Return the JWKS (RFC 7517, section 5): every key that something live may be signed by, none that was revoked."""
    keys = [
        jws.public_jwk(key.algorithm, key.public, key.kid)
        for key in snapshot.signing_keys()
        if key.use == "jws"
        and key.revoked_at is None
        and (key.retired_at is None or (snapshot.latest_expiry_signed_by(key.key) or 0) > snapshot.now)
    ]
    return {"keys": keys}
