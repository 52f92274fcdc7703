"""Rotate and revoke signing keys; publish each key as long as a credential that it signed can be live."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.identity import revocation_result
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.trust.signing import location_of_first, new_key
from jitid.crypto import jws
from jitid.errors import JitidError, NotFoundError, UsageError
from jitid.keys.keyring import USES, KeepsNoKeysError, Keyring, Signer, rotating
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.credential import State
from jitid.model.ledger_rows import Names, Radius, Selection, SigningKey
from jitid.values.record import Record
from jitid.values.text import check_text, quote

HERE = "none"
"""The value instead of a target: the key is in a file of the keyring."""


class KeyChange(Record):
    """A change of signing keys."""

    kid: str
    """The key that signs now, or the revoked key."""
    successor: str | None
    retired: tuple[str, ...]
    """Keys whose private halves are no longer needed."""
    radius: Radius | None
    """The credentials that ended with a revoked key."""
    event: int | None
    unproved: str | None = None
    """Why there is no proof that the ledger refuses the leaked credentials among them; None if there is one."""


def rotate(
    transaction: Transaction,
    names: Names,
    keyring: Keyring,
    algorithm: str,
    use: str = "jws",
    transit: str | None = None,
) -> KeyChange:
    """Make a new key for `algorithm` and that use.

    The present key of this machine signs no more, and still verifies its signatures. The new key is kept where the old
    one is (the first one: `location_of_first`), or where `transit` says: `TARGET/KEY` of a transit engine, or `none`
    for a file.

    Raises:
        UsageError: keys for that use have another algorithm or cannot be at a target, or the authority is under a
            root.
        StorageError: the new key cannot be written, or its target is out of reach; nothing was changed.

    """
    if transit is not None and use != "jws":
        raise UsageError(f"a key for {use} must be in a file, not at a target; nothing was changed")
    if algorithm not in USES[use]:
        raise UsageError(f"keys for {use} do not support {quote(algorithm)}; nothing was changed")
    retired = []
    keys = KeyStore(transaction).signing_keys()
    for key in keys:
        # Other machines keep their own keys.
        if (key.use, key.algorithm) != (use, algorithm) or not key.signs:
            continue
        if is_under_a_root(key):
            raise UsageError(
                "the X.509 authority is under a root, so its successor must be too; nothing was changed",
                "to request a certificate: jitid keys ca request",
            )
        if keyring.holds(key.kid):
            KeyChanges(transaction).end_key(key.key, revoked=False)
            retired.append(key.kid)
    kids = {key.kid for key in keys}

    def make() -> Signer:
        target_and_key = transit
        if transit is None and not retired:
            target_and_key = location_of_first(transaction, keyring, algorithm, use)
        if target_and_key is not None and target_and_key != HERE:
            try:
                return keyring.adopt(target_and_key, algorithm, kids)
            except KeepsNoKeysError as error:
                # The request has named the target: the configuration may be right.
                raise UsageError(error.message, error.hint) from None
        if transit is None and retired:
            return keyring.create_in_same_place(retired[-1], algorithm, kids)
        return keyring.create(algorithm)

    key, facts = new_key(transaction, names, keyring, algorithm, use, make)
    event = transaction.append("key-rotate", {**facts, "retired": retired or None})
    return KeyChange(key.kid, None, tuple(retired), None, event.seq)


def revoke(
    transaction: Transaction, names: Names, keyring: Keyring, kid: str, reason: str | None, limit: int | None
) -> KeyChange:
    """End at once all credentials that a leaked key signed, with their descendants; another key signs from now on.

    Raises:
        NotFoundError: this ledger never had such a key.
        UsageError: more than `limit` credentials would end; nothing was changed.

    """
    if reason is not None:
        check_text(reason, "the reason")
    key = find(transaction, kid)
    selection = Selection(kids=(kid,))
    if limit is not None:
        revocation_result.guard(CredentialStore(transaction).measure(selection), limit)
    radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
    if key.revoked_at is not None and not radius.credentials:
        return KeyChange(kid, None, (), radius, None)
    # This event precedes the successor's: the ended credentials refer to the number that was next.
    event = transaction.append(
        "key-revoke", {"kid": kid, "reason": reason, "count": radius.credentials, "ended": digest}
    )
    KeyChanges(transaction).end_key(key.key, revoked=True)
    successor = None
    if key.signs and keyring.holds(key.kid) and not is_under_a_root(key):
        kids = {signing_key.kid for signing_key in KeyStore(transaction).signing_keys()}
        try:
            successor, facts = new_key(
                transaction,
                names,
                keyring,
                key.algorithm,
                key.use,
                lambda: keyring.create_in_same_place(key.kid, key.algorithm, kids),
            )
        except JitidError:
            # An unreachable target must not keep a leaked key in use: its credentials end all the same.
            if keyring.elsewhere(key.kid) is None:
                raise
        else:
            transaction.append("key-create", facts)
    return KeyChange(kid, successor.kid if successor else None, (kid,), radius, event.seq)


def spent(snapshot: View) -> list[str]:
    """Return the ids of the keys whose private halves are no longer needed.

    A retired authority still signs the revocation list of its certificates until the last of them has expired.
    """
    return [
        key.kid
        for key in KeyStore(snapshot).signing_keys()
        if key.retired_at is not None and not signs_revocation_list(snapshot, key)
    ]


def signs_revocation_list(snapshot: View, key: SigningKey) -> bool:
    """Return whether a key must still sign the revocation list of its certificates."""
    if key.use != "x509" or key.certificates is None or key.revoked_at is not None:
        return False
    return (
        key.retired_at is None
        or (KeyStore(snapshot).latest_expiry_signed_by(key.key, live=False) or 0) > snapshot.now
    )


def replacing(key: SigningKey) -> str:
    """Return the command that replaces a key."""
    return "jitid keys ca request" if is_under_a_root(key) else rotating(key.use, key.algorithm)


def is_under_a_root(key: SigningKey) -> bool:
    """Return whether a key is an authority that another authority has certified."""
    if key.certificates is None:
        return False
    from jitid.crypto.der import split

    return len(split(key.certificates)) > 1


def find(snapshot: View, kid: str) -> SigningKey:
    """Return the key of that id.

    Raises:
        NotFoundError: this ledger never had such a key.

    """
    key = next((key for key in KeyStore(snapshot).signing_keys() if key.kid == kid), None)
    if key is None:
        raise NotFoundError(
            f"the ledger never had a key {quote(kid)}; nothing was changed",
            "to see its keys: jitid keys list",
        )
    return key


def published(snapshot: View, algorithm: str | None = None) -> dict[str, Any]:
    """Return the JWKS (RFC 7517, section 5): each key that may have signed a live credential, without revoked keys.

    With `algorithm`, only keys of that algorithm.
    """
    keys = [
        jws.public_jwk(key.algorithm, key.public, key.kid)
        for key in KeyStore(snapshot).signing_keys()
        if key.use == "jws" and algorithm in (None, key.algorithm) and KeyStore(snapshot).is_needed(key)
    ]
    return {"keys": keys}
